//! A rail as the facilitator uses it: taken up after a restart before it sends anything, and watched for trouble.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use farthing_ambient::fault;
use farthing_ledger::{BroadcastRecord, Ledger, LedgerError};
use farthing_money::Network;
use farthing_rail::{Broadcast, RailError, SettlementLog, Settler};
use tokio::sync::OnceCell;

use crate::FacilitatorError;
use crate::answer::unreachable;

/// One settler.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) settler: Arc<dyn Settler>,
    resumed: OnceCell<()>,
    networks: Vec<Network>,
    in_trouble: AtomicBool,
}

impl AsRef<Self> for Lane {
    fn as_ref(&self) -> &Self {
        self
    }
}

impl Lane {
    pub(crate) fn new(settler: Arc<dyn Settler>) -> Self {
        let kinds = settler.kinds().into_iter().filter_map(|kind| kind.network.parse().ok());
        let mut networks: Vec<Network> = kinds.collect();
        networks.sort();
        networks.dedup();
        Self { settler, resumed: OnceCell::new(), networks, in_trouble: AtomicBool::new(false) }
    }

    pub(crate) fn is_on(&self, network: &Network) -> bool {
        self.networks.contains(network)
    }

    pub(crate) fn networks(&self) -> &[Network] {
        &self.networks
    }

    /// Hands the settler what an earlier process sent, once, and before anything else is sent from its accounts:
    /// otherwise their nonces would be used twice. Where it fails the next caller tries again.
    pub(crate) async fn ready(&self, log: &Arc<LedgerLog>) -> Result<(), FacilitatorError> {
        let ledger = &log.0;
        let resume = || async {
            let sent = ledger.open_broadcasts().await.map_err(unreachable)?;
            let signers = self.settler.signers();
            let ours = |b: &BroadcastRecord| {
                signers.iter().any(|(net, address)| *net == b.network && net.same_address(address, &b.signer))
            };
            let sent = sent.into_iter().filter(ours).map(broadcast).collect();
            self.noted(self.settler.resume(sent, log.clone()).await).map_err(unreachable)
        };
        self.resumed.get_or_try_init(resume).await.copied()
    }

    /// Keeps in mind whether the chain could be asked the last time.
    pub(crate) fn noted<T>(&self, result: Result<T, RailError>) -> Result<T, RailError> {
        self.note(result.is_err());
        result
    }

    pub(crate) fn note(&self, trouble: bool) {
        self.in_trouble.store(trouble, Ordering::Relaxed);
    }

    pub(crate) fn in_trouble(&self) -> bool {
        self.in_trouble.load(Ordering::Relaxed)
    }
}

/// Writes transactions to the ledger before they are sent. A facilitator has one, so that a settler can tell that the
/// payments of one transaction share it and writes that transaction once.
#[derive(Debug)]
pub(crate) struct LedgerLog(pub(crate) Ledger);

#[async_trait]
impl SettlementLog for LedgerLog {
    async fn record(&self, broadcast: &Broadcast) -> Result<(), RailError> {
        let Broadcast { network, signer, nonce, transaction, raw, payments } = broadcast.clone();
        let record = BroadcastRecord { network, signer, nonce, transaction, raw, payments };
        self.0.broadcast(record).await.map_err(|error| RailError::NotRecorded(error.to_string()))?;
        fault::point("facilitator.recorded");
        Ok(())
    }
}

/// The transactions that carry this payment.
pub(crate) async fn sent_for(
    ledger: &Ledger,
    key: &farthing_protocol::PaymentKey,
) -> Result<Vec<Broadcast>, LedgerError> {
    let mut open = ledger.open_broadcasts().await?;
    open.retain(|record| record.payments.contains(key));
    Ok(open.into_iter().map(broadcast).collect())
}

fn broadcast(record: BroadcastRecord) -> Broadcast {
    let BroadcastRecord { network, signer, nonce, transaction, raw, payments } = record;
    Broadcast { network, signer, nonce, transaction, raw, payments }
}
