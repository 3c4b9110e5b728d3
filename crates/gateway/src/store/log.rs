use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use farthing_ambient::Clock;
use farthing_protocol::PaymentKey;
use tokio::sync::{mpsc, oneshot};

use super::kept::{Index, Kept, io};
use super::writer::{Work, Writer};
use super::{Part, ResponseStore, StoreError, StoredResponse};

/// How many answers wait to be written before `put` waits too.
const QUEUE: usize = 4096;

/// Keeps answers in a folder: they survive the process and the power.
///
/// Answers are appended to a log, and those that wait together are synced together. One process may have the folder
/// at a time. In memory stands only where each answer is.
#[derive(Debug)]
pub struct LogStore {
    queue: mpsc::Sender<Work>,
    kept: Arc<Kept>,
    part: Option<Arc<Part>>,
}

impl LogStore {
    /// Opens the store in this folder, making it if it is not there, and finds what an earlier process left.
    ///
    /// # Errors
    /// [`StoreError::Io`]
    pub fn open(
        dir: &Path,
        clock: Arc<dyn Clock>,
        keep: Duration,
        max_bytes: usize,
    ) -> Result<Self, StoreError> {
        super::make_folder(dir).map_err(io(dir, "opened"))?;
        Self::start(dir, None, clock, keep, max_bytes)
    }

    /// Opens the store in a part of a folder that gateways share. The part is the store's as long as anybody has it.
    pub(crate) fn in_part(
        part: Part,
        clock: Arc<dyn Clock>,
        keep: Duration,
        max_bytes: usize,
    ) -> Result<Self, StoreError> {
        let dir = part.dir().to_owned();
        Self::start(&dir, Some(Arc::new(part)), clock, keep, max_bytes)
    }

    fn start(
        dir: &Path,
        part: Option<Arc<Part>>,
        clock: Arc<dyn Clock>,
        keep: Duration,
        max_bytes: usize,
    ) -> Result<Self, StoreError> {
        let max_bytes = u64::try_from(max_bytes).unwrap_or(u64::MAX);
        let kept = Arc::new(Kept { clock, keep, max_bytes, index: Mutex::new(Index::default()) });
        let next = kept.load(dir)? + 1;
        let (queue, mut work) = mpsc::channel(QUEUE);
        let mut writer = Writer { dir: dir.to_owned(), next, torn: false, kept: kept.clone() };
        writer.begin_segment()?;
        std::thread::Builder::new()
            .name("farthing-answers".to_owned())
            .spawn(move || writer.run(&mut work))
            .map_err(io(dir, "opened"))?;
        Ok(Self { queue, kept, part })
    }
}

#[async_trait]
impl ResponseStore for LogStore {
    async fn put(&self, response: StoredResponse) -> Result<(), StoreError> {
        let bytes = response.weight();
        if bytes as u64 > self.kept.max_bytes {
            let limit = usize::try_from(self.kept.max_bytes).unwrap_or(usize::MAX);
            return Err(StoreError::TooLarge { bytes, limit });
        }
        let (done, written) = oneshot::channel();
        self.queue.send(Work::Put(response, done)).await.map_err(|_| StoreError::Closed)?;
        written.await.map_err(|_| StoreError::Closed)?
    }

    async fn get(&self, key: &PaymentKey) -> Result<Option<StoredResponse>, StoreError> {
        let place = self.kept.lock().places.get(key).cloned();
        let Some(place) = place.filter(|place| !self.kept.is_over(place.at)) else { return Ok(None) };
        tokio::task::spawn_blocking(move || place.read()).await.map_err(|_| StoreError::Closed)?.map(Some)
    }

    async fn get_beside(&self, key: &PaymentKey, row: i64) -> Result<Option<StoredResponse>, StoreError> {
        let Some(part) = self.part.clone() else { return Ok(None) };
        let (kept, key) = (self.kept.clone(), key.clone());
        let look = move || part.others().find_map(|dir| kept.find(&dir, &key, row).transpose()).transpose();
        tokio::task::spawn_blocking(look).await.map_err(|_| StoreError::Closed)?
    }

    fn contains(&self, key: &PaymentKey) -> bool {
        self.kept.lock().places.contains_key(key)
    }

    fn remove(&self, key: &PaymentKey) {
        if self.kept.lock().places.remove(key).is_some() {
            // Lost when the queue is full or the process dies: then the answer is kept until its time is over.
            let _ = self.queue.try_send(Work::Remove(key.clone()));
        }
    }

