use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Why a payment is invalid or did not settle: the codes of the specification and those the reference emits besides.
///
/// A code that is not in the list is kept as it came ([`Reason::Other`]).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// The payer holds less than the payment.
    InsufficientFunds,
    /// The authorization is not valid yet.
    InvalidExactEvmPayloadAuthorizationValidAfter,
    /// The authorization has expired, or expires before it could settle.
    InvalidExactEvmPayloadAuthorizationValidBefore,
    /// The authorization is for another amount than the terms.
    InvalidExactEvmPayloadAuthorizationValueMismatch,
    /// The signature is not the payer's.
    InvalidExactEvmPayloadSignature,
    /// The authorization pays somebody else than the terms.
    InvalidExactEvmPayloadRecipientMismatch,
    /// The network is not served, or not the terms'.
    InvalidNetwork,
    /// The payment cannot be read.
    InvalidPayload,
    /// The terms cannot be read.
    InvalidPaymentRequirements,
    /// The scheme is not the terms'.
    InvalidScheme,
    /// The scheme is not served.
    UnsupportedScheme,
    /// The version is not served.
    InvalidX402Version,
    /// The transaction failed or was dropped.
    InvalidTransactionState,
    /// Verification broke: nothing follows about the payment.
    UnexpectedVerifyError,
    /// Settlement broke: nothing follows about the payment.
    UnexpectedSettleError,
    /// Sent and not seen confirmed yet: not final, ask again with the same request.
    SettlementPending,
    /// Any other code, as it came.
    Other(Cow<'static, str>),
}

macro_rules! codes {
    ($($variant:ident = $code:literal,)*) => {
        const SPECIFIED: &[(&str, Reason)] = &[$(($code, Reason::$variant),)*];

        impl Reason {
            /// The code on the wire.
            #[must_use]
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $code,)*
                    Self::Other(code) => code,
                }
            }
        }
    };
}

codes! {
    InsufficientFunds = "insufficient_funds",
    InvalidExactEvmPayloadAuthorizationValidAfter = "invalid_exact_evm_payload_authorization_valid_after",
    InvalidExactEvmPayloadAuthorizationValidBefore = "invalid_exact_evm_payload_authorization_valid_before",
    InvalidExactEvmPayloadAuthorizationValueMismatch = "invalid_exact_evm_payload_authorization_value_mismatch",
    InvalidExactEvmPayloadSignature = "invalid_exact_evm_payload_signature",
    InvalidExactEvmPayloadRecipientMismatch = "invalid_exact_evm_payload_recipient_mismatch",
    InvalidNetwork = "invalid_network",
    InvalidPayload = "invalid_payload",
    InvalidPaymentRequirements = "invalid_payment_requirements",
    InvalidScheme = "invalid_scheme",
    UnsupportedScheme = "unsupported_scheme",
    InvalidX402Version = "invalid_x402_version",
    InvalidTransactionState = "invalid_transaction_state",
    UnexpectedVerifyError = "unexpected_verify_error",
    UnexpectedSettleError = "unexpected_settle_error",
    SettlementPending = "settlement_pending",
}

