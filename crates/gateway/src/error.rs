use std::fmt;

/// Why `gateway.yaml` was refused: the file, the place in it, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}{}{message}", Place(*line, *column))]
pub struct ConfigError {
    /// The file's name, or `gateway.yaml` for text without one.
    pub file: String,
    /// The line, counted from 1; 0 when the error concerns the file as a whole.
    pub line: u64,
    /// The column, counted from 1; 0 when it is not known.
    pub column: u64,
    /// What is wrong, and what would be right.
    pub message: String,
}

struct Place(u64, u64);

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self(0, _) => f.write_str(": "),
            Self(line, 0) => write!(f, ":{line}: "),
            Self(line, column) => write!(f, ":{line}:{column}: "),
        }
    }
}

/// Why the gateway cannot run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GatewayError {
    /// The configuration is not usable.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A file or a socket failed.
    #[error("{what}: {source}")]
    Io {
        /// What was being done, to what.
        what: String,
        /// The operating system's answer.
        #[source]
        source: std::io::Error,
    },
    /// The ledger failed.
    #[error(transparent)]
    Ledger(#[from] farthing_ledger::LedgerError),
    /// The folder for kept answers cannot be used.
    #[error("{0}")]
    Answers(String),
    /// TLS towards the upstream cannot be set up.
    #[error("TLS towards the upstream cannot be set up: {0}")]
    Tls(String),
    /// The upstream's own document cannot be had.
    #[error("`discovery.upstream_document`: {0}")]
    Document(#[from] crate::DocumentError),
}

impl GatewayError {
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}
