//! What each fuzz target does with its input.
//!
//! What this crate is for: a body takes bytes and panics when a promise of Farthing's does not hold for them. cargo-fuzz
//! drives the bodies with bytes of its own (`fuzz/targets`); `tests/corpus.rs` replays the kept ones on stable Rust.
//!
//! What it promises: a body is deterministic, keeps nothing between inputs, and reaches only what a buyer, a seller, a
//! facilitator or an operator could hand to Farthing. What a body holds true stands in its documentation.
//!
//! ```
//! use farthing_fuzz_bodies::TARGETS;
//!
//! let money = TARGETS.iter().find(|target| target.name == "money").unwrap();
//! (money.run)(b"$0.0025");
//! ```
#![forbid(unsafe_code)]
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a body fails by panicking: that is what a fuzzer and a test look for"
)]

mod config_secrets;
mod discovery_document;
mod errors;
mod facilitator_request;
mod facilitator_yaml;
mod gateway_yaml;
mod json_rpc;
mod money;
mod path;
mod payment_header;
mod payment_required;
mod policy_yaml;
mod readers;
mod selling;
mod settlement;
mod tools_yaml;
mod wire;

/// One fuzz target: the name of its folder in `fuzz/corpus`, and what it does.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name.
    pub name: &'static str,
    /// Panics when a promise does not hold for the input.
    pub run: fn(&[u8]),
}

/// Every target whose body is here. `rpc_answer` needs what its crate does not show; its body is in `farthing-rail-evm`.
pub const TARGETS: [Target; 15] = [
    Target { name: "argument_path", run: tools_yaml::argument_path },
    Target { name: "cel", run: tools_yaml::cel },
    Target { name: "config_secrets", run: config_secrets::run },
    Target { name: "discovery_document", run: discovery_document::run },
    Target { name: "facilitator_request", run: facilitator_request::run },
    Target { name: "facilitator_yaml", run: facilitator_yaml::run },
    Target { name: "gateway_yaml", run: gateway_yaml::run },
    Target { name: "json_rpc", run: json_rpc::run },
    Target { name: "money", run: money::run },
    Target { name: "path", run: path::run },
    Target { name: "payment_header", run: payment_header::run },
    Target { name: "payment_required", run: payment_required::run },
    Target { name: "policy_yaml", run: policy_yaml::run },
    Target { name: "settlement", run: settlement::run },
    Target { name: "tools_yaml", run: tools_yaml::run },
];

/// Runs the target of this name.
///
/// # Panics
/// When there is none, or a promise does not hold for the input.
pub fn run(name: &str, input: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name).expect("a target's name");
    (target.run)(input);
}
