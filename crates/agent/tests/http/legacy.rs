//! HTTP with SSE, of 2024-11-05, on either side.

use farthing_agent::guard::Limits;
use farthing_agent::guard::http::Transport;
use http::Method;

use crate::client::Served;
use crate::support::{Bridge, GREETING, INITIALIZE, INITIALIZED, call, result};
use crate::upstream::{Events, Upstream};

/// Plays the part of a server of 2024-11-05 until it has accepted `initialize`.
async fn old_server(upstream: &mut Upstream, status: u16) -> Events {
    upstream.post("initialize").await.status(status);
    let events = upstream.get().await.events();
    events.raw("event: endpoint\ndata: /post?s=1\n\n");
    let asked = upstream.post("initialize").await;
    assert_eq!((asked.path.as_str(), asked.header("authorization")), ("/post?s=1", Some("Bearer s3cret")));
    asked.status(202);
    events
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_server_behind_standard_input_and_output() {
    for status in [400, 404, 405] {
        let mut upstream = Upstream::start().await;
        let mut bridge = Bridge::start(&upstream.url, Limits::default());
        bridge.send(INITIALIZE);
        let events = old_server(&mut upstream, status).await;
        events.raw(&format!("event: message\ndata: {GREETING}\n\n"));
        assert_eq!(bridge.next().await, GREETING);
        bridge.send(INITIALIZED);
        upstream.post("initialized").await.status(202);
        bridge.send(&call(1, "a"));
        bridge.send(&call(2, "b"));
        bridge.send(&call(3, "denied"));
        assert!(bridge.next().await.contains("isError"));
        upstream.post(r#""a""#).await.status(202);
        upstream.post(r#""b""#).await.status(500);
        assert!(bridge.next().await.contains(r#""id":2,"error""#));
        assert_eq!(bridge.ends.next().await, "b failed");
        events.data(&result(1, "{}"));
        assert_eq!(bridge.next().await, result(1, "{}"));
        assert_eq!(bridge.ends.next().await, "a answered");
        bridge.send(&call(4, "c"));
        upstream.post(r#""c""#).await.status(202);
        drop(events);
        assert!(bridge.next().await.contains(r#""id":4,"error""#));
        assert_eq!(bridge.ends.next().await, "c lost");
        assert_eq!(bridge.end().await, (1, vec![]));
        assert!(upstream.rest().is_empty(), "no stream besides, and no session to delete");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_place_to_post_is_on_the_servers_own_site() {
    let mut upstream = Upstream::start().await;
    let mut bridge = Bridge::start(&upstream.url, Limits::default());
    bridge.send(INITIALIZE);
    upstream.post("initialize").await.status(404);
    upstream.get().await.events().raw("event: endpoint\ndata: http://127.0.0.1:9/post\n\n");
    assert!(bridge.next().await.contains("HTTP 404"));
    assert!(upstream.rest().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_that_says_why_is_no_old_server() {
    let mut upstream = Upstream::start().await;
    let mut bridge = Bridge::start(&upstream.url, Limits::default());
    bridge.send(INITIALIZE);
    let told = r#"{"jsonrpc":"2.0","id":"i","error":{"code":-32022,"message":"unsupported"}}"#;
    upstream.post("initialize").await.refuse(400, &[], told);
    assert_eq!(bridge.next().await, told);
    assert!(upstream.rest().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_client_before_a_server_of_today() {
    let mut upstream = Upstream::start().await;
    let mut served = Served::start(&upstream, |config| config.transport = Transport::Sse).await;
    let bearer = ("authorization", "Bearer one");
    let mut stream = served.ask(Method::GET, "/sse", &[bearer], "").await;
    assert_eq!(stream.header("content-type"), Some("text/event-stream"));
    let place = stream.event().await.unwrap();
    let place = place.strip_prefix("event: endpoint\ndata: ").unwrap().to_owned();
    assert!(place.starts_with("/messages?sessionId="));
    let json = [("content-type", "application/json"), bearer];
    let post = async |body: &str| {
        let answer = served.ask(Method::POST, &place, &json, body).await;
        assert_eq!(answer.status, 202);
    };
    post(INITIALIZE).await;
    let asked = upstream.post("initialize").await;
    assert_eq!(asked.header("authorization"), Some("Bearer one"));
    asked.json_with(&[("mcp-session-id", "theirs")], GREETING);
    assert_eq!(stream.data().await.unwrap(), GREETING);
    post(INITIALIZED).await;
    upstream.post("initialized").await.status(202);
    let events = upstream.get().await.events();
    let question = r#"{"jsonrpc":"2.0","id":"q","method":"elicitation/create","params":{}}"#;
    events.data(question);
    assert_eq!(stream.data().await.unwrap(), question);
    post(r#"{"jsonrpc":"2.0","id":"q","result":{}}"#).await;
    upstream.post(r#""q""#).await.status(202);
    post(&format!("[{},{}]", call(1, "denied"), call(2, "a"))).await;
    assert!(stream.data().await.unwrap().contains("isError"));
    upstream.post(r#""a""#).await.json(&format!("[{}]", result(2, "{}")));
    assert_eq!(stream.data().await.unwrap(), format!("[{}]", result(2, "{}")));
    let other = [("content-type", "application/json"), ("authorization", "Bearer two")];
    assert_eq!(served.ask(Method::POST, &place, &other, "{}").await.status, 404);
    assert_eq!(served.ask(Method::POST, "/messages", &json, "{}").await.status, 404);
    post(&call(3, "b")).await;
    let open = upstream.post(r#""b""#).await;
    assert_eq!(served.ends.next().await, "a answered");
    drop(stream);
    assert_eq!(served.ends.next().await, "b lost");
    events.left().await;
    upstream.expect(Method::DELETE, "").await.status(200);
    drop(open);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_of_today_before_an_old_server() {
    let mut upstream = Upstream::start().await;
    let mut served = Served::start(&upstream, |_| {}).await;
    let bearer = ("authorization", "Bearer s3cret");
    let serve = async {
        let events = old_server(&mut upstream, 405).await;
        events.data(GREETING);
        events
    };
    let headers = [bearer];
    let (answer, events) = tokio::join!(served.post(&headers, INITIALIZE), serve);
    let id = answer.header("mcp-session-id").unwrap().to_owned();
    assert_eq!(answer.text().await, GREETING);
    let session = [("mcp-session-id", id.as_str()), bearer];
    let mut listening = served.get(&session).await;
    let notice = r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#;
    events.data(notice);
    assert_eq!(listening.data().await.unwrap(), notice);
    let serve = async {
        upstream.post("tools/call").await.status(202);
        events.data(&result(1, "{}"));
    };
    let body = call(1, "a");
    let (answer, ()) = tokio::join!(served.post(&session, &body), serve);
    assert_eq!(answer.text().await, result(1, "{}"));
    assert_eq!(served.ends.next().await, "a answered");
    drop(events);
    assert_eq!(listening.data().await, None);
    assert_eq!(served.post(&session, &body).await.status, 404);
}
