//! What is refused when a policy is read, and where the error points.
#![allow(clippy::expect_used, reason = "a helper that fails fails its test")]

use farthing_policy::Policy;
use proptest::prelude::*;

/// A policy whose `payments` has these lines beside a maximum. They begin in line 4, column 3.
fn with(lines: &str) -> String {
    let lines: String = lines.lines().map(|line| format!("  {line}\n")).collect();
    format!("version: 1\npayments:\n  max: \"$0.10\"\n{lines}")
}

#[track_caller]
fn refused(text: &str, line: usize, column: usize, part: &str) {
    let error = Policy::parse(text).expect_err(text);
    assert!(error.message.contains(part), "{text}\n{error}");
    assert_eq!((error.line, error.column), (line, column), "{text}\n{error}");
}

#[test]
fn the_starter_is_a_policy() {
    let policy = Policy::parse(Policy::starter()).unwrap();
    assert_eq!(
        policy.explain(),
        [
            "Each payment: at most $0.10.",
            "Budget `hour`: at most $1.00 in any 60 minutes.",
            "Budget `day`: at most $5.00 in any 24 hours.",
            "Budget `month`: at most $25.00 in any 30 days.",
            "Rate `pace`: at most 60 payments in any 60 seconds.",
        ]
    );
    assert_eq!(policy.limits().len(), 4);
}

#[test]
fn documents() {
    refused("", 1, 1, "empty");
    refused("# nothing\n", 2, 1, "empty");
    refused("payments: {max: none}", 1, 1, "`version` is missing");
    refused("version: 2\npayments: {max: none}", 1, 10, "version 1");
    refused("version: 1\n", 1, 1, "`payments` is missing");
    refused("version: 1\npayments:\n", 2, 9, "expected a map");
    refused("version: 1\npayments: {}", 2, 11, "`max` is missing");
    refused("version: 1\npayments: {max: none}\ntool: {}", 3, 1, "`tool` is not known");
    refused("version: 1\npayments: {max: none}\nversion: 1", 3, 1, "twice");
    refused(&format!("#{}", "x".repeat(Policy::MAX_BYTES)), 1, 1, "more than 262144 bytes");
    Policy::parse("version: \"1\"\npayments: {max: none}").unwrap();
}

#[test]
fn money() {
    refused("version: 1\npayments:\n  max: 0.05", 3, 8, "write the amount in quotes: \"$0.05\"");
    for text in ["5", "1e3", ".5", "-1", "0x10"] {
        refused(&format!("version: 1\npayments: {{max: {text}}}"), 2, 17, "in quotes");
    }
    for (text, why) in [
        ("\"-1\"", "only digits"),
        ("\"2500 base units\"", "amount in dollars"),
        ("\"1 EUR\"", "only digits"),
        ("~", "missing"),
        ("true", "not a text"),
        ("\"none\"", "only digits"),
        ("\"$0\"", "never allow"),
        ("[\"$1\"]", "expected a text"),
        ("\"$999999999999999999999999\"", "too large"),
    ] {
        refused(&format!("version: 1\npayments: {{max: {text}}}"), 2, 17, why);
    }
    refused(&with("min: \"$0.11\""), 4, 8, "above the maximum");
    Policy::parse(&with("min: \"$0.10\"")).unwrap();
    Policy::parse("version: 1\npayments: {max: $0.10}").unwrap();
}

#[test]
fn budgets_and_rates() {
    refused(&with("budgets: []"), 4, 12, "empty");
    refused(&with("budgets:"), 4, 10, "missing");
    refused(&with("budgets: {name: a}"), 4, 12, "expected a list");
    refused(&with("budgets: [{max: \"$1\", per: day}]"), 4, 13, "`name` is missing");
    refused(&with("budgets: [{name: a, per: day}]"), 4, 13, "`max` is missing");
    refused(&with("budgets: [{name: a, max: \"$1\"}]"), 4, 13, "`per` is missing");
    refused(&with("budgets: [{name: a, max: \"$1\", per: daily}]"), 4, 39, "not a window");
    refused(
        &with("budgets: [{name: a, max: \"$1\", per: day, each: hosts}]"),
        4,
        50,
        "all, agent, host, payee",
    );
    refused(&with("budgets: [{name: a, max: \"$1\", per: day, foo: 1}]"), 4, 44, "`foo` is not known");
    refused(&with("budgets: [{name: a, max: 1.5, per: day}]"), 4, 28, "in quotes");
    refused(&with("budgets: [{name: a, max: \"$0\", per: day}]"), 4, 28, "never allow");
    refused(
        &with("min: \"$0.01\"\nbudgets: [{name: a, max: \"$0.009\", per: day}]"),
        5,
        28,
        "below the minimum",
    );
    for name in ["--max-amount", "payments.max", "a b", "\"\"", "12", "yes"] {
        refused(&with(&format!("budgets: [{{name: {name}, max: \"$1\", per: day}}]")), 4, 20, "not a");
    }
    let twice = "budgets: [{name: a, max: \"$1\", per: day}]\nrates:\n- {name: a, max: 1, per: day}";
    refused(&with(twice), 6, 12, "`a` stands above");
    for count in ["0", "-1", "1.5", "\"3\"", "1_000", "~", "99999999999999999999"] {
        let error =
            Policy::parse(&with(&format!("rates: [{{name: a, max: {count}, per: day}}]"))).unwrap_err();
        assert_eq!((error.line, error.column), (4, 26), "{count}: {error}");
    }
    let many: String = (0..101).map(|n| format!("\n- {{name: a{n}, max: \"$1\", per: day}}")).collect();
    refused(&with(&format!("budgets:{many}")), 105, 5, "more than 100");
}

