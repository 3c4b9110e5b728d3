//! The wallet's folder: who may read and change what is in it, and how much room there is.

use std::path::Path;

use super::Check;
use crate::exit::Code;
use crate::home::Home;
use crate::output::printable;

/// Below so many bytes the next purchases may not be recorded.
const LITTLE: u64 = 100 << 20;
/// Below so many nothing may be.
const NOTHING: u64 = 10 << 20;

/// What others must not do with a file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Private {
    /// Neither read nor write it.
    Wholly,
    /// Not write it: it decides what is paid.
    FromChanges,
}

pub(super) fn look(home: &Home) -> Vec<Check> {
    let folder = home.folder();
    if !folder.exists() {
        let what = format!("there is no {}", printable(&folder.to_string_lossy()));
        return vec![Check::warn(
            "folder",
            what,
            "`farthing init` makes it; FARTHING_HOME names another one",
        )];
    }
    let mut checks = Vec::new();
    checks.extend(permissions("folder", folder, Private::Wholly));
    for (path, private) in [
        (home.folder().join(farthing_keystore::Keystore::FILE_NAME), Private::Wholly),
        (home.ledger(), Private::Wholly),
        (home.config(), Private::FromChanges),
        (home.policy(), Private::FromChanges),
    ] {
        checks.extend(permissions("files", &path, private));
    }
    if checks.is_empty() {
        checks.push(Check::ok(
            "files",
            format!("only you have access to {}", printable(&folder.to_string_lossy())),
        ));
    }
    checks.push(disk(folder));
    checks
}

/// What is wrong with a file's permissions; nothing where there is no file.
#[cfg(unix)]
fn permissions(what: &'static str, path: &Path, private: Private) -> Option<Check> {
    use std::os::unix::fs::PermissionsExt as _;
    let metadata = std::fs::metadata(path).ok()?;
    let mode = metadata.permissions().mode() & 0o777;
    let forbidden = if private == Private::Wholly { 0o077 } else { 0o022 };
    if mode & forbidden == 0 {
        return None;
    }
    let shown = printable(&path.to_string_lossy());
    let can = if private == Private::Wholly { "have access to" } else { "can change" };
    let wanted = if metadata.is_dir() { "700" } else { "600" };
    let message = format!("others {can} {shown} (mode {mode:03o})");
    Some(Check::fail(what, Code::Configuration, message, format!("chmod {wanted} '{shown}'")))
}

#[cfg(not(unix))]
fn permissions(_: &'static str, _: &Path, _: Private) -> Option<Check> {
    None
}

/// How much room there is for records and paid bodies.
fn disk(folder: &Path) -> Check {
    let free = match rustix::fs::statvfs(folder) {
        Ok(disk) => disk.f_bavail.saturating_mul(disk.f_frsize),
        Err(error) => {
            return Check::warn("disk", format!("its free space is not known: {error}"), "look with `df`");
        }
    };
    let shown = format!("{} MB are free", free >> 20);
    match free {
        0..NOTHING => Check::fail(
            "disk",
            Code::Unexpected,
            shown,
            "free some space: what cannot be recorded is not paid",
        ),
        NOTHING..LITTLE => Check::warn("disk", shown, "free some space before paid answers cannot be kept"),
        _ => Check::ok("disk", shown),
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn what_others_may_do_decides() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("f");
        std::fs::write(&file, "").unwrap();
        for (mode, wholly, from_changes) in
            [(0o600, true, true), (0o644, false, true), (0o620, false, false), (0o666, false, false)]
        {
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(permissions("files", &file, Private::Wholly).is_none(), wholly, "{mode:o}");
            assert_eq!(permissions("files", &file, Private::FromChanges).is_none(), from_changes, "{mode:o}");
        }
        assert!(permissions("files", &folder.path().join("none"), Private::Wholly).is_none());
    }
}
