//! Software that others wrote, on the other side: npm's `@x402/*` 2.27.0 (tests/peers), `x402-reqwest` 2.0.2 and `r402`
//! 0.21 (tests/peers-rs). What both sides say is checked against the chain.

mod buyers;
mod discovery;
mod facilitators;
mod refusals;
mod sellers;

use std::path::{Path, PathBuf};
use std::process::Stdio;

use alloy_primitives::{Address, B256};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use farthing_devnet::abi::IUsdc::Transfer;
use farthing_devnet::accounts::{BUYER, PAYEE};
use farthing_devnet::{Account, Base};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::world::{FARTHING, World, free_port, networks, start_server};

/// A buyer on somebody else's library, and the version of x402 that it speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Buyer {
    Fetch { version: u8 },
    X402Reqwest { version: u8 },
    R402,
}

const EVERY_BUYER: [Buyer; 5] = [
    Buyer::Fetch { version: 2 },
    Buyer::Fetch { version: 1 },
    Buyer::X402Reqwest { version: 2 },
    Buyer::X402Reqwest { version: 1 },
    Buyer::R402,
];

impl Buyer {
    fn version(self) -> u8 {
        match self {
            Self::Fetch { version } | Self::X402Reqwest { version } => version,
            Self::R402 => 2,
        }
    }

    fn command(self) -> Command {
        let program = match self {
            Self::Fetch { .. } => return node("fetch-client.mjs"),
            Self::X402Reqwest { .. } => "x402-reqwest",
            Self::R402 => "r402",
        };
        // `cargo xtask test` builds it beside this program.
        let target = Path::new(FARTHING).ancestors().nth(2).unwrap();
        let buyers = target.join("peers-rs/debug/farthing-peer-buyers");
        assert!(buyers.exists(), "run `cargo xtask test --only peers` once: it builds {}", buyers.display());
        let mut command = Command::new(buyers);
        command.arg(program);
        command
    }

    /// One call; what the program said of it.
    async fn call(self, account: Account, url: &str, more: &[&str]) -> Value {
        let mut command = self.command();
        command.args(["--url", url, "--key", &account.private_key.to_string()]).args(more);
        if self.version() == 1 {
            command.arg("--v1");
        }
        let done = command.stdin(Stdio::null()).kill_on_drop(true).output().await.unwrap();
        serde_json::from_slice(&done.stdout)
            .unwrap_or_else(|error| panic!("{self:?}: {error}: {}", String::from_utf8_lossy(&done.stderr)))
    }
}

fn peers() -> PathBuf {
    // Asked when the test runs: a target directory may serve several checkouts.
    PathBuf::from(std::env::var("CARGO_MANIFEST_DIR").unwrap()).join("../../tests/peers")
}

fn node(script: &str) -> Command {
    assert!(peers().join("node_modules").exists(), "run `cargo xtask test` once: it installs tests/peers");
    let mut command = Command::new("node");
    command.arg(peers().join(script));
    command
}

/// A peer's server, until it is dropped.
struct Peer {
    url: String,
    _child: Child,
}

impl Peer {
    /// Starts it; returns when it says that it is ready.
    async fn start(script: &str, args: &[&str]) -> Self {
        let mut command = node(script);
        command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let line = BufReader::new(child.stdout.take().unwrap()).lines().next_line().await.unwrap().unwrap();
        let said: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(said["ready"], true, "{said}");
        Self { url: format!("http://127.0.0.1:{}", said["port"]), _child: child }
    }

    /// `@x402/core`'s facilitator, which settles with this account.
    async fn facilitator(chain: &Base, account: Account) -> Self {
        let key = account.private_key.to_string();
        Self::start("facilitator-server.mjs", &["--rpc", chain.rpc_url(), "--key", &key]).await
    }

    /// A seller that has this facilitator.
    async fn seller(script: &str, facilitator: &str, more: &[&str]) -> Self {
        let payee = PAYEE.address.to_string();
        Self::start(script, &[&["--facilitator", facilitator, "--pay-to", &payee], more].concat()).await
    }

    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }
}

/// `farthing facilitator`, until it is dropped.
struct OurFacilitator {
    url: String,
    _folder: TempDir,
    _child: Child,
}

impl OurFacilitator {
    async fn start(chain: &Base) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("facilitator.yaml");
        let port = free_port();
        std::fs::write(&config, format!("listen: 127.0.0.1:{port}\n{}\n", networks(chain))).unwrap();
        let url = format!("http://127.0.0.1:{port}");
        let child = start_server("facilitator", &config, &url).await;
        Self { url, _folder: folder, _child: child }
    }
}

