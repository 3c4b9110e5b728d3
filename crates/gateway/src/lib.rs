//! The seller's side: prices for routes, the layer that charges, the reverse proxy around it.
//!
//! What this crate is for: [`Pricing`] reads `gateway.yaml`; [`PaymentLayer`] charges for the calls of any tower
//! service, in your own server or in the [`Gateway`], which is that layer around a [`Proxy`]. Both tell buyers what there
//! is to buy ([`Documents`]), if need be in the words of your API's own document ([`SharedPricing::describe_with`]).
//!
//! What it promises (DESIGN.md, "The life of a paid call"):
//! - A payment is claimed durably, and once, before the handler runs: one payment buys at most one response, however
//!   many copies arrive.
//! - A call that failed - status 400 and above, a timeout, a panic, a broken connection to the upstream - is not
//!   settled, except on routes that settle `upfront`.
//! - An answer goes out after its settlement is known and recorded, or is withheld. What is withheld, or was cut off,
//!   the buyer gets by sending the same request with the same payment again; an `upfront` answer that he himself broke
//!   off he has had.
//! - The path that is matched is the path that is served; what could be read in two ways is refused.
//! - What buyers are told beforehand is made of the terms that they are asked for. It costs nothing, and hides no file of
//!   the inner service that can be had for nothing, unless the configuration says so.
//! - Prices are exact, an empty price list is an error, and nothing is free that is not written down as free.
//!
//! ```
//! use std::sync::Arc;
//! use farthing_gateway::{Config, PaymentLayer, Pricing};
//! # use farthing_facilitator::{Facilitate, FacilitatorError};
//! # use farthing_protocol::x402::*;
//! # #[derive(Debug)] struct Nobody;
//! # #[async_trait::async_trait]
//! # impl Facilitate for Nobody {
//! #     async fn verify(&self, _: &FacilitatorRequest) -> Result<VerifyResponse, FacilitatorError> { Ok(VerifyResponse::default()) }
//! #     async fn settle(&self, _: &FacilitatorRequest) -> Result<SettleResponse, FacilitatorError> { Ok(SettleResponse::default()) }
//! #     async fn supported(&self) -> Result<SupportedResponse, FacilitatorError> { Ok(SupportedResponse::default()) }
//! # }
//! use tower::{Layer, ServiceExt};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let facilitator = Arc::new(Nobody);
//! let config = Config::parse("gateway.yaml", r#"
//! public_url: https://api.example.com
//! pay_to: "0x209693Bc6afc0C5328bA36FaF03C514EF312287C"
//! accepts: [base]
//! routes:
//!   - {match: "GET /weather/{city}", price: "$0.002"}
//! "#)?;
//! let clock = Arc::new(farthing_ambient::SystemClock);
//! let ledger = farthing_ledger::Ledger::in_memory(clock.clone())?;
//! let layer = PaymentLayer::new(Pricing::new(&config)?, facilitator, ledger, clock);
//!
//! let weather = axum::Router::new().route("/weather/{city}", axum::routing::get(async || "sunny"));
//! let request = http::Request::get("/weather/oslo").body(axum::body::Body::empty())?;
//! let answer = layer.layer(weather.clone()).oneshot(request).await?;
//! assert_eq!(answer.status(), 402);
//!
//! // Who wants to know beforehand asks for one of the documents.
//! let request = http::Request::get("/openapi.json").body(axum::body::Body::empty())?;
//! assert_eq!(layer.layer(weather).oneshot(request).await?.status(), 200);
//! let documents = layer.pricing().documents().ok_or("switched off")?;
//! assert!(std::str::from_utf8(documents.llms.body())?.contains("$0.002 (USDC) on Base"));
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

mod admit;
mod answer;
mod buffers;
mod charge;
mod config;
mod core;
mod discovery;
mod error;
mod exposure;
mod gateway;
mod headers;
mod inflight;
mod layer;
mod linger;
mod metrics;
mod order;
mod path;
mod paywall;
mod pricing;
mod proxy;
mod reload;
mod route;
mod settle;
mod store;
mod streamed;

pub use answer::{GatewayBody, Held};
pub use config::{Config, FacilitatorSection, Limits};
pub use discovery::{Document, DocumentError, Documents, Notice, UpstreamDocument, upstream_document};
pub use error::{ConfigError, GatewayError};
pub use exposure::PayerLimits;
pub use gateway::Gateway;
pub use layer::{PaymentLayer, PaymentService, RequestBody, is_resent};
pub use metrics::Metrics;
pub use order::Paid;
pub use path::{PathError, canonical_path};
pub use pricing::Pricing;
pub use proxy::Proxy;
pub use reload::{SharedPricing, Watcher};
pub use store::{LogStore, MemoryStore, ResponseStore, StoreError, StoredResponse};
pub use streamed::Streamed;
