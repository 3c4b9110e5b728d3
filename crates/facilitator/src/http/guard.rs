//! What a request passes before a handler reads it: its id, the caller's key, the rate limit, a seat, the clock.

use std::sync::Arc;

use ::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use farthing_http::Peer;
use tracing::Instrument;

use super::App;
use super::auth::Caller;
use super::rate::Counted;
use super::routes::problem;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Gives the request an id, or keeps the caller's, and says it in the log and in the answer.
pub(super) async fn identify(request: Request, next: Next) -> Response {
    let id = request.headers().get(&REQUEST_ID).filter(|id| is_id(id)).cloned();
    let id = id.or_else(|| HeaderValue::from_str(&ulid::Ulid::new().to_string()).ok());
    let id = id.unwrap_or_else(|| HeaderValue::from_static("none"));
    let span =
        tracing::info_span!("request", id = ?id, method = %request.method(), path = request.uri().path());
    let mut response = next.run(request).instrument(span).await;
    response.headers_mut().insert(REQUEST_ID, id);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn is_id(id: &HeaderValue) -> bool {
    let ok = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    (1..=64).contains(&id.len()) && id.as_bytes().iter().all(ok)
}

/// Lets a request to verify or settle in, with its [`Caller`].
pub(super) async fn admit(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let caller = app.keys.caller(request.headers());
    if let Err(refusal) = allowed(&app, &caller, &request) {
        return *refusal;
    }
    let Ok(_seat) = app.seats.try_acquire() else {
        app.facilitator.metrics().refused("busy");
        return retry_later(problem(StatusCode::SERVICE_UNAVAILABLE, "too many requests at once"), 1);
    };
    request.extensions_mut().insert(caller);
    match tokio::time::timeout(app.config.request_timeout, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            app.facilitator.metrics().refused("timeout");
            let why = "this took too long; ask again with the same request";
            problem(StatusCode::SERVICE_UNAVAILABLE, why)
        }
    }
}

/// Strangers are counted too, by address, so that keys cannot be guessed fast.
fn allowed(app: &App, caller: &Caller, request: &Request) -> Result<(), Box<Response>> {
    let counted = match caller {
        Caller::Key(place) => Counted::Key(*place),
        Caller::Anybody | Caller::Stranger => peer(request),
    };
    if let Some(Err(wait)) = app.limiter.as_ref().map(|limiter| limiter.check(&counted)) {
        app.facilitator.metrics().refused("rate");
        let response = problem(StatusCode::TOO_MANY_REQUESTS, "too many requests; see Retry-After");
        return Err(Box::new(retry_later(response, wait.as_secs().saturating_add(1))));
    }
    if *caller == Caller::Stranger {
        app.facilitator.metrics().refused("key");
        return Err(Box::new(no_key()));
    }
    Ok(())
}

/// Lets those with a key read the metrics.
pub(super) async fn metrics(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let caller = app.keys.caller(request.headers());
    if app.config.public_metrics && caller == Caller::Stranger {
        return next.run(request).await;
    }
    match allowed(&app, &caller, &request) {
        Ok(()) => next.run(request).await,
        Err(refusal) => *refusal,
    }
}

fn peer(request: &Request) -> Counted {
    let peer = request.extensions().get::<Peer>();
    peer.map_or(Counted::Unknown, |Peer(address)| Counted::address(address.ip()))
}

fn no_key() -> Response {
    let response = problem(StatusCode::UNAUTHORIZED, "a bearer key is needed: `Authorization: Bearer …`");
    ([(header::WWW_AUTHENTICATE, "Bearer")], response).into_response()
}

fn retry_later(response: Response, seconds: u64) -> Response {
    ([(header::RETRY_AFTER, seconds.to_string())], response).into_response()
}
