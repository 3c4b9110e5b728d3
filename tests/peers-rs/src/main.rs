//! Rust crates that others wrote, as programs. Each prints one line of JSON when it is ready:
//! `{"ready":true,"port":N,"pid":N}`. SIGTERM or Ctrl-C ends it.
#![forbid(unsafe_code)]

use alloy_primitives::Address;
use axum::Router;
use axum::routing::get;
use clap::{Parser, Subcommand};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use x402_axum::X402Middleware;
use x402_chain_eip155::{KnownNetworkEip155, V2Eip155Exact};
use x402_types::networks::USDC;

type Failure = Box<dyn std::error::Error>;

/// Programs on Rust crates that others wrote.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    program: Program,
}

#[derive(Subcommand)]
enum Program {
    /// A seller on x402-axum 2.0.2: `GET /paid` for USDC on Base Sepolia, `GET /free` for nothing
    X402Axum(Seller),
}

#[derive(clap::Args)]
struct Seller {
    /// The facilitator's base URL
    #[arg(long)]
    facilitator: String,
    /// Who is paid
    #[arg(long)]
    pay_to: Address,
    /// The price, in USDC's base units
    #[arg(long, default_value_t = 2500)]
    amount: u64,
    /// The body of an answer
    #[arg(long, default_value = "ok")]
    answer: String,
    /// Where to listen on 127.0.0.1; 0 takes a free port
    #[arg(long, default_value_t = 0)]
    port: u16,
}

/// One worker, so that a benchmark measures one core.
#[tokio::main(flavor = "multi_thread", worker_threads = 1)]
async fn main() -> Result<(), Failure> {
    match Arguments::parse().program {
        Program::X402Axum(seller) => serve(&seller).await,
    }
}

async fn serve(seller: &Seller) -> Result<(), Failure> {
    let mut terminate = signal(SignalKind::terminate())?;
    let listener = TcpListener::bind(("127.0.0.1", seller.port)).await?;
    let port = listener.local_addr()?.port();
    let app = x402_axum(seller)?;
    println!(r#"{{"ready":true,"port":{port},"pid":{}}}"#, std::process::id());
    let stop = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
    };
    Ok(axum::serve(listener, app).with_graceful_shutdown(stop).await?)
}

fn x402_axum(seller: &Seller) -> Result<Router, Failure> {
    let x402 = X402Middleware::try_new(&seller.facilitator)?;
    let price = V2Eip155Exact::price_tag(seller.pay_to, USDC::base_sepolia().amount(seller.amount));
    let answer = || {
        let body = seller.answer.clone();
        get(move || std::future::ready(body.clone()))
    };
    Ok(Router::new().route("/paid", answer().layer(x402.with_price_tag(price))).route("/free", answer()))
}
