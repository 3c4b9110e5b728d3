//! The guard: a proxy between any MCP client and any MCP server that asks a [`Gate`] about every call of a tool.
//!
//! What it promises:
//! - What the gate saw is what the server gets: one strict parse, written anew. Every member of a batch is judged. Keys
//!   that another reader could take for known ones are refused.
//! - Every request gets an answer: the server's, a denial, or an error when the server dies, stays silent or answers
//!   what can't be read. Every ticket gets its end, once, unless the process leaves first.
//! - Large results pass as the bytes they came in; only lists of tools, and answers to calls with a ticket, are parsed.
//! - A payment that comes with a call is judged by what is signed; one that comes with anything else, or beside
//!   `params`, is refused where the gate judges payments.
//! - Nothing waits for ever and nothing grows without bound ([`Limits`]).
//!
//! [`Relay`] is the session, whatever carries the messages ([`Link`]); [`stdio`] carries them to a child process, [`http`] to
//! and from servers and clients that speak HTTP.

mod client;
mod from_client;
mod from_server;
mod gate;
pub mod http;
mod id;
mod list;
mod message;
mod policed;
mod relay;
mod scan;
pub mod stdio;
mod table;

pub use client::{AskError, Client};
pub use gate::{Call, Decided, End, Gate, Refusal, Ticket};
pub use policed::{
    Notify, Policed, PolicedConfig, PolicyFile, PolicyFileError, Reloaded, Words, payment_host,
};
pub use relay::{Limits, Link, Relay, Side, Stream, Taken};
pub use scan::{Form, Scan, Shape};
