use std::time::Duration;

use alloy_primitives::Address;
use keyring::{Entry, Error};

use crate::bounded::within;
use crate::{Passphrase, UnlockError};

/// A locked keyring may ask its owner in a window; nobody may be there to see it.
const MAX_TIME: Duration = Duration::from_secs(30);

/// Under which the passphrase stands in the keyring; the account is the wallet's address.
const SERVICE: &str = "farthing";

/// The passphrase that the keyring has for these keys, if it has one.
pub(crate) fn read(address: Address) -> Result<Option<Passphrase>, UnlockError> {
    bounded(move || match entry(address)?.get_password() {
        Ok(text) => Ok(Some(Passphrase::new(text))),
        Err(Error::NoEntry) => Ok(None),
        Err(error) => Err(failed(&error)),
    })
}

/// Whether the operating system's keyring has a passphrase for these keys.
///
/// # Errors
/// [`UnlockError::Keyring`], where the machine has no keyring that answers.
pub fn is_in_keyring(address: Address) -> Result<bool, UnlockError> {
    read(address).map(|found| found.is_some())
}

/// Gives the passphrase to the operating system's keyring, which then unlocks the wallet without a question.
///
/// # Errors
/// [`UnlockError::Keyring`], also where the machine has no keyring.
pub fn keep_in_keyring(address: Address, passphrase: &Passphrase) -> Result<(), UnlockError> {
    let passphrase = passphrase.clone();
    bounded(move || entry(address)?.set_password(passphrase.as_str()).map_err(|error| failed(&error)))
}

/// Gives the keyring a passphrase for the keys `new`, if it has one for the keys `old`, and says whether it had: the same
/// keys under another passphrase, or others in their place.
///
/// # Errors
/// [`UnlockError::Keyring`] where it has one and does not take the other.
pub fn replace_in_keyring(old: Address, new: Address, passphrase: &Passphrase) -> Result<bool, UnlockError> {
    // A machine without a keyring is as good as one whose keyring is empty.
    if !matches!(read(old), Ok(Some(_))) {
        return Ok(false);
    }
    keep_in_keyring(new, passphrase).map(|()| true)
}

/// Takes the passphrase out of the keyring; none there is as good.
///
/// # Errors
/// [`UnlockError::Keyring`]
pub fn forget_in_keyring(address: Address) -> Result<(), UnlockError> {
    bounded(move || match entry(address)?.delete_credential() {
        Ok(()) | Err(Error::NoEntry) => Ok(()),
        Err(error) => Err(failed(&error)),
    })
}

fn entry(address: Address) -> Result<Entry, UnlockError> {
    Entry::new(SERVICE, &address.to_checksum(None)).map_err(|error| failed(&error))
}

/// The error without what the keyring returned: it can hold the secret.
fn failed(error: &Error) -> UnlockError {
    UnlockError::Keyring(match error {
        Error::NoDefaultStore => "this machine has none that can be reached".to_owned(),
        Error::BadEncoding(_) | Error::BadDataFormat(..) => "its entry is not text".to_owned(),
        error => error.to_string(),
    })
}

fn bounded<T: Send + 'static>(
    ask: impl FnOnce() -> Result<T, UnlockError> + Send + 'static,
) -> Result<T, UnlockError> {
    let late = || UnlockError::Keyring(format!("it did not answer in {} seconds", MAX_TIME.as_secs()));
    within(MAX_TIME, ask).ok_or_else(late)?
}
