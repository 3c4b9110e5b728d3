//! Signing for the tests: EIP-712 by alloy, ECDSA by libsecp256k1, independent of the code of other crates.

#![allow(dead_code, reason = "each test file uses its part")]

use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_sol_types::{Eip712Domain, SolStruct, sol};
use farthing_devnet::{
    Account, Base, Error, Receipt,
    abi::IUsdc::{self, transferWithAuthorization_0Call, transferWithAuthorization_1Call},
    accounts::FACILITATOR,
};
use secp256k1::{Message, SECP256K1, SecretKey};

sol! {
    #[derive(Debug)]
    struct TransferWithAuthorization {
        address from; address to; uint256 value; uint256 validAfter; uint256 validBefore; bytes32 nonce;
    }
    #[derive(Debug)]
    struct ReceiveWithAuthorization {
        address from; address to; uint256 value; uint256 validAfter; uint256 validBefore; bytes32 nonce;
    }
    #[derive(Debug)]
    struct CancelAuthorization { address authorizer; bytes32 nonce; }
    #[derive(Debug)]
    struct Permit { address owner; address spender; uint256 value; uint256 nonce; uint256 deadline; }
}

/// A signature in the forms that the contracts take.
#[derive(Clone, Debug)]
pub(crate) struct Signature {
    pub(crate) v: u8,
    pub(crate) r: B256,
    pub(crate) s: B256,
}

impl Signature {
    pub(crate) fn bytes(&self) -> Bytes {
        [&self.r[..], &self.s[..], &[self.v]].concat().into()
    }

    /// The same signature's mirror: v flipped, s above half of the order.
    pub(crate) fn mirrored(&self) -> Self {
        let order = U256::from_be_slice(&secp256k1::constants::CURVE_ORDER);
        let s = B256::from(order - U256::from_be_bytes(self.s.0));
        Self { v: 55 - self.v, r: self.r, s }
    }
}

pub(crate) fn domain(chain: &Base) -> Eip712Domain {
    let name = if chain.chain_id() == farthing_devnet::BASE { "USD Coin" } else { "USDC" };
    Eip712Domain::new(
        Some(name.into()),
        Some("2".into()),
        Some(U256::from(chain.chain_id())),
        Some(chain.usdc()),
        None,
    )
}

pub(crate) fn sign(chain: &Base, account: &Account, message: &impl SolStruct) -> Signature {
    let digest = message.eip712_signing_hash(&domain(chain));
    let key = SecretKey::from_byte_array(account.private_key.0).unwrap();
    let (id, bytes) =
        SECP256K1.sign_ecdsa_recoverable(Message::from_digest(digest.0), &key).serialize_compact();
    let v = 27 + u8::try_from(i32::from(id)).unwrap();
    Signature { v, r: B256::from_slice(&bytes[..32]), s: B256::from_slice(&bytes[32..]) }
}

/// An authorization that is valid now, for a long time.
pub(crate) fn authorization(from: Address, to: Address, value: u64, nonce: u8) -> TransferWithAuthorization {
    TransferWithAuthorization {
        from,
        to,
        value: U256::from(value),
        validAfter: U256::ZERO,
        validBefore: U256::from(u64::MAX),
        nonce: B256::repeat_byte(nonce),
    }
}

pub(crate) fn split_form(
    message: &TransferWithAuthorization,
    signature: &Signature,
) -> transferWithAuthorization_0Call {
    transferWithAuthorization_0Call {
        from: message.from,
        to: message.to,
        value: message.value,
        validAfter: message.validAfter,
        validBefore: message.validBefore,
        nonce: message.nonce,
        v: signature.v,
        r: signature.r,
        s: signature.s,
    }
}

pub(crate) fn bytes_form(
    message: &TransferWithAuthorization,
    signature: Bytes,
) -> transferWithAuthorization_1Call {
    transferWithAuthorization_1Call {
        from: message.from,
        to: message.to,
        value: message.value,
        validAfter: message.validAfter,
        validBefore: message.validBefore,
        nonce: message.nonce,
        signature,
    }
}

/// Signs and settles, from the facilitator, in the form with `bytes signature`.
pub(crate) async fn pay(
    chain: &Base,
    payer: &Account,
    message: &TransferWithAuthorization,
) -> Result<Receipt, Error> {
    let signature = sign(chain, payer, message).bytes();
    chain.send(FACILITATOR.address, chain.usdc(), bytes_form(message, signature)).await
}

/// The contract's words where a call was refused.
pub(crate) fn reason<T: std::fmt::Debug>(outcome: Result<T, Error>) -> String {
    let error = outcome.unwrap_err();
    error.revert_reason().unwrap_or_else(|| panic!("not the contract's own words: {error:?}"))
}

/// The transfers that a receipt shows, as (from, to, value).
pub(crate) fn transfers(chain: &Base, receipt: &Receipt) -> Vec<(Address, Address, U256)> {
    let events = receipt.events::<IUsdc::Transfer>(chain.usdc());
    events.into_iter().map(|event| (event.from, event.to, event.value)).collect()
}
