use std::fmt;
use std::str::FromStr;

use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use crate::error::printable;
use crate::{Decimal, MoneyError};

/// An amount in an asset's smallest unit. Which asset, its owner says; the number alone is worth nothing.
///
/// On the wire it is a string of decimal digits, as x402 writes amounts. Chains count in 256 bits; amounts above
/// 2^128 - 1 are refused as [`MoneyError::Overflow`], being more than exists of any asset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct BaseUnits(u128);

/// A value in US dollars, in units of 10^-18 dollar: what budgets count in.
///
/// Any asset pegged to the dollar with at most 18 decimals converts into it exactly, so one budget spans assets
/// with different decimals without rounding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Usd(u128);

macro_rules! checked_integer {
    ($name:ident, $what:literal) => {
        impl $name {
            /// Nothing.
            pub const ZERO: Self = Self(0);

            /// The integer as an amount.
            #[must_use]
            pub const fn new(units: u128) -> Self {
                Self(units)
            }

            /// The amount as an integer.
            #[must_use]
            pub const fn get(self) -> u128 {
                self.0
            }

            /// The sum.
            ///
            /// # Errors
            /// [`MoneyError::Overflow`]
            pub fn checked_add(self, other: Self) -> Result<Self, MoneyError> {
                self.0
                    .checked_add(other.0)
                    .map(Self)
                    .ok_or(MoneyError::Overflow { what: concat!("a sum of ", $what) })
            }

            /// The difference.
            ///
            /// # Errors
            /// [`MoneyError::Underflow`] when `other` is larger.
            pub fn checked_sub(self, other: Self) -> Result<Self, MoneyError> {
                self.0
                    .checked_sub(other.0)
                    .map(Self)
                    .ok_or(MoneyError::Underflow { what: concat!("a difference of ", $what) })
            }

            /// The difference, or zero when `other` is larger.
            #[must_use]
            pub const fn saturating_sub(self, other: Self) -> Self {
                Self(self.0.saturating_sub(other.0))
            }
        }
    };
}

checked_integer!(BaseUnits, "base units");
checked_integer!(Usd, "dollars");

impl BaseUnits {
    /// Reads the digits of an amount as x402 writes them: a string of decimal digits, nothing else.
    ///
    /// # Errors
    /// [`MoneyError::BadAmount`], or [`MoneyError::Overflow`] above 2^128 - 1.
    pub fn from_digits(text: &str) -> Result<Self, MoneyError> {
        if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(MoneyError::BadAmount {
                text: printable(text),
                why: "base units are written in digits only",
            });
        }
        let digits = text.trim_start_matches('0');
        if digits.is_empty() {
            return Ok(Self::ZERO);
        }
        digits.parse().map(Self).map_err(|_| MoneyError::Overflow { what: "an amount in base units" })
    }
}

impl FromStr for BaseUnits {
    type Err = MoneyError;

    fn from_str(text: &str) -> Result<Self, MoneyError> {
        Self::from_digits(text)
    }
}

impl fmt::Display for BaseUnits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for BaseUnits {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for BaseUnits {
    /// Accepts a string of digits or a non-negative integer; a float is an error.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Digits;
        impl Visitor<'_> for Digits {
            type Value = BaseUnits;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an amount in base units: a string of digits, or an integer")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<BaseUnits, E> {
                BaseUnits::from_digits(text).map_err(E::custom)
            }
            fn visit_u64<E: de::Error>(self, units: u64) -> Result<BaseUnits, E> {
                Ok(BaseUnits(units.into()))
            }
        }
        deserializer.deserialize_any(Digits)
    }
}

impl Usd {
    /// The digits after the point that a [`Usd`] can hold.
    pub const DECIMALS: u8 = 18;

    /// A decimal number of dollars.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`] above 3.4 x 10^20 dollars.
    pub fn from_decimal(dollars: Decimal) -> Result<Self, MoneyError> {
        let units = dollars.scaled(Self::DECIMALS)?;
        // A Decimal has at most 18 decimals, so it always fits the scale; say so instead of assuming it.
        units.map(Self).ok_or(MoneyError::Overflow { what: "decimals of a dollar amount" })
    }
}

impl FromStr for Usd {
    type Err = MoneyError;

    /// Reads what [`crate::Price`] reads, in dollars.
    fn from_str(text: &str) -> Result<Self, MoneyError> {
        text.parse::<crate::Price>()?.in_dollars()
    }
}

impl fmt::Display for Usd {
    /// `$0.0025`: exact, with no trailing zeros, and at least two decimals when there are any.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = Decimal::new(self.0, Self::DECIMALS).map_err(|_| fmt::Error)?.to_string();
        let pad = match text.split_once('.') {
            Some((_, fraction)) if fraction.len() == 1 => "0",
            Some(_) => "",
            None => ".00",
        };
        write!(f, "${text}{pad}")
    }
}

impl Serialize for Usd {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Usd {
    /// Accepts what [`crate::Price`] accepts, in dollars.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::Price::deserialize(deserializer)?.in_dollars().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn digits_only() {
        assert_eq!(BaseUnits::from_digits("0010").unwrap().get(), 10);
        for text in ["", "-1", "+1", "1.0", "1e6", "0x1", " 1", "٣"] {
            assert!(BaseUnits::from_digits(text).is_err(), "{text:?}");
        }
        let too_much = BaseUnits::from_digits("340282366920938463463374607431768211456");
        assert!(matches!(too_much, Err(MoneyError::Overflow { .. })));
    }

    #[test]
    fn json_refuses_floats_and_negatives() {
        for json in ["1.5", "-1", "1e3", "null", "\"1.5\"", "true"] {
            assert!(serde_json::from_str::<BaseUnits>(json).is_err(), "{json}");
        }
        assert_eq!(serde_json::from_str::<BaseUnits>("\"2500\"").unwrap(), BaseUnits(2500));
        assert_eq!(serde_json::to_string(&BaseUnits(2500)).unwrap(), "\"2500\"");
    }

    #[test]
    fn dollars_print_exactly() {
        for (text, printed) in
            [("0", "$0.00"), ("1", "$1.00"), ("0.5", "$0.50"), ("0.0025", "$0.0025"), ("12.34", "$12.34")]
        {
            assert_eq!(Usd::from_decimal(text.parse().unwrap()).unwrap().to_string(), printed);
        }
    }

    proptest! {
        #[test]
        fn sums_are_exact_or_refused(a in any::<u128>(), b in any::<u128>()) {
            match BaseUnits(a).checked_add(BaseUnits(b)) {
                Ok(sum) => prop_assert_eq!(sum.checked_sub(BaseUnits(b)).unwrap(), BaseUnits(a)),
                Err(_) => prop_assert!(a.checked_add(b).is_none()),
            }
        }

        #[test]
        fn text_round_trips(units in any::<u128>()) {
            prop_assert_eq!(BaseUnits(units).to_string().parse::<BaseUnits>().unwrap(), BaseUnits(units));
        }
    }
}
