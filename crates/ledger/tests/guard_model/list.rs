//! The list of what happened, and what follows from it.

use farthing_ledger::PurchaseState;
use farthing_policy::{Counter, Limit, Measure, Refund, Window};

use crate::CENT;
use crate::common::{calendar_name, rolling};

/// Whether use at `at` counts in a window at `now`, as the crate's documentation says.
fn counts(window: Window, at: i64, now: i64) -> bool {
    match window {
        Window::Lifetime => true,
        Window::Calendar(period) => calendar_name(period, at) == calendar_name(period, now),
        Window::Rolling(period) => {
            let (length, slack) = rolling(period);
            at >= (now - length) - (now - length).rem_euclid(slack)
        }
    }
}

/// What one charge of a call took.
pub(crate) struct Take {
    pub(crate) call: usize,
    pub(crate) at: i64,
    pub(crate) counter: Counter,
    pub(crate) amount: u128,
    pub(crate) refund: Refund,
}

pub(crate) struct Payment {
    pub(crate) at: i64,
    pub(crate) cents: u128,
    pub(crate) payee: u8,
    pub(crate) scopes: Vec<String>,
    pub(crate) state: PurchaseState,
}

pub(crate) struct Asked {
    pub(crate) id: String,
    pub(crate) terms: u8,
    pub(crate) state: &'static str,
    pub(crate) expires: i64,
}

/// What happened, and the time of the last row.
#[derive(Default)]
pub(crate) struct Model {
    pub(crate) takes: Vec<Take>,
    /// Which calls may still give back.
    pub(crate) open: Vec<bool>,
    pub(crate) payments: Vec<Payment>,
    pub(crate) asked: Vec<Asked>,
    pub(crate) frozen: bool,
    pub(crate) last: i64,
}

impl Model {
    pub(crate) fn used(&self, counter: &Counter, now: i64) -> u128 {
        let counted = self.takes.iter().filter(|take| take.counter == *counter);
        counted.filter(|take| counts(counter.window, take.at, now)).map(|take| take.amount).sum()
    }

    /// Whether a limit has room for so many cents; `None` where it does not apply.
    pub(crate) fn has_room(&self, limit: &Limit, payee: u8, cents: u128, now: i64) -> Option<bool> {
        if limit.first_use_of.is_some() && self.payments.iter().any(|payment| payment.payee == payee) {
            return None;
        }
        let counted = self
            .payments
            .iter()
            .filter(|payment| payment.scopes.contains(&limit.scope) && counts(limit.window, payment.at, now));
        Some(match limit.measure {
            Measure::Count(most) => counted.count() < usize::try_from(most).unwrap(),
            Measure::Amount(most) => {
                let spent = counted.filter(|payment| payment.state != PurchaseState::NotPaid);
                let sum: u128 = spent.map(|payment| payment.cents).sum();
                (sum + cents) * CENT <= most.get()
            }
        })
    }

    /// The approval that holds for these terms.
    pub(crate) fn approval(&mut self, terms: u8, now: i64) -> Option<&mut Asked> {
        self.asked
            .iter_mut()
            .find(|asked| asked.terms == terms && asked.state != "used" && asked.expires > now)
    }
}
