use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use farthing_ambient::causes;
use farthing_http::Peer;
use futures::future::BoxFuture;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderValue, Request, Response, StatusCode, Uri, Version};
use http_body::Body;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Either};
use hyper::body::Incoming;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tower_service::Service;

use crate::answer::{self, Answer, Held, Refusal};
use crate::headers::{self, AMOUNT, ASSET, FORWARDED_FOR, FORWARDED_HOST, FORWARDED_PROTO, PAYER};
use crate::layer::{RouteTimeout, asks_for_upgrade, too_large};
use crate::linger::{self, Bounded};
use crate::{Config, GatewayError, Limits, Paid};

/// How long an idle connection to the upstream is kept.
const IDLE: Duration = Duration::from_secs(60);

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type OutgoingBody = UnsyncBoxBody<Bytes, BoxError>;

/// A reverse proxy to one upstream.
///
/// It streams both ways, follows no redirect, sends nothing twice that may have arrived, and takes from both sides
/// whatever concerns one connection or a payment. The upstream learns who paid from `farthing-payer`,
/// `farthing-amount` and `farthing-asset`, which nobody else can set.
#[derive(Debug, Clone)]
pub struct Proxy {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    client: Client<HttpsConnector<HttpConnector>, OutgoingBody>,
    scheme: Scheme,
    authority: Authority,
    /// What the buyer sees: `https` and `api.example.com`.
    public_proto: HeaderValue,
    public_host: HeaderValue,
    trust_forwarded: bool,
    limits: Limits,
}

impl Proxy {
    /// A proxy to the configuration's upstream.
    ///
    /// # Errors
    /// [`GatewayError::Config`] for an upstream that is no URL, [`GatewayError::Tls`] when `https` cannot be spoken.
    pub fn new(config: &Config) -> Result<Self, GatewayError> {
        let (upstream, limits) = (config.upstream()?, config.limits());
        let public = config.public_url()?;
        let (proto, host) = public.split_once("://").unwrap_or(("http", &public));
        let unusable = |error: &dyn std::fmt::Display| GatewayError::Tls(error.to_string());
        let uri: Uri = upstream.as_str().parse().map_err(|error| unusable(&error))?;
        let parts = uri.into_parts();
        let connector = farthing_http::connector(upstream.scheme() == "https", false, limits.connect);
        let shared = Shared {
            client: client(connector.map_err(|error| unusable(&error))?),
            scheme: parts.scheme.unwrap_or(Scheme::HTTP),
            authority: parts.authority.ok_or_else(|| unusable(&"the upstream has no host"))?,
            public_proto: HeaderValue::from_str(proto).map_err(|error| unusable(&error))?,
            public_host: HeaderValue::from_str(host).map_err(|error| unusable(&error))?,
            trust_forwarded: config.text.trust_forwarded,
            limits,
        };
        Ok(Self { shared: Arc::new(shared) })
    }
}

fn client(connector: HttpsConnector<HttpConnector>) -> Client<HttpsConnector<HttpConnector>, OutgoingBody> {
    Client::builder(TokioExecutor::new())
        .pool_idle_timeout(IDLE)
        .pool_timer(TokioTimer::new())
        .timer(TokioTimer::new())
        .build(connector)
}

impl<B> Service<Request<B>> for Proxy
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Either<Incoming, Held>>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let shared = self.shared.clone();
        Box::pin(async move {
            Ok(match shared.pass(request).await {
                Ok(response) => response.map(Either::Left),
                Err(answer) => (*answer).map(Either::Right),
            })
        })
    }
}

impl Shared {
    async fn pass<B>(&self, request: Request<B>) -> Result<Response<Incoming>, Refusal>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        if asks_for_upgrade(&request) {
            let message = "connections are not upgraded here";
            return Err(Box::new(answer::error(StatusCode::NOT_IMPLEMENTED, "upgrade_refused", message)));
        }
        let timeout =
            request.extensions().get::<RouteTimeout>().map_or(self.limits.upstream, |timeout| timeout.0);
        let too_long = Arc::new(AtomicBool::new(false));
        let request = self.rewrite(request, &too_long)?;
        match tokio::time::timeout(timeout, self.client.request(request)).await {
            // It was not asked to: its connection has become something that cannot be passed on.
            Ok(Ok(response)) if response.status() == StatusCode::SWITCHING_PROTOCOLS => {
                let message = "the upstream changed the protocol";
                Err(Box::new(answer::error(StatusCode::BAD_GATEWAY, "upstream_failed", message)))
            }
            Ok(Ok(mut response)) => {
                headers::clean_response(response.headers_mut());
                *response.version_mut() = Version::HTTP_11;
                Ok(response)
            }
            Ok(Err(_)) if too_long.load(Ordering::Acquire) => {
                Err(Box::new(too_large(self.limits.request_body_bytes)))
            }
            Ok(Err(error)) => Err(Box::new(self.unreachable(&error))),
            Err(_) => {
                let message = "the upstream did not answer in time";
                Err(Box::new(answer::error(StatusCode::GATEWAY_TIMEOUT, "upstream_timeout", message)))
            }
        }
    }

    fn rewrite<B>(
        &self,
        request: Request<B>,
        too_long: &Arc<AtomicBool>,
    ) -> Result<Request<OutgoingBody>, Refusal>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let limit = self.limits.request_body_bytes;
        let (mut parts, body) = request.into_parts();
        if body.size_hint().lower() > limit as u64 {
            linger::read_away_long(body, limit);
            return Err(Box::new(too_large(limit)));
        }
        let target = parts.uri.path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));
        let mut uri = http::uri::Parts::default();
        uri.scheme = Some(self.scheme.clone());
        uri.authority = Some(self.authority.clone());
        uri.path_and_query = Some(target);
        parts.uri = Uri::from_parts(uri).map_err(|error| {
            Box::new(answer::error(StatusCode::BAD_REQUEST, "ambiguous_path", &error.to_string()))
        })?;
        parts.version = Version::HTTP_11;
        headers::clean_request(&mut parts.headers, self.trust_forwarded);
        self.forward(&mut parts);
        let body = Bounded::new(body, limit, too_long.clone());
        Ok(Request::from_parts(parts, body.boxed_unsync()))
    }

    /// Tells the upstream for whom it works.
    fn forward(&self, parts: &mut http::request::Parts) {
        let headers = &mut parts.headers;
        if let Some(Peer(peer)) = parts.extensions.get::<Peer>() {
            headers::append_listed(headers, &FORWARDED_FOR, &peer.ip().to_canonical().to_string());
        }
        headers.entry(FORWARDED_PROTO).or_insert_with(|| self.public_proto.clone());
        headers.entry(FORWARDED_HOST).or_insert_with(|| self.public_host.clone());
        let Some(paid) = parts.extensions.get::<Paid>() else { return };
        let told = [
            (PAYER, paid.payer.clone()),
            (AMOUNT, paid.amount.to_string()),
            (ASSET, format!("{}/{}", paid.network, paid.asset)),
        ];
        for (name, value) in told {
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.insert(name, value);
            }
        }
    }

    fn unreachable(&self, error: &hyper_util::client::legacy::Error) -> Answer {
        tracing::warn!(upstream = %self.authority, error = causes(error), "the upstream failed");
        answer::error(
            StatusCode::BAD_GATEWAY,
            "upstream_failed",
            "the upstream cannot be reached, or broke off",
        )
    }
}
