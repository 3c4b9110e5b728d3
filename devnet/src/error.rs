use std::{io, time::Duration};

use alloy_primitives::{B256, Bytes, hex};
use alloy_sol_types::{Revert, SolError};

/// What went wrong with a local chain, and what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The chain id isn't one that the devnet plays.
    #[error("the devnet has no chain {0}: use 8453 (Base) or 84532 (Base Sepolia)")]
    UnknownChain(u64),

    /// The anvil that the crate was built with has gone.
    #[error("anvil is not at {0}: build farthing-devnet again (`cargo clean -p farthing-devnet` first)")]
    AnvilMissing(String),

    /// No port could be had for an endpoint.
    #[error("no port on 127.0.0.1 could be listened on: {0}")]
    Listen(#[source] io::Error),

    /// The operating system didn't start the chain.
    #[error("anvil could not be started through `sh`: {0}")]
    Spawn(#[source] io::Error),

    /// The chain ended before it listened, for instance because its port is taken.
    #[error(
        "anvil ended before it was ready, saying: {output}. If the port is taken, choose another one or 0 for a free one"
    )]
    Ended {
        /// The last that it printed.
        output: String,
    },

    /// The chain didn't get ready in time.
    #[error("anvil was not ready after {0:?}: is the machine overloaded?")]
    NotReady(Duration),

    /// What answers is not the chain that was started.
    #[error(
        "the chain answers with chain id {found} instead of {expected}: something else listens on its port"
    )]
    WrongChain {
        /// The chain id asked for.
        expected: u64,
        /// The chain id that answered.
        found: u64,
    },

    /// The chain didn't answer at all.
    #[error("{method}: the chain does not answer ({reason}): has it been stopped?")]
    Unreachable {
        /// The JSON-RPC method.
        method: String,
        /// What happened to the connection.
        reason: String,
    },

    /// The chain answered with an error; [`Error::revert_reason`] has a contract's own words.
    #[error("{method}: {message} (code {code})")]
    Rpc {
        /// The JSON-RPC method.
        method: String,
        /// The error's number.
        code: i64,
        /// The chain's words.
        message: String,
        /// What a contract gave back when it reverted.
        data: Option<Bytes>,
    },

    /// The chain answered, but not with what the method promises.
    #[error("{method}: the answer was not understood ({reason}): does anvil's version match package.json?")]
    Answer {
        /// The JSON-RPC method.
        method: String,
        /// What about it was not understood.
        reason: String,
    },

    /// No block has taken the transaction in.
    #[error("transaction {hash} is in no block after {waited:?}: if mining is stopped, call mine()")]
    NotMined {
        /// The transaction.
        hash: B256,
        /// How long was waited.
        waited: Duration,
    },

    /// A block has taken the transaction in, and it failed.
    #[error("transaction {hash} reverted: ask debug_traceTransaction why")]
    Reverted {
        /// The transaction.
        hash: B256,
    },
}

// === impl Error ===

impl Error {
    /// The contract's own words where it reverted, such as "FiatTokenV2: invalid signature".
    #[must_use]
    pub fn revert_reason(&self) -> Option<String> {
        match self {
            Self::Rpc { data: Some(data), .. } => Some(match Revert::abi_decode(data) {
                Ok(revert) => revert.reason,
                Err(_) => hex::encode_prefixed(data),
            }),
            _ => None,
        }
    }

    pub(crate) fn answer(method: &str, reason: impl ToString) -> Self {
        Self::Answer { method: method.to_owned(), reason: reason.to_string() }
    }
}
