//! Where one stands, asked of everybody who knows.

use std::time::Duration;

use farthing_ambient::{Clock as _, SystemClock, Timestamp};
use farthing_ledger::{Approval, ApprovalFilter, Frozen, Purchase, PurchaseFilter, SpendingBy, Spent};
use farthing_policy::{Limit, Usage};
use farthing_wallet::{Balance, Wallet as _};
use jiff::tz::TimeZone;

use crate::exit::Failure;
use crate::session::Session;

/// How long a chain is waited for: whoever asks where he stands does not want to stand about.
const PATIENCE: Duration = Duration::from_secs(2);

/// Where one stands.
pub(super) struct Status {
    pub(super) address: String,
    pub(super) balances: Vec<Balance>,
    /// What was paid since midnight, UTC, as budgets count days.
    pub(super) today: Spent,
    pub(super) budgets: Vec<(Limit, Usage)>,
    pub(super) frozen: Option<Frozen>,
    /// What waits for a person.
    pub(super) approvals: Vec<Approval>,
    /// Purchases whose outcome is not known.
    pub(super) open: Vec<Purchase>,
    /// Whether anything was ever bought.
    pub(super) has_bought: bool,
}

impl Status {
    pub(super) async fn of(session: &Session) -> Result<Self, Failure> {
        let (wallet, ledger) = (session.wallet()?, session.ledger()?);
        // The chains are asked while the ledger is.
        let balances = wallet.balances_within(PATIENCE);
        let recorded = async {
            let since = Some(midnight(SystemClock.now()));
            let today = PurchaseFilter { since, ..PurchaseFilter::default() };
            let unresolved = PurchaseFilter { unresolved: true, ..PurchaseFilter::default() };
            let newest = PurchaseFilter { limit: Some(1), ..PurchaseFilter::default() };
            Ok::<_, Failure>((
                ledger.spending(today, SpendingBy::Day(TimeZone::UTC)).await?.total,
                wallet.budgets().await?,
                ledger.frozen().await?,
                ledger.approvals(ApprovalFilter { pending: true, limit: None }).await?,
                ledger.purchases(unresolved).await?,
                !ledger.purchases(newest).await?.is_empty(),
            ))
        };
        let (balances, recorded) = futures::join!(balances, recorded);
        let (today, budgets, frozen, approvals, open, has_bought) = recorded?;
        let address = session.keystore()?.info().evm.to_checksum(None);
        Ok(Self { address, balances, today, budgets, frozen, approvals, open, has_bought })
    }

    /// Whether no chain says that there is anything.
    fn is_empty(&self) -> bool {
        !self.balances.iter().any(|held| held.amount.as_ref().is_ok_and(|amount| amount.get() > 0))
    }

    /// What to do now, most urgent first: the command, and what for.
    pub(super) fn next(&self) -> Vec<(&'static str, String)> {
        let mut next = Vec::new();
        if self.frozen.is_some() {
            next.push(("farthing thaw", "nothing is paid until then".to_owned()));
        }
        if !self.approvals.is_empty() {
            next.push(("farthing approvals list", "a person has to decide".to_owned()));
        }
        if !self.open.is_empty() {
            next.push(("farthing reconcile", "asks the chains what became of open purchases".to_owned()));
        }
        if self.is_empty() {
            next.push(("farthing fund", "where to send USDC; the wallet is empty".to_owned()));
        }
        if self.balances.iter().any(|held| held.amount.is_err()) {
            next.push(("farthing doctor", "finds out why a chain is silent".to_owned()));
        }
        if next.is_empty() && !self.has_bought {
            next.push(("farthing check URL", "what a call would cost; never pays".to_owned()));
        }
        next
    }
}

/// The beginning of the day, UTC.
fn midnight(now: Timestamp) -> Timestamp {
    const DAY: i64 = 86_400;
    Timestamp::from_second(now.as_second().div_euclid(DAY) * DAY).unwrap_or(Timestamp::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_day_begins_at_midnight() {
        let at: Timestamp = "2026-11-26T11:12:26.5Z".parse().unwrap();
        assert_eq!(midnight(at).to_string(), "2026-11-26T00:00:00Z");
        assert_eq!(midnight(midnight(at)), midnight(at));
    }
}
