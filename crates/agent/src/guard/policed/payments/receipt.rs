//! What an answer says about the payment that came with the call.

use farthing_ledger::Outcome;
use farthing_policy::json::Json;

use crate::guard::End;

/// Where x402's settlements stand in a result's `_meta`.
const X402_RESPONSE: &str = "x402/payment-response";
/// Where MPP's receipts stand in it.
const MPP_RECEIPT: &str = "org.paymentauth/receipt";
/// The longest name of a transaction that is kept.
const MAX_TRANSACTION: usize = 128;

/// How a payment ended. Only a server that says that it was paid is believed: in every other case the signature is
/// still out, so the amount stays reserved.
pub(in crate::guard::policed) fn outcome(end: &End<'_>) -> Outcome {
    let unknown = |why: &str| Outcome::Unknown { why: why.to_owned() };
    let End::Answered(answer) = end else { return unknown("the call has no answer") };
    let Some(result) = answer.get("result") else { return unknown("the server answered with an error") };
    // MPP's servers may put it beside the result as well.
    let metas = [result.get("_meta"), answer.get("_meta")];
    let said = |key| metas.into_iter().flatten().find_map(|meta: &Json| meta.get(key));
    match (said(X402_RESPONSE), said(MPP_RECEIPT)) {
        (Some(settled), _) if settled.get("success") == Some(&Json::Bool(true)) => {
            Outcome::Paid { transaction: transaction(settled.get("transaction")) }
        }
        (_, Some(receipt)) if receipt.get("status").and_then(Json::as_str) == Some("success") => {
            Outcome::Paid { transaction: transaction(receipt.get("reference")) }
        }
        (None, None) => unknown("the answer does not say whether it was settled"),
        _ => unknown("the server says that it was not settled, and still has the signature"),
    }
}

fn transaction(named: Option<&Json>) -> Option<String> {
    let name = named?.as_str()?;
    let plain =
        (1..=MAX_TRANSACTION).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic());
    plain.then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(answer: &str) -> Outcome {
        outcome(&End::Answered(&Json::parse(answer.as_bytes()).unwrap()))
    }

    #[test]
    fn nothing_but_a_clear_word_is_paid() {
        let paid = |transaction: Option<&str>| Outcome::Paid { transaction: transaction.map(str::to_owned) };
        for (answer, ended) in [
            (
                r#"{"result":{"_meta":{"x402/payment-response":{"success":true,"transaction":"0xab"}}}}"#,
                paid(Some("0xab")),
            ),
            (
                r#"{"result":{"_meta":{"x402/payment-response":{"success":true,"transaction":""}}}}"#,
                paid(None),
            ),
            (
                r#"{"result":{"_meta":{"org.paymentauth/receipt":{"status":"success","reference":"0xab"}}}}"#,
                paid(Some("0xab")),
            ),
            (r#"{"result":{},"_meta":{"org.paymentauth/receipt":{"status":"success"}}}"#, paid(None)),
        ] {
            assert_eq!(of(answer), ended, "{answer}");
        }
        for answer in [
            r#"{"result":{}}"#,
            r#"{"result":{"_meta":{"x402/payment-response":{"success":false,"errorReason":"x"}}}}"#,
            r#"{"result":{"_meta":{"x402/payment-response":{"success":"true"}}}}"#,
            r#"{"result":{"_meta":{"x402/payment-response":true}}}"#,
            r#"{"error":{"code":-32043},"_meta":{"org.paymentauth/receipt":{"status":"success"}}}"#,
        ] {
            assert!(matches!(of(answer), Outcome::Unknown { .. }), "{answer}");
        }
        assert!(matches!(outcome(&End::Lost), Outcome::Unknown { .. }));
        assert!(matches!(outcome(&End::Failed), Outcome::Unknown { .. }));
    }
}
