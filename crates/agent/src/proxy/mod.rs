//! A proxy that pays on the way, for programs that only speak HTTP.
//!
//! `http://127.0.0.1:4020/https://api.example.com/path` forwards to that address; a seller who asks for money is paid by
//! the wallet, under the policy's rules for the agent that the caller's token names. docs/proxy.md is the reference.
//!
//! What it promises:
//! - What the policy judged is what is called: one address, read once; the policy's lists, the freeze and the
//!   [`Reach`](farthing_http::Reach) decide before any connection is made, for free calls as well.
//! - The caller's token goes to nobody, whichever header it came in; payments come from the wallet alone.
//! - Answers stream. A paid one is kept while it streams, and read to its end when the caller leaves.
//! - No page in a browser can call it, and no 402 leaves it: nobody behind it is asked to pay.
//! - What goes wrong is told in JSON: a code, what happened, and what to do.

mod body;
mod config;
mod door;
mod forward;
mod headers;
mod problem;
mod reply;
mod server;
mod strangers;
mod target;
mod token;

pub use config::{Anonymous, Notify, ProxyConfig, ProxyError};
pub use server::Proxy;
pub use token::{KnownToken, Token, TokenFile, TokenFileError, Tokens};
