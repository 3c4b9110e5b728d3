use alloy_primitives::Address;
use serde::{Deserialize, Deserializer, Serialize};
use zeroize::Zeroizing;

use crate::{Passphrase, UnlockError, command, descriptor, keyring, prompt};

/// Where the passphrase comes from when the environment does not give it: `unlock:` in the configuration.
///
/// ```
/// # use farthing_keystore::Unlock;
/// let unlock: Unlock = serde_json::from_str(r#"{"command": ["pass", "show", "farthing"]}"#)?;
/// assert_eq!(unlock, Unlock::Command(["pass", "show", "farthing"].map(String::from).to_vec()));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unlock {
    /// The first line that a file descriptor gives, which the parent process opened: `fd: 3`.
    Fd(#[serde(deserialize_with = "whole")] u32),
    /// The first line that a program prints, within ten seconds: `command: [pass, show, farthing]`. No shell is
    /// involved.
    Command(Vec<String>),
    /// The operating system's keyring: `keyring`.
    Keyring,
    /// The person at the terminal: `prompt`.
    Prompt,
}

/// A number that is written as one: a text is a mistake, whatever a reader of YAML could make of it.
fn whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected the number of a descriptor, without quotes")]
    enum Number {
        Whole(u32),
    }
    Number::deserialize(deserializer).map(|Number::Whole(number)| number)
}

/// The environment variable that holds the passphrase.
pub const PASSPHRASE_VARIABLE: &str = "FARTHING_PASSPHRASE";

impl Unlock {
    /// The passphrase for the keys with this address.
    ///
    /// The environment variable `FARTHING_PASSPHRASE` comes first (`environment` is its value: pass
    /// `std::env::var_os(PASSPHRASE_VARIABLE)`), then what is configured. Where nothing is configured, the keyring is
    /// asked, then the person at the terminal. It may block: ten seconds on a descriptor or command, thirty on a keyring,
    /// as long as a person takes at a terminal.
    ///
    /// # Errors
    /// [`UnlockError::NoSource`] where nothing is configured and nobody can be asked; otherwise what went wrong with
    /// the configured source, as no other is tried then.
    pub fn passphrase(
        configured: Option<&Self>,
        address: Address,
        environment: Option<std::ffi::OsString>,
    ) -> Result<Passphrase, UnlockError> {
        if let Some(value) = environment.filter(|value| !value.is_empty()) {
            let bytes = Zeroizing::new(value.into_encoded_bytes());
            return Passphrase::first_line(bytes, PASSPHRASE_VARIABLE);
        }
        match configured {
            Some(Self::Fd(fd)) => descriptor::read(*fd),
            Some(Self::Command(command)) => command::read(command, command::MAX_TIME),
            Some(Self::Keyring) => keyring::read(address)?
                .ok_or_else(|| UnlockError::Keyring(format!("it has no entry farthing, {address}"))),
            Some(Self::Prompt) => prompt::ask(),
            None => match keyring::read(address) {
                Ok(Some(passphrase)) => Ok(passphrase),
                // A machine without a keyring is as good as one whose keyring is empty.
                Ok(None) | Err(_) if prompt::possible() => prompt::ask(),
                Ok(None) | Err(_) => Err(UnlockError::NoSource),
            },
        }
    }
}
