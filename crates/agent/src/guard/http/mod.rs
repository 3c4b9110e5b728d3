//! The guard over HTTP: MCP's streamable HTTP in all its revisions (2025-03-26 to 2026-07-28), and HTTP with SSE of
//! 2024-11-05, on either side.
//!
//! [`bridge`] stands between standard input and output and a server; [`Server`] listens for clients, each session of
//! whom has a [`Relay`](super::Relay) and a gate of its own; [`scan_http`] and [`scan_stdio`] ask a server for its
//! tools.
//!
//! What it promises, beside what the [guard](super) does:
//! - What the server refused (HTTP 4xx and 5xx, no connection) has not run: [`End::Failed`](super::End::Failed). After
//!   a connection that broke, silence, 502 and 504, nobody knows: [`End::Lost`](super::End::Lost).
//! - A stream that breaks before its answer is taken up again where the server can do that, and nothing comes twice.
//! - A web page can't reach the guard through a name that points to this machine, nor another machine without a token.
//! - No redirect is followed, and no header's value appears in a log or an error.

mod bridge;
mod config;
mod exchange;
mod front;
mod listen;
mod mirror;
mod outgoing;
mod queue;
mod reader;
mod replay;
mod server;
mod session;
mod sse;
mod tools;
mod upstream;

pub use bridge::bridge;
pub use config::{BridgeConfig, HttpError, Secret, ServeConfig, Target, Transport};
pub use server::{Gates, Server, SessionInfo};
pub use tools::{ScanError, scan_http, scan_stdio};
