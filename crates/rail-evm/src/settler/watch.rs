//! The part of a lane that comes after sending: receipts, replacement, transactions that something else took over.

use std::time::Duration;

use alloy_primitives::B256;
use futures::future::join_all;
use tokio::time::Instant;

use super::flight::{Flight, Verdict, judge, outcome, passed_by, pending, reverted};
use super::job::{Job, Recorder};
use super::landed::report_undone;
use super::lane::Lane;
use super::node::{Sent, head, poll_wait, receipts, send};
use super::transaction::sign;
use crate::token::Receipt;

/// How many receipts are asked for at once.
const MAX_HASHES: usize = 64;

/// How many blocks' time a transaction is without a receipt before it is given to the chain again, as a node may have
/// dropped it, or given up where its nonce is used. Nodes behind one address are not always equally far.
const PATIENCE_BLOCKS: u32 = 2;

impl Lane {
    /// Looks once for the receipts of everything in flight, and does what follows.
    pub(super) async fn look(&mut self) {
        self.looks = self.looks.saturating_add(1);
        let hashes: Vec<B256> = self
            .flights
            .iter()
            .flat_map(|flight| flight.variants.iter().map(|signed| signed.hash))
            .take(MAX_HASHES)
            .collect();
        let found = receipts(&self.chain, self.key.address, &hashes).await;
        self.look_at = Instant::now() + poll_wait(self.looks, self.chain.block_time);
        let (found, count) = match found {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!(network = %self.chain.rpc.network, %error, "receipts cannot be asked for");
                return;
            }
        };
        for receipt in self.final_ones(found.into_iter().flatten().collect()).await {
            self.land(receipt).await;
        }
        self.revive_vanished(count);
        self.release_ripe().await;
        self.give_up_passed_by(count).await;
        self.offer_again().await;
        self.replace_stuck().await;
        if self.flights.is_empty() {
            // Only a reorganisation is watched for.
            self.look_at = Instant::now() + self.patience();
        }
    }

    /// Those of the receipts that are deep enough; the transactions of the others are marked as mined.
    async fn final_ones(&mut self, mut found: Vec<Receipt>) -> Vec<Receipt> {
        if self.chain.confirmations > 1 && !found.is_empty() {
            // Without an answer none is deep enough for now.
            let head = head(&self.chain).await.unwrap_or_default();
            for flight in &mut self.flights {
                let is_of =
                    |receipt: &Receipt| flight.variants.iter().any(|v| v.hash == receipt.transaction_hash);
                let mined = found.iter().any(is_of);
                flight.note_mined(mined);
            }
            found.retain(|receipt| receipt.depth(head) >= self.chain.confirmations);
        } else if self.chain.confirmations > 1 {
            self.flights.iter_mut().for_each(|flight| flight.note_mined(false));
        }
        found
    }

    /// A transaction is in a block: tells every payment in it what came of it.
    async fn land(&mut self, receipt: Receipt) {
        let hash = receipt.transaction_hash;
        let at =
            self.flights.iter().position(|flight| flight.variants.iter().any(|signed| signed.hash == hash));
        let Some(at) = at else { return };
        let mut flight = self.flights.remove(at);
        self.look_soon();
        let shared = flight.keys.len() > 1;
        let signed = flight.variants.iter().position(|signed| signed.hash == hash);
        if let Some(signed) = signed.map(|at| flight.variants.swap_remove(at)) {
            if flight.revived {
                report_undone(&self.chain, &receipt, &signed, &flight.keys);
            }
            self.keep_watching(signed, flight.transaction.nonce, flight.keys, &receipt);
        }
        let mut unsettled = Vec::new();
        for job in flight.jobs {
            match outcome(&receipt, &job.payment) {
                Some(end) => job.ticket.done(Ok(end)),
                None => unsettled.push(job),
            }
        }
        let now = self.clock.now();
        let verdicts =
            join_all(unsettled.iter().map(|job| judge(&self.chain, &job.payment, &receipt, shared, now)))
                .await;
        for (job, verdict) in unsettled.into_iter().zip(verdicts) {
            match verdict {
                Verdict::Ended(end) => job.ticket.done(Ok(end)),
                Verdict::Again => self.again(job, hash),
            }
        }
    }

    /// Puts a payment first in the queue once more, to go alone.
    fn again(&mut self, mut job: Job, hash: B256) {
        if job.retried || job.is_deserted() {
            job.ticket.done(Ok(reverted(hash)));
            return;
        }
        job.retried = true;
        self.waiting.push_front(job);
    }

    pub(super) fn patience(&self) -> Duration {
        self.chain.block_time * PATIENCE_BLOCKS
    }

    /// Gives up transactions whose nonce something else has used: they can never be mined. Where only the receipt is
    /// late, the authorization's own nonce keeps the payment from being made twice.
    async fn give_up_passed_by(&mut self, count: u64) {
        let mut lost = Vec::new();
        let patience = self.patience();
        for flight in self.flights.iter_mut().filter(|flight| !flight.mined && flight.nonce() < count) {
            let since = *flight.passed_by.get_or_insert_with(Instant::now);
            if since.elapsed() >= patience {
                lost.push(flight.nonce());
            }
        }
        let Some(nonce) = lost.first() else { return };
        let Some(at) = self.flights.iter().position(|flight| flight.nonce() == *nonce) else { return };
        tracing::warn!(nonce, signer = %self.key.address, "another program sends from this account");
        let flight = self.flights.remove(at);
        let hash = flight.last().map(|signed| signed.hash).unwrap_or_default();
        let now = self.clock.now();
        let ends =
            join_all(flight.jobs.iter().map(|job| passed_by(&self.chain, &job.payment, hash, now))).await;
        for (job, end) in flight.jobs.into_iter().zip(ends) {
            match end {
                Some(end) => job.ticket.done(Ok(end)),
                None if job.retried || job.is_deserted() => {
                    // Whoever asks for the outcome later hears what the chain says then.
                    let end = pending(&job.payment, hash);
                    job.ticket.done(Ok(end));
                }
                None => self.again(job, hash),
            }
        }
    }

    /// Gives the chain again what it may have lost. It does nothing new where the chain still has it.
    async fn offer_again(&mut self) {
        let patience = self.patience();
        let due = |flight: &Flight| {
            !flight.mined && flight.offered_at.is_none_or(|offered_at| offered_at.elapsed() >= patience)
        };
        for flight in self.flights.iter_mut().filter(|flight| due(flight)).take(4) {
            if let Some(signed) = flight.variants.last() {
                let sent = send(&self.chain, signed).await;
                tracing::debug!(nonce = flight.transaction.nonce, ?sent, "offered again");
            }
            flight.offered_at = Some(Instant::now());
        }
    }

    /// Replaces the transaction that all others wait for, if it has been out for too long.
    async fn replace_stuck(&mut self) {
        let stuck = self
            .flights
            .first()
            .filter(|first| !first.mined && first.sent_at.elapsed() >= self.limits.stuck_after);
        let Some((old, flight)) = stuck.and_then(|flight| Some((flight.last()?, flight))) else { return };
        self.fees.forget();
        let cap = self.chain.caps.max_fee_per_gas_wei;
        let Ok(now) = self.fees.current(&self.chain).await else { return };
        let Some(fees) = old.fees.bumped(now, cap) else {
            tracing::warn!(nonce = flight.nonce(), "a transaction is stuck and the fee cap leaves no room");
            self.postpone();
            return;
        };
        let signed = sign(&self.key, &flight.transaction, fees);
        let recorders = self.recorders_for(flight);
        if let Err(why) = self.record(&recorders, flight.nonce(), &signed, &flight.keys).await {
            tracing::warn!(nonce = flight.nonce(), why, "a stuck transaction is not replaced");
            self.postpone();
            return;
        }
        let sent = self.deliver(&signed).await;
        tracing::info!(nonce = flight.nonce(), transaction = %signed.hash, ?sent, "replaced a stuck transaction");
        self.postpone();
        if let (Sent::Accepted | Sent::Unknown(_), Some(flight)) = (sent, self.flights.first_mut()) {
            for job in &flight.jobs {
                job.ticket.sent(signed.hash);
            }
            flight.variants.push(signed);
        }
    }

    /// Not before the same time has passed again.
    fn postpone(&mut self) {
        if let Some(flight) = self.flights.first_mut() {
            flight.sent_at = Instant::now();
        }
    }

    /// Who can write a replacement down: the callers of the payments in it, or of any other payment in this lane, as
    /// all of them keep records of this signer.
    fn recorders_for(&self, flight: &Flight) -> Vec<Recorder> {
        let live = |jobs: &mut dyn Iterator<Item = &Job>| -> Vec<Recorder> {
            jobs.filter_map(|job| job.recorder.clone()).filter(|recorder| !recorder.is_gone()).collect()
        };
        let own = live(&mut flight.jobs.iter());
        if !own.is_empty() {
            return own;
        }
        let flying = self.flights.iter().flat_map(|flight| &flight.jobs);
        live(&mut self.waiting.iter().chain(flying)).into_iter().take(1).collect()
    }
}
