//! How the proxy is told who may come, and what it works with.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use farthing_ambient::{Clock, Entropy};
use farthing_ledger::Ledger;
use farthing_policy::PendingApproval;
use farthing_wallet::Client;

use super::token::TokenFile;
use crate::guard::PolicyFile;

/// Told of every approval that waits for a person.
pub type Notify = Arc<dyn Fn(&PendingApproval) + Send + Sync>;

/// What a [`Proxy`](super::Proxy) is made of.
pub struct ProxyConfig {
    /// Where callers connect.
    pub bind: SocketAddr,
    /// The HTTP side, bounded by what agents may reach. Its wallet goes by the same policy.
    pub client: Client,
    /// The policy in force.
    pub policy: Arc<PolicyFile>,
    /// The record: the freeze, and what was refused.
    pub ledger: Ledger,
    /// Who may call.
    pub tokens: TokenFile,
    /// Who calls without a token; nobody may where this is none.
    pub anonymous: Option<Anonymous>,
    /// Names, with or without a port, by which callers may name us beside this machine's own and the bound address. Not
    /// where callers need no token.
    pub allow_hosts: Vec<String>,
    /// The longest body of a request: it is kept until the answer begins, because it may have to be sent again with a
    /// payment.
    pub max_request_bytes: usize,
    /// How long calls may take that are open when the proxy is to end, and then the rests of paid answers.
    pub grace: Duration,
    /// Names this run in the sessions of its callers.
    pub run: String,
    /// Told of every approval that waits.
    pub notify: Option<Notify>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The randomness.
    pub entropy: Arc<dyn Entropy>,
}

/// Callers that show no token.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Anonymous {
    /// The agent that they are; none for the wallet's owner.
    pub agent: Option<String>,
}

impl ProxyConfig {
    /// Whether it is safe to listen so.
    pub(super) fn check(&self) -> Result<(), ProxyError> {
        match &self.anonymous {
            Some(_) if !self.bind.ip().is_loopback() => Err(ProxyError::NeedsTokens { bind: self.bind }),
            // An image in a page of that name would be a call that no browser marks as one.
            Some(_) if !self.allow_hosts.is_empty() => Err(ProxyError::NamesNeedTokens),
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for ProxyConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProxyConfig").field("bind", &self.bind).finish_non_exhaustive()
    }
}

/// Why the proxy cannot run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyError {
    /// Other machines could pay out of the wallet.
    #[error("{bind} can be reached from other machines: callers have to show a token there")]
    NeedsTokens {
        /// Where it was to listen.
        bind: SocketAddr,
    },
    /// Pages in a browser could pay out of the wallet.
    #[error(
        "pages of other names could call: callers have to show a token where other names are answered to"
    )]
    NamesNeedTokens,
    /// The address is not to be had.
    #[error("can't listen on {bind}")]
    Bind {
        /// Where it was to listen.
        bind: SocketAddr,
        /// Why not.
        source: io::Error,
    },
}
