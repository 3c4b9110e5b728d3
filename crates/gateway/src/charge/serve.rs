//! The handler: run in its time, through its panics, its answer held.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use farthing_protocol::x402::HEADERS;
use futures::FutureExt as _;
use http::{HeaderMap, StatusCode};
use http_body::Body;

use super::{BoxError, Call, Handler};
use crate::answer::{self, Answer};
use crate::buffers::Unheld;
use crate::store::StoredResponse;

/// What a handler did.
pub(super) enum Served<E> {
    Good(StoredResponse),
    Bad(Answer),
    Failed(E),
}

impl Call {
    pub(super) async fn serve<B, E>(&self, handler: Handler<B, E>) -> Served<E>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<BoxError>,
    {
        let limit = self.core.limits.response_buffer_bytes;
        let served = async {
            let response = match handler.await {
                Ok(response) => response,
                Err(error) => return Served::Failed(error),
            };
            let (parts, body) = response.into_parts();
            let body = match self.core.buffers.read(body, limit).await {
                Ok(body) => body,
                Err(Unheld::NoRoom) => return Served::Bad(self.core.no_room()),
                Err(unheld) => return Served::Bad(unreadable(unheld, limit)),
            };
            let key = self.order.key().clone();
            let row = self.row.load(Ordering::Relaxed);
            let response = StoredResponse { key, row, status: parts.status, headers: parts.headers, body };
            if is_failure(response.status) { Served::Bad(failed(response)) } else { Served::Good(response) }
        };
        self.bounded(served).await.unwrap_or_else(Served::Bad)
    }

    /// Runs a handler for its time, and through its panics.
    pub(super) async fn bounded<T>(&self, work: impl Future<Output = T>) -> Result<T, Answer> {
        let work = AssertUnwindSafe(work).catch_unwind();
        match tokio::time::timeout(self.order.route.timeout, work).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(_)) => {
                tracing::error!(route = self.order.route.name, "a handler panicked");
                Err(answer::error(StatusCode::INTERNAL_SERVER_ERROR, "handler_failed", "the handler failed"))
            }
            Err(_) => {
                let message = "the handler took too long";
                Err(answer::error(StatusCode::GATEWAY_TIMEOUT, "upstream_timeout", message))
            }
        }
    }
}

/// A failure is not charged (reference/x402.md, "Headers").
pub(super) fn is_failure(status: StatusCode) -> bool {
    status.as_u16() >= 400
}

fn failed(response: StoredResponse) -> Answer {
    let mut answer = response.into_response();
    strip(answer.headers_mut());
    answer::no_store(answer.headers_mut());
    answer
}

/// Settlement headers are the layer's word alone, and those towards the layer end here.
pub(super) fn strip(headers: &mut HeaderMap) {
    for name in HEADERS {
        headers.remove(name);
    }
}

fn unreadable(unheld: Unheld, limit: usize) -> Answer {
    if unheld == Unheld::TooLarge {
        let message = format!(
            "the answer is larger than {limit} bytes; the provider can raise limits.response_buffer or use `flow: upfront`"
        );
        return answer::error(StatusCode::BAD_GATEWAY, "answer_too_large", &message);
    }
    answer::error(StatusCode::BAD_GATEWAY, "upstream_failed", "the answer broke off; nothing was charged")
}
