//! Counters of calls of tools. They live in the buckets of the budgets, each in a scope of its own that no purchase has,
//! and in those buckets only that its window is added up from.

use std::fmt;
use std::time::Duration;

use farthing_money::Usd;
use farthing_policy::{Charge, Counter, Limit, Measure, Quantity, Refund, Usage, Window};
use rusqlite::{Connection, params};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Result, budget};
use crate::LedgerError;
use crate::window::{self, Frees, Unit, reach};

/// What the scopes of calls begin with, and those of purchases never do.
pub(super) const PREFIX: &str = "tool:";

/// What a call took from one counter. In the journal it is a list: scope, window, amount in 10^-18, and when it is
/// given back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Taken {
    scope: String,
    window: Window,
    amount: Usd,
    refund: Refund,
}

impl Taken {
    pub(super) fn of(charge: &Charge) -> Self {
        let Charge { counter, amount, refund } = charge;
        Self {
            scope: prefixed(&counter.scope),
            window: counter.window,
            amount: Usd::new(Quantity::get(*amount)),
            refund: *refund,
        }
    }

    /// The scope of its buckets. Two windows of one scope are two counters: what one of them writes, the other must not
    /// count again.
    pub(super) fn place(&self) -> String {
        place(&self.scope, self.window)
    }

    pub(super) fn units(&self) -> &'static [Unit] {
        window::units(self.window)
    }

    pub(super) fn amount(&self) -> Usd {
        self.amount
    }

    pub(super) fn refund(&self) -> Refund {
        self.refund
    }
}

fn prefixed(scope: &str) -> String {
    if scope.starts_with(PREFIX) { scope.to_owned() } else { format!("{PREFIX}{scope}") }
}

fn place(scope: &str, window: Window) -> String {
    format!("{scope} {}", window::name(window))
}

impl Serialize for Taken {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let amount = self.amount.get().to_string();
        (&self.scope, window::name(self.window), amount, self.refund).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Taken {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let (scope, name, digits, refund) = <(String, String, String, Refund)>::deserialize(deserializer)?;
        let window = window::named(&name).ok_or_else(|| D::Error::custom("no such window"))?;
        let amount = digits.parse().map_err(|_| D::Error::custom("no amount"))?;
        Ok(Self { scope, window, amount: Usd::new(amount), refund })
    }
}

impl fmt::Display for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.place(), self.amount.get())
    }
}

/// What is used of each counter at `now`. When use leaves a rolling window takes a further look at the database, and is
/// said only when somebody has to be told.
pub(super) fn usage(conn: &Connection, counters: &[Counter], now: i64, told: bool) -> Result<Vec<Usage>> {
    let one = |counter: &Counter| {
        let place = place(&prefixed(&counter.scope), counter.window);
        if told {
            let all = Measure::Amount(Usd::new(u128::MAX));
            return budget::usage(conn, &Limit::new("", place, counter.window, all), now);
        }
        let reach = reach(counter.window, now);
        let mut usage = Usage::default();
        for stretch in &reach.stretches {
            budget::add_up(conn, &place, *stretch, &mut usage)?;
        }
        if let Frees::At(end) = reach.frees {
            usage.frees_in = u64::try_from(end - now).ok().map(Duration::from_millis);
        }
        Ok(usage)
    };
    counters.iter().map(one).collect()
}

/// A bucket as it is going to be.
pub(super) struct Change {
    place: String,
    unit: Unit,
    start: i64,
    amount: Usd,
    count: i64,
}

/// The buckets of `at` with what is taken in them. Nothing is written yet: what no bucket can hold is refused without a
/// trace.
pub(super) fn take(conn: &Connection, taken: &[Taken], at: i64) -> Result<Vec<Change>> {
    changes(conn, taken, at, |taken, known| {
        let (amount, count) = known.unwrap_or_default();
        let amount = amount.checked_add(taken.amount).map_err(|_| budget::overflow(&taken.place()))?;
        Ok((amount, count + 1))
    })
}

/// The buckets of `at` without what was taken in them then; a count stays, as it does for purchases.
pub(super) fn give_back(conn: &Connection, taken: &[Taken], at: i64) -> Result<Vec<Change>> {
    changes(conn, taken, at, |taken, known| {
        let left = known.and_then(|(amount, count)| Some((amount.checked_sub(taken.amount).ok()?, count)));
        left.ok_or_else(|| {
            LedgerError::Corrupt(format!("the counter `{}` holds less than was taken", taken.place()))
        })
    })
}

fn changes(
    conn: &Connection,
    taken: &[Taken],
    at: i64,
    change: impl Fn(&Taken, Option<(Usd, i64)>) -> Result<(Usd, i64)>,
) -> Result<Vec<Change>> {
    let mut changes: Vec<Change> = Vec::with_capacity(2 * taken.len());
    for taken in taken {
        let place = taken.place();
        for unit in taken.units() {
            let start = unit.start(at);
            // A call may take from one counter twice.
            let before = changes.iter_mut().find(|other| other.unit == *unit && other.place == place);
            if let Some(other) = before {
                (other.amount, other.count) = change(taken, Some((other.amount, other.count)))?;
                continue;
            }
            let (amount, count) = change(taken, budget::bucket(conn, &place, *unit, at)?)?;
            changes.push(Change { place: place.clone(), unit: *unit, start, amount, count });
        }
    }
    Ok(changes)
}

pub(super) fn write(conn: &Connection, changes: &[Change]) -> Result<()> {
    for Change { place, unit, start, amount, count } in changes {
        conn.prepare_cached(
            "INSERT OR REPLACE INTO buckets (scope, unit, start, amount, count) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![place, unit.seconds(), start, amount.get().to_string(), count])?;
    }
    Ok(())
}
