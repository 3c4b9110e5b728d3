//! What is in a block, and may leave it again while the block is young: chains reorganise.
//!
//! A transaction that vanished is given to the chain again, the same bytes: its authorizations are valid until they
//! expire, so nothing is lost that the chain still takes. What came out differently is told to the operator.

use std::collections::VecDeque;
use std::time::Duration;

use alloy_primitives::B256;
use farthing_protocol::PaymentKey;
use tokio::time::Instant;

use super::chain::Chain;
use super::flight::Flight;
use super::lane::Lane;
use super::node::receipts;
use super::transaction::{Signed, read};
use crate::eip3009::Authorization;
use crate::payer::nonce_of;
use crate::token::{Effect, Receipt};

/// How much of landed transactions is kept, in bytes. The oldest, and so the safest, are let go first.
const MAX_BYTES: usize = 4 * 1024 * 1024;

/// How many receipts are asked for at once.
const MAX_HASHES: usize = 64;

/// A transaction that was seen in a block, and whose payments have been answered for.
#[derive(Debug)]
pub(super) struct Landed {
    nonce: u64,
    signed: Signed,
    keys: Vec<PaymentKey>,
    block: Option<B256>,
    at: Instant,
    /// Since when the chain says that its nonce is unused.
    missing: Option<Instant>,
}

/// A lane's landed transactions, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Watch {
    landed: VecDeque<Landed>,
    bytes: usize,
    /// Above every nonce in it.
    end: u64,
    /// Whether any was missing at the last look.
    missing: bool,
}

impl Watch {
    pub(super) fn is_empty(&self) -> bool {
        self.landed.is_empty()
    }

    pub(super) fn has(&self, nonce: u64) -> bool {
        self.landed.iter().any(|landed| landed.nonce == nonce)
    }

    fn push(&mut self, landed: Landed) {
        self.bytes += landed.signed.raw.len();
        self.end = self.end.max(landed.nonce + 1);
        self.landed.push_back(landed);
        while self.bytes > MAX_BYTES {
            self.pop();
        }
    }

    fn pop(&mut self) -> Option<Landed> {
        let first = self.landed.pop_front()?;
        self.bytes -= first.signed.raw.len();
        Some(first)
    }

    /// Takes out what the chain has not counted for so long.
    fn vanished(&mut self, count: u64, patience: Duration) -> Vec<Landed> {
        let mut vanished = Vec::new();
        if self.end <= count && !std::mem::take(&mut self.missing) {
            return vanished;
        }
        for mut landed in std::mem::take(&mut self.landed) {
            landed.missing = (landed.nonce >= count).then(|| landed.missing.unwrap_or_else(Instant::now));
            if landed.missing.is_some_and(|since| since.elapsed() >= patience) {
                self.bytes -= landed.signed.raw.len();
                vanished.push(landed);
            } else {
                self.missing |= landed.missing.is_some();
                self.landed.push_back(landed);
            }
        }
        vanished
    }

    /// Takes out what has been watched for so long and is not missing.
    fn ripe(&mut self, span: Duration) -> Vec<Landed> {
        let mut ripe = Vec::new();
        while self.landed.front().is_some_and(|first| first.at.elapsed() >= span && first.missing.is_none()) {
            ripe.extend(self.pop());
        }
        ripe
    }
}

impl Lane {
    /// Watches a transaction from now on that `receipt` says is in a block.
    pub(super) fn keep_watching(
        &mut self,
        signed: Signed,
        nonce: u64,
        keys: Vec<PaymentKey>,
        receipt: &Receipt,
    ) {
        if !self.limits.reorg_watch.is_zero() {
            let (block, at) = (receipt.block_hash, Instant::now());
            self.landed.push(Landed { nonce, signed, keys, block, at, missing: None });
        }
    }

