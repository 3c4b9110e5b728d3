//! Intercept's hole in refunds: what gives a quota back was not what its documentation said. Ours is written in the rule.

use serde_json::json;

use crate::desk::{Desk, await_some};
use crate::session::Guard;

const RULES: [&str; 4] = ["never", "on_error", "on_failure", "default"];

/// A tool for each setting, each with room for one call ever.
fn desk() -> Desk {
    let mut policy = "version: 1\ntools:\n".to_owned();
    for rule in RULES {
        let refund = if rule == "default" { String::new() } else { format!(", refund: {rule}") };
        policy.push_str(&format!(
            "  {rule}: {{rules: [{{name: r, conditions: [{{path: state.{rule}.n, op: lte, value: 1}}], state: {{counter: n, window: lifetime{refund}}}}}]}}\n"
        ));
    }
    Desk::new(&policy)
}

/// Which of the settings gave back what their calls took. `ends` of them are in the record, which comes a little later
/// than the answer.
fn assert_given_back(desk: &Desk, guard: &mut Guard, ends: usize, given_back: &[&str]) {
    desk.await_ends(ends);
    for rule in RULES {
        let passes = guard.call(rule, json!({})).passed();
        assert_eq!(passes, given_back.contains(&rule), "{rule}");
    }
}

#[test]
fn a_json_rpc_error() {
    let desk = desk();
    let mut guard = desk.guard();
    for rule in RULES {
        assert_eq!(guard.call(rule, json!({"do": "error"})).error_code(), -32050);
    }
    assert_given_back(&desk, &mut guard, 3, &["on_error", "on_failure", "default"]);
    desk.assert_whole();
}

#[test]
fn hole_a_result_that_says_is_error() {
    let desk = desk();
    let mut guard = desk.guard();
    for rule in RULES {
        let answer = guard.call(rule, json!({"do": "is_error"}));
        assert_eq!(answer.denied(), "failed", "the server's own answer");
        assert!(answer.0["result"].get("_meta").is_none());
    }
    assert_given_back(&desk, &mut guard, 3, &["on_failure"]);
    desk.assert_whole();
}

#[test]
fn hole_a_timeout_stays_taken() {
    let desk = desk();
    let mut guard = desk.guard_with(&["--call-timeout", "1"]);
    let ids: Vec<u64> = RULES.iter().map(|rule| guard.ask(rule, json!({"do": "silent"}))).collect();
    for id in ids {
        assert_eq!(guard.answer(id).error_code(), -32001);
    }
    assert_given_back(&desk, &mut guard, 3, &[]);
    desk.assert_whole();
}

#[test]
fn hole_a_crash_stays_taken() {
    let desk = desk();
    let mut guard = desk.guard();
    let mut ids: Vec<u64> = RULES.iter().map(|rule| guard.ask(rule, json!({"do": "hold"}))).collect();
    await_some("the calls at the server", || Some(()).filter(|()| desk.called().len() == RULES.len()));
    ids.push(guard.ask("crash", json!({"do": "crash", "code": 9})));
    for id in ids {
        assert_eq!(guard.answer(id).error_code(), -32000);
    }
    assert_eq!(guard.exit_code(), 9);
    let mut guard = desk.guard();
    assert_given_back(&desk, &mut guard, 0, &[]);
    desk.assert_whole();
}

#[test]
fn an_answer_stays_taken_and_a_refund_comes_once() {
    let desk = desk();
    let mut guard = desk.guard();
    for rule in RULES {
        assert!(guard.call(rule, json!({})).passed());
    }
    assert_given_back(&desk, &mut guard, 0, &[]);
    let desk = Desk::new("version: 1\ntools: {t: {rules: [{name: r, rate_limit: 2/hour}]}}\n");
    let mut guard = desk.guard();
    assert!(guard.call("t", json!({})).passed());
    for round in 1..=3 {
        assert_eq!(guard.call("t", json!({"do": "error"})).error_code(), -32050, "round {round}");
        desk.await_ends(round);
    }
    assert!(guard.call("t", json!({})).passed());
    assert!(!guard.call("t", json!({})).passed(), "three refunds gave back three calls, not more");
    desk.assert_whole();
}
