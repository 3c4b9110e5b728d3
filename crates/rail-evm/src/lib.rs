//! x402's `exact` scheme on EVM chains, over EIP-3009.
//!
//! What this crate is for: [`EvmPayer`] signs payments and finds out what became of them; [`EvmSettler`] verifies
//! payments and brings them onto the chain, many at a time. Networks are reached through several endpoints with
//! failover ([`ChainConfig`]).
//!
//! What it promises:
//! - **A payer signs the offer's terms or nothing.** The token's signing domain is the registry's, never the offer's.
//! - **A settler confirms what the receipt proves**: that token's `Transfer` of exactly that amount and the use of
//!   exactly that nonce, `confirmations` blocks deep, one by default; for a minute after that a transaction that a
//!   reorganisation took away is sent again.
//! - **Nothing leaves unrecorded.** A transaction, and a replacement of one, is sent after
//!   [`farthing_rail::SettlementLog::record`] returned `Ok`.
//! - **Nonces have no gaps.** One task owns each signer's; what may be out is watched until its nonce is used.
//! - **Everything is bounded**: gas and fees, requests in time and answers in size, queues, searches for logs.
//! - **A forged payment of a plain account costs no request** while it is known that the account has no code.
//! - **No secret is shown**: neither keys nor what an endpoint's URL holds besides scheme and host.
//!
//! Gas caps bound what the chain's execution costs. A rollup's charge for data comes on top, and is not capped here.
//!
//! ```
//! use std::sync::Arc;
//! use farthing_ambient::{Entropy, OsEntropy, Timestamp};
//! use farthing_money::{BaseUnits, Network, Registry};
//! use farthing_protocol::Requirements;
//! use farthing_rail::Payer;
//! use farthing_rail_evm::{ChainConfig, EvmPayer};
//!
//! let entropy: Arc<dyn Entropy> = Arc::new(OsEntropy);
//! let base = ChainConfig::public(&Network::BASE).ok_or("Base has public endpoints")?;
//! let payer = EvmPayer::new(secp256k1::SecretKey::from_byte_array([7; 32])?, &[base], &entropy)?;
//!
//! let registry = Registry::builtin();
//! let usdc = registry.usdc(&Network::BASE)?;
//! let terms = Requirements {
//!     scheme: "exact".into(),
//!     network: Network::BASE,
//!     amount: BaseUnits::new(2500),
//!     asset: usdc.address.clone(),
//!     pay_to: "0x209693Bc6afc0C5328bA36FaF03C514EF312287C".into(),
//!     max_timeout_seconds: 60,
//!     extra: serde_json::from_str(r#"{"name":"USD Coin","version":"2"}"#)?,
//! };
//! let signed = payer.sign(&terms, usdc, Timestamp::now(), &*entropy)?;
//! assert!(signed.payload.get().contains("signature"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]
#![allow(unexpected_cfgs, reason = "cargo-fuzz sets `cfg(fuzzing)`")]

mod abi;
mod config;
pub mod eip3009;
mod fees;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod hexes;
mod key;
mod lookup;
mod payer;
mod probe;
mod rpc;
mod settler;
mod token;

pub use config::ChainConfig;
pub use payer::{EvmPayer, MAX_TIMEOUT_SECONDS, UnlockKey};
pub use probe::{EndpointReport, GasMoney, LatestBlock, gas_money, probe};
pub use settler::{EvmSettler, SettlerConfig};
