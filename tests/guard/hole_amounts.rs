//! Intercept's holes in amounts: floats, whole numbers, signs and texts.

use serde_json::json;

use crate::desk::Desk;
use crate::session::Guard;

fn capped(most: &str) -> Desk {
    Desk::new(&format!(
        "version: 1\ntools:\n  pay:\n    rules:\n      - name: cap\n        conditions: [{{path: state.pay.sum, op: lte, value: {most}}}]\n        state: {{counter: sum, window: day, increment_from: args.amount}}\n"
    ))
}

fn pays(guard: &mut Guard, amount: &str) -> bool {
    guard.call_text("pay", &format!("{{\"amount\":{amount}}}")).passed()
}

#[test]
fn hole_forty_times_0_99_passes_a_cap_of_10() {
    let desk = capped("10");
    let mut guard = desk.guard();
    assert_eq!((0..40).filter(|_| pays(&mut guard, "0.99")).count(), 10);
    let answer = guard.call("pay", json!({"amount": 0.99}));
    let denial = answer.denial();
    assert_eq!(
        (&denial["used"], &denial["limit"], &denial["remaining"]),
        (&json!("9.9"), &json!("10"), &json!("0.1"))
    );
    assert!(pays(&mut guard, "0.1") && !pays(&mut guard, "0.000000000000000001"));
}

#[test]
fn hole_a_negative_amount_refills_the_budget() {
    let desk = capped("10");
    let mut guard = desk.guard();
    assert!(pays(&mut guard, "10"));
    for amount in ["-5", "-0.000000000000000001", "\"-5\"", "-1e18"] {
        let answer = guard.call_text("pay", &format!("{{\"amount\":{amount}}}"));
        assert_eq!(answer.code_and_rule(), ("bad_arguments", "cap"), "{amount}");
    }
    assert!(!pays(&mut guard, "1"));
    assert_eq!(desk.called().len(), 1);
}

#[test]
fn hole_a_large_amount_overflows() {
    let desk = capped("10");
    let mut guard = desk.guard();
    for amount in [
        "1e19",
        "10000000000000000000",
        "1e20",
        "1e21",
        "1e400",
        "340282366920938463463374607431768211456",
        "1e999999999",
    ] {
        assert!(!pays(&mut guard, amount), "{amount}");
    }
    assert!(pays(&mut guard, "10"), "nothing was taken");
    let desk = capped("300000000000000000000");
    let mut guard = desk.guard();
    assert!(pays(&mut guard, "2e20") && !pays(&mut guard, "2e20"), "their sum fits nowhere");
    assert!(pays(&mut guard, "1e20"));
}

#[test]
fn hole_above_2_to_the_53_units_get_lost() {
    let desk = capped("9007199254740993");
    let mut guard = desk.guard();
    assert!(!pays(&mut guard, "9007199254740994"));
    assert!(pays(&mut guard, "9007199254740992"));
    assert!(!pays(&mut guard, "2"));
    assert!(pays(&mut guard, "1"));
    assert!(!pays(&mut guard, "1"));
}

#[test]
fn hole_an_amount_in_a_text_is_always_denied() {
    let desk = capped("10");
    let mut guard = desk.guard();
    assert!(pays(&mut guard, "\"2.50\"") && pays(&mut guard, "\"7.5\""));
    assert!(!pays(&mut guard, "\"0.01\""), "it was counted");
    let desk = capped("10");
    let mut guard = desk.guard();
    for amount in [
        "\"5 dollars\"",
        "\"\"",
        "\" 5\"",
        "\"0x5\"",
        "\"1,000\"",
        "\"NaN\"",
        "\"Infinity\"",
        "null",
        "true",
        "[1]",
        "{}",
    ] {
        let answer = guard.call_text("pay", &format!("{{\"amount\":{amount}}}"));
        assert_eq!(answer.code_and_rule(), ("bad_arguments", "cap"), "{amount}");
    }
    assert_eq!(guard.call("pay", json!({})).code_and_rule(), ("bad_arguments", "cap"), "it is missing");
    assert_eq!(desk.called(), [""; 0]);
}
