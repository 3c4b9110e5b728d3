//! End to end: the real `farthing` binary as wallet, gateway and facilitator, a real (local) chain, and other
//! people's software.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod attacks_buyer;
mod attacks_seller;
mod caps;
mod crash;
mod discovery;
mod failures;
mod gateway_check;
mod json_shapes;
mod keyring;
mod output;
mod paid_call;
mod peers;
mod person;
mod proxy;
mod rpc_faults;
mod send;
mod slow_network;
mod standing;
mod tls;
mod ui;
mod world;
