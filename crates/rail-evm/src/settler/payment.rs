//! A payment's checks that need no chain, cheapest first.

use std::sync::Arc;

use alloy_primitives::{Address, B256, Bytes, U256, b256};
use alloy_sol_types::SolValue;
use farthing_ambient::Timestamp;
use farthing_protocol::x402::{ExactEvmPayload, Reason};
use farthing_protocol::{PaymentKey, Requirements};
use farthing_rail::{RailError, VerifyError};
use serde_json::value::RawValue;

use crate::eip3009::Authorization;
use crate::hexes::{bytes_up_to, payable_address};
use crate::key::{canonical, recover};
use crate::token::Token;

/// The longest signature that is read, in bytes. ERC-6492 with a passkey's signature has about 2 KB.
const MAX_SIGNATURE_BYTES: usize = 8 * 1024;

/// How long a payment must stay valid to be worth sending, in seconds (the reference's).
pub(super) const MIN_VALIDITY_S: i64 = 6;

/// What an ERC-6492 signature ends with.
const ERC6492_MAGIC: B256 = b256!("6492649264926492649264926492649264926492649264926492649264926492");

/// A payment that passed every check that needs no chain.
#[derive(Debug, Clone)]
pub(super) struct Payment {
    pub(super) key: PaymentKey,
    pub(super) token: Arc<Token>,
    pub(super) authorization: Authorization,
    pub(super) signature: Signature,
}

/// A signature by what can be said of it without the chain.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Signature {
    /// Made by the payer's own key, in canonical form: good, if the payer is a plain account.
    Own([u8; 65]),
    /// Anything else: good only if the payer has code that accepts it (ERC-1271).
    Wallet(Bytes),
    /// ERC-6492: as `Wallet`, once `factory` was called with `data`.
    Undeployed { factory: Address, data: Bytes, inner: Bytes },
}

impl std::fmt::Debug for Signature {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Own(_) => "Own(..)",
            Self::Wallet(_) => "Wallet(..)",
            Self::Undeployed { .. } => "Undeployed(..)",
        })
    }
}

/// An invalid payment.
pub(super) fn invalid(reason: Reason, message: impl Into<String>, payer: Option<Address>) -> VerifyError {
    VerifyError::Invalid {
        reason,
        message: message.into(),
        payer: payer.map(|payer| payer.to_checksum(None)),
    }
}

impl Payment {
    /// Reads a payment and checks it against the terms. `tokens` are those of the terms' network.
    pub(super) fn check(
        terms: &Requirements,
        payload: &RawValue,
        tokens: &[Arc<Token>],
        now: Timestamp,
    ) -> Result<Self, VerifyError> {
        if terms.scheme != "exact" {
            return Err(invalid(Reason::EVM_SCHEME, "only `exact` is settled on EVM networks", None));
        }
        let (authorization, signature) = read(payload)?;
        let payer = Some(authorization.from);
        let token = token_of(terms, tokens, payer)?;
        let terms_hold = check_fields(terms, &authorization, now);
        let signature = classify(&signature, &authorization.digest(&token.separator), authorization.from)
            .ok_or_else(|| {
                invalid(Reason::EVM_SIGNATURE, "the signature has a form that no account makes", payer)
            })?;
        match (terms_hold, &signature) {
            // A forged or altered payment is called that, as the reference does, and not by what else is wrong.
            (Err(error), Signature::Wallet(bytes)) if bytes.len() == 65 => Err(invalid(
                Reason::EVM_SIGNATURE,
                format!("the signature is not the payer's over these fields; also: {error}"),
                payer,
            )),
            (Err(error), _) => Err(error),
            (Ok(()), _) => {
                let key = PaymentKey::eip3009(
                    &terms.network,
                    token.address.into_array(),
                    authorization.from.into_array(),
                    authorization.nonce.0,
                );
                Ok(Self { key, token, authorization, signature })
            }
        }
    }

    /// A payment that was checked before, by whoever has it on record: only what names it on the chain is read.
    pub(super) fn known(
        terms: &Requirements,
        payload: &RawValue,
        tokens: &[Arc<Token>],
    ) -> Result<Self, RailError> {
        let broken =
            |why: String| RailError::Configuration(format!("the payment on record cannot be read: {why}"));
        let (authorization, signature) = read(payload).map_err(|error| broken(error.to_string()))?;
        let address = payable_address(&terms.asset);
        let token = tokens.iter().find(|token| Some(token.address) == address);
        let token =
            token.ok_or_else(|| broken(format!("the asset {} is not settled here", terms.asset)))?.clone();
        let key = PaymentKey::of(terms, payload).map_err(|error| broken(error.to_string()))?;
        Ok(Self { key, token, authorization, signature: Signature::Wallet(signature.into()) })
    }

    /// When it expires on the chain.
    pub(super) fn valid_before(&self) -> Timestamp {
        let second = i64::try_from(self.authorization.valid_before).ok();
        second.and_then(|second| Timestamp::from_second(second).ok()).unwrap_or(Timestamp::MAX)
    }

