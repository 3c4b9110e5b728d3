//! What a run found, for programs (JSON) and for the page.

use std::collections::BTreeMap;
use std::process::Command;

use serde::{Deserialize, Serialize};

use crate::charts::Series;
use crate::checks::{self, Check, Evidence, Flatness, Row};
use crate::drive::Driven;
use crate::samples::{Samples, Timed, percentile};
use crate::series;
use crate::world::World;

/// Everything that is told about a run.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) passed: bool,
    /// The first check that failed, with what does not agree.
    pub(crate) first_disagreement: Option<String>,
    pub(crate) seed: u64,
    pub(crate) wanted: u64,
    pub(crate) at_once: usize,
    pub(crate) calls: u64,
    pub(crate) paid: u64,
    pub(crate) seconds: u64,
    pub(crate) latency: Latency,
    pub(crate) checks: Vec<Check>,
    pub(crate) accounts: Vec<Row>,
    pub(crate) flatness: Vec<Flatness>,
    pub(crate) ends: BTreeMap<String, u64>,
    pub(crate) seen: BTreeMap<String, u64>,
    pub(crate) injected: BTreeMap<String, u64>,
    pub(crate) node_requests: u64,
    pub(crate) late_answers: u64,
    /// Purchases whose authorizations expired unused.
    pub(crate) released: u64,
    pub(crate) ledgers: Vec<LedgerSize>,
    pub(crate) events: Vec<(u64, String)>,
    pub(crate) machine: String,
    pub(crate) commit: String,
    pub(crate) date: String,
    pub(crate) charts: Vec<Chart>,
}

/// Lines over the run's seconds.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Chart {
    pub(crate) title: String,
    pub(crate) unit: String,
    pub(crate) series: Vec<Series>,
}

/// Of the calls that were paid and answered, with all their retries and pauses, in milliseconds.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Latency {
    pub(crate) p50_ms: u64,
    pub(crate) p90_ms: u64,
    pub(crate) p99_ms: u64,
    pub(crate) most_ms: u64,
}

/// A ledger's file at the end.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct LedgerSize {
    pub(crate) name: String,
    pub(crate) bytes: u64,
    /// How many purchases, claims or settlements are in it.
    pub(crate) records: u64,
}

impl LedgerSize {
    pub(crate) fn bytes_per_record(&self) -> u64 {
        self.bytes / self.records.max(1)
    }
}

/// How the run was asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    pub(crate) seed: u64,
    pub(crate) wanted: u64,
    pub(crate) at_once: usize,
}

impl Report {
    pub(crate) fn new(
        asked: Asked,
        world: &World,
        driven: Driven,
        evidence: Evidence,
        ledgers: Vec<LedgerSize>,
        samples: &Samples,
    ) -> Self {
        let checks = checks::all(&evidence);
        let failed = checks.iter().find(|check| !check.passed);
        let mut injected = world.upstream.failures().all();
        injected.extend(world.node.faults().all());
        Self {
            passed: failed.is_none(),
            first_disagreement: failed.map(|check| format!("{}: {}", check.name, check.detail)),
            seed: asked.seed,
            wanted: asked.wanted,
            at_once: asked.at_once,
            calls: driven.calls,
            paid: evidence.logs.settled.len() as u64,
            seconds: driven.took.as_secs().max(1),
            latency: latency(&samples.calls()),
            accounts: checks::table(&evidence),
            flatness: checks::flatness(&evidence),
            checks,
            ends: driven.ends,
            seen: driven.seen,
            injected,
            node_requests: world.node.asked(),
            late_answers: driven.late,
            released: evidence.purchases.iter().filter(|purchase| purchase.state == "not_paid").count()
                as u64,
            ledgers,
            events: driven.events.into_iter().map(|event| (event.second, event.what)).collect(),
            machine: machine(),
            commit: commit(),
            date: jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M UTC").to_string(),
            charts: series::all(samples, &evidence.looks),
        }
    }

    /// What to type for the same calls and failures once more.
    pub(crate) fn repeat(&self) -> String {
        format!("cargo xtask soak --calls {} --seed {}", self.wanted, self.seed)
    }
}

fn latency(timed: &[Timed]) -> Latency {
    let mut took: Vec<_> = timed.iter().map(|call| call.took_ms).collect();
    let mut at = |percent| percentile(&mut took, percent).unwrap_or_default();
    Latency { p50_ms: at(50), p90_ms: at(90), p99_ms: at(99), most_ms: at(100) }
}

fn machine() -> String {
    let read = |file| std::fs::read_to_string(file).unwrap_or_default();
    let after = |text: String, name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name).map(str::to_owned));
        line.unwrap_or_default().trim_start_matches([' ', '\t', ':']).trim().to_owned()
    };
    let processor = after(read("/proc/cpuinfo"), "model name");
    let memory = after(read("/proc/meminfo"), "MemTotal");
    let kib: u64 = memory.split(' ').next().and_then(|kib| kib.parse().ok()).unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    format!(
        "{cores} cores ({processor}), {} GiB, Linux {}",
        kib.div_ceil(1 << 20),
        read("/proc/sys/kernel/osrelease").trim()
    )
}

/// The commit that is checked out; none outside of a checkout.
fn commit() -> String {
    if let Ok(given) = std::env::var("FARTHING_COMMIT") {
        return given;
    }
    let asked = Command::new("git").args(["rev-parse", "--short=12", "HEAD"]).output();
    asked.map_or_else(|_| String::new(), |done| String::from_utf8_lossy(&done.stdout).trim().to_owned())
}
