//! The relay: one client's session with one server, whatever carries the messages.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use farthing_ambient::{Entropy, NoEntropy};
use farthing_policy::json::Json;
use tokio::runtime::Handle;

use super::client::Asks;
use super::gate::{End, Gate};
use super::id::Id;
use super::message::{CLOSED, Fault, INTERNAL, Method, TIMEOUT, cancelled, object};
use super::table::{Open, Table};

/// Which of a transport's streams a message belongs to. The transport numbers them as it likes; over HTTP, one for
/// each request of the client's. What answers a request goes to the stream on which the request came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Stream(pub u64);

/// Where a message goes, or comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// The MCP client.
    Client,
    /// The MCP server.
    Server,
}

/// What carries the messages. Each is JSON without a line break in it; framing is the link's. A message that can't be
/// delivered is dropped: the link then says so with [`Relay::failed`], [`Relay::lost`] or [`Relay::server_gone`].
pub trait Link: Send + Sync + 'static {
    /// Sends a message from the thread that gave the relay its cause. It may wait for the other side to take it.
    fn send(&self, to: Side, stream: Stream, message: &[u8]);

    /// Sends a message without waiting for anybody, and without calling the relay: it is called with a lock held. What
    /// is queued first goes before what is sent later.
    fn queue(&self, to: Side, stream: Stream, message: Vec<u8>);

    /// The time by which requests are overdue.
    fn now(&self) -> Instant {
        Instant::now()
    }
}

/// What a session may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The largest message, in bytes, in both directions.
    pub max_message: usize,
    /// The most requests of the client's that are open at a time.
    pub max_pending: usize,
    /// How long the server may take for an answer, or until it reports progress.
    pub call_timeout: Duration,
    /// How long the client may take for the answer to a question of the gate's.
    pub ask_timeout: Duration,
}

impl Default for Limits {
    /// 64 MiB, 1024 requests, 5 minutes each.
    fn default() -> Self {
        Self {
            max_message: 64 << 20,
            max_pending: 1024,
            call_timeout: Duration::from_secs(300),
            ask_timeout: Duration::from_secs(300),
        }
    }
}

/// What became of a message, or of the members of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Taken {
    /// So many went to the server.
    pub forwarded: usize,
    /// So many were answered at once.
    pub answered: usize,
    /// So many wait for the gate's decision.
    pub waiting: usize,
}

/// One client's session with one server.
#[derive(Clone)]
pub struct Relay(pub(super) Arc<Core>);

pub(super) struct Core {
    pub(super) gate: Arc<dyn Gate>,
    pub(super) link: Arc<dyn Link>,
    pub(super) limits: Limits,
    pub(super) runtime: Handle,
    pub(super) table: Mutex<Table>,
    pub(super) asks: Mutex<Asks>,
    pub(super) elicits: AtomicBool,
}

impl std::fmt::Debug for Relay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Relay").field("limits", &self.0.limits).finish_non_exhaustive()
    }
}

impl Relay {
    /// A session that begins. What the gate decides later is awaited on `runtime`, which needs tokio's time.
    ///
    /// # Errors
    /// [`NoEntropy`]: the ids of our own requests begin at a random number.
    pub fn new(
        limits: Limits,
        gate: Arc<dyn Gate>,
        link: Arc<dyn Link>,
        runtime: Handle,
        entropy: &dyn Entropy,
    ) -> Result<Self, NoEntropy> {
        let mut random = [0; 8];
        entropy.fill(&mut random)?;
        Ok(Self(Arc::new(Core {
            gate,
            link,
            limits,
            runtime,
            table: Mutex::new(Table::new(limits.max_pending)),
            asks: Mutex::new(Asks::new(u64::from_le_bytes(random), limits.max_pending)),
            elicits: AtomicBool::new(false),
        })))
    }

