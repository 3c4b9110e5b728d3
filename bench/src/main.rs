//! Farthing's benchmarks: each runs ours and its peer side by side, in interleaved rounds, and prints ratios.
//!
//! `cargo xtask bench` builds the peers and runs this. bench/README.md tells how to read the figures.
#![forbid(unsafe_code)]
#![allow(clippy::float_arithmetic, reason = "rates and ratios are measurements, not money")]

mod buyer;
mod cli;
mod facilitator;
mod figures;
mod gateway;
mod guard;
mod http1;
mod inside;
mod load;
mod mcp;
mod process;
mod proxy;
mod seller;
mod stub;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Why a benchmark could not be run: for the person who runs it.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Farthing's benchmarks.
#[derive(Parser)]
#[command(name = "cargo xtask bench", bin_name = "cargo xtask bench")]
struct Arguments {
    #[command(subcommand)]
    benchmark: Benchmark,
}

#[derive(Subcommand)]
enum Benchmark {
    /// Free, unpaid and paid requests of the gateway's layer, beside x402-axum 2.0.2
    Gateway(gateway::Options),
    /// Payments verified and settled on a local chain, beside x402-rs's facilitator
    Facilitator(facilitator::Options),
    /// How long the command line takes, and what it holds, beside agentcash
    Cli(cli::Options),
    /// What the guard adds to a call of a tool, beside the same server without it
    Guard(guard::Options),
    /// How soon the MCP server is there, what it holds, and what `pay` adds to a call, beside agentcash
    Mcp(mcp::Options),
    /// What the pay proxy adds to a free call, beside the same call without it
    Proxy(proxy::Options),
    /// The server of the guard's benchmark
    #[command(hide = true)]
    EchoServer,
    /// Our side of the gateway's benchmark, started by it as a process of its own
    #[command(hide = true)]
    Seller(seller::Options),
    /// Our side of the facilitator's benchmark, likewise
    #[command(hide = true)]
    Settler(inside::Options),
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().benchmark {
        Benchmark::Gateway(options) => gateway::run(&options),
        Benchmark::Facilitator(options) => facilitator::run(&options),
        Benchmark::Cli(options) => cli::run(&options),
        Benchmark::Guard(options) => guard::run(&options),
        Benchmark::Mcp(options) => mcp::run(&options),
        Benchmark::Proxy(options) => proxy::run(&options),
        Benchmark::EchoServer => guard::echo(),
        Benchmark::Settler(options) => inside::run(&options),
        Benchmark::Seller(options) => seller::run(&options),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            figures::complain(&failure.to_string());
            ExitCode::FAILURE
        }
    }
}
