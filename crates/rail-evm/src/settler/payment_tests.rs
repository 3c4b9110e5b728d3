use alloy_primitives::hex;
use farthing_money::{BaseUnits, Network, Registry};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::key::Key;
use crate::token::tokens_of;

const NOW_S: u64 = 1_767_225_600;

fn tokens() -> Vec<Arc<Token>> {
    tokens_of(Registry::builtin().iter(), &Network::BASE_SEPOLIA).into_iter().map(Arc::new).collect()
}

fn key() -> Key {
    Key::new(secp256k1::SecretKey::from_byte_array([7; 32]).unwrap())
}

fn terms() -> Requirements {
    Requirements {
        scheme: "exact".into(),
        network: Network::BASE_SEPOLIA,
        amount: BaseUnits::new(2500),
        asset: "0x036CbD53842c5426634e7929541eC2318f3dCF7e".into(),
        pay_to: Address::repeat_byte(2).to_string(),
        max_timeout_seconds: 60,
        extra: serde_json::from_value(json!({"name": "USDC", "version": "2"})).unwrap(),
    }
}

fn authorization() -> Authorization {
    Authorization {
        from: key().address,
        to: Address::repeat_byte(2),
        value: U256::from(2500),
        valid_after: U256::ZERO,
        valid_before: U256::from(NOW_S + 60),
        nonce: B256::repeat_byte(3),
    }
}

fn payload(authorization: &Authorization, signature: &[u8]) -> Box<RawValue> {
    let wire = ExactEvmPayload {
        signature: hex::encode_prefixed(signature),
        authorization: authorization.to_wire(),
    };
    serde_json::value::to_raw_value(&wire).unwrap()
}

fn signature(authorization: &Authorization) -> [u8; 65] {
    key().sign(&authorization.digest(&tokens()[0].separator))
}

fn check(payload: &RawValue) -> Result<Payment, String> {
    let now = Timestamp::from_second(i64::try_from(NOW_S).unwrap()).unwrap();
    Payment::check(&terms(), payload, &tokens(), now).map_err(|error| match error {
        VerifyError::Invalid { reason, .. } => reason.to_string(),
        other => panic!("{other}"),
    })
}

#[test]
fn times_are_bounded_as_the_reference_bounds_them() {
    let mut cases = Vec::new();
    for (valid_after, valid_before, expected) in [
        (0, NOW_S + 6, "ok"),
        (0, NOW_S + 5, "invalid_exact_evm_payload_authorization_valid_before"),
        (NOW_S, NOW_S + 60, "ok"),
        (NOW_S + 1, NOW_S + 60, "invalid_exact_evm_payload_authorization_valid_after"),
    ] {
        let mut changed = authorization();
        changed.valid_after = U256::from(valid_after);
        changed.valid_before = U256::from(valid_before);
        let found = check(&payload(&changed, &signature(&changed)));
        cases.push((found.map_or_else(|code| code, |_| "ok".to_owned()), expected));
    }
    assert!(cases.iter().all(|(found, expected)| found == expected), "{cases:?}");
}

#[test]
fn an_altered_payment_is_called_forged_and_a_signed_one_by_its_fault() {
    let mut altered = authorization();
    altered.value = U256::from(2499);
    let kept = check(&payload(&altered, &signature(&authorization())));
    assert_eq!(kept.unwrap_err(), "invalid_exact_evm_signature");
    let signed = check(&payload(&altered, &signature(&altered)));
    assert_eq!(signed.unwrap_err(), "invalid_exact_evm_payload_authorization_value_mismatch");
}

#[test]
fn signatures_are_told_apart() {
    let own = signature(&authorization());
    let of = |bytes: &[u8]| check(&payload(&authorization(), bytes)).map(|payment| payment.signature);
    assert_eq!(of(&own), Ok(Signature::Own(own)));
    let mut by_another = own;
    by_another[5] ^= 1;
    assert!(
        matches!(of(&by_another), Ok(Signature::Wallet(_))),
        "a wallet may accept it; a plain account never"
    );
    let wrapped =
        (Address::repeat_byte(9), Bytes::from_static(&[1]), Bytes::from_static(&[2])).abi_encode_params();
    let wrapped = [&wrapped[..], &ERC6492_MAGIC[..]].concat();
    assert!(
        matches!(of(&wrapped), Ok(Signature::Undeployed { factory, .. }) if factory == Address::repeat_byte(9))
    );
    assert_eq!(of(&ERC6492_MAGIC[..]).unwrap_err(), "invalid_exact_evm_signature");
    assert_eq!(of(&[]).unwrap_err(), "invalid_exact_evm_signature");
    assert_eq!(of(&[1; MAX_SIGNATURE_BYTES + 1]).unwrap_err(), "invalid_exact_evm_signature");
    assert!(!format!("{:?}", of(&own)).contains("27"), "signatures are not shown");
}

#[test]
fn the_key_is_the_protocols_key() {
    let payload = payload(&authorization(), &signature(&authorization()));
    assert_eq!(check(&payload).unwrap().key, PaymentKey::of(&terms(), &payload).unwrap());
}

proptest! {
    #[test]
    fn any_payload_is_survived(text in "[\\[\\]{}\",:0-9a-fx]{0,80}", bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        if let Ok(raw) = RawValue::from_string(text) {
            let _ = check(&raw);
        }
        let wrapped = [&bytes[..], &ERC6492_MAGIC[..]].concat();
        let _ = check(&payload(&authorization(), &wrapped));
    }

    #[test]
    fn no_altered_payment_is_the_payers_own(at in 0usize..192, bit in 0u8..8) {
        let mut words = authorization().words();
        words[at] ^= 1 << bit;
        let Some(altered) = Authorization::find(&words, Address::from_slice(&words[12..32]), B256::from_slice(&words[160..]))
        else { return Ok(()) };
        let checked = check(&payload(&altered, &signature(&authorization())));
        let is_own = checked.is_ok_and(|payment| matches!(payment.signature, Signature::Own(_)));
        prop_assert!(!is_own);
    }
}
