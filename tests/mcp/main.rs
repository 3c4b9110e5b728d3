//! `farthing mcp`, from outside: the real binary, a real (local) chain, our gateway as the seller. The client in here
//! speaks JSON-RPC by hand, so that it can do what a well-behaved client does not.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "the world is shared with the end-to-end tests, which use more of it")]

mod approvals;
mod bodies;
mod cancel;
mod clients;
mod hostile;
mod http;
mod money;
mod paid_tool;
mod pay;
mod refused;
mod rough;
mod rows;
mod session;
#[path = "../e2e/world.rs"]
mod world;
