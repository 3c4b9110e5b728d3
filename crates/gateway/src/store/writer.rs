//! The thread that writes a log of answers: what waits together is synced together.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::PathBuf;
use std::sync::Arc;

use farthing_protocol::PaymentKey;
use tokio::sync::{mpsc, oneshot};

use super::kept::{Kept, Place, Segment, io, segment_path};
use super::{StoreError, StoredResponse, record};

/// The log is cut into about so many files, of which the oldest is deleted whole.
const SEGMENTS: u64 = 8;
/// How many are written and synced together.
const GROUP: usize = 256;

pub(super) enum Work {
    Put(StoredResponse, oneshot::Sender<Result<(), StoreError>>),
    Remove(PaymentKey),
}

pub(super) struct Writer {
    pub(super) dir: PathBuf,
    pub(super) next: u64,
    /// The current segment ends in what was written and not synced.
    pub(super) torn: bool,
    pub(super) kept: Arc<Kept>,
}

impl Writer {
    pub(super) fn run(mut self, work: &mut mpsc::Receiver<Work>) {
        loop {
            let mut group = Vec::new();
            if work.blocking_recv_many(&mut group, GROUP) == 0 {
                return;
            }
            for group in cut(group, self.kept.max_bytes / SEGMENTS) {
                self.write(group);
            }
        }
    }

    /// Writes a group and answers everybody in it.
    fn write(&mut self, group: Vec<Work>) {
        let at = self.kept.clock.now().as_second();
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
            let mut index = self.kept.lock();
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
            let index = self.kept.lock();
            let current = index.segments.back().ok_or(StoreError::Closed)?;
            (current.number, current.file.clone(), current.path.clone(), current.bytes)
        };
        let written = file.write_all_at(bytes, base);
        let written = written.and_then(|()| if sync { file.sync_data() } else { Ok(()) });
        // Shorter records, written over it, would leave some of it behind them that reads as records.
        self.torn = written.is_err();
        written.map_err(io(&path, "written"))?;
        if let Some(current) = self.kept.lock().segments.back_mut() {
            current.bytes += bytes.len() as u64;
            current.newest = at;
        }
        Ok((number, file, base))
    }

    /// Begins a new segment when the current one is full, and deletes those whose time or room is over.
    fn make_room(&mut self, more: u64) -> Result<(), StoreError> {
        let share = self.kept.max_bytes / SEGMENTS;
        let full = self.kept.lock().segments.back().is_none_or(|s| s.bytes > 0 && s.bytes + more > share);
        if full || self.torn {
            self.begin_segment()?;
        }
        let mut index = self.kept.lock();
        let current = index.segments.back().map(|segment| segment.number);
        index.drop_segments(|s| Some(s.number) != current && self.kept.is_over(s.newest));
        while index.segments.iter().map(|segment| segment.bytes).sum::<u64>() + more > self.kept.max_bytes {
            let Some(least) = index.least() else { break };
            let owed = index.owed(least);
            if owed > 0 {
                let max = self.kept.max_bytes;
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

    pub(super) fn begin_segment(&mut self) -> Result<(), StoreError> {
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
        let newest = self.kept.clock.now().as_second();
        let segment = Segment { number, file: Arc::new(file), path, bytes: 0, newest };
        self.kept.lock().segments.push_back(segment);
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

    #[test]
    fn a_group_is_cut_at_the_size_of_a_segment() {
        let put = |bytes| Work::Put(response("a", bytes), oneshot::channel().0);
        let group = vec![put(3_000), put(3_000), Work::Remove(response("b", 0).key), put(9_000), put(10)];
        let sizes: Vec<usize> = cut(group, 8_000).iter().map(Vec::len).collect();
        assert_eq!(sizes, [3, 1, 1]);
    }
}
