//! A transaction on its way: what it carries, and what its receipt means for each payment in it.

use alloy_consensus::TxEip1559;
use alloy_primitives::B256;
use farthing_ambient::Timestamp;
use farthing_money::BaseUnits;
use farthing_protocol::PaymentKey;
use farthing_protocol::x402::Reason;
use farthing_rail::{PaymentState, RailError, Settlement, VerifyError};
use tokio::time::Instant;

use super::chain::Chain;
use super::job::Job;
use super::payment::Payment;
use super::transaction::Signed;
use crate::lookup::{Nonce, find_use, is_used, nonce_state, receipt};
use crate::token::{Effect, Receipt};

/// One nonce of the signer in use.
#[derive(Debug)]
pub(super) struct Flight {
    /// The transaction but for its fees; a replacement differs in them only.
    pub(super) transaction: TxEip1559,
    /// What was sent, the last one with the highest fees. Any of them may be mined.
    pub(super) variants: Vec<Signed>,
    pub(super) jobs: Vec<Job>,
    /// The payments in it, also those that nobody waits for.
    pub(super) keys: Vec<PaymentKey>,
    /// When the last variant went out.
    pub(super) sent_at: Instant,
    /// When any variant was last given to the chain; `None`: it is due.
    pub(super) offered_at: Option<Instant>,
    /// Since when the chain counts its nonce as used, without a receipt of any variant.
    pub(super) passed_by: Option<Instant>,
    /// It is in a block, but not deep enough yet.
    pub(super) mined: bool,
    /// Its payments were confirmed before a reorganisation.
    pub(super) revived: bool,
}

impl Flight {
    pub(super) fn nonce(&self) -> u64 {
        self.transaction.nonce
    }

    /// Notes whether it is in a block, as far as the node knows that was asked. What is in none any more is as if it
    /// had just been sent, but for being due to be offered again: the time before says nothing of its fees.
    pub(super) fn note_mined(&mut self, mined: bool) {
        if self.mined && !mined {
            (self.sent_at, self.offered_at, self.passed_by) = (Instant::now(), None, None);
        }
        self.mined = mined;
    }

    /// The variant that was sent last.
    pub(super) fn last(&self) -> Option<&Signed> {
        self.variants.last()
    }
}

/// What a payment's failure inside a transaction comes to.
#[derive(Debug)]
pub(super) enum Verdict {
    /// It ended so.
    Ended(Settlement),
    /// It is sound, and failed for what others did: it goes again, alone.
    Again,
}

/// What a receipt means for one payment; `None`: the transaction did nothing for it, and it has to be found out why.
pub(super) fn outcome(receipt: &Receipt, payment: &Payment) -> Option<Settlement> {
    let transaction = receipt.transaction_hash.to_string();
    match receipt.effect(payment.token.address, &payment.authorization) {
        Effect::Paid => Some(confirmed(payment, transaction)),
        Effect::Mismatch => Some(failed(
            Reason::EVM_TRANSFER_EVENT_MISMATCH,
            "the token took the authorization and did not move the amount to the payee",
            Some(transaction),
        )),
        Effect::Nothing => None,
    }
}

pub(super) fn confirmed(payment: &Payment, transaction: String) -> Settlement {
    // The value equals the terms' amount, which is a u128: checked before anything else.
    let amount = u128::try_from(payment.authorization.value).unwrap_or(u128::MAX);
    Settlement::Confirmed { transaction, payer: payment.payer(), amount: BaseUnits::new(amount) }
}

pub(super) fn failed(reason: Reason, message: &str, transaction: Option<String>) -> Settlement {
    Settlement::Failed { reason, message: message.to_owned(), transaction }
}

/// Why a payment came to nothing in a mined transaction, and whether it should go again.
pub(super) async fn judge(
    chain: &Chain,
    payment: &Payment,
    mined: &Receipt,
    shared: bool,
    now: Timestamp,
) -> Verdict {
    let transaction = mined.transaction_hash;
    let used = match used_since(chain, payment, mined).await {
        Ok(used) => used,
        // Nobody can tell now; whoever asks for the outcome later will find out.
        Err(_) => return Verdict::Ended(pending(payment, transaction)),
    };
    if used {
        return Verdict::Ended(used_elsewhere(chain, payment, transaction, now).await);
    }
    if mined.succeeded() && !shared {
        return Verdict::Ended(failed(
            Reason::EVM_TRANSFER_EVENT_MISMATCH,
            "the token accepted the call and moved nothing",
            Some(transaction.to_string()),
        ));
    }
    if shared {
        return judge_in_company(chain, payment, transaction, now).await;
    }
    Verdict::Ended(reverted(transaction))
}

