//! The local page: what the wallet holds and spent, what waits for a person; and receipts as documents.
//!
//! What this crate is for: `farthing ui` serves it to the browser of the person who started it, on this machine only.
//! It reads the ledger, asks the wallet for balances, and writes two things: a person's decision on an approval, and the
//! freeze. [`Receipt`] writes one purchase down as HTML or PDF.
//!
//! What it promises:
//! - It listens on a loopback address only, and answers to that address alone: another name in `Host` is refused, so
//!   that no site can reach it by a name of its own.
//! - Nobody gets in without a link that this process made ([`Ui::link`]). A link is good once, for ten minutes; the session
//!   that it is exchanged for ends after an hour without use, after twelve in any case, and with the process. Its pages
//!   lie under a path that it alone is told, and its cookie is bound to that: another server on this machine is shown none.
//! - Nothing is written but by a form of the session's own pages: the request must come from this origin, and carry the
//!   session's token.
//! - The pages load nothing from elsewhere and run no script; text from outside is escaped, and what does not print in it
//!   is written out.
//! - No page shows signed bytes or keys. Query parameters that are named as secrets are hidden wherever nothing is
//!   decided; the terms of an approval are shown whole.
//!
//! ```
//! use farthing_ambient::{OsEntropy, SystemClock};
//! use farthing_ledger::Ledger;
//! use farthing_money::Registry;
//! use farthing_policy::Policy;
//! use farthing_ui::{Parts, Ui};
//! use std::sync::Arc;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! let ui = Ui::new(
//!     Parts {
//!         ledger: Ledger::in_memory(Arc::new(SystemClock))?,
//!         wallet: None,
//!         policy: Arc::new(|| Policy::parse(Policy::starter()).map_err(|error| error.to_string())),
//!         registry: Registry::builtin(),
//!         person: "ana".into(),
//!         clock: Arc::new(SystemClock),
//!         entropy: Arc::new(OsEntropy),
//!     },
//!     listener.local_addr()?,
//! )?;
//! assert!(ui.link()?.starts_with("http://127.0.0.1:"));
//! ui.serve(listener, std::future::ready(())).await;
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

mod balances;
mod chart;
mod door;
mod error;
mod guard;
mod pages;
mod receipt;
mod server;
mod terms;
mod words;

pub use error::UiError;
pub use receipt::Receipt;
pub use server::{Parts, PolicySource, Ui};
pub use terms::{TermLine, term_lines};
