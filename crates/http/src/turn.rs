//! Whose turn it is on a connection: who keeps us waiting for too long loses it.
//!
//! It is ours while a request is worked on, or while the rest of an answer is being made. At all other times it is the
//! client's: to ask, to go on reading. That holds for HTTP/1 and for every stream of HTTP/2, where neither an idle
//! connection nor a reader without a window shows on the socket.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::time::Instant;

/// The state of one connection.
///
/// Its two parts are under one lock. Were `last` read first and `ours` after it, a request that took longer than the
/// client's time and ends between the two would leave the `last` from before it and no `ours`: its connection would be
/// dropped, with its answer.
#[derive(Debug)]
pub(crate) struct Turn(Mutex<State>);

#[derive(Debug)]
struct State {
    /// How much there is to be done by us.
    ours: usize,
    /// When something happened last.
    last: Instant,
}

/// Something that is ours to do, until it is dropped.
#[derive(Debug)]
pub(crate) struct Ours(Arc<Turn>);

impl Turn {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(State { ours: 0, last: Instant::now() })))
    }

    pub(crate) fn take(self: &Arc<Self>) -> Ours {
        self.state().ours += 1;
        Ours(self.clone())
    }

    fn touch(&self) {
        self.state().last = Instant::now();
    }

    /// Never held across an await.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When the client will have let us wait for so long, if nothing happens until then.
    fn over(&self, patience: Duration) -> Instant {
        let state = self.state();
        let since = if state.ours == 0 { state.last } else { Instant::now() };
        since + patience
    }

    /// Completes when the client has let us wait for so long.
    pub(crate) async fn lost(&self, patience: Duration) {
        loop {
            let over = self.over(patience);
            if over <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(over).await;
        }
    }
}

impl Drop for Ours {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.last = Instant::now();
        state.ours -= 1;
    }
}

pin_project! {
    /// An answer's body: ours while its next piece is being made, the client's while he has not asked for it.
    #[derive(Debug)]
    pub(crate) struct Watched<B> {
        #[pin]
        body: B,
        turn: Arc<Turn>,
        making: Option<Ours>,
    }
}

impl<B> Watched<B> {
    pub(crate) fn new(body: B, turn: Arc<Turn>) -> Self {
        Self { body, turn, making: None }
    }
}

impl<B: Body<Data = Bytes>> Body for Watched<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.project();
        let frame = this.body.poll_frame(context);
        if frame.is_pending() {
            this.making.get_or_insert_with(|| this.turn.take());
        } else {
            *this.making = None;
            this.turn.touch();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::{BodyExt as _, StreamBody};

    const PATIENCE: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn only_the_clients_time_counts() {
        let turn = Turn::new();
        let (began, ours) = (Instant::now(), turn.take());
        let working = async {
            tokio::time::sleep(Duration::from_secs(3600)).await;
            drop(ours);
        };
        tokio::join!(turn.lost(PATIENCE), working);
        let took = began.elapsed();
        assert!(took >= Duration::from_secs(3660) && took < Duration::from_secs(3725), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_piece_that_is_being_made_is_ours() {
        let turn = Turn::new();
        let (send, pieces) = futures::channel::mpsc::unbounded::<Result<Frame<Bytes>, std::io::Error>>();
        let mut body = Watched::new(StreamBody::new(pieces), turn.clone());
        let next = tokio::time::timeout(Duration::from_secs(600), body.frame());
        assert!(next.await.is_err(), "nothing yet");
        assert!(tokio::time::timeout(2 * PATIENCE, turn.lost(PATIENCE)).await.is_err());
        send.unbounded_send(Ok(Frame::data(Bytes::from_static(b"x")))).unwrap();
        assert!(body.frame().await.is_some());
        assert!(tokio::time::timeout(2 * PATIENCE, turn.lost(PATIENCE)).await.is_ok(), "he does not ask on");
    }
}
