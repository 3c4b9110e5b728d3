//! What is used of each budget and rate: the policy's own, and those of its agents.

use farthing_ledger::{PurchaseFilter, SpendingBy, window_begin};
use farthing_money::Usd;
use farthing_policy::{CountedApart, Limit, Measure, Usage};

use crate::UiError;
use crate::chart::{LENGTH, scaled};
use crate::server::Shared;
use crate::words;

/// How many hosts, say, are shown of a budget that counts for each of them: those that used most.
const MOST_APART: usize = 5;
/// The scope of limits that count all payments together.
const ALL: &str = "all";

/// A budget or a rate.
#[derive(Default)]
pub(super) struct Budget {
    pub(super) name: String,
    /// Empty where it was said already.
    pub(super) window: String,
    /// The most of it, and its parts, in words.
    pub(super) most: String,
    pub(super) spent: String,
    pub(super) reserved: String,
    pub(super) left: String,
    /// The parts as bars, of [`LENGTH`].
    pub(super) spent_length: u128,
    pub(super) reserved_length: u128,
    pub(super) is_shadow: bool,
    pub(super) is_full: bool,
}

/// The budgets of a policy.
pub(super) struct Budgets {
    /// Those of which the use is known by itself.
    pub(super) list: Vec<Budget>,
    /// Those that count apart: for each host, for example.
    pub(super) apart: Vec<Apart>,
}

/// A budget or rate that counts apart.
pub(super) struct Apart {
    pub(super) words: String,
    /// Where most is used of it.
    pub(super) list: Vec<Budget>,
    /// How many more there are.
    pub(super) more: usize,
}

/// The budgets of the policy in force; what is wrong with the policy.
pub(super) async fn read(shared: &Shared) -> Result<Result<Budgets, String>, UiError> {
    let policy = match (shared.policy)() {
        Ok(policy) => policy,
        Err(why) => return Ok(Err(words::visible(&why))),
    };
    let mut list = Vec::new();
    for (limit, used) in shared.ledger.used(policy.limits_of_everybody()).await? {
        let reserved = reserved(shared, &limit).await?;
        list.push(Budget::new(&limit, used, reserved));
    }
    let mut apart = Vec::new();
    for one in policy.counted_apart() {
        apart.push(Apart::of(&one, &shared.ledger.used_apart(&one).await?));
    }
    Ok(Ok(Budgets { list, apart }))
}

impl Apart {
    fn of(apart: &CountedApart, used: &[(Limit, Usage)]) -> Self {
        let budget = |(limit, used): &(Limit, Usage)| {
            let name = apart.name(&limit.scope).unwrap_or(&limit.scope);
            Budget {
                name: words::visible(name),
                window: String::new(),
                ..Budget::new(limit, *used, Usd::ZERO)
            }
        };
        Self {
            words: words::visible(&apart.words),
            list: used.iter().take(MOST_APART).map(budget).collect(),
            more: used.len().saturating_sub(MOST_APART),
        }
    }
}

/// What is reserved now by purchases that began in the limit's window; of an agent's limit it is not known.
async fn reserved(shared: &Shared, limit: &Limit) -> Result<Usd, UiError> {
    if limit.scope != ALL {
        return Ok(Usd::default());
    }
    let since = window_begin(limit.window, shared.clock.now());
    let open = PurchaseFilter { unresolved: true, since, ..PurchaseFilter::default() };
    Ok(shared.ledger.spending(open, SpendingBy::Network).await?.total.reserved.value)
}

impl Budget {
    fn new(limit: &Limit, used: Usage, reserved: Usd) -> Self {
        match limit.measure {
            Measure::Amount(most) => Self::of_dollars(limit, most, used.amount, reserved),
            Measure::Count(most) => Self::of_payments(limit, most, used.count),
        }
    }

    fn of_dollars(limit: &Limit, most: Usd, used: Usd, reserved: Usd) -> Self {
        // It was read a moment later.
        let reserved = reserved.min(used);
        let spent = used.saturating_sub(reserved);
        let spent_length = scaled(spent.get(), most.get(), LENGTH);
        let reserved_length = scaled(reserved.get(), most.get(), LENGTH).min(LENGTH - spent_length);
        Self {
            most: most.to_string(),
            spent: spent.to_string(),
            reserved: if reserved == Usd::default() { String::new() } else { reserved.to_string() },
            left: most.saturating_sub(used).to_string(),
            spent_length,
            reserved_length,
            is_full: used >= most,
            ..Self::named(limit)
        }
    }

    fn of_payments(limit: &Limit, most: u64, used: u64) -> Self {
        Self {
            most: words::count(most, "payment"),
            spent: used.to_string(),
            left: most.saturating_sub(used).to_string(),
            spent_length: scaled(used.into(), most.into(), LENGTH),
            is_full: used >= most,
            ..Self::named(limit)
        }
    }

    fn named(limit: &Limit) -> Self {
        Self {
            name: words::visible(&limit.rule),
            window: limit.window.to_string(),
            is_shadow: limit.shadow,
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use farthing_policy::{Period, Window};

    #[test]
    fn what_is_used_is_spent_or_reserved() {
        let usd = |text: &str| text.parse::<Usd>().unwrap();
        let limit = Limit::new("day", "all", Window::Rolling(Period::Day), Measure::Amount(usd("$5")));
        let used = Usage { amount: usd("$2"), count: 3, frees_in: None };
        let budget = Budget::new(&limit, used, usd("$0.5"));
        let parts = (budget.spent.as_str(), budget.reserved.as_str(), budget.left.as_str());
        assert_eq!(parts, ("$1.50", "$0.50", "$3.00"));
        assert_eq!((budget.spent_length, budget.reserved_length, budget.is_full), (300, 100, false));
        let pace = Limit::new("pace", "all", Window::Rolling(Period::Minute), Measure::Count(3));
        let budget = Budget::new(&pace, used, usd("$0.5"));
        assert_eq!((budget.spent.as_str(), budget.reserved.as_str(), budget.left.as_str()), ("3", "", "0"));
        assert!(budget.is_full && budget.most == "3 payments");
    }
}
