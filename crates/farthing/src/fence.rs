//! The files that the arguments of a call may not name.
//!
//! Who chooses `-o FILE` and `-d @FILE` is often not the wallet's owner but an agent. So neither leads into the folder of
//! a wallet, whichever, nor to what the kernel tells of processes (`/proc`, `/sys`): no cap is overwritten, and neither
//! keys nor passphrase are sent away. This holds wherever links lead. It does not make the owner's other files safe: see
//! SECURITY.md.

use std::fs::Metadata;
use std::io::{Error, ErrorKind, Result};
use std::path::{Path, PathBuf};

use farthing_keystore::{Keystore, Unlock};

use crate::home::Home;
use crate::session::Session;

/// What belongs to a wallet.
#[derive(Debug)]
pub(crate) struct Fence {
    /// This wallet's folder, and the one that a wallet has by default.
    homes: Vec<PathBuf>,
    /// The descriptor that the passphrase is read from.
    passphrase: Option<PathBuf>,
}

impl Fence {
    pub(crate) fn around(session: &Session) -> Self {
        let default = Home::locate(None).ok().map(|home| home.folder().to_owned());
        let passphrase = match session.config().unlock {
            Some(Unlock::Fd(fd)) => Some(PathBuf::from(format!("/dev/fd/{fd}"))),
            _ => None,
        };
        Self { homes: default.into_iter().chain([session.home().folder().to_owned()]).collect(), passphrase }
    }

    /// Refuses a file that a body may not be written to. It need not be there yet.
    pub(crate) fn may_write(&self, file: &Path) -> Result<()> {
        // A pipe, a terminal or a device is nobody's file.
        if is_special(file) {
            return Ok(());
        }
        let place = place(file)?;
        self.is_outside(&place)?;
        if place.file_name().is_some_and(|name| name.eq_ignore_ascii_case(Keystore::FILE_NAME)) {
            return Err(refused("a file of that name makes a wallet of its folder"));
        }
        Ok(())
    }

    /// Refuses a file that may not be sent as a body. `-` is stdin.
    pub(crate) fn may_send(&self, file: &Path) -> Result<()> {
        let file = if file == Path::new("-") { Path::new("/dev/stdin") } else { file };
        if self.passphrase.as_ref().is_some_and(|passphrase| is_same(passphrase, file)) {
            return Err(refused("the wallet's passphrase comes from there (`unlock` in config.yaml)"));
        }
        if is_special(file) {
            return Ok(());
        }
        self.is_outside(&place(file)?)
    }

    /// Refuses what lies in a wallet's folder, what is a file in there by another name, and the kernel's own files.
    fn is_outside(&self, place: &Path) -> Result<()> {
        if ["/proc", "/sys"].iter().any(|folder| place.starts_with(folder)) {
            return Err(refused("it belongs to the system"));
        }
        for folder in place.ancestors() {
            let is_wallet = folder.join(Keystore::FILE_NAME).symlink_metadata().is_ok();
            if is_wallet || self.homes.iter().any(|home| is_same(home, folder)) {
                return Err(refused(&format!("{} is the folder of a wallet", folder.display())));
            }
        }
        let entries =
            self.homes.iter().flat_map(|home| std::fs::read_dir(home).into_iter().flatten().flatten());
        if entries.into_iter().any(|entry| is_same(&entry.path(), place)) {
            return Err(refused("it is one of the wallet's files"));
        }
        Ok(())
    }
}

/// A path with every link followed. What is not there yet keeps its name, in a folder that is there.
fn place(file: &Path) -> Result<PathBuf> {
    match file.canonicalize() {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        done => return done,
    }
    if file.symlink_metadata().is_ok() {
        return Err(refused("it is a link to a file that is not there"));
    }
    let name = file.file_name().ok_or_else(|| Error::from(ErrorKind::NotFound))?;
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Ok(folder.canonicalize()?.join(name))
}

fn is_special(file: &Path) -> bool {
    std::fs::metadata(file).is_ok_and(|found| !found.is_file() && !found.is_dir())
}

/// Whether both lead to one file or folder, under one name or two.
fn is_same(one: &Path, other: &Path) -> bool {
    let id = |path: &Path| std::fs::metadata(path).ok().and_then(|found| identity(&found));
    one == other || id(one).is_some_and(|found| id(other) == Some(found))
}

#[cfg(unix)]
#[expect(clippy::unnecessary_wraps, reason = "other systems have none")]
fn identity(found: &Metadata) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt as _;
    Some((found.dev(), found.ino()))
}

