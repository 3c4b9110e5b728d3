//! The folder that holds every file of the wallet.

use std::path::{Path, PathBuf};

use crate::exit::{Code, Failure};

/// The wallet's folder and the files in it.
#[derive(Debug, Clone)]
pub(crate) struct Home(PathBuf);

impl Home {
    /// The folder given, else `~/.farthing`.
    pub(crate) fn locate(given: Option<&Path>) -> Result<Self, Failure> {
        if let Some(given) = given {
            return Ok(Self(given.to_owned()));
        }
        Ok(Self(Self::user()?.join(".farthing")))
    }

    /// The user's own folder.
    pub(crate) fn user() -> Result<PathBuf, Failure> {
        let user = std::env::var_os("HOME").filter(|home| !home.is_empty());
        user.map(PathBuf::from).ok_or_else(|| {
            Failure::new(Code::Configuration, "there is no home folder").hint("set FARTHING_HOME to a folder")
        })
    }

    /// The folder, when a command has to name it because the environment leads elsewhere.
    pub(crate) fn named(&self) -> Option<&Path> {
        let environment = std::env::var_os("FARTHING_HOME").map(PathBuf::from);
        let usual = Self::locate(environment.as_deref()).ok();
        usual.is_none_or(|usual| usual.0 != self.0).then_some(&self.0)
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.0
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.0.join("config.yaml")
    }

    pub(crate) fn policy(&self) -> PathBuf {
        self.0.join("policy.yaml")
    }

    /// The digests of the tokens that the proxy's callers show.
    pub(crate) fn proxy_tokens(&self) -> PathBuf {
        self.0.join("proxy-tokens.json")
    }

    pub(crate) fn ledger(&self) -> PathBuf {
        self.0.join("ledger.db")
    }
}

/// Reads a small text file, or gives the text that holds where there is none. A file that is there and cannot be read,
/// a link to nowhere among them, is an error: its rules must not be replaced by milder ones.
pub(crate) fn read_or(path: &Path, default: &str) -> Result<String, Failure> {
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(default.to_owned()),
        _ => read(path),
    }
}

/// Reads a small text file, naming it in the error.
pub(crate) fn read(path: &Path) -> Result<String, Failure> {
    const MOST: u64 = 1 << 20;
    let failed =
        |why: String| Failure::new(Code::Configuration, format!("{} cannot be read: {why}", path.display()));
    let size = std::fs::metadata(path).map_err(|error| failed(error.to_string()))?.len();
    if size > MOST {
        return Err(failed(format!("it has {size} bytes, more than {MOST}")));
    }
    std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))
}
