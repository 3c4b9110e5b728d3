//! Stopping everything: `farthing freeze`, and `kill:` in the policy.

use serde_json::json;

use crate::desk::Desk;

#[test]
fn a_freeze_denies_the_next_call_in_every_process() {
    let desk = Desk::new("version: 1\ntools: {counted: {rules: [{name: r, rate_limit: 100/hour}]}}\n");
    let mut one = desk.guard_with(&["--name", "one"]);
    let mut two = desk.guard_with(&["--name", "two", "--compat", "intercept"]);
    for _ in 0..2 {
        // `free` asks the ledger for nothing.
        for tool in ["free", "counted"] {
            assert!(one.call(tool, json!({})).passed() && two.call(tool, json!({})).passed());
        }
        desk.ok(&["freeze", "the researcher pays for nonsense"]);
        for tool in ["free", "counted"] {
            let answer = one.call(tool, json!({}));
            assert_eq!(answer.code_and_rule(), ("frozen", "freeze"));
            for words in ["the researcher pays for nonsense", "the tester"] {
                assert!(answer.denied().contains(words), "{}", answer.denied());
            }
            assert!(two.call(tool, json!({})).denied().starts_with("[INTERCEPT POLICY DENIED] "));
        }
        let mut late = desk.guard_with(&["--name", "late"]);
        assert_eq!(late.call("free", json!({})).code_and_rule().0, "frozen", "a process that began later");
        desk.ok(&["thaw"]);
    }
    assert!(one.call("free", json!({})).passed() && two.call("counted", json!({})).passed());
    assert_eq!(desk.called().len(), 10);
    one.close();
    assert_eq!((desk.rows("frozen").len(), desk.rows("thawed").len()), (2, 2));
    desk.assert_whole();
}

#[test]
fn a_freeze_comes_before_a_denial_and_takes_nothing() {
    let desk = Desk::new("version: 1\ntools: {t: {rules: [{name: r, rate_limit: 1/hour}]}}\n");
    let mut guard = desk.guard();
    desk.ok(&["freeze"]);
    for _ in 0..3 {
        assert_eq!(guard.call("t", json!({})).code_and_rule().0, "frozen");
    }
    desk.ok(&["thaw"]);
    assert!(guard.call("t", json!({})).passed());
    assert_eq!(guard.call("t", json!({})).code_and_rule().0, "rate_exceeded");
}

#[test]
fn kill_in_a_reloaded_policy_stops_everything() {
    let policy = "version: 1\ntools: {t: {rules: []}}\n";
    let desk = Desk::new(policy);
    let mut guard = desk.guard();
    assert!(guard.call("t", json!({})).passed());
    desk.policy(&format!("{policy}kill: \"incident 42\"\n"));
    guard.hear("another policy is in force");
    for tool in ["t", "other"] {
        let answer = guard.call(tool, json!({}));
        assert_eq!(answer.code_and_rule(), ("frozen", "kill"));
        assert!(answer.denied().contains("incident 42"), "{}", answer.denied());
    }
    desk.policy(&format!("{policy}kill: true\n"));
    guard.hear("another policy is in force");
    assert_eq!(guard.call("t", json!({})).code_and_rule(), ("frozen", "kill"));
    desk.policy(&format!("{policy}kill: false\n"));
    guard.hear("another policy is in force");
    assert!(guard.call("t", json!({})).passed());
}
