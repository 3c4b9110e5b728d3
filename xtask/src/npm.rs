//! The npm packages: installed when what lies in `node_modules` is not what the lockfile names.

use std::fs::{self, File};
use std::path::Path;

use crate::invocation::{Failure, Invocation};
use crate::run::Outcome;
use crate::workspace::{root, say};

/// Who has npm packages. None of them runs an install script.
const FOLDERS: [&str; 2] = ["devnet", "tests/peers"];
/// In `node_modules`: a copy of the lockfile that it was installed from.
const STAMP: &str = ".farthing-installed-lock.json";

/// Installs where it must.
///
/// # Errors
/// `npm ci` failed: the registry can't be reached, or package.json and lockfile disagree.
pub(crate) fn install_missing() -> Result<Outcome, Failure> {
    for folder in FOLDERS {
        install(folder)?;
    }
    Ok(Outcome::Passed)
}

fn install(folder: &'static str) -> Result<(), Failure> {
    let path = root().join(folder);
    // devnet's build script installs too, and takes the same lock.
    let lock = File::open(path.join("package-lock.json")).and_then(|file| file.lock().map(|()| file));
    let _lock = lock.map_err(|error| Failure::new(format!("{folder}/package-lock.json: {error}")))?;
    if is_current(&path) {
        say(&format!("{folder}: as its lockfile says"));
        return Ok(());
    }
    let flags = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-progress"];
    Invocation::new("npm", &flags).inside(folder).run()?;
    fs::copy(path.join("package-lock.json"), path.join("node_modules").join(STAMP))
        .map_err(|error| Failure::new(format!("{folder}/node_modules/{STAMP}: {error}")))?;
    Ok(())
}

fn is_current(folder: &Path) -> bool {
    let stamp = fs::read(folder.join("node_modules").join(STAMP));
    let lock = fs::read(folder.join("package-lock.json"));
    matches!((stamp, lock), (Ok(stamp), Ok(lock)) if stamp == lock)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_current_only_for_the_lockfile_that_they_came_from() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        assert!(!is_current(path), "nothing there is not current");
        fs::create_dir(path.join("node_modules")).unwrap();
        fs::write(path.join("package-lock.json"), "one").unwrap();
        assert!(!is_current(path), "installed by somebody else");
        fs::write(path.join("node_modules").join(STAMP), "one").unwrap();
        assert!(is_current(path));
        fs::write(path.join("package-lock.json"), "two").unwrap();
        assert!(!is_current(path), "the lockfile moved on");
    }
}
