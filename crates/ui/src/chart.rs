//! Amounts as bars. The templates draw them: a bar is a rectangle of whole units, stretched to the page's width.

use farthing_ledger::{Spending, Spent};
use farthing_money::Usd;
use jiff::civil::Date;

/// How high the chart of days is, in its own units.
pub(crate) const HEIGHT: u128 = 100;
/// How wide a day is in it, and how wide its bar.
pub(crate) const DAY_WIDTH: usize = 20;
pub(crate) const BAR_WIDTH: usize = 14;
/// How long a bar that lies is at most.
pub(crate) const LENGTH: u128 = 1000;

/// What was spent on each of some days.
pub(crate) struct Days {
    pub(crate) bars: Vec<Day>,
    /// The highest one.
    pub(crate) most: Usd,
}

/// A day's bar: what is settled at the foot, what is reserved above it.
pub(crate) struct Day {
    pub(crate) date: String,
    pub(crate) spent: Spent,
    pub(crate) x: usize,
    pub(crate) settled: Part,
    pub(crate) reserved: Part,
}

/// A part of a bar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) y: u128,
    pub(crate) height: u128,
}

impl Days {
    /// The `count` days up to `last`, those without spending among them.
    pub(crate) fn new(spending: &Spending, last: Date, count: usize) -> Self {
        let dates = std::iter::successors(Some(last), |date| date.yesterday().ok()).take(count);
        let mut days: Vec<(String, Spent)> = dates
            .map(|date| {
                let name = date.to_string();
                let spent = spending.groups.get(&Some(name.clone())).copied().unwrap_or_default();
                (name, spent)
            })
            .collect();
        days.reverse();
        let most = days.iter().map(|(_, spent)| all(spent)).max().unwrap_or_default();
        let bars =
            days.into_iter().enumerate().map(|(place, (date, spent))| Day::new(place, date, spent, most));
        Self { bars: bars.collect(), most }
    }

    /// How wide the chart is.
    pub(crate) fn width(&self) -> usize {
        self.bars.len() * DAY_WIDTH
    }
}

impl Day {
    fn new(place: usize, date: String, spent: Spent, most: Usd) -> Self {
        let settled = scaled(spent.settled.value.get(), most.get(), HEIGHT);
        let reserved = scaled(spent.reserved.value.get(), most.get(), HEIGHT).min(HEIGHT - settled);
        Self {
            date,
            spent,
            x: place * DAY_WIDTH + (DAY_WIDTH - BAR_WIDTH) / 2,
            settled: Part { y: HEIGHT - settled, height: settled },
            reserved: Part { y: HEIGHT - settled - reserved, height: reserved },
        }
    }
}

/// What is settled and what is reserved together.
pub(crate) fn all(spent: &Spent) -> Usd {
    spent.settled.value.checked_add(spent.reserved.value).unwrap_or(Usd::new(u128::MAX))
}

/// How much of `length` an amount takes, where `most` takes all of it. What is more than nothing can be seen.
pub(crate) fn scaled(amount: u128, most: u128, length: u128) -> u128 {
    let amount = amount.min(most);
    if amount == 0 {
        return 0;
    }
    // What is drawn has up to 128 bits: the unit is made larger until the product fits.
    let unit = (most / (u128::MAX / (length + 1))).saturating_add(1);
    (amount / unit * length).checked_div(most / unit).unwrap_or(length).clamp(1, length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_day_without_spending_is_there_too() {
        let mut spending = Spending::default();
        let mut spent = Spent::default();
        spent.settled.value = "$3".parse().unwrap();
        spent.reserved.value = "$1".parse().unwrap();
        spending.groups.insert(Some("2026-03-01".into()), spent);
        let days = Days::new(&spending, jiff::civil::date(2026, 3, 2), 3);
        let dates: Vec<_> = days.bars.iter().map(|day| day.date.as_str()).collect();
        assert_eq!(dates, ["2026-02-28", "2026-03-01", "2026-03-02"]);
        assert_eq!(days.bars[1].settled, Part { y: 25, height: 75 });
        assert_eq!(days.bars[1].reserved, Part { y: 0, height: 25 });
        assert_eq!((days.bars[0].settled.height, days.most.to_string().as_str()), (0, "$4.00"));
    }

    proptest! {
        #[test]
        fn bars_keep_to_their_place(a in any::<u128>(), b in any::<u128>(), most in 1u128..) {
            let (a, b) = (a.min(most), b.min(most));
            let (short, long) = (scaled(a.min(b), most, LENGTH), scaled(a.max(b), most, LENGTH));
            prop_assert!(short <= long && long <= LENGTH);
            prop_assert_eq!(scaled(most, most, LENGTH), LENGTH);
            prop_assert_eq!(short == 0, a.min(b) == 0);
        }
    }
}
