//! The guard over HTTP, from outside: between a client that the test plays and a server that the test plays, over real
//! connections.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "test code: a panic is a failed test"
)]

mod bridge;
mod bridge_ends;
mod client;
mod door;
mod legacy;
mod scan;
mod serve;
mod serve_streams;
mod support;
mod upstream;
