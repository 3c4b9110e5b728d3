use std::collections::{HashMap, VecDeque};
use std::fs::{File, OpenOptions};
use std::io::Read as _;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use farthing_ambient::Clock;
use farthing_protocol::PaymentKey;
use tokio::sync::{mpsc, oneshot};

use super::{Part, ResponseStore, StoreError, StoredResponse, record};

/// The log is cut into about so many files, of which the oldest is deleted whole.
const SEGMENTS: u64 = 8;
/// How many answers wait to be written before `put` waits too.
const QUEUE: usize = 4096;
/// How many are written and synced together.
const GROUP: usize = 256;

/// Keeps answers in a folder: they survive the process and the power.
///
/// Answers are appended to a log, and those that wait together are synced together. One process may have the folder
/// at a time. In memory stands only where each answer is.
#[derive(Debug)]
pub struct LogStore {
    queue: mpsc::Sender<Work>,
    shared: Arc<Shared>,
    part: Option<Arc<Part>>,
}

enum Work {
    Put(StoredResponse, oneshot::Sender<Result<(), StoreError>>),
    Remove(PaymentKey),
}

#[derive(Debug)]
struct Shared {
    clock: Arc<dyn Clock>,
    keep: Duration,
    max_bytes: u64,
    index: Mutex<Index>,
}

#[derive(Debug, Default)]
struct Index {
    places: HashMap<PaymentKey, Place>,
    /// The oldest first; the last one is written to.
    segments: VecDeque<Segment>,
}

#[derive(Debug, Clone)]
struct Place {
    segment: u64,
    offset: u64,
    length: usize,
    at: i64,
    file: Arc<File>,
    /// Its buyer had it.
    delivered: bool,
}

#[derive(Debug)]
struct Segment {
    number: u64,
    file: Arc<File>,
    path: PathBuf,
    bytes: u64,
    /// When its newest record was written, in Unix seconds.
    newest: i64,
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
        let shared = Arc::new(Shared { clock, keep, max_bytes, index: Mutex::new(Index::default()) });
        let next = shared.load(dir)? + 1;
        let (queue, mut work) = mpsc::channel(QUEUE);
        let mut writer = Writer { dir: dir.to_owned(), next, torn: false, shared: shared.clone() };
        writer.begin_segment()?;
        std::thread::Builder::new()
            .name("farthing-answers".to_owned())
            .spawn(move || writer.run(&mut work))
            .map_err(io(dir, "opened"))?;
        Ok(Self { queue, shared, part })
    }
}

#[async_trait]
impl ResponseStore for LogStore {
    async fn put(&self, response: StoredResponse) -> Result<(), StoreError> {
        let bytes = response.weight();
        if bytes as u64 > self.shared.max_bytes {
            let limit = usize::try_from(self.shared.max_bytes).unwrap_or(usize::MAX);
            return Err(StoreError::TooLarge { bytes, limit });
        }
        let (done, written) = oneshot::channel();
        self.queue.send(Work::Put(response, done)).await.map_err(|_| StoreError::Closed)?;
        written.await.map_err(|_| StoreError::Closed)?
    }

    async fn get(&self, key: &PaymentKey) -> Result<Option<StoredResponse>, StoreError> {
        let place = self.shared.lock().places.get(key).cloned();
        let Some(place) = place.filter(|place| !self.shared.is_over(place.at)) else { return Ok(None) };
        tokio::task::spawn_blocking(move || place.read()).await.map_err(|_| StoreError::Closed)?.map(Some)
    }

    async fn get_beside(&self, key: &PaymentKey, row: i64) -> Result<Option<StoredResponse>, StoreError> {
        let Some(part) = self.part.clone() else { return Ok(None) };
        let (shared, key) = (self.shared.clone(), key.clone());
        let look = move || part.others().find_map(|dir| shared.find(&dir, &key, row).transpose()).transpose();
        tokio::task::spawn_blocking(look).await.map_err(|_| StoreError::Closed)?
    }

