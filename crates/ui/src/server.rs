//! The page as a server: what it is made of, where it listens, what it answers to.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use farthing_ambient::{Clock, Entropy};
use farthing_http::Limits;
use farthing_ledger::Ledger;
use farthing_money::Registry;
use farthing_policy::Policy;
use farthing_wallet::Wallet;
use tokio::net::TcpListener;

use crate::balances::Balances;
use crate::door::Door;
use crate::{UiError, guard, pages};

/// The largest form that is read, in bytes.
const MAX_FORM: usize = 16 * 1024;
/// The most connections at once: one person's browser.
const MAX_CONNECTIONS: usize = 64;
/// How long answers that have begun may take when the page is closed.
const GRACE: Duration = Duration::from_secs(2);

/// The policy in force now, read anew each time; what is wrong with it, for people.
pub type PolicySource = Arc<dyn Fn() -> Result<Policy, String> + Send + Sync>;

/// What the page is made of.
pub struct Parts {
    /// The record.
    pub ledger: Ledger,
    /// What knows the balances; none where there is no wallet, as beside a guard.
    pub wallet: Option<Arc<dyn Wallet>>,
    /// Whose budgets are shown.
    pub policy: PolicySource,
    /// What assets are called.
    pub registry: Registry,
    /// Who decides, as the record names them.
    pub person: String,
    /// For ages and expiries.
    pub clock: Arc<dyn Clock>,
    /// For links and sessions.
    pub entropy: Arc<dyn Entropy>,
}

/// The page. Cloning gives another handle to it.
#[derive(Clone)]
pub struct Ui(Arc<Shared>);

/// What every page needs.
pub(crate) struct Shared {
    pub(crate) ledger: Ledger,
    pub(crate) policy: PolicySource,
    pub(crate) registry: Registry,
    pub(crate) person: String,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) balances: Option<Balances>,
    pub(crate) door: Door,
    /// `127.0.0.1:4021`: the only `Host` that is answered.
    pub(crate) authority: String,
}

impl std::fmt::Debug for Ui {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ui").field("authority", &self.0.authority).finish_non_exhaustive()
    }
}

impl Ui {
    /// The page of these parts, to be served at this address.
    ///
    /// # Errors
    /// [`UiError::NotLoopback`]
    pub fn new(parts: Parts, address: SocketAddr) -> Result<Self, UiError> {
        if !address.ip().is_loopback() {
            return Err(UiError::NotLoopback(address));
        }
        Ok(Self(Arc::new(Shared {
            ledger: parts.ledger,
            policy: parts.policy,
            registry: parts.registry,
            person: parts.person,
            balances: parts.wallet.map(|wallet| Balances::new(wallet, parts.clock.clone())),
            door: Door::new(parts.clock.clone(), parts.entropy),
            clock: parts.clock,
            authority: address.to_string(),
        })))
    }

    /// A new link, to be shown to the person alone who started this process: whoever opens it first decides in their
    /// name.
    ///
    /// # Errors
    /// [`UiError::Entropy`]
    pub fn link(&self) -> Result<String, UiError> {
        let Shared { door, authority, .. } = &*self.0;
        Ok(format!("http://{authority}/enter?link={}", door.link()?))
    }

    /// Serves until `shutdown` completes.
    pub async fn serve(&self, listener: TcpListener, shutdown: impl Future<Output = ()>) {
        let limits = Limits { connections: MAX_CONNECTIONS, ..Limits::default() };
        farthing_http::serve(listener, self.router(), limits, shutdown, GRACE).await;
    }

    /// What lies under `{place}` is answered to the session that has it; style and picture to anybody.
    fn router(&self) -> Router {
        Router::new()
            .route("/enter", get(pages::door::enter))
            .route("/{place}/style.css", get(pages::files::style))
            .route("/{place}/icon.svg", get(pages::files::icon))
            .route("/{place}/", get(pages::overview::show))
            .route("/{place}/leave", post(pages::door::leave))
            .route("/{place}/history", get(pages::history::show))
            .route("/{place}/purchases/{id}", get(pages::purchase::show))
            .route("/{place}/purchases/{id}/receipt.html", get(pages::purchase::html))
            .route("/{place}/purchases/{id}/receipt.pdf", get(pages::purchase::pdf))
            .route("/{place}/approvals", get(pages::approvals::show))
            .route("/{place}/approvals/{id}", post(pages::approvals::decide))
            .route("/{place}/freeze", post(pages::freeze::freeze))
            .route("/{place}/thaw", post(pages::freeze::thaw))
            .fallback(pages::nowhere)
            .layer(DefaultBodyLimit::max(MAX_FORM))
            .layer(from_fn_with_state(self.0.clone(), guard::guard))
            .with_state(self.0.clone())
    }
}
