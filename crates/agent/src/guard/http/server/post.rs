//! Streamable HTTP: what comes to the endpoint.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Incoming;
use tokio::time::timeout;

use super::super::front::{Front, Slots};
use super::super::outgoing::{Modern, VERSION, is_parameter};
use super::super::session::Session;
use super::super::upstream::{LAST_EVENT, SESSION};
use super::admit::identity;
use super::reply::{Open, Reply, empty, error};
use super::sessions::new_id;
use super::{BODY, Inner, SessionInfo};
use crate::guard::message::{INTERNAL, INVALID, LIMIT, NO_JSON};
use crate::guard::{Scan, Stream};

/// 2026-07-28: the headers say something else than the message.
const MISMATCH: i64 = -32020;

/// What a request gets, or the refusal that it gets instead.
pub(super) type Got<T> = Result<T, Box<Response<Reply>>>;

pub(super) fn refuse<T>(status: StatusCode, code: i64, why: &str) -> Got<T> {
    Err(Box::new(error(status, code, why)))
}

impl Inner {
    /// A message of the client's.
    pub(super) async fn post(&self, request: Request<Incoming>) -> Got<Response<Reply>> {
        let (head, body) = request.into_parts();
        if !accepts(&head.headers, "application/json") || !accepts(&head.headers, "text/event-stream") {
            let why = "accept both application/json and text/event-stream";
            return refuse(StatusCode::NOT_ACCEPTABLE, INVALID, why);
        }
        let message = self.read(&head.headers, body).await?;
        let modern = Modern::of(&message);
        if let Some(Err(why)) = modern.as_ref().map(|modern| modern.agrees(&head.headers)) {
            return refuse(StatusCode::BAD_REQUEST, MISMATCH, &why);
        }
        let single = modern.is_some();
        let initializes = || Scan::of(&message).method.as_deref() == Some("initialize");
        let (id, session) = if single {
            (None, self.open(None, &head.headers)?)
        } else if !head.headers.contains_key(SESSION) && initializes() {
            self.begin(&head.headers)?
        } else {
            (None, self.session(&head.headers)?)
        };
        let open = self.listen(&session, self.passed(&head, single), single, false);
        session.relay.from_client(open.stream, &message);
        if let Front::Many(slots) = &session.wire.front {
            // A cancellation may have been all that another stream waited for.
            slots.check_all();
        }
        let answer = open.answer().await;
        Ok(self.named(answer, id))
    }

    /// A client listens for what the server sends of itself, or takes up a stream again.
    pub(super) async fn get(&self, request: Request<Incoming>) -> Got<Response<Reply>> {
        let (head, _) = request.into_parts();
        if !accepts(&head.headers, "text/event-stream") {
            return refuse(StatusCode::NOT_ACCEPTABLE, INVALID, "accept text/event-stream");
        }
        let session = self.session(&head.headers)?;
        let open = self.listen(&session, self.passed(&head, false), false, true);
        if session.legacy().is_some() {
            session.wire.begins(open.stream);
            return Ok(open.streams(VecDeque::new()));
        }
        let last = head.headers.get(LAST_EVENT).and_then(|last| last.to_str().ok()).map(str::to_owned);
        session.wire.begins(open.stream);
        tokio::spawn(session.listen_for(open.stream, last));
        Ok(open.answer().await)
    }

    /// A client ends its session.
    pub(super) async fn delete(&self, head: &Parts) -> Got<Response<Reply>> {
        let session = self.session(&head.headers)?;
        if let Some(id) = head.headers.get(SESSION).and_then(|id| id.to_str().ok()) {
            self.sessions.remove(id);
        }
        session.close("the client has ended the session").await;
        Ok(empty(StatusCode::OK))
    }

