//! Answers to clients: whole ones, and streams of events.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use farthing_policy::json::Json;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use http_body::{Body, Frame};
use tokio::time::{Instant, Sleep, sleep, timeout};

use super::super::front::{Front, Head, Out};
use super::super::queue::Receiver;
use super::super::session::Session;
use super::super::sse::write;
use crate::guard::Stream;
use crate::guard::message::Fault;

/// How long nothing may be sent: then a comment shows whether the client is still there.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// The relay takes a request off its table a moment before it sends the answer: so long an end may only seem to be one.
const LAST_LOOK: Duration = Duration::from_millis(30);

/// The body of an answer.
pub(super) enum Reply {
    Whole(Bytes),
    Events(Box<Events>),
}

/// One request of a client's that is open. Dropped, it is answered or the client has left.
pub(super) struct Open {
    pub(super) session: Arc<Session>,
    pub(super) stream: Stream,
    pub(super) from: Receiver<Out>,
    /// The session ends with the request.
    pub(super) single: bool,
}

impl Drop for Open {
    fn drop(&mut self) {
        if let Front::Many(slots) = &self.session.wire.front {
            slots.close(self.stream);
        }
        if self.single && self.session.is_named() {
            // Of 2024-11-05: the server may have a session to forget.
            if let Ok(runtime) = tokio::runtime::Handle::try_current() {
                let session = self.session.clone();
                runtime.spawn(async move { session.close("the client has left").await });
            }
        }
        if self.single {
            self.session.end("the client has left");
        }
    }
}

impl Open {
    /// Whether nothing is to come on this stream.
    fn is_over(&self) -> bool {
        let (session, stream) = (&self.session, self.stream);
        let quiet = session.wire.is_quiet(stream) && session.relay.pending(stream) == 0;
        match session.wire.front {
            Front::One(_) => false,
            Front::Many(_) => quiet || session.ended.is_cancelled(),
        }
    }

    /// The answer, as soon as it is known what it is: whole where nothing is to follow, a stream otherwise.
    pub(super) async fn answer(mut self) -> Response<Reply> {
        let (mut refused, mut messages) = (None, VecDeque::new());
        loop {
            let over = self.is_over();
            let next = match self.from.next_now() {
                Some(out) => Some(out),
                None if over && !messages.is_empty() => break,
                None if over => timeout(LAST_LOOK, self.from.next()).await.ok().flatten(),
                // Everything is answered: the exchange is about to end, or the server keeps its stream open.
                None if refused.is_none() && !messages.is_empty() => {
                    match timeout(LAST_LOOK, self.from.next()).await {
                        Ok(next) => next,
                        Err(_) => return self.streams(messages),
                    }
                }
                None => self.from.next().await,
            };
            match next {
                None => break,
                Some(Out::Head(Head::Refused { status, challenge })) => refused = Some((status, challenge)),
                Some(Out::Head(Head::Streams)) => return self.streams(messages),
                Some(Out::Close) => break,
                Some(Out::Check) => {}
                Some(out) => {
                    messages.push_back(out);
                    if refused.is_none() && self.session.relay.pending(self.stream) > 0 {
                        return self.streams(messages);
                    }
                }
            }
        }
        match (messages.len(), refused) {
            (0 | 1, Some((status, challenge))) => refusal(status, challenge, messages.pop_front()),
            (0, None) => empty(StatusCode::ACCEPTED),
            (1, None) => whole(StatusCode::OK, messages.pop_front()),
            _ => self.streams(messages),
        }
    }

    /// A stream of events that begins with these.
    pub(super) fn streams(self, first: VecDeque<Out>) -> Response<Reply> {
        let timer = Box::pin(sleep(KEEP_ALIVE));
        let events = Events { open: self, ready: VecDeque::new(), first, timer, closing: false };
        let mut response = Response::new(Reply::Events(Box::new(events)));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        // 2026-07-28: a proxy must not gather events.
        headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
        response
    }
}

/// An answer without a body.
pub(super) fn empty(status: StatusCode) -> Response<Reply> {
    let mut response = Response::new(Reply::Whole(Bytes::new()));
    *response.status_mut() = status;
    response
}

/// An answer that is an error of ours.
pub(super) fn error(status: StatusCode, code: i64, why: &str) -> Response<Reply> {
    let data = Fault::new(Json::Null, code, why).answer().to_vec();
    whole(status, Some(Out::Message { id: None, data }))
}

fn whole(status: StatusCode, message: Option<Out>) -> Response<Reply> {
    let mut response = empty(status);
    if let Some(Out::Message { data, .. }) = message {
        *response.body_mut() = Reply::Whole(data.into());
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    response
}

fn refusal(status: StatusCode, challenge: Option<HeaderValue>, message: Option<Out>) -> Response<Reply> {
    let mut response = whole(status, message);
    if let Some(challenge) = challenge {
        response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    }
    response
}

/// What a client gets event by event.
pub(super) struct Events {
    open: Open,
    /// What is sent before anything else, as it is.
    pub(super) ready: VecDeque<Bytes>,
    first: VecDeque<Out>,
    timer: Pin<Box<Sleep>>,
    closing: bool,
}

impl Events {
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if let Some(bytes) = self.ready.pop_front() {
            return Poll::Ready(Some(bytes));
        }
        loop {
            let next = match self.first.pop_front() {
                Some(out) => Poll::Ready(Some(out)),
                None => self.open.from.poll_next(context),
            };
            match next {
                Poll::Ready(None | Some(Out::Close)) => return Poll::Ready(None),
                Poll::Ready(Some(Out::Message { id, data })) => {
                    return self.gives(write(id.as_deref(), "message", None, &data));
                }
                Poll::Ready(Some(Out::Mark { id, retry })) => {
                    return self.gives(write(id.as_deref(), "", retry, b""));
                }
                Poll::Ready(Some(Out::Head(_) | Out::Check)) => {}
                Poll::Pending => return self.poll_timer(context),
            }
        }
    }

    fn gives(&mut self, event: Vec<u8>) -> Poll<Option<Bytes>> {
        self.timer.as_mut().reset(Instant::now() + KEEP_ALIVE);
        self.closing = false;
        Poll::Ready(Some(event.into()))
    }

    /// There is nothing at the moment: that may be the end, or call for a sign of life.
    fn poll_timer(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let over = self.open.is_over();
        if over != self.closing {
            self.closing = over;
            self.timer.as_mut().reset(Instant::now() + if over { LAST_LOOK } else { KEEP_ALIVE });
        }
        match self.timer.as_mut().poll(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(()) if over => Poll::Ready(None),
            Poll::Ready(()) => self.gives(b": \n\n".to_vec()),
        }
    }
}

impl Body for Reply {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = match &mut *self {
            Self::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Whole(bytes) => Poll::Ready(Some(std::mem::take(bytes))),
            Self::Events(events) => events.poll_next(context),
        };
        next.map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(bytes) if bytes.is_empty())
    }

    fn size_hint(&self) -> http_body::SizeHint {
        match self {
            Self::Whole(bytes) => http_body::SizeHint::with_exact(bytes.len() as u64),
            Self::Events(_) => http_body::SizeHint::default(),
        }
    }
}
