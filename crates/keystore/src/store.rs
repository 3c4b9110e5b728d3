use std::path::{Path, PathBuf};

use alloy_primitives::Address;
use farthing_ambient::Entropy;
use zeroize::Zeroizing;

use crate::file::KeyFile;
use crate::{Cost, EvmKey, KeystoreError, Passphrase, Phrase, folder};

/// A key file has under 1 KiB.
const MAX_FILE_BYTES: u64 = 16 * 1024;

/// What a new key file is made from.
#[derive(Debug)]
pub enum NewKey {
    /// A recovery phrase, new or brought along.
    Phrase(Phrase),
    /// A single private key.
    Raw(EvmKey),
}

/// What anybody may know about the keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyInfo {
    /// Where the key file is.
    pub path: PathBuf,
    /// The address on EVM chains.
    pub evm: Address,
}

/// The key file, still locked.
#[derive(Debug, Clone)]
pub struct Keystore {
    info: KeyInfo,
    file: KeyFile,
}

/// The unlocked keys. Wiped from memory when dropped, and never shown.
#[derive(Debug, Clone)]
pub struct Keys {
    phrase: Option<Phrase>,
    evm: EvmKey,
}

impl Keystore {
    /// The key file's name in the wallet's folder.
    pub const FILE_NAME: &str = "keys.json";

    /// Writes a new key file into `dir`, which is made if need be. It takes a quarter of a second of computing.
    ///
    /// # Errors
    /// [`KeystoreError::Exists`] where there are keys already: nothing is ever overwritten.
    /// [`KeystoreError::EmptyPassphrase`], [`KeystoreError::Permissions`], [`KeystoreError::NoEntropy`],
    /// [`KeystoreError::Io`].
    pub fn create(
        dir: &Path,
        key: NewKey,
        passphrase: &Passphrase,
        entropy: &dyn Entropy,
    ) -> Result<KeyInfo, KeystoreError> {
        Self::create_at_cost(dir, key, passphrase, entropy, Cost::default())
    }

    /// [`Keystore::create`], with another cost of trying a passphrase: tests take a low one.
    ///
    /// # Errors
    /// As [`Keystore::create`]; [`KeystoreError::Crypto`] for an impossible cost.
    pub fn create_at_cost(
        dir: &Path,
        key: NewKey,
        passphrase: &Passphrase,
        entropy: &dyn Entropy,
        cost: Cost,
    ) -> Result<KeyInfo, KeystoreError> {
        not_empty(passphrase)?;
        folder::private_folder(dir)?;
        let path = dir.join(Self::FILE_NAME);
        if path.exists() {
            return Err(KeystoreError::Exists(path));
        }
        let keys = Keys::of(key)?;
        let file = KeyFile::seal(&keys, passphrase, cost, entropy)?;
        folder::private_file(&path, &file.text()?, entropy)?;
        Ok(KeyInfo { path, evm: keys.evm.address() })
    }

    /// Reads what is public in `dir`'s key file; nothing is unlocked.
    ///
    /// Until it is unlocked, the address is as trustworthy as the file's permissions, which are checked.
    ///
    /// # Errors
    /// [`KeystoreError::NoKeys`], [`KeystoreError::Permissions`] where others have access to folder or file,
    /// [`KeystoreError::Damaged`], [`KeystoreError::Newer`], [`KeystoreError::Io`].
    pub fn open(dir: &Path) -> Result<Self, KeystoreError> {
        Self::open_file(&dir.join(Self::FILE_NAME))
    }

    /// The same of a key file by its name, such as the one that [`Keystore::exchange`] kept.
    ///
    /// # Errors
    /// As [`Keystore::open`].
    pub fn open_file(path: &Path) -> Result<Self, KeystoreError> {
        let path = path.to_owned();
        let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if !dir.exists() {
            return Err(KeystoreError::NoKeys(path));
        }
        folder::check_folder(dir)?;
        let Some(text) = folder::read(&path, MAX_FILE_BYTES)? else {
            return Err(KeystoreError::NoKeys(path));
        };
        let file = KeyFile::parse(&path, &text)?;
        match Address::parse_checksummed(&file.addresses.evm, None) {
            Ok(evm) => Ok(Self { info: KeyInfo { path, evm }, file }),
            Err(_) => Err(KeystoreError::Damaged { path, why: "its address is not readable".to_owned() }),
        }
    }

