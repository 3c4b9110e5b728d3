//! Answers to callers.

use std::io;

use bytes::Bytes;
use farthing_wallet::{PaidBody, PassedBody};
use futures::StreamExt as _;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, Response, StatusCode};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};

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
    if problem.status == StatusCode::UNAUTHORIZED {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if let Some(id) = &problem.purchase
        && let Ok(id) = HeaderValue::try_from(id.0.as_str())
    {
        headers.insert(PURCHASE, id);
    }
    tell_problem(headers, problem.code, retry.is_some() || problem.status.is_server_error());
    response
}

/// A body as it comes.
pub(super) fn streamed(body: PassedBody) -> Reply {
    match body {
        PassedBody::Free(answer) => {
            let answer: Response<reqwest::Body> = answer.into();
            answer.into_body().map_err(Into::into).boxed_unsync()
        }
        PassedBody::Paid(body) => paid(body),
        PassedBody::Kept => whole(Bytes::new()),
    }
}

fn paid(body: PaidBody) -> Reply {
    let frames = body.map(|piece| piece.map(Frame::data).map_err(|why| io::Error::other(why).into()));
    StreamBody::new(frames).boxed_unsync()
}

fn whole(bytes: Bytes) -> Reply {
    Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}