    fn contains(&self, key: &PaymentKey) -> bool {
        self.shared.lock().places.contains_key(key)
    }

    fn remove(&self, key: &PaymentKey) {
        if self.shared.lock().places.remove(key).is_some() {
            // Lost when the queue is full or the process dies: then the answer is kept until its time is over.
            let _ = self.queue.try_send(Work::Remove(key.clone()));
        }
    }

    fn delivered(&self, key: &PaymentKey) {
        if let Some(place) = self.shared.lock().places.get_mut(key) {
            place.delivered = true;
        }
    }
}

// === impl Place ===

impl Place {
    fn read(&self) -> Result<StoredResponse, StoreError> {
        let mut bytes = vec![0; self.length];
        let path = Path::new("the log");
        self.file.read_exact_at(&mut bytes, self.offset).map_err(io(path, "read"))?;
        let response = record::read(&bytes).and_then(|record| record.response);
        response.ok_or_else(|| StoreError::Damaged { path: format!("segment {}", self.segment) })
    }
}

// === impl Shared ===

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_over(&self, at: i64) -> bool {
        let age = self.clock.now().as_second().saturating_sub(at);
        u64::try_from(age).is_ok_and(|age| age > self.keep.as_secs())
    }

    /// Reads every segment of the folder; the number of the last.
    fn load(&self, dir: &Path) -> Result<u64, StoreError> {
        let numbers = segments(dir).map_err(io(dir, "read"))?;
        for number in &numbers {
            self.load_segment(dir, *number)?;
        }
        self.lock().drop_segments(|segment| segment.bytes == 0 || self.is_over(segment.newest));
        Ok(numbers.last().copied().unwrap_or(0))
    }

    /// The answer that another process keeps in this folder, under this row.
    fn find(&self, dir: &Path, key: &PaymentKey, row: i64) -> Result<Option<StoredResponse>, StoreError> {
        let mut found = None;
        for number in segments(dir).map_err(io(dir, "read"))? {
            let path = segment_path(dir, number);
            // Its owner deletes old ones.
            let Ok(file) = File::open(&path) else { continue };
            let (file, mut offset) = (Arc::new(file), 0);
            while let Some(record::Peeked { key: of, at, row: of_row, length }) = record::peek(&file, offset)
            {
                if of == *key {
                    let place =
                        Place { segment: number, offset, length, at, file: file.clone(), delivered: false };
                    found = of_row.is_some_and(|of_row| of_row == row).then_some(place);
                }
                offset += length as u64;
            }
        }
        found.filter(|place| !self.is_over(place.at)).map(|place| place.read()).transpose()
    }

    fn load_segment(&self, dir: &Path, number: u64) -> Result<(), StoreError> {
        let path = segment_path(dir, number);
        let mut bytes = Vec::new();
        let mut file = File::open(&path).map_err(io(&path, "opened"))?;
        file.read_to_end(&mut bytes).map_err(io(&path, "read"))?;
        let file = Arc::new(file);
        let mut index = self.lock();
        let (mut offset, mut newest) = (0, 0);
        while let Some(found) = bytes.get(offset..).and_then(record::read) {
            newest = newest.max(found.at);
            match found.response {
                Some(_) => {
                    let place = Place {
                        segment: number,
                        offset: offset as u64,
                        length: found.length,
                        at: found.at,
                        file: file.clone(),
                        delivered: false,
                    };
                    index.places.insert(found.key, place);
                }
                None => {
                    index.places.remove(&found.key);
                }
            }
            offset += found.length;
        }
        if offset < bytes.len() {
            // What a crash cut off was never acknowledged. If it is more than that, answers are lost.
            let lost = bytes.len() - offset;
            tracing::warn!(path = %path.display(), lost, "the end of a file of kept answers cannot be read");
        }
        index.segments.push_back(Segment { number, file, path, bytes: offset as u64, newest });
        Ok(())
    }
}

