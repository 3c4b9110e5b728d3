use std::fmt;

use zeroize::{Zeroize, Zeroizing};

use crate::UnlockError;

/// What unlocks the keys. It is wiped from memory when dropped, and never shown.
#[derive(Clone)]
pub struct Passphrase(Zeroizing<String>);

impl Passphrase {
    /// The longest passphrase in bytes: what reads one stops there.
    pub const MAX_BYTES: usize = 4096;

    /// The text as a passphrase.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    #[cfg(feature = "os-keyring")]
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether both are the same. Not in constant time: both come from the same person.
    pub(crate) fn same(&self, other: &Self) -> bool {
        self.0 == other.0
    }

    /// The first line of what a source gave.
    pub(crate) fn first_line(mut bytes: Zeroizing<Vec<u8>>, from: &str) -> Result<Self, UnlockError> {
        let unusable = |why| UnlockError::Unusable { from: from.to_owned(), why };
        if let Some(end) = bytes.iter().position(|b| *b == b'\n') {
            bytes[end..].zeroize();
            bytes.truncate(end);
            if bytes.last() == Some(&b'\r') {
                bytes.pop();
            }
        }
        match std::str::from_utf8(&bytes) {
            _ if bytes.len() > Self::MAX_BYTES => Err(unusable("has more than 4096 bytes")),
            Ok("") => Err(unusable("is empty")),
            Ok(text) => Ok(Self::new(text.to_owned())),
            Err(_) => Err(unusable("is not UTF-8 text")),
        }
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase")
    }
}
