//! Asking a facilitator to settle until the answer is known, for a bounded time.

use std::time::Duration;

use farthing_facilitator::Facilitate;
use farthing_money::Network;
use farthing_protocol::x402::{Reason, SettleResponse};
use tokio::time::{Instant, sleep, timeout_at};

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
    /// Nobody could say in time. The transaction, if one was named.
    Unknown(Option<String>),
}

/// Settles a payment. `again`: an earlier attempt may have settled it.
pub(crate) async fn settle(
    facilitate: &dyn Facilitate,
    order: &Order,
    within: Duration,
    mut again: bool,
) -> Settlement {
    let deadline = Instant::now() + within;
    let mut pause = FIRST_PAUSE;
    let mut transaction = None;
    loop {
        match timeout_at(deadline, facilitate.settle(&order.request)).await {
            Ok(Ok(response)) => match judge(response, order, again) {
                Settlement::Unknown(named) => transaction = named.or(transaction),
                known => return known,
            },
            Ok(Err(error)) => tracing::warn!(key = %order.key(), %error, "a settlement is not known"),
            Err(_) => return Settlement::Unknown(transaction),
        }
        again = true;
        if Instant::now() + pause >= deadline {
            return Settlement::Unknown(transaction);
        }
        sleep(pause).await;
        pause = (pause * 2).min(LAST_PAUSE);
    }
}

fn judge(response: SettleResponse, order: &Order, again: bool) -> Settlement {
    let transaction = Some(response.transaction.clone()).filter(|hash| !hash.is_empty());
    if response.success {
        return match implausible(&response, order) {
            None => Settlement::Done(response),
            Some(why) => {
                tracing::error!(key = %order.key(), why, "a facilitator's settlement makes no sense");
                Settlement::Unknown(transaction)
            }
        };
    }
    match &response.error_reason {
        Some(reason) if !(leaves_open(reason) || again && transaction.is_none()) => {
            Settlement::Failed(response)
        }
        // Without a reason nothing is known: a proxy's error page that happened to be JSON. And after an attempt whose
        // answer is missing, "already used" or "cannot be simulated" may well mean: by that attempt.
        _ => Settlement::Unknown(transaction),
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