// === impl Index ===

impl Index {
    /// Deletes the segments that are wanted no more, and forgets what is in them.
    fn drop_segments(&mut self, unwanted: impl Fn(&Segment) -> bool) {
        let (dropped, stay): (VecDeque<_>, VecDeque<_>) =
            std::mem::take(&mut self.segments).into_iter().partition(unwanted);
        self.segments = stay;
        for segment in dropped {
            self.places.retain(|_, place| place.segment != segment.number);
            if let Err(error) = std::fs::remove_file(&segment.path) {
                tracing::warn!(path = %segment.path.display(), %error, "old answers could not be deleted");
            }
        }
    }

    /// How many answers of a segment their buyers may not have.
    fn owed(&self, segment: u64) -> usize {
        self.places.values().filter(|place| place.segment == segment && !place.delivered).count()
    }

    /// The segment that goes first when room is needed: the oldest in which nobody is owed anything, or else the oldest.
    fn least(&self) -> Option<u64> {
        let mut full = self.segments.iter().rev().skip(1).rev().map(|segment| segment.number);
        let oldest = full.clone().next();
        full.find(|number| self.owed(*number) == 0).or(oldest)
    }
}

// === impl Writer ===

struct Writer {
    dir: PathBuf,
    next: u64,
    /// The current segment ends in what was written and not synced.
    torn: bool,
    shared: Arc<Shared>,
}

impl Writer {
    fn run(mut self, work: &mut mpsc::Receiver<Work>) {
        loop {
            let mut group = Vec::new();
            if work.blocking_recv_many(&mut group, GROUP) == 0 {
                return;
            }
            for group in cut(group, self.shared.max_bytes / SEGMENTS) {
                self.write(group);
            }
        }
    }

    /// Writes a group and answers everybody in it.
    fn write(&mut self, group: Vec<Work>) {
        let at = self.shared.clock.now().as_second();
        let mut bytes = Vec::new();
        let mut puts = Vec::new();
        for work in group {
            let start = bytes.len();
            match work {
                Work::Put(response, done) => {
                    record::write(&mut bytes, at, &response.key, Some(&response));
                    puts.push((response.key, start, bytes.len() - start, done));
                }
                Work::Remove(key) => record::write(&mut bytes, at, &key, None),
            }
        }
        let written = self.append(&bytes, at, !puts.is_empty());
        if let Ok((number, file, base)) = &written {
            let mut index = self.shared.lock();
            for (key, start, length, _) in &puts {
                let (offset, length) = (base + *start as u64, *length);
                let place =
                    Place { segment: *number, offset, length, at, file: file.clone(), delivered: false };
                index.places.insert(key.clone(), place);
            }
        }
        let failed = written.err();
        for (.., done) in puts {
            // Nobody listens any more: the call was given up.
            let _ = done.send(failed.as_ref().map_or(Ok(()), |error| Err(again(error))));
        }
    }

    /// Appends to the current segment: its number, its file and where the bytes begin.
    fn append(&mut self, bytes: &[u8], at: i64, sync: bool) -> Result<(u64, Arc<File>, u64), StoreError> {
        self.make_room(bytes.len() as u64)?;
        let (number, file, path, base) = {
            let index = self.shared.lock();
            let current = index.segments.back().ok_or(StoreError::Closed)?;
            (current.number, current.file.clone(), current.path.clone(), current.bytes)
        };
        let written = file.write_all_at(bytes, base);
        let written = written.and_then(|()| if sync { file.sync_data() } else { Ok(()) });
        // Shorter records, written over it, would leave some of it behind them that reads as records.
        self.torn = written.is_err();
        written.map_err(io(&path, "written"))?;
        if let Some(current) = self.shared.lock().segments.back_mut() {
            current.bytes += bytes.len() as u64;
            current.newest = at;
        }
        Ok((number, file, base))
    }

