//! Private folders, and files that are written whole or not at all.
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use farthing_ambient::{Entropy, fault};

use crate::KeystoreError;

const PRIVATE_FOLDER: u32 = 0o700;
const PRIVATE_FILE: u32 = 0o600;

/// Makes the folder for everything that the wallet keeps, with mode 0700. An existing folder is made private while it
/// is still empty; one with files in it may be shared on purpose, and is refused until its owner changes it.
///
/// # Errors
/// [`KeystoreError::Permissions`], [`KeystoreError::Io`].
pub fn private_folder(dir: &Path) -> Result<(), KeystoreError> {
    DirBuilder::new()
        .recursive(true)
        .mode(PRIVATE_FOLDER)
        .create(dir)
        .map_err(KeystoreError::io("make the folder", dir))?;
    if check_folder(dir).is_err() {
        let mut files = fs::read_dir(dir).map_err(KeystoreError::io("read the folder", dir))?;
        if files.next().is_none() {
            fs::set_permissions(dir, fs::Permissions::from_mode(PRIVATE_FOLDER))
                .map_err(KeystoreError::io("change the permissions of", dir))?;
        }
    }
    check_folder(dir)
}

/// Refuses a folder in which others could read or replace files.
pub(crate) fn check_folder(dir: &Path) -> Result<(), KeystoreError> {
    let metadata = fs::metadata(dir).map_err(KeystoreError::io("look at", dir))?;
    check_mode(dir, &metadata, PRIVATE_FOLDER)
}

/// Reads a private file of at most `max` bytes; `None` where there is none.
pub(crate) fn read(path: &Path, max: u64) -> Result<Option<Vec<u8>>, KeystoreError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(KeystoreError::io("read", path)(error)),
    };
    // Of the open file, not of its name: nobody can exchange it in between.
    let metadata = file.metadata().map_err(KeystoreError::io("look at", path))?;
    if !metadata.is_file() {
        return Err(KeystoreError::Damaged { path: path.into(), why: "it is not a file".to_owned() });
    }
    check_mode(path, &metadata, PRIVATE_FILE)?;
    let mut bytes = Vec::new();
    file.take(max + 1).read_to_end(&mut bytes).map_err(KeystoreError::io("read", path))?;
    if bytes.len() as u64 > max {
        return Err(KeystoreError::Damaged { path: path.into(), why: "it is too large".to_owned() });
    }
    Ok(Some(bytes))
}

/// Writes a new private file, with mode 0600, whole or not at all. A file that is there already stays as it is.
///
/// # Errors
/// [`KeystoreError::Exists`], [`KeystoreError::Io`], and where no random name is to be had.
pub fn private_file(path: &Path, bytes: &[u8], entropy: &dyn Entropy) -> Result<(), KeystoreError> {
    let draft = Draft::write(path, bytes, entropy)?;
    // A link fails where the name is taken; a rename would replace it.
    fs::hard_link(&draft.0, path).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => KeystoreError::Exists(path.into()),
        _ => KeystoreError::io("write", path)(error),
    })?;
    fault::point("keystore.linked");
    drop(draft);
    sync_folder(path)
}

/// Writes a secret to a new file, with mode 0600, and to no other place: a process that dies meanwhile leaves at most a
/// part of it under the very name that was given. A file that is there already stays as it is.
///
/// # Errors
/// [`KeystoreError::Exists`], [`KeystoreError::Io`].
pub fn secret_file(path: &Path, secret: &[u8]) -> Result<(), KeystoreError> {
    let mut file = new_file(path).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => KeystoreError::Exists(path.into()),
        _ => KeystoreError::io("write", path)(error),
    })?;
    let written = file.write_all(secret).and_then(|()| file.sync_all());
    if let Err(error) = written {
        // A part of a secret is of no use to anybody.
        let _ = fs::remove_file(path);
        return Err(KeystoreError::io("write", path)(error));
    }
    sync_folder(path)
}

fn new_file(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(PRIVATE_FILE).open(path)
}

/// Puts other contents in the place of an existing private file, at once.
///
/// # Errors
/// [`KeystoreError::Io`], and where no random name is to be had.
pub fn replace_private_file(path: &Path, bytes: &[u8], entropy: &dyn Entropy) -> Result<(), KeystoreError> {
    let draft = Draft::write(path, bytes, entropy)?;
    fs::rename(&draft.0, path).map_err(KeystoreError::io("replace", path))?;
    fault::point("keystore.renamed");
    sync_folder(path)
}

/// Gives a private file a second name, so that it stays when the first one gets other contents. The same file under that
/// name already is well; another one is not replaced.
pub(crate) fn keep(path: &Path, kept: &Path) -> Result<(), KeystoreError> {
    match fs::hard_link(path, kept) {
        Ok(()) => sync_folder(kept),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let contents = |path: &Path| fs::read(path).map_err(KeystoreError::io("read", path));
            let same = contents(path)? == contents(kept)?;
            if same { Ok(()) } else { Err(KeystoreError::Exists(kept.into())) }
        }
        Err(error) => Err(KeystoreError::io("write", kept)(error)),
    }
}

/// A finished file beside its destination, under a name of its own; removed when dropped.
struct Draft(PathBuf);

impl Draft {
    fn write(path: &Path, bytes: &[u8], entropy: &dyn Entropy) -> Result<Self, KeystoreError> {
        let mut random = [0; 8];
        entropy.fill(&mut random)?;
        let draft = path.with_extension(format!("{}.tmp", hex::encode(random)));
        let mut file = new_file(&draft).map_err(KeystoreError::io("write", &draft))?;
        let draft = Self(draft);
        file.write_all(bytes).and_then(|()| file.sync_all()).map_err(KeystoreError::io("write", &draft.0))?;
        fault::point("keystore.drafted");
        Ok(draft)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // After a rename it is gone already. If it stays, it holds nothing that the key file does not hold.
        let _ = fs::remove_file(&self.0);
    }
}

fn sync_folder(path: &Path) -> Result<(), KeystoreError> {
    let Some(dir) = path.parent() else { return Ok(()) };
    // The parent of a bare name is empty, and is no folder that could be opened.
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(KeystoreError::io("write", dir))
}

fn check_mode(path: &Path, metadata: &fs::Metadata, wanted: u32) -> Result<(), KeystoreError> {
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 == 0 {
        return Ok(());
    }
    Err(KeystoreError::Permissions { path: path.into(), mode, wanted })
}
