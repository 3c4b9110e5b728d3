//! The bodies of requests. Each is kept until the answer begins, because a seller may ask for it again, with a payment.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http_body::Body;
use http_body_util::BodyExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::problem::Problem;

/// How much of all bodies together is kept.
const MOST_BYTES: usize = 256 << 20;
/// How long a body may take to arrive.
const ARRIVAL: Duration = Duration::from_secs(300);

/// Room for bodies.
#[derive(Debug)]
pub(super) struct Bodies {
    most: usize,
    room: Arc<Semaphore>,
}

/// A body in memory, which gives its room back when the last who holds it lets go.
struct Kept {
    bytes: Vec<u8>,
    _room: Option<OwnedSemaphorePermit>,
}

impl AsRef<[u8]> for Kept {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Bodies {
    /// Room for bodies of at most `most` bytes each.
    pub(super) fn new(most: usize) -> Self {
        Self { most, room: Arc::new(Semaphore::new(MOST_BYTES.max(most))) }
    }

    /// Reads a body whole. One that announces too much is refused before it is read. Its room is taken until its bytes are
    /// dropped, wherever they are by then.
    pub(super) async fn read<B>(&self, body: B) -> Result<Bytes, Problem>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: std::fmt::Display,
    {
        if body.size_hint().lower() > self.most as u64 {
            return Err(self.too_long());
        }
        let late = |_| {
            let message = format!("the request's body did not arrive within {} s", ARRIVAL.as_secs());
            Problem::new(StatusCode::REQUEST_TIMEOUT, "slow_body", message)
        };
        tokio::time::timeout(ARRIVAL, self.collect(body)).await.map_err(late)?
    }

    async fn collect<B>(&self, mut body: B) -> Result<Bytes, Problem>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: std::fmt::Display,
    {
        let (mut bytes, mut room) = (Vec::new(), None);
        while let Some(frame) = body.frame().await {
            let broke =
                |error| Problem::bad_request("broken_body", format!("the request's body broke off: {error}"));
            let Ok(piece) = frame.map_err(broke)?.into_data() else { continue };
            if piece.len() > self.most.saturating_sub(bytes.len()) {
                return Err(self.too_long());
            }
            self.take(piece.len(), &mut room)?;
            bytes.extend_from_slice(&piece);
        }
        bytes.shrink_to_fit();
        Ok(Bytes::from_owner(Kept { bytes, _room: room }))
    }

    fn take(&self, bytes: usize, room: &mut Option<OwnedSemaphorePermit>) -> Result<(), Problem> {
        let full = |_| {
            let message = "too many long requests are open";
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", message).hint("nothing was sent; try again")
        };
        let more = u32::try_from(bytes).unwrap_or(u32::MAX);
        let more = self.room.clone().try_acquire_many_owned(more).map_err(full)?;
        match room {
            Some(room) => room.merge(more),
            None => *room = Some(more),
        }
        Ok(())
    }

    fn too_long(&self) -> Problem {
        let message = format!("the request's body is longer than {} bytes", self.most);
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_long", message).hint(
            "nothing was sent: a body is kept until the answer begins, as it may be sent again with a payment; --max-body allows more",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::stream;
    use http_body::Frame;
    use http_body_util::{Full, StreamBody};

    fn pieces(list: &[&'static str]) -> impl Body<Data = Bytes, Error = std::io::Error> + Unpin + use<> {
        let frames: Vec<_> =
            list.iter().map(|piece| Ok(Frame::data(Bytes::from_static(piece.as_bytes())))).collect();
        StreamBody::new(stream::iter(frames))
    }

    #[tokio::test]
    async fn bodies_are_bounded_one_by_one_and_together() {
        let bodies = Bodies { most: 6, room: Arc::new(Semaphore::new(10)) };
        let kept = bodies.read(pieces(&["abc", "def"])).await.unwrap();
        assert_eq!(kept, "abcdef");
        let code = |read: Result<Bytes, Problem>| read.map(drop).map_err(|problem| problem.code);
        assert_eq!(code(bodies.read(pieces(&["abc", "defg"])).await), Err("body_too_long"));
        assert_eq!(code(bodies.read(Full::new(Bytes::from_static(b"1234567"))).await), Err("body_too_long"));
        assert_eq!(code(bodies.read(pieces(&["abc", "de"])).await), Err("busy"), "six of ten are taken");
        let elsewhere = kept.slice(1..);
        drop(kept);
        assert_eq!(code(bodies.read(pieces(&["abc", "de"])).await), Err("busy"), "a part of it is held");
        drop(elsewhere);
        assert_eq!(code(bodies.read(pieces(&["abc", "de"])).await), Ok(()));
    }
}
