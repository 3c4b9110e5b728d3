use std::fmt;
use std::str::FromStr;

use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use crate::{Asset, BaseUnits, Decimal, MoneyError, Usd};

/// A price or cap as people write it: `$0.0025`, `0.0025 USD`, `0.0025`, or `2500 base units`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Price {
    /// An amount of dollars.
    Dollars(Decimal),
    /// An amount in the smallest unit of whichever asset it is applied to.
    BaseUnits(BaseUnits),
}

impl Price {
    /// The price in base units of `asset`.
    ///
    /// # Errors
    /// [`MoneyError::TooPrecise`] when the asset has too few decimals; nothing is ever rounded.
    pub fn in_asset(&self, asset: &Asset) -> Result<BaseUnits, MoneyError> {
        match self {
            Self::BaseUnits(units) => Ok(*units),
            Self::Dollars(dollars) => {
                dollars.scaled(asset.decimals)?.map(BaseUnits::new).ok_or_else(|| MoneyError::TooPrecise {
                    amount: format!("${dollars}"),
                    symbol: asset.symbol.clone(),
                    decimals: asset.decimals,
                })
            }
        }
    }

    /// The price in dollars.
    ///
    /// # Errors
    /// [`MoneyError::BadAmount`] for base units, which have no value without an asset.
    pub fn in_dollars(&self) -> Result<Usd, MoneyError> {
        match self {
            Self::Dollars(dollars) => Usd::from_decimal(*dollars),
            Self::BaseUnits(units) => Err(MoneyError::BadAmount {
                text: format!("{units} base units"),
                why: "an amount in dollars is needed here, such as \"$0.05\"",
            }),
        }
    }
}

impl FromStr for Price {
    type Err = MoneyError;

    fn from_str(text: &str) -> Result<Self, MoneyError> {
        let text = text.trim();
        if let Some(units) = text.strip_suffix("base units").or_else(|| text.strip_suffix("base unit")) {
            return BaseUnits::from_digits(units.trim_end()).map(Self::BaseUnits);
        }
        let dollars =
            text.strip_prefix('$').unwrap_or_else(|| text.strip_suffix("USD").map_or(text, str::trim_end));
        dollars.parse().map(Self::Dollars)
    }
}

impl fmt::Display for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dollars(dollars) => write!(f, "${dollars}"),
            Self::BaseUnits(units) => write!(f, "{units} base units"),
        }
    }
}

impl Serialize for Price {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Price {
    /// Accepts text only: a YAML or JSON number has been through a float already, or soon will be.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Price;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an amount in quotes, such as \"$0.05\" or \"2500 base units\"")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Price, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Network, Registry};

    #[test]
    fn reads_what_people_write() {
        let registry = Registry::builtin();
        let usdc = registry.usdc(&Network::BASE).unwrap();
        for text in ["$0.0025", "0.0025", "0.0025 USD", "2500 base units", " $0.0025 "] {
            assert_eq!(text.parse::<Price>().unwrap().in_asset(usdc).unwrap().get(), 2500, "{text}");
        }
        for text in ["", "$", "$-1", "-$1", "1 EUR", "$1 USD", "1.5 base units", "$1e3"] {
            assert!(text.parse::<Price>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn never_rounds() {
        let registry = Registry::builtin();
        let usdc = registry.usdc(&Network::BASE).unwrap();
        let price: Price = "$0.0000001".parse().unwrap();
        assert!(matches!(price.in_asset(usdc), Err(MoneyError::TooPrecise { .. })));
    }

    #[test]
    fn json_numbers_are_refused() {
        assert!(serde_json::from_str::<Price>("0.05").is_err());
        assert!(serde_json::from_str::<Price>("\"$0.05\"").is_ok());
    }
}
