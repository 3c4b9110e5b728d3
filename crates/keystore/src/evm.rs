use std::fmt;

use alloy_primitives::Address;
use secp256k1::{PublicKey, SecretKey};
use zeroize::Zeroizing;

use crate::KeystoreError;

/// A private key for EVM chains. Wiped from memory when dropped, and never shown.
pub struct EvmKey(SecretKey);

impl EvmKey {
    /// The curve's key as a wallet's key.
    #[must_use]
    pub fn new(key: SecretKey) -> Self {
        Self(key)
    }

    /// Reads 64 hexadecimal digits, with or without `0x`.
    ///
    /// # Errors
    /// [`KeystoreError::BadKey`], without the text.
    pub fn from_hex(text: &str) -> Result<Self, KeystoreError> {
        let text = text.trim();
        let mut bytes = Zeroizing::new([0; 32]);
        hex::decode_to_slice(text.strip_prefix("0x").unwrap_or(text), &mut *bytes)
            .map_err(|_| KeystoreError::BadKey)?;
        Self::from_bytes(&*bytes)
    }

    /// The key for signing. Copies of it are the caller's to wipe.
    #[must_use]
    pub fn secret_key(&self) -> &SecretKey {
        &self.0
    }

    /// The address that the key signs for; `to_checksum(None)` writes it as people know it.
    #[must_use]
    pub fn address(&self) -> Address {
        let public = PublicKey::from_secret_key_global(&self.0).serialize_uncompressed();
        Address::from_raw_public_key(&public[1..])
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, KeystoreError> {
        let bytes = Zeroizing::new(<[u8; 32]>::try_from(bytes).map_err(|_| KeystoreError::BadKey)?);
        SecretKey::from_byte_array(*bytes).map(Self).map_err(|_| KeystoreError::BadKey)
    }

    pub(crate) fn bytes(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.secret_bytes())
    }
}

impl Clone for EvmKey {
    fn clone(&self) -> Self {
        Self(self.0)
    }
}

impl Drop for EvmKey {
    fn drop(&mut self) {
        self.0.non_secure_erase();
    }
}

impl fmt::Debug for EvmKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EvmKey({})", self.address())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: &str = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";

    #[test]
    fn reads_keys_as_wallets_export_them() {
        for text in [FIRST.to_owned(), format!("0x{FIRST}\n"), FIRST.to_uppercase()] {
            let address = EvmKey::from_hex(&text).unwrap().address().to_checksum(None);
            assert_eq!(address, "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266");
        }
    }

    #[test]
    fn refuses_what_is_no_key_without_repeating_it() {
        let above_the_order = "f".repeat(64);
        for text in ["", "0x", "abc", &FIRST[2..], &"0".repeat(64), &above_the_order, &format!("{FIRST}00")] {
            let error = EvmKey::from_hex(text).unwrap_err().to_string();
            assert!(text.len() < 5 || !error.contains(text), "{error}");
        }
    }
}
