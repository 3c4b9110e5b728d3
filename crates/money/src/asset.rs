use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};

use crate::{BaseUnits, Decimal, MoneyError, Network, Usd};

/// The EIP-712 domain fields that a token signs under.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Eip712Domain {
    /// The domain's name, which differs by chain: "USD Coin" on Base, "USDC" on Base Sepolia.
    pub name: String,
    /// The domain's version.
    pub version: String,
}

/// A number that is written as one: `"6"` is a text, whatever a reader of YAML could make of it.
fn whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u8, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected a whole number from 0 to 18, without quotes")]
    enum Number {
        Whole(u8),
    }
    Number::deserialize(deserializer).map(|Number::Whole(number)| number)
}

/// A token that Farthing knows: where it lives, how it counts, and that it is worth a dollar.
///
/// Only dollar assets exist here, because caps and budgets are in dollars and an exchange rate would be a float in
/// disguise.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asset {
    /// The chain.
    pub network: Network,
    /// The token's address on that chain, in its usual text form.
    pub address: String,
    /// The symbol for people: `USDC`.
    pub symbol: String,
    /// How many decimals one whole unit has; at most 18.
    #[serde(deserialize_with = "whole")]
    pub decimals: u8,
    /// What it signs under, for EVM tokens with EIP-3009 or EIP-2612.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eip712: Option<Eip712Domain>,
}

impl Asset {
    /// What `amount` is worth in dollars, exactly.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`] above 3.4 x 10^20 dollars, [`MoneyError::TooManyDecimals`].
    pub fn value(&self, amount: BaseUnits) -> Result<Usd, MoneyError> {
        let overflow = MoneyError::Overflow { what: "an amount in dollars" };
        let shift = self.usd_shift()?;
        amount.get().checked_mul(shift).map(Usd::new).ok_or(overflow)
    }

    /// `$0.0025`: the amount in dollars for people, exact. Falls back to base units when it cannot be shown.
    #[must_use]
    pub fn format(&self, amount: BaseUnits) -> String {
        match self.value(amount) {
            Ok(usd) => usd.to_string(),
            Err(_) => format!("{amount} base units of {}", self.symbol),
        }
    }

    /// `0.0025 USDC`: the amount in whole units, exact.
    #[must_use]
    pub fn format_units(&self, amount: BaseUnits) -> String {
        match Decimal::new(amount.get(), self.decimals) {
            Ok(units) => format!("{units} {}", self.symbol),
            Err(_) => format!("{amount} base units of {}", self.symbol),
        }
    }

    fn usd_shift(&self) -> Result<u128, MoneyError> {
        Usd::DECIMALS.checked_sub(self.decimals).map(|digits| 10u128.pow(u32::from(digits))).ok_or_else(
            || MoneyError::TooManyDecimals { symbol: self.symbol.clone(), decimals: self.decimals },
        )
    }

    fn check(&self) -> Result<(), MoneyError> {
        self.usd_shift()?;
        let plausible = match self.network.namespace() {
            "eip155" => {
                self.address.len() == 42
                    && self.address.starts_with("0x")
                    && self.address.bytes().skip(2).all(|b| b.is_ascii_hexdigit())
            }
            _ => {
                (32..=64).contains(&self.address.len())
                    && self.address.bytes().all(|b| b.is_ascii_alphanumeric())
            }
        };
        if plausible {
            return Ok(());
        }
        Err(MoneyError::BadAddress {
            address: crate::error::printable(&self.address),
            network: self.network.clone(),
        })
    }
}

/// The assets that may be paid with or charged in. Everything else is an unknown token and is refused.
#[derive(Debug, Clone)]
pub struct Registry {
    assets: Vec<Arc<Asset>>,
}

impl Registry {
    /// No asset at all.
    #[must_use]
    pub fn empty() -> Self {
        Self { assets: Vec::new() }
    }

