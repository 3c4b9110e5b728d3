use std::convert::Infallible;
use std::fs::{File, TryLockError};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use farthing_ambient::Clock;
use farthing_facilitator::Facilitate;
use farthing_http::Limits;
use farthing_ledger::Ledger;
use futures::FutureExt as _;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;
use tokio::net::TcpListener;
use tower_layer::Layer;

use crate::answer::{self, Answer, held};
use crate::reload::Watcher;
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
    /// The folder's, held as long as the gateway lives.
    _lock: Option<File>,
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
        let proxy = Proxy::new(&config)?;
        let mut layer = PaymentLayer::new(pricing, facilitate, ledger.clone(), clock.clone())
            .with_limits(config.limits());
        let (keep, max_bytes) = config.responses_bounds();
        let mut lock = None;
        let store: Arc<dyn ResponseStore> = match config.responses_dir() {
            Some(dir) => {
                let (dir, own) = answers_folder(dir)?;
                lock = Some(own);
                let opened = LogStore::open(&dir, clock, keep, max_bytes);
                Arc::new(opened.map_err(|error| GatewayError::Answers(error.to_string()))?)
            }
            // Out of the memory that all answers share, so that kept ones never take all of it.
            None => {
                Arc::new(MemoryStore::new(clock, keep, max_bytes.min(config.limits().buffered_bytes / 2)))
            }
        };
        layer = layer.with_store(store);
        Ok(Self { config, layer, proxy, ledger, _lock: lock })
    }

    /// The layer, for its metrics and prices.
    #[must_use]
    pub fn layer(&self) -> &PaymentLayer {
        &self.layer
    }

    /// Opens the configured sockets, and serves until `shutdown` completes. Prices follow the file `watch`, where one
    /// is named. Calls that have begun are finished and settled before it returns, for at most `timeouts.shutdown`.
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
        self,
        listener: TcpListener,
        admin: Option<TcpListener>,
        watch: Option<&Path>,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), GatewayError> {
        let limits = self.config.limits();
        let _presence = self.recover().await?;
        self.compare_with_facilitator().await;
        let shutdown = shutdown.shared();
        let mut background = tokio::task::JoinSet::new();
        background.spawn(look_after(self.layer.clone()));
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

    /// Says in the log what is priced and cannot be settled: better at the start than at the first payment.
    async fn compare_with_facilitator(&self) {
        let supported = match self.layer.supported().await {
            Ok(supported) => supported,
            Err(error) => {
                tracing::warn!(%error, "the facilitator does not say what it settles");
                return;
            }
        };
        let pricing = self.layer.pricing();
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
}

fn connections(connections: usize) -> Limits {
    Limits { connections, ..Limits::default() }
}

async fn look_after(layer: PaymentLayer) {
    loop {
        tokio::time::sleep(LOOK_AFTER).await;
        if let Err(error) = layer.look_after().await {
            tracing::error!(%error, "unfinished calls could not be looked after");
        }
    }
}

/// How the folders are named of gateways that run beside the one that has the configured folder.
const BESIDE: &str = "beside-";

/// A folder for answers that nobody else uses, and its lock: the configured one, or one inside it while another gateway
/// has that.
fn answers_folder(dir: PathBuf) -> Result<(PathBuf, File), GatewayError> {
    let lock = lock_folder(&dir)?;
    remove_left_behind(&dir);
    if let Some(lock) = lock {
        return Ok((dir, lock));
    }
    tracing::warn!(path = %dir.display(), "another gateway is running on this folder");
    // More than one only when a process runs several gateways.
    for number in 1..=100 {
        let beside = dir.join(format!("{BESIDE}{}-{number}", std::process::id()));
        if let Some(lock) = lock_folder(&beside)? {
            return Ok((beside, lock));
        }
    }
    Err(GatewayError::Answers(format!("too many gateways run on {}", dir.display())))
}

/// Takes away what gateways left that ran beside another one: nobody but they looked into their folders.
fn remove_left_behind(dir: &Path) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        if !entry.file_name().to_string_lossy().starts_with(BESIDE) {
            continue;
        }
        // Its gateway is gone when nobody holds its lock.
        if let Ok(Some(_lock)) = lock_folder(&entry.path())
            && let Err(error) = std::fs::remove_dir_all(entry.path())
        {
            tracing::warn!(path = %entry.path().display(), %error, "an old folder of answers is in the way");
        }
    }
}

/// The folder's lock; none while another gateway has it.
fn lock_folder(dir: &Path) -> Result<Option<File>, GatewayError> {
    crate::store::make_folder(dir).map_err(GatewayError::io(format!("making {}", dir.display())))?;
    let path = dir.join("gateway.lock");
    let what = format!("locking {}", path.display());
    let file = open_lock(&path).map_err(GatewayError::io(what.clone()))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(GatewayError::io(what)(error)),
    }
}

fn open_lock(path: &Path) -> std::io::Result<File> {
    File::options().create(true).truncate(false).write(true).mode(0o600).open(path)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_gateways_that_are_gone_are_taken_away() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("answers");
        let (first, first_lock) = answers_folder(dir.clone()).unwrap();
        let (second, second_lock) = answers_folder(dir.clone()).unwrap();
        let (third, third_lock) = answers_folder(dir.clone()).unwrap();
        assert_eq!(first, dir);
        assert!(second != third && second.exists() && third.exists());
        drop(second_lock);
        let (fourth, _fourth_lock) = answers_folder(dir.clone()).unwrap();
        assert_eq!(
            (fourth, third.exists()),
            (second.clone(), true),
            "its name is free, and the living one stays"
        );
        drop((first_lock, third_lock));
        answers_folder(dir).unwrap();
        assert!(!third.exists());
    }
}
