use std::io;
use std::path::PathBuf;

use crate::edit::EditError;

/// Why a client's file is left as it is.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// The text cannot be read, or not be changed safely.
    #[error("{}: {error}; nothing was changed", file.display())]
    Text {
        /// The client's file.
        file: PathBuf,
        /// Where, and why.
        error: EditError,
    },
    /// The file is not text.
    #[error("{}: it is not UTF-8 text from byte {at} on; nothing was changed", file.display())]
    NotText {
        /// The client's file.
        file: PathBuf,
        /// The first byte that is not.
        at: usize,
    },
    /// A folder, a pipe, or the like stands in the file's place.
    #[error("{}: it is not a file; nothing was changed", .0.display())]
    NotAFile(PathBuf),
    /// More bytes than a configuration has.
    #[error("{}: it has more than {most} bytes; nothing was changed", file.display())]
    TooLarge {
        /// The client's file.
        file: PathBuf,
        /// The most that is read, in bytes.
        most: u64,
    },
    /// Somebody else wrote the file in the meantime.
    #[error("{}: it was changed by another program in the meantime, and is left as that program wrote it; try again", .0.display())]
    Changed(PathBuf),
    /// The file system refused.
    #[error("cannot {doing} {}: {error}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// The reason.
        error: io::Error,
    },
    /// There is no randomness for the name of a draft.
    #[error(transparent)]
    NoEntropy(#[from] farthing_ambient::NoEntropy),
}

impl InstallError {
    pub(crate) fn io(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |error| Self::Io { doing, path, error }
    }
}
