use std::fmt;

use serde::{Deserialize, Serialize};

use crate::json::Exact;

/// A non-negative amount of whatever a counter counts, exact to 18 decimals: calls, cents, rows. A counter of dollars
/// has the same units as [`farthing_money::Usd`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Quantity(u128);

impl Quantity {
    /// The decimals that are kept.
    const DECIMALS: i32 = 18;

    /// One: a call.
    pub const ONE: Self = Self(1_000_000_000_000_000_000);

    /// So many units of 10^-18.
    #[must_use]
    pub const fn new(units: u128) -> Self {
        Self(units)
    }

    /// In units of 10^-18.
    #[must_use]
    pub const fn get(self) -> u128 {
        self.0
    }

    /// The quantity of an exact number; none for a negative one, one with more than 18 decimals, and one beyond 3 x 10^20.
    #[must_use]
    pub fn of(number: Exact) -> Option<Self> {
        number.scaled(Self::DECIMALS).map(Self)
    }

    /// The sum; none when no quantity can hold it.
    #[must_use]
    pub const fn plus(self, other: Self) -> Option<Self> {
        match self.0.checked_add(other.0) {
            Some(sum) => Some(Self(sum)),
            None => None,
        }
    }

    /// The difference; zero when `other` is larger.
    #[must_use]
    pub const fn less(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// The quantity as a number.
    #[must_use]
    pub fn exact(self) -> Exact {
        Exact::of_units(self.0, -Self::DECIMALS)
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.exact().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forty_times_0_99_is_39_6() {
        let cents = Quantity::of(Exact::parse("0.99").unwrap()).unwrap();
        let sum = (0..40).fold(Quantity::default(), |sum, _| sum.plus(cents).unwrap());
        assert_eq!(sum.to_string(), "39.6");
        assert!(Quantity::of(Exact::parse("-1").unwrap()).is_none());
        assert_eq!(Quantity::of(Exact::parse("1e19").unwrap()).unwrap().to_string(), "10000000000000000000");
        assert!(Quantity::of(Exact::parse("1e21").unwrap()).is_none());
        assert_eq!(Quantity::ONE.to_string(), "1");
    }
}
