use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use farthing_ambient::Clock;
use farthing_ledger::Ledger;
use farthing_protocol::x402::{FacilitatorRequest, SettleResponse, SupportedResponse, VerifyResponse};
use farthing_rail::{Settler, VerifyError};
use tokio::sync::{Notify, OnceCell};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::answer::invalid;
use crate::flights::Flights;
use crate::lane::{Lane, LedgerLog};
use crate::presence::Presence;
use crate::settlement::Core;
use crate::{Facilitate, FacilitatorError, Health, Limits, Metrics, check, sweeper};

/// Verifies and settles payments in this process.
///
/// Settlements run in tasks of their own: a caller who hangs up does not stop one. What is pending is watched to its
/// end in the background, from [`Self::resume`] on.
#[derive(Debug)]
pub struct Facilitator {
    core: Arc<Core>,
    metrics: Metrics,
    ledger_ok: Arc<AtomicBool>,
    sweeping: AtomicBool,
    presence: OnceCell<Option<Presence>>,
    stop: CancellationToken,
    _stop_on_drop: DropGuard,
}

impl Facilitator {
    /// A facilitator over these rails. The first settler that supports a payment's scheme and network settles it.
    ///
    /// Call [`Self::resume`] once before serving.
    #[must_use]
    pub fn new(
        settlers: Vec<Arc<dyn Settler>>,
        ledger: Ledger,
        clock: Arc<dyn Clock>,
        limits: Limits,
    ) -> Arc<Self> {
        let core = Arc::new(Core {
            lanes: settlers.into_iter().map(|settler| Arc::new(Lane::new(settler))).collect(),
            log: Arc::new(LedgerLog(ledger.clone())),
            ledger,
            clock,
            limits,
            flights: Flights::default(),
            given_up: Mutex::default(),
            tasks: TaskTracker::new(),
            pending: Notify::new(),
        });
        let stop = CancellationToken::new();
        Arc::new(Self {
            core,
            metrics: Metrics::new(),
            ledger_ok: Arc::new(AtomicBool::new(true)),
            sweeping: AtomicBool::new(false),
            presence: OnceCell::new(),
            _stop_on_drop: stop.clone().drop_guard(),
            stop,
        })
    }

    /// Takes up what an earlier process sent, gives up what it never sent, unless another one is at work on the same
    /// ledger, and from now on watches every pending settlement to its end.
    ///
    /// A rail that cannot be reached does not keep the others from working: it is taken up before the first settlement
    /// on it, and its settlements are errors until then. Calling this again tries again.
    ///
    /// # Errors
    /// The first rail's [`FacilitatorError::Unreachable`], after every rail was tried.
    pub async fn resume(&self) -> Result<(), FacilitatorError> {
        self.presence.get_or_init(|| Presence::begin(&self.core.ledger)).await;
        if !self.sweeping.swap(true, Ordering::SeqCst) {
            let sweep =
                sweeper::sweep(Arc::downgrade(&self.core), self.metrics.clone(), self.ledger_ok.clone());
            tokio::spawn(self.stop.clone().run_until_cancelled_owned(sweep));
        }
        let ready = self.core.lanes.iter().map(|lane| lane.ready(&self.core.log));
        futures::future::join_all(ready).await.into_iter().collect()
    }

    /// Begins no further settlement and waits for those in flight, at most so long. Returns how many are left; the
    /// ledger has them, and the next process takes them up.
    pub async fn drain(&self, at_most: Duration) -> usize {
        self.core.tasks.close();
        drop(tokio::time::timeout(at_most, self.core.tasks.wait()).await);
        self.stop.cancel();
        self.core.tasks.len()
    }

    /// How it is doing.
    #[must_use]
    pub fn health(&self) -> Health {
        let mut troubled = Vec::new();
        let mut lanes_down = 0_usize;
        for lane in self.core.lanes.iter().filter(|lane| lane.in_trouble()) {
            lanes_down += 1;
            troubled.extend(lane.networks().iter().map(|network| format!("{network} could not be asked")));
        }
        let closed = self.core.tasks.is_closed();
        let ledger_ok = self.ledger_ok.load(Ordering::Relaxed);
        if closed {
            troubled.push("shutting down".to_owned());
        }
        if !ledger_ok {
            troubled.push("the ledger could not be read".to_owned());
        }
        Health { serving: !closed && ledger_ok && lanes_down < self.core.lanes.len(), reasons: troubled }
    }

    /// What it counted.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    async fn check(&self, request: &FacilitatorRequest) -> Result<VerifyResponse, FacilitatorError> {
        let lane = match check::lane_for(&self.core.lanes, &self.core.limits, request) {
            Ok(lane) => lane,
            Err(refusal) => return Ok(refusal.to_verify()),
        };
        let verified = lane.settler.verify(&request.requirements, request.payment.payload()).await;
        lane.note(matches!(verified, Err(VerifyError::Rail(_))));
        match verified {
            Ok(verified) => Ok(VerifyResponse {
                is_valid: true,
                payer: Some(verified.payer),
                ..VerifyResponse::default()
            }),
            Err(error) => invalid(error).map(|refusal| refusal.to_verify()),
        }
    }
}

#[async_trait]
impl Facilitate for Facilitator {
    async fn verify(&self, request: &FacilitatorRequest) -> Result<VerifyResponse, FacilitatorError> {
        let began = Instant::now();
        let answer = self.check(request).await;
        self.metrics.verified(&answer, began.elapsed());
        answer
    }

    async fn settle(&self, request: &FacilitatorRequest) -> Result<SettleResponse, FacilitatorError> {
        let began = Instant::now();
        let answer = self.core.settle(request).await;
        self.metrics.settled(&answer, began.elapsed());
        answer
    }

    async fn supported(&self) -> Result<SupportedResponse, FacilitatorError> {
        let settlers = || self.core.lanes.iter().map(|lane| &lane.settler);
        let mut signers = BTreeMap::<String, Vec<String>>::new();
        for (network, address) in settlers().flat_map(|settler| settler.signers()) {
            let listed = signers.entry(format!("{}:*", network.namespace())).or_default();
            if !listed.contains(&address) {
                listed.push(address);
            }
        }
        let kinds = settlers().flat_map(|settler| settler.kinds()).collect();
        Ok(SupportedResponse { kinds, extensions: Vec::new(), signers })
    }
}
