//! Where one stands, asked of everybody who knows.

use std::time::Duration;

use farthing_ambient::{Clock as _, SystemClock, Timestamp};
use farthing_ledger::{
    Approval, ApprovalFilter, Frozen, Ledger, Purchase, PurchaseFilter, SpendingBy, Spent,
};
use farthing_policy::{CountedApart, Limit, Policy, Usage};
use farthing_wallet::Balance;
use jiff::tz::TimeZone;

use crate::exit::Failure;
use crate::session::{Session, existing_ledger};

/// How long a chain is waited for: whoever asks where he stands does not want to stand about.
const PATIENCE: Duration = Duration::from_secs(2);

/// Where one stands.
pub(super) struct Status {
    /// None beside a guard, where there is a record and no wallet.
    pub(super) wallet: Option<Purse>,
    /// Why the policy itself stops everything.
    pub(super) killed: Option<String>,
    pub(super) frozen: Option<Frozen>,
    /// What waits for a person.
    pub(super) approvals: Vec<Approval>,
}

/// What a wallet has and spends.
pub(super) struct Purse {
    pub(super) address: String,
    pub(super) balances: Vec<Balance>,
    /// What was paid since midnight, UTC, as budgets count days.
    pub(super) today: Spent,
    /// The policy's, and those of its agents.
    pub(super) budgets: Vec<(Limit, Usage)>,
    /// Those that count apart, for each host for example, with what is used where.
    pub(super) apart: Vec<(CountedApart, Vec<(Limit, Usage)>)>,
    /// Purchases whose outcome is not known.
    pub(super) open: Vec<Purchase>,
    /// Whether anything was ever bought.
    pub(super) has_bought: bool,
}

impl Status {
    /// None where there is neither a wallet nor a record.
    pub(super) async fn of(session: &Session) -> Result<Option<Self>, Failure> {
        let has_wallet = session.key_file().exists();
        if !has_wallet && !session.home().ledger().exists() {
            return Ok(None);
        }
        let policy = session.policy()?;
        let ledger = if has_wallet { session.ledger()? } else { existing_ledger(&session.home().ledger())? };
        let wallet = if has_wallet { Some(Purse::of(session, &ledger, &policy).await?) } else { None };
        let pending = ApprovalFilter { pending: Some(true), ..ApprovalFilter::default() };
        Ok(Some(Self {
            wallet,
            killed: policy.killed().map(str::to_owned),
            frozen: ledger.frozen().await?,
            approvals: ledger.approvals(pending).await?,
        }))
    }

    /// What to do now, most urgent first: the command, and what for.
    pub(super) fn next(&self) -> Vec<(&'static str, String)> {
        let mut next = Vec::new();
        if self.killed.is_some() {
            next.push((
                "farthing config show",
                "where policy.yaml is; its `kill:` stops everything".to_owned(),
            ));
        }
        if self.frozen.is_some() {
            next.push(("farthing thaw", "nothing is paid until then".to_owned()));
        }
        if !self.approvals.is_empty() {
            next.push(("farthing approvals list", "a person has to decide".to_owned()));
        }
        let Some(wallet) = &self.wallet else { return next };
        next.extend(wallet.next());
        if next.is_empty() && !wallet.has_bought {
            next.push(("farthing check URL", "what a call would cost; never pays".to_owned()));
        }
        next
    }
}

impl Purse {
    async fn of(session: &Session, ledger: &Ledger, policy: &Policy) -> Result<Self, Failure> {
        let wallet = session.wallet()?;
        // The chains are asked while the ledger is.
        let balances = wallet.balances_within(PATIENCE);
        let recorded = async {
            let since = Some(midnight(SystemClock.now()));
            let today = PurchaseFilter { since, ..PurchaseFilter::default() };
            let unresolved = PurchaseFilter { unresolved: true, ..PurchaseFilter::default() };
            let newest = PurchaseFilter { limit: Some(1), ..PurchaseFilter::default() };
            Ok::<_, Failure>((
                ledger.spending(today, SpendingBy::Day(TimeZone::UTC)).await?.total,
                ledger.used(policy.limits_of_everybody()).await?,
                apart(ledger, policy).await?,
                ledger.purchases(unresolved).await?,
                !ledger.purchases(newest).await?.is_empty(),
            ))
        };
        let (balances, recorded) = futures::join!(balances, recorded);
        let (today, budgets, apart, open, has_bought) = recorded?;
        let address = session.keystore()?.info().evm.to_checksum(None);
        Ok(Self { address, balances, today, budgets, apart, open, has_bought })
    }

    fn next(&self) -> Vec<(&'static str, String)> {
        let mut next = Vec::new();
        if !self.open.is_empty() {
            next.push(("farthing reconcile", "asks the chains what became of open purchases".to_owned()));
        }
        if is_empty(&self.balances) {
            next.push(("farthing fund", "where to send USDC; the wallet is empty".to_owned()));
        }
        if self.balances.iter().any(|held| held.amount.is_err()) {
            next.push(("farthing doctor", "finds out why a chain is silent".to_owned()));
        }
        next
    }
}

/// Whether every chain says that there is nothing. One that is silent may have something.
fn is_empty(balances: &[Balance]) -> bool {
    balances.iter().all(|held| held.amount.as_ref().is_ok_and(|amount| amount.get() == 0))
}

async fn apart(
    ledger: &Ledger,
    policy: &Policy,
) -> Result<Vec<(CountedApart, Vec<(Limit, Usage)>)>, Failure> {
    let mut all = Vec::new();
    for apart in policy.counted_apart() {
        let used = ledger.used_apart(&apart).await?;
        all.push((apart, used));
    }
    Ok(all)
}

/// The beginning of the day, UTC.
fn midnight(now: Timestamp) -> Timestamp {
    const DAY: i64 = 86_400;
    Timestamp::from_second(now.as_second().div_euclid(DAY) * DAY).unwrap_or(Timestamp::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;
    use farthing_money::{BaseUnits, Network, Registry};

    #[test]
    fn the_day_begins_at_midnight() {
        let at: Timestamp = "2026-11-26T11:12:26.5Z".parse().unwrap();
        assert_eq!(midnight(at).to_string(), "2026-11-26T00:00:00Z");
        assert_eq!(midnight(midnight(at)), midnight(at));
    }

    #[test]
    fn a_silent_chain_is_no_empty_one() {
        let registry = Registry::builtin();
        let held = |amount: Option<u128>| Balance {
            asset: registry.usdc(&Network::BASE).unwrap().clone(),
            address: String::new(),
            amount: amount.map(BaseUnits::new).ok_or_else(|| "silent".to_owned()),
        };
        for (amounts, expected) in [
            (&[Some(0), Some(0)][..], true),
            (&[Some(0), Some(1)], false),
            (&[None, None], false),
            (&[Some(0), None], false),
        ] {
            let balances: Vec<_> = amounts.iter().map(|amount| held(*amount)).collect();
            assert_eq!(is_empty(&balances), expected, "{amounts:?}");
        }
    }
}
