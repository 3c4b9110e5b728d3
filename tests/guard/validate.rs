//! `validate`: exit 0 or 1, in Intercept's words; and what only ours refuses, with line and column.

use crate::desk::{Desk, Done};
use crate::order::CARDS;

fn validate(policy: &str, compat: bool) -> Done {
    let desk = Desk::new(policy);
    let file = desk.policy_file();
    let file = file.to_str().unwrap();
    match compat {
        true => desk.run(&["guard", "--compat", "intercept", "validate", "-c", file]),
        false => desk.run(&["guard", "validate", "-c", file]),
    }
}

#[test]
fn a_good_policy() {
    let done = validate(CARDS, true);
    assert_eq!((done.code, done.stdout.as_str()), (0, "Policy file is valid.\n"));
    assert_eq!(done.stderr, "");
    let done = validate(CARDS, false);
    assert_eq!((done.code, done.stdout.as_str()), (0, "valid\n"));
}

const BAD: &str = r#"
version: "2"
default: maybe
hide: [a, "", a]
tools:
  b:
    rules:
      - {name: l, rate_limit: x/hour}
      - {name: r, action: block}
      - {action: deny, conditions: [{path: args.x, op: eq, value: 1}]}
      - {name: e}
      - name: c
        conditions:
          - {path: foo, op: like, value: 1}
          - {path: args.x, op: in, value: 5}
          - {path: args.x, op: lt, value: "5"}
          - {path: args.x, op: exists, value: "yes"}
          - {path: args.x, op: regex, value: 5}
          - {path: state.b.m, op: lte, value: 1}
        state: {counter: n, window: year, increment_from: x}
      - {name: f, rate_limit: 5/fortnight}
      - {name: d, rate_limit: 5/hour, action: deny}
"#;

/// What Intercept says of it.
const ERRORS: [&str; 20] = [
    r#"version must be "1", got "2""#,
    r#"default must be "allow" or "deny", got "maybe""#,
    "hide[1]: entry must not be empty",
    r#"hide: duplicate entry "a""#,
    r#"tools.b.rules[0]: rate_limit count must be a positive integer, got "x""#,
    r#"tools.b.rules[1]: action must be "evaluate" or "deny", got "block""#,
    "tools.b.rules[2]: rule must have a name",
    "tools.b.rules[2]: deny rules must not have conditions",
    "tools.b.rules[3]: evaluate rules must have at least one condition",
    r#"tools.b.rules[4].conditions[0]: path must start with "args." or "state.", got "foo""#,
    r#"tools.b.rules[4].conditions[0]: unknown operator "like""#,
    r#"tools.b.rules[4].conditions[1]: operator "in" requires a list value"#,
    r#"tools.b.rules[4].conditions[2]: operator "lt" requires a numeric value"#,
    r#"tools.b.rules[4].conditions[3]: operator "exists" requires a boolean value"#,
    "tools.b.rules[4].conditions[4]: regex value must be a string",
    r#"tools.b.rules[4].state: window must be "minute", "hour", or "day", got "year""#,
    r#"tools.b.rules[4].state: increment_from must start with "args.", got "x""#,
    "tools.b.rules[4]: condition references state.b.m but no matching state block found",
    r#"tools.b.rules[5]: rate_limit window must be "minute", "hour", or "day", got "fortnight""#,
    r#"tools.b.rules[6]: rate_limit cannot be used with action "deny""#,
];

#[test]
fn a_bad_policy_in_intercepts_words() {
    let done = validate(BAD, true);
    let found: Vec<&str> = done.stdout.lines().collect();
    assert_eq!(found, ERRORS.map(|error| format!("Error: {error}")));
    assert_eq!(done.code, 1);
    assert_eq!(done.stderr, "Error: policy validation failed with 20 error(s)\n");
}

#[test]
fn a_guard_does_not_begin_with_a_bad_policy() {
    let desk = Desk::new("version: 1\ntools:\n  t: {rule: []}\n");
    let file = desk.policy_file();
    let done = desk.run(&["guard", "-c", file.to_str().unwrap(), "--", "true"]);
    assert_eq!(done.code, 2, "{}", done.stderr);
    assert!(done.stderr.contains("policy.yaml:3:7"), "{}", done.stderr);
    assert!(done.stdout.is_empty(), "{}", done.stdout);
}

/// What misspelt keys and rules that can never fire say, and where: `¦` stands before the place.
#[test]
fn hole_misspelt_keys_and_dead_rules_pass_validation() {
    for (policy, word) in [
        ("version: 1\n¦tols: {}\n", "tols"),
        ("version: 1\ntools:\n  t: {¦rule: []}\n", "rule"),
        ("version: 1\ntools:\n  t:\n    rules:\n      - {name: a, ¦conditons: []}\n", "conditons"),
        ("version: 1\ntools:\n  t:\n    rules:\n      - {name: a, ¦rate_limits: 5/hour}\n", "rate_limits"),
        (
            "version: 1\ntools:\n  t: {rules: [{name: a, conditions: [{path: args.x, ¦operator: eq, value: 1}]}]}\n",
            "operator",
        ),
        (
            "version: 1\ntools:\n  t:\n    rules:\n      - name: a\n        conditions: [{path: state.t.n, op: lte, value: 1}]\n        state: {counter: n, window: day, ¦incremnt: 2}\n",
            "incremnt",
        ),
        ("version: 1\nhide: [t]\ntools:\n  ¦t: {rules: []}\n", "hidden"),
        (
            "version: 1\ntools:\n  t:\n    rules:\n      - {name: a, action: deny}\n      - ¦{name: b, rate_limit: 1/hour}\n",
            "no call ever",
        ),
        (
            "version: 1\ntools:\n  t: {rules: [{name: a, conditions: [{path: args.x, op: lt, value: 5}, ¦{path: args.x, op: gt, value: 6}]}]}\n",
            "exclude",
        ),
        (
            "version: 1\ntools:\n  t: {rules: [{name: a, conditions: [{path: ¦state.t.n, op: lte, value: 5}]}]}\n",
            "no rule counts",
        ),
        ("version: 1\ntools:\n  t: {rules: []}\n  ¦t: {rules: []}\n", "t"),
    ] {
        let before = policy.split('¦').next().unwrap();
        let (line, column) =
            (before.lines().count() + usize::from(before.ends_with('\n')), before.lines().last());
        let column = if before.ends_with('\n') { 1 } else { column.unwrap().chars().count() + 1 };
        let done = validate(&policy.replace('¦', ""), false);
        assert_eq!(done.code, 1, "{policy}");
        assert!(done.stdout.contains(&format!("policy.yaml:{line}:{column}: ")), "{policy}\n{}", done.stdout);
        assert!(done.stdout.contains(word), "{policy}\n{}", done.stdout);
        let done = validate(&policy.replace('¦', ""), true);
        assert_eq!(done.code, 1, "{policy}");
    }
}
