//! What agents touch.
//!
//! What this crate is for: the [`guard`] stands between an MCP client and an MCP server that it need not trust with
//! everything, and asks a [`Gate`](guard::Gate) about each call of a tool before the server sees it. The [`proxy`] stands
//! between any HTTP client and priced APIs, and pays on the way.
//!
//! What it promises: what the gate saw is what the server gets; every member of a batch is judged; every request is
//! answered, whatever dies; large results pass as the bytes they came in.
//!
//! ```
//! use farthing_agent::guard::{Call, Client, Decided, End, Gate, Refusal, Ticket};
//! use farthing_policy::json::Json;
//!
//! /// Lets nobody void an account, and shows nobody that one could.
//! struct NoVoiding;
//!
//! impl Gate for NoVoiding {
//!     fn call(&self, call: &Call<'_>, _: &Client) -> Decided {
//!         if self.hides(call.tool) {
//!             return Decided::Deny(Refusal { text: "Voiding needs a person".to_owned(), structure: None });
//!         }
//!         Decided::Allow(None)
//!     }
//!     fn hides(&self, tool: &str) -> bool {
//!         tool == "void_account"
//!     }
//!     fn ended(&self, _: Ticket, _: End<'_>) -> Option<Json> {
//!         None
//!     }
//! }
//!
//! use farthing_agent::guard::stdio::{StdioConfig, run};
//! # #[cfg(unix)] {
//! let config = StdioConfig::new(["sh", "-c", "exit 3"]);
//! assert_eq!(run(config, std::sync::Arc::new(NoVoiding)).unwrap(), 3);
//! # }
//! ```
#![forbid(unsafe_code)]
#![allow(
    clippy::result_large_err,
    reason = "a Denial is rare, and its fields are read; a box in every signature would buy nothing"
)]

pub mod guard;
pub mod mcp;
mod names;
pub mod proxy;
mod record;
mod stamp;
