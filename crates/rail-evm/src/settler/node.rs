//! What a lane asks of its chain: fees, gas, nonces, sending.

use std::time::Duration;

use alloy_primitives::{Address, B256, U64, U256};
use serde_json::json;
use tokio::time::Instant;

use super::chain::Chain;
use super::payment::Payment;
use super::progress::Refusal;
use super::transaction::{Fees, Signed};
use crate::fees::fees;
use crate::rpc::{Call, NodeError};
use crate::token::Receipt;

/// What came of sending a transaction.
#[derive(Debug)]
#[expect(dead_code, reason = "what an endpoint said about an unknown outcome is read in the log, by Debug")]
pub(super) enum Sent {
    /// The chain has it.
    Accepted,
    /// It may have arrived.
    Unknown(String),
    /// Its nonce is used up, by itself or by another transaction.
    NonceUsed,
    /// Another transaction with this nonce is waiting, or the fees are too low.
    Underpriced(String),
    /// It was refused, or never left this machine.
    Refused(String),
}

/// Fees that were asked for lately.
#[derive(Debug, Default)]
pub(super) struct FeeCache(Option<(Instant, u128, u128)>);

impl FeeCache {
    /// What to offer now, within the cap.
    pub(super) async fn current(&mut self, chain: &Chain) -> Result<Fees, Refusal> {
        let fresh = self.0.filter(|(at, ..)| at.elapsed() < chain.block_time);
        let (base, tip) = match fresh {
            Some((_, base, tip)) => (base, tip),
            None => {
                let (base, tip) = ask_fees(chain).await?;
                self.0 = Some((Instant::now(), base, tip));
                (base, tip)
            }
        };
        let cap = chain.caps.max_fee_per_gas_wei;
        Fees::suggested(base, tip, cap).ok_or_else(|| {
            unavailable(chain, format!("gas costs {base} wei now, above the cap of {cap}: nothing was sent"))
        })
    }

    /// Makes the next question go to the chain.
    pub(super) fn forget(&mut self) {
        self.0 = None;
    }
}

/// What the signer holds for gas. It is asked for seldom while there is plenty.
#[derive(Debug, Default)]
pub(super) struct Purse(Option<(Instant, U256)>);

/// As long as the signer held so many times a transaction's cost, it is not asked again for a while.
const PLENTY: u64 = 100;
const PLENTY_FOR: Duration = Duration::from_secs(30);

impl Purse {
    /// Refuses what the node would refuse for lack of money. Once it is recorded it would count as sent, and the
    /// payment would be pending until it expires.
    pub(super) async fn covers(
        &mut self,
        chain: &Chain,
        signer: Address,
        gas_limit: u64,
        fees: Fees,
    ) -> Result<(), Refusal> {
        let cost = U256::from(fees.max_fee).saturating_mul(U256::from(gas_limit));
        let plenty = cost.saturating_mul(U256::from(PLENTY));
        if self.0.is_some_and(|(at, held)| at.elapsed() < PLENTY_FOR && held >= plenty) {
            return Ok(());
        }
        let call = Call::new("eth_getBalance", json!([signer, "latest"]));
        let held: U256 = chain.rpc.get(call).await.map_err(|error| unavailable(chain, error))?;
        self.0 = Some((Instant::now(), held));
        if held >= cost {
            return Ok(());
        }
        let why = format!(
            "the signer {signer} holds {held} wei and needs {cost} for gas: fund it. Nothing was sent"
        );
        Err(unavailable(chain, why))
    }
}

async fn ask_fees(chain: &Chain) -> Result<(u128, u128), Refusal> {
    fees(&chain.rpc).await.map_err(|error| unavailable(chain, error))
}

/// That the chain could not be asked, or would not take it; nothing was sent.
pub(super) fn unavailable(chain: &Chain, why: impl ToString) -> Refusal {
    Refusal::Unavailable { network: chain.rpc.network.clone(), why: why.to_string() }
}

/// How much gas one plain payment in this token may use: an estimate with room for a payee who had nothing before.
pub(super) async fn plain_gas(chain: &Chain, payment: &Payment) -> u64 {
    let transaction =
        json!({ "from": chain.sender, "to": payment.token.address, "data": payment.transfer_call() });
    let estimate: Result<U64, _> = chain.rpc.get(Call::new("eth_estimateGas", json!([transaction]))).await;
    let estimate = estimate.map_or(chain.caps.plain_gas, |gas| gas.to::<u64>());
    estimate.saturating_add(estimate / 4).saturating_add(25_000).min(chain.caps.plain_gas)
}

