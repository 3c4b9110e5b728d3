//! The seller's side as its users meet it: the layer around a server, and the gateway in front of one. The facilitator
//! is scripted; nothing here asks a chain.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "test code: a panic is a failed test"
)]

mod attacks;
mod charging;
mod configuration;
mod copies;
mod discovery;
mod documents;
mod lifecycle;
mod paths;
mod proxying;
mod unpaid;
mod upfront;
mod waiting;
mod withheld;
mod world;
