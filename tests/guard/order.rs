//! Intercept's order of decisions, its forms of rules, and its words.

use serde_json::json;

use crate::desk::Desk;

/// The example of Intercept's documentation that uses everything.
pub(crate) const CARDS: &str = include_str!("../../crates/policy/tests/desk.yaml");

fn said(text: &str) -> String {
    format!("[INTERCEPT POLICY DENIED] {text}")
}

#[test]
fn the_card_desk() {
    let desk = Desk::new(CARDS);
    let mut guard = desk.intercept();
    let good = json!({"cents": 4000, "currency": "usd", "payee": {"id": "acct_12345678"}});
    for (key, wrong) in [
        ("cents", json!(24)),
        ("cents", json!(4001)),
        ("cents", json!("25")),
        ("currency", json!("eur")),
        ("payee", json!({"id": "x acct_12345678"})),
        ("payee", json!("acct_12345678")),
        ("override", json!(true)),
    ] {
        let mut call = good.clone();
        call[key] = wrong;
        let answer = guard.call("send_payment", call.clone());
        assert_eq!(answer.denied(), said("Outside the desk's ticket rules"), "{call}");
    }
    for _ in 0..7 {
        assert!(guard.call("send_payment", good.clone()).passed());
    }
    assert_eq!(guard.call("send_payment", good.clone()).denied(), said("Desk budget for today is used"));
    assert_eq!(guard.call("void_account", json!({})).denied(), said("Voiding needs a person"));
    let hidden = r#"Tool "purge_ledger" is hidden by policy"#;
    assert_eq!(guard.call("purge_ledger", json!({})).denied(), said(hidden));
    for _ in 7..45 {
        assert!(guard.call("look_up", json!({})).passed(), "denied calls took nothing of the pace");
    }
    let pace = "Rate limit of 45 per minute reached. Try again later.";
    assert_eq!(guard.call("look_up", json!({})).denied(), said(pace));
    assert_eq!(desk.called().len(), 45);
}

