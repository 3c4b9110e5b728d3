//! What the server sends of itself: the stream of events that belongs to no request, and the only one that there was in
//! 2024-11-05.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, StatusCode};
use tokio::time::{sleep, timeout};

use super::front::{Head, Out};
use super::reader::{Cursor, Reader};
use super::session::{GENERAL, Session};
use super::sse::{Data, Event};
use super::upstream::{Form, form};
use crate::guard::relay::lock;
use crate::guard::{Scan, Stream};

/// How long a server of 2024-11-05 may take to say where messages are posted.
const ENDPOINT: Duration = Duration::from_secs(10);

impl Session {
    /// Listens for what the server sends of itself, until it does not offer that or the session ends.
    pub(super) async fn listen(self: Arc<Self>) {
        tokio::select! {
            () = self.ended.cancelled() => {}
            () = self.listen_on() => {}
        }
    }

    async fn listen_on(&self) {
        let (mut cursor, mut vain) = (Cursor::default(), 0);
        loop {
            match self.listen_from(GENERAL, cursor.id.as_deref()).await {
                Ok(answer) if answer.status().is_success() && form(answer.headers()) == Form::Events => {
                    let mut reader = Reader::new(answer.into_body(), self.limits.max_message);
                    let heard = self.hear(GENERAL, &mut reader, &mut cursor).await;
                    vain = if heard { 0 } else { vain + 1 };
                }
                Ok(answer) if answer.status() == StatusCode::NOT_FOUND && self.is_named() => {
                    return self.expired();
                }
                // 405, as a rule: it sends nothing of itself.
                Ok(answer) if !answer.status().is_server_error() => return,
                _ => vain += 1,
            }
            sleep(cursor.wait(vain)).await;
        }
    }

    /// Listens for a client that does so itself, from the event on that it names, until one of the three ends it.
    pub(super) async fn listen_for(self: Arc<Self>, stream: Stream, last: Option<String>) {
        let left = self.wire.front.left(stream);
        let listening = async {
            match self.listen_from(stream, last.as_deref()).await {
                Ok(answer) if answer.status().is_success() && form(answer.headers()) == Form::Events => {
                    self.wire.front.put(stream, Out::Head(Head::Streams));
                    let mut reader = Reader::new(answer.into_body(), self.limits.max_message);
                    self.hear(stream, &mut reader, &mut Cursor::default()).await;
                }
                Ok(answer) => {
                    let status = match answer.status() {
                        status if status.is_success() => StatusCode::BAD_GATEWAY,
                        status => status,
                    };
                    self.head(stream, status, answer.headers());
                    if status == StatusCode::NOT_FOUND && self.is_named() {
                        self.expired();
                    }
                }
                Err(_) => self.head(stream, StatusCode::BAD_GATEWAY, &HeaderMap::new()),
            }
        };
        tokio::select! {
            () = self.ended.cancelled() => {}
            () = left.cancelled() => {}
            () = listening => {}
        }
        self.wire.over(stream);
    }

    /// Passes on events until their end. Whether any came.
    pub(super) async fn hear(&self, on: Stream, reader: &mut Reader, cursor: &mut Cursor) -> bool {
        let mut heard = false;
        loop {
            match reader.next().await {
                Ok(Some(event)) if cursor.note(&event) => {
                    heard = true;
                    self.hear_event(Some(on), event);
                    self.wire.front.room(on).await;
                }
                Ok(Some(_)) => {}
                Ok(None) => return heard,
                Err(why) => {
                    tracing::debug!(%why, "the server's stream broke");
                    return heard;
                }
            }
        }
    }

    /// On no stream: what answers a request goes to where that came from.
    fn hear_event(&self, on: Option<Stream>, event: Event) {
        if !matches!(event.name.as_str(), "" | "message") {
            return;
        }
        let again = event.id.as_deref().and_then(|id| lock(&self.wire.replay).find(id));
        if let (Some(data), Some(stream)) = (again, on) {
            return self.wire.front.put(stream, Out::Message { id: event.id, data });
        }
        match event.data {
            Data::Whole(data) if data.is_empty() => {
                self.wire.front.put(on.unwrap_or(GENERAL), Out::Mark { id: event.id, retry: event.retry });
            }
            Data::Whole(data) => {
                // Of 2024-11-05: the answer to initialize comes here.
                if !self.begun.is_cancelled() && Scan::of(&data).result {
                    self.learn(&data);
                    self.begun.cancel();
                }
                let stream = on.unwrap_or(GENERAL);
                self.passing(on, event.id, || self.relay.from_server(stream, &data));
            }
            Data::TooLarge(shape) => self.relay.server_too_large(on.unwrap_or(GENERAL), &shape),
        }
    }

    /// Tries whether the server is one of 2024-11-05: it then says where messages are posted, on its own site.
    pub(super) async fn fall_back(self: &Arc<Self>) -> bool {
        let opened = timeout(ENDPOINT, async {
            let answer = self.listen_from(GENERAL, None).await.ok()?;
            let events = answer.status().is_success() && form(answer.headers()) == Form::Events;
            let mut reader = events.then(|| Reader::new(answer.into_body(), self.limits.max_message))?;
            let first = reader.next().await.ok()??;
            let Data::Whole(place) = &first.data else { return None };
            let target = &self.upstream.target.url;
            let url = target.join(std::str::from_utf8(place).ok()?).ok()?;
            let ours = first.name == "endpoint" && url.origin() == target.origin();
            ours.then_some((url, reader))
        });
        let Ok(Some((url, reader))) = opened.await else { return false };
        tracing::info!("the server speaks HTTP with SSE, of 2024-11-05");
        self.posts_to(url);
        tokio::spawn(self.clone().hear_legacy(reader));
        true
    }

    async fn hear_legacy(self: Arc<Self>, mut reader: Reader) {
        let hearing = async {
            while let Ok(Some(event)) = reader.next().await {
                self.hear_event(None, event);
                self.wire.front.room(GENERAL).await;
            }
        };
        tokio::select! {
            () = self.ended.cancelled() => return,
            () = hearing => {}
        }
        self.end("the server has closed its stream of events");
    }
}
