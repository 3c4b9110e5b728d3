//! Buyers on Rust crates that others wrote. One run is one call: it prints what came back, and every request as it
//! went out, as one line of JSON; `{"error":…,"sent":…}` and exit code 1 if it could not pay.
#![forbid(unsafe_code)]

mod wire;

use std::process::ExitCode;

use alloy_signer_local::PrivateKeySigner;
use clap::{Parser, ValueEnum};
use reqwest::{Client, Method};
use reqwest_middleware::ClientBuilder;
use serde_json::{Value, json};
use x402_chain_eip155::{V1Eip155ExactClient, V2Eip155ExactClient};
use x402_reqwest::X402Client;

use crate::wire::{Sent, Version1Only};

/// Calls a URL once, and pays if it is asked to.
#[derive(Parser)]
struct Arguments {
    /// The crate that pays
    #[arg(value_enum)]
    buyer: Buyer,
    /// What to call
    #[arg(long)]
    url: String,
    /// The buyer's private key, in hexadecimal
    #[arg(long)]
    key: PrivateKeySigner,
    /// A buyer that knows version 1 only, and does not see version 2's header
    #[arg(long)]
    v1: bool,
    #[arg(short = 'X', long, default_value = "GET")]
    method: Method,
    /// The request's body
    #[arg(short, long, default_value = "")]
    data: String,
}

#[derive(Clone, Copy, ValueEnum)]
enum Buyer {
    /// x402-reqwest 2.0.2
    X402Reqwest,
    /// r402 0.21, which knows version 2 only
    R402,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let sent = Sent::default();
    let (said, code) = match call(&arguments, sent.clone()).await {
        Ok(said) => (said, ExitCode::SUCCESS),
        Err(error) => (json!({ "error": format!("{error:#}") }), ExitCode::FAILURE),
    };
    println!("{}", sent.added_to(said));
    code
}

async fn call(arguments: &Arguments, sent: Sent) -> Result<Value, reqwest_middleware::Error> {
    let client = payer(arguments).with(sent);
    let client = if arguments.v1 { client.with(Version1Only) } else { client }.build();
    let request = client.request(arguments.method.clone(), &arguments.url).body(arguments.data.clone());
    let response = request.send().await?;
    let (status, headers) = (response.status().as_u16(), wire::headers(response.headers()));
    Ok(json!({ "status": status, "headers": headers, "body": response.text().await? }))
}

fn payer(arguments: &Arguments) -> ClientBuilder {
    let client = ClientBuilder::new(Client::new());
    let key = arguments.key.clone();
    match arguments.buyer {
        Buyer::X402Reqwest => {
            let version_1 = V1Eip155ExactClient::new(std::sync::Arc::new(key.clone()));
            let version_2 = V2Eip155ExactClient::new(std::sync::Arc::new(key));
            client.with(X402Client::new().register(version_1).register(version_2))
        }
        Buyer::R402 => {
            client.with(r402_http::X402Client::new().register(r402_evm::Eip155ExactClient::new(key)))
        }
    }
}
