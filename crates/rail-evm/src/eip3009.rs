//! EIP-3009's authorization: its EIP-712 digest and the call that redeems it.

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use farthing_money::Asset;
use farthing_protocol::x402;

use crate::hexes::{bytes_of, bytes_up_to, quantity_of};
use crate::key::{canonical, recover};
use crate::token::Token;

/// `keccak256("TransferWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256
/// validBefore,bytes32 nonce)")`.
const TYPE_HASH: [u8; 32] =
    alloy_primitives::hex!("7c7c6cdb67a18743f49ec6fa9b35f50d52ed05cbed4cc592e13b44501c1a2267");

/// `transferWithAuthorization` with `v, r, s`.
pub(crate) const TRANSFER_VRS: [u8; 4] = [0xe3, 0xee, 0x16, 0x0e];

/// `transferWithAuthorization` with `bytes signature`.
pub(crate) const TRANSFER_BYTES: [u8; 4] = [0xcf, 0x09, 0x29, 0x95];

/// How many bytes the authorization's six words take, in the struct hash as in the call.
pub(crate) const WORDS_BYTES: usize = 192;

/// What a payer signs to pay: EIP-3009's `TransferWithAuthorization`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorization {
    /// The payer.
    pub from: Address,
    /// The payee.
    pub to: Address,
    /// Base units of the token.
    pub value: U256,
    /// Unix seconds; valid after it.
    pub valid_after: U256,
    /// Unix seconds; valid before it.
    pub valid_before: U256,
    /// Accepted once by the token for this payer.
    pub nonce: B256,
}

impl Authorization {
    /// Reads the wire's text forms: addresses and nonce in hex with `0x`, numbers in decimal digits only.
    ///
    /// # Errors
    /// The name of the field that cannot be read.
    pub fn read(wire: &x402::Authorization) -> Result<Self, &'static str> {
        Ok(Self {
            from: Address::from(bytes_of::<20>(&wire.from).ok_or("authorization.from")?),
            to: Address::from(bytes_of::<20>(&wire.to).ok_or("authorization.to")?),
            value: quantity_of(&wire.value).ok_or("authorization.value")?,
            valid_after: quantity_of(&wire.valid_after).ok_or("authorization.validAfter")?,
            valid_before: quantity_of(&wire.valid_before).ok_or("authorization.validBefore")?,
            nonce: B256::from(bytes_of::<32>(&wire.nonce).ok_or("authorization.nonce")?),
        })
    }

    /// The wire's text forms.
    #[must_use]
    pub fn to_wire(&self) -> x402::Authorization {
        x402::Authorization {
            from: self.from.to_checksum(None),
            to: self.to.to_checksum(None),
            value: self.value.to_string(),
            valid_after: self.valid_after.to_string(),
            valid_before: self.valid_before.to_string(),
            nonce: self.nonce.to_string(),
        }
    }

    /// The six fields as ABI words.
    pub(crate) fn words(&self) -> [u8; WORDS_BYTES] {
        let mut words = [0; WORDS_BYTES];
        words[12..32].copy_from_slice(self.from.as_slice());
        words[44..64].copy_from_slice(self.to.as_slice());
        words[64..96].copy_from_slice(&self.value.to_be_bytes::<32>());
        words[96..128].copy_from_slice(&self.valid_after.to_be_bytes::<32>());
        words[128..160].copy_from_slice(&self.valid_before.to_be_bytes::<32>());
        words[160..192].copy_from_slice(self.nonce.as_slice());
        words
    }

    /// The inverse of [`Self::words`].
    fn from_words(words: &[u8; WORDS_BYTES]) -> Self {
        let number = |at: usize| U256::from_be_slice(&words[at..at + 32]);
        Self {
            from: Address::from_slice(&words[12..32]),
            to: Address::from_slice(&words[44..64]),
            value: number(64),
            valid_after: number(96),
            valid_before: number(128),
            nonce: B256::from_slice(&words[160..192]),
        }
    }

    /// The authorization of this payer and nonce inside a transaction that redeems it, alone or among others.
    pub(crate) fn find(transaction: &[u8], from: Address, nonce: B256) -> Option<Self> {
        let mut words = [0; WORDS_BYTES];
        transaction.windows(WORDS_BYTES).find_map(|window| {
            let padded = window[..12] == [0; 12] && window[32..44] == [0; 12];
            if !padded || window[160..] != nonce[..] || window[12..32] != from[..] {
                return None;
            }
            words.copy_from_slice(window);
            Some(Self::from_words(&words))
        })
    }

    /// What is signed under a token's domain (EIP-712).
    #[must_use]
    pub fn digest(&self, domain_separator: &B256) -> B256 {
        let mut message = [0; 32 + WORDS_BYTES];
        message[..32].copy_from_slice(&TYPE_HASH);
        message[32..].copy_from_slice(&self.words());
        let mut outer = [0; 66];
        outer[0] = 0x19;
        outer[1] = 0x01;
        outer[2..34].copy_from_slice(domain_separator.as_slice());
        outer[34..].copy_from_slice(keccak256(message).as_slice());
        keccak256(outer)
    }

    /// The call that redeems it with a plain account's signature.
    pub(crate) fn call_vrs(&self, signature: &[u8; 65]) -> Bytes {
        let mut data = Vec::with_capacity(4 + WORDS_BYTES + 96);
        data.extend_from_slice(&TRANSFER_VRS);
        data.extend_from_slice(&self.words());
        data.extend_from_slice(&[0; 31]);
        data.push(signature[64]);
        data.extend_from_slice(&signature[..64]);
        data.into()
    }

    /// The call that redeems it with a smart wallet's signature.
    pub(crate) fn call_bytes(&self, signature: &[u8]) -> Bytes {
        let offset = U256::from(WORDS_BYTES + 32);
        let mut data = Vec::with_capacity(4 + WORDS_BYTES + 96 + signature.len());
        data.extend_from_slice(&TRANSFER_BYTES);
        data.extend_from_slice(&self.words());
        data.extend_from_slice(&offset.to_be_bytes::<32>());
        data.extend_from_slice(&U256::from(signature.len()).to_be_bytes::<32>());
        data.extend_from_slice(signature);
        let padding = signature.len().next_multiple_of(32) - signature.len();
        data.resize(data.len() + padding, 0);
        data.into()
    }
}

