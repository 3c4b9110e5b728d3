//! The guard, from outside: the relay with pipes made of lists, and the whole of it around a real child.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "test code: a panic is a failed test"
)]

mod properties;
mod relay;
mod relay_server;
mod stdio;
mod stdio_ends;
mod support;
