//! What payers have unsettled: work that is done for payments which may never settle.
//!
//! A verified payment is a promise. Between the verification and the settlement its payer can spend the money elsewhere,
//! or cancel the authorization; with one dollar he can make a thousand promises at once. How many of them are believed is
//! bounded here, by payer.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use farthing_money::Usd;

/// How much one payer may have unsettled at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PayerLimits {
    /// Calls being served.
    pub calls: usize,
    /// What they cost together. One call alone is let in at any price.
    pub unsettled: Usd,
}

/// The open calls of each payer in this process.
#[derive(Debug, Default)]
pub(crate) struct Exposure {
    payers: Mutex<HashMap<String, Open>>,
}

#[derive(Debug, Default)]
struct Open {
    calls: usize,
    worth: Usd,
}

/// One call that counts as its payer's until this is dropped.
#[derive(Debug)]
pub(crate) struct Exposed {
    exposure: Arc<Exposure>,
    payer: String,
    worth: Usd,
}

impl Exposure {
    /// Lets one more call of this payer in, unless that is too many. The payer's signature has to be verified before:
    /// nobody may use up another one's allowance.
    pub(crate) fn enter(self: &Arc<Self>, payer: &str, worth: Usd, limits: PayerLimits) -> Option<Exposed> {
        let mut payers = self.lock();
        let open = payers.entry(payer.to_owned()).or_default();
        let total = open.worth.checked_add(worth).ok();
        let fits = open.calls < limits.calls && total.is_some_and(|total| total <= limits.unsettled);
        if open.calls > 0 && !fits {
            return None;
        }
        open.calls += 1;
        open.worth = total.unwrap_or(worth);
        Some(Exposed { exposure: self.clone(), payer: payer.to_owned(), worth })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Open>> {
        // Nothing can panic while it is held.
        self.payers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Exposed {
    fn drop(&mut self) {
        let mut payers = self.exposure.lock();
        let Some(open) = payers.get_mut(&self.payer) else { return };
        open.calls = open.calls.saturating_sub(1);
        open.worth = open.worth.checked_sub(self.worth).unwrap_or_default();
        if open.calls == 0 {
            payers.remove(&self.payer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: PayerLimits = PayerLimits { calls: 3, unsettled: Usd::new(10) };

    #[test]
    fn calls_and_money_are_bounded_by_payer() {
        let exposure = Arc::new(Exposure::default());
        let enter = |payer: &str, worth| exposure.enter(payer, Usd::new(worth), LIMITS);
        let three = [enter("a", 1), enter("a", 1), enter("a", 1)];
        assert!(three.iter().all(Option::is_some) && enter("a", 1).is_none(), "three calls");
        assert!(enter("b", 1).is_some(), "another payer");
        drop(three);
        let eight = enter("a", 8);
        assert!(eight.is_some() && enter("a", 3).is_none() && enter("a", 2).is_some(), "ten units");
        drop(eight);
        assert!(exposure.lock().is_empty(), "nobody is remembered");
    }

    #[test]
    fn one_call_is_always_let_in() {
        let exposure = Arc::new(Exposure::default());
        let dear = exposure.enter("a", Usd::new(u128::MAX), LIMITS);
        assert!(dear.is_some() && exposure.enter("a", Usd::new(1), LIMITS).is_none());
    }
}