/// What an `exact` payload authorizes, if the payer's own key signed it for this token on this chain. Which token that
/// is stands nowhere in a payload but in its signature. None for what can't be read, for a token without a known
/// domain, and for a smart wallet's signature, which its chain alone can check.
#[must_use]
pub fn signed_for(payload: &x402::ExactEvmPayload, asset: &Asset) -> Option<Authorization> {
    let authorization = Authorization::read(&payload.authorization).ok()?;
    let separator = Token::of(asset)?.separator;
    let signature = canonical(&bytes_up_to(&payload.signature, 65)?)?;
    let signer = recover(&authorization.digest(&separator), &signature)?;
    (signer == authorization.from).then_some(authorization)
}

/// The EIP-712 domain separator of a token: name, version, chain and address.
#[must_use]
pub fn domain_separator(name: &str, version: &str, chain_id: u64, token: Address) -> B256 {
    let mut words = [0; 160];
    let type_hash = keccak256(
        b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)".as_slice(),
    );
    words[..32].copy_from_slice(type_hash.as_slice());
    words[32..64].copy_from_slice(keccak256(name).as_slice());
    words[64..96].copy_from_slice(keccak256(version).as_slice());
    words[120..128].copy_from_slice(&chain_id.to_be_bytes());
    words[140..].copy_from_slice(token.as_slice());
    keccak256(words)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::address;
    use alloy_sol_types::{Eip712Domain, SolCall, SolStruct, sol};
    use farthing_money::Registry;
    use proptest::prelude::*;
    use serde_json::Value;

    sol! {
        #[derive(Debug)]
        struct TransferWithAuthorization {
            address from;
            address to;
            uint256 value;
            uint256 validAfter;
            uint256 validBefore;
            bytes32 nonce;
        }

        interface Token {
            function transferWithAuthorization(
                address from, address to, uint256 value, uint256 validAfter, uint256 validBefore, bytes32 nonce,
                uint8 v, bytes32 r, bytes32 s
            ) external;
            function transferWithAuthorization(
                address from, address to, uint256 value, uint256 validAfter, uint256 validBefore, bytes32 nonce,
                bytes signature
            ) external;
        }
    }

    #[test]
    fn equals_what_the_reference_signs() {
        let golden: Value =
            serde_json::from_str(include_str!("../../../tests/golden/exact_evm.json")).unwrap();
        let cases = golden["cases"].as_array().unwrap();
        assert!(cases.len() >= 10, "the golden file has lost its cases");
        for case in cases {
            let domain = &case["eip712"]["domain"];
            let separator = domain_separator(
                domain["name"].as_str().unwrap(),
                domain["version"].as_str().unwrap(),
                domain["chainId"].as_u64().unwrap(),
                domain["verifyingContract"].as_str().unwrap().parse().unwrap(),
            );
            assert_eq!(separator.to_string(), case["eip712"]["domainSeparator"].as_str().unwrap());
            let wire = serde_json::from_value(case["paymentPayload"]["payload"]["authorization"].clone());
            let read = Authorization::read(&wire.unwrap()).unwrap();
            assert_eq!(read.digest(&separator).to_string(), case["eip712"]["digest"].as_str().unwrap());
            let signature: Bytes = case["signature"].as_str().unwrap().parse().unwrap();
            let call = read.call_vrs(signature.as_ref().try_into().unwrap());
            assert_eq!(call.to_string(), case["transaction"]["data"].as_str().unwrap());
            let payload = serde_json::from_value(case["paymentPayload"]["payload"].clone()).unwrap();
            let signed_for: Vec<_> = Registry::builtin()
                .iter()
                .filter(|asset| signed_for(&payload, asset).is_some())
                .cloned()
                .collect();
            assert_eq!(signed_for.len(), 1);
            let network = signed_for[0].network.evm_chain_id();
            assert_eq!(network, domain["chainId"].as_u64(), "no other chain's token");
        }
    }

    fn authorization() -> impl Strategy<Value = Authorization> {
        (
            any::<[u8; 20]>(),
            any::<[u8; 20]>(),
            any::<[u8; 32]>(),
            any::<u64>(),
            any::<u64>(),
            any::<[u8; 32]>(),
        )
            .prop_map(|(from, to, value, after, before, nonce)| Authorization {
                from: from.into(),
                to: to.into(),
                value: U256::from_be_bytes(value),
                valid_after: U256::from(after),
                valid_before: U256::from(before),
                nonce: nonce.into(),
            })
    }

    proptest! {
        #[test]
        fn digest_equals_alloys(
            auth in authorization(), name in ".{0,40}", version in ".{0,8}", chain_id in any::<u64>(),
        ) {
            let token = address!("0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913");
            let domain = Eip712Domain::new(
                Some(name.clone().into()), Some(version.clone().into()), Some(U256::from(chain_id)), Some(token), None,
            );
            let theirs = TransferWithAuthorization {
                from: auth.from, to: auth.to, value: auth.value,
                validAfter: auth.valid_after, validBefore: auth.valid_before, nonce: auth.nonce,
            };
            let ours = auth.digest(&domain_separator(&name, &version, chain_id, token));
            prop_assert_eq!(ours, theirs.eip712_signing_hash(&domain));
        }

        #[test]
        fn calls_equal_alloys(
            auth in authorization(), plain in any::<[u8; 32]>(), wallet in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let signature: [u8; 65] = [&plain[..], &plain[..], &[27]].concat().try_into().unwrap();
            let vrs = Token::transferWithAuthorization_0Call {
                from: auth.from, to: auth.to, value: auth.value, validAfter: auth.valid_after,
                validBefore: auth.valid_before, nonce: auth.nonce, v: 27, r: plain.into(), s: plain.into(),
            };
            prop_assert_eq!(auth.call_vrs(&signature), Bytes::from(vrs.abi_encode()));
            let bytes = Token::transferWithAuthorization_1Call {
                from: auth.from, to: auth.to, value: auth.value, validAfter: auth.valid_after,
                validBefore: auth.valid_before, nonce: auth.nonce, signature: wallet.clone().into(),
            };
            prop_assert_eq!(auth.call_bytes(&wallet), Bytes::from(bytes.abi_encode()));
        }

        #[test]
        fn is_found_inside_a_transaction(auth in authorization(), before in prop::collection::vec(any::<u8>(), 0..300)) {
            let raw = [&before[..], &auth.call_bytes(&[1; 70])[..]].concat();
            prop_assert_eq!(Authorization::find(&raw, auth.from, auth.nonce), Some(auth.clone()));
            prop_assert_eq!(Authorization::find(&raw, auth.from, !auth.nonce), None);
        }

        #[test]
        fn wire_form_round_trips(auth in authorization()) {
            prop_assert_eq!(Authorization::read(&auth.to_wire()), Ok(auth));
        }
    }
}
