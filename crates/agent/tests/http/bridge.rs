//! Standard input and output in front of a server: what passes.

use farthing_agent::guard::Limits;
use http::Method;

use crate::support::{Bridge, GREETING, INITIALIZE, INITIALIZED, allow, call, cancel, modern, result};
use crate::upstream::Upstream;

#[tokio::test]
async fn a_session_from_its_beginning_to_its_end() {
    let mut upstream = Upstream::start().await;
    let mut bridge = Bridge::start(&upstream.url, Limits::default());
    bridge.send(INITIALIZE);
    let asked = upstream.post("initialize").await;
    assert_eq!((asked.path.as_str(), asked.body.as_str()), ("/mcp", INITIALIZE));
    assert_eq!(asked.header("accept"), Some("application/json, text/event-stream"));
    assert_eq!(asked.header("content-type"), Some("application/json"));
    assert_eq!(asked.header("authorization"), Some("Bearer s3cret"));
    assert_eq!((asked.header("mcp-session-id"), asked.header("mcp-protocol-version")), (None, None));
    asked.json_with(&[("mcp-session-id", "session-1")], GREETING);
    assert_eq!(bridge.next().await, GREETING);
    bridge.send(INITIALIZED);
    bridge.send(&call(1, "a"));
    let asked = upstream.post("initialized").await;
    assert_eq!(upstream.rest().len(), 0, "the call waits until the server knows that the client is ready");
    asked.status(202);
    let asked = upstream.post("tools/call").await;
    assert_eq!(asked.header("mcp-session-id"), Some("session-1"));
    assert_eq!(asked.header("mcp-protocol-version"), Some("2025-06-18"));
    asked.json(&result(1, "{}"));
    assert_eq!(bridge.next().await, result(1, "{}"));
    assert_eq!(bridge.ends.next().await, "a answered");
    let listening = upstream.get().await;
    assert_eq!(listening.header("accept"), Some("text/event-stream"));
    listening.status(405);
    bridge.close();
    let asked = upstream.expect(Method::DELETE, "").await;
    assert_eq!(asked.header("mcp-session-id"), Some("session-1"));
    asked.status(200);
    assert_eq!(bridge.end().await, (0, vec![]));
}

#[tokio::test]
async fn requests_go_out_side_by_side() {
    let mut upstream = Upstream::start().await;
    let mut bridge = Bridge::begun(&mut upstream, Limits::default()).await;
    bridge.send(&call(1, "slow"));
    bridge.send(&call(2, "fast"));
    let slow = upstream.post("slow").await;
    upstream.post("fast").await.json(&result(2, "{}"));
    assert_eq!(bridge.next().await, result(2, "{}"));
    slow.json(&result(1, "{}"));
    assert_eq!(bridge.next().await, result(1, "{}"));
}

