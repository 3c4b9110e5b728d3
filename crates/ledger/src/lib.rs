//! The durable record of money.
#![forbid(unsafe_code)]

mod api;
mod records;

pub use api::Ledger;
pub use records::*;
