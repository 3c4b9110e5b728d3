//! How priced APIs describe themselves: documents that an origin serves, the bazaar extension of a 402, answers of
//! indexes; and what is wrong with them.
//!
//! Sources: `@agentcash/discovery` 1.6.3 and 1.7.5 (npm) for `/openapi.json` with `x-payment-info`, and for the legacy
//! documents; mpp-specs, draft-payment-discovery-00, for `offers` and `x-service-info`; x402's `specs/extensions/bazaar.md`
//! and `@x402/extensions` 2.27.0 for the bazaar extension and an index's answers.
//!
//! All of it is other people's text. Sizes, depths and counts are bounded; a part that cannot be read becomes a
//! [`Finding`] with its place, and costs nothing but itself.
//!
//! ```
//! use farthing_protocol::discovery::Document;
//! use farthing_money::Registry;
//!
//! let text = br#"{"openapi": "3.1.0", "info": {"title": "Weather", "version": "1"}, "paths": {
//!   "/weather": {"get": {"summary": "Now", "security": [], "x-payment-info": {
//!     "price": {"mode": "fixed", "amount": "0.02", "currency": "USD"}, "protocols": [{"x402": {}}]}}}}}"#;
//! let document = Document::read(text, "https://api.example.com", &Registry::builtin())?;
//! let operation = &document.operations[0];
//! assert_eq!(operation.key("https://api.example.com"), "https://api.example.com GET /weather");
//! assert_eq!(operation.price.as_ref().map(ToString::to_string).as_deref(), Some("$0.02"));
//! assert!(document.findings.iter().any(|finding| finding.code.as_str() == "missing-402-response"));
//! # Ok::<(), farthing_protocol::discovery::Finding>(())
//! ```

mod bazaar;
mod call;
mod document;
mod finding;
mod listing;
mod live;
mod node;
mod offer;
mod operation;
mod path;
mod price;
mod schema;
mod security;
mod server;
mod well_known;

pub use bazaar::Bazaar;
pub use call::{Input, Output};
pub use document::Document;
pub use finding::{Code, Finding, Severity};
pub use listing::{Listed, ListedOffer, Listing};
pub use live::{Advertised, LiveOffer, asks_for_mpp, compare};
pub use offer::AdvertisedOffer;
pub use operation::Operation;
pub use path::{fill, matches, normal};
pub use price::{AdvertisedPrice, AdvertisedProtocol, PriceMode};
pub use schema::local_pointer;
pub use security::AuthMode;
pub use server::server_url;
pub use well_known::{WellKnown, WellKnownResource};

/// The largest document that is read, in bytes.
pub const MAX_DOCUMENT_BYTES: usize = 4 << 20;
/// The most operations that are read from one document.
pub const MAX_OPERATIONS: usize = 2_000;
/// The most findings that are kept of one document: the worst, and one that says how many more there are.
pub const MAX_FINDINGS: usize = 500;
