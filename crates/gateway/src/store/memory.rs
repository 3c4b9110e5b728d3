use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use farthing_ambient::{Clock, Timestamp};
use farthing_protocol::PaymentKey;

use super::{ResponseStore, StoreError, StoredResponse};

/// Keeps answers in memory: bounded in bytes and in time, the oldest goes first. They do not survive the process.
#[derive(Debug)]
pub struct MemoryStore {
    clock: Arc<dyn Clock>,
    keep: Duration,
    max_bytes: usize,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    kept: HashMap<PaymentKey, Kept>,
    /// In the order of arrival; entries that were removed meanwhile are skipped by their number.
    order: VecDeque<(u64, PaymentKey)>,
    next: u64,
    bytes: usize,
}

#[derive(Debug)]
struct Kept {
    number: u64,
    since: Timestamp,
    response: StoredResponse,
}

impl MemoryStore {
    /// A store that keeps answers for `keep`, and at most `max_bytes` of them.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, keep: Duration, max_bytes: usize) -> Self {
        Self { clock, keep, max_bytes, inner: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_over(&self, since: Timestamp) -> bool {
        self.clock.now().duration_since(since).unsigned_abs() > self.keep
    }
}

impl Inner {
    fn take(&mut self, key: &PaymentKey) {
        if let Some(kept) = self.kept.remove(key) {
            self.bytes = self.bytes.saturating_sub(kept.response.weight());
        }
        // Removed entries leave their place in the queue until they would be its larger part.
        if self.order.len() > 2 * self.kept.len() + 64 {
            let kept = &self.kept;
            self.order.retain(|(number, key)| kept.get(key).is_some_and(|kept| kept.number == *number));
        }
    }

    /// Makes room at the old end while `more` wishes it.
    fn evict(&mut self, more: impl Fn(&Self, Timestamp) -> bool) {
        while let Some((number, key)) = self.order.front().cloned() {
            let since = self.kept.get(&key).filter(|kept| kept.number == number).map(|kept| kept.since);
            match since {
                Some(since) if !more(self, since) => return,
                Some(_) => {
                    self.order.pop_front();
                    self.take(&key);
                }
                None => {
                    self.order.pop_front();
                }
            }
        }
    }
}

#[async_trait]
impl ResponseStore for MemoryStore {
    async fn put(&self, response: StoredResponse) -> Result<(), StoreError> {
        let weight = response.weight();
        if weight > self.max_bytes {
            return Err(StoreError::TooLarge { bytes: weight, limit: self.max_bytes });
        }
        let since = self.clock.now();
        let mut inner = self.lock();
        inner.take(&response.key);
        inner.evict(|inner, since| inner.bytes + weight > self.max_bytes || self.is_over(since));
        let number = inner.next;
        inner.next += 1;
        inner.bytes += weight;
        inner.order.push_back((number, response.key.clone()));
        inner.kept.insert(response.key.clone(), Kept { number, since, response });
        Ok(())
    }

    async fn get(&self, key: &PaymentKey) -> Result<Option<StoredResponse>, StoreError> {
        let inner = self.lock();
        let kept = inner.kept.get(key).filter(|kept| !self.is_over(kept.since));
        Ok(kept.map(|kept| kept.response.clone()))
    }

    fn contains(&self, key: &PaymentKey) -> bool {
        self.lock().kept.contains_key(key)
    }

    fn remove(&self, key: &PaymentKey) {
        self.lock().take(key);
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::response;
    use super::*;
    use farthing_ambient::TestClock;

    fn store(max_bytes: usize) -> (Arc<TestClock>, MemoryStore) {
        let clock = Arc::new(TestClock::at_unix_second(1_700_000_000));
        (clock.clone(), MemoryStore::new(clock, Duration::from_secs(60), max_bytes))
    }

    #[tokio::test]
    async fn keeps_until_removed_or_over() {
        let (clock, store) = store(100_000);
        let kept = response("a", 10);
        store.put(kept.clone()).await.unwrap();
        store.put(response("b", 10)).await.unwrap();
        assert_eq!(store.get(&kept.key).await.unwrap(), Some(kept.clone()));
        store.remove(&kept.key);
        assert!(store.get(&kept.key).await.unwrap().is_none() && !store.contains(&kept.key));
        clock.advance(Duration::from_secs(61));
        assert!(store.get(&response("b", 0).key).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn the_oldest_goes_first() {
        let (_, store) = store(3_000);
        for name in ["a", "b", "c", "d"] {
            store.put(response(name, 500)).await.unwrap();
        }
        assert!(!store.contains(&response("a", 0).key) && store.contains(&response("d", 0).key));
        assert!(store.lock().bytes <= 3_000);
        assert!(matches!(store.put(response("e", 4_000)).await, Err(StoreError::TooLarge { .. })));
    }

    #[tokio::test]
    async fn removing_leaves_nothing_behind() {
        let (_, store) = store(1_000_000);
        for n in 0..10_000 {
            let kept = response(&n.to_string(), 10);
            store.put(kept.clone()).await.unwrap();
            store.remove(&kept.key);
        }
        let inner = store.lock();
        assert_eq!((inner.kept.len(), inner.bytes), (0, 0));
        assert!(inner.order.len() < 200, "{}", inner.order.len());
    }
}