/// What buyer and payee hold, and how often the API was called.
#[derive(Debug, PartialEq, Eq)]
struct Books {
    buyer: u64,
    payee: u64,
    served: u64,
}

impl Books {
    async fn of(world: &World, buyer: Address) -> Self {
        let balance = async |who| u64::try_from(world.chain.balance_of(who).await.unwrap()).unwrap();
        Self {
            buyer: balance(buyer).await,
            payee: balance(PAYEE.address).await,
            served: world.upstream.served(),
        }
    }

    /// The same after one served call for which so much was paid, to the base unit.
    fn after_a_call_for(&self, price: u64) -> Self {
        Self { buyer: self.buyer - price, payee: self.payee + price, served: self.served + 1 }
    }
}

/// A header of x402, decoded.
fn decoded(header: &Value) -> Value {
    let header = header.as_str().unwrap_or_else(|| panic!("no such header: {header}"));
    serde_json::from_slice(&BASE64_STANDARD.decode(header).unwrap()).unwrap()
}

/// The transaction is on the chain, and in it the buyer paid the payee exactly so much, once.
async fn assert_settled(chain: &Base, transaction: &Value, buyer: Address, price: u64) {
    let hash: B256 = transaction.as_str().unwrap().parse().unwrap();
    let receipt = chain.receipt(hash).await.unwrap().expect("the transaction is on the chain");
    assert!(receipt.succeeded());
    let moved: Vec<_> =
        receipt.events::<Transfer>(chain.usdc()).iter().map(|t| (t.from, t.to, t.value)).collect();
    assert_eq!(moved, [(buyer, PAYEE.address, alloy_primitives::U256::from(price))]);
}

/// The payment that a buyer's program sent with its second request.
fn payment(said: &Value, version: u8) -> Value {
    assert_eq!(said["sent"].as_array().unwrap().len(), 2, "asked once, paid once: {said}");
    decoded(&said["sent"][1]["headers"][if version == 1 { "x-payment" } else { "payment-signature" }])
}

/// The buyer's signature is still worth money: it was never used.
async fn assert_unused(chain: &Base, payment: &Value) {
    let authorization = &payment["payload"]["authorization"];
    let from: Address = authorization["from"].as_str().unwrap().parse().unwrap();
    let nonce: B256 = authorization["nonce"].as_str().unwrap().parse().unwrap();
    assert!(!chain.authorization_state(from, nonce).await.unwrap());
}

/// The same world for every peer, and a buyer with a dollar.
async fn with_a_buyer(world: World) -> World {
    world.chain.mint(BUYER.address, 1_000_000).await.unwrap();
    world
}

/// Our wallet buys; what it prints, records and keeps agrees with the chain. Returns the body that it bought.
async fn a_purchase_is_paid(world: &World, fetch: &[&str], protocol: &str, price: u64) -> String {
    let (held, earned) = (world.held().await, world.earned().await);
    let answer = world.wallet.json(&[&["fetch"], fetch].concat(), 0).await;
    let payment = &answer["payment"];
    assert_eq!((&answer["status"], &payment["protocol"]), (&200.into(), &protocol.into()), "{answer}");
    assert_eq!(payment["outcome"]["outcome"], "paid", "{answer}");
    assert_eq!((world.held().await, world.earned().await), (held - price, earned + price), "{answer}");

    let transaction = &payment["outcome"]["transaction"];
    assert_settled(&world.chain, transaction, world.wallet.address.parse().unwrap(), price).await;
    let purchase = world.wallet.newest().await;
    assert_eq!((&purchase["state"], &purchase["outcome"]["transaction"]), (&"paid".into(), transaction));
    let id = purchase["id"].as_str().unwrap();
    let receipt = String::from_utf8(world.wallet.ok(&["receipt", id]).await).unwrap();
    assert!(receipt.contains(transaction.as_str().unwrap()), "{receipt}");
    let kept = String::from_utf8(world.wallet.ok(&["receipt", id, "--body"]).await).unwrap();
    world.wallet.assert_whole().await;
    kept
}

/// A payment is out that nobody settled: it stays reserved, and wallet and payee hold so much.
async fn assert_purchase_unknown(world: &World, balances: (u64, u64)) {
    assert_eq!(world.wallet.newest().await["state"], "unknown");
    assert_eq!((world.held().await, world.earned().await), balances);
    world.wallet.assert_whole().await;
}
