//! Finds priced APIs.
//!
//! What this crate is for: asking an origin what it sells ([`Discovery::discover`]), asking its routes what they really
//! charge ([`Discovery::probe`]), and asking indexes who sells what ([`Discovery::search`]). What is read, and what can
//! be wrong with it, is in [`farthing_protocol::discovery`].
//!
//! What it promises: only GET and HEAD are ever sent, unless [`Config::all_methods`] is set, and nothing with a body. No
//! request carries anything that identifies the user: a plain `User-Agent: farthing/VERSION`, no cookies, no referrer.
//! Every request is bounded in time and size, and kept within a [`Reach`](farthing_http::Reach); redirects are followed
//! within the same origin only, a few times, each checked. What cannot be had becomes a finding, and loses nothing else.
//! Nothing is paid and nothing is signed here.
//!
//! ```no_run
//! use farthing_discovery::{Config, Discovery, Site};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let discovery = Discovery::new(Config::default())?;
//! let mut origin = discovery.discover(&Site::parse("api.example.com")?).await;
//! discovery.probe(&mut origin).await;
//! for resource in &origin.resources {
//!     println!("{} {:?}", resource.key, resource.price.as_ref().map(ToString::to_string));
//! }
//! for finding in &origin.findings {
//!     println!("{} {}: {}", finding.severity, finding.place, finding.message);
//! }
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

mod ask;
mod config;
mod discover;
mod merge;
mod origin;
mod probe;
mod search;
mod site;

pub use config::{Config, SetupError};
pub use discover::{Discovery, Step};
pub use farthing_protocol::discovery::{
    AdvertisedPrice, AuthMode, Code, Finding, Input, Listed, LiveOffer, Output, Severity,
};
pub use origin::{Guidance, Live, Origin, Read, ReadState, Resource};
pub use search::{AskedIndex, DEFAULT_INDEXES, Found, Hit, Query};
pub use site::{BadSite, Site};
