//! Intercept's hole in its log, which named no rule, was neither chained nor signed, and held a password: what ours holds.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::desk::Desk;

const POLICY: &str = r#"
version: 1
hide: [hidden]
tools:
  free: {rules: []}
  counted: {rules: [{name: pace, rate_limit: 1/hour}]}
  fixed: {rules: [{name: never, action: deny, on_deny: "Ask Anna"}]}
  range: {rules: [{name: range, conditions: [{path: args.n, op: lt, value: 5}]}]}
  formula: {rules: [{name: formula, conditions: [{cel: "args.n < 5"}]}]}
  topic: {rules: [{name: topic, rate_limit: 1/hour, each: args.n}]}
  sum: {rules: [{name: sum, conditions: [{path: state.sum.n, op: lte, value: 1}], state: {counter: n, window: day, increment_from: args.n}}]}
  soon: {rules: [{name: soon, shadow: true, conditions: [{path: args.n, op: lt, value: 5}]}]}
  failing: {rules: [{name: r, rate_limit: 9/hour}]}
"#;

const TOOLS: [&str; 9] = ["free", "counted", "fixed", "range", "formula", "topic", "sum", "soon", "hidden"];

#[test]
fn every_decision_has_its_row_and_the_chain_verifies() {
    let desk = Desk::new(POLICY);
    let mut guard = desk.guard_with(&["--name", "desk", "--agent", "researcher", "--session", "s1"]);
    let passed: Vec<&str> =
        TOOLS.into_iter().filter(|tool| guard.call(tool, json!({"n": 7})).passed()).collect();
    assert_eq!(passed, ["free", "counted", "topic", "soon"]);
    assert!(!guard.call("counted", json!({"n": 7})).passed());
    assert_eq!(guard.call("failing", json!({"do": "error"})).error_code(), -32050);
    let end = desk.await_ends(1).remove(0);
    assert_eq!(guard.close(), 0);
    assert_eq!(end["body"]["outcome"], "error");
    let calls = desk.rows("call");
    for (tool, row) in passed.iter().chain(&["failing"]).zip(&calls) {
        let body = &row["body"];
        assert_eq!((&body["tool"], &body["server"]), (&json!(tool), &json!("desk")), "{row}");
        assert_eq!((&body["agent"], &body["session"]), (&json!("researcher"), &json!("s1")), "{row}");
        assert!(body["arguments"].as_str().unwrap().starts_with("sha256:"), "{row}");
        assert_eq!(body["policy_hash"].as_str().unwrap().len(), 64, "{row}");
    }
    assert_eq!(calls.len(), 5);
    assert_eq!(end["id"], calls[4]["id"]);
    assert_eq!(calls[3]["body"]["shadowed"][0]["rule"], "soon");
    let denied: Vec<_> = desk
        .rows("call_denied")
        .iter()
        .map(|row| {
            ["tool", "code", "rule", "agent", "server"]
                .map(|key| row["body"][key].as_str().unwrap().to_owned())
        })
        .collect();
    let expected = [
        ["fixed", "denied_by_rule", "never", "researcher", "desk"],
        ["range", "condition_failed", "range", "researcher", "desk"],
        ["formula", "condition_failed", "formula", "researcher", "desk"],
        ["sum", "rate_exceeded", "sum", "researcher", "desk"],
        ["hidden", "tool_hidden", "(hidden)", "researcher", "desk"],
        ["counted", "rate_exceeded", "pace", "researcher", "desk"],
    ];
    assert_eq!(denied, expected);
    desk.assert_whole();
}

#[test]
fn the_chain_binds_every_row() {
    let desk = Desk::new(POLICY);
    let mut guard = desk.guard();
    guard.call("counted", json!({}));
    guard.call("fixed", json!({}));
    guard.close();
    let rows = desk.journal();
    assert!(rows.len() >= 3);
    for pair in rows.windows(2) {
        assert_eq!(pair[0]["hash"], pair[1]["prev"], "{pair:?}");
        assert_eq!(pair[0]["seq"].as_i64().unwrap() + 1, pair[1]["seq"].as_i64().unwrap());
    }
    let file = desk.ledger();
    let file = file.to_str().unwrap();
    let head = rows.last().unwrap()["hash"].as_str().unwrap();
    let report = desk.ok(&["audit", "verify", "--file", file, "--expect-head", head, "--json"]);
    assert_eq!(serde_json::from_str::<Value>(&report).unwrap()["rows_since_expected_head"], 0);
    assert_eq!(desk.run(&["audit", "verify", "--file", file, "--expect-head", &"f".repeat(64)]).code, 9);
    // Whoever can write the file changes what a row says.
    for path in files(&desk) {
        let mut bytes = std::fs::read(&path).unwrap();
        while let Some(at) = find(&bytes, "Ask Anna") {
            bytes[at..at + 8].copy_from_slice(b"Ask Bert");
        }
        std::fs::write(&path, bytes).unwrap();
    }
    let report = desk.run(&["audit", "verify", "--file", file, "--json"]);
    assert_eq!(report.code, 9, "{}", report.stdout);
    assert_eq!(serde_json::from_str::<Value>(&report.stdout).unwrap()["whole"], false);
}

