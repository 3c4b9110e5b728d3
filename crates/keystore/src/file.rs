use std::path::Path;

use farthing_ambient::Entropy;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::seal::{Lock, NONCE_BYTES, SALT_BYTES};
use crate::{Cost, EvmKey, Keys, KeystoreError, Passphrase, Phrase};

const VERSION: u64 = 1;

/// The key file as it is written. Everything beside the ciphertext is authenticated with it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyFile {
    version: u64,
    pub(crate) addresses: Addresses,
    pub(crate) kdf: Kdf,
    cipher: Cipher,
    nonce: String,
    ciphertext: String,
}

/// The addresses by family of chains; another family will be another field.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Addresses {
    pub(crate) evm: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Kdf {
    name: KdfName,
    pub(crate) cost: Cost,
    salt: String,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
enum KdfName {
    #[serde(rename = "argon2id")]
    Argon2id,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
enum Cipher {
    #[serde(rename = "xchacha20-poly1305")]
    XChaCha20Poly1305,
}

/// The first byte of the plaintext: a phrase's entropy follows, or a private key.
const KIND_PHRASE: u8 = 1;
const KIND_RAW: u8 = 2;

impl KeyFile {
    /// Encrypts the keys, and makes sure that the passphrase opens them again.
    pub(crate) fn seal(
        keys: &Keys,
        passphrase: &Passphrase,
        cost: Cost,
        entropy: &dyn Entropy,
    ) -> Result<Self, KeystoreError> {
        let mut lock = Lock { passphrase, cost, salt: [0; SALT_BYTES], nonce: [0; NONCE_BYTES] };
        entropy.fill(&mut lock.salt)?;
        entropy.fill(&mut lock.nonce)?;
        let mut file = Self {
            version: VERSION,
            addresses: Addresses { evm: keys.evm().address().to_checksum(None) },
            kdf: Kdf { name: KdfName::Argon2id, cost, salt: hex::encode(lock.salt) },
            cipher: Cipher::XChaCha20Poly1305,
            nonce: hex::encode(lock.nonce),
            ciphertext: String::new(),
        };
        let public = file.public()?;
        let ciphertext = lock.seal(&plaintext(keys), &public)?;
        // What cannot be opened again must never be the only copy of a key.
        if lock.open(&ciphertext, &public)?.is_none() {
            return Err(KeystoreError::Crypto("the encrypted keys do not open again".to_owned()));
        }
        file.ciphertext = hex::encode(ciphertext);
        Ok(file)
    }

    /// Decrypts the keys.
    pub(crate) fn open(&self, path: &Path, passphrase: &Passphrase) -> Result<Keys, KeystoreError> {
        let damaged = |why: &str| KeystoreError::Damaged { path: path.into(), why: why.to_owned() };
        let lock = Lock {
            passphrase,
            cost: self.kdf.cost,
            salt: array(&self.kdf.salt).ok_or_else(|| damaged("its salt is not readable"))?,
            nonce: array(&self.nonce).ok_or_else(|| damaged("its nonce is not readable"))?,
        };
        let ciphertext = unhex(&self.ciphertext).ok_or_else(|| damaged("its ciphertext is not readable"))?;
        let secret = lock.open(&ciphertext, &self.public()?)?;
        let secret = secret.ok_or_else(|| KeystoreError::WrongPassphrase(path.into()))?;
        let keys = keys(&secret)?.ok_or_else(|| damaged("it holds keys of an unknown kind"))?;
        if keys.evm().address().to_checksum(None) != self.addresses.evm {
            return Err(damaged("its address belongs to another key"));
        }
        Ok(keys)
    }

    /// Reads the file's text.
    pub(crate) fn parse(path: &Path, text: &[u8]) -> Result<Self, KeystoreError> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u64,
        }
        let damaged = |error: serde_json::Error| KeystoreError::Damaged {
            path: path.into(),
            why: format!("it is not the JSON of a key file: {error}"),
        };
        let found = serde_json::from_slice::<Versioned>(text).map_err(damaged)?.version;
        if found > VERSION {
            return Err(KeystoreError::Newer { path: path.into(), found, known: VERSION });
        }
        serde_json::from_slice(text).map_err(damaged)
    }

    /// The file's text.
    pub(crate) fn text(&self) -> Result<Vec<u8>, KeystoreError> {
        let mut text = serde_json::to_vec_pretty(self).map_err(unwritable)?;
        text.push(b'\n');
        Ok(text)
    }

    /// What is authenticated beside the ciphertext: all the rest of the file.
    fn public(&self) -> Result<Vec<u8>, KeystoreError> {
        serde_json::to_vec(&Self { ciphertext: String::new(), ..self.clone() }).map_err(unwritable)
    }
}

fn plaintext(keys: &Keys) -> Zeroizing<Vec<u8>> {
    // With its full size from the beginning: a buffer that grows leaves copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(33));
    match keys.phrase() {
        Some(phrase) => {
            bytes.push(KIND_PHRASE);
            bytes.extend_from_slice(&phrase.entropy());
        }
        None => {
            bytes.push(KIND_RAW);
            bytes.extend_from_slice(&*keys.evm().bytes());
        }
    }
    bytes
}

fn keys(plaintext: &[u8]) -> Result<Option<Keys>, KeystoreError> {
    match plaintext.split_first() {
        Some((&KIND_PHRASE, entropy)) => Keys::of_phrase(Phrase::from_entropy(entropy)?).map(Some),
        Some((&KIND_RAW, key)) => Ok(Some(Keys::of_key(EvmKey::from_bytes(key)?))),
        _ => Ok(None),
    }
}

fn array<const N: usize>(text: &str) -> Option<[u8; N]> {
    unhex(text)?.try_into().ok()
}

/// Lower case only, as it was written: two spellings of one file would be one too many.
fn unhex(text: &str) -> Option<Vec<u8>> {
    hex::decode(text).ok().filter(|bytes| hex::encode(bytes) == text)
}

fn unwritable(error: serde_json::Error) -> KeystoreError {
    KeystoreError::Crypto(format!("the key file cannot be written as JSON: {error}"))
}
