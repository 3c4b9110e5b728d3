//! How fast durable claims and their settlements, and calls of tools, are: `cargo test --release -p farthing-ledger --test throughput -- --ignored --nocapture`.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test fails by panicking")]

mod common;

use std::sync::Arc;
use std::time::Instant;

use common::*;
use farthing_ambient::SystemClock;
use farthing_ledger::{CallOutcome, ClaimState, Ledger, Noted};
use farthing_policy::{CallPlan, Period, Refund, Window};

/// What this process has used of the processors: Linux counts in hundredths of a second.
fn cpu_us() -> u128 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<_> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    (fields[11].parse::<u128>().unwrap() + fields[12].parse::<u128>().unwrap()) * 10_000
}

/// What a gateway writes for one call: the claim, and its settlement.
async fn sell(ledger: &Ledger, number: u32) {
    let row = taken(ledger, number).await;
    let settled = ClaimState::Settled { transaction: format!("0x{number:064x}") };
    assert!(ledger.move_claim(&key(number), row, settled).await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
#[ignore = "it measures, and takes seconds"]
async fn sales_per_second() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let ledger = Ledger::open(&folder.path().join("ledger.db"), Arc::new(SystemClock)).unwrap();
    let mut next = 0u32;
    for (callers, each) in [(1u32, 1_000u32), (16, 2_000), (64, 1_000)] {
        let (begun, cpu) = (Instant::now(), cpu_us());
        let tasks: Vec<_> = (0..callers)
            .map(|caller| {
                let ledger = ledger.clone();
                let numbers = next + caller * each..next + (caller + 1) * each;
                tokio::spawn(async move {
                    for number in numbers {
                        sell(&ledger, number).await;
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        next += callers * each;
        let done = u128::from(callers * each);
        let rate = done * 1_000_000 / begun.elapsed().as_micros();
        let cpu = (cpu_us() - cpu) / done;
        println!("{callers:>4} callers: {rate} sales/s, {cpu} us of CPU each");
    }
    let begun = Instant::now();
    let report = ledger.verify().await.unwrap();
    assert!(report.problems.is_empty());
    println!("verify: {} rows in {:?}", report.rows, begun.elapsed());
}

/// A plan of three counters, as a tool with a rate, a budget and a share of everything has.
fn three_counters() -> Arc<CallPlan> {
    let charges = [
        charge("desk/send_payment/rate", Window::Calendar(Period::Minute), 1, Refund::OnError),
        charge("desk/send_payment/cents", Window::Calendar(Period::Day), 25, Refund::OnError),
        charge("_global/calls", Window::Rolling(Period::Hour), 1, Refund::Never),
    ];
    let plan = charges
        .into_iter()
        .fold(CallPlan::default(), |plan, charge| plan.with_limit("cap", charge, quantity(1_000_000_000)));
    Arc::new(plan)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
#[ignore = "it measures, and takes seconds"]
async fn calls_per_second() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let ledger = Ledger::open(&folder.path().join("ledger.db"), Arc::new(SystemClock)).unwrap();
    let plan = three_counters();
    for (callers, each) in [(1u32, 1_000u32), (16, 3_000), (64, 1_000)] {
        let (begun, cpu) = (Instant::now(), cpu_us());
        let tasks: Vec<_> = (0..callers)
            .map(|caller| {
                let (ledger, plan) = (ledger.clone(), Arc::clone(&plan));
                tokio::spawn(async move {
                    for n in 0..each {
                        let name = format!("{callers}-{caller}-{n}");
                        assert_eq!(denial(&ledger, call(name.clone()), Arc::clone(&plan)).await, None);
                        ledger.end_call(name, end(CallOutcome::Answered)).await.unwrap();
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        let (done, took) = (u128::from(callers * each), begun.elapsed().as_micros());
        let (rate, each, cpu) = (done * 1_000_000 / took, took / done, (cpu_us() - cpu) / done);
        println!("{callers:>4} callers: {rate} calls/s, one in {each} us, {cpu} us of CPU each");
    }
    let (begun, cpu, notes) = (Instant::now(), cpu_us(), 20_000);
    for n in 0..notes {
        ledger.note(call(n.to_string()), Noted::Allowed { shadowed: vec![] }).await.unwrap();
    }
    let took = begun.elapsed().as_nanos() / notes;
    println!("notes: one in {took} ns, {} us of CPU each", (cpu_us() - cpu) / notes);
    println!("maybe_frozen: {:?}", {
        let begun = Instant::now();
        (0..1_000).for_each(|_| assert!(!ledger.maybe_frozen()));
        begun.elapsed() / 1_000
    });
    let begun = Instant::now();
    let report = ledger.verify().await.unwrap();
    assert!(report.problems.is_empty());
    println!("verify: {} rows in {:?}", report.rows, begun.elapsed());
}
