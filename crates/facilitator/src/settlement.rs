//! The way of one payment: begun in the ledger, handed to the rail, and ended in the ledger.
//!
//! Whatever is asked, and however often: one payment has one record, one task at a time works on it, a record with
//! other terms refuses, and a finished record answers.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use farthing_ambient::{Clock, fault};
use farthing_ledger::{Ledger, NewSettlement, SettlementRecord, SettlementState, Started};
use farthing_protocol::PaymentKey;
use farthing_protocol::x402::{FacilitatorRequest, SettleResponse};
use farthing_rail::{Settlement, VerifyError};
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, timeout_at};
use tokio_util::task::TaskTracker;

use crate::answer::{Refusal, Voice, invalid, unreachable};
use crate::flights::{Boarding, Flight, Flights};
use crate::lane::{Lane, LedgerLog, sent_for};
use crate::{FacilitatorError, Limits, check};

type Answer = Result<SettleResponse, FacilitatorError>;

/// What every settlement of a facilitator shares.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) lanes: Vec<Arc<Lane>>,
    pub(crate) ledger: Ledger,
    /// The same ledger, for the rails.
    pub(crate) log: Arc<LedgerLog>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) limits: Limits,
    pub(crate) flights: Flights,
    /// Begun here, never sent, and not recorded as abandoned because the ledger failed just then.
    pub(crate) given_up: Mutex<HashSet<PaymentKey>>,
    /// The settlements being worked on, which a shutdown waits for.
    pub(crate) tasks: TaskTracker,
    /// Wakes the sweeper: something became pending.
    pub(crate) pending: Notify,
}

/// One payment to settle.
#[derive(Debug)]
pub(crate) struct Job {
    lane: Arc<Lane>,
    request: FacilitatorRequest,
    new: NewSettlement,
    voice: Voice,
}

impl Job {
    pub(crate) fn new(core: &Core, request: &FacilitatorRequest) -> Result<Self, Refusal> {
        let lane = check::lane_for(&core.lanes, &core.limits, request)?.clone();
        let new = check::settlement(request)?;
        let voice = Voice::of(request, Some(&new.key));
        Ok(Self { lane, request: request.clone(), new, voice })
    }

    /// Takes a recorded settlement up again. The payee list is not asked: it was when the settlement began.
    pub(crate) fn resumed(core: &Core, record: &SettlementRecord) -> Option<Self> {
        let request = check::recorded_request(&record.settlement)
            .inspect_err(|error| tracing::error!(key = %record.settlement.key, %error, "a recorded settlement cannot be read"))
            .ok()?;
        let terms = &request.requirements;
        let lane = core.lanes.iter().find(|lane| lane.settler.supports(&terms.scheme, &terms.network))?;
        let voice = Voice::of(&request, Some(&record.settlement.key));
        Some(Self { lane: lane.clone(), voice, new: record.settlement.clone(), request })
    }
}

impl Core {
    /// Settles, or waits for whoever does, for a bounded time.
    pub(crate) async fn settle(self: &Arc<Self>, request: &FacilitatorRequest) -> Answer {
        let job = match Job::new(self, request) {
            Ok(job) => Arc::new(job),
            Err(refusal) => return Ok(refusal.to_settle(&Voice::of(request, None))),
        };
        let deadline = Instant::now() + self.limits.settle_wait;
        loop {
            let landing = match self.flights.board(&job.new.key) {
                Boarding::Mine(flight) => return self.fly(job, flight, deadline).await,
                Boarding::Theirs(landing) => landing,
            };
            if let Some(answer) = self.recorded(&job).await? {
                return Ok(answer);
            }
            if timeout_at(deadline, landing.wait()).await.is_err() {
                return self.unfinished(&job).await;
            }
            if let Some(answer) = self.recorded(&job).await? {
                return Ok(answer);
            }
        }
    }

