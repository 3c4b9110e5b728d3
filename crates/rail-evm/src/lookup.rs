//! What became of an authorization, asked of the chain.

use alloy_primitives::{Address, B256, Bytes, U64};
use alloy_sol_types::SolEvent;
use farthing_ambient::Timestamp;
use farthing_rail::{PaymentState, RailError};
use serde::Deserialize;
use serde_json::json;

use crate::abi::Token as Abi;
use crate::rpc::{Call, Rpc};
use crate::token::{Log, Receipt, read_state, state_call};

/// How many ranges are searched for logs: 46 days of Base at 10,000 blocks each.
const MAX_RANGES: u32 = 200;

/// How far the clock of whoever signed may have been ahead of the chain's, in seconds.
const CLOCK_SLACK_S: i64 = 600;

/// What uses up a nonce.
const EVENTS: [B256; 2] =
    [Abi::AuthorizationUsed::SIGNATURE_HASH, Abi::AuthorizationCanceled::SIGNATURE_HASH];

/// An authorization's identity on its token.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Nonce {
    pub(crate) token: Address,
    pub(crate) from: Address,
    pub(crate) nonce: B256,
}

/// The log that used up a nonce.
#[derive(Debug)]
pub(crate) struct Use {
    pub(crate) transaction: B256,
    /// Used by a transfer, not by a cancellation.
    pub(crate) by_transfer: bool,
}

/// What became of it. `since` bounds the search for the transaction.
pub(crate) async fn payment_state(
    rpc: &Rpc,
    key: Nonce,
    since: Timestamp,
    range: u64,
) -> Result<PaymentState, RailError> {
    let (time_s, used) = nonce_state(rpc, key).await?;
    if !used {
        let chain_time = i64::try_from(time_s).ok().and_then(|second| Timestamp::from_second(second).ok());
        let chain_time = chain_time.ok_or_else(|| rpc.nonsense("the block's time", &time_s.to_string()))?;
        return Ok(PaymentState::Unused { chain_time });
    }
    let found = find_use(rpc, key, since, range).await?;
    if !found.by_transfer {
        return Ok(PaymentState::Canceled);
    }
    let what = "the transaction that used the nonce";
    match receipt(rpc, found.transaction).await? {
        Some(receipt) if receipt.moved_from(key.token, key.from) => {
            Ok(PaymentState::Settled { transaction: Some(found.transaction.to_string()) })
        }
        Some(_) => Err(rpc.nonsense(what, "its receipt has no transfer of the payer")),
        None => Err(rpc.nonsense(what, "its log is there and its receipt is not; ask again")),
    }
}

/// The latest block's time in Unix seconds, and whether the nonce is used there.
pub(crate) async fn nonce_state(rpc: &Rpc, key: Nonce) -> Result<(u64, bool), RailError> {
    let data: Bytes = rpc.get(state_call(key.token, key.from, key.nonce, None)).await?;
    read_state(&data).ok_or_else(|| rpc.nonsense("authorizationState", &data.to_string()))
}

/// Whether the nonce is used at this block, or at the latest one. An endpoint that lacks this block is an error.
///
/// The latest block alone says too little for a final failure: the receipt of our reverted transaction may come from
/// one node, and "unused" from another one behind the same address that has not got the block in which somebody else
/// used the nonce.
pub(crate) async fn is_used(rpc: &Rpc, key: Nonce, block: u64) -> Result<bool, RailError> {
    let calls = [Some(block), None].map(|block| state_call(key.token, key.from, key.nonce, block));
    let mut used = false;
    for answer in rpc.get_all(&calls).await? {
        let data: Bytes = rpc.read("eth_call", &answer)?;
        let state = read_state(&data).ok_or_else(|| rpc.nonsense("authorizationState", &data.to_string()))?;
        used |= state.1;
    }
    Ok(used)
}

pub(crate) async fn receipt(rpc: &Rpc, transaction: B256) -> Result<Option<Receipt>, RailError> {
    rpc.get(Call::new("eth_getTransactionReceipt", json!([transaction]))).await
}