/// Why a payment failed that shared its transaction with others: by asking whether it would settle now, alone.
async fn judge_in_company(chain: &Chain, payment: &Payment, transaction: B256, now: Timestamp) -> Verdict {
    match chain.check(&mut payment.clone()).await {
        Ok(_) => Verdict::Again,
        // Just now, by somebody else: perhaps by a transfer, which pays the payee.
        Err(VerifyError::Invalid { reason, .. }) if reason == Reason::EVM_NONCE_ALREADY_USED => {
            Verdict::Ended(used_elsewhere(chain, payment, transaction, now).await)
        }
        Err(VerifyError::Invalid { reason, message, .. }) => {
            Verdict::Ended(failed(reason, &message, Some(transaction.to_string())))
        }
        Err(_) => Verdict::Ended(reverted(transaction)),
    }
}

/// The end of a payment whose transaction is in a block and did nothing for it.
pub(super) fn reverted(transaction: B256) -> Settlement {
    let message = "the transaction failed on the chain";
    failed(Reason::EVM_TRANSACTION_FAILED, message, Some(transaction.to_string()))
}

/// Whether a payment's nonce is used, as seen no earlier than from the block of this receipt. Only this "unused" may
/// end a payment for good.
pub(super) async fn used_since(chain: &Chain, payment: &Payment, mined: &Receipt) -> Result<bool, RailError> {
    let block = mined.block().ok_or_else(|| chain.rpc.nonsense("the receipt", "it names no block"))?;
    is_used(&chain.rpc, nonce_of(payment), block).await
}

/// What became of a payment whose transaction can never be mined; `None`: nothing, its nonce is unused.
pub(super) async fn passed_by(
    chain: &Chain,
    payment: &Payment,
    transaction: B256,
    now: Timestamp,
) -> Option<Settlement> {
    match nonce_state(&chain.rpc, nonce_of(payment)).await {
        Ok((_, true)) => Some(used_elsewhere(chain, payment, transaction, now).await),
        Ok((_, false)) => None,
        Err(_) => Some(pending(payment, transaction)),
    }
}

/// What used the nonce in place of our transaction. Anybody may redeem an authorization that they have seen: the
/// payee is paid by that as well.
async fn used_elsewhere(chain: &Chain, payment: &Payment, ours: B256, now: Timestamp) -> Settlement {
    let since = now.checked_sub(std::time::Duration::from_secs(3600)).unwrap_or(now);
    let Ok(found) = find_use(&chain.rpc, nonce_of(payment), since, chain.log_range).await else {
        return pending(payment, ours);
    };
    let canceled = || {
        let message = "the payer cancelled the payment, or used its nonce for another one";
        failed(Reason::EVM_NONCE_ALREADY_USED, message, Some(ours.to_string()))
    };
    if !found.by_transfer {
        return canceled();
    }
    match receipt(&chain.rpc, found.transaction).await {
        Ok(Some(receipt)) => match receipt.effect(payment.token.address, &payment.authorization) {
            Effect::Paid => confirmed(payment, found.transaction.to_string()),
            Effect::Mismatch => canceled(),
            // Its own log says otherwise: an endpoint that contradicts itself decides nothing.
            Effect::Nothing => pending(payment, ours),
        },
        _ => pending(payment, ours),
    }
}

pub(super) fn pending(payment: &Payment, transaction: B256) -> Settlement {
    Settlement::Pending { transaction: transaction.to_string(), payer: payment.payer() }
}

pub(super) fn nonce_of(payment: &Payment) -> Nonce {
    let Payment { token, authorization, .. } = payment;
    Nonce { token: token.address, from: authorization.from, nonce: authorization.nonce }
}

/// A look-up's answer as a settlement; `None` where the nonce is unused.
pub(super) async fn from_state(
    chain: &Chain,
    payment: &Payment,
    state: &PaymentState,
) -> Result<Option<Settlement>, RailError> {
    let other = "the payer cancelled the payment, or used its nonce for another one";
    match state {
        PaymentState::Unused { .. } => Ok(None),
        PaymentState::Canceled => Ok(Some(failed(Reason::EVM_NONCE_ALREADY_USED, other, None))),
        PaymentState::Settled { transaction } => {
            let hash: Option<B256> = transaction.as_ref().and_then(|hash| hash.parse().ok());
            let hash =
                hash.ok_or_else(|| chain.rpc.nonsense("the transaction that used the nonce", "not found"))?;
            let receipt = receipt(&chain.rpc, hash).await?;
            let receipt =
                receipt.ok_or_else(|| chain.rpc.nonsense("the receipt", "it was there just now"))?;
            let contradiction = || chain.rpc.nonsense("the receipt", "the logs say that it used the nonce");
            outcome(&receipt, payment).ok_or_else(contradiction).map(Some)
        }
    }
}