/// Expressions that have no value for a text, each of which fails in its own way.
const FORMULAS: [&str; 7] = [
    "args.n < 5",
    "args.n + 5 < 6",
    "args[args.n] == 5",
    "'a'.matches(args.n)",
    "int(args.n) < 5",
    "duration(args.n) < duration('5s')",
    "args.deep[args.n] == 1",
];

#[test]
fn no_arguments_text_is_kept() {
    let mut policy = POLICY.to_owned();
    for (number, cel) in FORMULAS.iter().enumerate() {
        policy.push_str(&format!(
            "  f{number}: {{rules: [{{name: formula, conditions: [{{cel: \"{cel}\"}}]}}]}}\n"
        ));
    }
    let desk = Desk::new(&policy);
    let mut guard = desk.guard();
    let secret = "hunter2-very-secret[";
    let arguments = json!({"n": secret, "password": secret, "deep": [{"token": secret}]});
    for tool in TOOLS {
        for _ in 0..2 {
            guard.call(tool, arguments.clone());
        }
    }
    for number in 0..FORMULAS.len() {
        let answer = guard.call(&format!("f{number}"), arguments.clone());
        assert_eq!(answer.code_and_rule(), ("condition_failed", "formula"));
        assert!(answer.denied().contains("has no value"), "{}", answer.denied());
    }
    guard.close();
    assert_eq!(desk.rows("call").len() + desk.rows("call_denied").len(), 2 * TOOLS.len() + FORMULAS.len());
    for path in files(&desk) {
        let bytes = std::fs::read(&path).unwrap();
        assert!(find(&bytes, &secret[..12]).is_none(), "{} holds an argument", path.display());
    }
}

fn files(desk: &Desk) -> Vec<PathBuf> {
    std::fs::read_dir(desk.home()).unwrap().map(|entry| entry.unwrap().path()).collect()
}

fn find(bytes: &[u8], text: &str) -> Option<usize> {
    bytes.windows(text.len()).position(|part| part == text.as_bytes())
}

#[test]
fn alike_calls_have_alike_digests_which_nobody_can_try_out() {
    let digests = |desk: &Desk| {
        let mut guard = desk.guard();
        for arguments in [r#"{"a":1,"b":2}"#, r#"{"b":2.0,"a":1}"#, r#"{"a":1,"b":3}"#] {
            assert!(guard.call_text("free", arguments).passed());
        }
        guard.close();
        let text = |row: &Value| row["body"]["arguments"].as_str().unwrap().to_owned();
        desk.rows("call").iter().map(text).collect::<Vec<_>>()
    };
    let (one, other) = (Desk::new(POLICY), Desk::new(POLICY));
    let (first, second) = (digests(&one), digests(&other));
    assert_eq!(first[0], first[1]);
    assert_ne!(first[0], first[2]);
    assert_ne!(first[0], second[0], "each record has its own salt");
    assert_eq!(digests(&one)[3], first[0], "which stays");
}

#[test]
fn arguments_are_kept_without_what_the_policy_names() {
    let desk = Desk::new(
        "version: 1\naudit: {arguments: redacted, redact: [args.password, \"args.cards[0].number\", args.absent]}\ntools:\n  t: {rules: []}\n  no: {rules: [{name: r, action: deny}]}\n",
    );
    let mut guard = desk.guard();
    let arguments = json!({"user": "anna", "password": "hunter2", "cards": [{"number": "4111", "cvc": 1}, {"number": "4222"}]});
    assert!(guard.call("t", arguments.clone()).passed());
    assert!(!guard.call("no", arguments.clone()).passed());
    guard.close();
    let kept = json!({"user": "anna", "password": "[redacted]",
        "cards": [{"number": "[redacted]", "cvc": 1}, {"number": "4222"}]});
    for row in desk.rows("call").into_iter().chain(desk.rows("call_denied")) {
        let text = row["body"]["arguments"].as_str().unwrap();
        assert_eq!(serde_json::from_str::<Value>(text).unwrap(), kept, "{row}");
    }
    let sent: Value = serde_json::from_str(&desk.forwarded()[0]).unwrap();
    assert_eq!(sent["params"]["arguments"], arguments, "the server gets them whole");
}
