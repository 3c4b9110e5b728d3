//! Our facilitator beside x402-rs's, on one local chain: payments verified and settled per second, 16 in flight, all from
//! one buyer, each facilitator with one account that sends.
//!
//! Ours is measured twice: over HTTP, as theirs, and in process, as a gateway uses it. It keeps a durable ledger; the
//! peer keeps no record.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use farthing_devnet::accounts::{FACILITATOR, FACILITATOR_2};
use farthing_devnet::{BASE_SEPOLIA, Base};

use crate::buyer::{self, Price};
use crate::figures::{self, Comparison, Round, say};
use crate::http1::{self, Connection};
use crate::load::{self, Expected, Took};
use crate::process::{self, Server};
use crate::{Failure, inside};

/// How much to measure.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Rounds of each kind, ours and the peer's in turn
    #[arg(long, default_value_t = 5)]
    rounds: usize,

    /// Payments verified per round
    #[arg(long, default_value_t = 3_000)]
    verifies: usize,

    /// Payments that ours settles per round
    #[arg(long, default_value_t = 1_600)]
    settles: usize,

    /// Payments that the peer settles per round; it is far slower
    #[arg(long, default_value_t = 32)]
    peer_settles: usize,

    /// Requests in flight
    #[arg(long, default_value_t = 16)]
    connections: usize,

    /// The peer's program of tests/peers-rs; `cargo xtask bench` builds it and sets this
    #[arg(long, env = "FARTHING_PEER_FACILITATOR", hide_env_values = true)]
    peer: String,
}

const PEER: &str = "x402-rs";

/// What it asks for at the start, and never calls for a payment by EIP-3009 and a plain account: any code will do.
const PEER_WANTS_CODE_AT: [&str; 3] = [
    "0xdAcD51A54883eb67D95FAEb2BBfdC4a9a6BD2a3B",
    "0x000000000022D473030F116dDEE9F6B43aC78BA3",
    "0x402085c248EeA27D92E8b30b2C58ed07f9E20001",
];

/// What is asked of a facilitator.
#[derive(Clone, Copy)]
struct Kind {
    path: &'static str,
    expected: Expected,
}

const VERIFY: Kind = Kind { path: "/verify", expected: Expected { status: 200, saying: "\"isValid\":true" } };
const SETTLE: Kind = Kind { path: "/settle", expected: Expected { status: 200, saying: "\"success\":true" } };

/// Runs it and prints a table.
///
/// # Errors
/// A server could not be started, or answered what it should not.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    process::leave_the_servers_core()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let chain = Base::builder().chain_id(BASE_SEPOLIA).start().await?;
        let outcome = compare(options, &chain).await;
        chain.stop().await;
        outcome
    })
}

async fn compare(options: &Options, chain: &Base) -> Result<(), Failure> {
    chain.mint(buyer::address(), u64::MAX / 2).await?;
    for address in PEER_WANTS_CODE_AT {
        chain.set_code(address.parse()?, &[0]).await?;
    }
    let folder = tempfile::tempdir()?;
    let bench = Bench {
        options,
        price: Price::of_one_unit()?,
        ours: our_facilitator(chain, folder.path())?,
        peer: Server::start(
            &options.peer,
            &["--rpc", chain.rpc_url(), "--key", &FACILITATOR_2.private_key.to_string()],
        )?,
    };
    say(&figures::head(PEER));
    bench.rounds("verify", VERIFY, options.verifies, options.verifies).await?;
    bench.rounds("settle", SETTLE, options.settles, options.peer_settles).await?;
    let memory = (bench.ours.memory_kib()? / 1024, bench.peer.memory_kib()? / 1024);
    say(&format!("\nmemory afterwards: farthing {} MiB, {PEER} {} MiB", memory.0, memory.1));
    Ok(())
}

/// This program is our facilitator too, as a process of its own.
fn our_facilitator(chain: &Base, folder: &Path) -> Result<Server, Failure> {
    let own = std::env::current_exe()?;
    let (ledger, key) = (folder.join("ledger.db"), alloy_primitives::hex::encode(FACILITATOR.private_key));
    let ledger = ledger.to_string_lossy();
    let arguments = ["settler", "--rpc", chain.rpc_url(), "--key", &key, "--ledger", &ledger];
    Server::start(&own.to_string_lossy(), &arguments)
}

struct Bench<'a> {
    options: &'a Options,
    price: Price,
    ours: Server,
    peer: Server,
}

impl Bench<'_> {
    /// In each round the three one right after the other, so that a change of the machine's speed hits all.
    async fn rounds(&self, name: &str, kind: Kind, ours: usize, peers: usize) -> Result<(), Failure> {
        let (mut inside, mut over_http) = (Comparison::default(), Comparison::default());
        for number in 0..=self.options.rounds {
            let round = [
                self.inside(kind, ours).await?,
                self.over_http(&self.ours, kind, ours).await?,
                self.over_http(&self.peer, kind, peers).await?,
            ];
            // The first is not counted: connections open, caches fill.
            if number > 0 {
                inside.ours.push(round[0]);
                over_http.ours.push(round[1]);
                inside.peers.push(round[2]);
                over_http.peers.push(round[2]);
            }
        }
        say(&inside.row(&format!("{name}, in process")));
        say(&over_http.row(&format!("{name}, over HTTP")));
        Ok(())
    }

    async fn over_http(&self, server: &Server, kind: Kind, count: usize) -> Result<Round, Failure> {
        let request = |body: String| Arc::from(http1::post(kind.path, &body));
        let requests: Vec<Arc<[u8]>> = self.bodies(count)?.into_iter().map(request).collect();
        let before = server.cpu_time()?;
        let took = load::send(server.port, self.options.connections, &requests, kind.expected).await?;
        Ok(Round::new(&took, server.cpu_time()?.saturating_sub(before)))
    }

    async fn inside(&self, kind: Kind, count: usize) -> Result<Round, Failure> {
        let work = inside::Work { at_once: self.options.connections, bodies: self.bodies(count)? };
        let request = http1::post(&format!("/inside{}", kind.path), &serde_json::to_string(&work)?);
        let mut connection = Connection::open(self.ours.port).await?;
        let status = connection.exchange(&request).await?;
        let said = connection.body();
        if status != 200 {
            return Err(format!("in process: {}", String::from_utf8_lossy(said)).into());
        }
        let done: inside::Done = serde_json::from_slice(said)?;
        let latencies = done.latencies_us.into_iter().map(Duration::from_micros).collect();
        let took = Took { elapsed: Duration::from_micros(done.elapsed_us), latencies };
        Ok(Round::new(&took, Duration::from_millis(done.cpu_ms)))
    }

    /// Signed beforehand, each with a nonce of its own.
    fn bodies(&self, count: usize) -> Result<Vec<String>, Failure> {
        (0..count).map(|_| self.price.facilitator_request()).collect()
    }
}