    /// What is public.
    #[must_use]
    pub fn info(&self) -> &KeyInfo {
        &self.info
    }

    /// Decrypts the keys. It takes a tenth of a second of computing: do it once, on a thread that may block.
    ///
    /// # Errors
    /// [`KeystoreError::WrongPassphrase`], which is also what an altered file looks like;
    /// [`KeystoreError::Damaged`].
    pub fn unlock(&self, passphrase: &Passphrase) -> Result<Keys, KeystoreError> {
        self.file.open(&self.info.path, passphrase)
    }

    /// Changes the passphrase. The file is replaced at once: a crash leaves either the old or the new one, whole.
    /// The cost of trying a passphrase rises to today's default, and never falls.
    ///
    /// # Errors
    /// As [`Keystore::unlock`] and [`Keystore::create`].
    pub fn rewrap(
        &self,
        old: &Passphrase,
        new: &Passphrase,
        entropy: &dyn Entropy,
    ) -> Result<Self, KeystoreError> {
        not_empty(new)?;
        let keys = self.unlock(old)?;
        let file = KeyFile::seal(&keys, new, self.file.kdf.cost.max(Cost::default()), entropy)?;
        folder::replace_private_file(&self.info.path, &file.text()?, entropy)?;
        Ok(Self { info: self.info.clone(), file })
    }

    /// Puts another key in the place of this one, and keeps this one in a file beside it, named after its address, which
    /// `passphrase` need not open. A crash leaves the old key in its place, or both.
    ///
    /// # Errors
    /// As [`Keystore::create`]; [`KeystoreError::Exists`] where another file has the name under which this one would be kept.
    pub fn exchange(
        &self,
        key: NewKey,
        passphrase: &Passphrase,
        entropy: &dyn Entropy,
    ) -> Result<Exchanged, KeystoreError> {
        not_empty(passphrase)?;
        let keys = Keys::of(key)?;
        let file = KeyFile::seal(&keys, passphrase, self.file.kdf.cost.max(Cost::default()), entropy)?;
        let kept = self.info.path.with_file_name(format!("keys-{}.json", self.info.evm.to_checksum(None)));
        folder::keep(&self.info.path, &kept)?;
        folder::replace_private_file(&self.info.path, &file.text()?, entropy)?;
        Ok(Exchanged { new: KeyInfo { path: self.info.path.clone(), evm: keys.evm.address() }, kept })
    }
}

/// A key that took the place of another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchanged {
    /// The new key.
    pub new: KeyInfo,
    /// Where the old key file is kept.
    pub kept: PathBuf,
}

impl Keys {
    /// The key for EVM chains.
    #[must_use]
    pub fn evm(&self) -> &EvmKey {
        &self.evm
    }

    /// The recovery phrase, if the keys come from one.
    #[must_use]
    pub fn phrase(&self) -> Option<&Phrase> {
        self.phrase.as_ref()
    }

    fn of(key: NewKey) -> Result<Self, KeystoreError> {
        match key {
            NewKey::Phrase(phrase) => Self::of_phrase(phrase),
            NewKey::Raw(evm) => Ok(Self::of_key(evm)),
        }
    }

    /// The private key in hexadecimal digits, as other wallets import it. Whoever has it has the money.
    #[must_use]
    pub fn evm_hex(&self) -> Zeroizing<String> {
        // With its full size from the beginning: a string that grows leaves copies behind.
        let mut text = Zeroizing::new(String::with_capacity(66));
        text.push_str("0x");
        text.push_str(&Zeroizing::new(hex::encode(*self.evm.bytes())));
        text
    }

    pub(crate) fn of_phrase(phrase: Phrase) -> Result<Self, KeystoreError> {
        Ok(Self { evm: phrase.evm_key()?, phrase: Some(phrase) })
    }

    pub(crate) fn of_key(evm: EvmKey) -> Self {
        Self { phrase: None, evm }
    }
}

fn not_empty(passphrase: &Passphrase) -> Result<(), KeystoreError> {
    if passphrase.as_bytes().is_empty() { Err(KeystoreError::EmptyPassphrase) } else { Ok(()) }
}