    /// Begins a new segment when the current one is full, and deletes those whose time or room is over.
    fn make_room(&mut self, more: u64) -> Result<(), StoreError> {
        let share = self.shared.max_bytes / SEGMENTS;
        let full = self.shared.lock().segments.back().is_none_or(|s| s.bytes > 0 && s.bytes + more > share);
        if full || self.torn {
            self.begin_segment()?;
        }
        let mut index = self.shared.lock();
        let current = index.segments.back().map(|segment| segment.number);
        index.drop_segments(|s| Some(s.number) != current && self.shared.is_over(s.newest));
        while index.segments.iter().map(|segment| segment.bytes).sum::<u64>() + more > self.shared.max_bytes {
            let Some(least) = index.least() else { break };
            let owed = index.owed(least);
            if owed > 0 {
                let max = self.shared.max_bytes;
                tracing::warn!(
                    owed,
                    max,
                    "answers that buyers may still come for make room: raise `responses.max`"
                );
            }
            index.drop_segments(|segment| segment.number == least);
        }
        Ok(())
    }

    fn begin_segment(&mut self) -> Result<(), StoreError> {
        let number = self.next;
        // Also when this one fails halfway: its file may be there, and the next attempt needs a new name.
        self.next += 1;
        let path = segment_path(&self.dir, number);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .map_err(io(&path, "opened"))?;
        // The file's name has to survive as well.
        File::open(&self.dir).and_then(|dir| dir.sync_all()).map_err(io(&self.dir, "written"))?;
        let newest = self.shared.clock.now().as_second();
        let segment = Segment { number, file: Arc::new(file), path, bytes: 0, newest };
        self.shared.lock().segments.push_back(segment);
        self.torn = false;
        Ok(())
    }
}

/// Cuts a group into such as fit into a segment, as far as single answers do.
fn cut(group: Vec<Work>, most: u64) -> Vec<Vec<Work>> {
    let (mut groups, mut bytes) = (vec![Vec::new()], 0);
    for work in group {
        let more = match &work {
            Work::Put(response, _) => response.weight() as u64,
            Work::Remove(_) => 0,
        };
        if bytes > 0 && bytes + more > most {
            groups.push(Vec::new());
            bytes = 0;
        }
        bytes += more;
        if let Some(group) = groups.last_mut() {
            group.push(work);
        }
    }
    groups
}

/// The numbers of a folder's segments, in their order.
fn segments(dir: &Path) -> std::io::Result<Vec<u64>> {
    let entries = std::fs::read_dir(dir)?.filter_map(Result::ok);
    let number = |name: std::ffi::OsString| name.to_str()?.strip_suffix(".answers")?.parse().ok();
    let mut numbers: Vec<u64> = entries.filter_map(|entry| number(entry.file_name())).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

fn segment_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:012}.answers"))
}

fn io(path: &Path, what: &'static str) -> impl FnOnce(std::io::Error) -> StoreError {
    let path = path.display().to_string();
    move |source| StoreError::Io { path, what, source }
}

/// The same error for the next one who waits.
fn again(error: &StoreError) -> StoreError {
    match error {
        StoreError::Io { path, what, source } => StoreError::Io {
            path: path.clone(),
            what,
            source: std::io::Error::new(source.kind(), source.to_string()),
        },
        _ => StoreError::Closed,
    }
}

#[cfg(test)]
mod tests {
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

    #[test]
    fn a_group_is_cut_at_the_size_of_a_segment() {
        let put = |bytes| Work::Put(response("a", bytes), oneshot::channel().0);
        let group = vec![put(3_000), put(3_000), Work::Remove(response("b", 0).key), put(9_000), put(10)];
        let sizes: Vec<usize> = cut(group, 8_000).iter().map(Vec::len).collect();
        assert_eq!(sizes, [3, 1, 1]);
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
