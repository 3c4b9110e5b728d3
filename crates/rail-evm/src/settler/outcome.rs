//! What became of a payment that an earlier process, or an earlier call, sent.

use alloy_primitives::B256;
use farthing_ambient::Timestamp;
use farthing_protocol::Requirements;
use farthing_protocol::x402::Reason;
use farthing_rail::{Broadcast, PaymentState, RailError, Settlement};
use serde_json::value::RawValue;

use super::EvmSettler;
use super::chain::Chain;
use super::flight::{failed, from_state, nonce_of, outcome as of_receipt, pending, reverted, used_since};
use super::node::{head, receipts};
use super::payment::Payment;
use crate::lookup::payment_state;
use crate::token::Receipt;

/// How far back the search for what used a nonce goes: a payment lives a day at most, and records are looked into
/// within days.
const SEARCH_S: i64 = 7 * 86_400;

/// Asks for the receipts of the transactions that are known, then for the nonce.
///
/// Without any transaction and with an unused nonce there is nothing to tell until the payment has expired: that is
/// an error then, from which nothing follows.
pub(super) async fn outcome(
    settler: &EvmSettler,
    terms: &Requirements,
    payload: &RawValue,
    sent: &[Broadcast],
) -> Result<Settlement, RailError> {
    let lanes = settler
        .lanes(&terms.network)
        .ok_or_else(|| RailError::Configuration(format!("{} is not settled here", terms.network)))?;
    let payment = Payment::known(terms, payload, &lanes.chain.tokens)?;
    let sent: Vec<&Broadcast> = sent.iter().filter(|one| one.network == terms.network).collect();
    let fate = of_transactions(&lanes.chain, &payment, &sent).await?;
    match fate {
        Fate::Ended(end) => return Ok(end),
        // It is in a block that is not deep enough yet.
        Fate::Shallow(hash) => return Ok(pending(&payment, hash)),
        _ => {}
    }
    let now = settler.clock.now();
    let since = Timestamp::from_second(now.as_second().saturating_sub(SEARCH_S)).unwrap_or(Timestamp::MIN);
    let chain = &lanes.chain;
    let state = payment_state(&chain.rpc, nonce_of(&payment), since, chain.log_range).await?;
    if let Some(end) = from_state(chain, &payment, &state).await? {
        return Ok(end);
    }
    unused(chain, &payment, fate, &state).await
}

/// What the known transactions say.
enum Fate {
    /// One of them settled it.
    Ended(Settlement),
    /// This one is in a block, which is too young to tell.
    Shallow(B256),
    /// This one may still be mined.
    Open(B256),
    /// This one was mined, to no effect for the payment; the last one of several.
    Failed(Receipt),
    /// None is known, or none can be mined any more.
    None,
}

async fn of_transactions(chain: &Chain, payment: &Payment, sent: &[&Broadcast]) -> Result<Fate, RailError> {
    let mut fate = Fate::None;
    for broadcast in sent {
        let parsed = (broadcast.transaction.parse::<B256>().ok(), broadcast.signer.parse().ok());
        let (Some(hash), Some(signer)) = parsed else {
            let why = format!("the record of transaction {} is broken", broadcast.transaction.escape_debug());
            return Err(RailError::Configuration(why));
        };
        let (found, count) = receipts(chain, signer, &[hash]).await?;
        match found.into_iter().next().flatten() {
            Some(receipt) if !is_final(chain, &receipt).await? => return Ok(Fate::Shallow(hash)),
            Some(receipt) => match of_receipt(&receipt, payment) {
                Some(end) => return Ok(Fate::Ended(end)),
                None if is_news(&fate, &receipt) => fate = Fate::Failed(receipt),
                None => {}
            },
            None if broadcast.nonce >= count => fate = Fate::Open(hash),
            None => {}
        }
    }
    Ok(fate)
}

/// Whether a transaction that did nothing says more than what is known: the later its block, the more of what others
/// did has happened there.
fn is_news(fate: &Fate, receipt: &Receipt) -> bool {
    match fate {
        Fate::None => true,
        Fate::Failed(earlier) => earlier.block() < receipt.block(),
        Fate::Ended(_) | Fate::Shallow(_) | Fate::Open(_) => false,
    }
}

/// Whether enough blocks are on top of it.
async fn is_final(chain: &Chain, receipt: &Receipt) -> Result<bool, RailError> {
    Ok(chain.confirmations <= 1 || receipt.depth(head(chain).await?) >= chain.confirmations)
}

/// The answer for a payment whose nonce is unused at the latest block that an endpoint has.
async fn unused(
    chain: &Chain,
    payment: &Payment,
    fate: Fate,
    state: &PaymentState,
) -> Result<Settlement, RailError> {
    let expired =
        matches!(state, PaymentState::Unused { chain_time } if *chain_time >= payment.valid_before());
    match fate {
        // What has expired unused in one and the same block can't be used any more, however far that endpoint is.
        Fate::Failed(receipt) if !expired && used_since(chain, payment, &receipt).await? => {
            let why = "used for one endpoint and unused for another, which is behind: ask again";
            Err(chain.rpc.nonsense("the state of the nonce", why))
        }
        Fate::Failed(receipt) => Ok(reverted(receipt.transaction_hash)),
        _ if expired => Ok(failed(Reason::EVM_VALID_BEFORE, "the payment expired before it was settled", None)),
        Fate::Open(hash) | Fate::Shallow(hash) => Ok(pending(payment, hash)),
        Fate::Ended(end) => Ok(end),
        Fate::None => Err(RailError::Unavailable {
            network: chain.rpc.network.clone(),
            why: "no transaction that could settle it is known, and its nonce is unused: settle it again, or wait \
                  until it expires"
                .to_owned(),
        }),
    }
}
