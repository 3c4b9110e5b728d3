//! The listening side.

use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use farthing_http::{Limits, serve};
use farthing_wallet::Client;
use http::Request;
use hyper::body::Incoming;
use tokio::net::TcpListener;

use super::body::Bodies;
use super::bought::Bought;
use super::config::{Notify, ProxyConfig, ProxyError};
use super::door::Door;
use super::strangers::Strangers;
use crate::names::Names;
use crate::record::Record;

/// A proxy that has its address, and callers wait for it.
pub struct Proxy {
    listener: TcpListener,
    inner: Arc<Inner>,
    grace: Duration,
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy").field("listener", &self.listener).finish_non_exhaustive()
    }
}

pub(super) struct Inner {
    pub(super) door: Door,
    pub(super) bodies: Bodies,
    pub(super) bought: Bought,
    pub(super) client: Client,
    pub(super) record: Record,
    pub(super) strangers: Strangers,
    pub(super) notify: Option<Notify>,
}

impl Proxy {
    /// Takes the address; nobody is answered before [`Self::run`].
    ///
    /// # Errors
    /// [`ProxyError`]: the address is not to be had, or not to be had without tokens.
    pub async fn bind(config: ProxyConfig) -> Result<Self, ProxyError> {
        config.check()?;
        let bind = config.bind;
        let failed = |source| ProxyError::Bind { bind, source };
        let listener = TcpListener::bind(bind).await.map_err(failed)?;
        let port = listener.local_addr().map_err(failed)?.port();
        let door = Door {
            names: Names::new(bind.ip(), &config.allow_hosts),
            port,
            tokens: config.tokens,
            anonymous: config.anonymous,
            run: config.run,
        };
        let inner = Inner {
            door,
            bodies: Bodies::new(config.max_request_bytes),
            bought: Bought::default(),
            client: config.client,
            record: Record {
                ledger: config.ledger,
                policy: config.policy,
                clock: config.clock,
                entropy: config.entropy,
            },
            strangers: Strangers::default(),
            notify: config.notify,
        };
        Ok(Self { listener, inner: Arc::new(inner), grace: config.grace })
    }

    /// Where callers connect: with port 0 in the configuration, the one that the system gave.
    ///
    /// # Errors
    /// The system's.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers callers until `shutdown` completes. Then open calls have the configured grace, and the rests of paid
    /// answers once more as much.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let inner = self.inner.clone();
        let service = tower::service_fn(move |request: Request<Incoming>| {
            let inner = inner.clone();
            async move { Ok::<_, Infallible>(inner.answer(request).await) }
        });
        let limits = Limits { lines: true, ..Limits::default() };
        serve(self.listener, service, limits, shutdown, self.grace).await;
        let left = self.inner.client.passed(self.grace).await;
        if left > 0 {
            tracing::warn!(
                left,
                "paid answers are still on their way; `farthing reconcile` says what became of them"
            );
        }
    }
}