/// Elsewhere names must do.
#[cfg(not(unix))]
fn identity(_: &Metadata) -> Option<(u64, u64)> {
    None
}

fn refused(why: &str) -> Error {
    Error::new(ErrorKind::PermissionDenied, format!("{why}, and may not be named here"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{create_dir, hard_link, write};
    use std::os::unix::fs::symlink;

    /// A wallet's folder `home`, a folder `work` beside it, a fence around the first.
    fn fenced() -> (tempfile::TempDir, Fence) {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("home");
        for made in [&home, &home.join("bodies"), &folder.path().join("work"), &folder.path().join("other")] {
            create_dir(made).unwrap();
        }
        for file in ["home/policy.yaml", "home/bodies/1", "work/mine", "other/keys.json", "other/policy.yaml"]
        {
            write(folder.path().join(file), "x").unwrap();
        }
        (folder, Fence { homes: vec![home], passphrase: None })
    }

    #[test]
    fn nothing_leads_into_a_wallets_folder() {
        let (folder, fence) = fenced();
        let at = |name: &str| folder.path().join(name);
        symlink(at("home"), at("work/folder")).unwrap();
        symlink(at("home/policy.yaml"), at("work/link")).unwrap();
        symlink(at("home/config.yaml"), at("work/dangling")).unwrap();
        hard_link(at("home/policy.yaml"), at("work/same")).unwrap();
        for inside in [
            "home/policy.yaml",
            "home/config.yaml",
            "home/bodies/1",
            "home/bodies/2",
            "work/../home/config.yaml",
            "work/folder/config.yaml",
            "work/folder/bodies/1",
            "work/link",
            "work/dangling",
            "work/same",
            "other/policy.yaml",
            "other/config.yaml",
        ] {
            assert!(fence.may_write(&at(inside)).is_err(), "{inside}");
            assert!(fence.may_send(&at(inside)).is_err(), "{inside}");
        }
    }

    #[test]
    fn a_file_that_the_wallets_folder_links_to_is_the_wallets() {
        let (folder, fence) = fenced();
        let policy = folder.path().join("work/policy.yaml");
        write(&policy, "x").unwrap();
        symlink(&policy, folder.path().join("home/linked.yaml")).unwrap();
        assert!(fence.may_write(&policy).is_err() && fence.may_send(&policy).is_err());
    }

    #[test]
    fn no_argument_makes_a_wallet() {
        let (folder, fence) = fenced();
        for name in ["work/keys.json", "work/KEYS.JSON"] {
            assert!(fence.may_write(&folder.path().join(name)).is_err(), "{name}");
        }
    }

    #[test]
    fn other_files_may_be_named() {
        let (folder, fence) = fenced();
        symlink(folder.path().join("work/mine"), folder.path().join("work/link")).unwrap();
        for outside in ["work/mine", "work/link", "work/new", "new"] {
            fence.may_write(&folder.path().join(outside)).unwrap();
        }
        for outside in ["work/mine", "work/link"] {
            fence.may_send(&folder.path().join(outside)).unwrap();
        }
        fence.may_write(Path::new("/dev/null")).unwrap();
        fence.may_write(Path::new("new-beside-me")).unwrap();
        let missing = fence.may_write(&folder.path().join("nowhere/new")).unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::NotFound);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_the_kernel_tells_of_processes_is_not_sent() {
        let (_folder, fence) = fenced();
        for file in
            ["/proc/self/environ", "/proc/self/maps", "/proc/1/../self/environ", "/sys/kernel/uevent_seqnum"]
        {
            assert!(fence.may_send(Path::new(file)).is_err(), "{file}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_descriptor_with_the_passphrase_is_not_sent() {
        use std::os::fd::AsRawFd as _;
        let (folder, mut fence) = fenced();
        let secret = std::fs::File::open(folder.path().join("work/mine")).unwrap();
        let (reader, _writer) = std::io::pipe().unwrap();
        for fd in [secret.as_raw_fd(), reader.as_raw_fd()] {
            let path = PathBuf::from(format!("/dev/fd/{fd}"));
            fence.passphrase = None;
            fence.may_send(&path).unwrap();
            fence.passphrase = Some(path.clone());
            for name in [path, PathBuf::from(format!("/proc/self/fd/{fd}"))] {
                assert!(fence.may_send(&name).is_err(), "{}", name.display());
            }
        }
        fence.passphrase = Some(PathBuf::from("/dev/fd/0"));
        assert!(fence.may_send(Path::new("-")).is_err(), "stdin by its short name");
    }
}
