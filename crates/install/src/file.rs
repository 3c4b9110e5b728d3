//! A client's file: read whole, replaced at once, with what it was kept beside it.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use farthing_ambient::Entropy;

use crate::error::InstallError;

/// Claude Code's file holds histories, and grows to megabytes.
const MOST_BYTES: u64 = 32 << 20;
const MOST_LINKS: usize = 16;
/// What a file gets that was not there before.
const PRIVATE: u32 = 0o600;

/// The text of a file; `None` where there is none.
pub(crate) fn read(path: &Path) -> Result<Option<String>, InstallError> {
    // Before it is opened: a pipe would wait for its writer.
    match fs::metadata(path) {
        Ok(found) if !found.is_file() => return Err(InstallError::NotAFile(path.into())),
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(InstallError::io("look at", path)(error)),
    }
    let file = File::open(path).map_err(InstallError::io("read", path))?;
    let mut bytes = Vec::new();
    file.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(InstallError::io("read", path))?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(InstallError::TooLarge { file: path.into(), most: MOST_BYTES });
    }
    let not_text = |error: std::string::FromUtf8Error| InstallError::NotText {
        file: path.into(),
        at: error.utf8_error().valid_up_to(),
    };
    String::from_utf8(bytes).map(Some).map_err(not_text)
}

/// What the file was before earlier changes, the newest first.
pub(crate) fn earlier(path: &Path) -> Vec<String> {
    const MOST: usize = 20;
    let Some(folder) = path.parent() else { return Vec::new() };
    let Ok(files) = fs::read_dir(folder) else { return Vec::new() };
    let prefix = format!("{}.", backup_prefix(path));
    let number = |name: &str| name.strip_prefix(&prefix)?.parse::<u32>().ok();
    let mut backups: Vec<(u32, PathBuf)> =
        files.flatten().filter_map(|file| Some((number(file.file_name().to_str()?)?, file.path()))).collect();
    backups.sort_by_key(|(number, _)| std::cmp::Reverse(*number));
    backups.iter().take(MOST).filter_map(|(_, backup)| read(backup).ok().flatten()).collect()
}

/// Puts `after` in the place of `before`, if that is still what the file holds; `None` is no file. Gives the backup, if
/// there was anything to keep.
pub(crate) fn replace(
    path: &Path,
    before: Option<&str>,
    after: Option<&str>,
    entropy: &dyn Entropy,
) -> Result<Option<PathBuf>, InstallError> {
    let target = follow(path)?;
    let folder = target.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(folder).map_err(InstallError::io("make the folder", folder))?;
    let draft = after.map(|text| draft(&target, text, entropy)).transpose()?;
    let backup = before.map(|text| back_up(path, &target, text)).transpose()?;
    if read(path)?.as_deref() != before {
        return Err(InstallError::Changed(path.into()));
    }
    match &draft {
        Some(draft) => fs::rename(&draft.0, &target).map_err(InstallError::io("replace", &target))?,
        None => fs::remove_file(&target).map_err(InstallError::io("remove", &target))?,
    }
    let backup = backup.map(Tentative::keep);
    sync_folder(folder)?;
    Ok(backup)
}

/// The file itself, behind the symbolic links that managers of dotfiles put in its place, also where it is yet to be.
fn follow(path: &Path) -> Result<PathBuf, InstallError> {
    let mut target = path.to_owned();
    for _ in 0..MOST_LINKS {
        match fs::read_link(&target) {
            Ok(link) => target = target.parent().unwrap_or(Path::new("/")).join(link),
            Err(_) => return Ok(target),
        }
    }
    Err(InstallError::NotAFile(path.into()))
}

/// A file that goes again when something after it fails.
struct Tentative(PathBuf);

impl Tentative {
    fn keep(mut self) -> PathBuf {
        std::mem::take(&mut self.0)
    }
}

impl Drop for Tentative {
    fn drop(&mut self) {
        // Of a file that was kept or renamed there is nothing under this name.
        let _ = fs::remove_file(&self.0);
    }
}

/// The finished file beside its destination, under a name of its own.
fn draft(target: &Path, text: &str, entropy: &dyn Entropy) -> Result<Tentative, InstallError> {
    let mut random = [0; 8];
    entropy.fill(&mut random)?;
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    let draft = target.with_file_name(format!(".{name}.farthing-{}", hex::encode(random)));
    write_new(&draft, text, target)?;
    Ok(Tentative(draft))
}

/// Beside the name that the client knows, not behind its link: that may be a repository which others read.
fn back_up(path: &Path, target: &Path, text: &str) -> Result<Tentative, InstallError> {
    const MOST: u32 = 10_000;
    for number in 1..=MOST {
        let backup = path.with_file_name(format!("{}.{number}", backup_prefix(path)));
        match write_new(&backup, text, target) {
            Err(InstallError::Io { error, .. }) if error.kind() == ErrorKind::AlreadyExists => {}
            written => return written.map(|()| Tentative(backup)),
        }
    }
    let full = std::io::Error::other("there are 10000 backups already");
    Err(InstallError::io("keep a backup of", path)(full))
}

fn backup_prefix(path: &Path) -> String {
    format!("{}.farthing-backup", path.file_name().unwrap_or_default().to_string_lossy())
}

/// Writes a file that was not there, with the permissions and the owner of `like`.
fn write_new(path: &Path, text: &str, like: &Path) -> Result<(), InstallError> {
    let like = fs::metadata(like).ok();
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(PRIVATE)
        .open(path)
        .map_err(InstallError::io("write", path))?;
    let written = fill(&mut file, text, like.as_ref());
    if written.is_err() {
        let _ = fs::remove_file(path);
    }
    written.map_err(InstallError::io("write", path))
}

fn fill(file: &mut File, text: &str, like: Option<&fs::Metadata>) -> std::io::Result<()> {
    if let Some(like) = like {
        let own = file.metadata()?;
        if (own.uid(), own.gid()) != (like.uid(), like.gid()) {
            std::os::unix::fs::fchown(&*file, Some(like.uid()), Some(like.gid()))?;
        }
        file.set_permissions(fs::Permissions::from_mode(like.mode() & 0o777))?;
    }
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn sync_folder(folder: &Path) -> Result<(), InstallError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(InstallError::io("write", folder))
}
