//! Asking a facilitator to settle until the answer is known, for a bounded time.

use std::time::Duration;

use farthing_facilitator::Facilitate;
use farthing_money::Network;
use farthing_protocol::x402::{Reason, SettleResponse};
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::order::Order;

/// The pause after the first answer that leaves it open; each further one is twice as long, up to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LAST_PAUSE: Duration = Duration::from_secs(4);

/// What is known about a settlement.
#[derive(Debug)]
pub(crate) enum Settlement {
    /// The money moved.
    Done(SettleResponse),
    /// It did not, and this payment will not move any.
    Failed(SettleResponse),
    /// Nobody could say in time.
    Unknown(Unknown),
}

/// What is known of a settlement that is not known.
#[derive(Debug, Default)]
pub(crate) struct Unknown {
    /// The transaction, if one was named.
    pub(crate) transaction: Option<String>,
    /// The last question was given up before it was answered: somebody may be working on it still.
    pub(crate) cut_off: bool,
}

/// What came of asking before.
#[derive(Debug, Default)]
pub(crate) struct Earlier {
    /// An earlier question may have settled the payment.
    pub(crate) asked: bool,
    /// By this transaction.
    pub(crate) transaction: Option<String>,
}

/// Settles a payment.
pub(crate) async fn settle(
    facilitate: &dyn Facilitate,
    order: &Order,
    within: Duration,
    mut earlier: Earlier,
) -> Settlement {
    let deadline = Instant::now() + within;
    let mut pause = FIRST_PAUSE;
    loop {
        match timeout_at(deadline, facilitate.settle(&order.request)).await {
            Ok(Ok(response)) => match judge(response, order, &earlier) {
                Verdict::Open(named) => earlier.transaction = named.or(earlier.transaction),
                Verdict::Done(response) => return Settlement::Done(response),
                Verdict::Failed(response) => return Settlement::Failed(response),
            },
            Ok(Err(error)) => tracing::warn!(key = %order.key(), %error, "a settlement is not known"),
            Err(_) => {
                return Settlement::Unknown(Unknown { transaction: earlier.transaction, cut_off: true });
            }
        }
        earlier.asked = true;
        let next = Instant::now() + pause;
        if next < deadline {
            sleep_until(next).await;
        }
        // Nor after a late wake: a question that is cut off as soon as it is asked leaves more open than none.
        if next.max(Instant::now()) >= deadline {
            return Settlement::Unknown(Unknown { transaction: earlier.transaction, cut_off: false });
        }
        pause = (pause * 2).min(LAST_PAUSE);
    }
}

/// What one answer says.
enum Verdict {
    Done(SettleResponse),
    Failed(SettleResponse),
    /// Nothing yet; the transaction that is waited for, where one was named.
    Open(Option<String>),
}

fn judge(response: SettleResponse, order: &Order, earlier: &Earlier) -> Verdict {
    let transaction = Some(response.transaction.clone()).filter(|hash| !hash.is_empty());
    if response.success {
        return match implausible(&response, order) {
            None => Verdict::Done(response),
            Some(why) => {
                tracing::error!(key = %order.key(), why, "a facilitator's settlement makes no sense");
                Verdict::Open(transaction)
            }
        };
    }
    match &response.error_reason {
        // Without a reason nothing is known: a proxy's error page that happened to be JSON.
        None => Verdict::Open(transaction),
        Some(reason) if leaves_open(reason) => Verdict::Open(transaction),
        Some(_) if earlier.is_ended_by(transaction.as_deref()) => Verdict::Failed(response),
        // After an attempt whose end is not known, "already used", "cannot be simulated" and another transaction that
        // reverted may well mean: because of that attempt.
        Some(_) => Verdict::Open(None),
    }
}

impl Earlier {
    /// Whether a failure of this transaction is the end of all that was asked before.
    fn is_ended_by(&self, failed: Option<&str>) -> bool {
        let same = |(known, failed): (&String, &str)| known.eq_ignore_ascii_case(failed);
        !self.asked || self.transaction.as_ref().zip(failed).is_some_and(same)
    }
}

/// Whether a failure's reason leaves it open whether the money moved.
fn leaves_open(reason: &Reason) -> bool {
    matches!(reason, Reason::SettlementPending | Reason::UnexpectedSettleError)
        || *reason == Reason::POST_SETTLEMENT_TRANSFER_NOT_CONFIRMED
}

/// What a success must say to be believed.
fn implausible(response: &SettleResponse, order: &Order) -> Option<&'static str> {
    let network = &order.paid.network;
    let payer_differs =
        response.payer.as_ref().is_some_and(|payer| !network.same_address(payer, &order.paid.payer));
    if response.transaction.is_empty() {
        Some("it names no transaction")
    } else if response.network.parse::<Network>().is_ok_and(|named| named != *network) {
        Some("it is on another network")
    } else if payer_differs {
        Some("it was paid by somebody else")
    } else {
        None
    }
}
