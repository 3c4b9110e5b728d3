//! Amounts, prices, networks and assets as people and sellers write them.

use std::str::FromStr;

use farthing_money::{Asset, BaseUnits, Decimal, MoneyError, Network, Price, Registry, Usd};

use crate::errors::reads_well;

/// What is read prints as text that reads as the same; an amount is the number that stands there, checked digit by
/// digit; a price in a token's base units is worth exactly the price in dollars; JSON takes what text takes.
pub(crate) fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Some(decimal) = read::<Decimal>(text) {
        assert_eq!(decimal.to_string(), plain(text), "{text:?}");
    }
    if let Some(units) = read::<BaseUnits>(text) {
        assert_eq!(units.to_string(), plain(text), "{text:?}");
    }
    if let Some(price) = read::<Price>(text) {
        price_is_exact(&price);
    }
    if let Some(network) = read::<Network>(text) {
        assert!(network.as_str().len() <= 41 && network.as_str().is_ascii());
        assert_eq!(network.evm_chain_id().is_some(), network.namespace() == "eip155");
    }
    read::<Usd>(text);
    from_json(text);
}

/// Reads text, and what that prints again.
fn read<T>(text: &str) -> Option<T>
where
    T: FromStr<Err = MoneyError> + ToString + PartialEq + std::fmt::Debug,
{
    let value = text.parse::<T>().inspect_err(|error| drop(reads_well(error))).ok()?;
    assert_eq!(value.to_string().parse::<T>().as_ref(), Ok(&value), "{text:?}");
    Some(value)
}

/// The number without zeros that say nothing: digits, a point, digits.
fn plain(text: &str) -> String {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    assert!(whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit()), "{text:?}");
    let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
    let whole = if whole.is_empty() { "0" } else { whole };
    if fraction.is_empty() { whole.to_owned() } else { format!("{whole}.{fraction}") }
}

fn price_is_exact(price: &Price) {
    let registry = Registry::builtin();
    let usdc = registry.usdc(&Network::BASE).unwrap();
    for decimals in [0, 6, 18] {
        let asset = Asset { decimals, symbol: "T".to_owned(), ..(**usdc).clone() };
        let units = price.in_asset(&asset).inspect_err(|error| drop(reads_well(error)));
        if let (Ok(units), Ok(dollars)) = (units, price.in_dollars()) {
            assert_eq!(asset.value(units), Ok(dollars), "{price:?} in {decimals} decimals");
            assert_eq!(asset.format(units).parse::<Usd>(), Ok(dollars));
        }
    }
}

fn from_json(text: &str) {
    if let Ok(units) = serde_json::from_str::<BaseUnits>(text) {
        let printed = serde_json::to_string(&units).unwrap();
        assert_eq!(serde_json::from_str::<BaseUnits>(&printed).unwrap(), units);
    }
    if let Ok(price) = serde_json::from_str::<Price>(text) {
        let string: String = serde_json::from_str(text).unwrap();
        assert_eq!(string.parse::<Price>(), Ok(price), "JSON takes what text takes");
    }
    if let Ok(asset) = serde_json::from_str::<Asset>(text) {
        added(asset);
    }
}

/// What the registry took is found again, and counts in dollars without rounding.
fn added(asset: Asset) {
    let mut registry = Registry::builtin();
    match registry.add(asset.clone()) {
        Ok(()) => {
            assert!(asset.decimals <= Usd::DECIMALS);
            assert_eq!(**registry.get(&asset.network, &asset.address).unwrap(), asset);
            assert!(asset.value(BaseUnits::new(1)).unwrap() > Usd::ZERO);
        }
        Err(error) => drop(reads_well(&error)),
    }
}
