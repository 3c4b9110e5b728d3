//! The client's side of a session, for the gate: what the client can do, and questions to it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use farthing_policy::json::Json;
use tokio::sync::oneshot;

use super::id::Id;
use super::message::{cancelled, object};
use super::relay::{Core, Side, Stream, lock};

/// What the ids of our own requests begin with.
const PREFIX: &str = "farthing-";
/// How many numbers, from a random one on, are ours in one session.
const OURS: u64 = 1 << 32;

/// The client's side of the session in which a call came.
#[derive(Clone)]
pub struct Client {
    pub(super) core: Arc<Core>,
    pub(super) stream: Stream,
}

/// Why a question has no answer.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum AskError {
    /// The client answered with a JSON-RPC error.
    #[error("the client refused the question: {0}")]
    Refused(Json),
    /// No answer came in time.
    #[error("the client gave no answer in time")]
    TimedOut,
    /// The session has ended, or too many questions are open.
    #[error("the client can't be asked any more")]
    Closed,
}

impl Client {
    /// Whether the client said at `initialize` that it can ask its user (`elicitation`).
    #[must_use]
    pub fn supports_elicitation(&self) -> bool {
        self.core.elicits.load(Ordering::Relaxed)
    }

    /// Sends the client a request of our own and awaits its `result`. The server sees nothing of it. To be awaited
    /// within [`Decided::Later`](super::Decided::Later), where tokio's time runs. If it is dropped or times out, the
    /// client is told that the question is cancelled.
    ///
    /// # Errors
    /// [`AskError`]: the client refused, gave no answer in time, or can't be asked.
    pub async fn ask(&self, method: &str, params: Json) -> Result<Json, AskError> {
        let (number, answer) = lock(&self.core.asks).open().ok_or(AskError::Closed)?;
        let mut question = Question { client: self, number, answered: false };
        let request = object([
            ("jsonrpc", Json::from("2.0")),
            ("id", id(number)),
            ("method", Json::from(method)),
            ("params", params),
        ]);
        self.core.link.queue(Side::Client, self.stream, request.to_vec());
        let answer = tokio::time::timeout(self.core.limits.ask_timeout, answer).await;
        let mut answer = answer.map_err(|_| AskError::TimedOut)?.map_err(|_| AskError::Closed)?;
        question.answered = true;
        let Json::Object(message) = &mut answer else { return Err(AskError::Closed) };
        match message.remove("result") {
            Some(result) => Ok(result),
            None => Err(AskError::Refused(message.remove("error").unwrap_or(Json::Null))),
        }
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("stream", &self.stream).finish_non_exhaustive()
    }
}

fn id(number: u64) -> Json {
    Json::from(format!("{PREFIX}{number}"))
}

/// A question that is open, until it is dropped.
struct Question<'a> {
    client: &'a Client,
    number: u64,
    answered: bool,
}

impl Drop for Question<'_> {
    fn drop(&mut self) {
        let core = &self.client.core;
        lock(&core.asks).open.remove(&self.number);
        if !self.answered {
            let notice = cancelled(id(self.number), "the question is not open any more");
            core.link.queue(Side::Client, self.client.stream, notice.to_vec());
        }
    }
}

/// Our own questions to the client. Their ids lie in a range that begins at a random number, so that guards behind
/// guards don't share one; a server's request with an id from our range is refused, so the two can never be confused.
#[derive(Debug)]
pub(super) struct Asks {
    first: u64,
    used: u64,
    most: usize,
    closed: bool,
    open: HashMap<u64, oneshot::Sender<Json>>,
}

impl Asks {
    pub(super) fn new(random: u64, most: usize) -> Self {
        // Below 2^53, whatever a client makes of it.
        Self { first: random >> 12, used: 0, most, closed: false, open: HashMap::new() }
    }

    /// Whether the id is from our range.
    pub(super) fn owns(&self, id: &Id) -> bool {
        self.number(id).is_some()
    }

    /// The client has answered: gives the answer to who asked. It is dropped if nobody waits any more.
    pub(super) fn answered(&mut self, id: &Id, answer: Json) {
        if let Some(asked) = self.number(id).and_then(|number| self.open.remove(&number)) {
            // Who asked may have gone this moment.
            let _ = asked.send(answer);
        }
    }

    /// Lets everybody go who waits.
    pub(super) fn close(&mut self) {
        self.closed = true;
        self.open.clear();
    }

    fn open(&mut self) -> Option<(u64, oneshot::Receiver<Json>)> {
        if self.closed || self.open.len() >= self.most || self.used >= OURS {
            return None;
        }
        let number = self.first + self.used;
        self.used += 1;
        let (answered, answer) = oneshot::channel();
        self.open.insert(number, answered);
        Some((number, answer))
    }

    fn number(&self, id: &Id) -> Option<u64> {
        let Id::Text(text) = id else { return None };
        let number: u64 = text.strip_prefix(PREFIX)?.parse().ok()?;
        (self.first..self.first + OURS).contains(&number).then_some(number)
    }
}
