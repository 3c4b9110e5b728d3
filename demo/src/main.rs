//! `cargo xtask demo`: the main job on a local chain, one step after the other.
//!
//! Real parts throughout: anvil with a USDC, the `farthing` binary as wallet, gateway and facilitator, and a web
//! server that is being sold. Every figure shown is read back from the chain or from the wallet.
#![forbid(unsafe_code)]

mod api;
mod picture;
mod stage;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anstream::println;
use base64::Engine as _;
use clap::Parser;
use farthing_devnet::accounts::{FACILITATOR, PAYEE};
use farthing_devnet::{BASE_SEPOLIA, Base};
use serde_json::Value;

use stage::{Broken, COMMAND, DIM, GOOD, Terminal};

/// Shows a paid call, end to end, on a local chain.
#[derive(Debug, Parser)]
struct Args {
    /// Leave chain, API and gateway running, and the wallet's folder in place, until Ctrl-C.
    #[arg(long)]
    keep: bool,
    /// Draw the demo's output as an SVG into this file instead of showing it.
    #[arg(long, value_name = "FILE", conflicts_with = "keep")]
    svg: Option<PathBuf>,
    /// The `farthing` binary to show.
    #[arg(long, env = "FARTHING_BIN")]
    farthing: PathBuf,
}

const POLICY: &str = r#"version: 1
payments:
  max: "$0.05"                                         # per payment
  budgets:
    - {name: hour, max: "$1.00", per: 60 minutes}      # rolling
    - {name: day, max: "$3.00", per: day}              # calendar, UTC
"#;

#[tokio::main]
async fn main() -> ExitCode {
    drop(rustls::crypto::ring::default_provider().install_default());
    let args = Args::parse();
    let done = match &args.svg {
        Some(file) => picture::draw(&args.farthing, file).await,
        None => play(&args).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(broken) => {
            anstream::eprintln!("\nthe demo stopped: {broken}");
            ExitCode::FAILURE
        }
    }
}

async fn play(args: &Args) -> Result<(), Broken> {
    let folder = tempfile::Builder::new().prefix("farthing-demo-").tempdir()?;
    let home = folder.path().join("wallet");
    let terminal = Terminal::new(args.farthing.clone(), home.clone(), "only for this demo".to_owned());

    terminal.step("A local Base, with a USDC at Base Sepolia's address").await;
    let chain = Base::builder().chain_id(BASE_SEPOLIA).block_time_s(1).start().await?;
    terminal.say(format!("chain {} at {}, USDC at {}", chain.chain_id(), chain.rpc_url(), chain.usdc()));

    terminal.step("A weather API, and farthing gateway in front of it").await;
    let upstream = api::serve().await?;
    let gateway_url = format!("http://127.0.0.1:{}", free_port()?);
    let config = folder.path().join("gateway.yaml");
    std::fs::write(&config, gateway_yaml(&gateway_url, &upstream, &chain))?;
    show_file(&terminal, &config, "routes:")?;
    let signer_key = FACILITATOR.private_key.to_string();
    let mut gateway = terminal.gateway(&config, ("FACILITATOR_KEY", &signer_key), &gateway_url).await?;

    terminal.step("An agent's wallet, with caps, and five dollars in it").await;
    terminal.run(&["init", "--yes"], 0).await?;
    std::fs::write(home.join("config.yaml"), wallet_yaml(&chain))?;
    std::fs::write(home.join("policy.yaml"), POLICY)?;
    show_file(&terminal, &home.join("policy.yaml"), "payments:")?;
    terminal.run(&["fund", "--network", "base-sepolia", "--amount", "$5"], 0).await?;

    let weather = format!("{gateway_url}/weather/berlin");
    good_call(&terminal, &chain, &weather).await?;
    bad_calls(&terminal, &chain, &gateway_url).await?;
    if !args.keep {
        terminal
            .step("Ten minutes later on the chain: the payment has expired, its reservation is given back")
            .await;
        chain.increase_time_s(600).await?;
        terminal.run(&["reconcile"], 0).await?;
    }
    terminal.step("The record is whole").await;
    terminal.run(&["history"], 0).await?;
    terminal.run(&["ledger", "verify"], 0).await?;

    epilogue(args, &terminal, &home, &weather, &config);
    if args.keep {
        tokio::signal::ctrl_c().await?;
        println!("\nstopping");
    }
    stop(&mut gateway).await?;
    chain.stop().await;
    Ok(())
}

