use std::sync::Arc;

use ::http::{StatusCode, header};
use axum::Json;
use axum::body::{Body, to_bytes};
use axum::extract::{Extension, State};
use axum::response::{IntoResponse, Response};
use farthing_protocol::x402::{FacilitatorRequest, Reason, SettleResponse, VerifyResponse};
use farthing_protocol::{MAX_BODY_BYTES, ProtocolError};
use serde::Serialize;

use super::App;
use super::auth::Caller;
use crate::answer::Refusal;
use crate::{Facilitate, FacilitatorError};

/// An answer that is also an error: clients that know the protocol read the one, people and others the other.
#[derive(Serialize)]
struct Problem<T: Serialize> {
    error: String,
    #[serde(flatten)]
    answer: T,
}

/// An error about no payment in particular.
pub(super) fn problem(status: StatusCode, error: impl Into<String>) -> Response {
    #[derive(Serialize)]
    struct Nothing {}
    (status, Json(Problem { error: error.into(), answer: Nothing {} })).into_response()
}

/// What cannot be answered, in the form of the answer that was asked for.
trait Unanswered: Serialize + Sized {
    fn unanswered(reason: Reason, message: &str) -> Self;
    const UNEXPECTED: Reason;
}

impl Unanswered for VerifyResponse {
    const UNEXPECTED: Reason = Reason::UnexpectedVerifyError;

    fn unanswered(reason: Reason, message: &str) -> Self {
        Refusal::new(reason, message).to_verify()
    }
}

impl Unanswered for SettleResponse {
    const UNEXPECTED: Reason = Reason::UnexpectedSettleError;

    fn unanswered(reason: Reason, message: &str) -> Self {
        Self { error_reason: Some(reason), error_message: Some(message.to_owned()), ..Self::default() }
    }
}

fn refuse<T: Unanswered>(status: StatusCode, reason: Reason, message: &str) -> Response {
    let body = Problem { error: message.to_owned(), answer: T::unanswered(reason, message) };
    (status, Json(body)).into_response()
}

pub(super) async fn verify(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    body: Body,
) -> Response {
    match read::<VerifyResponse>(&app, &caller, body).await {
        Ok(request) => answer(app.facilitator.verify(&request).await),
        Err(refusal) => *refusal,
    }
}

pub(super) async fn settle(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    body: Body,
) -> Response {
    match read::<SettleResponse>(&app, &caller, body).await {
        Ok(request) => answer(app.facilitator.settle(&request).await),
        Err(refusal) => *refusal,
    }
}

/// Reads the body and holds it against the key's payees.
async fn read<T: Unanswered>(
    app: &App,
    caller: &Caller,
    body: Body,
) -> Result<FacilitatorRequest, Box<Response>> {
    let limit = app.config.max_body_bytes.min(MAX_BODY_BYTES);
    let bytes = to_bytes(body, limit).await.map_err(|error| unread(app, &error, limit))?;
    let request = FacilitatorRequest::read(&bytes).map_err(|error| {
        app.facilitator.metrics().refused("malformed");
        Box::new(refuse::<T>(StatusCode::BAD_REQUEST, malformed(&error), &error.to_string()))
    })?;
    let terms = &request.requirements;
    let payees = match caller {
        Caller::Key(place) => app.keys.get(*place).and_then(|key| key.pay_to.as_ref()),
        Caller::Anybody | Caller::Stranger => None,
    };
    if payees.is_some_and(|payees| !payees.contains(&terms.network, &terms.pay_to)) {
        app.facilitator.metrics().refused("payee");
        let message = "this key may not be used for this payee";
        let reason = Reason::InvalidPaymentRequirements;
        return Err(Box::new(refuse::<T>(StatusCode::FORBIDDEN, reason, message)));
    }
    Ok(request)
}

fn unread(app: &App, error: &axum::Error, limit: usize) -> Box<Response> {
    let too_large =
        std::error::Error::source(error).is_some_and(|e| e.is::<http_body_util::LengthLimitError>());
    Box::new(if too_large {
        app.facilitator.metrics().refused("large");
        problem(StatusCode::PAYLOAD_TOO_LARGE, format!("the body is larger than {limit} bytes"))
    } else {
        problem(StatusCode::BAD_REQUEST, "the body broke off")
    })
}

fn malformed(error: &ProtocolError) -> Reason {
    match error {
        ProtocolError::Version(_) => Reason::InvalidX402Version,
        ProtocolError::Money { .. } | ProtocolError::Field { .. } => Reason::InvalidPaymentRequirements,
        _ => Reason::InvalidPayload,
    }
}

/// An invalid payment is an answer: 200. What could not be answered says so without the details, which may name
/// endpoints: they go to the log, beside the request's id.
fn answer<T: Unanswered>(answer: Result<T, FacilitatorError>) -> Response {
    let error = match answer {
        Ok(answer) => return Json(answer).into_response(),
        Err(error) => error,
    };
    tracing::warn!(%error, "a request could not be answered");
    let message = match error {
        FacilitatorError::Refused { .. } => "too many settlements at once; try again later",
        _ => "the chain could not be asked, or the record not written; ask again with the same request",
    };
    refuse::<T>(StatusCode::SERVICE_UNAVAILABLE, T::UNEXPECTED, message)
}

pub(super) async fn supported(State(app): State<Arc<App>>) -> Response {
    match app.facilitator.supported().await {
        Ok(supported) => Json(supported).into_response(),
        Err(error) => {
            tracing::warn!(%error, "supported could not be answered");
            problem(StatusCode::SERVICE_UNAVAILABLE, "not known right now")
        }
    }
}

pub(super) async fn health(State(app): State<Arc<App>>) -> Response {
    let health = app.facilitator.health();
    let status = if health.serving { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(health)).into_response()
}

pub(super) async fn metrics(State(app): State<Arc<App>>) -> Response {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    match app.facilitator.metrics().encode() {
        Ok(text) => ([(header::CONTENT_TYPE, kind)], text).into_response(),
        Err(_) => problem(StatusCode::INTERNAL_SERVER_ERROR, "the metrics could not be written"),
    }
}

pub(super) async fn not_found() -> Response {
    let paths = "POST /verify, POST /settle, GET /supported, GET /health, GET /metrics";
    problem(StatusCode::NOT_FOUND, format!("there is nothing here; there is {paths}"))
}

pub(super) async fn wrong_method() -> Response {
    problem(StatusCode::METHOD_NOT_ALLOWED, "wrong method: verify and settle are POST, the others GET")
}
