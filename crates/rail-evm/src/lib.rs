//! EVM networks.
#![forbid(unsafe_code)]

mod abi;
mod config;
pub mod eip3009;
mod hexes;
mod key;
mod lookup;
mod payer;
mod rpc;
mod token;

pub use config::ChainConfig;
pub use payer::{EvmPayer, MAX_TIMEOUT_SECONDS, UnlockKey};
