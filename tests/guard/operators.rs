//! What each of Intercept's operators holds for.

use std::fmt::Write as _;

use crate::desk::Desk;

/// The operator, its value in the policy, the argument as JSON (none: it is missing), whether the condition holds.
type Row = (&'static str, &'static str, Option<&'static str>, bool);

#[rustfmt::skip]
const TABLE: &[Row] = &[
    // Equal: numbers by value, everything else by its text.
    ("eq", "25", Some("25"), true),
    ("eq", "25", Some("25.0"), true),
    ("eq", "25", Some("2.5e1"), true),
    ("eq", "25", Some("\"25\""), true),
    ("eq", "\"25\"", Some("25"), true),
    ("eq", "25", Some("\"25.0\""), false),
    ("eq", "25", Some("26"), false),
    ("eq", "0.1", Some("0.10"), true),
    ("eq", "9007199254740993", Some("9007199254740992"), false),
    ("eq", "usd", Some("\"usd\""), true),
    ("eq", "usd", Some("\"USD\""), false),
    ("eq", "\"\"", Some("\"\""), true),
    ("eq", "true", Some("true"), true),
    ("eq", "true", Some("\"true\""), true),
    ("eq", "true", Some("1"), false),
    ("eq", "usd", Some("null"), false),
    ("eq", "usd", None, false),
    ("eq", "[a, 1]", Some("[\"a\", 1]"), true),
    ("eq", "[a, 1]", Some("[1, \"a\"]"), false),
    // Not equal: whatever is there and differs.
    ("neq", "usd", Some("\"eur\""), true),
    ("neq", "usd", Some("\"usd\""), false),
    ("neq", "usd", Some("null"), true),
    ("neq", "25", Some("25.00"), false),
    ("neq", "25", Some("{}"), true),
    ("neq", "usd", None, false),
    // One of a list, or none of it.
    ("in", "[usd, gbp]", Some("\"gbp\""), true),
    ("in", "[usd, gbp]", Some("\"eur\""), false),
    ("in", "[usd, gbp]", Some("[\"usd\"]"), false),
    ("in", "[1, 2]", Some("2.0"), true),
    ("in", "[1, 2]", Some("\"2\""), true),
    ("in", "[1, 2]", Some("null"), false),
    ("in", "[1, 2]", None, false),
    ("not_in", "[usd, gbp]", Some("\"eur\""), true),
    ("not_in", "[usd, gbp]", Some("\"usd\""), false),
    ("not_in", "[usd, gbp]", Some("null"), true),
    ("not_in", "[usd, gbp]", None, false),
    // Orders hold between numbers only.
    ("lt", "10", Some("9.999999999999999999"), true),
    ("lt", "10", Some("10"), false),
    ("lt", "10", Some("-1"), true),
    ("lt", "10", Some("\"9\""), false),
    ("lt", "10", None, false),
    ("lte", "10", Some("10"), true),
    ("lte", "10", Some("10.000000000000000001"), false),
    ("lte", "10", Some("\"5\""), false),
    ("lte", "10", Some("null"), false),
    ("lte", "10", Some("true"), false),
    ("lte", "10", Some("[5]"), false),
    ("lte", "10", None, false),
    ("lte", "9007199254740992", Some("9007199254740993"), false),
    ("gt", "10", Some("10.5"), true),
    ("gt", "10", Some("10"), false),
    ("gt", "-10", Some("-9"), true),
    ("gt", "10", None, false),
    ("gte", "10", Some("10"), true),
    ("gte", "10", Some("1e1"), true),
    ("gte", "10", Some("9.99"), false),
    ("gte", "10", Some("\"11\""), false),
    ("gte", "10", None, false),
    // Regular expressions are not anchored, and look at texts only.
    ("regex", "\"b+\"", Some("\"abbbc\""), true),
    ("regex", "\"^b+$\"", Some("\"abbbc\""), false),
    ("regex", "\"(?i)^ACCT_\"", Some("\"acct_1\""), true),
    ("regex", "\"^[0-9]+$\"", Some("\"12\""), true),
    ("regex", "\"^[0-9]+$\"", Some("12"), false),
    ("regex", "\"^$\"", Some("\"\""), true),
    ("regex", "\".*\"", Some("null"), false),
    ("regex", "\".*\"", None, false),
    // A part of a text, or an element of a list.
    ("contains", "prod", Some("\"eu-prod-1\""), true),
    ("contains", "prod", Some("\"eu-PROD-1\""), false),
    ("contains", "admin", Some("[\"user\", \"admin\"]"), true),
    ("contains", "admin", Some("[\"user\", \"administrator\"]"), false),
    ("contains", "5", Some("[1, 5]"), true),
    ("contains", "5", Some("15"), false),
    ("contains", "prod", Some("{\"prod\": 1}"), false),
    ("contains", "prod", None, false),
    // Whether something stands there.
    ("exists", "true", Some("0"), true),
    ("exists", "true", Some("\"\""), true),
    ("exists", "true", Some("false"), true),
    ("exists", "true", None, false),
    ("exists", "false", None, true),
    ("exists", "false", Some("1"), false),
    ("exists", "false", Some("\"\""), false),
];

#[test]
fn each_holds_for_what_intercept_says() {
    let mut policy = "version: \"1\"\ntools:\n".to_owned();
    for (number, (op, value, _, _)) in TABLE.iter().enumerate() {
        let condition = format!("{{path: args.a.x, op: {op}, value: {value}}}");
        writeln!(policy, "  t{number}: {{rules: [{{name: r, conditions: [{condition}], on_deny: no}}]}}")
            .unwrap();
    }
    let desk = Desk::new(&policy);
    let mut guard = desk.intercept();
    let mut wrong = Vec::new();
    for (number, (op, value, argument, holds)) in TABLE.iter().enumerate() {
        let inner = argument.map(|json| format!("\"x\":{json}")).unwrap_or_default();
        let answer = guard.call_text(&format!("t{number}"), &format!("{{\"a\":{{{inner}}}}}"));
        if !answer.passed() {
            assert_eq!(answer.denied(), "[INTERCEPT POLICY DENIED] no");
        }
        if answer.passed() != *holds {
            wrong.push(format!("{op} {value} with {argument:?}: expected {holds}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn what_is_missing_fails_all_but_exists_false() {
    let conditions = [
        ("eq", "1"),
        ("neq", "1"),
        ("in", "[1]"),
        ("not_in", "[1]"),
        ("lt", "1"),
        ("lte", "1"),
        ("gt", "1"),
        ("gte", "1"),
        ("regex", "\"\""),
        ("contains", "a"),
        ("exists", "true"),
    ];
    let mut policy = "version: \"1\"\ntools:\n".to_owned();
    for (op, value) in conditions.into_iter().chain([("absent", "")]) {
        let condition = match op {
            "absent" => "{path: args.a.x, op: exists, value: false}".to_owned(),
            _ => format!("{{path: args.a.x, op: {op}, value: {value}}}"),
        };
        writeln!(policy, "  {op}: {{rules: [{{name: r, conditions: [{condition}]}}]}}").unwrap();
    }
    let desk = Desk::new(&policy);
    let mut guard = desk.intercept();
    // Nothing on the way there, something else on the way, nothing at its end.
    for missing in ["{}", "{\"a\":null}", "{\"a\":5}", "{\"a\":[]}", "{\"a\":{}}", "{\"a.x\":1}"] {
        for (op, _) in conditions {
            assert_eq!(
                guard.call_text(op, missing).denied(),
                "[INTERCEPT POLICY DENIED] Denied by rule \"r\"",
                "{op} {missing}"
            );
        }
        assert!(guard.call_text("absent", missing).passed(), "{missing}");
    }
    // A server written in Go finds it all the same.
    for found in ["{\"A\":{\"x\":1}}", "{\"a\":{\"X\":1}}", "{\"a\":{},\"A\":1}"] {
        let denied = guard.call_text("absent", found);
        assert_eq!(denied.denied(), "[INTERCEPT POLICY DENIED] Denied by rule \"r\"", "{found}");
    }
}
