//! The Python packages of the examples and the tests: virtual environments in the target directory, made anew when they
//! are not what their pinned lists say.

use std::fs::{self, File};
use std::path::Path;

use crate::invocation::{Failure, Invocation, text};
use crate::run::Outcome;
use crate::workspace::{root, say, target_dir};

/// Each environment, with its pinned list below the root. It names everything, so that pip resolves nothing.
const ENVIRONMENTS: [(&str, &str); 2] =
    [("python", "tests/python/requirements.txt"), ("python-mcp", "tests/python/mcp-requirements.txt")];
/// In the environment: a copy of the list that it was installed from.
const STAMP: &str = "farthing-installed.txt";

/// Installs where it must.
///
/// # Errors
/// There is no Python with `venv`, or pip failed: the registry can't be reached, or a package is not what it was.
pub(crate) fn install_missing() -> Result<Outcome, Failure> {
    for (name, list) in ENVIRONMENTS {
        install_into(&target_dir().join(name), list)?;
    }
    Ok(Outcome::Passed)
}

fn install_into(environment: &Path, name: &'static str) -> Result<(), Failure> {
    let list = root().join(name);
    // Another checkout may share the target directory.
    let lock = File::open(&list).and_then(|file| file.lock().map(|()| file));
    let _lock = lock.map_err(|error| Failure::new(format!("{name}: {error}")))?;
    if is_current(&list, environment) {
        say(&format!("{}: as {name} says", environment.display()));
        return Ok(());
    }
    install(&list, environment)
}

fn install(list: &Path, environment: &Path) -> Result<(), Failure> {
    if !Invocation::new("python3", &["-c", "import ensurepip, venv"]).succeeds() {
        return Err(Failure::new(
            "Python 3.11 or newer with venv is needed. Run: apt-get install python3-venv",
        ));
    }
    let (folder, list) = (text(environment), text(list));
    Invocation::new("python3", &["-m", "venv", "--clear", &folder]).run()?;
    let python = text(&environment.join("bin/python"));
    let pip =
        ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", "--no-compile"];
    // No dependency is looked up, and nothing is built that could run code of its own.
    let pinned = ["--no-deps", "--require-hashes", "--only-binary", ":all:", "-r", &list];
    Invocation::new(python, &[&pip[..], &pinned].concat()).run()?;
    let stamp = environment.join(STAMP);
    fs::copy(&list, &stamp).map_err(|error| Failure::new(format!("{}: {error}", stamp.display())))?;
    Ok(())
}

fn is_current(list: &Path, environment: &Path) -> bool {
    let (wanted, installed) = (fs::read(list), fs::read(environment.join(STAMP)));
    matches!((wanted, installed), (Ok(wanted), Ok(installed)) if wanted == installed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_environment_is_current_only_for_the_list_that_it_was_made_from() {
        let folder = tempfile::tempdir().unwrap();
        let list = folder.path().join("requirements.txt");
        fs::write(&list, "one").unwrap();
        assert!(!is_current(&list, folder.path()), "nothing there is not current");
        fs::write(folder.path().join(STAMP), "one").unwrap();
        assert!(is_current(&list, folder.path()));
        fs::write(&list, "two").unwrap();
        assert!(!is_current(&list, folder.path()), "the list moved on");
    }
}