/// The first nonce that no transaction has, as the chain knows.
pub(super) async fn free_nonce(chain: &Chain, signer: Address) -> Result<u64, Refusal> {
    let count = |block| Call::new("eth_getTransactionCount", json!([signer, block]));
    let calls = [count("pending"), count("latest")];
    let answers = chain.rpc.get_all(&calls).await.map_err(|error| unavailable(chain, error))?;
    let latest: U64 =
        chain.rpc.read(calls[1].method, &answers[1]).map_err(|error| unavailable(chain, error))?;
    // Some nodes know no pending block.
    let pending = chain.rpc.read(calls[0].method, &answers[0]).unwrap_or(latest);
    Ok(pending.max(latest).to())
}

/// Sends a signed transaction.
pub(super) async fn send(chain: &Chain, signed: &Signed) -> Sent {
    let call = Call::new("eth_sendRawTransaction", json!([signed.raw]));
    let (answer, doubtful) = match chain.rpc.ask(&[call]).await {
        Ok(mut reply) => (reply.answers.remove(0), reply.doubtful),
        Err(silence) if silence.doubtful => return Sent::Unknown(silence.why),
        Err(silence) => return Sent::Refused(silence.why),
    };
    match answer.map_err(|error| judge(&error)) {
        Ok(_) => Sent::Accepted,
        Err(Sent::Refused(why) | Sent::Underpriced(why)) if doubtful => Sent::Unknown(why),
        Err(Sent::NonceUsed) if doubtful => Sent::Unknown("the nonce is used, perhaps by this".to_owned()),
        Err(sent) => sent,
    }
}

/// What a node's refusal of a transaction means, in the words of geth, op-geth, reth, erigon, nethermind and anvil.
fn judge(error: &NodeError) -> Sent {
    let words = error.message.to_ascii_lowercase();
    let any = |list: &[&str]| list.iter().any(|part| words.contains(part));
    if any(&["already known", "already imported", "alreadyknown", "known transaction", "already in mempool"])
    {
        Sent::Accepted
    } else if any(&["nonce too low", "nonce is too low", "oldnonce", "invalid nonce"]) {
        Sent::NonceUsed
    } else if any(&[
        "underpriced",
        "fee cap less than",
        "less than block base fee",
        "fee too low",
        "feetoolow",
    ]) {
        Sent::Underpriced(error.to_string())
    } else {
        Sent::Refused(error.to_string())
    }
}

/// The receipts there are of these transactions, and how many transactions of the signer are in blocks.
pub(super) async fn receipts(
    chain: &Chain,
    signer: Address,
    hashes: &[B256],
) -> Result<(Vec<Option<Receipt>>, u64), farthing_rail::RailError> {
    let mut calls = vec![Call::new("eth_getTransactionCount", json!([signer, "latest"]))];
    calls.extend(hashes.iter().map(|hash| Call::new("eth_getTransactionReceipt", json!([hash]))));
    let answers = chain.rpc.get_all(&calls).await?;
    let count: U64 = chain.rpc.read("eth_getTransactionCount", &answers[0])?;
    let read = |answer| chain.rpc.read::<Option<Receipt>>("eth_getTransactionReceipt", answer);
    Ok((answers[1..].iter().map(read).collect::<Result<_, _>>()?, count.to()))
}

/// The number of the latest block.
pub(super) async fn head(chain: &Chain) -> Result<u64, farthing_rail::RailError> {
    let head: U64 = chain.rpc.get(Call::new("eth_blockNumber", json!([]))).await?;
    Ok(head.to())
}

/// How long to wait between two looks for receipts: soon at first, as local and preconfirming chains are fast, and
/// ten times per block at last, within 100 to 250 ms.
pub(super) fn poll_wait(looks: u32, block_time: Duration) -> Duration {
    let slowest = (block_time / 10).clamp(Duration::from_millis(100), Duration::from_millis(250));
    (Duration::from_millis(4) * 2u32.saturating_pow(looks.min(8))).min(slowest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_words_are_understood() {
        let judge = |message: &str| {
            judge(&serde_json::from_value(json!({"code": -32000, "message": message})).unwrap())
        };
        assert!(matches!(judge("already known"), Sent::Accepted));
        assert!(matches!(judge("transaction already imported"), Sent::Accepted));
        assert!(matches!(judge("nonce too low: next nonce 5, tx nonce 4"), Sent::NonceUsed));
        assert!(matches!(judge("replacement transaction underpriced"), Sent::Underpriced(_)));
        assert!(matches!(judge("max fee per gas less than block base fee"), Sent::Underpriced(_)));
        assert!(matches!(judge("insufficient funds for gas * price + value"), Sent::Refused(_)));
    }

    #[test]
    fn receipts_are_asked_for_soon_and_then_steadily() {
        let base = Duration::from_secs(2);
        assert_eq!(poll_wait(0, base), Duration::from_millis(4));
        assert_eq!(poll_wait(100, base), Duration::from_millis(200));
        assert_eq!(poll_wait(100, Duration::ZERO), Duration::from_millis(100));
        assert_eq!(poll_wait(100, Duration::from_secs(12)), Duration::from_millis(250));
    }
}
