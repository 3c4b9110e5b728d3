//! Taking up the transactions of an earlier process.

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_consensus::TxEip1559;
use farthing_money::Network;
use farthing_protocol::PaymentKey;
use farthing_rail::{Broadcast, RailError};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::chain::{Chain, Route};
use super::flight::Flight;
use super::job::Job;
use super::lane::Command;
use super::node::{receipts, send};
use super::payment::{Payment, Signature};
use super::progress::Joined;
use super::transaction::{Signed, read};
use super::{EvmSettler, LaneHandle, Lanes};
use crate::eip3009::Authorization;
use crate::payer::nonce_of;

/// A nonce's transactions, and the payments in them.
type Group = (TxEip1559, Vec<Signed>, Vec<PaymentKey>);

/// Hands every transaction that may still be mined to its signer's lane, and offers it to the chain again.
pub(super) async fn resume(settler: &EvmSettler, sent: Vec<Broadcast>) -> Result<(), RailError> {
    for lanes in &settler.networks {
        for lane in &lanes.lanes {
            let signer = lane.key.address.to_checksum(None);
            let ours: Vec<&Broadcast> = sent
                .iter()
                .filter(|one| {
                    one.network == lanes.chain.rpc.network && one.signer.eq_ignore_ascii_case(&signer)
                })
                .collect();
            if !ours.is_empty() {
                resume_lane(settler, lanes, lane, &ours).await?;
            }
        }
    }
    Ok(())
}

async fn resume_lane(
    settler: &EvmSettler,
    lanes: &Lanes,
    lane: &LaneHandle,
    sent: &[&Broadcast],
) -> Result<(), RailError> {
    let chain = &lanes.chain;
    let (_, count) = receipts(chain, lane.key.address, &[]).await?;
    let mut flights = Vec::new();
    for (nonce, (transaction, mut variants, payments)) in group(sent)? {
        if nonce < count {
            // It is in a block, or can never be; `outcome` tells which.
            continue;
        }
        variants.sort_by_key(|signed| signed.fees.max_fee);
        for signed in &variants {
            let answer = send(chain, signed).await;
            tracing::info!(nonce, transaction = %signed.hash, ?answer, "taken up again");
        }
        let jobs = payments.iter().filter_map(|key| adopt(settler, chain, key, &variants)).collect();
        flights.push(Flight {
            transaction,
            variants,
            jobs,
            keys: payments,
            sent_at: Instant::now(),
            offered_at: Some(Instant::now()),
            passed_by: None,
            mined: false,
            revived: false,
        });
    }
    let (done, adopted) = oneshot::channel();
    let command = Command::Adopt(flights, done);
    let stopped = || RailError::Configuration("the settler has stopped".to_owned());
    settler.commands(chain, lane).send(command).await.map_err(|_| stopped())?;
    adopted.await.map_err(|_| stopped())
}

/// The transactions by nonce. A record that is no transaction of ours is an error: going on could use a nonce twice.
fn group(sent: &[&Broadcast]) -> Result<BTreeMap<u64, Group>, RailError> {
    let mut groups = BTreeMap::new();
    for broadcast in sent {
        let hash = &broadcast.transaction;
        let (transaction, signed) = read(&broadcast.raw)
            .filter(|(transaction, signed)| {
                transaction.nonce == broadcast.nonce && signed.hash.to_string() == *hash
            })
            .ok_or_else(|| {
                RailError::Configuration(format!(
                    "the record of transaction {} is broken",
                    hash.escape_debug()
                ))
            })?;
        let group: &mut Group =
            groups.entry(broadcast.nonce).or_insert_with(|| (transaction, Vec::new(), Vec::new()));
        group.1.push(signed);
        for key in &broadcast.payments {
            if !group.2.contains(key) {
                group.2.push(key.clone());
            }
        }
    }
    Ok(groups)
}

/// The payment as it stands in the transaction; `None` where it is unknown, or in an earlier transaction too.
fn adopt(settler: &EvmSettler, chain: &Chain, key: &PaymentKey, variants: &[Signed]) -> Option<Job> {
    let network: &Network = &chain.rpc.network;
    let nonce = nonce_of(network, key).ok()?;
    let token = chain.tokens.iter().find(|token| token.address == nonce.token)?;
    let authorization =
        variants.iter().find_map(|signed| Authorization::find(&signed.raw, nonce.from, nonce.nonce))?;
    let Joined::First(ticket, _) = settler.in_flight.join(key, &authorization, None) else { return None };
    let signature = Signature::Wallet(alloy_primitives::Bytes::new());
    let payment = Payment { key: key.clone(), token: Arc::clone(token), authorization, signature };
    let now = Instant::now();
    Some(Job {
        payment,
        route: Route::Plain,
        ticket,
        recorder: None,
        queued: now,
        send_by: now,
        retried: true,
    })
}
