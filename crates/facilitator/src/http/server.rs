use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::Facilitator;

/// How a server bounds its connections and its end.
#[derive(Debug, Clone)]
pub struct ServeLimits {
    /// Open connections; more wait to be accepted.
    pub max_connections: usize,
    /// For a request's head to arrive.
    pub header_timeout: Duration,
    /// On shutdown: for requests to be answered, and again for settlements in flight to end.
    pub drain_timeout: Duration,
}

impl Default for ServeLimits {
    fn default() -> Self {
        Self {
            max_connections: 4096,
            header_timeout: Duration::from_secs(10),
            drain_timeout: Duration::from_secs(60),
        }
    }
}

/// Drives a connection to its end, or drops it if no request has `begun` on it within `limit`; `None` then.
///
/// hyper's timeout for a request's head runs only once it knows which HTTP is spoken. Whoever says nothing, or the
/// first letters of HTTP/2's preface, would hold a connection for ever.
pub async fn with_first_request<C: Future>(
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

/// Serves until `shutdown` is done; then accepts no more, lets open requests finish, and drains the facilitator.
/// Returns how many settlements are left in flight: the ledger has them, and the next start takes them up.
///
/// # Errors
/// None while serving: a connection that cannot be accepted is logged, and accepting goes on.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    facilitator: Arc<Facilitator>,
    limits: ServeLimits,
    shutdown: impl Future<Output = ()> + Send,
) -> usize {
    let server = Server::new(router, &limits);
    tokio::select! {
        () = server.accept_all(&listener) => {}
        () = shutdown => {}
    }
    drop(listener);
    server.finish(limits.drain_timeout).await;
    facilitator.drain(limits.drain_timeout).await
}

struct Server {
    router: Router,
    builder: Builder<TokioExecutor>,
    seats: Arc<Semaphore>,
    connections: GracefulShutdown,
    header_timeout: Duration,
}

impl Server {
    fn new(router: Router, limits: &ServeLimits) -> Self {
        let mut builder = Builder::new(TokioExecutor::new());
        builder.http1().timer(TokioTimer::new()).header_read_timeout(limits.header_timeout);
        builder
            .http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(limits.header_timeout)
            .max_concurrent_streams(256);
        let seats = Arc::new(Semaphore::new(limits.max_connections));
        let header_timeout = limits.header_timeout;
        Self { router, builder, seats, connections: GracefulShutdown::new(), header_timeout }
    }

    async fn accept_all(&self, listener: &TcpListener) {
        while let Ok(seat) = self.seats.clone().acquire_owned().await {
            match listener.accept().await {
                Ok((stream, peer)) => self.serve_one(stream, peer, seat),
                Err(error) => pause_after(&error).await,
            }
        }
    }

    fn serve_one(&self, stream: TcpStream, peer: SocketAddr, seat: OwnedSemaphorePermit) {
        // Answers are small and waited for. Where this fails they are only slower.
        drop(stream.set_nodelay(true));
        let router = self.router.clone();
        let begun = CancellationToken::new();
        let begins = begun.clone();
        let service = service_fn(move |request: hyper::Request<Incoming>| {
            begins.cancel();
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(ConnectInfo(peer));
            let router = router.clone();
            async move { Ok::<Response, Infallible>(router.oneshot(request).await.unwrap_or_else(|e| match e {})) }
        });
        let connection = self.builder.serve_connection(TokioIo::new(stream), service).into_owned();
        let connection = with_first_request(self.connections.watch(connection), begun, self.header_timeout);
        tokio::spawn(async move {
            if let Some(Err(error)) = connection.await {
                tracing::debug!(%peer, %error, "a connection broke");
            }
            drop(seat);
        });
    }

    async fn finish(self, at_most: Duration) {
        if tokio::time::timeout(at_most, self.connections.shutdown()).await.is_err() {
            tracing::warn!("some requests were not answered before the shutdown");
        }
    }
}

/// A connection may break before it is accepted; with no file descriptors left, trying again at once would spin.
async fn pause_after(error: &io::Error) {
    let broken = matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    );
    if !broken {
        tracing::error!(%error, "a connection could not be accepted");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
