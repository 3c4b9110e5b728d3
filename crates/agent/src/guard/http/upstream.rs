//! One HTTP request to the server, and the answer as it comes.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use farthing_ambient::causes;
use farthing_http::TlsError;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Uri};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::sync::oneshot;
use url::Url;

use super::config::Target;

/// The session's name (2025-03-26 to 2025-11-25).
pub(super) const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
/// After which event a stream goes on.
pub(super) const LAST_EVENT: HeaderName = HeaderName::from_static("last-event-id");
/// How long an idle connection is kept.
const IDLE: Duration = Duration::from_secs(60);
/// How much of a refusal is read.
const MAX_REFUSAL: usize = 64 << 10;
/// How long a refusal may take to arrive.
const REFUSAL: Duration = Duration::from_secs(5);

const BOTH: HeaderValue = HeaderValue::from_static("application/json, text/event-stream");
const EVENTS: HeaderValue = HeaderValue::from_static("text/event-stream");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Connections to one server, kept and used again.
#[derive(Debug)]
pub(super) struct Upstream {
    client: Client<HttpsConnector<HttpConnector>, Message>,
    pub(super) target: Target,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// Nothing was sent.
    Unsent(String),
    /// The connection broke; what was sent may have arrived.
    Broken(String),
}

impl Upstream {
    /// The system's trusted roots are read if TLS is to be spoken.
    pub(super) fn new(target: Target) -> Result<Self, TlsError> {
        let tls = target.url.scheme() == "https";
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE)
            .pool_timer(TokioTimer::new())
            .timer(TokioTimer::new())
            .build(farthing_http::connector(tls, true, target.connect_timeout)?);
        Ok(Self { client, target })
    }

    /// Posts a message. `sent` is dropped when it has been handed to the connection.
    pub(super) async fn post(
        &self,
        url: &Url,
        mut headers: HeaderMap,
        message: Bytes,
        sent: Option<oneshot::Sender<()>>,
    ) -> Result<Response<Incoming>, Failure> {
        headers.insert(ACCEPT, BOTH);
        headers.insert(CONTENT_TYPE, JSON);
        self.ask(Method::POST, url, headers, Message { bytes: Some(message), sent }).await
    }

    /// Opens a stream of events.
    pub(super) async fn get(&self, mut headers: HeaderMap) -> Result<Response<Incoming>, Failure> {
        headers.insert(ACCEPT, EVENTS);
        self.ask(Method::GET, &self.target.url, headers, Message::default()).await
    }

    /// Ends the session that the headers name.
    pub(super) async fn delete(&self, headers: HeaderMap) -> Result<Response<Incoming>, Failure> {
        self.ask(Method::DELETE, &self.target.url, headers, Message::default()).await
    }

    /// No redirect is followed: it would take the headers, and the calls, to a server that nobody named.
    async fn ask(
        &self,
        method: Method,
        url: &Url,
        headers: HeaderMap,
        message: Message,
    ) -> Result<Response<Incoming>, Failure> {
        let uri: Uri = url.as_str().parse().map_err(|_| Failure::Unsent("the URL is none".to_owned()))?;
        let mut request = Request::new(message);
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        self.client.request(request).await.map_err(|error| match error.is_connect() {
            true => Failure::Unsent(causes(&error)),
            false => Failure::Broken(causes(&error)),
        })
    }
}

/// A message on its way out.
#[derive(Debug, Default)]
struct Message {
    bytes: Option<Bytes>,
    sent: Option<oneshot::Sender<()>>,
}

impl Body for Message {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.sent = None;
        Poll::Ready(self.bytes.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}

/// What an answer is, by its head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Events,
    Json,
    Other,
}

pub(super) fn form(headers: &HeaderMap) -> Form {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if kind.eq_ignore_ascii_case("text/event-stream") {
        Form::Events
    } else if kind.eq_ignore_ascii_case("application/json") {
        Form::Json
    } else {
        Form::Other
    }
}

/// A body of JSON.
pub(super) enum Whole {
    Read(Bytes),
    /// It is larger than it may be; this is what could be seen of it.
    TooLarge(crate::guard::Shape),
}

/// Reads a body of at most so many bytes.
pub(super) async fn whole(mut body: Incoming, most: usize) -> Result<Whole, String> {
    let mut read = BytesMut::new();
    let mut scan: Option<crate::guard::Scan> = None;
    while let Some(frame) = body.frame().await {
        let Ok(piece) = frame.map_err(|error| causes(&error))?.into_data() else { continue };
        match &mut scan {
            Some(scan) => scan.feed(&piece),
            None if read.len() + piece.len() <= most => read.extend_from_slice(&piece),
            None => {
                let scan = scan.insert(crate::guard::Scan::default());
                scan.feed(&std::mem::take(&mut read));
                scan.feed(&piece);
            }
        }
    }
    Ok(match scan {
        Some(scan) => Whole::TooLarge(scan.finish()),
        None => Whole::Read(read.freeze()),
    })
}

/// The beginning of a refusal's body, as far as it comes in time.
pub(super) async fn refusal(mut body: Incoming) -> Vec<u8> {
    let mut read = Vec::new();
    let reading = async {
        while let Some(Ok(frame)) = body.frame().await {
            if let Some(piece) = frame.data_ref() {
                read.extend_from_slice(&piece[..piece.len().min(MAX_REFUSAL - read.len())]);
            }
            if read.len() >= MAX_REFUSAL {
                return;
            }
        }
    };
    // What came until then is looked at.
    let _ = tokio::time::timeout(REFUSAL, reading).await;
    read
}
