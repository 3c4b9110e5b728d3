//! Messages on their way to somebody who may read slowly. Who puts them in need not wait, and can.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// With more than this waiting, nothing more should be put in.
const ROOM: usize = 1 << 20;
/// What is counted for each message beside its bytes.
const EACH: usize = 256;

/// The way in.
#[derive(Debug)]
pub(super) struct Sender<T> {
    to: UnboundedSender<(T, usize)>,
    level: Arc<Level>,
}

/// The way out.
#[derive(Debug)]
pub(super) struct Receiver<T> {
    from: UnboundedReceiver<(T, usize)>,
    level: Arc<Level>,
}

#[derive(Debug, Default)]
struct Level {
    bytes: AtomicUsize,
    freed: Notify,
}

/// A queue that is empty.
pub(super) fn queue<T>() -> (Sender<T>, Receiver<T>) {
    let (to, from) = unbounded_channel();
    let level = Arc::new(Level::default());
    (Sender { to, level: level.clone() }, Receiver { from, level })
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self { to: self.to.clone(), level: self.level.clone() }
    }
}

impl<T> Sender<T> {
    /// Puts a message of this size in, without waiting. Whether somebody still reads.
    pub(super) fn put(&self, item: T, size: usize) -> bool {
        let size = size + EACH;
        self.level.bytes.fetch_add(size, Ordering::AcqRel);
        self.to.send((item, size)).is_ok()
    }

    /// Waits until there is room for more, or until nobody reads any more.
    pub(super) async fn room(&self) {
        loop {
            let freed = self.level.freed.notified();
            if self.level.bytes.load(Ordering::Acquire) <= ROOM || self.to.is_closed() {
                return;
            }
            tokio::select! {
                () = freed => {}
                () = self.to.closed() => return,
            }
        }
    }
}

impl<T> Receiver<T> {
    /// The next message; none when nobody can put one in any more. May be dropped while it waits.
    pub(super) async fn next(&mut self) -> Option<T> {
        let taken = self.from.recv().await;
        self.taken(taken)
    }

    /// As [`Self::next`], for a future that is written by hand.
    pub(super) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<T>> {
        self.from.poll_recv(context).map(|taken| self.taken(taken))
    }

    /// As [`Self::next`], for a thread.
    pub(super) fn next_blocking(&mut self) -> Option<T> {
        let taken = self.from.blocking_recv();
        self.taken(taken)
    }

    /// The next message, if it is there.
    pub(super) fn next_now(&mut self) -> Option<T> {
        let taken = self.from.try_recv().ok();
        self.taken(taken)
    }

    fn taken(&self, taken: Option<(T, usize)>) -> Option<T> {
        let (item, size) = taken?;
        self.level.bytes.fetch_sub(size, Ordering::AcqRel);
        self.level.freed.notify_waiters();
        Some(item)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn there_is_room_again_when_something_is_taken_or_nobody_reads() {
        let (to, mut from) = queue();
        assert!(to.put(1, ROOM) && to.put(2, 1));
        let waiting = tokio::spawn({
            let to = to.clone();
            async move { to.room().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        assert_eq!((from.next().await, from.next_now(), from.next_now()), (Some(1), Some(2), None));
        waiting.await.unwrap();
        to.put(3, 2 * ROOM);
        drop(from);
        to.room().await;
        assert!(!to.put(4, 0));
    }
}