    /// USDC on Base and Base Sepolia (reference/x402.md, "Networks and assets").
    #[must_use]
    pub fn builtin() -> Self {
        let usdc = |network: Network, address: &str, domain: &str| {
            Arc::new(Asset {
                network,
                address: address.to_owned(),
                symbol: "USDC".to_owned(),
                decimals: 6,
                eip712: Some(Eip712Domain { name: domain.to_owned(), version: "2".to_owned() }),
            })
        };
        Self {
            assets: vec![
                usdc(Network::BASE, "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913", "USD Coin"),
                usdc(Network::BASE_SEPOLIA, "0x036CbD53842c5426634e7929541eC2318f3dCF7e", "USDC"),
            ],
        }
    }

    /// Adds an asset of the user's configuration. The same asset again is accepted, a contradiction is not.
    ///
    /// # Errors
    /// [`MoneyError::BadAddress`], [`MoneyError::TooManyDecimals`], [`MoneyError::Conflict`].
    pub fn add(&mut self, asset: Asset) -> Result<(), MoneyError> {
        asset.check()?;
        match self.get(&asset.network, &asset.address) {
            Err(_) => self.assets.push(Arc::new(asset)),
            Ok(known) if **known == asset => {}
            Ok(_) => return Err(MoneyError::Conflict { address: asset.address, network: asset.network }),
        }
        Ok(())
    }

    /// The asset with this address on this network.
    ///
    /// # Errors
    /// [`MoneyError::UnknownAsset`]
    pub fn get(&self, network: &Network, address: &str) -> Result<&Arc<Asset>, MoneyError> {
        self.assets
            .iter()
            .find(|asset| asset.network == *network && network.same_address(&asset.address, address))
            .ok_or_else(|| MoneyError::UnknownAsset {
                address: crate::error::printable(address),
                network: network.clone(),
            })
    }

    /// USDC on this network.
    ///
    /// # Errors
    /// [`MoneyError::NoUsdc`]
    pub fn usdc(&self, network: &Network) -> Result<&Arc<Asset>, MoneyError> {
        self.iter()
            .find(|asset| asset.network == *network && asset.symbol == "USDC")
            .ok_or_else(|| MoneyError::NoUsdc(network.clone()))
    }

    /// Every known asset, built-in ones first.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Asset>> {
        self.assets.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn builtin_assets_pass_their_own_check() {
        for asset in Registry::builtin().iter() {
            asset.check().unwrap();
        }
    }

    #[test]
    fn case_of_an_evm_address_does_not_matter() {
        let registry = Registry::builtin();
        assert!(registry.get(&Network::BASE, "0x833589FCD6EDB6E08F4C7C32D4F71B54BDA02913").is_ok());
        assert!(registry.get(&Network::BASE_SEPOLIA, "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913").is_err());
    }

    #[test]
    fn configuration_adds_but_never_redefines() {
        let mut registry = Registry::builtin();
        let known = (**registry.usdc(&Network::BASE).unwrap()).clone();
        registry.add(known.clone()).unwrap();
        let redefined = registry.add(Asset { decimals: 8, ..known.clone() });
        assert!(matches!(redefined, Err(MoneyError::Conflict { .. })));
        let nineteen = Asset { decimals: 19, address: format!("0x{:040x}", 1), ..known.clone() };
        assert!(matches!(registry.add(nineteen), Err(MoneyError::TooManyDecimals { .. })));
        assert!(matches!(
            registry.add(Asset { address: "0x12".into(), ..known }),
            Err(MoneyError::BadAddress { .. })
        ));
    }

    proptest! {
        #[test]
        fn value_is_exact(units in any::<u64>(), decimals in 0u8..=18) {
            let registry = Registry::builtin();
            let asset = Asset { decimals, ..(**registry.usdc(&Network::BASE).unwrap()).clone() };
            let value = asset.value(BaseUnits::new(units.into()));
            match u128::from(units).checked_mul(10u128.pow(u32::from(18 - decimals))) {
                Some(expected) => prop_assert_eq!(value.unwrap().get(), expected),
                None => prop_assert!(value.is_err()),
            }
        }
    }
}
