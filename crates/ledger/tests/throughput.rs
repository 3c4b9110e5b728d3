//! How fast durable claims are: `cargo test --release -p farthing-ledger --test throughput -- --ignored --nocapture`.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test fails by panicking")]

mod common;

use std::sync::Arc;
use std::time::Instant;

use common::*;
use farthing_ambient::SystemClock;
use farthing_ledger::{Claimed, Ledger};

/// What this process has used of the processors: Linux counts in hundredths of a second.
fn cpu_us() -> u128 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<_> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    (fields[11].parse::<u128>().unwrap() + fields[12].parse::<u128>().unwrap()) * 10_000
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
#[ignore = "it measures, and takes seconds"]
async fn claims_per_second() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let ledger = Ledger::open(&folder.path().join("ledger.db"), Arc::new(SystemClock)).unwrap();
    for (callers, each) in [(1u32, 10_000u32), (16, 5_000), (64, 2_000)] {
        let (begun, cpu) = (Instant::now(), cpu_us());
        let tasks: Vec<_> = (0..callers)
            .map(|caller| {
                let ledger = ledger.clone();
                tokio::spawn(async move {
                    for n in 0..each {
                        let number = callers * 1_000_000 + caller * each + n;
                        assert_eq!(ledger.claim(claim(number)).await.unwrap(), Claimed::Granted);
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        let done = u128::from(callers * each);
        let rate = done * 1_000_000 / begun.elapsed().as_micros();
        let cpu = (cpu_us() - cpu) / done;
        println!("{callers:>4} callers: {rate} claims/s, {cpu} us of CPU each");
    }
    let begun = Instant::now();
    let report = ledger.verify().await.unwrap();
    assert!(report.problems.is_empty());
    println!("verify: {} rows in {:?}", report.rows, begun.elapsed());
}
