//! HTTP with SSE, of 2024-11-05: one stream of events for everything, and a place to post to.

use std::collections::VecDeque;

use http::header::AUTHORIZATION;
use http::request::Parts;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;

use super::super::front::Front;
use super::super::queue::queue;
use super::super::session::{GENERAL, Session};
use super::super::sse::write;
use super::admit::identity;
use super::post::{Got, refuse};
use super::reply::{Open, Reply, empty};
use super::sessions::new_id;
use super::{Inner, MESSAGES, SessionInfo};
use crate::guard::Stream;
use crate::guard::message::{INTERNAL, INVALID};

impl Inner {
    /// A client opens its stream, and learns where to post. The session ends with the stream.
    pub(super) fn get_legacy(&self, head: &Parts) -> Got<Response<Reply>> {
        let Ok(id) = new_id() else {
            return refuse(StatusCode::INTERNAL_SERVER_ERROR, INTERNAL, "there is no randomness");
        };
        let info = SessionInfo { id: Some(id.clone()), bearer: identity(&head.headers) };
        let (to, from) = queue();
        let gate = (self.gates)(&info);
        let opened = Session::open(self.upstream.clone(), self.config.limits, gate, Front::One(to));
        let Ok(session) = opened else {
            return refuse(StatusCode::INTERNAL_SERVER_ERROR, INTERNAL, "there is no randomness");
        };
        self.shows(&session, head);
        self.keep(&id, &session, &head.headers)?;
        let open = Open { session, stream: GENERAL, from, single: true };
        let mut answer = open.streams(VecDeque::new());
        if let Reply::Events(events) = answer.body_mut() {
            let place = format!("{MESSAGES}?sessionId={id}");
            events.ready.push_back(write(None, "endpoint", None, place.as_bytes()).into());
        }
        Ok(answer)
    }

    /// A message of the client's. What answers it comes on the stream.
    pub(super) async fn post_legacy(&self, request: Request<Incoming>) -> Got<Response<Reply>> {
        let (head, body) = request.into_parts();
        let query = head.uri.query().unwrap_or_default();
        let id = query.split('&').find_map(|pair| pair.strip_prefix("sessionId="));
        let Some(session) = id.and_then(|id| self.sessions.get(id, &identity(&head.headers))) else {
            return refuse(StatusCode::NOT_FOUND, INVALID, "there is no such session; open a new stream");
        };
        let message = self.read(&head.headers, body).await?;
        self.shows(&session, &head);
        let stream = Stream(self.next.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
        session.wire.room().await;
        session.wire.front.room(stream).await;
        session.relay.from_client(stream, &message);
        Ok(empty(StatusCode::ACCEPTED))
    }

    fn shows(&self, session: &Session, head: &Parts) {
        if head.headers.get(AUTHORIZATION).is_some_and(|value| self.config.passes(value)) {
            session.shows(head.headers.get(AUTHORIZATION));
        }
    }
}
