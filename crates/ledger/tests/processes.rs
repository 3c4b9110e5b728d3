//! Many processes on one file, and processes that die. Each test starts its own binary again as the other process.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test fails by panicking")]

mod common;

use std::path::Path;
use std::process::{Child, Command, Stdio};

use common::*;
use farthing_ledger::{Claimed, Ledger, LedgerError, Reserved};
use farthing_policy::{Measure, Period, Refund, Window};

const FILE: &str = "FARTHING_TEST_LEDGER";
const NAME: &str = "FARTHING_TEST_NAME";

/// Where another process of this test finds the ledger; none in the process that the test runner started.
fn given() -> Option<(std::path::PathBuf, String)> {
    Some((std::env::var_os(FILE)?.into(), std::env::var(NAME).ok()?))
}

fn start(test: &str, file: &Path, name: &str, fault: Option<&str>) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([test, "--exact", "--nocapture"]).env(FILE, file).env(NAME, name);
    if let Some(fault) = fault {
        command.env("FARTHING_FAULT", fault);
    }
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn finish(child: Child) -> String {
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    text
}

/// How often a child said that it was granted.
fn granted(output: &str) -> usize {
    output.matches("granted;").count()
}

#[tokio::test]
async fn processes_that_race_for_a_budget_get_exactly_the_budget() {
    if let Some((file, name)) = given() {
        return race(&file, &name).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ledger.db");
    let test = "processes_that_race_for_a_budget_get_exactly_the_budget";
    let children: Vec<_> = (0..6).map(|n| start(test, &file, &format!("p{n}"), None)).collect();
    let outputs: Vec<_> = children.into_iter().map(finish).collect();
    assert_eq!(outputs.iter().map(|output| granted(output)).sum::<usize>(), 50);
    assert_eq!(outputs.iter().map(|output| output.matches("claimed;").count()).sum::<usize>(), 20);
    let ledger = Ledger::open(&file, clock()).unwrap();
    let ever = ledger.usage(vec![amount("all", Window::Lifetime, "$1")]).await.unwrap();
    assert_eq!((ever[0].amount, ever[0].count), (usd("$0.50"), 50));
    assert_whole(&ledger).await;
}

/// Reserves 40 times one cent out of 50, four at a time, and claims the same 20 payments as everybody.
async fn race(file: &Path, name: &str) {
    let ledger = Ledger::open(file, clock()).unwrap();
    let limits = || {
        vec![
            amount("all", Window::Calendar(Period::Day), "$0.50"),
            limit("all", Window::Rolling(Period::Hour), Measure::Count(50)),
        ]
    };
    let tasks: Vec<_> = (0..4)
        .map(|task| {
            let (ledger, name) = (ledger.clone(), name.to_owned());
            tokio::spawn(async move {
                for n in 0..10 {
                    let cent = purchase(format!("{name}-{task}-{n}"), "$0.01");
                    if let Reserved::Granted { .. } = ledger.reserve(cent, limits()).await.unwrap() {
                        println!("granted;");
                    }
                }
            })
        })
        .collect();
    for n in 0..20 {
        if matches!(ledger.claim(claim(n)).await.unwrap(), Claimed::Granted { .. }) {
            println!("claimed;");
        }
    }
    for task in tasks {
        task.await.unwrap();
    }
}

#[tokio::test]
async fn processes_that_race_for_a_counter_get_exactly_what_it_holds() {
    if let Some((file, name)) = given() {
        return call_sixty_times(&file, &name).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ledger.db");
    let test = "processes_that_race_for_a_counter_get_exactly_what_it_holds";
    let children: Vec<_> = (0..4).map(|n| start(test, &file, &format!("p{n}"), None)).collect();
    let outputs: Vec<_> = children.into_iter().map(finish).collect();
    assert_eq!(outputs.iter().map(|output| granted(output)).sum::<usize>(), 100);
    let ledger = Ledger::open(&file, clock()).unwrap();
    let kinds = journal(&ledger).await;
    assert_eq!(kinds.iter().filter(|(kind, _)| kind == "call").count(), 100);
    assert_eq!(kinds.iter().filter(|(kind, _)| kind == "call_denied").count(), 140);
    assert_whole(&ledger).await;
}

/// Wants one of a hundred 60 times, four at a time.
async fn call_sixty_times(file: &Path, name: &str) {
    let ledger = Ledger::open(file, clock()).unwrap();
    let tasks: Vec<_> = (0..4)
        .map(|task| {
            let (ledger, name) = (ledger.clone(), name.to_owned());
            tokio::spawn(async move {
                for n in 0..15 {
                    let one = charge("calls", Window::Calendar(Period::Day), 1, Refund::OnError);
                    let wish = call(format!("{name}-{task}-{n}"));
                    if denial(&ledger, wish, plan(one, 100)).await.is_none() {
                        println!("granted;");
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handles_that_race_for_a_budget_get_exactly_the_budget() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ledger.db");
    // Opened at once, so that making the file races too.
    let opening: Vec<_> = (0..8)
        .map(|_| {
            let file = file.clone();
            std::thread::spawn(move || Ledger::open(&file, clock()))
        })
        .collect();
    let ledgers: Vec<_> = opening.into_iter().map(|thread| thread.join().unwrap().unwrap()).collect();
    let tasks: Vec<_> = (0..80)
        .map(|n| {
            let ledger = ledgers[n % ledgers.len()].clone();
            let limits = vec![amount("all", Window::Rolling(Period::Day), "$0.23")];
            tokio::spawn(async move { ledger.reserve(purchase(format!("h{n}"), "$0.01"), limits).await })
        })
        .collect();
    let mut granted = 0;
    for task in tasks {
        granted += usize::from(matches!(task.await.unwrap().unwrap(), Reserved::Granted { .. }));
    }
    assert_eq!(granted, 23);
    assert_whole(&ledgers[0]).await;
}

#[tokio::test]
async fn what_was_answered_survives_death_and_what_was_not_committed_never_was() {
    if let Some((file, _)) = given() {
        let ledger = Ledger::open(&file, clock()).unwrap();
        for n in 0..10 {
            assert!(matches!(
                ledger.reserve(purchase(n.to_string(), "$1"), vec![]).await,
                Ok(Reserved::Granted { .. })
            ));
            println!("granted;");
        }
        return;
    }
    let test = "what_was_answered_survives_death_and_what_was_not_committed_never_was";
    for (fault, kept) in [("ledger.before_commit:5", 4), ("ledger.after_commit:5", 5)] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ledger.db");
        let output = start(test, &file, "dies", Some(fault)).wait_with_output().unwrap();
        assert!(!output.status.success(), "{fault} did not kill it");
        assert_eq!(granted(&String::from_utf8_lossy(&output.stdout)), 4, "{fault}");
        let ledger = Ledger::open(&file, clock()).unwrap();
        assert_eq!(ledger.purchases(Default::default()).await.unwrap().len(), kept, "{fault}");
        let again = ledger.reserve(purchase("4", "$1"), vec![]).await;
        assert_eq!(matches!(again, Err(LedgerError::WrongState { .. })), kept == 5, "{fault}");
        assert_whole(&ledger).await;
    }
}
