//! A payment on its way through a lane, and how its caller writes down what is sent.

use std::time::Duration;

use alloy_primitives::{Address, Bytes};
use farthing_rail::{Broadcast, SettlementLog};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::chain::{Chain, Route, parts, together};
use super::payment::Payment;
use super::progress::Ticket;
use crate::abi::MULTICALL3;

/// How long the record of a transaction may take; a ledger that is slower is stuck.
const RECORD_TIMEOUT: Duration = Duration::from_secs(15);

/// The payments of one transaction are told apart by what each costs around its own call: Multicall3's loop and the
/// call's data.
const SHARED_CALL_GAS: u64 = 12_000;

/// What a shared transaction costs besides its payments.
const SHARED_BASE_GAS: u64 = 40_000;

/// A payment waiting for, or in, a transaction.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) payment: Payment,
    pub(super) route: Route,
    pub(super) ticket: Ticket,
    /// `None` for a payment that was taken over from an earlier process.
    pub(super) recorder: Option<Recorder>,
    pub(super) queued: Instant,
    /// Not sent by then: not sent at all.
    pub(super) send_by: Instant,
    /// It failed in company and goes once more, alone.
    pub(super) retried: bool,
}

impl Job {
    /// Whether it must not share a transaction.
    pub(super) fn is_alone(&self) -> bool {
        self.retried || self.route != Route::Plain
    }

    /// Whether its caller has gone away, so that nothing of it can be recorded any more.
    pub(super) fn is_deserted(&self) -> bool {
        self.recorder.as_ref().is_none_or(Recorder::is_gone)
    }
}

/// The way to the log of whoever wants a payment settled. The log is borrowed for the length of that caller's call,
/// and a lane lives longer: so the lane asks, and the caller writes.
#[derive(Debug, Clone)]
pub(super) struct Recorder {
    /// Which log it is; callers mostly share one.
    pub(super) log: usize,
    pub(super) requests: mpsc::Sender<RecordRequest>,
}

/// The wish to have a transaction recorded.
#[derive(Debug)]
pub(super) struct RecordRequest {
    broadcast: Broadcast,
    done: oneshot::Sender<Result<(), String>>,
}

impl Recorder {
    /// A recorder for this log, and the requests that its owner has to serve.
    pub(super) fn of(log: &dyn SettlementLog) -> (Self, mpsc::Receiver<RecordRequest>) {
        let (requests, served) = mpsc::channel(4);
        (Self { log: std::ptr::from_ref(log).cast::<()>().addr(), requests }, served)
    }

    pub(super) fn is_gone(&self) -> bool {
        self.requests.is_closed()
    }

    /// Records; only after `Ok` may the transaction be sent.
    pub(super) async fn record(&self, broadcast: Broadcast) -> Result<(), String> {
        let (done, answer) = oneshot::channel();
        let recorded = async {
            self.requests
                .send(RecordRequest { broadcast, done })
                .await
                .map_err(|_| "the caller has gone away")?;
            answer.await.map_err(|_| "the caller has gone away".to_owned())?
        };
        tokio::time::timeout(RECORD_TIMEOUT, recorded).await.unwrap_or_else(|_| Err(late()))
    }
}

impl RecordRequest {
    /// Writes it to the log and answers the lane.
    pub(super) async fn serve(self, log: &dyn SettlementLog) {
        let recorded = log.record(&self.broadcast).await.map_err(|error| error.to_string());
        // Nobody listens any more where the lane gave up waiting; it does not send then.
        let _ = self.done.send(recorded);
    }
}

/// Records in a log that needs no caller.
pub(super) async fn record_in(log: &dyn SettlementLog, broadcast: &Broadcast) -> Result<(), String> {
    let recorded = tokio::time::timeout(RECORD_TIMEOUT, log.record(broadcast)).await;
    recorded.map_err(|_| late())?.map_err(|error| error.to_string())
}

fn late() -> String {
    format!("the record took longer than {} s", RECORD_TIMEOUT.as_secs())
}

/// Records with every log among these once. One whose caller has gone is passed over while another has the same log.
pub(super) async fn record_with(recorders: &[Recorder], broadcast: &Broadcast) -> Result<(), String> {
    let mut logs: Vec<usize> = recorders.iter().map(|recorder| recorder.log).collect();
    logs.sort_unstable();
    logs.dedup();
    if logs.is_empty() {
        return Err("every caller has gone away".to_owned());
    }
    for log in logs {
        let mut last = Err("the caller has gone away".to_owned());
        for recorder in recorders.iter().filter(|recorder| recorder.log == log) {
            last = recorder.record(broadcast.clone()).await;
            if last.is_ok() || !recorder.is_gone() {
                break;
            }
        }
        last?;
    }
    Ok(())
}

/// What a transaction for these jobs calls, and with how much gas at most. `plain_gas` is one plain payment's.
pub(super) fn call_of(jobs: &[Job], chain: &Chain, plain_gas: u64) -> (Address, Bytes, u64) {
    match jobs {
        [job] => match job.route {
            Route::Plain => (job.payment.token.address, job.payment.transfer_call(), plain_gas),
            Route::Wallet => (job.payment.token.address, job.payment.transfer_call(), chain.caps.wallet_gas),
            Route::Deployment => {
                (MULTICALL3, together(&parts(&job.payment, false)), chain.caps.deployment_gas)
            }
        },
        jobs => {
            let calls: Vec<_> = jobs.iter().flat_map(|job| parts(&job.payment, true)).collect();
            let each = plain_gas.saturating_add(SHARED_CALL_GAS);
            let gas = u64::try_from(jobs.len()).unwrap_or(u64::MAX).saturating_mul(each);
            (MULTICALL3, together(&calls), gas.saturating_add(SHARED_BASE_GAS))
        }
    }
}
