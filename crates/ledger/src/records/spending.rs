use std::collections::BTreeMap;

use farthing_money::{MoneyError, Usd};
use jiff::tz::TimeZone;

use super::PurchaseState;

/// What purchases are added up by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SpendingBy {
    /// The day of the reservation in this time zone, as `2026-11-26`.
    Day(TimeZone),
    /// The host that was paid, without a port.
    Host,
    /// The agent that paid.
    Agent,
    /// The network that was paid on, as CAIP-2.
    Network,
}

/// So many payments of so much.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// The sum of their values.
    pub value: Usd,
    /// How many they are.
    pub count: u64,
}

/// What was spent, and what may yet turn out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Spent {
    /// The money moved.
    pub settled: Tally,
    /// The money is reserved: the purchase is not paid yet, or nobody knows whether it is.
    pub reserved: Tally,
}

/// The purchases of a filter, added up.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Spending {
    /// Per group, in the order of their names. `None` holds what has no such name: no agent, no host. A group in which
    /// nothing was paid or reserved is not there.
    pub groups: BTreeMap<Option<String>, Spent>,
    /// All of it.
    pub total: Spent,
}

impl Tally {
    fn add(&mut self, value: Usd) -> Result<(), MoneyError> {
        self.value = self.value.checked_add(value)?;
        self.count += 1;
        Ok(())
    }
}

impl Spent {
    /// Counts one purchase; one that was not paid counts nowhere.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`]
    pub(crate) fn add(&mut self, state: PurchaseState, value: Usd) -> Result<(), MoneyError> {
        match state {
            PurchaseState::Paid => self.settled.add(value),
            PurchaseState::NotPaid => Ok(()),
            PurchaseState::Reserved | PurchaseState::Signed | PurchaseState::Unknown => {
                self.reserved.add(value)
            }
        }
    }
}
