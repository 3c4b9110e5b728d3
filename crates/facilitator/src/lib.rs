//! Verifies and settles payments for sellers.
#![forbid(unsafe_code)]

mod answer;
mod check;
mod facilitate;
mod facilitator;
mod flights;
mod health;
pub mod http;
mod lane;
mod limits;
mod metrics;
mod remote;
mod remote_answer;
mod settlement;
mod sweeper;

pub use facilitate::{Facilitate, FacilitatorError};
pub use facilitator::Facilitator;
pub use health::Health;
pub use limits::{Limits, Payees};
pub use metrics::Metrics;
pub use remote::{HttpFacilitator, RemoteConfig, RemoteConfigError};
