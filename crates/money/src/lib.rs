//! Money, exactly.
//!
//! What this crate is for: amounts as integer base units of one asset, the assets and networks they live on, and
//! the registry of assets that Farthing believes in.
//!
//! What it promises: no float anywhere, no silent rounding (a price that an asset cannot express is an error), no
//! overflow (arithmetic is checked), no unknown token (only what stands in the [`Registry`] is worth anything).
//! It does no I/O.
//!
//! ```
//! use farthing_money::{Network, Price, Registry};
//!
//! let registry = Registry::builtin();
//! let usdc = registry.usdc(&Network::BASE)?;
//! let price: Price = "$0.0025".parse()?;
//! let amount = price.in_asset(usdc)?;
//! assert_eq!(amount.get(), 2500);
//! assert_eq!(usdc.format(amount), "$0.0025");
//! assert!("$0.00000001".parse::<Price>()?.in_asset(usdc).is_err(), "USDC has six decimals");
//! # Ok::<(), farthing_money::MoneyError>(())
//! ```
#![forbid(unsafe_code)]

mod amount;
mod asset;
mod decimal;
mod error;
mod network;
mod price;

pub use amount::{BaseUnits, Usd};
pub use asset::{Asset, Eip712Domain, Registry};
pub use decimal::Decimal;
pub use error::MoneyError;
pub use network::Network;
pub use price::Price;
