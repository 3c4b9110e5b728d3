//! What a token's words mean in the protocol's codes (`parseEip3009TransferError` of the reference).

use farthing_protocol::x402::Reason;

/// The code for the words with which a transfer reverted; `None` where they say nothing known.
pub(super) fn reason_of(words: &str) -> Option<Reason> {
    let words = words.to_ascii_lowercase();
    let has = |parts: &[&str]| parts.iter().all(|part| words.contains(part));
    let table: [(&[&[&str]], Reason); 5] = [
        (&[&["authorization", "expired"], &["authorization", "valid before"]], Reason::EVM_VALID_BEFORE),
        (&[&["authorization", "not", "valid"], &["authorizationnotyetvalid"]], Reason::EVM_VALID_AFTER),
        (&[&["authorization", "used"]], Reason::EVM_NONCE_ALREADY_USED),
        (
            &[&["transfer", "exceeds", "balance"], &["insufficient", "balance"]],
            Reason::EVM_INSUFFICIENT_BALANCE,
        ),
        (&[&["invalid", "signature"], &["signermismatch"]], Reason::EVM_SIGNATURE),
    ];
    let found = table.into_iter().find(|(patterns, _)| patterns.iter().any(|parts| has(parts)));
    found.map(|(_, reason)| reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tokens_words_are_understood() {
        for (words, reason) in [
            ("FiatTokenV2: authorization is expired", Some(Reason::EVM_VALID_BEFORE)),
            ("FiatTokenV2: authorization is not yet valid", Some(Reason::EVM_VALID_AFTER)),
            ("FiatTokenV2: authorization is used or canceled", Some(Reason::EVM_NONCE_ALREADY_USED)),
            ("ERC20: transfer amount exceeds balance", Some(Reason::EVM_INSUFFICIENT_BALANCE)),
            ("FiatTokenV2: invalid signature", Some(Reason::EVM_SIGNATURE)),
            ("ECRecover: invalid signature 's' value", Some(Reason::EVM_SIGNATURE)),
            ("Pausable: paused", None),
            ("execution reverted", None),
        ] {
            assert_eq!(reason_of(words), reason, "{words}");
        }
    }
}