    /// Answers what is overdue with an error, and tells the server that it is cancelled. Gives the time until the next
    /// request is overdue, or any that comes meanwhile: call it again then.
    pub fn expire(&self) -> Duration {
        let core = &self.0;
        let now = core.link.now();
        let (late, next) = {
            let mut table = lock(&core.table);
            (table.overdue(now), table.next_deadline())
        };
        for open in late {
            // MCP (2025-06-18, cancellation): initialize is never cancelled.
            if open.method != Method::Initialize {
                let notice = cancelled(open.id.clone(), "no answer in time");
                core.link.queue(Side::Server, open.stream, notice.to_vec());
            }
            let why = format!("the server gave no answer within {:?}", core.limits.call_timeout);
            core.end_without_answer(open, End::Lost, TIMEOUT, &why);
        }
        let most = core.limits.call_timeout;
        next.map_or(most, |next| next.saturating_duration_since(now).min(most))
    }

    /// The server has refused what was sent to it on this stream, so it has not run (HTTP 4xx and 5xx, no connection).
    pub fn failed(&self, stream: Stream, why: &str) {
        let sent = lock(&self.0.table).take_sent(stream);
        for open in sent {
            self.0.end_without_answer(open, End::Failed, INTERNAL, why);
        }
    }

    /// What was sent to the server on this stream will get no answer; nobody knows whether it ran.
    pub fn lost(&self, stream: Stream, why: &str) {
        let sent = lock(&self.0.table).take_sent(stream);
        for open in sent {
            self.0.end_without_answer(open, End::Lost, CLOSED, why);
        }
    }

    /// The server has refused these requests with this error, so they have not run. As [`Self::failed`], for a stream
    /// whose requests go to the server apart from each other.
    pub(super) fn refused(&self, ids: &[Id], error: &Json) {
        let sent = lock(&self.0.table).take_sent_ids(ids);
        for open in sent {
            let entries = [("jsonrpc", Json::from("2.0")), ("id", open.id.clone()), ("error", error.clone())];
            self.0.link.queue(Side::Client, open.stream, object(entries).to_vec());
            if let Some(ticket) = open.ticket() {
                // There is no answer that the gate could change.
                let _ = self.0.gate.ended(ticket, End::Failed);
            }
        }
    }

    /// These requests will get no answer. As [`Self::lost`].
    pub(super) fn lost_requests(&self, ids: &[Id], why: &str) {
        let sent = lock(&self.0.table).take_sent_ids(ids);
        for open in sent {
            self.0.end_without_answer(open, End::Lost, CLOSED, why);
        }
    }

    /// How many of these requests have no answer yet.
    pub(super) fn pending_of(&self, ids: &[Id]) -> usize {
        lock(&self.0.table).count_ids(ids)
    }

    /// How many requests have no answer yet.
    pub(super) fn pending_all(&self) -> usize {
        lock(&self.0.table).len()
    }

    /// The server is gone, or the session is over: every open request is answered with an error, and so is what comes.
    pub fn server_gone(&self, why: &str) {
        lock(&self.0.asks).close();
        let open = lock(&self.0.table).close(why);
        for open in open {
            self.0.end_without_answer(open, End::Lost, CLOSED, why);
        }
    }

    /// How many of the client's requests on this stream have no answer yet.
    #[must_use]
    pub fn pending(&self, stream: Stream) -> usize {
        lock(&self.0.table).count(stream)
    }

    /// How many calls wait for the gate's decision.
    #[must_use]
    pub fn undecided(&self) -> usize {
        lock(&self.0.table).undecided()
    }
}

impl Core {
    /// Tells client and gate that a request has ended without an answer of the server's.
    pub(super) fn end_without_answer(&self, open: Open, end: End<'_>, code: i64, why: &str) {
        let answer = Fault::new(open.id.clone(), code, why).answer();
        self.link.queue(Side::Client, open.stream, answer.to_vec());
        if let Some(ticket) = open.ticket() {
            // There is no answer that the gate could change.
            let _ = self.gate.ended(ticket, end);
        }
    }

    pub(super) fn send(&self, to: Side, stream: Stream, message: &Json) {
        self.link.send(to, stream, &message.to_vec());
    }
}

/// Opens a lock. A thread that panicked held it for moments in which nothing is half done.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
