//! Answers to callers.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use farthing_wallet::{PaidBody, PassedBody};
use futures::{Stream, StreamExt as _};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, PROXY_AUTHENTICATE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, Response, StatusCode};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};

use super::bought::Serving;
use super::headers::{PURCHASE, tell_problem};
use super::problem::Problem;

type BoxError = Box<dyn std::error::Error + Send + Sync>;
/// The body of an answer.
pub(super) type Reply = UnsyncBoxBody<Bytes, BoxError>;

/// What stands at `/`.
const HELP: &str = "\
This is `farthing proxy`: it forwards HTTP requests and pays for them where a price is asked, within a policy.

  http://THIS-PROXY/https://api.example.com/path   calls https://api.example.com/path
  Authorization: Bearer fth_...                    names the agent that pays (`farthing proxy tokens add AGENT`);
                                                   beside an API key of the seller's: X-Farthing-Token: fth_...
  Farthing-Max-Price: $0.05                        in a request: pay no more for it

An SDK with a base URL: OPENAI_BASE_URL=http://THIS-PROXY/https://inference.example/v1 OPENAI_API_KEY=fth_...
Answers to paid calls say Farthing-Price, Farthing-Purchase, Farthing-Transaction and Farthing-Remaining.
Problems are JSON: {\"error\": {\"code\", \"message\", \"hint\"}}, and the code stands in Farthing-Error.
";

fn text(text: &'static str) -> Response<Reply> {
    let mut response = Response::new(whole(Bytes::from_static(text.as_bytes())));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

/// How the proxy is used.
pub(super) fn help() -> Response<Reply> {
    text(HELP)
}

/// That it is there.
pub(super) fn health() -> Response<Reply> {
    text("ok\n")
}

/// The answer to whoever gets none of the seller's.
pub(super) fn problem(problem: &Problem) -> Response<Reply> {
    let mut response = Response::new(whole(problem.to_json().to_string().into()));
    *response.status_mut() = problem.status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let retry = problem.retry_after_seconds();
    if let Some(seconds) = retry {
        headers.insert(RETRY_AFTER, seconds.into());
    }
    match problem.status {
        StatusCode::UNAUTHORIZED => {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        // What clients have of a proxy whose address is `http://x:fth_…@127.0.0.1:4020`.
        StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
            headers.insert(PROXY_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"farthing\""));
        }
        _ => {}
    }
    if let Some(id) = &problem.purchase
        && let Ok(id) = HeaderValue::try_from(id.0.as_str())
    {
        headers.insert(PURCHASE, id);
    }
    tell_problem(headers, problem.code, retry.is_some() || problem.status.is_server_error());
    response
}

/// A body as it comes, and how much of it has gone out to whom it is served.
pub(super) fn streamed(status: StatusCode, body: PassedBody, serving: Option<Serving>) -> Reply {
    match body {
        PassedBody::Free(answer) => {
            let answer: Response<reqwest::Body> = answer.into();
            answer.into_body().map_err(Into::into).boxed_unsync()
        }
        PassedBody::Paid(body) => paid(status, body, serving),
        PassedBody::Kept => whole(Bytes::new()),
    }
}

fn paid(status: StatusCode, body: PaidBody, mut serving: Option<Serving>) -> Reply {
    if let Some(serving) = &mut serving {
        serving.begins(status);
    }
    let pieces = Counted { body, serving, broke: false };
    let frames = pieces.map(|piece| piece.map(Frame::data).map_err(|why| io::Error::other(why).into()));
    StreamBody::new(frames).boxed_unsync()
}

/// A paid body whose pieces are counted as they go out.
struct Counted {
    body: PaidBody,
    serving: Option<Serving>,
    broke: bool,
}

impl Stream for Counted {
    type Item = Result<Bytes, String>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let polled = this.body.poll_next_unpin(context);
        if let (Poll::Ready(piece), Some(serving)) = (&polled, &mut this.serving) {
            match piece {
                Some(Ok(bytes)) => serving.goes(bytes.len()),
                Some(Err(_)) => this.broke = true,
                None if !this.broke => serving.ends(),
                None => {}
            }
        }
        polled
    }
}

fn whole(bytes: Bytes) -> Reply {
    Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}
