//! Wire formats: what buyers, sellers and facilitators say to each other.
//!
//! What this crate is for: reading and writing x402 v1 and v2 - headers, 402 answers, payments, facilitator bodies -
//! and turning what a seller asks for into [`Offer`]s that do not depend on the protocol they came in.
//!
//! What it promises: decoding is bounded in size ([`MAX_HEADER_BYTES`], [`MAX_BODY_BYTES`], [`MAX_OFFERS`]) and depth,
//! and never panics; no key that is read may stand twice, so that no two readers see different terms; an offer keeps
//! the raw JSON it came in, and is echoed byte for byte; an offer that cannot be read is kept with the reason and never
//! silently dropped; signatures appear in no error and no debug output. It does no I/O.
//!
//! What the reference packages write is read, and what they read is written in their order of keys: `tests/golden` holds
//! that against files made from `@x402/core` and `@x402/evm` 2.27.0, and lists every difference with its reason.
//!
//! ```
//! use farthing_protocol::{Challenge, Requirements, x402};
//!
//! let terms = Requirements {
//!     scheme: "exact".into(),
//!     network: farthing_money::Network::BASE,
//!     amount: farthing_money::BaseUnits::new(2500),
//!     asset: "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913".into(),
//!     pay_to: "0x209693Bc6afc0C5328bA36FaF03C514EF312287C".into(),
//!     max_timeout_seconds: 60,
//!     extra: serde_json::from_str(r#"{"name":"USD Coin","version":"2"}"#)?,
//! };
//! let resource = x402::ResourceInfo::new("https://api.example.com/weather");
//! let paywall = x402::Paywall::new(&resource, &[terms])?;
//!
//! let challenge = Challenge::read(Some(paywall.v2_header().as_bytes()), paywall.v1_body(None).as_bytes())?;
//! assert_eq!(challenge.offers.len(), 2, "one offer, in each version");
//! assert_eq!(challenge.offers[0].requirements.amount.get(), 2500);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod challenge;
pub mod discovery;
mod error;
mod json;
mod offer;
pub mod x402;

pub use challenge::{Challenge, UnreadableOffer};
pub use error::{ProtocolError, shortened};
pub use json::{Object, StrictValue};
pub use offer::{Offer, PaymentKey, Protocol, Requirements};

/// The longest payment header that is decoded, in bytes of base64. The largest seen in use is 7.3 KB.
pub const MAX_HEADER_BYTES: usize = 32 * 1024;

/// The most offers that are read from one header or body. Offers differ by network and token; the reference knows about
/// 25 networks.
pub const MAX_OFFERS: usize = 100;

/// The largest 402 body or facilitator body that is decoded, in bytes.
pub const MAX_BODY_BYTES: usize = 256 * 1024;
