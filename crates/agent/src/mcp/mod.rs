//! The MCP server for agents: find a priced API, see what a call costs, pay for it, get its data.
//!
//! What it promises:
//! - Every payment goes through the wallet, which decides, reserves, records and signs. Nothing in here changes a cap,
//!   shows a key, or approves a payment: where a person has to approve, the person is asked, by MCP's elicitation where
//!   the client can show a question, else in words that name the command.
//! - Nothing that was paid for is dropped: a body is in a file before it is in an answer, whatever its type and length.
//! - A call that is cancelled, or whose client leaves, while its seller is only asked ends there. Once the wallet
//!   decides on the payment, it goes on to its end, and is recorded.
//! - Looking is looking: no request is made for a price that may do something else, unless its provider says that it is
//!   priced.
//! - No tool leads to this machine or to the network around it, unless the configuration names the host
//!   ([`Reach`](farthing_http::Reach)).
//! - Every call of a tool is in the ledger's journal: who, which tool, a digest of the arguments, what was decided.
//! - What others wrote (bodies, descriptions, reasons) is passed on as data, marked as theirs.
//!
//! The protocol is the official SDK's (`rmcp`), over stdio and streamable HTTP, from revision 2024-11-05 to 2026-07-28.

mod answer;
mod approval;
mod books;
mod buy;
mod content;
mod desk;
mod find;
mod free;
mod http;
mod input;
mod listed;
mod look;
mod output;
mod paid_tool;
mod prompts;
mod record;
mod resources;
mod server;
mod tools;
mod trouble;
mod words;

pub use desk::{Desk, DeskConfig, Funding, Notify};
pub use http::{HttpConfig, HttpServer, serve_http};
pub use server::{McpError, serve_stdio};
