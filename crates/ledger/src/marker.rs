//! The sign that everything may be frozen, for those who would not ask the database otherwise.
//!
//! It is a file beside the ledger's, so that every process sees it at the price of one look at the file system. It is
//! made before a freeze commits and removed after a thaw has: while everything is frozen it is there. It may be there
//! when nothing is frozen, after a crash between the two, so that who sees it asks the database.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::LedgerError;

/// What the marker's name adds to the ledger's.
const SUFFIX: &str = ".frozen";

/// The marker of one ledger.
#[derive(Debug)]
pub(crate) enum Marker {
    /// For a ledger in a file.
    File(PathBuf),
    /// For a ledger in memory, which only this process can freeze.
    Memory(AtomicBool),
}

impl Marker {
    /// The marker of the ledger in `file`, of which the folder must exist.
    pub(crate) fn beside(file: &Path) -> Self {
        let mut path = file.canonicalize().unwrap_or_else(|_| file.to_owned()).into_os_string();
        path.push(SUFFIX);
        Self::File(path.into())
    }

    pub(crate) fn in_memory() -> Self {
        Self::Memory(AtomicBool::new(false))
    }

    /// Whether it is there. Where that cannot be told, it is.
    pub(crate) fn is_there(&self) -> bool {
        match self {
            Self::File(path) => {
                !path.symlink_metadata().is_err_and(|error| error.kind() == ErrorKind::NotFound)
            }
            Self::Memory(there) => there.load(Ordering::SeqCst),
        }
    }

    /// Puts it there.
    ///
    /// # Errors
    /// [`LedgerError::Database`]: then nothing may be frozen either, because some would not notice.
    pub(crate) fn set(&self) -> Result<(), LedgerError> {
        match self {
            Self::File(path) => {
                match std::fs::OpenOptions::new().write(true).create(true).truncate(false).open(path) {
                    Ok(_) => Ok(()),
                    Err(error) => Err(Self::failed(path, "made", &error)),
                }
            }
            Self::Memory(there) => {
                there.store(true, Ordering::SeqCst);
                Ok(())
            }
        }
    }

    /// Takes it away.
    ///
    /// # Errors
    /// [`LedgerError::Database`]: it is still there, which costs time and does no harm.
    pub(crate) fn clear(&self) -> Result<(), LedgerError> {
        match self {
            Self::File(path) => match std::fs::remove_file(path) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    Err(Self::failed(path, "removed", &error))
                }
                _ => Ok(()),
            },
            Self::Memory(there) => {
                there.store(false, Ordering::SeqCst);
                Ok(())
            }
        }
    }

    fn failed(path: &Path, what: &str, error: &std::io::Error) -> LedgerError {
        LedgerError::Database(format!("{} cannot be {what}: {error}", path.display()))
    }
}