    pub(super) fn payer(&self) -> String {
        self.authorization.from.to_checksum(None)
    }

    /// The call of the token that redeems it.
    pub(super) fn transfer_call(&self) -> Bytes {
        match &self.signature {
            Signature::Own(signature) => self.authorization.call_vrs(signature),
            Signature::Wallet(bytes) | Signature::Undeployed { inner: bytes, .. } => {
                self.authorization.call_bytes(bytes)
            }
        }
    }
}

fn read(payload: &RawValue) -> Result<(Authorization, Vec<u8>), VerifyError> {
    let wire: ExactEvmPayload = serde_json::from_str(payload.get())
        .map_err(|error| invalid(Reason::InvalidPayload, format!("`payload` is not valid: {error}"), None))?;
    let authorization = Authorization::read(&wire.authorization).map_err(|field| {
        let payer = payable_address(&wire.authorization.from);
        invalid(Reason::InvalidPayload, format!("`{field}` is not valid"), payer)
    })?;
    let signature = bytes_up_to(&wire.signature, MAX_SIGNATURE_BYTES).filter(|bytes| !bytes.is_empty());
    let payer = Some(authorization.from);
    let unreadable = || invalid(Reason::EVM_SIGNATURE, "`signature` is not hex of a usable length", payer);
    Ok((authorization, signature.ok_or_else(unreadable)?))
}

/// The token of the terms, if it is known and the terms name the domain that it signs under.
fn token_of(
    terms: &Requirements,
    tokens: &[Arc<Token>],
    payer: Option<Address>,
) -> Result<Arc<Token>, VerifyError> {
    let method = terms.extra.0.get("assetTransferMethod").filter(|value| !value.is_null());
    if method.is_some_and(|method| method.as_str() != Some("eip3009")) {
        return Err(invalid(
            Reason::UNSUPPORTED_PAYLOAD_TYPE,
            "only the transfer method eip3009 is settled",
            payer,
        ));
    }
    let named = |key| terms.extra.str(key).filter(|text: &&str| !text.is_empty());
    let (Some(name), Some(version)) = (named("name"), named("version")) else {
        let message = "`extra.name` and `extra.version` of the token's EIP-712 domain are missing";
        return Err(invalid(Reason::EVM_MISSING_EIP712_DOMAIN, message, payer));
    };
    let address = payable_address(&terms.asset);
    let token = tokens.iter().find(|token| Some(token.address) == address).ok_or_else(|| {
        let message =
            format!("the asset {} on {} is not settled here", terms.asset.escape_debug(), terms.network);
        invalid(Reason::InvalidPaymentRequirements, message, payer)
    })?;
    if name != token.name {
        let message = format!("`extra.name` is not `{}`, which the token signs under", token.name);
        return Err(invalid(Reason::EVM_TOKEN_NAME_MISMATCH, message, payer));
    }
    if version != token.version {
        let message = format!("`extra.version` is not `{}`, which the token signs under", token.version);
        return Err(invalid(Reason::EVM_TOKEN_VERSION_MISMATCH, message, payer));
    }
    Ok(token.clone())
}

fn check_fields(
    terms: &Requirements,
    authorization: &Authorization,
    now: Timestamp,
) -> Result<(), VerifyError> {
    let payer = Some(authorization.from);
    let payee = payable_address(&terms.pay_to).ok_or_else(|| {
        invalid(Reason::InvalidPaymentRequirements, "`payTo` is not an address that can be paid", payer)
    })?;
    if authorization.to != payee {
        return Err(invalid(
            Reason::EVM_RECIPIENT_MISMATCH,
            "the payment goes to somebody else than `payTo`",
            payer,
        ));
    }
    let now_s = U256::from(now.as_second().max(0).unsigned_abs());
    if authorization.valid_before < now_s + U256::from(MIN_VALIDITY_S) {
        return Err(invalid(Reason::EVM_VALID_BEFORE, "the payment has expired or is about to", payer));
    }
    if authorization.valid_after > now_s {
        return Err(invalid(Reason::EVM_VALID_AFTER, "the payment is not valid yet", payer));
    }
    if authorization.value != U256::from(terms.amount.get()) {
        let message = format!("the payment is of {}, not of {}", authorization.value, terms.amount);
        return Err(invalid(Reason::EVM_VALUE_MISMATCH, message, payer));
    }
    Ok(())
}

fn classify(signature: &[u8], digest: &B256, payer: Address) -> Option<Signature> {
    if signature.ends_with(ERC6492_MAGIC.as_slice()) {
        let wrapped = &signature[..signature.len() - 32];
        let (factory, data, inner) = <(Address, Bytes, Bytes)>::abi_decode_params(wrapped).ok()?;
        return Some(Signature::Undeployed { factory, data, inner });
    }
    match canonical(signature) {
        Some(own) if recover(digest, &own) == Some(payer) => Some(Signature::Own(own)),
        _ => Some(Signature::Wallet(Bytes::copy_from_slice(signature))),
    }
}

#[cfg(test)]
#[path = "payment_tests.rs"]
mod tests;
