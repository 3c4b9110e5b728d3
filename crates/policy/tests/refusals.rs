//! What is refused when a policy is read, and where the error points.
#![allow(clippy::expect_used, clippy::panic, reason = "a helper that fails fails its test")]

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
fn what_counts() {
    refused(&with("budgets: [{name: a, max: \"$1\", per: day, shadow: yes}]"), 4, 52, "true or false");
    refused(&with("budgets: [{name: a, max: \"$1\", per: sessions}]"), 4, 39, "or session");
    refused(&with("budgets: [{name: a, max: \"$1\", per: day, each: category}]"), 4, 50, "no category");
    refused(&with("new_payees: {max: 3}"), 4, 15, "`per` is missing");
    refused(&with("new_payees: 3"), 4, 15, "expected a map");
    refused(&with("loops: {max: 0, per: day}"), 4, 16, "never allow");
    refused(&with("loops: {max: 1, per: day, each: host}"), 4, 29, "`each` is not known");
}

#[test]
fn approvals_and_factors() {
    refused(&with("approve_above: 1"), 4, 18, "in quotes");
    refused(&with("approval_valid: 30 minutes"), 4, 19, "no `approve_above`");
    for (valid, why) in [
        ("30", "not a text"),
        ("30 min", "not a length"),
        ("\"0 days\"", "no time"),
        ("367 days", "at most"),
        ("-1 day", "not a length"),
        ("99999999999999999999 days", "not a length"),
    ] {
        refused(&with(&format!("approve_above: \"$0.01\"\napproval_valid: {valid}")), 5, 19, why);
    }
    refused(&with("max_over_advertised: 1.5"), 4, 24, "in quotes: \"1.5\"");
    refused(&with("max_over_advertised: \"0.99\""), 4, 24, "below 1");
    refused(&with("max_over_advertised: \"1e3\""), 4, 24, "");
    Policy::parse(&with("max_over_advertised: \"1\"\napprove_above: \"$0.01\"")).unwrap();
}

#[test]
fn hours() {
    refused(&with("hours: []"), 4, 10, "empty");
    refused(&with("hours: [{days: []}]"), 4, 18, "empty");
    refused(&with("hours: [{days: [monday]}]"), 4, 19, "not a day");
    refused(&with("hours: [{days: [mon-thur]}]"), 4, 19, "not a day");
    refused(&with("hours: [{from: \"8:00\"}]"), 4, 18, "not a time of day");
    refused(&with("hours: [{from: \"24:00\"}]"), 4, 18, "begins at 00:00");
    refused(&with("hours: [{to: \"08:60\"}]"), 4, 16, "not a time of day");
    refused(&with("hours: [{zone: Europe/Atlantis}]"), 4, 18, "not a time zone");
    let many = vec!["{}"; 101].join(",");
    refused(&with(&format!("hours: [{many}]")), 4, 311, "more than 100");
    refused(&with("hours: [{from: \"08:00\", to: \"08:00\"}]"), 4, 10, "no payment would ever");
}

#[test]
fn resources_and_categories() {
    refused(&with("resources: {allow: [\"a.com/v1\"]}"), 4, 23, "not an address");
    refused(&with("resources: {allow: [\"get https://a.com\"]}"), 4, 23, "capitals");
    refused(&with("resources: {deny: [\"https://a.com/*/x\"]}"), 4, 22, "at the end");
    refused(&with("resources: {deny: [\"https://a.com/?x=1\"]}"), 4, 22, "query");
    refused(&with("resources: {deny: [\"https://a.com/a//b\"]}"), 4, 22, "more than one way");
    refused(&with("resources: {allow: [\"https://a.com\", \"https://A.com:443/\"]}"), 4, 40, "already");
    refused(&with("categories: {allow: [search]}"), 4, 24, "not defined");
    refused(&with("hosts: {allow: [a.com], deny: [a.com]}"), 4, 18, "no payment would ever");
    let top = |categories: &str| format!("version: 1\npayments: {{max: none}}\ncategories: {categories}");
    refused(&top("{}"), 3, 13, "empty");
    refused(&top("[a.com]"), 3, 13, "expected a map");
    refused(&top("{a b: [a.com]}"), 3, 14, "not a name");
    let many: String = (0..101).map(|n| format!("c{n:03}: [a.com], ")).collect();
    refused(&top(&format!("{{{many}}}")), 3, 1514, "more than 100");
    refused(&top("{a: a.com}"), 3, 17, "expected a list");
    refused(&top("{a: [\"https://a.com\"]}"), 3, 18, "without scheme");
}

