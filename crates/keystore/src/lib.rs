//! The wallet's keys.
//!
//! What this crate is for: one BIP-39 recovery phrase (or one private key brought along), encrypted in one file of
//! the wallet's folder, and the ways to unlock it when nobody is there to type a passphrase.
//!
//! What it promises: the file is encrypted (argon2id, XChaCha20-Poly1305) and every byte of it is authenticated; its
//! address can be read without unlocking. It is written whole or not at all, never over another, with mode 0600 in a
//! folder of mode 0700, and not read where others have access. Secrets are wiped from memory when dropped, and stand
//! in no error and no debug output. Keys are derived as other wallets do it: BIP-32, BIP-44, m/44'/60'/0'/0/0.
//!
//! ```
//! use farthing_ambient::SeededEntropy; // the operating system's OsEntropy outside of tests
//! use farthing_keystore::{Cost, Keystore, NewKey, Passphrase, Phrase};
//! # let home = tempfile::tempdir()?;
//! # let dir = home.path().join("farthing");
//! let entropy = SeededEntropy::new(1);
//! let phrase = Phrase::parse("test test test test test test test test test test test junk")?;
//! let passphrase = Passphrase::new("correct horse battery staple".to_owned());
//! let cheap = Cost { memory_kib: 8, passes: 1, lanes: 1 };
//! Keystore::create_at_cost(&dir, NewKey::Phrase(phrase), &passphrase, &entropy, cheap)?;
//!
//! let keystore = Keystore::open(&dir)?;
//! let address = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";
//! assert_eq!(keystore.info().evm.to_checksum(None), address);
//! let keys = keystore.unlock(&passphrase)?;
//! assert_eq!(keys.evm().address(), keystore.info().evm);
//! assert_eq!(format!("{keys:?}"), format!("Keys {{ phrase: Some(Phrase), evm: EvmKey({address}) }}"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod bounded;
mod command;
mod derive;
mod descriptor;
mod error;
mod evm;
mod file;
mod folder;
#[cfg_attr(not(feature = "os-keyring"), path = "keyring_absent.rs")]
mod keyring;
mod passphrase;
mod phrase;
mod prompt;
mod seal;
mod store;
mod unlock;

pub use error::{KeystoreError, UnlockError};
pub use evm::EvmKey;
pub use folder::{private_file, private_folder, replace_private_file, secret_file};
pub use keyring::{forget_in_keyring, is_in_keyring, keep_in_keyring, replace_in_keyring};
pub use passphrase::Passphrase;
pub use phrase::{Phrase, Words};
pub use prompt::{ask_new_passphrase, ask_passphrase, ask_secret};
pub use seal::Cost;
pub use store::{Exchanged, KeyInfo, Keys, Keystore, NewKey};
pub use unlock::{PASSPHRASE_VARIABLE, Unlock};
