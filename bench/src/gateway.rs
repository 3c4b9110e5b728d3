//! The gateway's layer beside x402-axum 2.0.2: the same routes, the same price, the same stub facilitator over HTTP.
//!
//! Ours claims each payment durably before it serves; the peer keeps no record.

use std::path::Path;
use std::sync::Arc;

use crate::figures::{self, Comparison, Round, say};
use crate::load::Expected;
use crate::process::{self, Server};
use crate::{Failure, buyer, http1, load, stub};

/// How much to measure.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Rounds of each kind, ours and the peer's alternating
    #[arg(long, default_value_t = 9)]
    rounds: usize,

    /// Free and unpaid requests per round
    #[arg(long, default_value_t = 40_000)]
    unpaid: usize,

    /// Paid requests per round, each with a payment of its own
    #[arg(long, default_value_t = 8_000)]
    paid: usize,

    /// Connections, each with one request in flight
    #[arg(long, default_value_t = 16)]
    connections: usize,

    /// The peer on both sides: how far from 1.00 a ratio gets by chance on this machine
    #[arg(long)]
    noise: bool,

    /// The program of tests/peers-rs; `cargo xtask bench` builds it and sets this
    #[arg(long, env = "FARTHING_PEERS", hide_env_values = true)]
    peers: String,
}

const PEER: &str = "x402-axum";

/// A kind of request.
#[derive(Clone, Copy)]
struct Kind {
    name: &'static str,
    path: &'static str,
    pays: bool,
    status: u16,
}

const KINDS: [Kind; 3] = [
    Kind { name: "free", path: "/free", pays: false, status: 200 },
    Kind { name: "unpaid (402)", path: "/paid", pays: false, status: 402 },
    Kind { name: "paid", path: "/paid", pays: true, status: 200 },
];

/// Runs it and prints a table.
///
/// # Errors
/// A server could not be started, or answered what it should not.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    process::leave_the_servers_core()?;
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(compare(options))
}

async fn compare(options: &Options) -> Result<(), Failure> {
    let facilitator = format!("http://127.0.0.1:{}", stub::start().await?);
    let seller = ["--facilitator", &facilitator, "--pay-to", buyer::PAYEE];
    let peer = || Server::start(&options.peers, &[&["x402-axum"], &seller[..]].concat());
    let folder = tempfile::tempdir()?;
    let (ours, peer) =
        if options.noise { (peer()?, peer()?) } else { (our_seller(&seller, folder.path())?, peer()?) };
    say(&figures::head(PEER));
    for kind in KINDS {
        // Not counted: connections to the facilitator open, caches fill.
        let mut warm_up = Comparison::default();
        round(options, kind, [&ours, &peer], &mut warm_up, true).await?;
        let mut comparison = Comparison::default();
        for number in 0..options.rounds {
            round(options, kind, [&ours, &peer], &mut comparison, number % 2 == 0).await?;
        }
        say(&comparison.row(kind.name));
    }
    let memory = (ours.memory_kib()? / 1024, peer.memory_kib()? / 1024);
    say(&format!("\nmemory afterwards: farthing {} MiB, {PEER} {} MiB", memory.0, memory.1));
    Ok(())
}

/// This program is our seller too, as a process of its own.
pub(crate) fn our_seller(seller: &[&str], folder: &Path) -> Result<Server, Failure> {
    let own = std::env::current_exe()?;
    let ledger = folder.join("ledger.db");
    let ledger = ["--ledger", &ledger.to_string_lossy()];
    Server::start(&own.to_string_lossy(), &[&["seller"], seller, &ledger].concat())
}

/// Ours and the peer's, one right after the other. Who begins changes, as the second finds the machine warmer.
async fn round(
    options: &Options,
    kind: Kind,
    [ours, peer]: [&Server; 2],
    into: &mut Comparison,
    ours_begins: bool,
) -> Result<(), Failure> {
    if ours_begins {
        into.ours.push(measure(options, kind, ours).await?);
        into.peers.push(measure(options, kind, peer).await?);
    } else {
        into.peers.push(measure(options, kind, peer).await?);
        into.ours.push(measure(options, kind, ours).await?);
    }
    Ok(())
}

async fn measure(options: &Options, kind: Kind, server: &Server) -> Result<Round, Failure> {
    let requests = requests(options, kind, server.port).await?;
    let before = server.cpu_time()?;
    let expected = Expected { status: kind.status, saying: "" };
    let took = load::send(server.port, options.connections, &requests, expected).await?;
    let cpu = server.cpu_time()?.saturating_sub(before);
    Ok(Round::new(&took, cpu))
}

/// Made beforehand, so that signing is not measured.
async fn requests(options: &Options, kind: Kind, port: u16) -> Result<Vec<Arc<[u8]>>, Failure> {
    if !kind.pays {
        let request: Arc<[u8]> = http1::get(kind.path, None).into();
        return Ok(vec![request; options.unpaid]);
    }
    let price = buyer::ask(port, kind.path).await?;
    (0..options.paid).map(|_| price.paid_request(kind.path).map(Into::into)).collect()
}
