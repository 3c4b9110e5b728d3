//! Intercept's holes in scopes: a cap over several tools was impossible, and two servers shared counters by accident.

use serde_json::json;

use crate::desk::{Desk, server};

const TOGETHER: &str = r#"
version: 1
tools:
  card:
    rules:
      - name: spend
        conditions: [{path: state.SCOPE.cents, op: lte, value: 100}]
        state: {counter: cents, window: day, scope: NAME, increment_from: args.cents}
  wire:
    rules:
      - name: spend
        conditions: [{path: state._shared.cents, op: lte, value: 100}]
        state: {counter: cents, window: day, scope: shared, increment_from: args.amount}
"#;

fn shared() -> String {
    TOGETHER.replace("SCOPE", "_shared").replace("NAME", "shared")
}

#[test]
fn hole_a_cap_over_several_tools_is_impossible() {
    let desk = Desk::new(&shared());
    let mut guard = desk.guard();
    assert!(guard.call("card", json!({"cents": 60})).passed());
    assert_eq!(guard.call("wire", json!({"amount": 50})).code_and_rule(), ("rate_exceeded", "spend"));
    assert!(guard.call("wire", json!({"amount": 40})).passed());
    assert!(!guard.call("card", json!({"cents": 1})).passed());
}

#[test]
fn a_shared_cap_spans_servers_and_processes() {
    let desk = Desk::new(&shared());
    let mut one = desk.guard_with(&["--name", "one"]);
    let mut two = desk.guard_with(&["--name", "two"]);
    let mut passed = 0;
    for _ in 0..10 {
        passed += usize::from(one.call("card", json!({"cents": 9})).passed());
        passed += usize::from(two.call("wire", json!({"amount": 9})).passed());
    }
    assert_eq!(passed, 11, "99 of 100");
    assert!(two.call("card", json!({"cents": 1})).passed());
    assert!(!one.call("wire", json!({"amount": 1})).passed());
    let rows = desk.rows("call");
    assert!(rows.iter().any(|row| row["body"]["server"] == "one"));
    assert!(rows.iter().any(|row| row["body"]["server"] == "two"));
    desk.assert_whole();
}

#[test]
fn a_global_counter_spans_the_tools_of_one_server() {
    let policy = r#"
version: 1
tools:
  a: {rules: [{name: r, conditions: [{path: state._global.n, op: lte, value: 3}], state: {counter: n, window: day, scope: global}}]}
  b: {rules: [{name: reads, conditions: [{path: state._global.n, op: lt, value: 3}]}]}
  "*": {rules: [{name: all, rate_limit: 5/hour}]}
"#;
    let desk = Desk::new(policy);
    let mut one = desk.guard_with(&["--name", "one"]);
    let mut two = desk.guard_with(&["--name", "two"]);
    for guard in [&mut one, &mut two] {
        assert!(guard.call("b", json!({})).passed());
        for _ in 0..3 {
            assert!(guard.call("a", json!({})).passed());
        }
        assert_eq!(guard.call("a", json!({})).code_and_rule().1, "r");
        assert_eq!(guard.call("b", json!({})).code_and_rule().1, "reads");
        assert!(guard.call("c", json!({})).passed());
        assert_eq!(guard.call("c", json!({})).code_and_rule().1, "all");
    }
}

#[test]
fn hole_two_servers_under_one_home_share_counters() {
    let desk = Desk::new("version: 1\ntools: {t: {rules: [{name: r, rate_limit: 1/day}]}}\n");
    // Names that nobody gave follow from the command.
    for program in ["mail-server", "files-server"] {
        let link = desk.path(program);
        std::os::unix::fs::symlink(server(), &link).unwrap();
        let mut guard = desk.guard_around(&link, &[]);
        assert!(guard.call("t", json!({})).passed(), "{program}");
        assert!(!guard.call("t", json!({})).passed(), "{program}");
    }
    for (name, passes) in [("third", true), ("third", false), ("fourth", true)] {
        let mut guard = desk.guard_with(&["--name", name]);
        assert_eq!(guard.call("t", json!({})).passed(), passes, "the same name is the same server: {name}");
    }
}

#[test]
fn names_with_slashes_share_no_counters_by_accident() {
    let desk = Desk::new(
        r#"
version: 1
tools:
  b/c: {rules: [{name: r, rate_limit: 1/day}]}
  c: {rules: [{name: r, rate_limit: 1/day}]}
  d: {rules: [{name: r, conditions: [{path: state._shared.c/_rate_day, op: lte, value: 1}], state: {counter: c/_rate_day, window: day, scope: shared}}]}
"#,
    );
    for (server, tool) in [
        ("a", "b/c"),
        ("a/b", "c"),
        ("@scope/a", "c"),
        ("@scope", "c"),
        ("a%2Fb", "c"),
        ("a", "d"),
        ("_shared", "c"),
    ] {
        let mut guard = desk.guard_with(&["--name", server]);
        assert!(guard.call(tool, json!({})).passed(), "{server} {tool}");
        assert!(!guard.call(tool, json!({})).passed(), "{server} {tool}");
    }
}

#[test]
fn counters_apart_for_each_value() {
    let desk = Desk::new(
        r#"
version: 1
tools:
  ask: {rules: [{name: topic, rate_limit: 1/hour, each: args.topic}]}
  again: {rules: [{name: loop, rate_limit: 2/60 seconds, each: call}]}
"#,
    );
    let mut guard = desk.guard();
    assert!(guard.call("ask", json!({"topic": "a"})).passed());
    assert!(guard.call("ask", json!({"topic": "b"})).passed());
    assert_eq!(guard.call("ask", json!({"topic": "a"})).code_and_rule().1, "topic");
    assert_eq!(guard.call("ask", json!({})).code_and_rule(), ("bad_arguments", "topic"));
    assert!(guard.call_text("again", r#"{"a":1,"b":2}"#).passed());
    assert!(guard.call_text("again", r#"{"b":2.0,"a":1}"#).passed());
    assert_eq!(guard.call_text("again", r#"{"b":2,"a":1}"#).code_and_rule().1, "loop");
    assert!(guard.call_text("again", r#"{"b":2,"a":2}"#).passed());
}
