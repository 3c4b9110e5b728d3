//! Whether the file is still the one that was opened.
//!
//! Who deletes or replaces a ledger that is in use leaves SQLite writing into a file without a name: all that is
//! recorded from then on would be gone with the process, and with it what was claimed and spent.

use std::path::{Path, PathBuf};

use super::Result;
use crate::LedgerError;

/// The file by its name, and by what the file system calls it.
pub(super) struct Place {
    path: PathBuf,
    id: Option<(u64, u64)>,
}

impl Place {
    /// The file that is there now: asked right after it was opened.
    pub(super) fn of(path: &Path) -> Self {
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        Self { id: id(&path), path }
    }

    /// One look at the file system per transaction: a microsecond beside the commit's milliseconds.
    pub(super) fn check(&self) -> Result<()> {
        if id(&self.path) == self.id {
            return Ok(());
        }
        Err(LedgerError::Database(format!(
            "{} is no longer the file that was opened: it was deleted or replaced; put it back, or start again",
            self.path.display()
        )))
    }
}

#[cfg(unix)]
fn id(path: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt as _;
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

/// Elsewhere an open file cannot be deleted or replaced.
#[cfg(not(unix))]
fn id(_: &Path) -> Option<(u64, u64)> {
    None
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn deleted_and_replaced_are_both_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ledger.db");
        std::fs::write(&file, "one").unwrap();
        let place = Place::of(&file);
        std::fs::write(&file, "written to").unwrap();
        place.check().unwrap();
        std::fs::rename(&file, folder.path().join("aside")).unwrap();
        assert!(place.check().is_err());
        std::fs::write(&file, "written to").unwrap();
        assert!(place.check().is_err());
        std::fs::rename(folder.path().join("aside"), &file).unwrap();
        place.check().unwrap();
    }
}
