//! `action: require_approval`: asked at the command line or through the client, for exactly one call.

use serde_json::{Value, json};

use crate::desk::{Desk, MINUTE};
use crate::session::Answer;

const POLICY: &str = r#"
version: 1
tools:
  pay:
    rules:
      - {name: cap, conditions: [{path: state.pay.n, op: lte, value: 2}], state: {counter: n, window: day}}
      - name: big
        action: require_approval
        approval_timeout: 60s
        conditions: [{path: args.amount, op: gt, value: 50}]
"#;

/// The id under which a call waits for a person.
fn waits(answer: &Answer) -> String {
    assert_eq!(answer.code_and_rule(), ("approval_required", "big"));
    let approval = &answer.denial()["approval"];
    let id = approval["id"].as_str().unwrap().to_owned();
    assert_eq!(approval["how"], format!("farthing approvals approve {id}"));
    assert!(answer.denied().contains(&id), "{}", answer.denied());
    id
}

fn state(desk: &Desk, id: &str) -> String {
    let shown: Value = serde_json::from_str(&desk.ok(&["approvals", "show", id, "--json"])).unwrap();
    shown["state"].as_str().unwrap().to_owned()
}

#[test]
fn an_approval_is_good_for_one_call_with_exactly_its_terms() {
    let desk = Desk::new(POLICY);
    let mut guard = desk.guard_with(&["--name", "bank"]);
    assert!(guard.call("pay", json!({"amount": 50})).passed(), "it is not asked for");
    let terms = json!({"amount": 60, "to": "anna"});
    let id = waits(&guard.call("pay", terms.clone()));
    assert_eq!(waits(&guard.call("pay", terms.clone())), id, "the same again is the same question");
    let list: Value = serde_json::from_str(&desk.ok(&["approvals", "list", "--json"])).unwrap();
    assert_eq!(list["approvals"].as_array().unwrap().len(), 1);
    let asked: Value = serde_json::from_str(list["approvals"][0]["terms"].as_str().unwrap()).unwrap();
    assert_eq!(asked, json!({"agent": null, "arguments": terms, "server": "bank", "tool": "pay"}));
    desk.ok(&["approvals", "approve", &id]);
    for other in
        [json!({"amount": 61, "to": "anna"}), json!({"amount": 60, "to": "bert"}), json!({"amount": 60})]
    {
        assert_ne!(waits(&guard.call("pay", other)), id);
    }
    assert_eq!(desk.called().len(), 1);
    assert!(guard.call_text("pay", r#"{"to":"anna","amount":60.0}"#).passed(), "the same, written otherwise");
    assert_eq!(state(&desk, &id), "used");
    assert_eq!(guard.call("pay", terms).code_and_rule(), ("rate_exceeded", "cap"));
    assert_eq!(desk.rows("approval_used").len(), 1);
    desk.assert_whole();
}

#[test]
fn a_used_approval_is_asked_for_anew() {
    let desk = Desk::new(POLICY);
    let mut guard = desk.guard();
    let terms = json!({"amount": 60});
    let id = waits(&guard.call("pay", terms.clone()));
    desk.ok(&["approvals", "approve", &id]);
    assert!(guard.call("pay", terms.clone()).passed());
    assert_ne!(waits(&guard.call("pay", terms)), id);
}

#[test]
fn of_many_alike_calls_at_once_an_approval_lets_one_pass() {
    let desk = Desk::new(POLICY);
    let terms = json!({"amount": 60});
    let mut one = desk.guard_with(&["--name", "bank"]);
    let mut two = desk.guard_with(&["--name", "bank"]);
    let id = waits(&one.call("pay", terms.clone()));
    desk.ok(&["approvals", "approve", &id]);
    let ids: Vec<(u64, u64)> =
        (0..10).map(|_| (one.ask("pay", terms.clone()), two.ask("pay", terms.clone()))).collect();
    let passes = |(first, second)| [one.answer(first).passed(), two.answer(second).passed()];
    let passed = ids.into_iter().flat_map(passes).filter(|passed| *passed).count();
    assert_eq!((passed, desk.called().len()), (1, 1));
}

#[test]
fn another_server_agent_or_policy_needs_its_own() {
    let desk = Desk::new(POLICY);
    let terms = json!({"amount": 60});
    let mut guard = desk.guard_with(&["--name", "one"]);
    let id = waits(&guard.call("pay", terms.clone()));
    desk.ok(&["approvals", "approve", &id]);
    let mut other = desk.guard_with(&["--name", "two"]);
    assert_ne!(waits(&other.call("pay", terms.clone())), id);
    let mut other = desk.guard_with(&["--name", "one", "--agent", "researcher"]);
    assert_ne!(waits(&other.call("pay", terms.clone())), id);
    desk.policy(&format!("{POLICY}  other: {{rules: []}}\n"));
    guard.hear("another policy is in force");
    assert_ne!(waits(&guard.call("pay", terms.clone())), id);
    desk.policy(POLICY);
    guard.hear("another policy is in force");
    assert!(guard.call("pay", terms).passed(), "the policy that asked for it");
}

#[test]
fn a_person_can_say_no() {
    let desk = Desk::new(POLICY);
    let mut guard = desk.guard();
    let terms = json!({"amount": 60});
    let id = waits(&guard.call("pay", terms.clone()));
    desk.ok(&["approvals", "deny", &id]);
    assert_eq!(guard.call("pay", terms.clone()).code_and_rule(), ("approval_denied", "big"));
    assert_eq!(desk.run(&["approvals", "approve", &id]).code, 2, "it is decided");
    assert_eq!(guard.call("pay", terms).code_and_rule().0, "approval_denied");
    assert_eq!(state(&desk, &id), "denied");
    assert_eq!(desk.run(&["approvals", "approve", "a999"]).code, 2);
    assert_eq!(desk.called(), [""; 0]);
}

#[test]
fn questions_and_approvals_expire() {
    let mut desk = Desk::new(POLICY);
    let terms = json!({"amount": 60});
    let morning = 10 * 60 * MINUTE;
    let old = waits(&desk.at(morning).guard().call("pay", terms.clone()));
    desk.at(morning + 2 * MINUTE);
    assert_eq!(desk.run(&["approvals", "approve", &old]).code, 2, "too late to decide");
    assert_eq!(state(&desk, &old), "expired");
    let id = waits(&desk.guard().call("pay", terms.clone()));
    assert_ne!(id, old);
    desk.ok(&["approvals", "approve", &id]);
    desk.at(morning + 4 * MINUTE);
    let new = waits(&desk.guard().call("pay", terms.clone()));
    assert_ne!(new, id, "too late to use it");
    desk.ok(&["approvals", "approve", &new]);
    assert!(desk.guard().call("pay", terms).passed());
    assert_eq!(desk.called().len(), 1);
}

#[test]
fn nothing_is_asked_for_what_is_denied_anyway() {
    let desk = Desk::new(
        "version: 1\ntools:\n  t:\n    rules:\n      - {name: ask, action: require_approval}\n      - {name: one, rate_limit: 1/hour}\n      - {name: no, conditions: [{path: args.no, op: exists, value: false}]}\n",
    );
    let mut guard = desk.guard();
    assert_eq!(guard.call("t", json!({"no": 1})).code_and_rule().1, "no");
    assert_eq!(desk.rows("approval_asked").len(), 0);
    for _ in 0..3 {
        assert_eq!(guard.call("t", json!({})).code_and_rule(), ("approval_required", "ask"));
    }
    desk.ok(&[
        "approvals",
        "approve",
        guard.call("t", json!({})).denial()["approval"]["id"].as_str().unwrap(),
    ]);
    assert!(guard.call("t", json!({})).passed(), "asking took nothing");
}

#[test]
fn a_client_that_can_ask_its_user_is_asked() {
    let desk = Desk::new(POLICY);
    let mut guard = desk.guard();
    guard.initialize(true);
    for (number, reply, passes, then) in [
        (60, json!({"action": "accept", "content": {"approve": true}}), true, "used"),
        (61, json!({"action": "accept", "content": {"approve": false}}), false, "denied"),
        (62, json!({"action": "accept", "content": {}}), false, "denied"),
        (63, json!({"action": "decline"}), false, "denied"),
        (64, json!({"action": "cancel"}), false, "pending"),
    ] {
        let id = guard.ask("pay", json!({"amount": number}));
        let question = guard.question();
        let message = question["params"]["message"].as_str().unwrap();
        assert!(message.contains("`big`") && message.contains(&format!("\"amount\":{number}")), "{message}");
        assert_eq!(desk.called().len(), usize::from(number > 60), "nothing was sent before the answer");
        guard.reply(&question, reply.clone());
        let answer = guard.answer(id);
        assert_eq!(answer.passed(), passes, "{reply}");
        let all: Value = serde_json::from_str(&desk.ok(&["approvals", "list", "--all", "--json"])).unwrap();
        assert_eq!(all["approvals"][0]["state"], then, "{reply}");
    }
    assert_eq!(guard.call("pay", json!({"amount": 63})).code_and_rule().0, "approval_denied");
    assert!(!guard.was_asked(), "who has said no is not asked again");
    assert_eq!(desk.called(), ["pay"]);
}

#[test]
fn a_client_that_cannot_ask_is_not_asked() {
    let desk = Desk::new(POLICY);
    let mut guard = desk.guard();
    guard.initialize(false);
    waits(&guard.call("pay", json!({"amount": 60})));
    assert!(!guard.was_asked());
}
