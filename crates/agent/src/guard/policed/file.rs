//! A policy file that may change while it is in force.

use std::fs::Metadata;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use farthing_policy::{Policy, PolicyError};

use crate::stamp::Stamp;

/// For how long a file must not have been written to before it is read again.
const SETTLED: Duration = Duration::from_millis(200);

/// A policy, and the file that it comes from. The file is looked at by its path: a rename over it, and a symbolic link
/// that is pointed elsewhere, are changes like any other. A bad file changes nothing.
#[derive(Debug)]
pub struct PolicyFile {
    path: PathBuf,
    current: ArcSwap<Policy>,
    seen: Mutex<Option<Stamp>>,
}

/// What became of a look at the file.
#[derive(Debug)]
pub enum Reloaded {
    /// It is what it was.
    Unchanged,
    /// Another policy is in force now.
    Changed(Arc<Policy>),
    /// It is no policy; the one before stays in force.
    Refused(PolicyFileError),
}

/// Why a policy file is not in force.
#[derive(Debug, thiserror::Error)]
pub enum PolicyFileError {
    /// It cannot be read.
    #[error("{} cannot be read: {why}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// It is no policy.
    #[error("{}", error.in_file(path.display()))]
    Wrong {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and where.
        error: PolicyError,
    },
}

impl PolicyFile {
    /// Reads the policy.
    ///
    /// # Errors
    /// [`PolicyFileError`]
    pub fn open(path: &Path) -> Result<Self, PolicyFileError> {
        let (policy, stamp) = read(path)?;
        Ok(Self {
            path: path.to_owned(),
            current: ArcSwap::from_pointee(policy),
            seen: Mutex::new(Some(stamp)),
        })
    }

    /// Reads the policy; while there is no such file, `default` is in force.
    ///
    /// # Errors
    /// [`PolicyFileError`]
    pub fn open_or(path: &Path, default: &str) -> Result<Self, PolicyFileError> {
        // A link to nowhere is a mistake: its rules must not be replaced by milder ones.
        match std::fs::symlink_metadata(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            _ => return Self::open(path),
        }
        let wrong = |error| PolicyFileError::Wrong { path: path.to_owned(), error };
        let policy = Policy::parse(default).map_err(wrong)?;
        Ok(Self { path: path.to_owned(), current: ArcSwap::from_pointee(policy), seen: Mutex::new(None) })
    }

    /// The policy in force.
    #[must_use]
    pub fn current(&self) -> Arc<Policy> {
        self.current.load_full()
    }

    /// Looks whether the file has changed, and puts the new policy in force if it is one. A file that was refused is
    /// told once for each state of it.
    pub fn reload(&self) -> Reloaded {
        self.reload_at(SystemTime::now())
    }

    fn reload_at(&self, now: SystemTime) -> Reloaded {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let metadata = std::fs::metadata(&self.path).ok();
        let stamp = metadata.as_ref().map(Stamp::of);
        if stamp == *seen || metadata.is_some_and(|metadata| is_being_written(&metadata, now)) {
            return Reloaded::Unchanged;
        }
        match read(&self.path) {
            Ok((policy, stamp)) => {
                *seen = Some(stamp);
                if policy.hash() == self.current.load().hash() {
                    return Reloaded::Unchanged;
                }
                let policy = Arc::new(policy);
                self.current.store(policy.clone());
                Reloaded::Changed(policy)
            }
            Err(error) => {
                *seen = stamp;
                Reloaded::Refused(error)
            }
        }
    }
}

/// Whether somebody wrote to the file this very moment, and may go on: half a policy can be one, with fewer rules.
fn is_being_written(metadata: &Metadata, now: SystemTime) -> bool {
    metadata.modified().ok().and_then(|at| now.duration_since(at).ok()).is_some_and(|age| age < SETTLED)
}

fn read(path: &Path) -> Result<(Policy, Stamp), PolicyFileError> {
    let unreadable = |why: String| PolicyFileError::Unreadable { path: path.to_owned(), why };
    // The stamp is that of the file that was read, whatever its name means a moment later.
    let file = std::fs::File::open(path).map_err(|error| unreadable(error.to_string()))?;
    let stamp = Stamp::of(&file.metadata().map_err(|error| unreadable(error.to_string()))?);
    let mut text = String::new();
    let most = u64::try_from(Policy::MAX_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    file.take(most).read_to_string(&mut text).map_err(|error| unreadable(error.to_string()))?;
    match Policy::parse(&text) {
        Ok(policy) => Ok((policy, stamp)),
        Err(error) => Err(PolicyFileError::Wrong { path: path.to_owned(), error }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "version: 1\ntools: {a: {rules: []}}\n";
    const TWO: &str = "version: 1\nhide: [a]\n";

    fn hides(file: &PolicyFile) -> bool {
        file.current().hides("a")
    }

    #[test]
    fn follows_renames_and_links_and_survives_a_bad_file() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        // As if it had been written a while ago.
        let write = |name: &str, text: &str| {
            std::fs::write(at(name), text).unwrap();
            let earlier = SystemTime::now() - Duration::from_secs(60);
            std::fs::File::options().write(true).open(at(name)).unwrap().set_modified(earlier).unwrap();
        };
        write("one", ONE);
        write("two", TWO);
        std::os::unix::fs::symlink(at("one"), at("policy.yaml")).unwrap();
        let file = PolicyFile::open(&at("policy.yaml")).unwrap();
        assert!(matches!(file.reload(), Reloaded::Unchanged));
        // As Kubernetes swaps a ConfigMap: a new link is renamed over the old one.
        std::os::unix::fs::symlink(at("two"), at("next")).unwrap();
        std::fs::rename(at("next"), at("policy.yaml")).unwrap();
        assert!(matches!(file.reload(), Reloaded::Changed(_)) && hides(&file));
        write("bad", "version: 1\ntols: {}\n");
        std::fs::rename(at("bad"), at("policy.yaml")).unwrap();
        let Reloaded::Refused(error) = file.reload() else { panic!() };
        assert!(error.to_string().contains("policy.yaml:2:1"), "{error}");
        assert!(matches!(file.reload(), Reloaded::Unchanged) && hides(&file), "told once");
        std::fs::remove_file(at("policy.yaml")).unwrap();
        assert!(matches!(file.reload(), Reloaded::Refused(_)) && hides(&file));
        std::fs::write(at("policy.yaml"), ONE).unwrap();
        let written = std::fs::metadata(at("policy.yaml")).unwrap().modified().unwrap();
        let at_once = file.reload_at(written + Duration::from_millis(100));
        assert!(matches!(at_once, Reloaded::Unchanged), "somebody may still be writing");
        write("policy.yaml", ONE);
        assert!(matches!(file.reload(), Reloaded::Changed(_)) && !hides(&file));
    }
}
