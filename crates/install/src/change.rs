//! One client's change: planned, shown, made.

use std::path::{Path, PathBuf};

use farthing_ambient::Entropy;

use crate::client::Client;
use crate::edit::EditError;
use crate::entry::Server;
use crate::error::InstallError;
use crate::file;

/// What a client's file holds, and what it is to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The file, by the name that the client knows.
    pub file: PathBuf,
    /// Its text now; `None` where there is no file.
    pub before: Option<String>,
    /// Its text then; `None` where there will be no file.
    pub after: Option<String>,
}

/// How a server stands in a client's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It is not there.
    Absent,
    /// It is there as it would be written today.
    Current,
    /// Something else stands under its name: another program, other arguments.
    Different,
    /// What stands under its name starts no program, and is somebody else's.
    Foreign,
}

impl Change {
    /// Puts the server into `client`'s file.
    ///
    /// # Errors
    /// [`InstallError`], when the file cannot be read, or not be changed safely.
    pub fn installing(client: Client, file: PathBuf, server: &Server) -> Result<Self, InstallError> {
        let before = file::read(&file)?;
        let after = client.with(before.as_deref(), server).map_err(in_file(&file))?;
        Ok(Self { file, before, after: Some(after) })
    }

    /// Takes the server of this name out of `client`'s file. With the backups of earlier changes, the file becomes what
    /// it was, byte for byte, unless something else changed since.
    ///
    /// # Errors
    /// [`InstallError`], when the file cannot be read, or not be changed safely.
    pub fn uninstalling(client: Client, file: PathBuf, name: &str) -> Result<Self, InstallError> {
        let before = file::read(&file)?;
        let after = match &before {
            Some(text) => client.without(text, name, &file::earlier(&file)).map_err(in_file(&file))?,
            None => None,
        };
        Ok(Self { file, before, after })
    }

    /// Whether there is anything to do.
    #[must_use]
    pub fn is_needed(&self) -> bool {
        self.before != self.after
    }

    /// Writes the file, whole or not at all, with the permissions that it has, through symbolic links. Gives the copy
    /// that was made of what it held, `NAME.farthing-backup.N`, which nothing writes over.
    ///
    /// # Errors
    /// [`InstallError::Changed`] when the file holds something else than when this change was planned, and when it
    /// cannot be written.
    pub fn make(&self, entropy: &dyn Entropy) -> Result<Option<PathBuf>, InstallError> {
        if !self.is_needed() {
            return Ok(None);
        }
        file::replace(&self.file, self.before.as_deref(), self.after.as_deref(), entropy)
    }
}

impl Status {
    /// How `server` stands in `client`'s file.
    ///
    /// # Errors
    /// [`InstallError`], when the file cannot be read.
    pub fn of(client: Client, file: &Path, server: &Server) -> Result<Self, InstallError> {
        let Some(text) = file::read(file)? else { return Ok(Self::Absent) };
        match client.has(&text, &server.name) {
            Ok(true) => {}
            Ok(false) => return Ok(Self::Absent),
            Err(EditError::Foreign { .. }) => return Ok(Self::Foreign),
            Err(error) => return Err(in_file(file)(error)),
        }
        let same = client.with(Some(&text), server).is_ok_and(|with| with == text);
        Ok(if same { Self::Current } else { Self::Different })
    }
}

fn in_file(file: &Path) -> impl FnOnce(EditError) -> InstallError {
    let file = file.to_owned();
    move |error| InstallError::Text { file, error }
}
