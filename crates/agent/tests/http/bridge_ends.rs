//! Standard input and output in front of a server: how calls and sessions end.

use std::time::Duration;

use farthing_agent::guard::Limits;
use http::Method;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;

use crate::support::{Bridge, INITIALIZE, call, result};
use crate::upstream::Upstream;

#[tokio::test]
async fn what_the_server_refuses_has_failed_and_what_a_proxy_lost_is_lost() {
    let mut upstream = Upstream::start().await;
    let mut bridge = Bridge::begun(&mut upstream, Limits::default()).await;
    for (status, how) in [
        (400, "a failed"),
        (401, "a failed"),
        (307, "a failed"),
        (429, "a failed"),
        (500, "a failed"),
        (503, "a failed"),
        (502, "a lost"),
        (504, "a lost"),
        (202, "a lost"),
    ] {
        bridge.send(&call(1, "a"));
        upstream.post("tools/call").await.refuse(status, &[("location", "http://127.0.0.1:1/")], "oh");
        let answer = bridge.next().await;
        assert!(answer.contains(r#""id":1,"error""#) && answer.contains(&status.to_string()), "{answer}");
        assert!(!answer.contains("s3cret"));
        assert_eq!(bridge.ends.next().await, how, "{status}");
    }
    bridge.send(&call(1, "a"));
    let told = r#"{"jsonrpc":"2.0","id":null,"error":{"code":-7,"message":"too fast","data":[1]}}"#;
    upstream.post("tools/call").await.refuse(429, &[("content-type", "application/json")], told);
    assert_eq!(
        bridge.next().await,
        r#"{"jsonrpc":"2.0","id":1,"error":{"code":-7,"message":"too fast","data":[1]}}"#
    );
}

#[tokio::test]
async fn answers_that_are_none_are_lost() {
    let mut upstream = Upstream::start().await;
    let limits = Limits { max_message: 1000, ..Limits::default() };
    let mut bridge = Bridge::begun(&mut upstream, limits).await;
    let large = result(1, &format!("\"{}\"", "x".repeat(2000)));
    for way in 0..6 {
        bridge.send(&call(1, "a"));
        let asked = upstream.post("tools/call").await;
        match way {
            0 => asked.json("{"),
            1 => asked.json(&result(9, "{}")),
            2 => asked.json(&large),
            3 => asked.events().data(&large),
            // Without an id it can't be taken up again, whether it ended or broke.
            4 => drop(asked.events()),
            _ => asked.events().breaks(),
        }
        let answer = bridge.next().await;
        assert!(answer.contains(r#""id":1,"error""#), "{way}: {answer}");
        assert_eq!(bridge.ends.next().await, "a lost", "{way}");
    }
    bridge.send(&call(1, "a"));
    let events = upstream.post("tools/call").await.events();
    events.raw("retry: 0\nid: 1\ndata:\n\n");
    drop(events);
    upstream.get().await.status(405);
    assert!(bridge.next().await.contains("HTTP 405"));
    assert_eq!(bridge.ends.next().await, "a lost");
}

#[tokio::test]
async fn without_a_connection_nothing_ran_and_after_a_broken_one_nobody_knows() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    let mut bridge = Bridge::start(&url, Limits::default());
    bridge.send(&call(1, "a"));
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut heard = Vec::new();
    while !heard.windows(10).any(|part| part == b"\"tools/cal") {
        assert!(stream.read_buf(&mut heard).await.unwrap() > 0);
    }
    drop((stream, listener));
    assert!(bridge.next().await.contains("broke before its answer"));
    assert_eq!(bridge.ends.next().await, "a lost");
    bridge.send(&call(2, "b"));
    assert!(bridge.next().await.contains("no connection to the server"));
    assert_eq!(bridge.ends.next().await, "b failed");
}

#[tokio::test]
async fn silence_is_answered_and_the_server_is_told() {
    let mut upstream = Upstream::start().await;
    let limits = Limits { call_timeout: Duration::from_secs(3), ..Limits::default() };
    let mut bridge = Bridge::begun(&mut upstream, limits).await;
    bridge.send(&call(1, "a"));
    let asked = upstream.post("tools/call").await;
    let answer = bridge.next().await;
    assert!(answer.contains("-32001"), "{answer}");
    assert_eq!(bridge.ends.next().await, "a lost");
    upstream.post("notifications/cancelled").await.status(202);
    asked.json(&result(1, "{}"));
}

#[tokio::test]
async fn an_expired_session_ends_with_every_request_answered() {
    let mut upstream = Upstream::start().await;
    let mut bridge = Bridge::begun(&mut upstream, Limits::default()).await;
    bridge.send(&call(1, "open"));
    let open = upstream.post("open").await;
    bridge.send(&call(2, "refused"));
    upstream.post("refused").await.status(404);
    let mut ends = [bridge.ends.next().await, bridge.ends.next().await];
    ends.sort();
    assert_eq!(ends, ["open lost", "refused failed"]);
    drop(open);
    upstream.expect(Method::DELETE, "").await.status(404);
    let (code, mut rest) = bridge.end().await;
    rest.sort();
    assert_eq!((code, rest.len()), (1, 2));
    assert!(rest[0].contains(r#""id":1,"error""#) && rest[1].contains(r#""id":2,"error""#), "{rest:?}");
}

#[tokio::test]
async fn open_requests_are_answered_after_the_client_has_closed_our_input() {
    let mut upstream = Upstream::start().await;
    let mut bridge = Bridge::begun(&mut upstream, Limits::default()).await;
    bridge.send(&call(1, "a"));
    bridge.close();
    upstream.post("tools/call").await.json(&result(1, "{}"));
    upstream.expect(Method::DELETE, "").await.status(200);
    assert_eq!(bridge.end().await, (0, vec![result(1, "{}")]));
}

#[tokio::test]
async fn a_signal_ends_it_at_once() {
    let mut upstream = Upstream::start().await;
    let mut bridge = Bridge::start(&upstream.url, Limits::default());
    bridge.send(INITIALIZE);
    let open = upstream.post("initialize").await;
    bridge.stop.take().unwrap().send(()).unwrap();
    let (code, rest) = bridge.end().await;
    assert_eq!((code, rest.len()), (0, 1));
    assert!(rest[0].contains(r#""id":"i","error""#), "{rest:?}");
    drop(open);
}
