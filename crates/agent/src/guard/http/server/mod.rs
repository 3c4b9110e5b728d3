//! A guard that listens for clients.

mod admit;
mod legacy;
mod post;
mod reply;
mod sessions;

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::task::{Context, Poll};
use std::time::Duration;

use http::header::{ALLOW, WWW_AUTHENTICATE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use self::admit::Door;
use self::reply::{Reply, empty, error};
use self::sessions::Sessions;
use super::config::{HttpError, ServeConfig, Transport};
use super::front::Front;
use super::session::Session;
use super::upstream::Upstream;
use crate::guard::Gate;
use crate::guard::message::INVALID;

/// How long a message may take to arrive.
const BODY: Duration = Duration::from_secs(60);
/// Where streamable HTTP is spoken.
const ENDPOINT: &str = "/mcp";
/// Where a client of 2024-11-05 opens its stream.
const STREAM: &str = "/sse";
/// Where it posts.
const MESSAGES: &str = "/messages";

/// A client's session, for who makes its gate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionInfo {
    /// The name that we gave it. None: a request of 2026-07-28 or later, which stands for itself.
    pub id: Option<String>,
    /// SHA-256 of the bearer token that the client shows, or of its `Authorization` of another kind.
    pub bearer: Option<[u8; 32]>,
}

/// Makes the gate of each session. Called in the middle of a request, so it must answer at once.
pub type Gates = Arc<dyn Fn(&SessionInfo) -> Arc<dyn Gate> + Send + Sync>;

/// A guard that has its address, and clients wait for it.
pub struct Server {
    listener: TcpListener,
    inner: Arc<Inner>,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("listener", &self.listener).finish_non_exhaustive()
    }
}

struct Inner {
    config: ServeConfig,
    upstream: Arc<Upstream>,
    gates: Gates,
    door: Door,
    sessions: Sessions,
    /// The number of the next stream.
    next: AtomicU64,
}

impl Server {
    /// Takes the address; nobody is answered before [`Self::run`].
    ///
    /// # Errors
    /// [`HttpError`]: the address is not to be had, or not to be had without a token; TLS can't be spoken.
    pub async fn bind(config: ServeConfig, gates: Gates) -> Result<Self, HttpError> {
        config.check()?;
        let bind = config.bind;
        let listener = TcpListener::bind(bind).await.map_err(|source| HttpError::Bind { bind, source })?;
        let upstream = Arc::new(Upstream::new(config.target.clone())?);
        let (door, sessions, next) = (Door::new(&config), Sessions::default(), AtomicU64::new(1));
        Ok(Self { listener, inner: Arc::new(Inner { config, upstream, gates, door, sessions, next }) })
    }

    /// Where clients connect: with port 0 in the configuration, the one that the system gave.
    ///
    /// # Errors
    /// The system's.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers clients until `shutdown` completes; open requests then have the configured grace.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let inner = &self.inner;
        let stopping = async {
            tokio::select! {
                () = shutdown => {}
                () = inner.tidy() => {}
            }
            inner.stop_listening();
        };
        let limits = farthing_http::Limits::default();
        let service = Service(inner.clone());
        farthing_http::serve(self.listener, service, limits, stopping, inner.config.grace).await;
        let mut closing = JoinSet::new();
        for session in inner.sessions.all() {
            closing.spawn(async move { session.close("the guard is shutting down").await });
        }
        closing.join_all().await;
    }
}

impl Inner {
    /// Ends what nobody has used for long.
    async fn tidy(&self) {
        let every = self.config.idle.clamp(Duration::from_millis(100), Duration::from_secs(60));
        loop {
            tokio::time::sleep(every).await;
            for session in self.sessions.idle(self.config.idle) {
                tokio::spawn(async move { session.close("the session was idle").await });
            }
        }
    }

    /// Ends the streams that would never end, so that connections can.
    fn stop_listening(&self) {
        for session in self.sessions.all() {
            match &session.wire.front {
                Front::One(_) => session.end("the guard is shutting down"),
                Front::Many(slots) => slots.close_general(),
            }
        }
    }

    fn forget(&self, id: &str) {
        self.sessions.remove(id);
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Reply> {
        if let Err((status, why)) = self.door.admit(&request) {
            let mut refused = error(status, INVALID, why);
            if status == StatusCode::UNAUTHORIZED {
                refused.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            return refused;
        }
        let path = request.uri().path();
        let ours = path == ENDPOINT || path == self.config.target.url.path();
        let got = match (self.config.transport, request.method().clone(), path) {
            (Transport::Http, Method::POST, _) if ours => self.post(request).await,
            (Transport::Http, Method::GET, _) if ours => self.get(request).await,
            (Transport::Http, Method::DELETE, _) if ours => self.delete(&request.into_parts().0).await,
            (Transport::Http, ..) if ours => Ok(not_allowed("GET, POST, DELETE")),
            (Transport::Sse, Method::GET, STREAM) => self.get_legacy(&request.into_parts().0),
            (Transport::Sse, Method::POST, MESSAGES) => self.post_legacy(request).await,
            (Transport::Sse, _, STREAM) => Ok(not_allowed("GET")),
            (Transport::Sse, _, MESSAGES) => Ok(not_allowed("POST")),
            _ => Ok(error(StatusCode::NOT_FOUND, INVALID, "there is nothing at this path")),
        };
        got.unwrap_or_else(|refused| *refused)
    }
}

fn not_allowed(methods: &'static str) -> Response<Reply> {
    let mut response = empty(StatusCode::METHOD_NOT_ALLOWED);
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
    response
}

#[derive(Clone)]
struct Service(Arc<Inner>);

impl tower_service::Service<Request<Incoming>> for Service {
    type Response = Response<Reply>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Reply>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        let inner = self.0.clone();
        Box::pin(async move { Ok(inner.answer(request).await) })
    }
}

impl Session {
    /// A request of the client's begins, in a session whose client sends each message apart.
    fn slots_open(
        &self,
        stream: crate::guard::Stream,
        headers: http::HeaderMap,
        general: bool,
    ) -> super::queue::Receiver<super::front::Out> {
        match &self.wire.front {
            Front::Many(slots) => slots.open(stream, headers, general),
            Front::One(_) => super::queue::queue().1,
        }
    }
}
