//! A guard that listens: sessions, and what passes in one request.

use http::Method;

use crate::client::Served;
use crate::support::{GREETING, INITIALIZE, allow, call, cancel, modern, result};
use crate::upstream::Upstream;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_from_its_beginning_to_its_end() {
    let mut upstream = Upstream::start().await;
    let mut served = Served::start(&upstream, |_| {}).await;
    let bearer = ("authorization", "Bearer agent-7");
    let id = served.begin(&mut upstream, &[bearer]).await;
    assert_ne!(id, "theirs");
    let session = [("mcp-session-id", id.as_str()), bearer];
    let serve = async {
        let asked = upstream.post("tools/call").await;
        assert_eq!(asked.header("mcp-session-id"), Some("theirs"));
        assert_eq!(asked.header("mcp-protocol-version"), Some("2025-06-18"));
        assert_eq!(asked.header("authorization"), Some("Bearer agent-7"), "the client's own");
        asked.json(&result(1, "{}"));
    };
    let body = call(1, "a");
    let (answer, ()) = tokio::join!(served.post(&session, &body), serve);
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, Some("application/json")));
    assert_eq!(answer.text().await, result(1, "{}"));
    assert_eq!(served.ends.next().await, "a answered");
    let serve = async {
        let asked = upstream.expect(Method::DELETE, "").await;
        assert_eq!(asked.header("mcp-session-id"), Some("theirs"));
        asked.status(200);
    };
    let (answer, ()) = tokio::join!(served.ask(Method::DELETE, "/mcp", &session, ""), serve);
    assert_eq!(answer.status, 200);
    assert_eq!(served.post(&session, &call(2, "a")).await.status, 404);
    let infos = served.infos.lock().unwrap().clone();
    assert_eq!((infos.len(), infos[0].id.as_deref()), (1, Some(id.as_str())));
    assert!(infos[0].bearer.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_are_apart_and_belong_to_who_began_them() {
    let mut upstream = Upstream::start().await;
    let served = Served::start(&upstream, |_| {}).await;
    let one = served.begin(&mut upstream, &[("authorization", "Bearer one")]).await;
    let two = served.begin(&mut upstream, &[("authorization", "Bearer two")]).await;
    assert_ne!(one, two);
    let infos = served.infos.lock().unwrap().clone();
    assert!(infos.len() == 2 && infos[0].bearer != infos[1].bearer);
    for headers in [
        vec![("mcp-session-id", one.as_str()), ("authorization", "Bearer two")],
        vec![("mcp-session-id", one.as_str())],
        vec![("mcp-session-id", "theirs"), ("authorization", "Bearer one")],
    ] {
        assert_eq!(served.post(&headers, &call(1, "a")).await.status, 404, "{headers:?}");
        assert_eq!(served.get(&headers).await.status, 404, "{headers:?}");
        assert_eq!(served.ask(Method::DELETE, "/mcp", &headers, "").await.status, 404);
    }
    assert_eq!(served.post(&[], &call(1, "a")).await.status, 400, "no session");
    // The same id of a request, in two sessions at once.
    let (body, mut answers) = (call(1, "a"), Vec::new());
    let asks = async {
        let headers = |id, bearer| [("mcp-session-id", id), ("authorization", bearer)];
        let (one, two) = (headers(one.as_str(), "Bearer one"), headers(two.as_str(), "Bearer two"));
        let both = tokio::join!(served.post(&one, &body), served.post(&two, &body));
        answers = vec![both.0.text().await, both.1.text().await];
    };
    let serve = async {
        let (first, second) = (upstream.post("").await, upstream.post("").await);
        second.json(&result(1, "{}"));
        first.json(&result(1, "{}"));
    };
    tokio::join!(asks, serve);
    assert_eq!(answers, [result(1, "{}"), result(1, "{}")]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn denied_members_of_a_batch_are_answered_and_the_others_pass() {
    let mut upstream = Upstream::start().await;
    let served = Served::start(&upstream, |_| {}).await;
    let id = served.begin(&mut upstream, &[]).await;
    let session = [("mcp-session-id", id.as_str())];
    let answer = served.post(&session, &call(1, "denied")).await;
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, Some("application/json")));
    assert!(answer.text().await.contains("isError"));
    let answer = served.post(&session, &format!("[{},{}]", call(1, "denied"), call(2, "denied"))).await;
    assert_eq!(answer.status, 200);
    assert!(answer.text().await.starts_with("[{"));
    let batch = format!("[{},{},{}]", call(1, "denied"), call(2, "a"), call(3, "b"));
    let serve = async {
        let asked = upstream.post("").await;
        assert_eq!(asked.body, format!("[{},{}]", call(2, "a"), call(3, "b")));
        asked.json(&format!("[{},{}]", result(2, "{}"), result(3, "{}")));
    };
    let ask = async {
        let mut answer = served.post(&session, &batch).await;
        let first = answer.data().await.unwrap();
        assert!(first.starts_with(r#"[{"jsonrpc":"2.0","id":1,"#) && first.contains("isError"), "{first}");
        assert_eq!(answer.data().await.unwrap(), format!("[{},{}]", result(2, "{}"), result(3, "{}")));
        assert_eq!(answer.data().await, None);
    };
    tokio::join!(ask, serve);
    assert!(upstream.rest().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_of_the_server_reach_the_client_with_their_challenge() {
    let mut upstream = Upstream::start().await;
    let mut served = Served::start(&upstream, |_| {}).await;
    let challenge = [("www-authenticate", "Bearer resource_metadata=\"https://a/\"")];
    let serve = async { upstream.post("initialize").await.refuse(401, &challenge, "") };
    let (answer, ()) = tokio::join!(served.post(&[], INITIALIZE), serve);
    assert_eq!((answer.status.as_u16(), answer.header("www-authenticate")), (401, Some(challenge[0].1)));
    assert_eq!(answer.header("mcp-session-id"), None);
    let id = served.begin(&mut upstream, &[]).await;
    let session = [("mcp-session-id", id.as_str())];
    for (status, how) in [(403, "a failed"), (500, "a failed"), (502, "a lost")] {
        let serve = async { upstream.post("tools/call").await.status(status) };
        let body = call(1, "a");
        let (answer, ()) = tokio::join!(served.post(&session, &body), serve);
        assert_eq!(answer.status, status);
        assert!(answer.text().await.contains(r#""id":1,"error""#));
        assert_eq!(served.ends.next().await, how);
    }
    let notice = r#"{"jsonrpc":"2.0","method":"notifications/x"}"#;
    let serve = async { upstream.post("notifications/x").await.status(400) };
    let (answer, ()) = tokio::join!(served.post(&session, notice), serve);
    assert_eq!(answer.status, 400);
    let serve = async { upstream.post("tools/call").await.status(404) };
    let body = call(1, "a");
    let (answer, ()) = tokio::join!(served.post(&session, &body), serve);
    assert_eq!(answer.status, 404);
    assert_eq!(served.ends.next().await, "a failed");
    assert_eq!(served.post(&session, &call(1, "a")).await.status, 404, "the session is over here too");
    assert!(upstream.rest().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_can_be_no_message_is_refused() {
    let upstream = Upstream::start().await;
    let served = Served::start(&upstream, |config| config.limits.max_message = 1000).await;
    let json = ("content-type", "application/json");
    let both = ("accept", "application/json, text/event-stream");
    for (method, path, headers, body, status) in [
        (Method::POST, "/mcp", vec![both], "{}", 415),
        (Method::POST, "/mcp", vec![both, ("content-type", "text/plain")], "{}", 415),
        (Method::POST, "/mcp", vec![json], "{}", 406),
        (Method::POST, "/mcp", vec![json, ("accept", "application/json")], "{}", 406),
        (Method::POST, "/mcp", vec![json, ("accept", "*/*")], "{}", 400),
        (Method::POST, "/mcp", vec![json, both], &"x".repeat(1001), 413),
        (Method::GET, "/mcp", vec![both], "", 400),
        (Method::GET, "/mcp", vec![], "", 406),
        (Method::PUT, "/mcp", vec![], "", 405),
        (Method::OPTIONS, "/mcp", vec![], "", 405),
        (Method::GET, "/sse", vec![both], "", 404),
        (Method::GET, "/", vec![both], "", 404),
    ] {
        let answer = served.ask(method.clone(), path, &headers, body).await;
        assert_eq!(answer.status.as_u16(), status, "{method} {path} {headers:?}");
    }
    assert!(served.infos.lock().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_of_2026_stand_for_themselves() {
    let mut upstream = Upstream::start().await;
    let mut served = Served::start(&upstream, |_| {}).await;
    let version = ("mcp-protocol-version", "2026-07-28");
    let headers = [version, ("mcp-method", "tools/call"), ("mcp-name", "a"), ("mcp-param-region", "north")];
    let serve = async {
        let asked = upstream.post("tools/call").await;
        for (name, value) in headers {
            assert_eq!(asked.header(name), Some(value));
        }
        asked.json(&result(1, "{}"));
    };
    let body = modern(1, "a");
    let (answer, ()) = tokio::join!(served.post(&headers, &body), serve);
    assert_eq!((answer.status.as_u16(), answer.header("mcp-session-id")), (200, None));
    assert_eq!(answer.text().await, result(1, "{}"));
    assert_eq!(served.ends.next().await, "a answered");
    assert_eq!(served.infos.lock().unwrap()[0].id, None);
    for wrong in [("mcp-method", "ping"), ("mcp-name", "b"), ("mcp-param-region", "south")] {
        let answer = served.post(&[version, wrong], &modern(1, "a")).await;
        assert_eq!(answer.status, 400, "{wrong:?}");
        assert!(answer.text().await.contains("-32020"));
    }
    // The client leaves the stream: that cancels the request.
    let body = modern(2, "b");
    let (answer, events) =
        tokio::join!(served.post(&headers[..1], &body), async { upstream.post("tools/call").await.events() });
    drop(answer);
    events.left().await;
    assert_eq!(served.ends.next().await, "b lost");
    assert!(upstream.rest().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn decisions_that_come_later_and_cancellations() {
    let mut upstream = Upstream::start().await;
    let mut served = Served::start(&upstream, |_| {}).await;
    let id = served.begin(&mut upstream, &[]).await;
    let session = [("mcp-session-id", id.as_str())];
    let body = call(1, "later");
    let serve = async {
        while served.gate.waiting.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        let decide = served.gate.waiting.lock().unwrap().pop().unwrap();
        decide.send(allow("later")).ok().unwrap();
        upstream.post("later").await.json(&result(1, "{}"));
    };
    let (answer, ()) = tokio::join!(served.post(&session, &body), serve);
    assert_eq!(answer.text().await, result(1, "{}"));
    assert_eq!(served.ends.next().await, "later answered");
    let body = call(2, "a");
    let note = cancel(2);
    let serve = async {
        let asked = upstream.post("tools/call").await;
        let cancelled = async { upstream.post("cancelled").await.status(202) };
        let (answer, ()) = tokio::join!(served.post(&session, &note), cancelled);
        assert_eq!(answer.status, 202);
        asked.status(202);
    };
    let (answer, ()) = tokio::join!(served.post(&session, &body), serve);
    assert_eq!((answer.status.as_u16(), answer.text().await.as_str()), (202, ""));
    assert_eq!(served.ends.next().await, "a lost");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_are_bounded_and_the_oldest_idle_one_goes() {
    let mut upstream = Upstream::start().await;
    let served = Served::start(&upstream, |config| config.max_sessions = 2).await;
    let one = served.begin(&mut upstream, &[]).await;
    let two = served.begin(&mut upstream, &[]).await;
    let serve = async { upstream.post("ping").await.json(&result(1, "{}")) };
    let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    let session = [("mcp-session-id", one.as_str())];
    tokio::join!(served.post(&session, ping), serve);
    let three = served.begin(&mut upstream, &[]).await;
    upstream.expect(Method::DELETE, "").await.status(200);
    assert_eq!(served.post(&[("mcp-session-id", &two)], ping).await.status, 404);
    // Both listen: neither may go.
    let mut streams = Vec::new();
    for id in [&one, &three] {
        let session = [("mcp-session-id", id.as_str())];
        let (answer, events) = tokio::join!(served.get(&session), async { upstream.get().await.events() });
        streams.push((answer, events));
    }
    assert_eq!(served.post(&[], INITIALIZE).await.status, 503);
    drop(streams.pop());
    let serve = async { upstream.post("initialize").await.json(GREETING) };
    let again = async {
        loop {
            let answer = served.post(&[], INITIALIZE).await;
            // The guard learns a moment later that the client has left.
            if answer.status != 503 {
                return answer;
            }
        }
    };
    let (answer, ()) = tokio::join!(again, serve);
    assert_eq!(answer.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_ends_streams_and_sessions() {
    let mut upstream = Upstream::start().await;
    let served = Served::start(&upstream, |_| {}).await;
    let id = served.begin(&mut upstream, &[]).await;
    let session = [("mcp-session-id", id.as_str())];
    let (mut answer, events) = tokio::join!(served.get(&session), async { upstream.get().await.events() });
    let serve = async {
        assert_eq!(answer.data().await, None);
        upstream.expect(Method::DELETE, "").await.status(200);
    };
    tokio::join!(served.end(), serve);
    events.left().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_idle_for_long_goes() {
    let mut upstream = Upstream::start().await;
    let served = Served::start(&upstream, |config| config.idle = std::time::Duration::from_secs(2)).await;
    let id = served.begin(&mut upstream, &[]).await;
    let asked = upstream.expect(Method::DELETE, "").await;
    assert_eq!(asked.header("mcp-session-id"), Some("theirs"));
    asked.status(200);
    assert_eq!(served.post(&[("mcp-session-id", &id)], &call(1, "a")).await.status, 404);
}
