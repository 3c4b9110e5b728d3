use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use farthing_http::Limits;
use tokio::net::TcpListener;

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
    let ServeLimits { max_connections: connections, header_timeout: head, drain_timeout } = limits;
    let limits = Limits { connections, head, ..Limits::default() };
    farthing_http::serve(listener, router, limits, shutdown, drain_timeout).await;
    facilitator.drain(drain_timeout).await
}