/// A call that is asked for, decided, paid, settled and recorded.
async fn good_call(terminal: &Terminal, chain: &Base, weather: &str) -> Result<(), Broken> {
    terminal.step("What the seller answers to a call without payment: 402 and its terms").await;
    show_402(terminal, weather).await?;

    terminal.step("What the wallet would decide. It signs nothing yet").await;
    terminal.run(&["fetch", weather, "--dry-run"], 0).await?;

    terminal.step("The call, paid").await;
    let before = Balances::read(terminal, chain).await?;
    terminal.run(&["fetch", weather], 0).await?;

    terminal.step("The money moved on the chain").await;
    let after = Balances::read(terminal, chain).await?;
    let newest = newest(terminal).await?;
    show_settlement(terminal, chain, &newest).await?;
    terminal.say(format!("{DIM}wallet{DIM:#}  {} → {GOOD}{}{GOOD:#}", before.wallet, after.wallet));
    terminal.say(format!("{DIM}seller{DIM:#}  {} → {GOOD}{}{GOOD:#}", before.seller, after.seller));

    terminal.step("The receipt").await;
    terminal.run(&["receipt", text(&newest, "id")], 0).await?;
    Ok(())
}

/// Calls that cost nothing: one above a cap, one that fails.
async fn bad_calls(terminal: &Terminal, chain: &Base, gateway_url: &str) -> Result<(), Broken> {
    let before = Balances::read(terminal, chain).await?;
    terminal.step("A call that costs more than the cap: refused, nothing signed").await;
    terminal.run(&["fetch", &format!("{gateway_url}/report")], 4).await?;

    terminal.step("A call whose upstream fails: the seller settles nothing").await;
    terminal.run(&["fetch", &format!("{gateway_url}/broken")], 6).await?;
    let unchanged = Balances::read(terminal, chain).await?;
    if unchanged != before {
        return Err(Broken("a failed call was charged".to_owned()));
    }
    terminal.say(format!(
        "{DIM}wallet{DIM:#}  {}, {DIM}seller{DIM:#}  {}: not charged",
        unchanged.wallet, unchanged.seller
    ));
    Ok(())
}

/// Asks the gateway to finish what it has begun, and waits for it.
async fn stop(gateway: &mut tokio::process::Child) -> Result<(), Broken> {
    if let Some(pid) = gateway.id() {
        std::process::Command::new("kill").args(["-TERM", &pid.to_string()]).status()?;
    }
    let ended = tokio::time::timeout(std::time::Duration::from_secs(10), gateway.wait()).await;
    match ended {
        Ok(status) if status.as_ref().is_ok_and(std::process::ExitStatus::success) => Ok(()),
        Ok(status) => Err(Broken(format!("the gateway ended with {status:?}"))),
        Err(_) => Err(Broken("the gateway did not stop within 10 s".to_owned())),
    }
}

fn gateway_yaml(gateway_url: &str, upstream: &str, chain: &Base) -> String {
    let listen = gateway_url.trim_start_matches("http://");
    format!(
        r#"listen: {listen}
public_url: {gateway_url}
upstream: {upstream}
pay_to: "{payee}"
accepts: [base-sepolia]
unmatched: free
facilitator:
  in_process:
    networks:
      base-sepolia: {{rpc: ["{rpc}"], signers: [{{env: FACILITATOR_KEY}}]}}
routes:
  - {{match: "GET /weather/{{city}}", price: "$0.002", description: "The weather in a city"}}
  - {{match: "GET /report", price: "$0.50", description: "Two hundred pages"}}
  - {{match: "GET /broken", price: "$0.01", description: "Out of order"}}
"#,
        payee = PAYEE.address,
        rpc = chain.rpc_url(),
    )
}

fn wallet_yaml(chain: &Base) -> String {
    format!("version: 1\nnetworks:\n  base-sepolia: {{rpc: [\"{}\"]}}\n", chain.rpc_url())
}

/// A port that was free a moment ago.
fn free_port() -> std::io::Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Shows a file from the line that begins with `from`.
fn show_file(terminal: &Terminal, path: &Path, from: &str) -> Result<(), Broken> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    terminal.say(format!("{DIM}{name}{DIM:#}"));
    for line in std::fs::read_to_string(path)?.lines().skip_while(|line| !line.starts_with(from)) {
        terminal.say(format!("{DIM}│{DIM:#} {line}"));
    }
    Ok(())
}

