use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::MoneyError;
use crate::error::printable;

/// A chain, by its CAIP-2 identifier (`namespace:reference`).
///
/// x402 v1 wrote names (`base`); they are read, and [`Network::v1_name`] gives them back.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Network(Cow<'static, str>);

/// x402 v1's names beside their CAIP-2 identifiers (reference/x402.md, "Types").
const V1_NAMES: [(&str, &Network); 4] = [
    ("base", &Network::BASE),
    ("base-sepolia", &Network::BASE_SEPOLIA),
    ("solana", &Network::SOLANA),
    ("solana-devnet", &Network::SOLANA_DEVNET),
];

impl Network {
    /// Base.
    pub const BASE: Self = Self(Cow::Borrowed("eip155:8453"));
    /// Base Sepolia, Base's test network.
    pub const BASE_SEPOLIA: Self = Self(Cow::Borrowed("eip155:84532"));
    /// Solana's main network.
    pub const SOLANA: Self = Self(Cow::Borrowed("solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp"));
    /// Solana's development network.
    pub const SOLANA_DEVNET: Self = Self(Cow::Borrowed("solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1"));

    /// The identifier: `eip155:8453`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The family of chains: `eip155`, `solana`.
    #[must_use]
    pub fn namespace(&self) -> &str {
        self.0.split_once(':').map_or("", |(namespace, _)| namespace)
    }

    /// The EIP-155 chain id, for networks of that namespace.
    #[must_use]
    pub fn evm_chain_id(&self) -> Option<u64> {
        self.0.strip_prefix("eip155:")?.parse().ok()
    }

    /// The network of an EIP-155 chain id.
    #[must_use]
    pub fn evm(chain_id: u64) -> Self {
        Self(Cow::Owned(format!("eip155:{chain_id}")))
    }

    /// The name that x402 v1 used, where it had one.
    #[must_use]
    pub fn v1_name(&self) -> Option<&'static str> {
        V1_NAMES.iter().find(|(_, network)| *network == self).map(|(name, _)| *name)
    }

    /// The network that an x402 v1 name meant.
    #[must_use]
    pub fn from_v1_name(name: &str) -> Option<Self> {
        V1_NAMES.iter().find(|(known, _)| *known == name).map(|(_, network)| (*network).clone())
    }

    /// A name for people: `Base`; the identifier where there is none.
    #[must_use]
    pub fn display_name(&self) -> &str {
        match self.as_str() {
            "eip155:8453" => "Base",
            "eip155:84532" => "Base Sepolia",
            "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp" => "Solana",
            "solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1" => "Solana devnet",
            other => other,
        }
    }

    /// Whether both text forms name the same asset address here: EVM addresses compare without case.
    #[must_use]
    pub fn same_address(&self, a: &str, b: &str) -> bool {
        if self.namespace() == "eip155" { a.eq_ignore_ascii_case(b) } else { a == b }
    }
}

impl FromStr for Network {
    type Err = MoneyError;

    /// Reads a CAIP-2 identifier or an x402 v1 name.
    fn from_str(text: &str) -> Result<Self, MoneyError> {
        if let Some(known) = Self::from_v1_name(text) {
            return Ok(known);
        }
        let bad = || MoneyError::BadNetwork(printable(text));
        let (namespace, reference) = text.split_once(':').ok_or_else(bad)?;
        let namespace_ok = (3..=8).contains(&namespace.len())
            && namespace.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        let reference_ok = (1..=32).contains(&reference.len())
            && reference.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        // `eip155:08453` and `eip155:8453` would be one chain under two names.
        let canonical = namespace != "eip155"
            || (reference.parse::<u64>().is_ok_and(|id| id.to_string() == reference && id != 0));
        if !(namespace_ok && reference_ok && canonical) {
            return Err(bad());
        }
        Ok(Self(Cow::Owned(text.to_owned())))
    }
}

impl TryFrom<String> for Network {
    type Error = MoneyError;

    fn try_from(text: String) -> Result<Self, MoneyError> {
        text.parse()
    }
}

impl From<Network> for String {
    fn from(network: Network) -> Self {
        network.0.into_owned()
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_ids_are_one() {
        let base: Network = "base".parse().unwrap();
        assert_eq!(base, "eip155:8453".parse().unwrap());
        assert_eq!(base, Network::evm(8453));
        assert_eq!(base.v1_name(), Some("base"));
        assert_eq!(base.evm_chain_id(), Some(8453));
        assert_eq!(Network::evm(1).v1_name(), None);
    }

    #[test]
    fn refuses_what_is_not_caip2() {
        for text in [
            "",
            "Base",
            "eip155",
            "eip155:",
            "eip155:08453",
            "eip155:0",
            "eip155:x",
            "EIP155:1",
            "a:b",
            "eip155:1 ",
        ] {
            assert!(text.parse::<Network>().is_err(), "{text:?}");
        }
    }
}
