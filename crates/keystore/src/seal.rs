use argon2::{Algorithm, Argon2, Params, Version};
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{KeystoreError, Passphrase};

/// How much work it is to try one passphrase (argon2id). It stands in the key file, so it can rise later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cost {
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Passes over the memory.
    pub passes: u32,
    /// Independent lanes.
    pub lanes: u32,
}

impl Default for Cost {
    /// 64 MiB and three passes: RFC 9106's second recommendation with one lane, about a tenth of a second.
    fn default() -> Self {
        Self { memory_kib: 64 * 1024, passes: 3, lanes: 1 }
    }
}

impl Cost {
    /// A file from elsewhere must not take all memory or run for an hour.
    const MAX: Self = Self { memory_kib: 1024 * 1024, passes: 16, lanes: 16 };

    /// The larger of both in every respect.
    pub(crate) fn max(self, other: Self) -> Self {
        Self {
            memory_kib: self.memory_kib.max(other.memory_kib),
            passes: self.passes.max(other.passes),
            lanes: self.lanes.max(other.lanes),
        }
    }

    fn params(self) -> Result<Params, KeystoreError> {
        if self.max(Self::MAX) != Self::MAX {
            return Err(KeystoreError::Crypto(format!("the costs {self:?} are above {:?}", Self::MAX)));
        }
        Params::new(self.memory_kib, self.passes, self.lanes, Some(32))
            .map_err(|error| KeystoreError::Crypto(format!("the costs {self:?} are impossible: {error}")))
    }
}

/// The length of the salt in bytes.
pub(crate) const SALT_BYTES: usize = 16;
/// The length of the nonce in bytes: long enough to be random.
pub(crate) const NONCE_BYTES: usize = 24;

/// What is done to a passphrase to get the cipher of one file.
pub(crate) struct Lock<'a> {
    pub(crate) passphrase: &'a Passphrase,
    pub(crate) cost: Cost,
    pub(crate) salt: [u8; SALT_BYTES],
    pub(crate) nonce: [u8; NONCE_BYTES],
}

impl Lock<'_> {
    /// Encrypts `secret`, and authenticates `public` with it.
    pub(crate) fn seal(&self, secret: &[u8], public: &[u8]) -> Result<Vec<u8>, KeystoreError> {
        self.cipher()?
            .encrypt(&XNonce::from(self.nonce), Payload { msg: secret, aad: public })
            .map_err(|_| KeystoreError::Crypto("encryption failed".to_owned()))
    }

    /// The secret; `None` where the passphrase, `sealed` or `public` are others than at sealing.
    pub(crate) fn open(
        &self,
        sealed: &[u8],
        public: &[u8],
    ) -> Result<Option<Zeroizing<Vec<u8>>>, KeystoreError> {
        let payload = Payload { msg: sealed, aad: public };
        Ok(self.cipher()?.decrypt(&XNonce::from(self.nonce), payload).ok().map(Zeroizing::new))
    }

    fn cipher(&self) -> Result<XChaCha20Poly1305, KeystoreError> {
        let mut key = Zeroizing::new([0; 32]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, self.cost.params()?)
            .hash_password_into(self.passphrase.as_bytes(), &self.salt, &mut *key)
            .map_err(|error| KeystoreError::Crypto(error.to_string()))?;
        Ok(XChaCha20Poly1305::new((&*key).into()))
    }
}
