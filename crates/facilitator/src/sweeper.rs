//! Watches pending settlements to their end, also those that an earlier process left.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use farthing_ledger::SettlementRecord;
use farthing_protocol::PaymentKey;
use futures::{StreamExt, stream};
use tokio::time::Instant;

use crate::Metrics;
use crate::settlement::Core;

/// With nothing pending the record is read this often: another process may have died and left something.
const IDLE: Duration = Duration::from_secs(5);

/// Reads the record until the facilitator is gone. `healthy` says whether it could be read.
pub(crate) async fn sweep(core: Weak<Core>, metrics: Metrics, healthy: Arc<AtomicBool>) {
    let mut agenda = Agenda::default();
    while let Some(core) = core.upgrade() {
        let pending = core.ledger.pending_settlements().await;
        healthy.store(pending.is_ok(), Ordering::Relaxed);
        let pending = pending.unwrap_or_else(|error| {
            tracing::error!(%error, "the pending settlements could not be read");
            Vec::new()
        });
        metrics.set_open(pending.len(), core.flights.len());
        let idle = pending.is_empty();
        let due = agenda.due(pending, core.limits.watch_every);
        stream::iter(due).for_each_concurrent(core.limits.max_watched, |r| core.advance(r)).await;
        if idle {
            // Woken early when something becomes pending.
            drop(tokio::time::timeout(IDLE, core.pending.notified()).await);
        } else {
            tokio::time::sleep(core.limits.watch_every.0).await;
        }
    }
}

/// When each pending settlement is to be asked about next.
#[derive(Debug, Default)]
struct Agenda(HashMap<PaymentKey, (Instant, Duration)>);

impl Agenda {
    /// Those whose time has come. Each one's pause doubles; what is no longer pending is forgotten.
    fn due(&mut self, pending: Vec<SettlementRecord>, every: (Duration, Duration)) -> Vec<SettlementRecord> {
        let now = Instant::now();
        let mut kept = HashMap::with_capacity(pending.len());
        let mut due = Vec::new();
        for record in pending {
            let key = record.settlement.key.clone();
            let (next, pause) = self.0.remove(&key).unwrap_or((now, every.0));
            if next > now {
                kept.insert(key, (next, pause));
                continue;
            }
            kept.insert(key, (now + pause, (pause * 2).min(every.1)));
            due.push(record);
        }
        self.0 = kept;
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use farthing_ambient::Timestamp;
    use farthing_ledger::{NewSettlement, SettlementState};
    use farthing_money::{BaseUnits, Network};

    fn record() -> SettlementRecord {
        let settlement = NewSettlement {
            key: PaymentKey::from_record("k".into()),
            binding: String::new(),
            payment: String::new(),
            requirements: String::new(),
            pay_to: String::new(),
            network: Network::BASE,
            asset: String::new(),
            amount: BaseUnits::ZERO,
        };
        let at = Timestamp::UNIX_EPOCH;
        let state = SettlementState::Pending { transaction: None };
        SettlementRecord { settlement, state, created_at: at, updated_at: at }
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_double_up_to_the_longest() {
        let every = (Duration::from_secs(1), Duration::from_secs(4));
        let mut agenda = Agenda::default();
        let mut asked = Vec::new();
        for second in 0..16 {
            if !agenda.due(vec![record()], every).is_empty() {
                asked.push(second);
            }
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert_eq!(asked, [0, 1, 3, 7, 11, 15]);
        assert!(agenda.due(Vec::new(), every).is_empty() && agenda.0.is_empty(), "what is done is forgotten");
    }
}
