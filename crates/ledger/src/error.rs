use crate::Frozen;

/// Why the ledger could not do what it was asked. Nothing was written then.
///
/// Whoever tells of it sorts every kind, so a new one is to be noticed there: it is not `non_exhaustive`.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LedgerError {
    /// The file cannot be opened or made.
    #[error("the ledger {path} cannot be opened: {why}")]
    Open {
        /// The file.
        path: String,
        /// What happened.
        why: String,
    },
    /// A newer Farthing wrote it.
    #[error(
        "the ledger {path} has schema {found}, newer than this program's {known}: use the newer farthing"
    )]
    Newer {
        /// The file.
        path: String,
        /// Its schema.
        found: u32,
        /// The newest that this program knows.
        known: u32,
    },
    /// The database failed: disk full, locked for too long, or broken.
    #[error("the ledger could not be written: {0}")]
    Database(String),
    /// Nothing has this identity.
    #[error("no {what} {id} in the ledger")]
    NotFound {
        /// `purchase`, `claim`, `settlement`, `approval`, `call`.
        what: &'static str,
        /// The identity.
        id: String,
    },
    /// The step does not follow from the recorded state.
    #[error("{what} {id} is {state}; it cannot become {wanted}")]
    WrongState {
        /// `purchase`, `claim`, `settlement`, `approval`, `call`.
        what: &'static str,
        /// The identity.
        id: String,
        /// The recorded state.
        state: String,
        /// The state that was asked for.
        wanted: &'static str,
    },
    /// Everything that spends is stopped: nothing may leave the machine.
    #[error("{0}; `farthing thaw` ends it")]
    Frozen(Frozen),
    /// A record cannot be read back.
    #[error("the ledger holds a record that cannot be read: {0}")]
    Corrupt(String),
    /// The ledger's thread is gone.
    #[error("the ledger is closed")]
    Closed,
}