    /// Takes up again what left its block. `count`: how many transactions of the signer are in blocks.
    pub(super) fn revive_vanished(&mut self, count: u64) {
        for landed in self.landed.vanished(count, self.patience()) {
            let Landed { nonce, signed, keys, .. } = landed;
            let Some((transaction, _)) = read(&signed.raw.to_string()) else { continue };
            tracing::warn!(
                network = %self.chain.rpc.network, nonce, transaction = %signed.hash, payments = keys.len(),
                "a reorganisation took a transaction out of its block; it is sent again"
            );
            let now = Instant::now();
            self.flights.push(Flight {
                transaction,
                variants: vec![signed],
                jobs: Vec::new(),
                keys,
                sent_at: now,
                offered_at: None,
                passed_by: None,
                mined: false,
                revived: true,
            });
            self.flights.sort_by_key(Flight::nonce);
        }
    }

    /// Asks once more for the receipts of what has been watched long enough, and lets it go.
    pub(super) async fn release_ripe(&mut self) {
        let ripe = self.landed.ripe(self.limits.reorg_watch);
        for some in ripe.chunks(MAX_HASHES) {
            let hashes: Vec<B256> = some.iter().map(|landed| landed.signed.hash).collect();
            // Where nobody can be asked there is nothing to tell either.
            let Ok((found, _)) = receipts(&self.chain, self.key.address, &hashes).await else { continue };
            for (landed, receipt) in some.iter().zip(found) {
                match receipt {
                    Some(receipt) if receipt.block_hash == landed.block => {}
                    Some(receipt) => report_undone(&self.chain, &receipt, &landed.signed, &landed.keys),
                    None => tracing::debug!(transaction = %landed.signed.hash, "its receipt is not kept"),
                }
            }
        }
    }
}

/// Tells the operator which payments of a transaction came to nothing after they had been confirmed.
pub(super) fn report_undone(chain: &Chain, receipt: &Receipt, signed: &Signed, keys: &[PaymentKey]) {
    for key in keys {
        let Ok(nonce) = nonce_of(&chain.rpc.network, key) else { continue };
        let Some(payment) = Authorization::find(&signed.raw, nonce.from, nonce.nonce) else { continue };
        if receipt.effect(nonce.token, &payment) != Effect::Paid {
            tracing::error!(
                network = %chain.rpc.network, %key, transaction = %receipt.transaction_hash,
                "a reorganisation undid a confirmed payment: it was served and is not paid"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settler::transaction::Fees;

    fn landed(nonce: u64, bytes: usize) -> Landed {
        let fees = Fees { max_fee: 1, tip: 1 };
        let signed = Signed { hash: B256::ZERO, raw: vec![0; bytes].into(), fees };
        Landed { nonce, signed, keys: Vec::new(), block: None, at: Instant::now(), missing: None }
    }

    #[tokio::test(start_paused = true)]
    async fn only_what_is_missing_for_long_is_taken_up_again() {
        let (mut watch, patience) = (Watch::default(), Duration::from_secs(4));
        (5..8).for_each(|nonce| watch.push(landed(nonce, 10)));
        assert!(watch.vanished(7, patience).is_empty(), "a node may be behind");
        tokio::time::advance(patience).await;
        assert!(watch.vanished(8, patience).is_empty(), "it has caught up");
        assert!(watch.vanished(6, patience).is_empty());
        tokio::time::advance(patience).await;
        let gone: Vec<u64> = watch.vanished(6, patience).iter().map(|landed| landed.nonce).collect();
        assert_eq!((gone, watch.bytes, watch.has(5), watch.has(6)), (vec![6, 7], 10, true, false));
        assert_eq!(watch.ripe(patience).len(), 1);
        assert!(watch.is_empty() && watch.bytes == 0);
    }

    #[tokio::test(start_paused = true)]
    async fn the_watch_stays_small() {
        let mut watch = Watch::default();
        (0..100).for_each(|nonce| watch.push(landed(nonce, MAX_BYTES / 10)));
        assert!(watch.bytes <= MAX_BYTES && watch.has(99) && !watch.has(0));
    }
}
