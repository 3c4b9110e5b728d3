//! The same over streamable HTTP, on this machine, for who shows the token.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use farthing_http::Limits;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use subtle::ConstantTimeEq as _;
use tokio::net::TcpListener;
use tower_service::Service as _;
use zeroize::Zeroizing;

use super::desk::Desk;
use super::server::{AgentServer, McpError};

/// The longest message of a client.
const MAX_MESSAGE_BYTES: usize = 24 << 20;

/// How many sessions there may be at once. One that is silent for five minutes ends.
const MOST_SESSIONS: usize = 64;
/// The first revision of MCP without sessions.
const WITHOUT_SESSIONS: &str = "2026-07-28";

/// How the server listens.
#[derive(Clone)]
pub struct HttpConfig {
    /// Where. An address of this machine.
    pub listen: SocketAddr,
    /// The bearer token that clients have to show.
    pub token: Zeroizing<String>,
    /// How long calls may take that are open when the server is to end.
    pub grace: Duration,
}

/// A server that listens.
#[derive(Debug)]
pub struct HttpServer {
    listener: TcpListener,
    config: HttpConfig,
    desk: Arc<Desk>,
}

/// Listens for clients; [`HttpServer::run`] serves them.
///
/// # Errors
/// [`McpError::Listen`]
pub async fn serve_http(desk: Arc<Desk>, config: HttpConfig) -> Result<HttpServer, McpError> {
    let listener = TcpListener::bind(config.listen)
        .await
        .map_err(|source| McpError::Listen { address: config.listen, source })?;
    Ok(HttpServer { listener, config, desk })
}

impl HttpServer {
    /// Where it listens.
    ///
    /// # Errors
    /// [`McpError::Listen`]
    pub fn address(&self) -> Result<SocketAddr, McpError> {
        self.listener.local_addr().map_err(|source| McpError::Listen { address: self.config.listen, source })
    }

    /// Serves until `shutdown`.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send) {
        let own = self.address().map(own_origins).unwrap_or_default();
        let desk = self.desk;
        let settings = StreamableHttpServerConfig::default()
            .enforce_origin_validation()
            .with_allowed_origins(own)
            .with_max_request_body_bytes(MAX_MESSAGE_BYTES);
        let ending = settings.cancellation_token.clone();
        let sessions = Arc::new(LocalSessionManager::default());
        let handler = move || Ok(AgentServer { desk: desk.clone() });
        let mcp = StreamableHttpService::new(handler, sessions.clone(), settings);
        let token: Arc<str> = self.config.token.as_str().into();
        let door = tower::service_fn(move |request: Request<Incoming>| {
            let (mut mcp, token, sessions) = (mcp.clone(), token.clone(), sessions.clone());
            async move {
                match admit(request.headers(), request.uri().path(), &token) {
                    Ok(())
                        if begins_session(&request)
                            && sessions.sessions.read().await.len() >= MOST_SESSIONS =>
                    {
                        Ok(refuse(StatusCode::SERVICE_UNAVAILABLE, "there are too many sessions; end one"))
                    }
                    Ok(()) if request.method() == Method::DELETE => mcp.call(request).await.map(ended),
                    Ok(()) => mcp.call(request).await,
                    Err(refused) => Ok::<_, Infallible>(refused),
                }
            }
        });
        let stopping = async move {
            shutdown.await;
            ending.cancel();
        };
        farthing_http::serve(self.listener, door, Limits::default(), stopping, self.config.grace).await;
    }
}

/// Whether a session would be made for this.
fn begins_session<B>(request: &Request<B>) -> bool {
    let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
    // Revisions are dates.
    let has_none = header("mcp-protocol-version").is_some_and(|revision| revision >= WITHOUT_SESSIONS);
    request.method() == Method::POST && header("mcp-session-id").is_none() && !has_none
}

/// A session that has ended, in the status that says so: 202 is a failure to the Python SDK.
fn ended<B>(mut answer: Response<B>) -> Response<B> {
    if answer.status() == StatusCode::ACCEPTED {
        *answer.status_mut() = StatusCode::NO_CONTENT;
    }
    answer
}

/// What a client on this machine may call the server's own origin. Pages of other origins, on other ports too, are
/// refused even with the token.
fn own_origins(address: SocketAddr) -> Vec<String> {
    ["localhost", "127.0.0.1", "[::1]"].map(|host| format!("http://{host}:{}", address.port())).into()
}

/// The token is asked for before anything of a request is read.
fn admit(headers: &HeaderMap, path: &str, token: &str) -> Result<(), Response<BoxBody<Bytes, Infallible>>> {
    if !matches!(path, "/mcp" | "/") {
        return Err(refuse(StatusCode::NOT_FOUND, "the server is at /mcp"));
    }
    let shown = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let shown = shown.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
    if bool::from(shown.as_bytes().ct_eq(token.as_bytes())) {
        return Ok(());
    }
    let mut refused = refuse(StatusCode::UNAUTHORIZED, "the bearer token is missing, or another one");
    refused.headers_mut().insert(header::WWW_AUTHENTICATE, http::HeaderValue::from_static("Bearer"));
    Err(refused)
}

fn refuse(status: StatusCode, why: &'static str) -> Response<BoxBody<Bytes, Infallible>> {
    let mut response = Response::new(Full::new(Bytes::from_static(why.as_bytes())).boxed());
    *response.status_mut() = status;
    response
}

impl std::fmt::Debug for HttpConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpConfig").field("listen", &self.listen).finish_non_exhaustive()
    }
}
