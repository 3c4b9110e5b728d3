//! Secret keys, and who signed what.

use alloy_primitives::{Address, B256, keccak256};
use secp256k1::ecdsa::{RecoverableSignature, RecoveryId};
use secp256k1::{Message, PublicKey, SECP256K1, SecretKey};

/// Half of the curve's order: a signature with a greater `s` is the mirror of another one (EIP-2).
const HALF_ORDER: [u8; 32] =
    alloy_primitives::hex!("7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0");

/// A secret key and its address. The secret is erased when dropped and shown nowhere.
pub(crate) struct Key {
    secret: SecretKey,
    pub(crate) address: Address,
}

impl Key {
    pub(crate) fn new(secret: SecretKey) -> Self {
        let address = address_of(&secret.public_key(SECP256K1));
        Self { secret, address }
    }

    /// Signs: `r`, `s` (the lower one), `v` of 27 or 28.
    pub(crate) fn sign(&self, digest: &B256) -> [u8; 65] {
        let message = Message::from_digest(digest.0);
        let (id, compact) = SECP256K1.sign_ecdsa_recoverable(message, &self.secret).serialize_compact();
        let mut signature = [0; 65];
        signature[..64].copy_from_slice(&compact);
        signature[64] = if i32::from(id) == 0 { 27 } else { 28 };
        signature
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Key({})", self.address)
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        self.secret.non_secure_erase();
    }
}

/// The account behind a public key.
fn address_of(key: &PublicKey) -> Address {
    Address::from_slice(&keccak256(&key.serialize_uncompressed()[1..])[12..])
}

/// A plain account's signature in the form that tokens take: low `s`, `v` of 27 or 28. `v` of 0 or 1 is brought into
/// it, as some signers leave it so. `None` for what no token accepts.
pub(crate) fn canonical(signature: &[u8]) -> Option<[u8; 65]> {
    let mut signature: [u8; 65] = signature.try_into().ok()?;
    if signature[64] < 2 {
        signature[64] += 27;
    }
    let well_formed = matches!(signature[64], 27 | 28) && signature[32..64] <= HALF_ORDER[..];
    well_formed.then_some(signature)
}

/// Who made this canonical signature.
pub(crate) fn recover(digest: &B256, signature: &[u8; 65]) -> Option<Address> {
    let id = RecoveryId::try_from(i32::from(signature[64]) - 27).ok()?;
    let signature = RecoverableSignature::from_compact(&signature[..64], id).ok()?;
    let key = SECP256K1.recover_ecdsa(Message::from_digest(digest.0), &signature).ok()?;
    Some(address_of(&key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::{U256, address};
    use proptest::prelude::*;

    #[test]
    fn address_is_the_known_one() {
        // anvil's account 0
        let secret =
            alloy_primitives::hex!("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80");
        let key = Key::new(SecretKey::from_byte_array(secret).unwrap());
        assert_eq!(key.address, address!("0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"));
        assert_eq!(format!("{key:?}"), "Key(0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266)");
    }

    proptest! {
        #[test]
        fn what_is_signed_is_recovered(secret in 1u64.., digest in any::<[u8; 32]>()) {
            let secret: [u8; 32] = U256::from(secret).to_be_bytes();
            let (key, digest) = (Key::new(SecretKey::from_byte_array(secret).unwrap()), B256::from(digest));
            let signature = key.sign(&digest);
            prop_assert_eq!(canonical(&signature), Some(signature));
            prop_assert_eq!(recover(&digest, &signature), Some(key.address));
            prop_assert_ne!(recover(&!digest, &signature), Some(key.address));
            let mut short_v = signature;
            short_v[64] -= 27;
            prop_assert_eq!(canonical(&short_v), Some(signature));
        }

        #[test]
        fn mirrored_signatures_are_refused(digest in any::<[u8; 32]>()) {
            let key = Key::new(SecretKey::from_byte_array([7; 32]).unwrap());
            let mut signature = key.sign(&B256::from(digest));
            let order = U256::from_be_bytes(alloy_primitives::hex!(
                "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141"
            ));
            let mirrored = order - U256::from_be_slice(&signature[32..64]);
            signature[32..64].copy_from_slice(&mirrored.to_be_bytes::<32>());
            signature[64] = 55 - signature[64];
            prop_assert_eq!(canonical(&signature), None);
        }

        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 60..70), digest in any::<[u8; 32]>()) {
            if let Some(signature) = canonical(&bytes) {
                let _ = recover(&B256::from(digest), &signature);
            }
        }
    }
}
