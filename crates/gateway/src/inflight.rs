//! Payments that are being served in this process, and those that were.

use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use farthing_protocol::PaymentKey;

/// How many finished payments are remembered: enough to answer a burst of copies without asking anybody.
const REMEMBERED: usize = 65_536;

/// How often an answer that was paid for is made again after it was broken off. A buyer may have a hand in it.
const MADE_AGAIN: u32 = 3;

/// The first gate for copies of a payment: cheap, in memory, and never the last word, which is the ledger's.
#[derive(Debug, Default)]
pub(crate) struct InFlight {
    hasher: RandomState,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    open: HashSet<PaymentKey>,
    /// The ledger knows these.
    known: Recent,
    /// This process took these, and their claims are open: nobody else is at work on them.
    ours: Recent,
    /// These payments' answers were broken off, for the how-manieth time.
    broken: Recent,
}

/// Keyed hashes of the latest payments.
#[derive(Debug, Default)]
struct Recent {
    hashes: HashSet<u64>,
    order: VecDeque<u64>,
}

impl Recent {
    /// `false`: it is among them already.
    fn insert(&mut self, hash: u64) -> bool {
        if !self.hashes.insert(hash) {
            return false;
        }
        self.order.push_back(hash);
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.hashes.remove(&oldest);
        }
        true
    }
}

/// While it lives, no copy of its payment gets past the gate.
#[derive(Debug)]
pub(crate) struct Entered {
    gate: Arc<InFlight>,
    key: PaymentKey,
}

impl InFlight {
    /// `None` while the same payment is being served.
    pub(crate) fn enter(self: &Arc<Self>, key: &PaymentKey) -> Option<Entered> {
        let new = self.lock().open.insert(key.clone());
        new.then(|| Entered { gate: self.clone(), key: key.clone() })
    }

    /// Whether the ledger may know the payment, so that it is asked before a facilitator.
    pub(crate) fn is_known(&self, key: &PaymentKey) -> bool {
        self.lock().known.hashes.contains(&self.hasher.hash_one(key))
    }

    /// Remembers that the ledger knows the payment.
    pub(crate) fn remember(&self, key: &PaymentKey) {
        let hash = self.hasher.hash_one(key);
        self.lock().known.insert(hash);
    }

    /// Whether this process took the payment: if its gate is free, the work on it has ended.
    pub(crate) fn is_ours(&self, key: &PaymentKey) -> bool {
        self.lock().ours.hashes.contains(&self.hasher.hash_one(key))
    }

    /// Remembers that this process took the payment.
    pub(crate) fn take(&self, key: &PaymentKey) {
        let hash = self.hasher.hash_one(key);
        self.lock().ours.insert(hash);
    }

    /// The payment's claim has ended: whoever takes it next need not be this process.
    pub(crate) fn let_go(&self, key: &PaymentKey) {
        let hash = self.hasher.hash_one(key);
        self.lock().ours.hashes.remove(&hash);
    }

    /// Whether a payment whose answer was broken off buys another try; each time it is asked counts.
    pub(crate) fn may_be_made_again(&self, key: &PaymentKey) -> bool {
        let mut inner = self.lock();
        (0..MADE_AGAIN).any(|time| inner.broken.insert(self.hasher.hash_one((key, time))))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing can panic while it is held; if it did, the sets are whole all the same.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.gate.lock().open.remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: usize) -> PaymentKey {
        PaymentKey::from_record(n.to_string())
    }

    #[test]
    fn one_at_a_time() {
        let gate = Arc::new(InFlight::default());
        let first = gate.enter(&key(1));
        assert!(first.is_some() && gate.enter(&key(1)).is_none() && gate.enter(&key(2)).is_some());
        drop(first);
        assert!(gate.enter(&key(1)).is_some());
    }

    #[test]
    fn a_broken_answer_is_made_again_so_often_and_no_more() {
        let gate = InFlight::default();
        (0..MADE_AGAIN).for_each(|_| assert!(gate.may_be_made_again(&key(1))));
        assert!(!gate.may_be_made_again(&key(1)) && gate.may_be_made_again(&key(2)));
    }

    #[test]
    fn memory_is_bounded() {
        let gate = InFlight::default();
        (0..=REMEMBERED).for_each(|n| gate.remember(&key(n)));
        assert!(!gate.is_known(&key(0)) && gate.is_known(&key(1)) && gate.is_known(&key(REMEMBERED)));
        assert_eq!(gate.lock().known.hashes.len(), REMEMBERED);
    }
}
