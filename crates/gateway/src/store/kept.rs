//! What a log of answers holds: where each answer is, in which of its files.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use farthing_ambient::Clock;
use farthing_protocol::PaymentKey;

use super::{StoreError, StoredResponse, record};

#[derive(Debug)]
pub(super) struct Kept {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) keep: Duration,
    pub(super) max_bytes: u64,
    pub(super) index: Mutex<Index>,
}

#[derive(Debug, Default)]
pub(super) struct Index {
    pub(super) places: HashMap<PaymentKey, Place>,
    /// The oldest first; the last one is written to.
    pub(super) segments: VecDeque<Segment>,
}

#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) segment: u64,
    pub(super) offset: u64,
    pub(super) length: usize,
    pub(super) at: i64,
    pub(super) file: Arc<File>,
    /// Its buyer had it.
    pub(super) delivered: bool,
}

#[derive(Debug)]
pub(super) struct Segment {
    pub(super) number: u64,
    pub(super) file: Arc<File>,
    pub(super) path: PathBuf,
    pub(super) bytes: u64,
    /// When its newest record was written, in Unix seconds.
    pub(super) newest: i64,
}

// === impl Place ===

impl Place {
    pub(super) fn read(&self) -> Result<StoredResponse, StoreError> {
        let mut bytes = vec![0; self.length];
        let path = Path::new("the log");
        self.file.read_exact_at(&mut bytes, self.offset).map_err(io(path, "read"))?;
        let response = record::read(&bytes).and_then(|record| record.response);
        response.ok_or_else(|| StoreError::Damaged { path: format!("segment {}", self.segment) })
    }
}

// === impl Kept ===

impl Kept {
    pub(super) fn lock(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_over(&self, at: i64) -> bool {
        let age = self.clock.now().as_second().saturating_sub(at);
        u64::try_from(age).is_ok_and(|age| age > self.keep.as_secs())
    }

    /// Reads every segment of the folder; the number of the last.
    pub(super) fn load(&self, dir: &Path) -> Result<u64, StoreError> {
        let numbers = segments(dir).map_err(io(dir, "read"))?;
        for number in &numbers {
            self.load_segment(dir, *number)?;
        }
        self.lock().drop_segments(|segment| segment.bytes == 0 || self.is_over(segment.newest));
        Ok(numbers.last().copied().unwrap_or(0))
    }

    /// The answer that another process keeps in this folder, under this row.
    pub(super) fn find(
        &self,
        dir: &Path,
        key: &PaymentKey,
        row: i64,
    ) -> Result<Option<StoredResponse>, StoreError> {
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
    pub(super) fn drop_segments(&mut self, unwanted: impl Fn(&Segment) -> bool) {
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
    pub(super) fn owed(&self, segment: u64) -> usize {
        self.places.values().filter(|place| place.segment == segment && !place.delivered).count()
    }

    /// The segment that goes first when room is needed: the oldest in which nobody is owed anything, or else the oldest.
    pub(super) fn least(&self) -> Option<u64> {
        let mut full = self.segments.iter().rev().skip(1).rev().map(|segment| segment.number);
        let oldest = full.clone().next();
        full.find(|number| self.owed(*number) == 0).or(oldest)
    }
}

/// The numbers of a folder's segments, in their order.
pub(super) fn segments(dir: &Path) -> std::io::Result<Vec<u64>> {
    let entries = std::fs::read_dir(dir)?.filter_map(Result::ok);
    let number = |name: std::ffi::OsString| name.to_str()?.strip_suffix(".answers")?.parse().ok();
    let mut numbers: Vec<u64> = entries.filter_map(|entry| number(entry.file_name())).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

pub(super) fn segment_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:012}.answers"))
}

pub(super) fn io(path: &Path, what: &'static str) -> impl FnOnce(std::io::Error) -> StoreError {
    let path = path.display().to_string();
    move |source| StoreError::Io { path, what, source }
}
