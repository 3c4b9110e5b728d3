//! Which facilitators work on a ledger: told by a lock on a file beside it.
//!
//! A settlement that was begun and for which nothing was sent yet is somebody's, who may be alive; it is given up only
//! after a long silence. A facilitator that starts and finds nobody else knows at once that it is nobody's, and so no
//! buyer waits out that silence after a crash.

use std::fs::{File, TryLockError};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use farthing_ledger::{Ledger, LedgerError, SettlementState};

/// The file beside the ledger.
const SUFFIX: &str = ".facilitators";

/// As long as it lives, others know that this facilitator does.
#[derive(Debug)]
pub(crate) struct Presence {
    _shared: File,
}

impl Presence {
    /// Gives up what dead processes began and never sent, if nobody else is there, and is there from now on. `None`
    /// where the ledger is in no file or cannot be locked: then the silence decides.
    pub(crate) async fn begin(ledger: &Ledger) -> Option<Self> {
        let path = ledger.beside(SUFFIX)?;
        let begun = Self::lock(ledger, &path).await;
        begun.inspect_err(|error| tracing::warn!(path = %path.display(), error, "facilitators on one ledger cannot be told apart")).ok()
    }

    async fn lock(ledger: &Ledger, path: &Path) -> Result<Self, String> {
        let open = File::options().create(true).truncate(false).write(true).mode(0o600).open(path);
        let file = open.map_err(|error| error.to_string())?;
        match file.try_lock() {
            Ok(()) => abandon_unsent(ledger).await.map_err(|error| error.to_string())?,
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(error.to_string()),
        }
        // Waits for another one that is at this very point, and only as long as that takes.
        let shared = tokio::task::spawn_blocking(move || file.lock_shared().map(|()| file)).await;
        let shared = shared.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
        Ok(Self { _shared: shared })
    }
}

async fn abandon_unsent(ledger: &Ledger) -> Result<(), LedgerError> {
    for record in ledger.pending_settlements().await? {
        if matches!(record.state, SettlementState::Pending { transaction: None }) {
            let why = "the process that began it died before it sent anything".to_owned();
            ledger.update_settlement(&record.settlement.key, SettlementState::Abandoned { why }).await?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use farthing_ambient::SystemClock;
    use farthing_ledger::{NewSettlement, Started};
    use farthing_money::{BaseUnits, Network};
    use farthing_protocol::PaymentKey;
    use std::sync::Arc;

    fn key(name: &str) -> PaymentKey {
        PaymentKey::from_record(format!("eip155:8453/eip3009/{name}"))
    }

    async fn begin(ledger: &Ledger, name: &str) {
        let settlement = NewSettlement {
            key: key(name),
            binding: String::new(),
            payment: String::new(),
            requirements: String::new(),
            pay_to: String::new(),
            network: Network::BASE,
            asset: String::new(),
            amount: BaseUnits::ZERO,
        };
        assert_eq!(ledger.begin_settlement(settlement).await.unwrap(), Started::New);
    }

    async fn is_abandoned(ledger: &Ledger, name: &str) -> bool {
        let record = ledger.settlement(&key(name)).await.unwrap().unwrap();
        matches!(record.state, SettlementState::Abandoned { .. })
    }

    #[tokio::test]
    async fn what_nobody_can_send_any_more_is_given_up_and_what_somebody_may_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(&folder.path().join("ledger.db"), Arc::new(SystemClock)).unwrap();
        begin(&ledger, "a").await;
        let first = Presence::begin(&ledger).await.unwrap();
        assert!(is_abandoned(&ledger, "a").await, "its process was dead: nobody was there");
        begin(&ledger, "b").await;
        let second = Presence::begin(&ledger).await.unwrap();
        assert!(!is_abandoned(&ledger, "b").await, "the first may be at it");
        drop((first, second));
        let _third = Presence::begin(&ledger).await.unwrap();
        assert!(is_abandoned(&ledger, "b").await);
    }
}
