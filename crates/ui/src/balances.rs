//! What the wallet holds, as far as the chains have said so. A chain that is slow keeps no page waiting for long.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use farthing_ambient::{Clock, Timestamp};
use farthing_wallet::{Balance, Wallet};
use tokio::sync::watch;

/// How old an answer is shown without being asked for again.
const FRESH_SECONDS: i64 = 15;
/// How long a page waits for the chains.
const PATIENCE: Duration = Duration::from_secs(2);

/// The chains' last word.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    pub(crate) at: Timestamp,
    pub(crate) balances: Vec<Balance>,
}

/// Asks for balances, once at a time.
#[derive(Debug)]
pub(crate) struct Balances {
    wallet: Arc<dyn Wallet>,
    clock: Arc<dyn Clock>,
    last: watch::Sender<Option<Held>>,
    is_asking: Arc<AtomicBool>,
}

impl Balances {
    pub(crate) fn new(wallet: Arc<dyn Wallet>, clock: Arc<dyn Clock>) -> Self {
        Self { wallet, clock, last: watch::Sender::new(None), is_asking: Arc::default() }
    }

    /// What is known: fresh where the chains answer in time, else what they said last. `None`: they have not answered
    /// yet.
    pub(crate) async fn known(&self) -> Option<Held> {
        let mut last = self.last.subscribe();
        let held = last.borrow_and_update().clone();
        let age = held.as_ref().map(|held| self.clock.now().as_second().saturating_sub(held.at.as_second()));
        if age.is_some_and(|seconds| (0..FRESH_SECONDS).contains(&seconds)) {
            return held;
        }
        self.ask();
        // What came in time is there; what did not comes with the next page.
        drop(tokio::time::timeout(PATIENCE, last.changed()).await);
        last.borrow().clone()
    }

    fn ask(&self) {
        if self.is_asking.swap(true, Ordering::SeqCst) {
            return;
        }
        let (wallet, clock) = (self.wallet.clone(), self.clock.clone());
        let (last, is_asking) = (self.last.clone(), self.is_asking.clone());
        tokio::spawn(async move {
            let balances = wallet.balances().await;
            last.send_replace(Some(Held { at: clock.now(), balances }));
            is_asking.store(false, Ordering::SeqCst);
        });
    }
}
