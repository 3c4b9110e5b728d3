//! What a client is still sending when his answer is ready.

use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use http_body::Body;
use http_body_util::BodyExt as _;

/// How long a client may go on sending after his answer.
const LINGER: Duration = Duration::from_secs(5);

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
