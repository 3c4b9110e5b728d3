//! Writes that nobody waits for: they gather, and go with the next commit that somebody waits for, or after a while.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::op::Write;

/// How long they may gather: what a crash can lose.
const PATIENCE: Duration = Duration::from_millis(100);
/// How long to wait after they could not be written.
const PAUSE: Duration = Duration::from_secs(1);
/// How many may gather. Who comes later waits for a commit.
const MOST: usize = 512;
/// With how many there is no more waiting.
const MANY: usize = MOST / 2;

/// The writes that gather.
pub(crate) struct Lazy(Mutex<List>);

#[derive(Default)]
struct List {
    writes: Vec<Write>,
    /// When they have to be written; none while there are none.
    due: Option<Instant>,
    closed: bool,
}

/// What became of a write.
pub(crate) enum Pushed {
    /// It is queued, and the writer need not know yet.
    Queued,
    /// It is queued, and the writer has to be woken, because it is the first one or there are many.
    Wake,
    /// There are too many: it is to be waited for.
    Full(Write),
    /// Nobody writes any more.
    Closed,
}

impl Lazy {
    pub(crate) fn new() -> Self {
        Self(Mutex::default())
    }

    /// No panic is possible while the lock is held that leaves the list half changed.
    fn list(&self) -> MutexGuard<'_, List> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn push(&self, write: Write) -> Pushed {
        let mut list = self.list();
        if list.closed {
            return Pushed::Closed;
        }
        if list.writes.len() >= MOST {
            return Pushed::Full(write);
        }
        list.writes.push(write);
        match list.writes.len() {
            1 => list.due = Some(Instant::now() + PATIENCE),
            MANY => list.due = Some(Instant::now()),
            _ => return Pushed::Queued,
        }
        Pushed::Wake
    }

    /// When the writer has to write, if it has nothing else to do.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.list().due
    }

    /// All of them, in their order.
    pub(crate) fn take(&self) -> Vec<Write> {
        let mut list = self.list();
        list.due = None;
        std::mem::take(&mut list.writes)
    }

    /// Those that could not be written, to be tried again. They stay before what came since.
    pub(crate) fn put_back(&self, mut writes: Vec<Write>) {
        let mut list = self.list();
        writes.append(&mut list.writes);
        list.due = (!writes.is_empty()).then(|| Instant::now() + PAUSE);
        list.writes = writes;
    }

    /// All of them; there will be no more.
    pub(crate) fn close(&self) -> Vec<Write> {
        self.list().closed = true;
        self.take()
    }
}

impl fmt::Debug for Lazy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lazy").finish_non_exhaustive()
    }
}