async fn show_402(terminal: &Terminal, url: &str) -> Result<(), Broken> {
    println!("    {COMMAND}$ curl -i {url}{COMMAND:#}");
    let answer = reqwest::get(url).await?;
    terminal.say(format!("HTTP/1.1 {}", answer.status()));
    let header =
        answer.headers().get("payment-required").and_then(|value| value.to_str().ok()).unwrap_or_default();
    terminal.say(format!(
        "PAYMENT-REQUIRED: {}…  {DIM}({} bytes, which say:){DIM:#}",
        cut(header, 48),
        header.len()
    ));
    let json = base64::engine::general_purpose::STANDARD
        .decode(header)
        .map_err(|error| Broken(error.to_string()))?;
    let terms: Value = serde_json::from_slice(&json).map_err(|error| Broken(error.to_string()))?;
    for key in ["scheme", "network", "amount", "asset", "payTo"] {
        terminal.say(format!("  {key:<8} {}", terms["accepts"][0][key].as_str().unwrap_or_default()));
    }
    Ok(())
}

fn cut(text: &str, length: usize) -> &str {
    text.get(..length).unwrap_or(text)
}

async fn newest(terminal: &Terminal) -> Result<Value, Broken> {
    let history = terminal.ask(&["history", "-n", "1", "--json"]).await?;
    Ok(history["purchases"][0].clone())
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

async fn show_settlement(terminal: &Terminal, chain: &Base, purchase: &Value) -> Result<(), Broken> {
    let transaction = text(&purchase["outcome"], "transaction");
    let hash =
        transaction.parse().map_err(|error| Broken(format!("`{transaction}` is no transaction: {error}")))?;
    let receipt =
        chain.receipt(hash).await?.ok_or_else(|| Broken(format!("{transaction} is not on the chain")))?;
    terminal.say(format!("{DIM}transaction{DIM:#}  {transaction}"));
    terminal.say(format!(
        "{DIM}block{DIM:#}        {}, {} gas, paid by the facilitator {}",
        receipt.block_number, receipt.gas_used, FACILITATOR.address
    ));
    Ok(())
}

/// What wallet and seller hold, read from the chain.
#[derive(PartialEq, Eq)]
struct Balances {
    wallet: String,
    seller: String,
}

impl Balances {
    async fn read(terminal: &Terminal, chain: &Base) -> Result<Self, Broken> {
        let wallet = terminal.ask(&["balance", "--json"]).await?;
        let seller: u64 = chain.balance_of(PAYEE.address).await?.to_string().parse().unwrap_or_default();
        Ok(Self { wallet: text(&wallet["balances"][0], "value").to_owned(), seller: dollars(seller) })
    }
}

/// Base units of USDC in dollars, as the wallet prints them.
fn dollars(units: u64) -> String {
    let text = format!("{}.{:06}", units / 1_000_000, units % 1_000_000);
    let trimmed = text.trim_end_matches('0');
    let cents = text.find('.').map_or(text.len(), |point| point + 3);
    format!("${}", if trimmed.len() < cents { &text[..cents] } else { trimmed })
}

fn epilogue(args: &Args, terminal: &Terminal, home: &Path, weather: &str, config: &Path) {
    println!("\n{GOOD}That was a paid call, end to end.{GOOD:#}");
    if !args.keep {
        println!("To go on by hand:  {COMMAND}cargo xtask demo --keep{COMMAND:#}\n");
        return;
    }
    println!("Everything keeps running until Ctrl-C. In another terminal:\n");
    println!(
        "  {COMMAND}export FARTHING_HOME={} FARTHING_PASSPHRASE='{}'{COMMAND:#}",
        home.display(),
        terminal.passphrase
    );
    println!("  {COMMAND}alias farthing={}{COMMAND:#}", terminal.farthing.display());
    for line in [
        format!("farthing check {weather}"),
        format!("farthing fetch {weather} --json"),
        "farthing balance".to_owned(),
        "farthing history".to_owned(),
        "farthing reconcile       # a few minutes after the failed call: its reservation is given back"
            .to_owned(),
        format!("$EDITOR {}   # change a price: the gateway takes it up at once", config.display()),
    ] {
        println!("  {COMMAND}{line}{COMMAND:#}");
    }
    println!();
}