    /// Reads a message. A page can't send this kind without being asked where it comes from.
    pub(super) async fn read(&self, headers: &HeaderMap, body: Incoming) -> Got<Bytes> {
        let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if !kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json") {
            return refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, INVALID, "send application/json");
        }
        let most = self.config.limits.max_message;
        let too_large = || {
            let why = format!("the message is larger than {most} bytes");
            refuse(StatusCode::PAYLOAD_TOO_LARGE, LIMIT, &why)
        };
        let length =
            headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
        if length.is_some_and(|length| length > most) {
            return too_large();
        }
        match timeout(BODY, Limited::new(body, most).collect()).await {
            Ok(Ok(read)) => Ok(read.to_bytes()),
            Ok(Err(failed)) if failed.is::<LengthLimitError>() => too_large(),
            Ok(Err(_)) => refuse(StatusCode::BAD_REQUEST, NO_JSON, "the message broke off"),
            Err(_) => refuse(StatusCode::REQUEST_TIMEOUT, NO_JSON, "the message took too long"),
        }
    }

    /// A session with a gate of its own.
    pub(super) fn open(&self, id: Option<&str>, headers: &HeaderMap) -> Got<Arc<Session>> {
        let info = SessionInfo { id: id.map(str::to_owned), bearer: identity(headers) };
        let gate = (self.gates)(&info);
        let front = Front::Many(Slots::default());
        let opened = Session::open(self.upstream.clone(), self.config.limits, gate, front);
        opened.or_else(|_| refuse(StatusCode::INTERNAL_SERVER_ERROR, INTERNAL, "there is no randomness"))
    }

    fn begin(&self, headers: &HeaderMap) -> Got<(Option<String>, Arc<Session>)> {
        let Ok(id) = new_id() else {
            return refuse(StatusCode::INTERNAL_SERVER_ERROR, INTERNAL, "there is no randomness");
        };
        let session = self.open(Some(&id), headers)?;
        self.keep(&id, &session, headers)?;
        Ok((Some(id), session))
    }

    /// Keeps a session, if need be in another's place.
    pub(super) fn keep(&self, id: &str, session: &Arc<Session>, headers: &HeaderMap) -> Got<()> {
        let owned = (session.clone(), identity(headers));
        match self.sessions.insert(id, owned, self.config.max_sessions) {
            Ok(gone) => {
                if let Some(gone) = gone {
                    tokio::spawn(async move { gone.close("the session was idle longest").await });
                }
                Ok(())
            }
            Err(()) => {
                session.end("there are too many sessions");
                refuse(StatusCode::SERVICE_UNAVAILABLE, LIMIT, "there are too many sessions")
            }
        }
    }

    fn session(&self, headers: &HeaderMap) -> Got<Arc<Session>> {
        let Some(id) = headers.get(SESSION) else {
            return refuse(
                StatusCode::BAD_REQUEST,
                INVALID,
                "Mcp-Session-Id is missing; begin with initialize",
            );
        };
        let found = id.to_str().ok().and_then(|id| self.sessions.get(id, &identity(headers)));
        match found {
            Some(session) => Ok(session),
            None => refuse(StatusCode::NOT_FOUND, INVALID, "there is no such session; begin a new one"),
        }
    }

    fn listen(&self, session: &Arc<Session>, headers: HeaderMap, single: bool, general: bool) -> Open {
        let stream = Stream(self.next.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
        let from = session.slots_open(stream, headers, general);
        Open { session: session.clone(), stream, from, single }
    }

    /// What of the client's headers goes on to the server.
    fn passed(&self, head: &Parts, parameters: bool) -> HeaderMap {
        let mut passed = HeaderMap::new();
        for (name, value) in &head.headers {
            let wanted = (name == AUTHORIZATION && self.config.passes(value))
                || name == VERSION
                || (parameters && is_parameter(name));
            if wanted {
                let mut value = value.clone();
                value.set_sensitive(true);
                passed.append(name, value);
            }
        }
        passed
    }

    /// Tells the client its session's name, or forgets the session if the server did not take it.
    fn named(&self, mut answer: Response<Reply>, id: Option<String>) -> Response<Reply> {
        let Some(id) = id else { return answer };
        match HeaderValue::from_str(&id) {
            Ok(value) if answer.status().is_success() => drop(answer.headers_mut().insert(SESSION, value)),
            _ => self.forget(&id),
        }
        answer
    }
}

/// Whether the client takes this kind of answer.
fn accepts(headers: &HeaderMap, kind: &str) -> bool {
    let (family, _) = kind.split_once('/').unwrap_or((kind, ""));
    headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).any(|value| {
        value.split(',').any(|range| {
            let range = range.split(';').next().unwrap_or_default().trim();
            range == "*/*"
                || range.eq_ignore_ascii_case(kind)
                || range.strip_suffix("/*").is_some_and(|range| range.eq_ignore_ascii_case(family))
        })
    })
}
