use std::net::SocketAddr;

use farthing_ambient::NoEntropy;
use farthing_ledger::LedgerError;

/// Why a page or a document cannot be given.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UiError {
    /// Others could reach the page there.
    #[error("{0} is not an address of this machine alone; listen on 127.0.0.1")]
    NotLoopback(SocketAddr),
    /// No link can be made.
    #[error(transparent)]
    Entropy(#[from] NoEntropy),
    /// The ledger did not answer, or did not do what was asked.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// A page could not be written.
    #[error("the page cannot be written: {0}")]
    Page(#[from] askama::Error),
}
