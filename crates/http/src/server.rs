//! Connections of clients, and requests on them.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tower_service::Service;

use crate::line::Line;
use crate::turn::{Turn, Watched};

/// The largest head: twice what the largest payment header that is read has.
const MAX_HEADER_BYTES: usize = 64 * 1024;
/// The most header fields.
const MAX_HEADERS: usize = 128;
/// The most requests at once on one HTTP/2 connection.
const MAX_STREAMS: u32 = 128;
/// After the system could not give a connection, say for want of file descriptors: trying again at once would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Where a request's connection came from: in its extensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer(pub SocketAddr);

/// How a server bounds its connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Open connections; more wait to be accepted.
    pub connections: usize,
    /// For a request's head to arrive, and for the first one to begin.
    pub head: Duration,
    /// How long a client may let a connection wait that has nothing to do: to ask again, or to go on reading.
    pub patience: Duration,
    /// Requests have a [`Line`] among their extensions. It takes a second file descriptor for each connection.
    pub lines: bool,
}

impl Default for Limits {
    /// 4096 connections, 15 s for a head, 60 s of patience, no lines.
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { connections: 4096, head: seconds(15), patience: seconds(60), lines: false }
    }
}

/// Serves until `shutdown` completes, then finishes the requests that have begun, for at most `grace`. Requests have a
/// [`Peer`] among their extensions.
pub async fn serve<S, B>(
    listener: TcpListener,
    service: S,
    limits: Limits,
    shutdown: impl Future<Output = ()>,
    grace: Duration,
) where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let server = Server { service, limits, builder: builder(limits), graceful: GracefulShutdown::new() };
    tokio::select! {
        () = server.accept_all(&listener) => {}
        () = shutdown => {}
    }
    drop(listener);
    if tokio::time::timeout(grace, server.graceful.shutdown()).await.is_err() {
        tracing::warn!("some connections were still open at the end of the shutdown");
    }
}

fn builder(limits: Limits) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_buf_size(MAX_HEADER_BYTES)
        .max_headers(MAX_HEADERS);
    let header_bytes = u32::try_from(MAX_HEADER_BYTES).unwrap_or(u32::MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(header_bytes)
        .max_concurrent_streams(MAX_STREAMS)
        .keep_alive_interval(Some(Duration::from_secs(30)))
        .keep_alive_timeout(Duration::from_secs(20));
    builder
}

struct Server<S> {
    service: S,
    limits: Limits,
    builder: auto::Builder<TokioExecutor>,
    graceful: GracefulShutdown,
}

impl<S, B> Server<S>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    async fn accept_all(&self, listener: &TcpListener) {
        let seats = Arc::new(Semaphore::new(self.limits.connections));
        while let Ok(seat) = seats.clone().acquire_owned().await {
            match listener.accept().await {
                Ok((stream, peer)) => self.keep(stream, Peer(peer), seat),
                Err(error) => pause_after(&error).await,
            }
        }
    }

    /// Serves one connection in a task of its own, which gives the seat back.
    fn keep(&self, stream: TcpStream, peer: Peer, seat: OwnedSemaphorePermit) {
        // Small answers must not wait for an acknowledgement. Where this fails they are only slower.
        let _ = stream.set_nodelay(true);
        let (begun, turn) = (CancellationToken::new(), Turn::new());
        let line = self.limits.lines.then(|| Line::of(&stream)).and_then(Result::ok);
        let inner = self.service.clone();
        let service = OnConnection { inner, peer, line, begun: begun.clone(), turn: turn.clone() };
        let service = TowerToHyperService::new(service);
        let connection = self.builder.serve_connection(TokioIo::new(stream), service).into_owned();
        let connection = with_first_request(self.graceful.watch(connection), begun, self.limits.head);
        let patience = self.limits.patience;
        tokio::spawn(async move {
            // Broken connections are everyday life; what matters happens in the calls.
            tokio::select! {
                ended = connection => if let Some(Err(error)) = ended {
                    tracing::debug!(peer = %peer.0, %error, "a connection broke");
                },
                () = turn.lost(patience) => {}
            }
            drop(seat);
        });
    }
}

/// Drives a connection to its end, or drops it if no request has `begun` on it within `limit`; `None` then.
///
/// hyper's timeout for a request's head runs only once it knows which HTTP is spoken. Whoever says nothing, or the
/// first letters of HTTP/2's preface, would hold a connection for ever.
async fn with_first_request<C: Future>(
    connection: C,
    begun: CancellationToken,
    limit: Duration,
) -> Option<C::Output> {
    tokio::pin!(connection);
    tokio::select! {
        ended = &mut connection => return Some(ended),
        () = begun.cancelled() => {}
        () = tokio::time::sleep(limit) => return None,
    }
    Some(connection.await)
}

