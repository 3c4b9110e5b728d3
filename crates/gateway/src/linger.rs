//! What a client is still sending when his answer is ready.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// How long a client may go on sending after his answer.
const LINGER: Duration = Duration::from_secs(5);
/// How many times the limit a body that is too long may have, for its sender to be heard out.
const FARTHEST: usize = 4;

/// Reads and forgets the rest of a request's body, beside the answer, up to a size and for a little while. A server that
/// answers and closes while its client is still sending has the connection reset, and the answer is lost with it: a buyer
/// who streams a body would never see the price.
pub(crate) fn read_away<B>(body: B, most_bytes: usize)
where
    B: Body<Data = Bytes> + Send + 'static,
{
    if body.is_end_stream() {
        return;
    }
    let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
    runtime.spawn(tokio::time::timeout(LINGER, async move {
        let (mut body, mut left) = (pin!(body), most_bytes);
        while let Some(Ok(frame)) = body.frame().await {
            let bytes = frame.data_ref().map_or(0, Bytes::len);
            let Some(rest) = left.checked_sub(bytes) else { return };
            left = rest;
        }
    }));
}

/// The same for a body that is too long, or may be.
pub(crate) fn read_away_long<B>(body: B, limit: usize)
where
    B: Body<Data = Bytes> + Send + 'static,
{
    read_away(body, limit.saturating_mul(FARTHEST));
}

/// A body up to a size. One that is longer breaks off there, and the rest of it is read away.
pub(crate) struct Bounded<B> {
    body: Option<Pin<Box<B>>>,
    limit: usize,
    left: usize,
    too_long: Arc<AtomicBool>,
}

impl<B> Bounded<B> {
    /// `too_long` tells afterwards why it broke off: the error of a client that was sending it does not.
    pub(crate) fn new(body: B, limit: usize, too_long: Arc<AtomicBool>) -> Self {
        Self { body: Some(Box::pin(body)), limit, left: limit, too_long }
    }
}

impl<B> Body for Bounded<B>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let frame = match ready!(body.as_mut().poll_frame(context)) {
            Some(Ok(frame)) => frame,
            end => return Poll::Ready(end.map(|frame| frame.map_err(Into::into))),
        };
        if let Some(left) = self.left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) {
            self.left = left;
            return Poll::Ready(Some(Ok(frame)));
        }
        self.too_long.store(true, Ordering::Release);
        if let Some(rest) = self.body.take() {
            read_away_long(rest, self.limit);
        }
        Poll::Ready(Some(Err("the body is too long".into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(|body| body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(SizeHint::new, |body| body.size_hint())
    }
}
