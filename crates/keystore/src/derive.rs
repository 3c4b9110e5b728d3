//! BIP-32, the private half of it: fewer lines than the second curve implementation that a crate would bring.
use hmac::{Hmac, Mac};
use secp256k1::{PublicKey, Scalar, SecretKey};
use sha2::Sha512;
use zeroize::Zeroizing;

use crate::KeystoreError;

/// From here on, an index derives from the private key alone.
const HARDENED: u32 = 1 << 31;

/// A private key with the chain code that its children are made with.
pub(crate) struct Extended {
    key: SecretKey,
    chain: Zeroizing<[u8; 32]>,
}

impl Extended {
    /// The root of a seed.
    pub(crate) fn master(seed: &[u8]) -> Result<Self, KeystoreError> {
        let (left, chain) = mac(b"Bitcoin seed", &[seed])?;
        let key = SecretKey::from_byte_array(*left).map_err(|_| impossible())?;
        Ok(Self { key, chain })
    }

    /// BIP-44's first address of the first account of a coin: m/44'/coin'/0'/0/0.
    pub(crate) fn account(self, coin: u32) -> Result<SecretKey, KeystoreError> {
        let mut node = self;
        for index in [44 | HARDENED, coin | HARDENED, HARDENED, 0, 0] {
            node = node.child(index)?;
        }
        Ok(node.key)
    }

    fn child(&self, index: u32) -> Result<Self, KeystoreError> {
        let (left, chain) = if index >= HARDENED {
            let secret = Zeroizing::new(self.key.secret_bytes());
            mac(&*self.chain, &[&[0], &*secret, &index.to_be_bytes()])?
        } else {
            let public = PublicKey::from_secret_key_global(&self.key).serialize();
            mac(&*self.chain, &[&public, &index.to_be_bytes()])?
        };
        let tweak = Scalar::from_be_bytes(*left).map_err(|_| impossible())?;
        let key = self.key.add_tweak(&tweak).map_err(|_| impossible())?;
        Ok(Self { key, chain })
    }
}

impl Drop for Extended {
    fn drop(&mut self) {
        self.key.non_secure_erase();
    }
}

type Half = Zeroizing<[u8; 32]>;

fn mac(key: &[u8], parts: &[&[u8]]) -> Result<(Half, Half), KeystoreError> {
    let mut mac = Hmac::<Sha512>::new_from_slice(key).map_err(|_| impossible())?;
    for part in parts {
        mac.update(part);
    }
    let bytes: Zeroizing<[u8; 64]> = Zeroizing::new(mac.finalize().into_bytes().into());
    let mut halves = (Half::default(), Half::default());
    halves.0.copy_from_slice(&bytes[..32]);
    halves.1.copy_from_slice(&bytes[32..]);
    Ok(halves)
}

/// BIP-32 says what happens once in 2^127 times: this key does not exist.
fn impossible() -> KeystoreError {
    KeystoreError::Crypto("this seed has no such key".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of BIP-32's test vectors: seed, path, private key (decoded from the xprv strings).
    #[test]
    fn matches_the_vectors_of_bip_32() {
        let h = |index: u32| index | HARDENED;
        for (seed, path, key) in [
            (
                "000102030405060708090a0b0c0d0e0f",
                vec![],
                "e8f32e723decf4051aefac8e2c93c9c5b214313817cdb01a1494b917c8436b35",
            ),
            (
                "000102030405060708090a0b0c0d0e0f",
                vec![h(0), 1, h(2), 2, 1_000_000_000],
                "471b76e389e528d6de6d816857e012c5455051cad6660850e58372a6c3e6e7c8",
            ),
            // Leading zeros must stay (vectors 3 and 4).
            (
                "4b381541583be4423346c643850da4b320e46a87ae3d2a4e6da11eba819cd4acba45d239319ac14f863b8d5ab5a0d0c64d2e8a1e7d1457df2e5a3c51c73235be",
                vec![h(0)],
                "491f7a2eebc7b57028e0d3faa0acda02e75c33b03c48fb288c41e2ea44e1daef",
            ),
            (
                "3ddd5602285899a946114506157c7997e5444528f3003f6134712147db19b678",
                vec![h(0), h(1)],
                "3a2086edd7d9df86c3487a5905a1712a9aa664bce8cc268141e07549eaa8661d",
            ),
        ] {
            let mut node = Extended::master(&hex::decode(seed).unwrap()).unwrap();
            for index in path {
                node = node.child(index).unwrap();
            }
            assert_eq!(hex::encode(node.key.secret_bytes()), key);
        }
    }
}
