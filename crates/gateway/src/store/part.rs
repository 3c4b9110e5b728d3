//! The folder for answers, which gateways on one ledger share: each has a part of its own, and may look into the others'.

use std::fs::{File, TryLockError};
use std::io::{Error, Result};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::make_folder;

/// The most gateways on one folder.
const MOST: usize = 100;

/// A gateway's part: the folder itself, or, while another gateway has that, the first inside it that nobody has. Parts
/// are never deleted, so that nobody locks one that is on its way out.
#[derive(Debug)]
pub(crate) struct Part {
    root: PathBuf,
    dir: PathBuf,
    /// Nobody else takes the part while this is open.
    _lock: File,
}

impl Part {
    /// Takes a part, making it as needed.
    ///
    /// # Errors
    /// It cannot be made or locked, or there are too many.
    pub(crate) fn take(root: &Path) -> Result<Self> {
        for dir in parts(root) {
            if let Some(lock) = lock(&dir)? {
                return Ok(Self { root: root.to_owned(), dir, _lock: lock });
            }
        }
        Err(Error::other(format!("{MOST} gateways run on {} already", root.display())))
    }

    /// Where it is.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The other parts that are there, whether a gateway has them now or not.
    pub(crate) fn others(&self) -> impl Iterator<Item = PathBuf> {
        parts(&self.root).filter(|dir| *dir != self.dir && dir.is_dir())
    }
}

fn parts(root: &Path) -> impl Iterator<Item = PathBuf> {
    let inside = (1..MOST).map(|number| root.join(format!("beside-{number}")));
    std::iter::once(root.to_owned()).chain(inside)
}

/// The part's lock; none while another gateway has it.
fn lock(dir: &Path) -> Result<Option<File>> {
    make_folder(dir)?;
    let file = open_lock(&dir.join("gateway.lock"))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Opens a file that is there to be locked, making it as needed.
pub(crate) fn open_lock(path: &Path) -> Result<File> {
    File::options().create(true).truncate(false).write(true).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_its_own_and_the_free_one_is_taken_again() {
        let home = tempfile::tempdir().unwrap();
        let root = home.path().join("answers");
        let (first, second, third) = (Part::take(&root), Part::take(&root), Part::take(&root));
        let (first, second, third) = (first.unwrap(), second.unwrap(), third.unwrap());
        assert_eq!((first.dir(), second.dir()), (&*root, &*root.join("beside-1")));
        assert_eq!(second.others().collect::<Vec<_>>(), [root.clone(), root.join("beside-2")]);
        drop(second);
        std::fs::write(root.join("beside-1/000000000001.answers"), "kept").unwrap();
        let again = Part::take(&root).unwrap();
        assert_eq!(again.dir(), root.join("beside-1"));
        assert!(again.dir().join("000000000001.answers").exists(), "what was kept there is kept on");
        drop((first, third));
        assert_eq!(Part::take(&root).unwrap().dir(), root);
    }
}
