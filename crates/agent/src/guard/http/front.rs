//! The client's side of a session: where messages for the client go.

use std::collections::HashMap;
use std::sync::Mutex;

use http::{HeaderMap, HeaderValue, StatusCode};
use tokio_util::sync::CancellationToken;

use super::queue::{Receiver, Sender, queue};
use crate::guard::Stream;
use crate::guard::relay::lock;

/// What a client's stream gets.
#[derive(Debug)]
pub(super) enum Out {
    /// A message, and the id of the server's event that it came in.
    Message { id: Option<String>, data: Vec<u8> },
    /// An event without a message: where the stream may be taken up again, and when.
    Mark { id: Option<String>, retry: Option<u64> },
    /// How the server answered.
    Head(Head),
    /// Something changed: it may be over.
    Check,
    /// Nothing comes any more.
    Close,
}

/// What is known of the server's answer before its first message.
#[derive(Debug, Clone)]
pub(super) enum Head {
    /// It is a stream of events.
    Streams,
    /// It is a refusal.
    Refused { status: StatusCode, challenge: Option<HeaderValue> },
}

impl Out {
    fn size(&self) -> usize {
        match self {
            Self::Message { data, .. } => data.len(),
            _ => 0,
        }
    }
}

/// Where messages for the client go.
#[derive(Debug)]
pub(super) enum Front {
    /// All of them one way, whatever they belong to.
    One(Sender<Out>),
    /// Each to the client's request that it belongs to.
    Many(Slots),
}

/// The client's requests that are open.
#[derive(Debug, Default)]
pub(super) struct Slots(Mutex<HashMap<Stream, Slot>>);

#[derive(Debug)]
struct Slot {
    to: Sender<Out>,
    left: CancellationToken,
    headers: HeaderMap,
    general: bool,
}

impl Slots {
    /// A request of the client's begins; `headers` go with what is sent to the server because of it. A `general` one
    /// gets what belongs to no other.
    pub(super) fn open(&self, stream: Stream, headers: HeaderMap, general: bool) -> Receiver<Out> {
        let (to, from) = queue();
        let slot = Slot { to, left: CancellationToken::new(), headers, general };
        lock(&self.0).insert(stream, slot);
        from
    }

    /// It is answered, or the client has left.
    pub(super) fn close(&self, stream: Stream) {
        if let Some(slot) = lock(&self.0).remove(&stream) {
            slot.left.cancel();
        }
    }

    /// How many are open.
    pub(super) fn len(&self) -> usize {
        lock(&self.0).len()
    }

    /// Ends the streams that are open for nothing in particular.
    pub(super) fn close_general(&self) {
        lock(&self.0).retain(|_, slot| {
            if slot.general {
                slot.left.cancel();
            }
            !slot.general
        });
    }

    /// Lets everybody look whether their stream is over.
    pub(super) fn check_all(&self) {
        for slot in lock(&self.0).values() {
            slot.to.put(Out::Check, 0);
        }
    }
}

impl Front {
    /// Sends something to the client. What nobody can get is dropped.
    pub(super) fn put(&self, stream: Stream, out: Out) {
        let size = out.size();
        match self.sender(stream, matches!(out, Out::Message { .. })) {
            Some(to) if to.put(out, size) => {}
            _ => tracing::debug!("nobody listens on a stream of the client's"),
        }
    }

    /// Waits until the client can take more on this stream.
    pub(super) async fn room(&self, stream: Stream) {
        if let Some(to) = self.sender(stream, true) {
            to.room().await;
        }
    }

    /// Cancelled when the client has left this stream.
    pub(super) fn left(&self, stream: Stream) -> CancellationToken {
        match self {
            Self::One(_) => CancellationToken::new(),
            Self::Many(slots) => match lock(&slots.0).get(&stream) {
                Some(slot) => slot.left.clone(),
                None => {
                    let left = CancellationToken::new();
                    left.cancel();
                    left
                }
            },
        }
    }

    /// What the client's request brought along for the server.
    pub(super) fn headers(&self, stream: Stream) -> HeaderMap {
        match self {
            Self::One(_) => HeaderMap::new(),
            Self::Many(slots) => {
                lock(&slots.0).get(&stream).map(|slot| slot.headers.clone()).unwrap_or_default()
            }
        }
    }

    fn sender(&self, stream: Stream, or_general: bool) -> Option<Sender<Out>> {
        match self {
            Self::One(to) => Some(to.clone()),
            Self::Many(slots) => {
                let slots = lock(&slots.0);
                let general = || slots.values().find(|slot| slot.general && or_general);
                slots.get(&stream).or_else(general).map(|slot| slot.to.clone())
            }
        }
    }
}
