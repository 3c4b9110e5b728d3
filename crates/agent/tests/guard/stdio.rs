//! Messages through the guard, around a real child.

use std::time::{Duration, Instant};

use farthing_policy::json::Json;

use crate::support::{Guarded, calling};

fn id(json: &Json) -> String {
    json.get("id").map_or_else(String::new, Json::to_string)
}

#[test]
fn a_call_goes_there_and_back() {
    let mut guarded = Guarded::start(&[]);
    guarded.call(1, "echo", r#"{"cents":1.50,"ticket":"t"}"#);
    let answer = guarded.line();
    assert!(answer.contains(r#""seen":{"name":"echo","arguments":{"cents":1.50,"ticket":"t"}}"#), "{answer}");
    assert!(answer.ends_with(r#""id":1,"judged":true}"#));
    guarded.call(2, "echo", r#"{"deny":1}"#);
    assert!(guarded.line().contains(r#""isError":true,"_meta":{"farthing/denial":{"rule":"r"}}"#));
    guarded.send(r#"{"id":3,"method":"tools/list"}"#);
    let list = guarded.line();
    assert!(list.contains("\"echo\"") && list.contains("nextCursor") && !list.contains("hidden"), "{list}");
    guarded.call(4, "noise", "{}");
    assert_eq!(id(&guarded.json()), "4", "what is no JSON is dropped");
    guarded.send("{\"id\":5,\"id\":6,\"method\":\"ping\"}");
    assert!(guarded.line().contains("-32700"));
    guarded.send(r#"[{"id":7,"method":"a"},{"id":8,"method":"b"}]"#);
    assert!(guarded.line().starts_with("[{\"result\""));
}

#[test]
fn twenty_megabytes_pass_both_ways() {
    let mut guarded = Guarded::start(&[]);
    guarded.call(1, "big", r#"{"bytes":20000000}"#);
    assert!(guarded.line().len() > 20_000_000);
    guarded.call(2, "big", r#"{"bytes":20000000,"ticket":"t"}"#);
    let line = guarded.line();
    assert!(line.len() > 20_000_000 && line.ends_with("\"judged\":true}"));
    let text = "y".repeat(20_000_000);
    guarded.call(3, "echo", &format!("{{\"text\":\"{text}\"}}"));
    assert!(guarded.line().contains(&text));
}

#[test]
fn what_is_too_large_is_refused_by_its_id() {
    let mut guarded = Guarded::start(&["message=200000"]);
    guarded.call(1, "big", r#"{"bytes":1000000,"ticket":"t"}"#);
    assert!(guarded.line().contains(r#""id":1,"error":{"code":-32005"#));
    assert!(guarded.end().contains("lost"));
    guarded.call(2, "echo", &format!("{{\"text\":\"{}\"}}", "y".repeat(1_000_000)));
    assert!(guarded.line().contains(r#""id":2,"error":{"code":-32005"#));
    guarded.call(3, "echo", "{}");
    assert_eq!(id(&guarded.json()), "3");
}

#[test]
fn fifty_calls_are_decided_at_once() {
    let mut guarded = Guarded::start(&[]);
    let begin = Instant::now();
    let later = (0..50).map(|number| calling(number, "echo", r#"{"later":1500,"ticket":"t"}"#));
    let all: Vec<_> = later.chain([calling(99, "echo", "{}")]).collect();
    guarded.send(&all.join("\n"));
    assert_eq!(id(&guarded.json()), "99", "others pass meanwhile");
    let mut ids: Vec<u32> = (0..50).map(|_| id(&guarded.json()).parse().unwrap()).collect();
    ids.sort_unstable();
    assert!(ids.into_iter().eq(0..50));
    assert!(begin.elapsed() < Duration::from_secs(40));
}

#[test]
fn the_server_asks_the_client_while_fifty_calls_wait() {
    let mut guarded = Guarded::start(&[]);
    for number in 0..50 {
        guarded.call(number, "silent", r#"{"ticket":"t"}"#);
    }
    guarded.call(50, "elicit", "{}");
    assert_eq!(id(&guarded.json()), "\"s-1\"");
    guarded.send(r#"{"id":"s-1","result":{"action":"accept"}}"#);
    assert!(guarded.line().contains(r#""heard":{"id":"s-1","result":{"action":"accept"}}"#));
}

/// A guard whose client shows questions.
fn asking(patience: &str) -> Guarded {
    let mut guarded = Guarded::start(&[patience]);
    guarded.send(r#"{"id":0,"method":"initialize","params":{"capabilities":{"elicitation":{}}}}"#);
    guarded.line();
    guarded
}

#[test]
fn the_gate_asks_the_client() {
    let mut guarded = asking("ask=20000");
    for (number, outcome) in [(1, "accept"), (2, "decline")] {
        guarded.call(number, "echo", r#"{"ask":{"message":"pay?"}}"#);
        let question = guarded.json();
        assert_eq!(question.get("params").unwrap().to_string(), r#"{"message":"pay?"}"#);
        guarded.send(&format!(r#"{{"id":{},"result":{{"action":"{outcome}"}}}}"#, id(&question)));
        assert_eq!(guarded.line().contains("seen"), outcome == "accept");
    }
    let mut guarded = asking("ask=1000");
    guarded.call(3, "echo", r#"{"ask":{}}"#);
    let question = guarded.json();
    assert!(guarded.line().contains("notifications/cancelled"));
    assert!(guarded.line().contains("no answer in time"), "{question}");
}

#[test]
fn a_cancellation_reaches_the_server_after_its_call_or_not_at_all() {
    let mut guarded = Guarded::start(&[]);
    guarded.call(1, "silent", r#"{"ticket":"t"}"#);
    guarded.send(r#"{"method":"notifications/cancelled","params":{"requestId":1}}"#);
    assert_eq!(guarded.end(), "\"t\" lost");
    // In one piece, so that they are heard at the same time.
    let call = calling(2, "exit", r#"{"later":500,"ticket":"u","code":3}"#);
    guarded.send(&format!("{call}\n{}", r#"{"method":"notifications/cancelled","params":{"requestId":2}}"#));
    assert_eq!(guarded.end(), "\"u\" failed");
    guarded.call(3, "notified", "{}");
    let notified = guarded.line();
    assert!(notified.contains("\"requestId\":1") && !notified.contains("\"requestId\":2"), "{notified}");
}

#[test]
fn a_child_that_never_answers_is_given_up_and_progress_prolongs() {
    let mut guarded = Guarded::start(&["timeout=4000"]);
    guarded.call(1, "silent", r#"{"ticket":"t"}"#);
    assert!(guarded.line().contains(r#""id":1,"error":{"code":-32001"#));
    assert_eq!(guarded.end(), "\"t\" lost");
    guarded.call(2, "notified", "{}");
    assert!(guarded.line().contains("\"requestId\":1"));
    guarded.send(
        r#"{"id":3,"method":"tools/call","params":{"name":"progress","arguments":{"times":10,"every":500},"_meta":{"progressToken":7}}}"#,
    );
    for _ in 0..10 {
        assert!(guarded.line().contains("notifications/progress"));
    }
    assert_eq!(id(&guarded.json()), "3");
}

#[test]
fn a_child_that_does_not_even_read_is_given_up() {
    let mut guarded = Guarded::start(&["timeout=300", "grace=150"]);
    guarded.call(1, "stuck", "{}");
    assert!(guarded.line().contains("-32001"));
    let text = "y".repeat(500_000);
    guarded.call(2, "echo", &format!("{{\"text\":\"{text}\"}}"));
    assert!(guarded.line().contains(r#""id":2,"error":{"code":-32001"#));
    // It would not see that its input has ended either, and the half of that message stands in the guard's way.
    guarded.close();
    guarded.exit();
}
