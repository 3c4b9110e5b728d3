//! Intercept's holes towards its server: it hung, waited for ever, dropped what was large, and locked itself up.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::desk::{Desk, await_some};

const POLICY: &str = r#"
version: 1
tools:
  counted: {rules: [{name: r, rate_limit: 1000/hour}]}
  approved: {rules: [{name: big, action: require_approval}]}
"#;

#[test]
fn hole_the_guard_hangs_after_the_child_has_left() {
    for code in [0, 7] {
        let desk = Desk::new(POLICY);
        let mut guard = desk.guard();
        let held = guard.ask("counted", json!({"do": "hold"}));
        await_some("the call at the server", || Some(()).filter(|()| desk.called().len() == 1));
        let crash = guard.ask("free", json!({"do": "crash", "code": code}));
        let begin = Instant::now();
        assert_eq!(guard.exit_code(), code);
        assert!(begin.elapsed() < Duration::from_secs(15), "at once: {:?}", begin.elapsed());
        for id in [held, crash] {
            let answer = guard.answer(id);
            assert_eq!(answer.error_code(), -32000, "{answer:?}");
        }
    }
}

#[test]
fn a_child_that_cannot_start_is_an_error() {
    let desk = Desk::new(POLICY);
    let file = desk.policy_file();
    let done = desk.run(&["guard", "-c", file.to_str().unwrap(), "--", "/no/such/program"]);
    assert_eq!(done.code, 2, "{}", done.stderr);
    assert!(done.stderr.contains("/no/such/program"), "{}", done.stderr);
}

#[test]
fn hole_a_silent_server_is_waited_for_without_end() {
    let desk = Desk::new(POLICY);
    let mut guard = desk.guard_with(&["--call-timeout", "3"]);
    let begin = Instant::now();
    let ids = ["free", "counted"].map(|tool| guard.ask(tool, json!({"do": "silent"})));
    for id in ids {
        assert_eq!(guard.answer(id).error_code(), -32001);
    }
    assert!((3..60).contains(&begin.elapsed().as_secs()), "{:?}", begin.elapsed());
    assert!(guard.call("free", json!({})).passed(), "the session goes on");
    let cancelled = |line: &String| line.contains("notifications/cancelled");
    await_some("the server to be told", || {
        Some(()).filter(|()| desk.forwarded().iter().filter(|line| cancelled(line)).count() == 2)
    });
}

#[test]
fn an_answer_that_comes_too_late_is_dropped() {
    let desk = Desk::new(POLICY);
    let mut guard = desk.guard_with(&["--call-timeout", "3"]);
    let id = guard.ask("counted", json!({"do": "hold"}));
    assert_eq!(guard.answer(id).error_code(), -32001);
    guard.release("answer");
    assert!(guard.call("counted", json!({})).passed());
    assert!(!guard.has_answer(id), "one answer for one call");
}

#[test]
fn hole_a_large_result_is_dropped() {
    const BYTES: usize = 20_000_000;
    let desk = Desk::new(POLICY);
    let mut guard = desk.guard();
    for tool in ["free", "counted"] {
        let answer = guard.call(tool, json!({"do": "big", "bytes": BYTES}));
        assert!(answer.text().len() == BYTES && answer.text().bytes().all(|byte| byte == b'x'), "{tool}");
    }
}

#[test]
fn hole_elicitation_locks_both_sides() {
    let desk = Desk::new(POLICY);
    let mut guard = desk.guard();
    guard.initialize(true);
    let held = guard.ask("counted", json!({"do": "hold"}));
    let asks = guard.ask("counted", json!({"do": "ask"}));
    let question = guard.question();
    assert_eq!((&question["id"], &question["params"]["message"]), (&json!("server-1"), &json!("Which one?")));
    assert!(guard.call("counted", json!({})).passed(), "calls pass meanwhile");
    // The guard's own question goes beside the server's.
    let approved = guard.ask("approved", json!({}));
    let own = guard.question();
    assert_ne!(own["id"], question["id"]);
    guard.reply(&question, json!({"action": "accept", "content": {"which": 2}}));
    let answer = guard.answer(asks);
    let told: Value = serde_json::from_str(answer.text()).unwrap();
    assert_eq!(told, json!({"action": "accept", "content": {"which": 2}}));
    guard.reply(&own, json!({"action": "accept", "content": {"approve": true}}));
    assert!(guard.answer(approved).passed());
    guard.release("answer");
    assert!(guard.answer(held).passed());
    let replies: Vec<String> =
        desk.forwarded().into_iter().filter(|line| !line.contains("\"method\"")).collect();
    assert_eq!(
        replies.len(),
        1,
        "the answer to the guard's own question is no business of the server's: {replies:?}"
    );
}
