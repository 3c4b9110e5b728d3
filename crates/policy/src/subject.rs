use std::fmt;

use alloy_primitives::Address;
use farthing_money::{Asset, Network};

use crate::error::printable;

/// Whom a payment pays, as it is compared: the decoded address on EVM chains, the exact text elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Payee {
    Evm(Address),
    Other(String),
}

/// An entry in a list of assets.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum AssetPattern {
    /// Every asset of this symbol, in upper case.
    Symbol(String),
    /// One asset.
    Exact { network: Network, address: String },
}

impl Payee {
    /// Reads an entry of a policy. A checksum in its letters' case must be right, as it is there to find typos.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        match text.strip_prefix("0x") {
            Some(digits) => {
                let address = evm_address(text).ok_or_else(|| not_an_address(text))?;
                let one_case = !digits.bytes().any(|b| b.is_ascii_lowercase())
                    || !digits.bytes().any(|b| b.is_ascii_uppercase());
                if one_case || address.to_checksum(None) == text {
                    return Ok(Self::Evm(address));
                }
                Err(format!("`{text}`: the letters' case does not fit the address, so there is a typo in it"))
            }
            None if is_base58_address(text) => Ok(Self::Other(text.to_owned())),
            None => Err(not_an_address(text)),
        }
    }

    /// Reads the payee of an offer on `network`; there, the letters' case is the seller's business.
    pub(crate) fn of_offer(network: &Network, text: &str) -> Option<Self> {
        if network.namespace() == "eip155" {
            return evm_address(text).map(Self::Evm);
        }
        is_base58_address(text).then(|| Self::Other(text.to_owned()))
    }

    /// The scope under which budgets `each: payee` count.
    pub(crate) fn scope(&self) -> String {
        match self {
            Self::Evm(address) => format!("payee:{address:#x}"),
            Self::Other(text) => format!("payee:{text}"),
        }
    }
}

impl AssetPattern {
    /// Reads an entry of a policy: `USDC`, or `base/0x…`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let Some((network, address)) = text.split_once('/') else {
            let plausible = (1..=16).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
            return if plausible {
                Ok(Self::Symbol(text.to_ascii_uppercase()))
            } else {
                Err(format!(
                    "`{}` is not an asset: write a symbol such as USDC, or network/address such as base/0x…",
                    printable(text)
                ))
            };
        };
        let network: Network = network.parse().map_err(|error| format!("{error}"))?;
        let address = match Payee::parse(address)? {
            Payee::Evm(address) if network.namespace() == "eip155" => address.to_checksum(None),
            Payee::Other(address) if network.namespace() != "eip155" => address,
            _ => return Err(format!("`{}` is not an address on {network}", printable(address))),
        };
        Ok(Self::Exact { network, address })
    }

    /// Whether the entry covers `asset`.
    pub(crate) fn covers(&self, asset: &Asset) -> bool {
        match self {
            Self::Symbol(symbol) => symbol.eq_ignore_ascii_case(&asset.symbol),
            Self::Exact { network, address } => {
                *network == asset.network && network.same_address(address, &asset.address)
            }
        }
    }
}

impl fmt::Display for Payee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Evm(address) => f.write_str(&address.to_checksum(None)),
            Self::Other(text) => f.write_str(text),
        }
    }
}

impl fmt::Display for AssetPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Symbol(symbol) => f.write_str(symbol),
            Self::Exact { network, address } => write!(f, "{network}/{address}"),
        }
    }
}

/// `0x` and forty hexadecimal digits, in any case.
fn evm_address(text: &str) -> Option<Address> {
    let digits = text.strip_prefix("0x").filter(|digits| digits.len() == 40)?;
    let mut bytes = [0; 20];
    hex::decode_to_slice(digits, &mut bytes).ok()?;
    Some(bytes.into())
}

fn is_base58_address(text: &str) -> bool {
    (32..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() && !matches!(b, b'0' | b'O' | b'I' | b'l'))
}

fn not_an_address(text: &str) -> String {
    format!("`{}` is not an address", printable(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use farthing_money::Registry;

    const CHECKSUMMED: &str = "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913";

    #[test]
    fn case_is_a_checksum_or_nothing() {
        let lower = Payee::parse(&CHECKSUMMED.to_lowercase()).unwrap();
        assert_eq!(Payee::parse(CHECKSUMMED).unwrap(), lower);
        assert_eq!(Payee::parse(&format!("0x{}", CHECKSUMMED[2..].to_uppercase())).unwrap(), lower);
        assert!(Payee::parse("0x833589FCD6eDb6E08f4c7C32D4f71b54bdA02913").is_err());
        let offered = Payee::of_offer(&Network::BASE, "0x833589FCD6eDb6E08f4c7C32D4f71b54bdA02913");
        assert_eq!(offered.unwrap(), lower, "an offer's case does not matter");
    }

    #[test]
    fn addresses_belong_to_their_chains() {
        let solana = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v";
        assert!(Payee::parse(solana).is_ok());
        assert!(Payee::of_offer(&Network::BASE, solana).is_none());
        assert!(Payee::of_offer(&Network::SOLANA, CHECKSUMMED).is_none());
        for text in ["", "0x", "0x12", "alice", &format!("{CHECKSUMMED}00")] {
            assert!(Payee::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn assets_by_symbol_or_address() {
        let registry = Registry::builtin();
        let base = registry.usdc(&Network::BASE).unwrap();
        let sepolia = registry.usdc(&Network::BASE_SEPOLIA).unwrap();
        let exact = AssetPattern::parse(&format!("base/{}", CHECKSUMMED.to_lowercase())).unwrap();
        assert!(exact.covers(base) && !exact.covers(sepolia));
        let symbol = AssetPattern::parse("usdc").unwrap();
        assert!(symbol.covers(base) && symbol.covers(sepolia));
        for text in ["", CHECKSUMMED, "base/", "nowhere/0x12", "base/alice", &format!("solana/{CHECKSUMMED}")]
        {
            assert!(AssetPattern::parse(text).is_err(), "{text:?}");
        }
    }
}
