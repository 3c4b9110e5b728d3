//! Verifies and settles payments for sellers.
//!
//! What this crate is for: [`Facilitator`] does it in this process, over the rails it is given; [`http::router`] offers
//! it to others; [`HttpFacilitator`] asks somebody else's. Sellers depend on [`Facilitate`] alone and need not know
//! which. [`FacilitatorConfig`] is `facilitator.yaml`.
//!
//! What it promises:
//! - One payment has one settlement, bound to the whole payment and the whole terms. The same request again, however
//!   often and from however many callers at once, is answered from the record; other terms are refused.
//! - Every transaction is in the ledger before it is sent. What a dead process left is taken up, and watched to its end.
//! - `settlement_pending` is never answered as a success, by us or when we ask others: a success names its transaction.
//! - A payment that is invalid is an answer; an error means that nobody knows, and that the same request may be
//!   asked again.
//! - Bodies, connections, waiting times, rates and settlements in flight are bounded. No key, signature or endpoint
//!   appears in an answer or a log.
//!
//! ```
//! use std::sync::Arc;
//! use farthing_facilitator::{Facilitate, Facilitator, Limits, http};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let clock = Arc::new(farthing_ambient::SystemClock);
//! let ledger = farthing_ledger::Ledger::in_memory(clock.clone())?;
//! let rails = vec![]; // `farthing_rail_evm::EvmSettler` for Base
//! let facilitator = Facilitator::new(rails, ledger, clock, Limits::default());
//! facilitator.resume().await?;
//! assert!(facilitator.supported().await?.kinds.is_empty(), "no rail, nothing supported");
//!
//! let router = http::router(facilitator.clone(), http::HttpConfig::default());
//! # drop(router);
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

mod answer;
mod check;
mod config;
mod config_text;
mod facilitate;
mod facilitator;
mod flights;
mod health;
pub mod http;
mod lane;
mod limits;
mod metrics;
mod presence;
mod remote;
mod remote_answer;
mod remote_http;
mod settlement;
mod sweeper;

pub use config::{
    FacilitatorConfig, InProcessConfig, KeyConfig, LimitsConfig, NetworkConfig, SettlingLimits,
};
pub use config_text::{ConfigError, Gwei, KeySource, PayeeAddress};
pub use facilitate::{Facilitate, FacilitatorError};
pub use facilitator::Facilitator;
pub use health::Health;
pub use limits::{Limits, Payees};
pub use metrics::Metrics;
pub use remote::{HttpFacilitator, RemoteConfig, RemoteConfigError};
