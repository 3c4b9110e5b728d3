use crate::Network;

/// Why an amount, a network or an asset was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MoneyError {
    /// The text is not a decimal number.
    #[error("`{text}` is not an amount: {why}")]
    BadAmount {
        /// The text as it was given, cut to a printable length.
        text: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The result does not fit 128 bits.
    #[error("the amount is too large: {what}")]
    Overflow {
        /// The operation that would have overflowed.
        what: &'static str,
    },
    /// More was taken than was there.
    #[error("the amount would become negative: {what}")]
    Underflow {
        /// The operation that would have gone below zero.
        what: &'static str,
    },
    /// The asset has fewer decimals than the amount needs.
    #[error("{amount} cannot be expressed exactly in {symbol}, which has {decimals} decimals")]
    TooPrecise {
        /// The amount in whole units.
        amount: String,
        /// The asset's symbol.
        symbol: String,
        /// The asset's decimals.
        decimals: u8,
    },
    /// The text is no CAIP-2 identifier and no x402 v1 name.
    #[error("`{0}` is not a network: expected a CAIP-2 id such as eip155:8453, or a name such as base")]
    BadNetwork(String),
    /// The asset's address does not have its network's form.
    #[error("`{address}` is not an asset address on {network}")]
    BadAddress {
        /// The address as given.
        address: String,
        /// Where it should have been valid.
        network: Network,
    },
    /// No asset with this address is registered on this network.
    #[error(
        "the asset {address} on {network} is not known; add it under `assets` in the configuration if you trust it"
    )]
    UnknownAsset {
        /// The address as given.
        address: String,
        /// The network.
        network: Network,
    },
    /// No USDC is registered on this network.
    #[error("no USDC is known on {0}")]
    NoUsdc(Network),
    /// The asset is registered twice with different properties.
    #[error("the asset {address} on {network} is already registered with other properties")]
    Conflict {
        /// The address.
        address: String,
        /// The network.
        network: Network,
    },
    /// A registered asset would break exact arithmetic.
    #[error("the asset {symbol} has {decimals} decimals; at most 18 are supported")]
    TooManyDecimals {
        /// The asset's symbol.
        symbol: String,
        /// The asset's decimals.
        decimals: u8,
    },
}

/// Cuts text from outside to a length and alphabet that is safe to print.
pub(crate) fn printable(text: &str) -> String {
    const MAX: usize = 80;
    let mut out: String = text.chars().take(MAX).flat_map(char::escape_debug).collect();
    if text.chars().nth(MAX).is_some() {
        out.push('…');
    }
    out
}
