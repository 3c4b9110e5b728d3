//! Payments that pass through the guard, and offers in answers: the policy's gate with a relay between lists.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "test code: a panic is a failed test"
)]

mod carried;
mod claims;
mod ends;
mod offers;
mod world;
