//! `tools:` of policy.yaml, and calls for it to decide; CEL conditions; paths into arguments.

use std::fmt::Write as _;

use farthing_ambient::Timestamp;
use farthing_policy::json::Json;
use farthing_policy::tools::{denial_text, validation_errors};
use farthing_policy::{Call, Policy, Quantity, Usage};

use crate::errors::{lies_in, reads_well};

const ARGUMENTS: [&str; 6] = [
    "{}",
    r#"{"cents":25,"currency":"usd","payee":{"id":"acct_12345678"}}"#,
    r#"{"amount":0.99,"list":[1,{"a":null}],"x":true,"a.b":"c"}"#,
    r#"{"amount":"-1","cents":1e300,"path":"../etc","command":"rm -rf /"}"#,
    r#"{"amount":18446744073709551616,"cents":"25","x":null}"#,
    r#"{"x":"é\u0000","list":[],"payee":"acct","url":"https://a.example/"}"#,
];
const TOOLS: [&str; 5] = ["send_payment", "files.read", "t", "*", ""];

/// A text is refused with a place in it, or decides the same every time: what is denied names its rule, and says the same
/// to Intercept's agents; what is allowed takes what it says; an empty counter never denies more than a full one; what
/// Intercept's validation refuses is refused.
pub(crate) fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let complaints = validation_errors(text);
    let policy = match Policy::parse(text) {
        Ok(policy) => policy,
        Err(error) => {
            reads_well(&error);
            assert!(!complaints.is_empty(), "refused without a word to Intercept's users");
            return lies_in(text, error.line as u64, error.column as u64);
        }
    };
    assert!(!policy.explain().is_empty());
    decides(&policy);
}

/// An expression of CEL, as the only condition of a rule.
pub(crate) fn cel(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    condition(&format!("{{cel: {}}}", Json::from(text)));
}

/// A path, as the only condition of a rule.
pub(crate) fn argument_path(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    condition(&format!("{{path: {}, op: exists, value: true}}", Json::from(text)));
}

fn condition(condition: &str) {
    let mut text =
        String::from("version: 1\ntools:\n  t:\n    rules:\n      - name: r\n        conditions: [");
    writeln!(text, "{condition}]").unwrap();
    match Policy::parse(&text) {
        Ok(policy) => decides(&policy),
        Err(error) => drop(reads_well(&error)),
    }
}

fn decides(policy: &Policy) {
    for arguments in ARGUMENTS {
        let json = Json::parse(arguments.as_bytes()).unwrap();
        let arguments = json.as_object().unwrap();
        for tool in TOOLS {
            let call =
                Call { server: "s", tool, arguments, agent: None, session: "1", now: Timestamp::UNIX_EPOCH };
            decides_one(policy, &call);
        }
    }
}

fn decides_one(policy: &Policy, call: &Call<'_>) {
    drop(policy.trace(call));
    let plan = policy.plan(call);
    assert_eq!(plan, policy.plan(call));
    let plan = match plan {
        Ok(plan) => plan,
        Err(denial) => {
            // What the policy's author says is the author's.
            if !denial.authored {
                reads_well(&denial);
            }
            assert!(!denial.rule.is_empty());
            assert!(denial_text(&denial).starts_with("[INTERCEPT POLICY DENIED] "));
            return;
        }
    };
    let empty = vec![Usage::default(); plan.counters.len()];
    let full = Usage { amount: farthing_money::Usd::new(u128::MAX), ..Usage::default() };
    let full = vec![full; plan.counters.len()];
    let decided = plan.decide(&empty);
    assert_eq!(decided, plan.decide(&empty));
    // A counter that is full denies whatever takes from it.
    let takes = plan.charges.iter().any(|charge| charge.amount > Quantity::default());
    if decided.is_ok() && takes {
        let shadow = plan.decide(&full).is_ok_and(|shadowed| !shadowed.is_empty());
        assert!(shadow || plan.decide(&full).is_err());
    }
    assert!(!plan.is_free() || plan.charges.is_empty());
}
