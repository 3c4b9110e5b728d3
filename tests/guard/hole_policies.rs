//! Intercept's holes in policies; those that `validate` should find stand in `validate.rs`.

use serde_json::json;

use crate::desk::Desk;

#[test]
fn hole_a_dotted_tool_name_cannot_be_limited() {
    let desk = Desk::new(
        r#"
version: "1"
tools:
  files.read: {rules: [{name: r, rate_limit: 1/hour}]}
  files.write.all:
    rules:
      - name: sum
        conditions: [{path: state.files.write.all.bytes, op: lte, value: 10}]
        state: {counter: bytes, window: day, increment_from: args.bytes}
  files: {rules: [{name: after, conditions: [{path: state.files.read._rate_hour, op: gte, value: 1}]}]}
"#,
    );
    let file = desk.policy_file();
    assert_eq!(
        desk.run(&["guard", "--compat", "intercept", "validate", "-c", file.to_str().unwrap()]).code,
        0
    );
    let mut guard = desk.intercept();
    assert!(!guard.call("files", json!({})).passed());
    assert!(guard.call("files.read", json!({})).passed());
    let words = "[INTERCEPT POLICY DENIED] Rate limit of 1 per hour reached. Try again later.";
    assert_eq!(guard.call("files.read", json!({})).denied(), words);
    assert!(guard.call("files", json!({})).passed(), "another rule reads it");
    assert!(guard.call("files.write.all", json!({"bytes": 10})).passed());
    assert!(!guard.call("files.write.all", json!({"bytes": 1})).passed());
}

#[test]
fn hole_a_quota_denial_names_no_rule() {
    let desk = Desk::new(
        r#"
version: "1"
default: deny
hide: [hidden]
tools:
  rate: {rules: [{name: pace, rate_limit: 1/hour, on_deny: "Slower, please"}]}
  sum:
    rules:
      - name: budget
        conditions: [{path: state.sum.n, op: lt, value: 5}]
        state: {counter: n, window: day, increment_from: args.n}
  fixed: {rules: [{name: never, action: deny}]}
  range: {rules: [{name: range, conditions: [{path: args.n, op: lt, value: 5}]}]}
  cel: {rules: [{name: formula, conditions: [{cel: "args.n < 5"}]}]}
"#,
    );
    let mut guard = desk.guard();
    assert!(guard.call("rate", json!({})).passed());
    for (tool, code, rule) in [
        ("rate", "rate_exceeded", "pace"),
        ("sum", "rate_exceeded", "budget"),
        ("fixed", "denied_by_rule", "never"),
        ("range", "condition_failed", "range"),
        ("cel", "condition_failed", "formula"),
        ("hidden", "tool_hidden", "(hidden)"),
        ("other", "tool_not_allowed", "(default deny)"),
    ] {
        let answer = guard.call(tool, json!({"n": 9}));
        assert_eq!(answer.code_and_rule(), (code, rule), "{tool}");
        if !rule.starts_with('(') {
            assert!(answer.denied().contains(&format!("`{rule}`")), "{tool}: {}", answer.denied());
        }
    }
    let answer = guard.call("rate", json!({}));
    let denial = answer.denial();
    assert_eq!(
        (&denial["limit"], &denial["used"], &denial["remaining"]),
        (&json!("1"), &json!("1"), &json!("0"))
    );
    let wait = denial["retry_after_seconds"].as_u64().unwrap();
    assert!((3000..=3600).contains(&wait), "until eleven o'clock: {wait}");
    assert_eq!(denial["message"], "Slower, please");
}
