//! Which payments this process is settling now: one task at a time works on a payment, the others wait for it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use farthing_protocol::PaymentKey;
use tokio::sync::watch;

type Map = HashMap<PaymentKey, watch::Receiver<()>>;

/// The payments in flight.
#[derive(Debug, Clone, Default)]
pub(crate) struct Flights(Arc<Mutex<Map>>);

/// What a caller gets who wants to work on a payment.
#[must_use]
#[derive(Debug)]
pub(crate) enum Boarding {
    /// Nobody else works on it until this is dropped.
    Mine(Flight),
    /// Somebody works on it; here is how to wait for them.
    Theirs(Landing),
}

/// The right to work on one payment. Dropping it lands the flight, also when the task panicked.
#[derive(Debug)]
pub(crate) struct Flight {
    flights: Flights,
    key: PaymentKey,
    _landing: watch::Sender<()>,
}

/// Somebody else's flight.
#[derive(Debug)]
pub(crate) struct Landing(watch::Receiver<()>);

impl Flights {
    pub(crate) fn board(&self, key: &PaymentKey) -> Boarding {
        let mut map = self.map();
        if let Some(landing) = map.get(key) {
            return Boarding::Theirs(Landing(landing.clone()));
        }
        let (sender, receiver) = watch::channel(());
        map.insert(key.clone(), receiver);
        Boarding::Mine(Flight { flights: self.clone(), key: key.clone(), _landing: sender })
    }

    pub(crate) fn len(&self) -> usize {
        self.map().len()
    }

    /// The map is never left half changed, so a panic elsewhere does not spoil it.
    fn map(&self) -> MutexGuard<'_, Map> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Landing {
    /// Returns when the flight has landed.
    pub(crate) async fn wait(mut self) {
        // Nothing is ever sent: the channel closes when the flight is dropped.
        while self.0.changed().await.is_ok() {}
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.flights.map().remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_flies_and_the_others_wait() {
        let flights = Flights::default();
        let key = PaymentKey::from_record("k".into());
        let Boarding::Mine(flight) = flights.board(&key) else { panic!("nobody else flies") };
        let Boarding::Theirs(landing) = flights.board(&key) else { panic!("two on one payment") };
        let waiter = tokio::spawn(landing.wait());
        tokio::task::yield_now().await;
        assert!(!waiter.is_finished());
        drop(flight);
        waiter.await.unwrap();
        assert_eq!(flights.len(), 0);
        assert!(matches!(flights.board(&key), Boarding::Mine(_)));
    }
}
