//! Puts Farthing's MCP server into the configuration of the agents that people use, and takes it out again.
//!
//! What this crate promises:
//! - Outside of the entry every byte stays: comments, order, indentation, line breaks, byte order marks, other entries. A
//!   text that cannot be read is refused with its place; one that cannot be changed with certainty is left to its owner.
//! - A file is replaced at once, through symbolic links, with its permissions, and only if it is still what was read. What
//!   it held is kept beside it. Nothing is written when nothing changes.
//! - The entry holds no secret.
//!
//! [`Client::with`] and [`Client::without`] are pure; [`Surroundings`] knows where files are, [`Change`] reads and writes
//! them.
//!
//! ```
//! use farthing_install::{Client, Server};
//!
//! let server = Server {
//!     name: "farthing".to_owned(),
//!     command: "/usr/bin/farthing".to_owned(),
//!     args: vec!["mcp".to_owned()],
//! };
//! let before = "model = \"fast\" # mine\n";
//! let after = Client::Codex.with(Some(before), &server).unwrap();
//! assert!(after.starts_with(before) && after.contains("[mcp_servers.farthing]\ncommand = \"/usr/bin/farthing\""));
//! assert_eq!(Client::Codex.without(&after, "farthing", &[]).unwrap().as_deref(), Some(before));
//! ```
#![forbid(unsafe_code)]

mod change;
mod client;
mod edit;
mod entry;
mod error;
mod file;
mod place;

pub use change::{Change, Status};
pub use client::{Client, Scope, UnknownClient};
pub use edit::{EditError, Format, Place};
pub use entry::Server;
pub use error::InstallError;
pub use place::{Os, Surroundings};