#[test]
fn hidden_comes_before_default_deny_and_that_before_the_rules_of_every_tool() {
    let desk = Desk::new(
        r#"
version: 1
default: deny
hide: [purge_ledger]
tools:
  look_up: {rules: []}
  send_payment: {rules: [{name: own, conditions: [{path: args.a, op: exists, value: true}], on_deny: own}]}
  "*": {rules: [{name: every, conditions: [{path: args.b, op: exists, value: true}], on_deny: every}]}
"#,
    );
    let mut guard = desk.intercept();
    let mut denied = |tool: &str, arguments| guard.call(tool, arguments).denied().to_owned();
    assert_eq!(denied("purge_ledger", json!({})), said(r#"Tool "purge_ledger" is hidden by policy"#));
    assert_eq!(denied("unlisted", json!({})), said(r#"Tool "unlisted" is not permitted by policy"#));
    assert_eq!(denied("*", json!({"b": 1})), said(r#"Tool "*" is not permitted by policy"#));
    assert_eq!(denied("send_payment", json!({})), said("own"));
    assert_eq!(denied("send_payment", json!({"a": 1})), said("every"));
    assert_eq!(denied("look_up", json!({})), said("every"));
    assert_eq!(desk.called(), [""; 0]);
    assert!(guard.call("send_payment", json!({"a": 1, "b": 1})).passed());
    assert!(guard.call("look_up", json!({"b": 1})).passed());
}

#[test]
fn rules_are_asked_in_the_order_of_the_file_and_the_first_failure_wins() {
    let desk = Desk::new(
        r#"
version: 1
tools:
  t:
    rules:
      - {name: z, conditions: [{path: args.z, op: exists, value: true}], on_deny: z}
      - {name: a, conditions: [{path: args.a, op: exists, value: true}, {path: args.a, op: lt, value: 5}], on_deny: a}
      - {name: m, conditions: [{path: args.m, op: exists, value: true}], on_deny: m}
"#,
    );
    let mut guard = desk.intercept();
    for (arguments, rule) in [
        (json!({}), "z"),
        (json!({"a": 1}), "z"),
        (json!({"z": 1}), "a"),
        (json!({"z": 1, "a": 5, "m": 1}), "a"),
        (json!({"z": 1, "a": 4}), "m"),
    ] {
        assert_eq!(guard.call("t", arguments.clone()).denied(), said(rule), "{arguments}");
    }
    assert!(guard.call("t", json!({"z": 1, "a": 4, "m": 1})).passed());
}

#[test]
fn nothing_is_reserved_before_all_rules_hold() {
    let desk = Desk::new(
        r#"
version: 1
tools:
  t:
    rules:
      - {name: own, rate_limit: 2/hour, on_deny: own}
      - {name: later, conditions: [{path: args.ok, op: eq, value: true}], on_deny: later}
  "*":
    rules:
      - {name: pace, rate_limit: 3/hour, on_deny: pace}
      - {name: last, conditions: [{path: args.no, op: exists, value: false}], on_deny: last}
"#,
    );
    let mut guard = desk.intercept();
    for _ in 0..4 {
        assert_eq!(guard.call("t", json!({})).denied(), said("later"));
        assert_eq!(guard.call("t", json!({"ok": true, "no": 1})).denied(), said("last"));
    }
    assert!(guard.call("t", json!({"ok": true})).passed());
    assert!(guard.call("t", json!({"ok": true})).passed());
    assert_eq!(guard.call("t", json!({"ok": true})).denied(), said("own"));
    assert!(guard.call("u", json!({})).passed(), "what `own` refused took nothing of `pace`");
    assert_eq!(guard.call("u", json!({})).denied(), said("pace"));
}

#[test]
fn words_of_the_author_and_words_without_an_author() {
    let desk = Desk::new(
        r#"
version: 1
tools:
  deny: {rules: [{name: no, action: deny}]}
  deny_said: {rules: [{name: no, action: deny, on_deny: "Ask \"Anna\" — \u00fc"}]}
  condition: {rules: [{name: only-x, action: evaluate, conditions: [{path: args.x, op: eq, value: 1}]}]}
  state:
    rules:
      - {name: once, conditions: [{path: state.state.n, op: lte, value: 1}], state: {counter: n, window: day}}
  rate: {rules: [{name: rate, rate_limit: 1/hour}]}
  rate_said: {rules: [{name: rate, rate_limit: 1/day, on_deny: "Once a day"}]}
"#,
    );
    let mut guard = desk.intercept();
    for tool in ["state", "rate", "rate_said"] {
        assert!(guard.call(tool, json!({})).passed());
    }
    for (tool, words) in [
        ("deny", r#"Denied by rule "no""#),
        ("deny_said", "Ask \"Anna\" — ü"),
        ("condition", r#"Denied by rule "only-x""#),
        ("state", "Rate limit exceeded for once"),
        ("rate", "Rate limit of 1 per hour reached. Try again later."),
        ("rate_said", "Once a day"),
    ] {
        assert_eq!(guard.call(tool, json!({})).denied(), said(words), "{tool}");
    }
}

#[test]
fn hidden_tools_are_not_listed() {
    for (hide, listed) in [
        ("[purge_ledger]", vec!["look_up", "send_payment"]),
        ("[send_payment, purge_ledger, elsewhere]", vec!["look_up"]),
        ("[\"*\"]", vec![]),
        ("[]", vec!["look_up", "purge_ledger", "send_payment"]),
        ("[Purge_Ledger, purge]", vec!["look_up", "purge_ledger", "send_payment"]),
    ] {
        let desk = Desk::new(&format!("version: 1\nhide: {hide}\n"));
        let mut guard = desk.intercept();
        let list = guard.request("tools/list", json!({}));
        let names: Vec<&str> =
            list["tools"].as_array().unwrap().iter().map(|tool| tool["name"].as_str().unwrap()).collect();
        assert_eq!(names, listed, "{hide}");
        for tool in ["look_up", "purge_ledger", "send_payment"] {
            let answer = guard.call(tool, json!({}));
            if listed.contains(&tool) {
                assert!(answer.passed(), "{hide}: {tool}");
            } else {
                assert_eq!(answer.denied(), said(&format!("Tool \"{tool}\" is hidden by policy")), "{hide}");
            }
        }
    }
}

#[test]
fn the_version_is_a_number_or_a_text() {
    for version in ["1", "\"1\"", "'1'"] {
        let desk = Desk::new(&format!("version: {version}\ndescription: any\ntools: {{}}\n"));
        assert!(desk.intercept().call("anything", json!({})).passed(), "{version}");
    }
}
