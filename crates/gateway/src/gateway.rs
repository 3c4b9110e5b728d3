use std::convert::Infallible;
use std::fs::{File, TryLockError};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use farthing_ambient::Clock;
use farthing_facilitator::Facilitate;
use farthing_ledger::Ledger;
use futures::FutureExt as _;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;
use tokio::net::TcpListener;
use tower_layer::Layer;

use crate::answer::{self, Answer, held};
use crate::config::{Limits, ROOM_BESIDE_BODY};
use crate::discovery::Follower;
use crate::reload::Watcher;
use crate::store::{Part, open_lock};
use crate::{
    Config, GatewayError, LogStore, MemoryStore, Metrics, PaymentLayer, Pricing, Proxy, ResponseStore,
};

/// How often unfinished calls of dead processes are looked for.
const LOOK_AFTER: Duration = Duration::from_secs(30);
/// Connections to the admin listener.
const ADMIN_CONNECTIONS: usize = 64;

/// The layer around the reverse proxy, as a server.
///
/// Gateways hold a lock beside their ledger's file, which they share. One that finds nobody holding it at its start
/// knows that what is open in the ledger was left by the dead, and looks after it at once.
#[derive(Debug)]
pub struct Gateway {
    config: Config,
    layer: PaymentLayer,
    proxy: Proxy,
    ledger: Ledger,
    follower: Option<Follower>,
}

