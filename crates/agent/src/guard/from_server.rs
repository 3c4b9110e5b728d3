//! What comes from the server.

use std::borrow::Cow;

use farthing_policy::json::Json;
use memchr::memchr2;

use super::gate::End;
use super::id::Id;
use super::list::without_hidden;
use super::message::{Fault, INTERNAL, INVALID, LIMIT, Method};
use super::relay::{Core, Relay, Side, Stream, lock};
use super::scan::{Form, Scan, Shape};
use super::table::{Open, Phase};

/// Notifications of progress are small; a larger one is passed on and prolongs nothing.
const MAX_PROGRESS: usize = 1 << 20;

/// What the client gets, and on which stream.
type Passed<'a> = Option<(Stream, Cow<'a, [u8]>)>;

impl Relay {
    /// Takes one message of the server's, or one batch. What is no message is dropped. `stream` is the one on which
    /// the server's requests and notifications go on to the client.
    pub fn from_server(&self, stream: Stream, message: &[u8]) {
        let core = &self.0;
        let message = message.trim_ascii();
        if message.is_empty() {
            return;
        }
        let shape = Scan::of(message);
        if message.len() > core.limits.max_message {
            return self.server_too_large(stream, &shape);
        }
        match shape.form {
            Form::Object => {
                if let Some((stream, bytes)) = core.pass(stream, shape, message) {
                    core.link.send(Side::Client, stream, &one_line(&bytes));
                }
            }
            Form::List => core.batch(stream, message),
            Form::Broken => {
                tracing::warn!(bytes = message.len(), "dropped what is no message from the server")
            }
        }
    }

    /// The server has sent a message that is too large to be kept; this is what a [`Scan`] saw of it.
    pub fn server_too_large(&self, stream: Stream, shape: &Shape) {
        let core = &self.0;
        let why = format!("the server's message is larger than {} bytes", core.limits.max_message);
        let id = shape.id.as_ref().and_then(Id::of);
        match (&shape.method, id) {
            (None, Some(id)) => core.unreadable(&id, LIMIT, &why),
            (Some(_), Some(_)) => core.refuse_server(stream, shape, LIMIT, &why),
            _ => tracing::warn!("dropped: {why}"),
        }
    }
}

impl Core {
    fn batch(&self, stream: Stream, message: &[u8]) {
        let Ok(Json::Array(members)) = Json::parse(message) else {
            tracing::warn!(bytes = message.len(), "dropped a batch from the server that can't be read");
            return;
        };
        let mut batch = vec![b'['];
        for member in members.iter().map(Json::to_vec) {
            let shape = Scan::of(&member);
            let passed = if shape.form == Form::Object { self.pass(stream, shape, &member) } else { None };
            if let Some((_, bytes)) = passed {
                batch.extend_from_slice(if batch.len() > 1 { b"," } else { b"" });
                batch.extend_from_slice(&bytes);
            }
        }
        if batch.len() > 1 {
            batch.push(b']');
            self.link.send(Side::Client, stream, &batch);
        }
    }

