use std::path::PathBuf;

use farthing_http::OutOfReach;
use farthing_ledger::{LedgerError, Outcome, PurchaseId, PurchaseState};
use farthing_money::Network;
use farthing_policy::Denial;
use farthing_protocol::ProtocolError;
use farthing_rail::RailError;

use crate::Shortage;

/// Why the wallet did not sign, or could not record. Unless it says otherwise nothing has left the machine.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WalletError {
    /// The policy says no.
    #[error("{0}")]
    Denied(Box<Denial>),
    /// None of the offers can be paid; the reason stands beside each.
    #[error("none of the {} offers can be paid:\n{}", .0.len(), .0.join("\n"))]
    NoPayableOffer(Vec<String>),
    /// The chain says that the wallet does not hold enough for any offer.
    #[error("{0}")]
    Short(Shortage),
    /// The caller's own limits cannot be applied.
    #[error("{0}")]
    BadLimit(String),
    /// The purchase to go on with belongs to another request, or is over.
    #[error("purchase {id} cannot be sent again: {why}")]
    NotResumable {
        /// The purchase.
        id: PurchaseId,
        /// How it stands.
        state: PurchaseState,
        /// Why.
        why: String,
    },
    /// The ledger failed: without a durable record nothing is signed.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The chain, or the key.
    #[error(transparent)]
    Rail(#[from] RailError),
    /// The offer changed under our hands, or cannot be answered.
    #[error(transparent)]
    Protocol(#[from] ProtocolError),
    /// Nothing here can pay on that network.
    #[error("this wallet has no key for {0}")]
    NoPayer(Network),
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The URL cannot be called.
    #[error("`{url}` cannot be called: {why}")]
    BadUrl {
        /// The URL as given, without credentials.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// The request failed before anything was paid.
    #[error("{url} did not answer: {why}")]
    Unanswered {
        /// The URL.
        url: String,
        /// What happened.
        why: String,
    },
    /// The answer took too long; nothing was paid.
    #[error("{url} did not answer within {seconds} s; nothing was paid")]
    TimedOut {
        /// The URL.
        url: String,
        /// The limit.
        seconds: u64,
    },
    /// The caller's headers hold one that is not the caller's to set.
    #[error("the header `{name}` cannot be sent: {why}")]
    BadHeader {
        /// The header's name.
        name: String,
        /// Why not.
        why: &'static str,
    },
    /// The address is not to be called from here.
    #[error(transparent)]
    OutOfReach(#[from] OutOfReach),
    /// The 402 cannot be read.
    #[error("{url} asks for payment in a way that cannot be read: {source}")]
    BadChallenge {
        /// The URL.
        url: String,
        /// Why.
        #[source]
        source: ProtocolError,
    },
    /// Paying over plain HTTP would let anybody on the way change the payee.
    #[error(
        "{0} is not https: anybody on the way could change the payee. Only loopback addresses are paid over http"
    )]
    PlainHttp(String),
    /// The wallet refused or failed before signing.
    #[error(transparent)]
    Wallet(#[from] WalletError),
    /// The payment left the machine and no answer came back. It stays reserved.
    #[error("the payment was sent and no answer came back: {why}. Purchase {purchase} stays reserved")]
    Lost {
        /// The purchase.
        purchase: PurchaseId,
        /// What happened.
        why: String,
    },
    /// There is no place for the answer, so nothing was paid.
    #[error("the answer could not be kept, so nothing was paid: {0}")]
    NoPlace(String),
    /// The answer is there, but keeping it failed.
    #[error("the answer to purchase {purchase}, whose payment was sent, could not be kept: {why}")]
    NotKept {
        /// The purchase.
        purchase: PurchaseId,
        /// How it stands.
        outcome: Outcome,
        /// What happened.
        why: String,
    },
    /// The payment left the machine and was answered, but the ledger could not take that down. What is not known to be
    /// paid stays reserved.
    #[error(
        "the payment of purchase {purchase} was sent and answered, but that could not be recorded: {source}{}",
        .file.as_ref().map(|file| format!(". What came is in {}", file.display())).unwrap_or_default()
    )]
    NotRecorded {
        /// The purchase.
        purchase: PurchaseId,
        /// Where the answer's body is kept, or the part of it that came.
        file: Option<PathBuf>,
        /// What happened.
        #[source]
        source: Box<WalletError>,
    },
    /// The client could not be set up.
    #[error("the HTTP client cannot be set up: {0}")]
    Setup(String),
}
