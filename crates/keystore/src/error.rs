use std::io;
use std::path::PathBuf;

use farthing_ambient::NoEntropy;

/// Why keys could not be made, kept or opened. No message holds a secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeystoreError {
    /// There is no key file.
    #[error("there are no keys at {}: run `farthing init`, or set FARTHING_HOME", .0.display())]
    NoKeys(PathBuf),
    /// There is a key file already, and it is never written over.
    #[error("there are keys at {} already, and they are never overwritten", .0.display())]
    Exists(PathBuf),
    /// Others can read the file or change the folder.
    #[error("others have access to {} (mode {mode:03o}): run `chmod {wanted:03o} '{}'`", .path.display(), .path.display())]
    Permissions {
        /// The file or folder.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
        /// The permissions that it must have.
        wanted: u32,
    },
    /// The file is not as Farthing wrote it.
    #[error("the key file {} is damaged: {why}; restore it from a backup, or from the recovery phrase", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        why: String,
    },
    /// A newer Farthing wrote the file.
    #[error("the key file {} has version {found}, newer than this program's {known}: use the newer farthing", .path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u64,
        /// The newest that this program knows.
        known: u64,
    },
    /// The passphrase is another one, or the file was changed: cryptography cannot tell the two apart.
    #[error("the passphrase does not open {}: it is wrong, or the file was altered", .0.display())]
    WrongPassphrase(PathBuf),
    /// An empty passphrase protects nothing.
    #[error("the passphrase is empty")]
    EmptyPassphrase,
    /// The words are no BIP-39 recovery phrase.
    #[error("this is not a recovery phrase: {0}")]
    BadPhrase(String),
    /// The text is no private key.
    #[error("this is not a private key: 64 hexadecimal digits are needed, of a number that the curve allows")]
    BadKey,
    /// The system gave no random bytes.
    #[error(transparent)]
    NoEntropy(#[from] NoEntropy),
    /// Deriving or stretching failed, which happens with impossible parameters only.
    #[error("the keys could not be computed: {0}")]
    Crypto(String),
    /// The file system failed.
    #[error("cannot {action} {}", .path.display())]
    Io {
        /// What was attempted: `read`, `write`.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl KeystoreError {
    /// For `map_err` on an operation of the file system.
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}

/// Why no passphrase could be had. No message holds one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnlockError {
    /// Nothing offers a passphrase.
    #[error(
        "the wallet is locked and nothing gives a passphrase: set FARTHING_PASSPHRASE; or configure `unlock` as \
         `{{fd: N}}`, `{{command: [pass, show, farthing]}}` or `keyring`; or run on a terminal to be asked"
    )]
    NoSource,
    /// A source offers something that cannot be a passphrase.
    #[error("the passphrase from {from} {why}")]
    Unusable {
        /// Where it came from.
        from: String,
        /// What is wrong with it: `is empty`.
        why: &'static str,
    },
    /// The file descriptor cannot be read.
    #[error("the passphrase cannot be read from file descriptor {fd}")]
    Fd {
        /// Its number.
        fd: u32,
        /// What the system said.
        source: io::Error,
    },
    /// The command cannot be run, or failed.
    #[error("the command `{program}` gave no passphrase: {why}")]
    Command {
        /// The program.
        program: String,
        /// What happened.
        why: String,
    },
    /// The operating system's keyring failed, or is not there.
    #[error("the keyring gave no passphrase: {0}")]
    Keyring(String),
    /// The terminal failed.
    #[error("the terminal gave no passphrase")]
    Prompt(#[source] io::Error),
    /// The two new passphrases differ.
    #[error("the two passphrases differ")]
    Differ,
}
