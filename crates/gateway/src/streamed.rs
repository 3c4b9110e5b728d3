//! A body that is passed on as it comes, and tells how it ended.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::sync::oneshot;

/// How an answer that was paid for beforehand ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// All of it went out, or the buyer broke it off.
    Over,
    /// Nothing of it went out, or who makes it broke it off: the buyer has not got what he paid for.
    Owed,
}

pin_project! {
    /// The inner service's body, as it comes.
    #[derive(Debug)]
    pub struct Streamed<B> {
        #[pin]
        body: B,
        teller: Option<Teller>,
    }
}

/// Tells the end when it is dropped with its body: whoever has all of a body need not ask it once more.
#[derive(Debug)]
struct Teller {
    end: Option<oneshot::Sender<End>>,
    /// The connection has it. Before that even an empty body did not go out.
    taken: bool,
    broken: bool,
}

impl<B> Streamed<B> {
    pub(crate) fn new(body: B) -> Self {
        Self { body, teller: None }
    }

    pub(crate) fn telling(body: B, end: oneshot::Sender<End>) -> Self {
        Self { body, teller: Some(Teller { end: Some(end), taken: false, broken: false }) }
    }

    pub(crate) fn taken(mut self) -> Self {
        if let Some(teller) = &mut self.teller {
            teller.taken = true;
        }
        self
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        // A body that panics ends its connection, and is dropped meanwhile.
        let owed = !self.taken || self.broken || std::thread::panicking();
        if let Some(end) = self.end.take() {
            // Nobody listens where the claim was closed for the stream's length.
            let _ = end.send(if owed { End::Owed } else { End::Over });
        }
    }
}

impl<B: Body<Data = Bytes>> Body for Streamed<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.project();
        let frame = this.body.poll_frame(context);
        if let (Poll::Ready(Some(Err(_))), Some(teller)) = (&frame, this.teller) {
            teller.broken = true;
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