impl Gateway {
    /// Puts a gateway together.
    ///
    /// # Errors
    /// [`GatewayError`]: the configuration cannot be used, or the folder for answers cannot be opened.
    pub fn new(
        config: Config,
        facilitate: Arc<dyn Facilitate>,
        ledger: Ledger,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, GatewayError> {
        let pricing = Pricing::new(&config)?;
        for route in pricing.uncatalogued() {
            tracing::warn!(
                route,
                "its `input` and `output` are too long for a 402, and told in /openapi.json only"
            );
        }
        let proxy = Proxy::new(&config)?;
        let follower = Follower::new(&config)?;
        let mut layer = PaymentLayer::new(pricing, facilitate, ledger.clone(), clock.clone())
            .with_limits(config.limits());
        let (keep, max_bytes) = config.responses_bounds();
        let store: Arc<dyn ResponseStore> = match config.responses_dir() {
            Some(dir) => {
                let part =
                    Part::take(&dir).map_err(GatewayError::io(format!("locking {}", dir.display())))?;
                let opened = LogStore::in_part(part, clock, keep, max_bytes);
                Arc::new(opened.map_err(|error| GatewayError::Answers(error.to_string()))?)
            }
            // Out of the memory that all answers share, so that kept ones never take all of it; but for one there is room.
            None => {
                let Limits { buffered_bytes, response_buffer_bytes, .. } = config.limits();
                let one = response_buffer_bytes.saturating_add(ROOM_BESIDE_BODY);
                Arc::new(MemoryStore::new(clock, keep, max_bytes.min((buffered_bytes / 2).max(one))))
            }
        };
        layer = layer.with_store(store);
        Ok(Self { config, layer, proxy, ledger, follower })
    }

    /// The layer, for its metrics and prices.
    #[must_use]
    pub fn layer(&self) -> &PaymentLayer {
        &self.layer
    }

    /// Opens the configured sockets, and serves until `shutdown` completes. Prices follow the file `watch`, where one
    /// is named. Calls that have begun are finished and settled before it returns: connections for at most `timeouts.shutdown`, and
    /// then calls whose buyers have gone for as long again.
    ///
    /// # Errors
    /// [`GatewayError`] before anything is served.
    pub async fn run(
        self,
        watch: Option<&Path>,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), GatewayError> {
        let bind = async |address: std::net::SocketAddr| {
            TcpListener::bind(address).await.map_err(GatewayError::io(format!("listening on {address}")))
        };
        let listener = bind(self.config.listen()).await?;
        let admin = match self.config.admin() {
            Some(address) => Some(bind(address).await?),
            None => None,
        };
        self.serve(listener, admin, watch, shutdown).await
    }

    /// As [`Self::run`], on sockets that are open already.
    ///
    /// # Errors
    /// [`GatewayError::Ledger`] when what an earlier process left cannot be read.
    pub async fn serve(
        mut self,
        listener: TcpListener,
        admin: Option<TcpListener>,
        watch: Option<&Path>,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), GatewayError> {
        let limits = self.config.limits();
        let _presence = self.recover().await?;
        let shutdown = shutdown.shared();
        let mut background = tokio::task::JoinSet::new();
        // Beside everything else: a facilitator that hangs does not keep free routes waiting.
        background.spawn(compare_with_facilitator(self.layer.clone()));
        background.spawn(look_after(self.layer.clone()));
        if let Some(follower) = self.follower.take() {
            background.spawn(follower.run(self.layer.pricing()));
        }
        if let Some(path) = watch {
            background.spawn(Watcher::new(path, self.config.clone(), self.layer.pricing()).run());
        }
        if let Some(admin) = admin {
            let service = Admin { metrics: self.layer.metrics() };
            let (until, grace) = (shutdown.clone(), Duration::from_secs(1));
            background.spawn(farthing_http::serve(
                admin,
                service,
                connections(ADMIN_CONNECTIONS),
                until,
                grace,
            ));
        }
        let service = self.layer.layer(self.proxy.clone());
        farthing_http::serve(listener, service, connections(limits.connections), shutdown, limits.shutdown)
            .await;
        self.layer.drain(limits.shutdown).await;
        background.shutdown().await;
        Ok(())
    }

    /// Looks after what earlier gateways left. What is returned tells others, as long as it lives, that this one does.
    async fn recover(&self) -> Result<Option<File>, GatewayError> {
        let Some(path) = self.ledger.beside(".gateways") else {
            self.layer.recover().await?;
            return Ok(None);
        };
        let what = format!("locking {}", path.display());
        let file = open_lock(&path).map_err(GatewayError::io(what.clone()))?;
        match file.try_lock() {
            Ok(()) => self.layer.take_up().await?,
            Err(TryLockError::WouldBlock) => self.layer.recover().await?,
            Err(TryLockError::Error(error)) => return Err(GatewayError::io(what)(error)),
        }
        // Waits for another one that is at this very point, and only as long as that takes.
        let shared = tokio::task::spawn_blocking(move || file.lock_shared().map(|()| file)).await;
        let shared = shared.unwrap_or_else(|error| Err(std::io::Error::other(error)));
        shared.map(Some).map_err(GatewayError::io(what))
    }
}

/// Says in the log what is priced and cannot be settled: better at the start than at the first payment.
async fn compare_with_facilitator(layer: PaymentLayer) {
    let supported = match layer.supported().await {
        Ok(supported) => supported,
        Err(error) => {
            tracing::warn!(%error, "the facilitator does not say what it settles");
            return;
        }
    };
    let pricing = layer.pricing();
    let pricing = pricing.load();
    let mut told = Vec::new();
    for terms in pricing.requirements() {
        let settles = supported.kinds.iter().any(|kind| {
            kind.scheme == terms.scheme
                && kind.network.parse().is_ok_and(|n: farthing_money::Network| n == terms.network)
        });
        if !settles && !told.contains(&&terms.network) {
            tracing::error!(network = %terms.network, "the facilitator does not settle on a network that is priced");
            told.push(&terms.network);
        }
    }
}

fn connections(connections: usize) -> farthing_http::Limits {
    farthing_http::Limits { connections, ..farthing_http::Limits::default() }
}

async fn look_after(layer: PaymentLayer) {
    loop {
        tokio::time::sleep(LOOK_AFTER).await;
        if let Err(error) = layer.look_after().await {
            tracing::error!(%error, "unfinished calls could not be looked after");
        }
    }
}

/// `/healthz` and `/metrics`.
#[derive(Clone)]
struct Admin {
    metrics: Arc<Metrics>,
}

impl tower_service::Service<Request<Incoming>> for Admin {
    type Response = Answer;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Answer, Infallible>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Infallible>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        let text = |text: String| {
            let mut response = Response::new(held(Bytes::from(text)));
            let plain = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
            response.headers_mut().insert(CONTENT_TYPE, plain);
            response
        };
        std::future::ready(Ok(match request.uri().path() {
            "/healthz" => text("ok\n".to_owned()),
            "/metrics" => text(self.metrics.render()),
            _ => answer::error(StatusCode::NOT_FOUND, "not_found", "here are /healthz and /metrics"),
        }))
    }
}