    /// Settles in a task of its own, so that a caller who hangs up does not stop it half way.
    async fn fly(self: &Arc<Self>, job: Arc<Job>, flight: Flight, deadline: Instant) -> Answer {
        if self.tasks.is_closed() {
            return Err(unreachable("the facilitator is shutting down; ask again with the same request"));
        }
        if self.tasks.len() >= self.limits.max_settlements {
            let why =
                format!("{} settlements are being worked on; try again later", self.limits.max_settlements);
            return Err(FacilitatorError::Refused { at: "in process".to_owned(), why });
        }
        let (sender, receiver) = oneshot::channel();
        let (core, task_job) = (self.clone(), job.clone());
        self.tasks.spawn(async move {
            let answer = core.begin(&task_job).await;
            drop(flight);
            // The caller may have hung up: the record keeps the answer.
            drop(sender.send(answer));
        });
        match timeout_at(deadline, receiver).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(unreachable("the settlement's task died; ask again with the same request")),
            Err(_) => self.unfinished(&job).await,
        }
    }

    async fn begin(&self, job: &Job) -> Answer {
        job.lane.ready(&self.log).await?;
        match self.ledger.begin_settlement(job.new.clone()).await.map_err(unreachable)? {
            Started::New => self.send(job).await,
            Started::Known(record) if self.is_orphan(&record) => {
                self.abandon(job, "the process that began it died before it sent anything").await?;
                match self.ledger.begin_settlement(job.new.clone()).await.map_err(unreachable)? {
                    Started::New => self.send(job).await,
                    Started::Known(record) => self.known(job, &record).await,
                }
            }
            Started::Known(record) => self.known(job, &record).await,
        }
    }

    async fn send(&self, job: &Job) -> Answer {
        fault::point("facilitator.begun");
        let terms = &job.request.requirements;
        let result = job.lane.settler.settle(terms, job.request.payment.payload(), &*self.log).await;
        job.lane.note(matches!(result, Err(VerifyError::Rail(_))));
        fault::point("facilitator.settled");
        match result {
            Ok(settlement) => Ok(self.write(job, settlement).await),
            Err(error) => self.not_sent(job, error).await,
        }
    }

    /// Answers for a payment that had been begun before.
    async fn known(&self, job: &Job, record: &SettlementRecord) -> Answer {
        if record.settlement.binding != job.new.binding {
            return Ok(job.voice.duplicate());
        }
        match &record.state {
            SettlementState::Pending { transaction: Some(transaction) } => {
                Ok(self.look_up(job, transaction).await)
            }
            state => job.voice.finished(state).ok_or_else(|| {
                unreachable("another process has begun this settlement; ask again with the same request")
            }),
        }
    }

    /// Asks the chain about a payment that is out.
    pub(crate) async fn look_up(&self, job: &Job, transaction: &str) -> SettleResponse {
        let outcome = async {
            let sent = sent_for(&self.ledger, &job.new.key).await.map_err(unreachable)?;
            let (terms, payload) = (&job.request.requirements, job.request.payment.payload());
            job.lane.noted(job.lane.settler.outcome(terms, payload, &sent).await).map_err(unreachable)
        };
        match outcome.await {
            Ok(settlement) => self.write(job, settlement).await,
            Err(error) => {
                tracing::warn!(key = %job.new.key, %error, "a pending settlement could not be looked up");
                job.voice.pending(transaction)
            }
        }
    }

    /// Writes what the rail says and puts it into words. What cannot be written stays pending in the record, and the
    /// sweeper asks the chain again: the answer is the chain's and true all the same.
    async fn write(&self, job: &Job, settlement: Settlement) -> SettleResponse {
        let (state, answer) = match settlement {
            Settlement::Confirmed { transaction, payer, .. } => {
                let answer = job.voice.settled(&transaction, &payer);
                (SettlementState::Confirmed { transaction, payer }, answer)
            }
            Settlement::Failed { reason, message, transaction } => {
                let answer = job.voice.failure(&reason, &message, transaction.as_deref());
                (SettlementState::Failed { reason: reason.to_string(), message, transaction }, answer)
            }
            Settlement::Pending { transaction, .. } => {
                let answer = job.voice.pending(&transaction);
                (SettlementState::Pending { transaction: Some(transaction) }, answer)
            }
        };
        if matches!(state, SettlementState::Pending { .. }) {
            self.pending.notify_one();
        }
        if let Err(error) = self.ledger.update_settlement(&job.new.key, state).await {
            tracing::error!(key = %job.new.key, %error, "a settlement's outcome could not be recorded");
            self.pending.notify_one();
        }
        fault::point("facilitator.finished");
        answer
    }

    /// The rail says that nothing was sent. The record is asked too: if it holds a transaction, it stays pending.
    async fn not_sent(&self, job: &Job, error: VerifyError) -> Answer {
        let record = self.ledger.settlement(&job.new.key).await.map_err(unreachable)?;
        let out = record.and_then(|record| match record.state {
            SettlementState::Pending { transaction } => transaction,
            _ => None,
        });
        if let Some(transaction) = out {
            tracing::error!(key = %job.new.key, %error, "the rail failed after it had recorded a transaction");
            self.pending.notify_one();
            return Ok(job.voice.pending(&transaction));
        }
        if let Err(unwritten) = self.abandon(job, &error.to_string()).await {
            self.given_up().insert(job.new.key.clone());
            return Err(unwritten);
        }
        invalid(error).map(|refusal| refusal.to_settle(&job.voice))
    }

    async fn abandon(&self, job: &Job, why: &str) -> Result<(), FacilitatorError> {
        let state = SettlementState::Abandoned { why: why.to_owned() };
        self.ledger.update_settlement(&job.new.key, state).await.map_err(unreachable)?;
        self.given_up().remove(&job.new.key);
        Ok(())
    }

    fn given_up(&self) -> MutexGuard<'_, HashSet<PaymentKey>> {
        self.given_up.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the record says at once, while or after somebody else worked on the payment.
    async fn recorded(&self, job: &Job) -> Result<Option<SettleResponse>, FacilitatorError> {
        let Some(record) = self.ledger.settlement(&job.new.key).await.map_err(unreachable)? else {
            return Ok(None);
        };
        let undecided = matches!(
            record.state,
            SettlementState::Pending { transaction: None } | SettlementState::Abandoned { .. }
        );
        if undecided {
            return Ok(None);
        }
        if record.settlement.binding != job.new.binding {
            return Ok(Some(job.voice.duplicate()));
        }
        Ok(job.voice.finished(&record.state))
    }

    /// The answer to a caller whose time is over while the settlement goes on.
    async fn unfinished(&self, job: &Job) -> Answer {
        let record = self.ledger.settlement(&job.new.key).await.map_err(unreachable)?;
        let unknown =
            || unreachable("the settlement is still being worked on; ask again with the same request");
        let record = record.ok_or_else(unknown)?;
        // What was abandoned is about to be begun again, for this caller and in the place of whoever had it.
        if matches!(record.state, SettlementState::Abandoned { .. }) {
            return Err(unknown());
        }
        if record.settlement.binding != job.new.binding {
            return Ok(job.voice.duplicate());
        }
        match &record.state {
            SettlementState::Pending { transaction: Some(transaction) } => Ok(job.voice.pending(transaction)),
            state => job.voice.finished(state).ok_or_else(unknown),
        }
    }

    /// Whether the record was begun and never sent, and nobody is going to: its process gave it up, or is silent for so
    /// long that it must be dead. What the start found without an owner is abandoned already (`presence.rs`).
    fn is_orphan(&self, record: &SettlementRecord) -> bool {
        let unsent = matches!(record.state, SettlementState::Pending { transaction: None });
        let age = self.clock.now().duration_since(record.updated_at);
        let silent = age.unsigned_abs() >= self.limits.unsent_lease && !age.is_negative();
        unsent && (silent || self.given_up().contains(&record.settlement.key))
    }

    /// Brings a pending settlement further, unless somebody is at it. For the sweeper.
    pub(crate) async fn advance(&self, record: SettlementRecord) {
        let Boarding::Mine(_flight) = self.flights.board(&record.settlement.key) else { return };
        let Some(job) = Job::resumed(self, &record) else { return };
        if let Err(error) = job.lane.ready(&self.log).await {
            tracing::warn!(%error, "a rail cannot take up what was sent before");
            return;
        }
        // Read again, now that nobody else in this process can change it.
        let Ok(Some(record)) = self.ledger.settlement(&record.settlement.key).await else { return };
        match &record.state {
            SettlementState::Pending { transaction: Some(transaction) } => {
                self.look_up(&job, transaction).await;
            }
            _ if self.is_orphan(&record) => {
                let abandoned =
                    self.abandon(&job, "the process that began it died before it sent anything").await;
                if let Err(error) = abandoned {
                    tracing::warn!(key = %job.new.key, %error, "an orphaned settlement could not be abandoned");
                }
            }
            _ => {}
        }
    }
}
