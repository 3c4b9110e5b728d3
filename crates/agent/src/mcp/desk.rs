//! What the tools work with.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use farthing_ambient::{Clock, Entropy};
use farthing_discovery::Discovery;
use farthing_ledger::{Ledger, Purchase, PurchaseFilter};
use farthing_money::Network;
use farthing_policy::PendingApproval;
use farthing_wallet::{BodyStore, Client, Wallet};
use tokio_util::task::TaskTracker;
use url::Url;

use super::output::Budget;
use super::trouble::{Code, Trouble};
use crate::guard::PolicyFile;
use crate::record;

/// Told that an approval waits for a person.
pub type Notify = Arc<dyn Fn(&PendingApproval) + Send + Sync>;

/// What a [`Desk`] is made of.
pub struct DeskConfig {
    /// The HTTP side, bounded by what agents may reach.
    pub client: Client,
    /// The wallet that the client pays from.
    pub wallet: Arc<dyn Wallet>,
    /// What looks for priced APIs, bounded like the client.
    pub discovery: Discovery,
    /// The indexes that are searched.
    pub indexes: Vec<Url>,
    /// The policy in force.
    pub policy: Arc<PolicyFile>,
    /// The record.
    pub ledger: Ledger,
    /// Where bodies are kept.
    pub bodies: BodyStore,
    /// Whose calls these are: an agent of the policy; none for the wallet's owner.
    pub agent: Option<String>,
    /// The session that the policy's session budgets count in.
    pub session: String,
    /// Where the wallet can be funded.
    pub funding: Vec<Funding>,
    /// Told of every new approval that waits.
    pub notify: Option<Notify>,
    /// What the record's digests of arguments are salted with.
    pub salt: Arc<[u8]>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The randomness.
    pub entropy: Arc<dyn Entropy>,
}

/// An address of the wallet.
#[derive(Debug, Clone)]
pub struct Funding {
    /// Where.
    pub network: Network,
    /// The address.
    pub address: String,
    /// USDC's address there.
    pub usdc: Option<String>,
}

/// What every session of the server shares.
pub struct Desk {
    pub(super) config: DeskConfig,
    /// Calls that are open: their payment may be out, and their client gone.
    pub(super) open: TaskTracker,
    /// Questions that were given to a client to put to its user, by a handle that only that client knows.
    asked: Mutex<HashMap<String, Asked>>,
}

/// A question for approval that is on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asked {
    /// The approval.
    pub(super) approval: String,
    /// SHA-256 of the arguments of the call that it is for.
    pub(super) arguments: String,
}

/// How many questions may be on their way at once. Who asks more loses the memory of some: their users decide by the
/// command line.
const MOST_ASKED: usize = 256;

/// How many of an id's last characters name a purchase, at least.
const FEWEST_CHARACTERS: usize = 8;

impl Desk {
    /// Sets up.
    #[must_use]
    pub fn new(config: DeskConfig) -> Arc<Self> {
        Arc::new(Self { config, open: TaskTracker::new(), asked: Mutex::default() })
    }

    /// Waits for open calls, so that answers to payments that are out are kept, and all is recorded; then writes what is
    /// left of the record.
    ///
    /// # Errors
    /// [`LedgerError`](farthing_ledger::LedgerError): the last records may be missing.
    pub async fn close(&self, patience: Duration) -> Result<(), farthing_ledger::LedgerError> {
        self.open.close();
        if tokio::time::timeout(patience, self.open.wait()).await.is_err() {
            tracing::warn!(
                "calls are left whose payments are out; `farthing history --unresolved` lists them"
            );
        }
        self.config.ledger.close().await
    }

    /// Purchases: of an agent's server that agent's only.
    pub(super) async fn purchases(&self, filter: PurchaseFilter) -> Result<Vec<Purchase>, Trouble> {
        let filter = PurchaseFilter { agent: self.config.agent.clone(), ..filter };
        Ok(self.config.wallet.purchases(filter).await?)
    }

    /// Every budget and rate that counts all payments of whoever asks, with what is used of it.
    pub(super) async fn budgets(&self) -> Result<Vec<Budget>, Trouble> {
        let limits = self.config.policy.current().limits_of(self.config.agent.as_deref());
        Ok(Budget::all(&self.config.ledger.used(limits).await?))
    }

    /// The purchase that is named by its id, or by the id's end.
    pub(super) async fn purchase(&self, id: &str) -> Result<Purchase, Trouble> {
        let plain = |c: char| c.is_ascii_alphanumeric();
        if id.len() < FEWEST_CHARACTERS || !id.chars().all(plain) {
            return Err(Trouble::unpaid(
                Code::BadArguments,
                format!("`purchase`: give the id, or at least its last {FEWEST_CHARACTERS} characters"),
            ));
        }
        let filter = PurchaseFilter {
            limit: Some(2),
            id_ends_with: Some(id.to_ascii_uppercase()),
            ..PurchaseFilter::default()
        };
        let mut found = self.purchases(filter).await?;
        match (found.pop(), found.pop()) {
            (Some(purchase), None) => Ok(purchase),
            (Some(_), Some(_)) => Err(Trouble::unpaid(
                Code::BadArguments,
                format!("several purchases end with {id}; give the whole id"),
            )),
            (None, _) => Err(Trouble::unpaid(
                Code::NotFound,
                format!("there is no purchase {id}; `history` lists them"),
            )),
        }
    }

    /// Remembers a question, and gives the handle that its answer has to come back with.
    pub(super) fn ask(&self, asked: Asked) -> Result<String, Trouble> {
        let handle = record::id(&*self.config.clock, &*self.config.entropy)
            .map_err(|error| Trouble::unpaid(Code::Failed, error.to_string()))?;
        let mut all = self.asked();
        if all.len() >= MOST_ASKED {
            all.clear();
        }
        all.insert(handle.clone(), asked);
        Ok(handle)
    }

    /// The question that came back, which it does once.
    pub(super) fn answered(&self, handle: &str) -> Option<Asked> {
        self.asked().remove(handle)
    }

    fn asked(&self) -> MutexGuard<'_, HashMap<String, Asked>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Desk").field("agent", &self.config.agent).finish_non_exhaustive()
    }
}
