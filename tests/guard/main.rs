//! `farthing guard` from outside: the real binary between a client and a server that keeps what reaches it. Each
//! statement of what Intercept does, each hole that it has, and what only ours does.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod agents;
mod approvals;
mod commands;
mod counters;
mod desk;
mod freeze;
mod hole_amounts;
mod hole_messages;
mod hole_policies;
mod hole_refunds;
mod hole_scopes;
mod hole_server;
mod hole_time;
mod operators;
mod order;
mod record;
mod reload;
mod session;
mod validate;
