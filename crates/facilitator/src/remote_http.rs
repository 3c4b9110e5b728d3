//! One HTTP exchange with a facilitator: bounded in size and time, no redirect followed, no proxy asked.

use std::time::Duration;

use ::http::header::CONTENT_LENGTH;
use ::http::{HeaderMap, Method, Request, StatusCode, Uri};
use bytes::Bytes;
use farthing_ambient::causes;
use farthing_http::TlsError;
use farthing_protocol::MAX_BODY_BYTES;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::timeout;

/// How long an idle connection is kept.
const IDLE: Duration = Duration::from_secs(60);

/// One request: a `GET`, or a `POST` of this JSON.
pub(crate) struct Question<'a> {
    pub(crate) uri: &'a Uri,
    /// For the whole answer.
    pub(crate) within: Duration,
    pub(crate) body: Option<Bytes>,
}

/// Why there is no answer.
pub(crate) enum Failure {
    /// No connection: nothing was sent.
    Unconnected(String),
    /// The connection broke; what was sent may have arrived.
    Broken(String),
    /// No answer in time.
    Late,
    /// The answer is larger than [`MAX_BODY_BYTES`].
    TooLarge,
}

/// Connections to one facilitator, kept and used again.
pub(crate) struct Http {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    headers: HeaderMap,
}

impl Http {
    /// Sends `headers` with every request. The system's trusted roots are read where `tls` is to be spoken.
    ///
    /// # Errors
    /// [`TlsError`]
    pub(crate) fn new(headers: HeaderMap, tls: bool, connect_timeout: Duration) -> Result<Self, TlsError> {
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE)
            .pool_timer(TokioTimer::new())
            .timer(TokioTimer::new())
            .build(farthing_http::connector(tls, true, connect_timeout)?);
        Ok(Self { client, headers })
    }

    pub(crate) async fn ask(&self, asked: &Question<'_>) -> Result<(StatusCode, Bytes), Failure> {
        timeout(asked.within, self.exchange(asked)).await.map_err(|_| Failure::Late)?
    }

    async fn exchange(&self, asked: &Question<'_>) -> Result<(StatusCode, Bytes), Failure> {
        let body = asked.body.clone().unwrap_or_default();
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = if asked.body.is_some() { Method::POST } else { Method::GET };
        *request.uri_mut() = asked.uri.clone();
        *request.headers_mut() = self.headers.clone();
        let answer = self.client.request(request).await.map_err(|error| match error.is_connect() {
            true => Failure::Unconnected(causes(&error)),
            false => Failure::Broken(causes(&error)),
        })?;
        let status = answer.status();
        let declared =
            answer.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        if declared.is_some_and(|length: usize| length > MAX_BODY_BYTES) {
            return Err(Failure::TooLarge);
        }
        match Limited::new(answer.into_body(), MAX_BODY_BYTES).collect().await {
            Ok(body) => Ok((status, body.to_bytes())),
            Err(error) if error.is::<LengthLimitError>() => Err(Failure::TooLarge),
            Err(error) => Err(Failure::Broken(causes(&*error))),
        }
    }
}