#[tokio::test]
async fn what_is_denied_never_leaves_and_hidden_tools_are_not_listed() {
    let mut upstream = Upstream::start().await;
    let mut bridge = Bridge::begun(&mut upstream, Limits::default()).await;
    bridge.send(&format!("[{},{}]", call(1, "denied"), call(2, "a")));
    assert!(bridge.next().await.starts_with(r#"[{"jsonrpc":"2.0","id":1,"result":{"content":"#));
    let asked = upstream.post("").await;
    assert_eq!(asked.body, format!("[{}]", call(2, "a")));
    asked.json(&format!("[{}]", result(2, "{}")));
    assert_eq!(bridge.next().await, format!("[{}]", result(2, "{}")));
    bridge.send(r#"{"jsonrpc":"2.0","id":3,"method":"tools/list"}"#);
    let events = upstream.post("tools/list").await.events();
    events.data(&result(3, r#"{"tools":[{"name":"hidden"},{"name":"a"}]}"#));
    assert_eq!(bridge.next().await, result(3, r#"{"tools":[{"name":"a"}]}"#));
}

#[tokio::test]
async fn a_stream_brings_progress_questions_and_the_answer() {
    let mut upstream = Upstream::start().await;
    let mut bridge = Bridge::begun(&mut upstream, Limits::default()).await;
    bridge.send(&call(1, "a"));
    let events = upstream.post("tools/call").await.events();
    let progress = r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1}}"#;
    events.raw(": hello\n\nevent: other\ndata: {}\n\n");
    events.data(progress);
    assert_eq!(bridge.next().await, progress);
    let question = r#"{"jsonrpc":"2.0","id":"q","method":"elicitation/create","params":{}}"#;
    events.data(question);
    assert_eq!(bridge.next().await, question);
    let answer = r#"{"jsonrpc":"2.0","id":"q","result":{"action":"accept"}}"#;
    bridge.send(answer);
    let asked = upstream.post("accept").await;
    assert_eq!(asked.body, answer);
    asked.status(202);
    // Over several lines, and in several pieces.
    events.raw("data: {\"jsonrpc\":\"2.0\",\ndata: \"id\":1,\"res");
    events.raw("ult\":{}}\r\n\r\n");
    assert_eq!(bridge.next().await, r#"{"jsonrpc":"2.0", "id":1,"result":{}}"#);
    assert_eq!(bridge.ends.next().await, "a answered");
}

#[tokio::test]
async fn what_the_server_sends_of_itself_passes_over_breaks_and_once() {
    let mut upstream = Upstream::start().await;
    let mut bridge = Bridge::start(&upstream.url, Limits::default());
    bridge.begin(&mut upstream).await;
    let listening = upstream.get().await;
    assert_eq!(
        (listening.header("mcp-session-id"), listening.header("last-event-id")),
        (Some("session-1"), None)
    );
    let events = listening.events();
    let question = r#"{"jsonrpc":"2.0","id":"q","method":"elicitation/create","params":{}}"#;
    let notice = r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#;
    events.raw("retry: 20\nid: 0\ndata:\n\n");
    events.with_id("1", question);
    assert_eq!(bridge.next().await, question);
    bridge.send(r#"{"jsonrpc":"2.0","id":"q","result":{}}"#);
    upstream.post(r#""id":"q""#).await.status(202);
    events.breaks();
    let listening = upstream.get().await;
    assert_eq!(listening.header("last-event-id"), Some("1"));
    let events = listening.events();
    events.with_id("1", question);
    events.with_id("2", notice);
    assert_eq!(bridge.next().await, notice, "what came once does not come again");
    drop(events);
    assert_eq!(upstream.get().await.header("last-event-id"), Some("2"));
}

#[tokio::test]
async fn a_stream_that_breaks_is_taken_up_again() {
    let mut upstream = Upstream::start().await;
    let mut bridge = Bridge::begun(&mut upstream, Limits::default()).await;
    bridge.send(&call(1, "a"));
    let events = upstream.post("tools/call").await.events();
    let notice = |n: u32| format!(r#"{{"jsonrpc":"2.0","method":"notifications/{n}"}}"#);
    events.raw("retry: 20\nid: s-0\ndata: \n\n");
    events.with_id("s-1", &notice(1));
    assert_eq!(bridge.next().await, notice(1));
    events.breaks();
    let again = upstream.get().await;
    assert_eq!(
        (again.header("last-event-id"), again.header("mcp-session-id")),
        (Some("s-1"), Some("session-1"))
    );
    // One attempt fails, one stream ends in order (2025-11-25: the client polls).
    again.status(503);
    let events = upstream.get().await.events();
    events.with_id("s-1", &notice(1));
    events.with_id("s-2", &notice(2));
    assert_eq!(bridge.next().await, notice(2));
    drop(events);
    let again = upstream.get().await;
    assert_eq!(again.header("last-event-id"), Some("s-2"));
    again.events().with_id("s-3", &result(1, "{}"));
    assert_eq!(bridge.next().await, result(1, "{}"));
    assert_eq!(bridge.ends.next().await, "a answered");
}

#[tokio::test]
async fn large_answers_pass_both_ways_of_answering() {
    let mut upstream = Upstream::start().await;
    let mut bridge = Bridge::begun(&mut upstream, Limits::default()).await;
    let large = result(1, &format!("{{\"text\":\"{}\"}}", "x".repeat(20 << 20)));
    bridge.send(r#"{"jsonrpc":"2.0","id":1,"method":"resources/read"}"#);
    upstream.post("resources/read").await.events().data(&large);
    assert!(bridge.next().await == large);
    bridge.send(r#"{"jsonrpc":"2.0","id":1,"method":"resources/read"}"#);
    upstream.post("resources/read").await.json(&large);
    assert!(bridge.next().await == large);
}

#[tokio::test]
async fn a_cancellation_follows_its_request() {
    let mut upstream = Upstream::start().await;
    let mut bridge = Bridge::begun(&mut upstream, Limits::default()).await;
    bridge.send(&call(1, "a"));
    bridge.send(&cancel(1));
    let asked = upstream.post("tools/call").await;
    let cancelled = upstream.post("cancelled").await;
    assert_eq!(cancelled.body, cancel(1));
    cancelled.status(202);
    assert_eq!(bridge.ends.next().await, "a lost");
    asked.json(&result(1, "{}"));
    bridge.send(&call(2, "b"));
    upstream.post("tools/call").await.json(&result(2, "{}"));
    assert_eq!(bridge.next().await, result(2, "{}"), "the late answer is dropped");
}

#[tokio::test]
async fn requests_of_2026_say_in_headers_what_they_are_and_are_cancelled_by_leaving() {
    let mut upstream = Upstream::start().await;
    let mut bridge = Bridge::start(&upstream.url, Limits::default());
    bridge.send(&modern(1, "käse"));
    let asked = upstream.post("tools/call").await;
    assert_eq!(asked.header("mcp-protocol-version"), Some("2026-07-28"));
    assert_eq!(asked.header("mcp-method"), Some("tools/call"));
    assert_eq!(asked.header("mcp-name"), Some("=?base64?a8Okc2U=?="));
    assert_eq!(asked.header("mcp-session-id"), None);
    let events = asked.events();
    let notice = r#"{"jsonrpc":"2.0","method":"notifications/message"}"#;
    events.data(notice);
    assert_eq!(bridge.next().await, notice);
    bridge.send(&cancel(1));
    events.left().await;
    assert_eq!(bridge.ends.next().await, "käse lost");
    bridge.send(r#"{"jsonrpc":"2.0","id":2,"method":"x","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}"#);
    let refusal = r#"{"jsonrpc":"2.0","id":2,"error":{"code":-32601,"message":"no such method"}}"#;
    upstream.post(r#""method":"x""#).await.refuse(404, &[], refusal);
    assert_eq!(bridge.next().await, refusal, "the server's own error");
    assert_eq!(upstream.rest().len(), 0, "neither a session's end nor a notification");
}

#[tokio::test]
async fn the_gate_asks_the_client_and_decides_later() {
    let mut upstream = Upstream::start().await;
    let mut bridge = Bridge::begun(&mut upstream, Limits::default()).await;
    bridge.send(&call(1, "asks"));
    let question = bridge.next().await;
    assert!(question.contains("elicitation/create"), "{question}");
    let id = question.split('"').find(|part| part.starts_with("farthing-")).unwrap();
    bridge.send(&format!(r#"{{"jsonrpc":"2.0","id":"{id}","result":"yes"}}"#));
    upstream.post("asks").await.json(&result(1, "{}"));
    assert_eq!(bridge.next().await, result(1, "{}"));
    assert_eq!(bridge.ends.next().await, "asks answered");
    // Two members of one batch that go to the server apart: the refusal of one is not that of the other.
    bridge.send(&format!("[{},{}]", call(2, "now"), call(3, "later")));
    let now = upstream.post("now").await;
    let decide = bridge.gate.waiting.lock().unwrap().pop().unwrap();
    decide.send(allow("later")).ok().unwrap();
    let later = upstream.post("later").await;
    now.status(500);
    assert!(bridge.next().await.contains(r#""id":2,"error""#));
    assert_eq!(bridge.ends.next().await, "now failed");
    later.json(&result(3, "{}"));
    assert_eq!(bridge.next().await, result(3, "{}"));
    assert_eq!(bridge.ends.next().await, "later answered");
}

#[tokio::test]
async fn arguments_that_the_server_marks_are_repeated_in_headers() {
    let mut upstream = Upstream::start().await;
    let mut bridge = Bridge::start(&upstream.url, Limits::default());
    let list = modern(1, "x").replace("tools/call", "tools/list");
    bridge.send(&list);
    let schema = r#"{"properties":{"region":{"type":"string","x-mcp-header":"Region"}}}"#;
    let tools = result(1, &format!(r#"{{"tools":[{{"name":"a","inputSchema":{schema}}}]}}"#));
    upstream.post("tools/list").await.json(&tools);
    assert_eq!(bridge.next().await, tools);
    bridge.send(&modern(2, "a"));
    let asked = upstream.post("tools/call").await;
    assert_eq!(asked.header("mcp-param-region"), Some("north"));
    asked.json(&result(2, "{}"));
    assert_eq!(bridge.next().await, result(2, "{}"));
}
