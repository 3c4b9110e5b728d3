//! The facilitator's HTTP interface: `POST /verify`, `POST /settle`, `GET /supported`, `GET /health`, `GET /metrics`.

mod auth;
mod guard;
mod rate;
mod routes;
mod server;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use farthing_protocol::MAX_BODY_BYTES;
use tokio::sync::Semaphore;

pub use auth::{ApiKey, KeyHash};
pub use rate::RateLimit;
pub use server::{ServeLimits, serve};

use crate::Facilitator;
use auth::Keys;
use rate::Limiter;

/// What the HTTP interface takes, and from whom.
#[derive(Debug, Clone)]
pub struct HttpConfig {
    /// Who may ask. With no key, anybody.
    pub keys: Vec<ApiKey>,
    /// How often each key, or each address without one, may ask.
    pub rate_limit: Option<RateLimit>,
    /// The largest body that is read; at most [`MAX_BODY_BYTES`] counts.
    pub max_body_bytes: usize,
    /// For reading a request and answering it. Longer than [`Limits::settle_wait`](crate::Limits::settle_wait).
    pub request_timeout: Duration,
    /// Requests to verify and settle that are answered at once; more get 503.
    pub max_in_flight: usize,
    /// Whether `/metrics` is open to those without a key, where there are keys.
    pub public_metrics: bool,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            keys: Vec::new(),
            rate_limit: Some(RateLimit::default()),
            max_body_bytes: MAX_BODY_BYTES,
            request_timeout: Duration::from_secs(60),
            max_in_flight: 1024,
            public_metrics: false,
        }
    }
}

/// What the handlers share.
#[derive(Debug)]
struct App {
    facilitator: Arc<Facilitator>,
    keys: Keys,
    limiter: Option<Limiter>,
    seats: Semaphore,
    config: HttpConfig,
}

/// The routes. Serve them with [`serve`], which tells the handlers whom they speak to; elsewhere add a
/// [`farthing_http::Peer`] to every request's extensions, or everybody without a key shares one rate limit.
pub fn router(facilitator: Arc<Facilitator>, config: HttpConfig) -> Router {
    let app = Arc::new(App {
        facilitator,
        keys: Keys::new(config.keys.clone()),
        limiter: config.rate_limit.map(Limiter::new),
        seats: Semaphore::new(config.max_in_flight),
        config,
    });
    let asked = Router::new()
        .route("/verify", post(routes::verify))
        .route("/settle", post(routes::settle))
        .route_layer(from_fn_with_state(app.clone(), guard::admit));
    let metrics = Router::new()
        .route("/metrics", get(routes::metrics))
        .route_layer(from_fn_with_state(app.clone(), guard::metrics));
    Router::new()
        .route("/supported", get(routes::supported))
        .route("/health", get(routes::health))
        .merge(asked)
        .merge(metrics)
        .fallback(routes::not_found)
        .method_not_allowed_fallback(routes::wrong_method)
        .layer(axum::middleware::from_fn(guard::identify))
        .with_state(app)
}