/// A connection may break before it is accepted, which is the client's affair.
async fn pause_after(error: &io::Error) {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    if !matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset) {
        tracing::error!(%error, "a connection could not be accepted");
        tokio::time::sleep(ACCEPT_PAUSE).await;
    }
}

/// Tells the service who connected, and the connection what is going on.
#[derive(Clone)]
struct OnConnection<S> {
    inner: S,
    peer: Peer,
    line: Option<Line>,
    begun: CancellationToken,
    turn: Arc<Turn>,
}

impl<S, B, B2> Service<Request<B>> for OnConnection<S>
where
    S: Service<Request<B>, Response = Response<B2>>,
    S::Future: Send + 'static,
{
    type Response = Response<Watched<B2>>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Self::Response, S::Error>>;

    fn poll_ready(&mut self, context: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        self.begun.cancel();
        request.extensions_mut().insert(self.peer);
        if let Some(line) = &self.line {
            request.extensions_mut().insert(line.clone());
        }
        let (turn, ours) = (self.turn.clone(), self.turn.take());
        let answered = self.inner.call(request);
        Box::pin(async move {
            let response = answered.await?;
            drop(ours);
            Ok(response.map(|body| Watched::new(body, turn)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt as _;
    use http_body_util::{BodyExt as _, Empty, Full};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    /// Puts the clock forward, some seconds at once, until something has happened: since when a server waits cannot be
    /// seen from outside. In between the clock runs: a paused one jumps to the next timeout when all wait for a socket.
    async fn while_time_passes<T>(otherwise: &str, happens: impl Future<Output = T>) -> T {
        let passing = async {
            for _ in 0..10_000 {
                tokio::time::pause();
                // It has advanced when it yields, and nothing may happen before the clock runs again.
                let _ = tokio::time::advance(ONE.head / 3).now_or_never();
                tokio::time::resume();
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::select! {
            happened = happens => happened,
            () = passing => panic!("{otherwise}"),
        }
    }

    /// One seat, and little patience.
    const ONE: Limits = Limits {
        connections: 1,
        head: Duration::from_secs(15),
        patience: Duration::from_secs(60),
        lines: false,
    };

    #[tokio::test]
    async fn who_asks_for_nothing_is_not_kept() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let service =
            tower::service_fn(async |_: Request<Incoming>| Ok(Response::new(Empty::<Bytes>::new())));
        let serving =
            tokio::spawn(serve(listener, service, ONE, std::future::pending(), Duration::from_secs(1)));
        // The only seat is free again after each.
        for said in ["", "P", "PRI * HTTP/2.0\r\n", "GET / HT", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
            let mut client = TcpStream::connect(address).await.unwrap();
            client.write_all(said.as_bytes()).await.unwrap();
            let what = format!("{said:?} holds a connection");
            // It ends in whatever way.
            drop(while_time_passes(&what, client.read_to_end(&mut Vec::new())).await);
        }
        serving.abort();
    }

    /// An HTTP/2 client, which answers pings by itself, and its first answer's body.
    async fn over_http2(stream: TcpStream, path: &str) -> (impl Sized, Incoming) {
        let made = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
        let (mut client, connection) = made.unwrap();
        tokio::spawn(connection);
        let request = Request::get(format!("http://a{path}")).body(Empty::<Bytes>::new()).unwrap();
        let body = client.send_request(request).await.unwrap().into_body();
        (client, body)
    }

    #[tokio::test]
    async fn who_stops_reading_or_asking_is_not_kept() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        // More than a socket takes.
        let service = tower::service_fn(async |request: Request<Incoming>| {
            let bytes = if request.uri().path() == "/large" { 32 << 20 } else { 1 };
            Ok(Response::new(Full::new(Bytes::from(vec![7; bytes]))))
        });
        let serving =
            tokio::spawn(serve(listener, service, ONE, std::future::pending(), Duration::from_secs(1)));
        for who in ["reads no more", "reads no more, HTTP/2", "asks no more, HTTP/2"] {
            let mut client = TcpStream::connect(address).await.unwrap();
            let _kept: Box<dyn std::any::Any> = match who {
                "reads no more" => {
                    client.write_all(b"GET /large HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
                    client.read_exact(&mut [0; 64]).await.unwrap();
                    Box::new(client)
                }
                "reads no more, HTTP/2" => Box::new(over_http2(client, "/large").await),
                _ => {
                    let (client, body) = over_http2(client, "/small").await;
                    assert_eq!(body.collect().await.unwrap().to_bytes().len(), 1);
                    Box::new(client)
                }
            };
            // Another one gets the only seat.
            let mut other = TcpStream::connect(address).await.unwrap();
            other.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
            let mut heard = Vec::new();
            let what = format!("who {who} holds a connection");
            drop(while_time_passes(&what, other.read_to_end(&mut heard)).await);
            assert!(heard.starts_with(b"HTTP/1.1 200"), "{what}: {heard:?}");
        }
        serving.abort();
    }
}