    fn delivered(&self, key: &PaymentKey) {
        if let Some(place) = self.kept.lock().places.get_mut(key) {
            place.delivered = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::kept::{segment_path, segments};
    use super::super::tests::response;
    use super::*;
    use farthing_ambient::TestClock;

    const KEEP: Duration = Duration::from_secs(60);

    fn clock() -> Arc<TestClock> {
        Arc::new(TestClock::at_unix_second(1_700_000_000))
    }

    #[tokio::test]
    async fn answers_survive_the_process() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (response("a", 1000), response("b", 0));
        {
            let store = LogStore::open(dir.path(), clock(), KEEP, 1_000_000).unwrap();
            store.put(a.clone()).await.unwrap();
            store.put(b.clone()).await.unwrap();
            store.remove(&b.key);
            // Written after the removal, hence with it.
            store.put(response("c", 1)).await.unwrap();
        }
        let store = LogStore::open(dir.path(), clock(), KEEP, 1_000_000).unwrap();
        assert_eq!(store.get(&a.key).await.unwrap(), Some(a));
        assert!(!store.contains(&b.key) && store.contains(&response("c", 0).key));
    }

    #[tokio::test]
    async fn a_torn_end_is_left_out() {
        let dir = tempfile::tempdir().unwrap();
        {
            let store = LogStore::open(dir.path(), clock(), KEEP, 1_000_000).unwrap();
            store.put(response("a", 100)).await.unwrap();
            store.put(response("b", 100)).await.unwrap();
        }
        let path = segment_path(dir.path(), 1);
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
        let store = LogStore::open(dir.path(), clock(), KEEP, 1_000_000).unwrap();
        assert!(store.contains(&response("a", 0).key) && !store.contains(&response("b", 0).key));
    }

    #[tokio::test]
    async fn size_and_time_are_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let clock = clock();
        let store = LogStore::open(dir.path(), clock.clone(), KEEP, 20_000).unwrap();
        for n in 0..100 {
            store.put(response(&n.to_string(), 1000)).await.unwrap();
        }
        let used: u64 =
            std::fs::read_dir(dir.path()).unwrap().map(|f| f.unwrap().metadata().unwrap().len()).sum();
        assert!(used <= 20_000, "{used}");
        assert!(!store.contains(&response("0", 0).key) && store.contains(&response("99", 0).key));
        assert!(matches!(store.put(response("x", 30_000)).await, Err(StoreError::TooLarge { .. })));
        clock.advance(KEEP + Duration::from_secs(1));
        assert!(store.get(&response("99", 0).key).await.unwrap().is_none());
        store.put(response("y", 3000)).await.unwrap();
        assert!(!store.contains(&response("99", 0).key), "its segment is gone");
    }

    #[tokio::test]
    async fn what_is_owed_stays_longer_than_what_was_delivered() {
        let dir = tempfile::tempdir().unwrap();
        let store = LogStore::open(dir.path(), clock(), KEEP, 20_000).unwrap();
        let owed = response("owed", 1000);
        store.put(owed.clone()).await.unwrap();
        for n in 0..100 {
            let sold = response(&n.to_string(), 1000);
            store.put(sold.clone()).await.unwrap();
            store.delivered(&sold.key);
        }
        assert_eq!(store.get(&owed.key).await.unwrap(), Some(owed));
        assert!(!store.contains(&response("9", 0).key) && store.contains(&response("99", 0).key));
    }

    #[tokio::test]
    async fn another_processs_answer_is_found_by_its_row() {
        let root = tempfile::tempdir().unwrap();
        let open = || LogStore::in_part(Part::take(root.path()).unwrap(), clock(), KEEP, 1_000_000).unwrap();
        let (first, second) = (open(), open());
        let kept = response("a", 1000);
        for _ in 0..2 {
            first.put(response("other", 10)).await.unwrap();
            first.put(kept.clone()).await.unwrap();
        }
        assert_eq!(second.get_beside(&kept.key, kept.row).await.unwrap(), Some(kept.clone()));
        assert_eq!(second.get_beside(&kept.key, kept.row + 1).await.unwrap(), None, "never sold");
        assert_eq!(second.get_beside(&response("b", 0).key, kept.row).await.unwrap(), None);
        first.remove(&kept.key);
        first.put(response("other", 10)).await.unwrap();
        assert_eq!(second.get_beside(&kept.key, kept.row).await.unwrap(), None, "forgotten");
    }

    #[tokio::test]
    async fn empty_and_old_files_are_deleted_at_the_start() {
        let dir = tempfile::tempdir().unwrap();
        let clock = clock();
        for _ in 0..5 {
            LogStore::open(dir.path(), clock.clone(), KEEP, 20_000).unwrap();
        }
        let store = LogStore::open(dir.path(), clock.clone(), KEEP, 20_000).unwrap();
        store.put(response("a", 10)).await.unwrap();
        drop(store);
        clock.advance(KEEP + Duration::from_secs(1));
        LogStore::open(dir.path(), clock, KEEP, 20_000).unwrap();
        assert_eq!(segments(dir.path()).unwrap().len(), 1, "its own");
    }

    #[tokio::test]
    async fn many_at_once_are_all_kept() {
        let dir = tempfile::tempdir().unwrap();
        let store = Arc::new(LogStore::open(dir.path(), clock(), KEEP, 10_000_000).unwrap());
        let tasks = (0..500).map(|n| {
            let store = store.clone();
            tokio::spawn(async move { store.put(response(&n.to_string(), n)).await.unwrap() })
        });
        futures::future::join_all(tasks).await;
        for n in 0..500 {
            let kept = response(&n.to_string(), n);
            assert_eq!(store.get(&kept.key).await.unwrap(), Some(kept));
        }
    }
}