macro_rules! reference_codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal,)*) => {
        impl Reason {
            $($(#[$doc])* #[doc = concat!("`", $code, "`")] pub const $name: Self = Self::Other(Cow::Borrowed($code));)*

            /// The codes that the reference emits besides the specification's.
            pub const REFERENCE: &'static [Self] = &[$(Self::$name,)*];
        }
    };
}

reference_codes! {
    EVM_SCHEME = "invalid_exact_evm_scheme",
    EVM_NETWORK_MISMATCH = "invalid_exact_evm_network_mismatch",
    EVM_MISSING_EIP712_DOMAIN = "invalid_exact_evm_missing_eip712_domain",
    EVM_RECIPIENT_MISMATCH = "invalid_exact_evm_recipient_mismatch",
    EVM_SIGNATURE = "invalid_exact_evm_signature",
    EVM_AUTHORIZATION_VALUE = "invalid_exact_evm_authorization_value",
    EVM_TRANSACTION_FAILED = "invalid_exact_evm_transaction_failed",
    EVM_TRANSFER_EVENT_MISMATCH = "invalid_exact_evm_transfer_event_mismatch",
    EVM_TOKEN_NAME_MISMATCH = "invalid_exact_evm_token_name_mismatch",
    EVM_TOKEN_VERSION_MISMATCH = "invalid_exact_evm_token_version_mismatch",
    EVM_EIP3009_NOT_SUPPORTED = "invalid_exact_evm_eip3009_not_supported",
    EVM_NONCE_ALREADY_USED = "invalid_exact_evm_nonce_already_used",
    EVM_INSUFFICIENT_BALANCE = "invalid_exact_evm_insufficient_balance",
    EVM_TRANSACTION_SIMULATION_FAILED = "invalid_exact_evm_transaction_simulation_failed",
    EVM_FAILED_TO_PARSE_SIGNATURE = "invalid_exact_evm_failed_to_parse_signature",
    ASSET_NOT_DEPLOYED_CONTRACT = "asset_not_deployed_contract",
    UNSUPPORTED_PAYLOAD_TYPE = "unsupported_payload_type",
    EIP6492_FACTORY_NOT_ALLOWED = "eip6492_factory_not_allowed",
    SMART_WALLET_DEPLOYMENT_FAILED = "smart_wallet_deployment_failed",
    PERMIT2_SPENDER = "invalid_permit2_spender",
    PERMIT2_RECIPIENT_MISMATCH = "invalid_permit2_recipient_mismatch",
    PERMIT2_SIGNATURE = "invalid_permit2_signature",
    PERMIT2_DEADLINE_EXPIRED = "permit2_deadline_expired",
    PERMIT2_NOT_YET_VALID = "permit2_not_yet_valid",
    PERMIT2_AMOUNT_MISMATCH = "permit2_amount_mismatch",
    PERMIT2_TOKEN_MISMATCH = "permit2_token_mismatch",
    PERMIT2_ALLOWANCE_REQUIRED = "permit2_allowance_required",
    PERMIT2_SIMULATION_FAILED = "permit2_simulation_failed",
    PERMIT2_INSUFFICIENT_BALANCE = "permit2_insufficient_balance",
    PERMIT2_PROXY_NOT_DEPLOYED = "permit2_proxy_not_deployed",
    UPTO_AMOUNT_EXCEEDS_PERMITTED = "upto_amount_exceeds_permitted",
    UPTO_UNAUTHORIZED_FACILITATOR = "upto_unauthorized_facilitator",
    UPTO_FACILITATOR_MISMATCH = "upto_facilitator_mismatch",
    SVM_UNSUPPORTED_SCHEME = "invalid_exact_svm_unsupported_scheme",
    SVM_NETWORK_MISMATCH = "invalid_exact_svm_network_mismatch",
    SVM_FEE_PAYER_MISMATCH = "invalid_exact_svm_fee_payer_mismatch",
    SVM_FEE_PAYER_NOT_MANAGED = "invalid_exact_svm_fee_payer_not_managed_by_facilitator",
    SVM_TRANSACTION_FAILED = "invalid_exact_svm_transaction_failed",
    SVM_TRANSACTION_SIMULATION_FAILED = "invalid_exact_svm_transaction_simulation_failed",
    SVM_VERIFICATION_FAILED = "invalid_exact_svm_verification_failed",
    SVM_MISSING_FEE_PAYER = "invalid_exact_svm_payload_missing_fee_payer",
    SVM_TRANSACTION = "invalid_exact_svm_payload_transaction",
    SVM_SIGNATURE_INVALID = "invalid_exact_svm_payload_signature_invalid",
    SVM_EXCESSIVE_SIGNERS = "invalid_exact_svm_payload_excessive_signers",
    SVM_NO_TRANSFER_INSTRUCTION = "invalid_exact_svm_payload_no_transfer_instruction",
    SVM_MINT_MISMATCH = "invalid_exact_svm_payload_mint_mismatch",
    SVM_RECIPIENT_MISMATCH = "invalid_exact_svm_payload_recipient_mismatch",
    SVM_AMOUNT_MISMATCH = "invalid_exact_svm_payload_amount_mismatch",
    SVM_MEMO_COUNT = "invalid_exact_svm_payload_memo_count",
    SVM_MEMO_MISMATCH = "invalid_exact_svm_payload_memo_mismatch",
    SVM_UNKNOWN_OPTIONAL_INSTRUCTION = "invalid_exact_svm_payload_unknown_optional_instruction",
    SVM_COULD_NOT_BE_DECODED = "invalid_exact_svm_payload_transaction_could_not_be_decoded",
    SVM_FEE_PAYER_TRANSFERRING = "invalid_exact_svm_payload_transaction_fee_payer_transferring_funds",
    SVM_INSTRUCTIONS_LENGTH = "invalid_exact_svm_payload_transaction_instructions_length",
    SVM_COMPUTE_LIMIT = "invalid_exact_svm_payload_transaction_instructions_compute_limit_instruction",
    SVM_COMPUTE_PRICE = "invalid_exact_svm_payload_transaction_instructions_compute_price_instruction_too_high",
    DUPLICATE_SETTLEMENT = "duplicate_settlement",
    POST_SETTLEMENT_TRANSFER_NOT_CONFIRMED = "post_settlement_transfer_not_confirmed",
    EXTENSION_ECHO_MISMATCH = "extension_echo_mismatch",
}

impl Reason {
    /// The reference's name for [`Self::InvalidExactEvmPayloadAuthorizationValidBefore`].
    pub const EVM_VALID_BEFORE: Self = Self::InvalidExactEvmPayloadAuthorizationValidBefore;
    /// The reference's name for [`Self::InvalidExactEvmPayloadAuthorizationValidAfter`].
    pub const EVM_VALID_AFTER: Self = Self::InvalidExactEvmPayloadAuthorizationValidAfter;
    /// The reference's name for [`Self::InvalidExactEvmPayloadAuthorizationValueMismatch`].
    pub const EVM_VALUE_MISMATCH: Self = Self::InvalidExactEvmPayloadAuthorizationValueMismatch;
}

impl From<&str> for Reason {
    /// The code's first 256 bytes: they hold every known one, and more is somebody filling our records.
    fn from(code: &str) -> Self {
        let code = &code[..code.floor_char_boundary(256)];
        SPECIFIED
            .iter()
            .map(|(_, reason)| reason)
            .chain(Self::REFERENCE)
            .find(|reason| reason.as_str() == code)
            .cloned()
            .unwrap_or_else(|| Self::Other(Cow::Owned(code.to_owned())))
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Reason {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::from(String::deserialize(deserializer)?.as_str()))
    }
}
