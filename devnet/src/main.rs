//! `farthing-devnet`: a local Base for work by hand.

#![forbid(unsafe_code)]

use std::{
    io::{self, IsTerminal, Write},
    process::ExitCode,
};

use clap::Parser;
use farthing_devnet::{
    Base, Error, MULTICALL3,
    accounts::{self, BUYER, BUYER_2, BUYER_3},
};
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};

/// What each buyer starts with: 1,000 USDC, in base units.
const BUYER_BASE_UNITS: u64 = 1_000_000_000;

const EXAMPLES: &str = "\
Examples:
  farthing-devnet                             Base Sepolia at http://127.0.0.1:8545
  farthing-devnet --chain-id 8453 --port 0    Base, on any free port
  farthing-devnet --block-time 2              blocks every 2 seconds, as on the real chain
  farthing-devnet --json | jq -r .rpcUrl      for scripts: one line of JSON once it is ready

It runs until Ctrl-C or SIGTERM, and forgets everything then.";

/// A local Base with USDC on it, for work by hand.
#[derive(Parser)]
#[command(version, after_help = EXAMPLES)]
struct Arguments {
    /// Which chain to play: 8453 (Base) or 84532 (Base Sepolia)
    #[arg(long, default_value_t = farthing_devnet::BASE_SEPOLIA)]
    chain_id: u64,

    /// Where to listen on 127.0.0.1; 0 takes a free port
    #[arg(long, default_value_t = 8545)]
    port: u16,

    /// Mine a block every N seconds; without it, each transaction at once
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    block_time: u64,

    /// Print one line of JSON instead of text
    #[arg(long)]
    json: bool,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing is left to be done if standard error is closed.
            let _ = writeln!(io::stderr(), "farthing-devnet: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<(), Box<dyn std::error::Error>> {
    // Before the chain starts, so that no signal is missed.
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let chain = tokio::select! {
        chain = start(&arguments) => chain?,
        _ = interrupt.recv() => return Ok(()),
        _ = terminate.recv() => return Ok(()),
    };
    if arguments.json {
        writeln!(io::stdout(), "{}", machine_readable(&chain))?;
    } else {
        introduce(&chain, &mut io::stdout().lock(), io::stdout().is_terminal())?;
    }
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    chain.stop().await;
    Ok(())
}

/// Starts the chain and gives the buyers something to spend.
async fn start(arguments: &Arguments) -> Result<Base, Error> {
    let builder = Base::builder().chain_id(arguments.chain_id).port(arguments.port);
    let chain = builder.block_time_s(arguments.block_time).start().await?;
    for buyer in [BUYER, BUYER_2, BUYER_3] {
        chain.set_balance(buyer.address, BUYER_BASE_UNITS).await?;
    }
    Ok(chain)
}

fn machine_readable(chain: &Base) -> Value {
    let accounts = accounts::ALL.map(|account| {
        json!({ "role": account.role, "address": account.address.to_string(), "privateKey": account.private_key })
    });
    json!({
        "rpcUrl": chain.rpc_url(),
        "chainId": chain.chain_id(),
        "network": chain.network(),
        "pid": chain.pid(),
        "usdc": chain.usdc().to_string(),
        "multicall3": MULTICALL3.to_string(),
        "accounts": accounts,
    })
}

fn introduce(chain: &Base, out: &mut impl Write, coloured: bool) -> io::Result<()> {
    let (bold, plain) = if coloured { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
    let url = chain.rpc_url();
    writeln!(out, "{bold}A local Base is ready at {url}{plain}\n")?;
    writeln!(out, "  network     {} (anvil, process {})", chain.network(), chain.pid())?;
    writeln!(out, "  USDC        {}", chain.usdc())?;
    writeln!(out, "  Multicall3  {MULTICALL3}\n")?;
    writeln!(out, "{bold}Accounts{plain}: 10,000 ETH each, the buyers 1,000 USDC each.")?;
    writeln!(out, "Their keys are public development keys: never send real money to them.\n")?;
    for account in accounts::ALL {
        writeln!(out, "  {:<13} {}  {}", account.role, account.address, account.private_key)?;
    }
    writeln!(out, "\n{bold}The buyer's USDC, in base units{plain} (hexadecimal):\n")?;
    writeln!(out, "  {}\n", balance_query(chain))?;
    writeln!(out, "Ctrl-C stops it.")
}

/// A call of balanceOf(buyer) that needs curl only.
fn balance_query(chain: &Base) -> String {
    let call = json!({ "to": chain.usdc().to_string(), "data": format!("0x70a08231{:0>64}", hex_of(BUYER)) });
    let request = json!({ "jsonrpc": "2.0", "id": 1, "method": "eth_call", "params": [call, "latest"] });
    format!("curl -s {} -H 'content-type: application/json' -d '{request}'", chain.rpc_url())
}

fn hex_of(account: farthing_devnet::Account) -> String {
    format!("{:x}", account.address)
}
