//! HTTP/1 and HTTP/2 towards buyers.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use farthing_facilitator::http::with_first_request;
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

use crate::Peer;
use crate::turn::{Turn, Watched};

/// For a request's head to arrive.
const HEADER_TIMEOUT: Duration = Duration::from_secs(15);
/// The largest head. The largest payment header that is read has half of it.
const MAX_HEADER_BYTES: usize = 64 * 1024;
/// The most header fields.
const MAX_HEADERS: usize = 128;
/// The most requests at once on one HTTP/2 connection.
const MAX_STREAMS: u32 = 128;
/// How long a buyer may let a connection wait that has nothing to do: to ask again, or to go on reading.
const PATIENCE: Duration = Duration::from_secs(60);
/// After the system could not give a connection, say for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Serves until `shutdown` completes, then finishes the requests that have begun, for at most `grace`.
pub(crate) async fn serve<S, B>(
    listener: TcpListener,
    service: S,
    connections: usize,
    shutdown: impl Future<Output = ()>,
    grace: Duration,
) where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let builder = builder();
    let graceful = GracefulShutdown::new();
    let slots = Arc::new(Semaphore::new(connections));
    tokio::pin!(shutdown);
    loop {
        let (stream, slot) = tokio::select! {
            accepted = accept(&listener, &slots) => match accepted {
                Some(accepted) => accepted,
                None => continue,
            },
            () = &mut shutdown => break,
        };
        let Ok(peer) = stream.peer_addr() else { continue };
        let begun = CancellationToken::new();
        let turn = Turn::new();
        let service =
            WithPeer { inner: service.clone(), peer: Peer(peer), begun: begun.clone(), turn: turn.clone() };
        let service = TowerToHyperService::new(service);
        let connection = builder.serve_connection(TokioIo::new(stream), service).into_owned();
        let connection = with_first_request(graceful.watch(connection), begun, HEADER_TIMEOUT);
        tokio::spawn(async move {
            // Broken connections are everyday life; what matters happens in the calls.
            tokio::select! {
                ended = connection => if let Some(Err(error)) = ended {
                    tracing::debug!(%error, "a connection broke");
                },
                () = turn.lost(PATIENCE) => {}
            }
            drop(slot);
        });
    }
    drop(listener);
    if tokio::time::timeout(grace, graceful.shutdown()).await.is_err() {
        tracing::warn!("some connections were still open at the end of the shutdown");
    }
}

fn builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
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

async fn accept(listener: &TcpListener, slots: &Arc<Semaphore>) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    let slot = slots.clone().acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => {
            // Small answers must not wait for an acknowledgement.
            let _ = stream.set_nodelay(true);
            Some((stream, slot))
        }
        Err(error) => {
            tracing::warn!(%error, "a connection could not be accepted");
            tokio::time::sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

/// Tells the service who connected, and the connection that a request has come.
#[derive(Clone)]
struct WithPeer<S> {
    inner: S,
    peer: Peer,
    begun: CancellationToken,
    turn: Arc<Turn>,
}

impl<S, B, B2> Service<Request<B>> for WithPeer<S>
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
    use http_body_util::{BodyExt as _, Empty};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    #[tokio::test(start_paused = true)]
    async fn who_asks_for_nothing_is_not_kept() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let service =
            tower::service_fn(async |_: Request<Incoming>| Ok(Response::new(Empty::<Bytes>::new())));
        let serving =
            tokio::spawn(serve(listener, service, 1, std::future::pending(), Duration::from_secs(1)));
        // The only seat is free again after each.
        for said in ["", "P", "PRI * HTTP/2.0\r\n", "GET / HT", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
            let mut client = TcpStream::connect(address).await.unwrap();
            client.write_all(said.as_bytes()).await.unwrap();
            let mut heard = Vec::new();
            let ended = tokio::time::timeout(2 * HEADER_TIMEOUT, client.read_to_end(&mut heard)).await;
            assert!(ended.is_ok(), "{said:?} holds a connection");
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

    #[tokio::test(start_paused = true)]
    async fn who_stops_reading_or_asking_is_not_kept() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        // More than a socket takes.
        let service = tower::service_fn(async |request: Request<Incoming>| {
            let bytes = if request.uri().path() == "/large" { 32 << 20 } else { 1 };
            Ok(Response::new(crate::answer::held(Bytes::from(vec![7; bytes]))))
        });
        let serving =
            tokio::spawn(serve(listener, service, 1, std::future::pending(), Duration::from_secs(1)));
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
            let answered = tokio::time::timeout(3 * PATIENCE, other.read_to_end(&mut heard)).await;
            assert!(answered.is_ok() && heard.starts_with(b"HTTP/1.1 200"), "who {who} holds a connection");
        }
        serving.abort();
    }
}
