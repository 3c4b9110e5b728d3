//! Every error code that reference/x402.md lists is known.

use farthing_protocol::x402::Reason;

/// reference/x402.md, "Error codes": the specification's.
const SPECIFIED: &str = "
insufficient_funds invalid_exact_evm_payload_authorization_valid_after invalid_exact_evm_payload_authorization_valid_before
invalid_exact_evm_payload_authorization_value_mismatch invalid_exact_evm_payload_signature
invalid_exact_evm_payload_recipient_mismatch invalid_network invalid_payload invalid_payment_requirements invalid_scheme
unsupported_scheme invalid_x402_version invalid_transaction_state unexpected_verify_error unexpected_settle_error settlement_pending";

/// The reference's, as prefix and endings.
const EMITTED: [(&str, &str); 8] = [
    (
        "invalid_exact_evm_",
        "scheme network_mismatch missing_eip712_domain recipient_mismatch signature authorization_value
        transaction_failed transfer_event_mismatch token_name_mismatch token_version_mismatch eip3009_not_supported
        nonce_already_used insufficient_balance transaction_simulation_failed failed_to_parse_signature
        payload_authorization_valid_before payload_authorization_valid_after payload_authorization_value_mismatch",
    ),
    (
        "",
        "asset_not_deployed_contract unsupported_payload_type eip6492_factory_not_allowed
        smart_wallet_deployment_failed",
    ),
    ("invalid_permit2_", "spender recipient_mismatch signature"),
    (
        "permit2_",
        "deadline_expired not_yet_valid amount_mismatch token_mismatch allowance_required simulation_failed
        insufficient_balance proxy_not_deployed",
    ),
    ("upto_", "amount_exceeds_permitted unauthorized_facilitator facilitator_mismatch"),
    (
        "invalid_exact_svm_",
        "unsupported_scheme network_mismatch fee_payer_mismatch fee_payer_not_managed_by_facilitator
        transaction_failed transaction_simulation_failed verification_failed",
    ),
    (
        "invalid_exact_svm_payload_",
        "missing_fee_payer transaction signature_invalid excessive_signers no_transfer_instruction mint_mismatch
        recipient_mismatch amount_mismatch memo_count memo_mismatch unknown_optional_instruction
        transaction_could_not_be_decoded transaction_fee_payer_transferring_funds transaction_instructions_length
        transaction_instructions_compute_limit_instruction
        transaction_instructions_compute_price_instruction_too_high",
    ),
    ("", "duplicate_settlement post_settlement_transfer_not_confirmed extension_echo_mismatch"),
];

#[test]
fn the_specifications_codes_have_a_variant() {
    for code in SPECIFIED.split_whitespace() {
        let reason = Reason::from(code);
        assert!(!matches!(reason, Reason::Other(_)), "{code}");
        assert_eq!(reason.as_str(), code);
        assert_eq!(serde_json::to_value(&reason).unwrap(), code);
        assert_eq!(serde_json::from_value::<Reason>(code.into()).unwrap(), reason);
    }
}

#[test]
fn the_references_codes_have_a_name() {
    let mut listed = 0;
    for code in EMITTED
        .iter()
        .flat_map(|(prefix, codes)| codes.split_whitespace().map(move |ending| format!("{prefix}{ending}")))
    {
        let reason = Reason::from(code.as_str());
        assert_eq!(reason.as_str(), code);
        let specified = !matches!(reason, Reason::Other(_));
        assert!(specified || Reason::REFERENCE.contains(&reason), "{code}");
        listed += usize::from(!specified);
    }
    assert_eq!(listed, Reason::REFERENCE.len(), "a named code is not in the list");
}

#[test]
fn one_code_is_one_reason() {
    for named in Reason::REFERENCE {
        assert_eq!(&Reason::from(named.as_str()), named);
    }
    assert_eq!(
        Reason::from("invalid_exact_evm_payload_authorization_valid_before"),
        Reason::EVM_VALID_BEFORE
    );
}

#[test]
fn other_codes_are_kept_and_cut() {
    assert_eq!(
        Reason::from("FiatTokenV2: authorization is expired").as_str(),
        "FiatTokenV2: authorization is expired"
    );
    let long = serde_json::json!("ü".repeat(1000));
    let cut: Reason = serde_json::from_value(long).unwrap();
    assert_eq!(cut.as_str(), "ü".repeat(128));
    let uneven = format!("x{}", "ü".repeat(1000));
    assert_eq!(Reason::from(uneven.as_str()).as_str().len(), 255, "cut between characters");
}
