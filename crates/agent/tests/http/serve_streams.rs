//! A guard that listens: streams of events.

use crate::client::Served;
use crate::support::{call, result};
use crate::upstream::Upstream;

const PROGRESS: &str = r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1}}"#;
const QUESTION: &str = r#"{"jsonrpc":"2.0","id":"q","method":"elicitation/create","params":{}}"#;
const ANSWER: &str = r#"{"jsonrpc":"2.0","id":"q","result":{"action":"accept"}}"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_pass_one_by_one_with_their_ids() {
    let mut upstream = Upstream::start().await;
    let mut served = Served::start(&upstream, |_| {}).await;
    let id = served.begin(&mut upstream, &[]).await;
    let session = [("mcp-session-id", id.as_str())];
    let body = call(1, "a");
    let (mut answer, events) =
        tokio::join!(served.post(&session, &body), async { upstream.post("tools/call").await.events() });
    assert_eq!(answer.header("content-type"), Some("text/event-stream"));
    events.raw("id: s-0\nretry: 50\ndata:\n\n");
    assert_eq!(answer.event().await.unwrap(), "id: s-0\nretry: 50\ndata: ");
    events.with_id("s-1", PROGRESS);
    assert_eq!(answer.event().await.unwrap(), format!("event: message\nid: s-1\ndata: {PROGRESS}"));
    events.data(QUESTION);
    assert_eq!(answer.data().await.unwrap(), QUESTION);
    let serve = async {
        let asked = upstream.post("accept").await;
        assert_eq!(asked.body, ANSWER);
        asked.status(202);
    };
    let (accepted, ()) = tokio::join!(served.post(&session, ANSWER), serve);
    assert_eq!(accepted.status, 202);
    events.with_id("s-2", &result(1, "{}"));
    drop(events);
    assert_eq!(answer.event().await.unwrap(), format!("event: message\nid: s-2\ndata: {}", result(1, "{}")));
    assert_eq!(answer.event().await, None);
    assert_eq!(served.ends.next().await, "a answered");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_server_sends_of_itself_passes() {
    let mut upstream = Upstream::start().await;
    let served = Served::start(&upstream, |_| {}).await;
    let id = served.begin(&mut upstream, &[]).await;
    let session = [("mcp-session-id", id.as_str())];
    let (refused, ()) = tokio::join!(served.get(&session), async { upstream.get().await.status(405) });
    assert_eq!(refused.status, 405);
    let headers = [session[0], ("last-event-id", "g-7")];
    let serve = async {
        let asked = upstream.get().await;
        assert_eq!(
            (asked.header("last-event-id"), asked.header("mcp-session-id")),
            (Some("g-7"), Some("theirs"))
        );
        asked.events()
    };
    let (mut answer, events) = tokio::join!(served.get(&headers), serve);
    events.with_id("g-8", QUESTION);
    assert_eq!(answer.event().await.unwrap(), format!("event: message\nid: g-8\ndata: {QUESTION}"));
    let serve = async { upstream.post("accept").await.status(202) };
    tokio::join!(served.post(&session, ANSWER), serve);
    drop(events);
    assert_eq!(answer.event().await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_lost_its_stream_takes_it_up_again() {
    let mut upstream = Upstream::start().await;
    let mut served = Served::start(&upstream, |_| {}).await;
    let id = served.begin(&mut upstream, &[]).await;
    let session = [("mcp-session-id", id.as_str())];
    let body = call(1, "a");
    let (mut answer, events) =
        tokio::join!(served.post(&session, &body), async { upstream.post("tools/call").await.events() });
    events.with_id("s-1", PROGRESS);
    assert_eq!(answer.data().await.unwrap(), PROGRESS);
    drop(answer);
    events.left().await;
    let headers = [session[0], ("last-event-id", "s-1")];
    let serve = async {
        let asked = upstream.get().await;
        assert_eq!(asked.header("last-event-id"), Some("s-1"));
        asked.events()
    };
    let (mut answer, events) = tokio::join!(served.get(&headers), serve);
    events.with_id("s-2", &result(1, "{}"));
    assert_eq!(answer.event().await.unwrap(), format!("event: message\nid: s-2\ndata: {}", result(1, "{}")));
    assert_eq!(served.ends.next().await, "a answered");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_was_lost_on_its_way_comes_again_as_it_was() {
    let mut upstream = Upstream::start().await;
    let served = Served::start(&upstream, |_| {}).await;
    let id = served.begin(&mut upstream, &[]).await;
    let session = [("mcp-session-id", id.as_str())];
    let list = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
    let (mut answer, events) =
        tokio::join!(served.post(&session, list), async { upstream.post("tools/list").await.events() });
    events.with_id("s-1", PROGRESS);
    events.with_id("s-2", &result(1, r#"{"tools":[{"name":"hidden"}]}"#));
    assert_eq!(answer.data().await.unwrap(), PROGRESS);
    assert_eq!(answer.data().await.unwrap(), result(1, r#"{"tools":[]}"#));
    drop((answer, events));
    let headers = [session[0], ("last-event-id", "s-1")];
    let (mut answer, events) = tokio::join!(served.get(&headers), async { upstream.get().await.events() });
    events.with_id("s-2", &result(1, r#"{"tools":[{"name":"hidden"}]}"#));
    assert_eq!(answer.data().await.unwrap(), result(1, r#"{"tools":[]}"#));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_whose_client_has_left_is_followed_to_its_end() {
    let mut upstream = Upstream::start().await;
    let mut served = Served::start(&upstream, |_| {}).await;
    let id = served.begin(&mut upstream, &[]).await;
    let session = [("mcp-session-id", id.as_str())];
    let body = call(1, "a");
    let (mut answer, events) =
        tokio::join!(served.post(&session, &body), async { upstream.post("tools/call").await.events() });
    events.data(PROGRESS);
    assert_eq!(answer.data().await.unwrap(), PROGRESS);
    drop(answer);
    // Its events have no ids: nobody can take it up again, and the server works on.
    events.data(PROGRESS);
    events.data(&result(1, "{}"));
    assert_eq!(served.ends.next().await, "a answered");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_gate_asks_the_client_on_the_calls_own_stream() {
    let mut upstream = Upstream::start().await;
    let mut served = Served::start(&upstream, |_| {}).await;
    let id = served.begin(&mut upstream, &[]).await;
    let session = [("mcp-session-id", id.as_str())];
    let mut answer = served.post(&session, &call(1, "asks")).await;
    let question = answer.data().await.unwrap();
    assert!(question.contains("elicitation/create"), "{question}");
    let asked = question.split('"').find(|part| part.starts_with("farthing-")).unwrap();
    let yes = format!(r#"{{"jsonrpc":"2.0","id":"{asked}","result":"yes"}}"#);
    assert_eq!(served.post(&session, &yes).await.status, 202);
    upstream.post("asks").await.json(&result(1, "{}"));
    assert_eq!(answer.data().await.unwrap(), result(1, "{}"));
    assert_eq!(answer.data().await, None);
    assert_eq!(served.ends.next().await, "asks answered");
    assert!(upstream.rest().is_empty(), "the server sees nothing of the question");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_events_pass() {
    let mut upstream = Upstream::start().await;
    let served = Served::start(&upstream, |_| {}).await;
    let id = served.begin(&mut upstream, &[]).await;
    let session = [("mcp-session-id", id.as_str())];
    let large = result(1, &format!("{{\"text\":\"{}\"}}", "x".repeat(20 << 20)));
    let read = r#"{"jsonrpc":"2.0","id":1,"method":"resources/read"}"#;
    let (answer, ()) = tokio::join!(served.post(&session, read), async {
        upstream.post("resources/read").await.events().data(&large)
    });
    let text = answer.text().await;
    assert!(text.strip_prefix("event: message\ndata: ").unwrap().trim_end() == large);
}
