//! One direction's way out: a pipe that several threads write messages into.

use std::collections::VecDeque;
use std::io::{self, IoSlice, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crate::guard::relay::lock;

/// Who leaves so many messages unread is gone: what waits for him must not grow without bound.
const MOST_QUEUED: usize = 16_384;

/// Messages are written by who has them, in one system call; who must not wait leaves them in the queue, which
/// [`Self::run`] empties. Whoever writes empties the queue first, so the queue keeps its place in the order.
pub(super) struct Outlet {
    pipe: Mutex<Option<Box<dyn Write + Send>>>,
    queue: Mutex<Queue>,
    changed: Condvar,
    written: AtomicU64,
}

#[derive(Default)]
struct Queue {
    messages: VecDeque<Vec<u8>>,
    closing: bool,
    closed: bool,
    broken: bool,
}

impl Outlet {
    pub(super) fn new(pipe: impl Write + Send + 'static) -> Self {
        let pipe: Box<dyn Write + Send> = Box::new(pipe);
        Self {
            pipe: Mutex::new(Some(pipe)),
            queue: Mutex::default(),
            changed: Condvar::new(),
            written: AtomicU64::new(0),
        }
    }

    /// Writes a message, after those that are queued. Whether the pipe took it.
    pub(super) fn send(&self, message: &[u8]) -> bool {
        let mut pipe = lock(&self.pipe);
        self.empty(&mut pipe) && self.write(&mut pipe, message)
    }

    /// Leaves a message for [`Self::run`], without waiting. Whether there is room for it.
    pub(super) fn queue(&self, message: Vec<u8>) -> bool {
        let mut queue = lock(&self.queue);
        let room = queue.messages.len() < MOST_QUEUED;
        if room {
            queue.messages.push_back(message);
        }
        drop(queue);
        self.changed.notify_all();
        room
    }

    /// Closes the pipe when everything that is queued is written, without waiting for it.
    pub(super) fn close(&self) {
        lock(&self.queue).closing = true;
        self.changed.notify_all();
    }

    /// Writes what is queued, until the pipe is closed. For a thread of its own. Whether the pipe took everything.
    pub(super) fn run(&self) -> bool {
        loop {
            let mut queue = lock(&self.queue);
            while queue.messages.is_empty() && !queue.closing {
                queue = self.changed.wait(queue).unwrap_or_else(std::sync::PoisonError::into_inner);
            }
            let closing = queue.closing;
            drop(queue);
            let mut pipe = lock(&self.pipe);
            let whole = self.empty(&mut pipe);
            if closing || !whole {
                *pipe = None;
                lock(&self.queue).closed = true;
                self.changed.notify_all();
                return whole;
            }
        }
    }

    /// Waits until nothing is queued or being written, but no longer than this.
    pub(super) fn flush(&self, most: Duration) {
        let until = Instant::now() + most;
        self.close();
        let mut queue = lock(&self.queue);
        while !queue.closed {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let waited = self.changed.wait_timeout(queue, left);
            queue = waited.unwrap_or_else(std::sync::PoisonError::into_inner).0;
        }
    }

    /// Whether somebody is writing at this moment.
    pub(super) fn is_busy(&self) -> bool {
        self.pipe.try_lock().is_err()
    }

    /// How many messages the pipe took so far.
    pub(super) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    fn empty(&self, pipe: &mut MutexGuard<'_, Option<Box<dyn Write + Send>>>) -> bool {
        loop {
            let next = lock(&self.queue).messages.pop_front();
            match next {
                None => return !lock(&self.queue).broken,
                Some(message) if !self.write(pipe, &message) => return false,
                Some(_) => {}
            }
        }
    }

    fn write(&self, pipe: &mut MutexGuard<'_, Option<Box<dyn Write + Send>>>, message: &[u8]) -> bool {
        let written = pipe.as_mut().is_some_and(|pipe| write_line(pipe, message).is_ok());
        if written {
            self.written.fetch_add(1, Ordering::Relaxed);
        } else {
            // Half a line may stand in it: nothing more must follow.
            **pipe = None;
            let mut queue = lock(&self.queue);
            queue.broken = true;
            queue.messages.clear();
        }
        written
    }
}

/// Writes a message and the end of its line at once.
pub(in crate::guard) fn write_line(pipe: &mut dyn Write, message: &[u8]) -> io::Result<()> {
    let mut parts = [IoSlice::new(message), IoSlice::new(b"\n")];
    let mut left = &mut parts[..];
    while !left.is_empty() {
        match pipe.write_vectored(left) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut left, written),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[derive(Clone, Default)]
    struct Taken(Arc<Mutex<Vec<u8>>>);

    impl Write for Taken {
        /// Takes three bytes at a time.
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let most = bytes.len().min(3);
            lock(&self.0).extend_from_slice(&bytes[..most]);
            Ok(most)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_is_queued_first_is_written_first() {
        let taken = Taken::default();
        let outlet = Outlet::new(taken.clone());
        outlet.queue(b"first".to_vec());
        assert!(outlet.send(b"second"));
        outlet.queue(b"third".to_vec());
        outlet.close();
        assert!(outlet.run());
        outlet.flush(Duration::ZERO);
        assert_eq!(*lock(&taken.0), b"first\nsecond\nthird\n");
        assert!(!outlet.send(b"late"));
    }

    #[test]
    fn the_queue_has_an_end() {
        let outlet = Outlet::new(Taken::default());
        assert!((0..MOST_QUEUED).all(|_| outlet.queue(Vec::new())));
        assert!(!outlet.queue(Vec::new()));
    }
}
