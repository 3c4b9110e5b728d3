use std::io::{IsTerminal, stderr};

use zeroize::Zeroizing;

use crate::{Passphrase, UnlockError};

/// Whether a person can be asked. A program started by an agent may have a terminal that is not meant for it; its
/// error output is captured then.
pub(crate) fn possible() -> bool {
    stderr().is_terminal()
}

/// Asks the person at the terminal.
pub(crate) fn ask() -> Result<Passphrase, UnlockError> {
    typed("Passphrase of the wallet: ")
}

/// Asks the person at the terminal, whatever the environment or the configuration would give: for what only a person may
/// do.
///
/// # Errors
/// [`UnlockError::NoSource`] without a terminal, [`UnlockError::Unusable`], [`UnlockError::Prompt`].
pub fn ask_passphrase() -> Result<Passphrase, UnlockError> {
    if possible() { ask() } else { Err(UnlockError::NoSource) }
}

/// Asks the person at the terminal for a secret that is not shown while it is typed: a phrase, a key.
///
/// # Errors
/// [`UnlockError::NoSource`] without a terminal, [`UnlockError::Prompt`].
pub fn ask_secret(question: &str) -> Result<Zeroizing<String>, UnlockError> {
    if !possible() {
        return Err(UnlockError::NoSource);
    }
    rpassword::prompt_password(question).map(Zeroizing::new).map_err(UnlockError::Prompt)
}

/// Asks the person at the terminal for a new passphrase, twice.
///
/// # Errors
/// [`UnlockError::NoSource`] without a terminal, [`UnlockError::Unusable`] when it is empty,
/// [`UnlockError::Differ`], [`UnlockError::Prompt`].
pub fn ask_new_passphrase() -> Result<Passphrase, UnlockError> {
    if !possible() {
        return Err(UnlockError::NoSource);
    }
    let passphrase = typed("New passphrase: ")?;
    if passphrase.same(&typed("The same again: ")?) { Ok(passphrase) } else { Err(UnlockError::Differ) }
}

fn typed(question: &str) -> Result<Passphrase, UnlockError> {
    let text = rpassword::prompt_password(question).map_err(UnlockError::Prompt)?;
    Passphrase::first_line(Zeroizing::new(text.into_bytes()), "the terminal")
}