#[test]
fn agents() {
    let with =
        |agents: &str| format!("version: 1\npayments: {{max: \"$1\", min: \"$0.01\"}}\nagents:\n  {agents}");
    refused(&with("a: {parents: b}"), 4, 7, "`parents` is not known");
    refused(&with("a: {parent: b}"), 4, 15, "no agent `b`");
    refused(&with("a: {parent: a}"), 4, 15, "in a circle");
    refused(&with("a: {parent: b}\n  b: {parent: c}\n  c: {parent: b}"), 4, 15, "in a circle");
    refused(&with("a b: {}"), 4, 3, "not a name");
    refused(&with("a: {expires: tomorrow}"), 4, 16, "not a time");
    refused(&with("a: {expires: 2026-12-31}"), 4, 16, "not a text");
    refused(&with("a: {tools: [\"*\"]}"), 4, 15, "exact name");
    refused(&with("a: {tools: [x, x]}"), 4, 18, "already");
    refused(&with("a: {payments: {max: 1}}"), 4, 23, "in quotes");
    refused(&with("a: {payments: {min: \"$2\"}}"), 4, 23, "above the maximum $1.00");
    refused(&with("a: {payments: {max: \"$0.001\"}}"), 4, 23, "below the minimum");
    let budget = "a: {payments: {budgets: [{name: x, max: \"$0.001\", per: day}]}}";
    refused(&with(budget), 4, 28, "below the minimum");
    refused("version: 1\nagents: {a: {payments: {max: none}}}", 2, 24, "no agent may pay");
    refused("version: 1\nagents: {}", 2, 9, "empty");
    let deep: String = (0..9).map(|n| format!("a{n}: {{parent: a{}}}\n  ", n + 1)).collect();
    refused(&with(&format!("{deep}a9: {{}}")), 4, 16, "more than 8 agents");
    Policy::parse("version: 1\nagents: {a: {}}").unwrap();
}

#[test]
fn kill() {
    refused("version: 1\nkill: yes", 2, 7, "not a text");
    refused("version: 1\nkill: \"\"", 2, 7, "why everything is stopped");
    refused("version: 1\nkill: [a]", 2, 7, "expected a text");
    refused("version: 1\nkill: false", 1, 1, "`payments` is missing");
    Policy::parse("version: 1\nkill: \"an incident\"").unwrap();
}

#[track_caller]
fn warned(text: &str, line: usize, column: usize, part: &str) {
    let policy = Policy::parse(text).expect(text);
    let [warning] = policy.warnings() else { panic!("{text}\n{:#?}", policy.warnings()) };
    assert!(warning.message.contains(part), "{text}\n{warning}");
    assert_eq!((warning.line, warning.column), (line, column), "{text}\n{warning}");
    assert_eq!(warning.in_file("p.yaml"), format!("p.yaml:{line}:{column}: {}", warning.message));
}

#[test]
fn what_is_said_in_vain() {
    let two = |a: &str, b: &str| with(&format!("budgets:\n- {{name: a, {a}}}\n- {{name: b, {b}}}"));
    warned(&two("max: \"$1\", per: week", "max: \"$2\", per: day"), 6, 5, "`b` can never be reached: `a`");
    warned(&two("max: \"$24\", per: 24 hours", "max: \"$1\", per: 60 minutes"), 5, 5, "`a` can never");
    warned(&two("max: \"$1\", per: day", "max: \"$1\", per: day, each: host"), 6, 5, "`b` can never");
    warned(&two("max: \"$1\", per: day", "max: \"$1\", per: day"), 6, 5, "`b` can never");
    for (a, b) in [
        ("max: \"$1\", per: day", "max: \"$1.50\", per: 24 hours"),
        ("max: \"$1\", per: day, each: host", "max: \"$2\", per: day, each: payee"),
        ("max: \"$1\", per: day, shadow: true", "max: \"$2\", per: day"),
        ("max: \"$1\", per: session", "max: \"$2\", per: day"),
    ] {
        assert!(Policy::parse(&two(a, b)).unwrap().warnings().is_empty(), "{a} {b}");
    }
    let rate = "budgets: [{name: a, max: \"$1\", per: day}]\nrates: [{name: b, max: 10, per: day}]";
    warned(&with(rate), 4, 13, "`a` can never be reached: `b`");
    warned(&with("hosts: {allow: [\"*.a.com\", x.a.com]}"), 4, 30, "adds nothing");
    warned(&with("hosts: {allow: [a.com], deny: [b.com]}"), 4, 34, "denied in vain");
    warned(&with("hosts: {allow: [a.com, b.com], deny: [b.com]}"), 4, 26, "allowed in vain");
    warned(&with("approve_above: \"$0.10\""), 4, 18, "no payment needs this approval");
    warned(&with("hours: [{days: [mon]}, {from: \"08:00\", to: \"08:00\"}]"), 4, 26, "empty");
    let top = "version: 1\npayments: {max: \"$1\"}\n";
    warned(&format!("{top}categories: {{a: [\"*.a.com\", x.a.com]}}"), 3, 29, "adds nothing");
    warned(&format!("{top}agents: {{a: {{payments: {{max: \"$2\"}}}}}}"), 3, 30, "never binds: $1.00");
    let parents = "agents:\n  t: {expires: 2026-01-01T00:00:00Z, tools: [x]}\n";
    warned(
        &format!("{top}{parents}  a: {{parent: t, expires: 2027-01-01T00:00:00Z}}"),
        5,
        27,
        "expires sooner",
    );
    warned(&format!("{top}{parents}  a: {{parent: t, tools: [x, y]}}"), 5, 29, "may not call `y`");
    let day = |most: u32| format!("payments: {{budgets: [{{name: d, max: \"${most}\", per: day}}]}}");
    let agents = format!("{top}agents:\n  t: {{{}}}\n  a: {{parent: t, {}}}", day(4), day(5));
    warned(&agents, 5, 39, "`agents.a.d` can never be reached: `agents.t.d`");
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
