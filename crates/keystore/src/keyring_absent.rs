use alloy_primitives::Address;

use crate::{Passphrase, UnlockError};

/// Always an error: this build has no keyring.
pub(crate) fn read(_address: Address) -> Result<Option<Passphrase>, UnlockError> {
    Err(absent())
}

/// Always an error: this build has no keyring.
///
/// # Errors
/// [`UnlockError::Keyring`]
pub fn is_in_keyring(_address: Address) -> Result<bool, UnlockError> {
    Err(absent())
}

/// Always an error: this build has no keyring.
///
/// # Errors
/// [`UnlockError::Keyring`]
pub fn keep_in_keyring(_address: Address, _passphrase: &Passphrase) -> Result<(), UnlockError> {
    Err(absent())
}

/// Always an error: this build has no keyring.
///
/// # Errors
/// [`UnlockError::Keyring`]
pub fn forget_in_keyring(_address: Address) -> Result<(), UnlockError> {
    Err(absent())
}

fn absent() -> UnlockError {
    UnlockError::Keyring("this farthing was built without `os-keyring`".to_owned())
}

/// There is no keyring in this build, so nothing is in it.
///
/// # Errors
/// None.
pub fn replace_in_keyring(_: Address, _: Address, _: &Passphrase) -> Result<bool, UnlockError> {
    Ok(false)
}
