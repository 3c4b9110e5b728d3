//! A lane: everything that one signer sends on one network, in one task that owns its nonces.
//!
//! No lock is held across an await, and every wait in here is bounded: a failing node makes a lane slow, never stuck.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::Address;
use farthing_ambient::{Clock, fault};
use farthing_protocol::PaymentKey;
use farthing_protocol::x402::Reason;
use farthing_rail::Broadcast;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::StandingLog;
use super::chain::Chain;
use super::flight::Flight;
use super::job::{Job, Recorder, call_of, record_in, record_with};
use super::landed::Watch;
use super::node::{FeeCache, Purse, Sent, free_nonce, plain_gas, poll_wait, receipts, send, unavailable};
use super::progress::Refusal;
use super::transaction::{Signed, sign, unsigned};
use crate::key::Key;

/// How often a transaction is built anew when its nonce or fees turn out to be stale.
const MAX_TRIES: u32 = 3;

/// The limits of a lane, from the configuration.
#[derive(Debug, Clone)]
pub(super) struct Limits {
    pub(super) max_in_flight: usize,
    pub(super) batch_size: usize,
    pub(super) gather: Duration,
    pub(super) max_waiting: usize,
    pub(super) stuck_after: Duration,
    pub(super) reorg_watch: Duration,
}

/// What a lane is told.
#[derive(Debug)]
pub(super) enum Command {
    /// Settle this.
    Pay(Box<Job>),
    /// Watch over these from now on; they are out already.
    Adopt(Vec<Flight>, oneshot::Sender<()>),
}

/// The lane's task.
pub(super) struct Lane {
    pub(super) chain: Arc<Chain>,
    pub(super) key: Arc<Key>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) limits: Limits,
    log: StandingLog,
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) open: bool,
    pub(super) waiting: VecDeque<Job>,
    /// By ascending nonce.
    pub(super) flights: Vec<Flight>,
    pub(super) landed: Watch,
    /// The next nonce to use; `None`: the chain has to be asked.
    next_nonce: Option<u64>,
    pub(super) fees: FeeCache,
    purse: Purse,
    plain_gas: HashMap<Address, u64>,
    /// How many looks for receipts since the last thing happened, and when the next is due.
    pub(super) looks: u32,
    pub(super) look_at: Instant,
}

impl Lane {
    pub(super) fn new(
        chain: Arc<Chain>,
        key: Arc<Key>,
        clock: Arc<dyn Clock>,
        limits: Limits,
        log: StandingLog,
        commands: mpsc::Receiver<Command>,
    ) -> Self {
        Self {
            chain,
            key,
            clock,
            limits,
            log,
            commands,
            open: true,
            waiting: VecDeque::new(),
            flights: Vec::new(),
            landed: Watch::default(),
            next_nonce: None,
            fees: FeeCache::default(),
            purse: Purse::default(),
            plain_gas: HashMap::new(),
            looks: 0,
            look_at: Instant::now(),
        }
    }

    /// Works until nobody can ask for anything any more and nobody waits for an answer.
    pub(super) async fn run(mut self) {
        while self.open || self.is_awaited() {
            let wake = self.next_wake();
            tokio::select! {
                command = self.commands.recv(), if self.open => self.take(command),
                () = tokio::time::sleep_until(wake), if !self.is_idle() => {}
            }
            while self.waiting.len() < self.limits.max_waiting {
                let Ok(command) = self.commands.try_recv() else { break };
                self.take(Some(command));
            }
            self.drop_late();
            while self.may_launch() {
                self.launch().await;
            }
            if self.is_watching() && self.look_at <= Instant::now() {
                self.look().await;
            }
        }
    }

    fn take(&mut self, command: Option<Command>) {
        match command {
            Some(Command::Pay(job)) => self.waiting.push_back(*job),
            Some(Command::Adopt(flights, done)) => {
                self.flights.extend(flights);
                self.flights.sort_by_key(Flight::nonce);
                self.next_nonce = None;
                self.look_soon();
                // Whoever asked may have gone; the flights are watched all the same.
                let _ = done.send(());
            }
            None => self.open = false,
        }
    }

    fn is_idle(&self) -> bool {
        self.waiting.is_empty() && !self.is_watching()
    }

    fn is_watching(&self) -> bool {
        !self.flights.is_empty() || !self.landed.is_empty()
    }

    /// Whether any caller still waits here.
    fn is_awaited(&self) -> bool {
        let flying = self.flights.iter().flat_map(|flight| &flight.jobs);
        self.waiting.iter().chain(flying).any(|job| !job.is_deserted())
    }