/// Searches backwards from the latest block, range by range, for what used up a nonce that is known to be used.
pub(crate) async fn find_use(rpc: &Rpc, key: Nonce, since: Timestamp, range: u64) -> Result<Use, RailError> {
    let latest: U64 = rpc.get(Call::new("eth_blockNumber", json!([]))).await?;
    let (mut to, oldest_s) = (latest.to::<u64>(), since.as_second().saturating_sub(CLOCK_SLACK_S));
    for _ in 0..MAX_RANGES {
        let from = to.saturating_sub(range.max(1) - 1);
        let answers = rpc.get_all(&[logs_call(key, from, to), block_call(from)]).await?;
        let logs: Vec<Log> = rpc.read("eth_getLogs", &answers[0])?;
        let origins: Vec<Origin> = rpc.read("eth_getLogs", &answers[0])?;
        if let Some(found) = use_of(key, &logs, &origins) {
            return Ok(found);
        }
        let block: Block = rpc.read("eth_getBlockByNumber", &answers[1])?;
        if from == 0 || block.timestamp < U64::from(oldest_s.max(0)) {
            break;
        }
        to = from - 1;
    }
    Err(RailError::Unavailable {
        network: rpc.network.clone(),
        why: format!(
            "the nonce is used, but no log since {since} says by what: ask an endpoint that keeps old logs"
        ),
    })
}

#[derive(Deserialize)]
struct Block {
    timestamp: U64,
}

/// What a log is about.
#[derive(Deserialize)]
struct Origin {
    address: Address,
    topics: Vec<B256>,
}

/// The log that used up this very nonce. Not every node filters as it is asked to, and another payment's log must
/// neither settle this one nor, worse, release it.
fn use_of(key: Nonce, logs: &[Log], origins: &[Origin]) -> Option<Use> {
    let ours = |origin: &Origin| match origin.topics.as_slice() {
        [event, from, nonce] => {
            origin.address == key.token
                && EVENTS.contains(event)
                && *from == key.from.into_word()
                && *nonce == key.nonce
        }
        _ => false,
    };
    let mut logs = logs.iter().zip(origins).filter(|(_, origin)| ours(origin));
    logs.find_map(|(log, _)| Some(Use { transaction: log.transaction_hash?, by_transfer: log.is_use() }))
}

fn block_call(number: u64) -> Call {
    Call::new("eth_getBlockByNumber", json!([U64::from(number), false]))
}

fn logs_call(key: Nonce, from_block: u64, to_block: u64) -> Call {
    let filter = json!({
        "address": key.token,
        "fromBlock": U64::from(from_block),
        "toBlock": U64::from(to_block),
        "topics": [EVENTS, key.from.into_word(), key.nonce],
    });
    Call::new("eth_getLogs", json!([filter]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_log_of_this_nonce_decides() {
        let key = Nonce {
            token: Address::repeat_byte(1),
            from: Address::repeat_byte(2),
            nonce: B256::repeat_byte(3),
        };
        let [used, canceled] = EVENTS;
        let (from, other) = (key.from.into_word(), B256::repeat_byte(9));
        let found = |address: Address, topics: &[B256]| {
            let log = json!([{"address": address, "topics": topics, "data": "0x", "transactionHash": other}]);
            let logs: Vec<Log> = serde_json::from_value(log.clone()).unwrap();
            let origins: Vec<Origin> = serde_json::from_value(log).unwrap();
            use_of(key, &logs, &origins).map(|found| found.by_transfer)
        };
        assert_eq!(found(key.token, &[used, from, key.nonce]), Some(true));
        assert_eq!(found(key.token, &[canceled, from, key.nonce]), Some(false));
        for (address, topics) in [
            (Address::repeat_byte(9), vec![used, from, key.nonce]),
            (key.token, vec![Abi::Transfer::SIGNATURE_HASH, from, key.nonce]),
            (key.token, vec![canceled, other, key.nonce]),
            (key.token, vec![canceled, from, other]),
            (key.token, vec![canceled, from]),
            (key.token, vec![]),
        ] {
            assert_eq!(found(address, &topics), None, "{topics:?}");
        }
    }
}