#[test]
fn lists() {
    refused(&with("hosts:"), 4, 8, "expected a map");
    refused(&with("hosts: {}"), 4, 10, "needs an allow list or a deny list");
    refused(&with("hosts: {allow: []}"), 4, 18, "empty");
    refused(&with("hosts:\n  allow:\n  # - all.example.com"), 5, 10, "missing");
    refused(&with("hosts: {allow: a.com}"), 4, 18, "expected a list");
    refused(&with("hosts: {allowed: [a.com]}"), 4, 11, "`allowed` is not known");
    refused(&with("hosts: {allow: [a.com, \"*\"]}"), 4, 26, "star");
    refused(&with("hosts: {deny: [a.com, \"https://b.com/x\"]}"), 4, 25, "without scheme");
    refused(&with("hosts: {allow: [a.com, b.com, A.com.]}"), 4, 33, "already");
    refused(&with("hosts: {allow: [a.com, 5]}"), 4, 26, "not a text");
    refused(&with("payees: {allow: [\"0x12\"]}"), 4, 20, "not an address");
    let mistyped = with("payees: {allow: [\"0x209693Bc6afc0C5328bA36FaF03C514EF312287c\"]}");
    refused(&mistyped, 4, 20, "typo");
    refused(&with("networks: {allow: [bse]}"), 4, 22, "not a network");
    refused(&with("networks: {allow: [base, \"eip155:8453\"]}"), 4, 28, "already");
    refused(&with("assets: {deny: [USDC, bse/0x12]}"), 4, 25, "not a network");
}

#[test]
fn errors_print_as_a_link() {
    let error = Policy::parse("version: 1\npayments: {max: 0.05}").unwrap_err();
    assert_eq!(error.to_string(), "line 2, column 17: write the amount in quotes: \"$0.05\"");
    assert!(error.in_file("policy.yaml").starts_with("policy.yaml:2:17: write"));
}

#[test]
fn the_hash_is_of_the_text() {
    let policy = Policy::parse("version: 1\npayments: {max: none}\n").unwrap();
    assert_eq!(policy.hash(), "daa9c4d496a1905ea6b7ab31240b4a48ba239afe92f179b4a8345ae9367fc915");
}

proptest! {
    #[test]
    fn reading_never_panics(text in "\\PC{0,200}") {
        let _ = Policy::parse(&text);
    }

    #[test]
    fn reading_yaml_like_text_never_panics(
        parts in proptest::collection::vec(
            proptest::sample::select(vec![
                "version: 1\n", "payments:", "\n  ", "max: ", "\"$0.10\"", "none", "budgets:", "\n    - ", "{", "}",
                "[", "]", "name: a", ", ", "per: day", "hosts: ", "allow: ", "\"*.a.com\"", "&a ", "*a", "!!str ",
                "? ", ": ", "- ", "|\n", ">\n", "<<: ", "---\n", "...\n", "%YAML 1.2\n", "\t", "'", "\"", "#", "~",
            ]),
            0..60,
        )
    ) {
        let _ = Policy::parse(&parts.concat());
    }

    #[test]
    fn a_broken_starter_never_panics(cut in 0usize..1500, junk in "\\PC{0,3}") {
        let mut text: Vec<char> = Policy::starter().chars().collect();
        let at = cut.min(text.len());
        text.splice(at..(at + 2).min(text.len()), junk.chars());
        let _ = Policy::parse(&text.into_iter().collect::<String>());
    }
}