    fn next_wake(&self) -> Instant {
        let look = self.is_watching().then_some(self.look_at);
        let launch = self.waiting.front().map(|job| job.queued + self.limits.gather);
        let late = self.waiting.iter().map(|job| job.send_by).min();
        let now = Instant::now();
        let launch = launch.filter(|_| self.flights.len() < self.limits.max_in_flight);
        // Never in the past: a job that may not start yet must not make this spin.
        let wake = [look, launch.map(|at| at.max(now)), late].into_iter().flatten().min();
        wake.unwrap_or(now + Duration::from_secs(1))
    }

    pub(super) fn look_soon(&mut self) {
        self.looks = 0;
        self.look_at = Instant::now() + poll_wait(0, self.chain.block_time);
    }

    // Before sending

    /// Answers for payments that waited too long, or that nobody waits for any more; nothing of them was sent.
    fn drop_late(&mut self) {
        let now = Instant::now();
        let late = self.waiting.iter().any(|job| job.send_by <= now || job.is_deserted());
        if !late {
            return;
        }
        let (keep, late): (VecDeque<Job>, VecDeque<Job>) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|job| job.send_by > now && !job.is_deserted());
        self.waiting = keep;
        for job in late {
            let why = "busy: the payment could not be sent in time; nothing was sent";
            job.ticket.done(Err(unavailable(&self.chain, why)));
        }
    }

    fn may_launch(&self) -> bool {
        let Some(first) = self.waiting.front() else { return false };
        self.flights.len() < self.limits.max_in_flight
            && (self.flights.is_empty()
                || first.is_alone()
                || self.waiting.len() >= self.limits.batch_size
                || first.queued + self.limits.gather <= Instant::now())
    }

    /// The payments of the next transaction: one that has to be alone, or all that may share.
    fn next_jobs(&mut self) -> Vec<Job> {
        let Some(first) = self.waiting.pop_front() else { return Vec::new() };
        if first.is_alone() {
            return vec![first];
        }
        let (mut jobs, mut rest) = (vec![first], VecDeque::new());
        while let Some(job) = self.waiting.pop_front() {
            if jobs.len() < self.limits.batch_size.max(1) && !job.is_alone() {
                jobs.push(job);
            } else {
                rest.push_back(job);
            }
        }
        self.waiting = rest;
        jobs
    }

    /// Leaves out what expired while it waited: on the chain it would fail, at our cost.
    fn without_expired(&self, jobs: Vec<Job>) -> Vec<Job> {
        let now_s = self.clock.now().as_second();
        let (live, expired): (Vec<Job>, Vec<Job>) = jobs
            .into_iter()
            .partition(|job| job.payment.valid_before().as_second() > now_s.saturating_add(2));
        for job in expired {
            let message = "the payment expired while it waited; nothing was sent".to_owned();
            let payer = Some(job.payment.payer());
            job.ticket.done(Err(Refusal::Invalid { reason: Reason::EVM_VALID_BEFORE, message, payer }));
        }
        live
    }

    // Sending

    async fn launch(&mut self) {
        let jobs = self.next_jobs();
        let jobs = self.without_expired(jobs);
        if jobs.is_empty() {
            return;
        }
        if let Err((jobs, refusal)) = self.try_launch(jobs).await {
            tracing::warn!(network = %self.chain.rpc.network, payments = jobs.len(), ?refusal, "nothing was sent");
            for job in jobs {
                job.ticket.done(Err(refusal.clone()));
            }
        }
    }

    /// Sends one transaction for these payments. On an error nothing is out, and the nonce is free again.
    async fn try_launch(&mut self, jobs: Vec<Job>) -> Result<(), (Vec<Job>, Refusal)> {
        let gas = self.gas_of_plain(&jobs).await;
        let (to, input, gas_limit) = call_of(&jobs, &self.chain, gas);
        let mut why = String::new();
        for _ in 0..MAX_TRIES {
            let ready = async { Ok((self.nonce().await?, self.fees.current(&self.chain).await?)) }.await;
            let (nonce, fees) = match ready {
                Ok(ready) => ready,
                Err(refusal) => return Err((jobs, refusal)),
            };
            if let Err(refusal) = self.purse.covers(&self.chain, self.key.address, gas_limit, fees).await {
                return Err((jobs, refusal));
            }
            let transaction = unsigned(self.chain.rpc.chain_id, nonce, to, input.clone(), gas_limit);
            let signed = sign(&self.key, &transaction, fees);
            let recorders: Vec<Recorder> = jobs.iter().filter_map(|job| job.recorder.clone()).collect();
            let keys: Vec<PaymentKey> = jobs.iter().map(|job| job.ticket.key().clone()).collect();
            if let Err(why) = self.record(&recorders, nonce, &signed, &keys).await {
                return Err((jobs, Refusal::NotRecorded(why)));
            }
            for job in &jobs {
                job.ticket.sent(signed.hash);
            }
            match self.deliver(&signed).await {
                sent @ (Sent::Accepted | Sent::Unknown(_)) => {
                    tracing::debug!(nonce, transaction = %signed.hash, payments = jobs.len(), ?sent, "sent");
                    self.flights.push(Flight {
                        transaction,
                        variants: vec![signed],
                        jobs,
                        keys,
                        sent_at: Instant::now(),
                        offered_at: Some(Instant::now()),
                        passed_by: None,
                        mined: false,
                        revived: false,
                    });
                    self.flights.sort_by_key(Flight::nonce);
                    self.next_nonce = Some(nonce + 1);
                    self.look_soon();
                    return Ok(());
                }
                Sent::NonceUsed => {
                    why = "the signer's nonce was used by something else".to_owned();
                    self.next_nonce = None;
                    self.await_nonce_after(nonce).await;
                }
                Sent::Underpriced(words) => {
                    why = words;
                    self.next_nonce = None;
                    self.fees.forget();
                }
                Sent::Refused(words) => return Err((jobs, unavailable(&self.chain, words))),
            }
        }
        Err((jobs, unavailable(&self.chain, why)))
    }

    /// Sends; a used nonce may mean that this very transaction is in a block already.
    pub(super) async fn deliver(&self, signed: &Signed) -> Sent {
        fault::point("rail_evm.recorded");
        let sent = send(&self.chain, signed).await;
        fault::point("rail_evm.sent");
        if matches!(sent, Sent::NonceUsed) {
            let found = receipts(&self.chain, self.key.address, &[signed.hash]).await;
            if !matches!(found, Ok((found, _)) if found.iter().all(Option::is_none)) {
                return Sent::Unknown("the nonce is used, perhaps by this transaction".to_owned());
            }
        }
        sent
    }

    /// Writes a transaction down; only then may it leave.
    pub(super) async fn record(
        &self,
        recorders: &[Recorder],
        nonce: u64,
        signed: &Signed,
        keys: &[PaymentKey],
    ) -> Result<(), String> {
        let broadcast = Broadcast {
            network: self.chain.rpc.network.clone(),
            signer: self.key.address.to_checksum(None),
            nonce,
            transaction: signed.hash.to_string(),
            raw: signed.raw.to_string(),
            payments: keys.to_vec(),
        };
        match self.log.get() {
            Some(log) if recorders.is_empty() => record_in(&**log, &broadcast).await,
            _ => record_with(recorders, &broadcast).await,
        }
    }

    /// The lowest nonce that nothing of ours and nothing on the chain has.
    async fn nonce(&mut self) -> Result<u64, Refusal> {
        let mut nonce = match self.next_nonce {
            Some(nonce) => nonce,
            None => free_nonce(&self.chain, self.key.address).await?,
        };
        // After a reorganisation the chain may call a nonce free whose transaction is about to be sent again.
        while self.landed.has(nonce) || self.flights.iter().any(|flight| flight.nonce() == nonce) {
            nonce += 1;
        }
        self.next_nonce = Some(nonce);
        Ok(nonce)
    }

    /// A node that has not got the last block yet says once more what is used: it gets the time of a block.
    async fn await_nonce_after(&self, used: u64) {
        if matches!(free_nonce(&self.chain, self.key.address).await, Ok(next) if next <= used) {
            tokio::time::sleep(self.chain.block_time).await;
        }
    }

    /// The gas of one plain payment in the dearest of these tokens, asked once per token.
    async fn gas_of_plain(&mut self, jobs: &[Job]) -> u64 {
        let mut dearest = 0;
        for job in jobs.iter().filter(|job| job.route == super::chain::Route::Plain) {
            let token = job.payment.token.address;
            let gas = match self.plain_gas.get(&token) {
                Some(gas) => *gas,
                None => {
                    let gas = plain_gas(&self.chain, &job.payment).await;
                    self.plain_gas.insert(token, gas);
                    gas
                }
            };
            dearest = dearest.max(gas);
        }
        dearest
    }
}