    /// One message, as the client gets it.
    fn pass<'a>(&self, stream: Stream, shape: Shape, bytes: &'a [u8]) -> Passed<'a> {
        let id = shape.id.as_ref().and_then(Id::of);
        // Some readers would take it for a request, and some for an answer.
        let both = shape.method.is_some() && (shape.result || shape.error);
        if let Some(why) = shape.fault.or(both.then_some("it is a request and an answer")) {
            match id {
                Some(id) => self.unreadable(&id, INTERNAL, &format!("the server's answer is unclear: {why}")),
                None => tracing::warn!("dropped a message from the server: {why}"),
            }
            return None;
        }
        match (&shape.method, id) {
            (Some(_), Some(id)) if lock(&self.asks).owns(&id) => {
                self.refuse_server(stream, &shape, INVALID, "ids of this form are the guard's");
                None
            }
            (Some(method), id) => {
                if method == "notifications/progress" && id.is_none() && bytes.len() <= MAX_PROGRESS {
                    self.progress(bytes);
                }
                Some((stream, Cow::Borrowed(bytes)))
            }
            (None, Some(id)) => self.answer(&id, &shape, bytes),
            // An error that the server could not match to a request.
            (None, None) => (shape.error && !shape.result).then_some((stream, Cow::Borrowed(bytes))),
        }
    }

    fn answer<'a>(&self, id: &Id, shape: &Shape, bytes: &'a [u8]) -> Passed<'a> {
        if shape.result == shape.error {
            self.unreadable(id, INTERNAL, "the server's answer has not one of result and error");
            return None;
        }
        // Not asked, or given up meanwhile.
        let open = lock(&self.table).answered(id)?;
        let stream = open.stream;
        match open.method {
            Method::List => self.list(&open, bytes).map(|bytes| (stream, bytes)),
            Method::Call => Some((stream, self.called(open, bytes))),
            _ => Some((stream, Cow::Borrowed(bytes))),
        }
    }

    fn list<'a>(&self, open: &Open, bytes: &'a [u8]) -> Option<Cow<'a, [u8]>> {
        match without_hidden(bytes, |tool| self.gate.hides(tool)) {
            Ok(None) => Some(Cow::Borrowed(bytes)),
            Ok(Some(json)) => Some(Cow::Owned(json.to_vec())),
            Err(why) => {
                let why = format!("the server's list of tools can't be read: {why}");
                let answer = Fault::new(open.id.clone(), INTERNAL, why).answer();
                self.send(Side::Client, open.stream, &answer);
                None
            }
        }
    }

    /// The answer to a call. One that can't be parsed strictly is passed on all the same, unless the gate withholds it: what
    /// it cost is spent.
    fn called<'a>(&self, open: Open, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        let Phase::Sent { ticket: Some(ticket), .. } = open.phase else { return Cow::Borrowed(bytes) };
        if !self.gate.reads(&ticket, bytes) {
            return Cow::Borrowed(bytes);
        }
        let changed = match Json::parse(bytes) {
            Ok(json) => self.gate.ended(ticket, End::Answered(&json)),
            Err(error) => {
                tracing::warn!(%error, "the answer to a call can't be read");
                // There is no answer that the gate could change.
                let _ = self.gate.ended(ticket, End::Lost);
                let why = format!("the server's answer can't be read: {error}");
                self.gate.withholds(bytes).then(|| Fault::new(open.id.clone(), INTERNAL, why).answer())
            }
        };
        changed.map_or(Cow::Borrowed(bytes), |json| Cow::Owned(json.to_vec()))
    }

    /// Ends the request that an answer belongs to which must not be passed on.
    fn unreadable(&self, id: &Id, code: i64, why: &str) {
        let open = lock(&self.table).answered(id);
        match open {
            Some(open) => self.end_without_answer(open, End::Lost, code, why),
            None => tracing::warn!("dropped: {why}"),
        }
    }

    /// Queued: who reads from the server must never wait for the server to read.
    fn refuse_server(&self, stream: Stream, shape: &Shape, code: i64, why: &str) {
        let answer = Fault::new(shape.id.clone().unwrap_or(Json::Null), code, why).answer();
        self.link.queue(Side::Server, stream, answer.to_vec());
    }

    fn progress(&self, bytes: &[u8]) {
        let Ok(json) = Json::parse(bytes) else { return };
        let token = json.get("params").and_then(|params| params.get("progressToken")).and_then(Id::of);
        if let Some(token) = token {
            let until = self.link.now() + self.limits.call_timeout;
            lock(&self.table).prolong(&token, until);
        }
    }
}

/// The message without line breaks. JSON has them only between its parts, where a space does as well.
fn one_line(message: &[u8]) -> Cow<'_, [u8]> {
    if memchr2(b'\n', b'\r', message).is_none() {
        return Cow::Borrowed(message);
    }
    let space = |byte: &u8| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte };
    Cow::Owned(message.iter().map(space).collect())
}
