//! `cargo xtask soak`: a hundred thousand paid calls through wallets, gateways and facilitators, with everything
//! failing that can fail, and at the end every book compared to the base unit.
//!
//! Real parts: anvil behind a node that breaks, limits and hangs ([`node`]); the release binary as two gateways and a
//! facilitator ([`servers`]), killed and started again ([`trouble`]); an API that fails ([`upstream`]); the wallet's
//! library with durable ledgers, and now and then a `farthing fetch` ([`buyers`], [`command`]). What is called, and what
//! fails, follows from a seed ([`plan`]). [`checks`] compares what [`books`] read; [`page`] shows it.
#![forbid(unsafe_code)]
#![allow(
    clippy::float_arithmetic,
    reason = "charts and trends are measurements; money is counted in integers"
)]

mod books;
mod buyers;
mod charts;
mod checks;
mod command;
mod counts;
mod dice;
mod drive;
mod node;
mod page;
mod plan;
mod report;
mod samples;
mod series;
mod servers;
mod terminal;
mod trouble;
mod upstream;
mod wire;
mod world;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;

use checks::Evidence;
use plan::Plan;
use report::{Asked, LedgerSize, Report};
use samples::Samples;
use terminal::{Progress, print, say};
use world::World;

/// Why a run could not be made, or ended early: for the person who runs it.
type Failure = Box<dyn std::error::Error + Send + Sync>;

const EXAMPLES: &str = "\
Examples:
  cargo xtask soak                        100,000 paid calls; half an hour or more
  cargo xtask soak --calls 2000 --seed 7  a minute or two

The exit code is 0 only if every check passes. The same seed makes the same calls, failures and restarts; how they
interleave is up to the machine.";

/// Makes many paid calls with failures, and compares the books.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask soak", bin_name = "cargo xtask soak", after_help = EXAMPLES)]
struct Arguments {
    /// How many calls shall be paid
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(100..=10_000_000))]
    calls: u64,
    /// What is called, what fails and when follows from it
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where report.html, report.json and, after a failure, ledgers and logs go
    #[arg(long, value_name = "DIR", default_value = "target/soak")]
    out: PathBuf,
    /// How many calls are made at once
    #[arg(long, default_value_t = 192, value_parser = clap::value_parser!(u16).range(1..=2_000))]
    at_once: u16,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
    /// Make no run: write report.html anew from an earlier run's report.json
    #[arg(long, value_name = "FILE")]
    page: Option<PathBuf>,
    /// The release build of `farthing`
    #[arg(long, env = "FARTHING_BIN", hide = true)]
    farthing: PathBuf,
}

#[tokio::main]
async fn main() -> ExitCode {
    drop(rustls::crypto::ring::default_provider().install_default());
    let arguments = Arguments::parse();
    let done = match &arguments.page {
        Some(file) => again(file, &arguments.out),
        None => soak(&arguments).await,
    };
    match done {
        Ok(report) if report.passed => ExitCode::SUCCESS,
        Ok(report) => {
            say(&format!("FAILED: {}", report.first_disagreement.as_deref().unwrap_or_default()));
            say(&format!("Again:  {}", report.repeat()));
            ExitCode::FAILURE
        }
        Err(failure) => {
            Progress::note(&format!("FAILED: {failure}"));
            say(&format!("Again:  cargo xtask soak --calls {} --seed {}", arguments.calls, arguments.seed));
            ExitCode::FAILURE
        }
    }
}

/// Writes an earlier run's page anew.
fn again(file: &Path, out: &Path) -> Result<Report, Failure> {
    let report = serde_json::from_str(&std::fs::read_to_string(file)?)?;
    std::fs::write(out.join("report.html"), page::render(&report)?)?;
    Ok(report)
}

/// Makes the run in a folder of its own below `--out`, which stays only if something is wrong.
async fn soak(arguments: &Arguments) -> Result<Report, Failure> {
    std::fs::create_dir_all(&arguments.out)?;
    let mut folder = tempfile::Builder::new().prefix("run-").tempdir_in(&arguments.out)?;
    folder.disable_cleanup(true);
    say(&format!("ledgers and logs: {}", folder.path().display()));
    let asked = Asked { seed: arguments.seed, wanted: arguments.calls, at_once: arguments.at_once.into() };
    let report = run(asked, &arguments.farthing, folder.path()).await?;
    std::fs::write(arguments.out.join("report.html"), page::render(&report)?)?;
    let json = serde_json::to_string_pretty(&report)?;
    std::fs::write(arguments.out.join("report.json"), &json)?;
    if arguments.json {
        print(&json)
    } else {
        tell(&report, &arguments.out)
    }
    folder.disable_cleanup(!report.passed);
    Ok(report)
}

async fn run(asked: Asked, farthing: &Path, folder: &Path) -> Result<Report, Failure> {
    let folder = &folder.canonicalize()?;
    let world = Arc::new(World::start(Plan::new(asked.seed), farthing, folder).await?);
    let samples = Arc::new(Samples::new(world.servers.len()));
    let driven = drive::run(&world, &samples, asked.wanted, asked.at_once).await?;
    Progress::note("comparing the books");
    let evidence = Evidence::gather(&world, &driven, samples.looks()).await?;
    let ledgers = ledgers(&world)?;
    Ok(Report::new(asked, &world, driven, evidence, ledgers, &samples))
}

fn ledgers(world: &World) -> Result<Vec<LedgerSize>, Failure> {
    let mut sizes = Vec::new();
    for server in &world.servers {
        let records = books::claims(&server.ledger)?.len().max(books::settlements(&server.ledger)?.len());
        sizes.push(LedgerSize {
            name: server.name.to_owned(),
            bytes: server.ledger_bytes(),
            records: records as u64,
        });
    }
    for (name, file) in world.wallets() {
        let records = books::purchases(&file)?.len() as u64;
        sizes.push(LedgerSize { name, bytes: std::fs::metadata(&file)?.len(), records });
    }
    Ok(sizes)
}

fn tell(report: &Report, out: &Path) {
    for check in &report.checks {
        print(&format!("{} {}: {}", if check.passed { "✓" } else { "✗" }, check.name, check.detail));
    }
    let (minutes, seconds) = (report.seconds / 60, report.seconds % 60);
    let injected: u64 = report.injected.values().sum();
    print(&format!("{} paid calls in {minutes}:{seconds:02}, {injected} failures injected", report.paid));
    print(&format!("{}", out.join("report.html").display()));
}
