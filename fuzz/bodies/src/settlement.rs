//! What a facilitator answers, and what a seller tells a buyer about the settlement.

use farthing_protocol::ProtocolError;
use farthing_protocol::x402::{self, Reason, SettleResponse, SupportedResponse, VerifyResponse};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::errors::reads_well;
use crate::wire;

/// What is read writes itself so that it reads as the same, as a body and as a header; a known key that stands twice is
/// refused; a reason is bounded; a settlement is pending only when it has a transaction and is no success.
pub(crate) fn run(input: &[u8]) {
    let value = wire::header(input);
    if let Some(settled) = read::<SettleResponse>(input, &value) {
        settled.error_reason.iter().for_each(is_bounded);
        let pending = settled.pending_transaction();
        assert!(pending.is_none_or(|transaction| !settled.success && !transaction.is_empty()));
        let known =
            ["success", "errorReason", "transaction", "network", "amount", "payer", "extensions", "extra"];
        refuses_twice::<SettleResponse>(input, &known);
    }
    if let Some(verified) = read::<VerifyResponse>(input, &value) {
        verified.invalid_reason.iter().for_each(is_bounded);
        refuses_twice::<VerifyResponse>(input, &["isValid", "invalidReason", "payer", "extensions", "extra"]);
    }
    if read::<SupportedResponse>(input, &value).is_some() {
        refuses_twice::<SupportedResponse>(input, &["kinds", "extensions", "signers"]);
    }
}

fn read<T: DeserializeOwned + Serialize + PartialEq + std::fmt::Debug>(
    json: &[u8],
    header: &[u8],
) -> Option<T> {
    let decoded: Result<T, ProtocolError> = x402::decode_header("PAYMENT-RESPONSE", header);
    if let Err(error) = &decoded {
        reads_well(error);
    }
    let from_body = serde_json::from_slice::<T>(json).ok();
    for value in [&decoded.ok(), &from_body].into_iter().flatten() {
        let written = serde_json::to_string(value).unwrap();
        assert_eq!(serde_json::from_str::<T>(&written).unwrap(), *value, "{written}");
        let header = x402::encode_header(value).unwrap();
        if header.len() <= farthing_protocol::MAX_HEADER_BYTES {
            assert_eq!(x402::decode_header::<T>("PAYMENT-RESPONSE", header.as_bytes()).unwrap(), *value);
        }
    }
    from_body
}

fn is_bounded(reason: &Reason) {
    assert!(reason.as_str().len() <= 256);
    assert_eq!(Reason::from(reason.as_str()), *reason);
}

fn refuses_twice<T: DeserializeOwned>(json: &[u8], known: &[&str]) {
    for (key, twice) in wire::with_a_key_twice(json, &[]) {
        assert!(
            !known.contains(&key.as_str()) || serde_json::from_str::<T>(&twice).is_err(),
            "{key} stands twice"
        );
    }
}
