//! Every fault point of the crates, and what is left in the buyer's ledger by a `farthing fetch` that dies there.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Who dies at a point, and so which test drives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Victim {
    /// `farthing fetch`: the newest purchase's state afterwards, as `farthing history` names it.
    Fetch(Option<&'static str>),
    /// `farthing gateway`, also with its facilitator in the same process.
    Gateway,
    /// Whoever settles: `farthing gateway` or `farthing facilitator`.
    Settler,
    /// Whoever writes a ledger: all of them, at every commit.
    Ledger,
    /// `farthing init`.
    Init,
    /// Nothing that the program does: a test of its crate kills itself there.
    OwnTest,
}

/// The table. A point that the sources have and the table has not fails a test, and the other way round.
pub(crate) const POINTS: &[(&str, Victim)] = &[
    ("wallet.asked", Victim::Fetch(None)),
    ("wallet.decided", Victim::Fetch(None)),
    ("wallet.reserved", Victim::Fetch(Some("reserved"))),
    ("wallet.signed", Victim::Fetch(Some("reserved"))),
    ("wallet.recorded", Victim::Fetch(Some("signed"))),
    ("wallet.before_send", Victim::Fetch(Some("signed"))),
    ("wallet.answered", Victim::Fetch(Some("signed"))),
    ("wallet.kept", Victim::Fetch(Some("paid"))),
    ("wallet.responded", Victim::Fetch(Some("paid"))),
    ("wallet.finished", Victim::Fetch(Some("paid"))),
    ("ledger.before_commit", Victim::Ledger),
    ("ledger.after_commit", Victim::Ledger),
    ("gateway.verified", Victim::Gateway),
    ("gateway.claimed", Victim::Gateway),
    ("gateway.served", Victim::Gateway),
    ("gateway.kept", Victim::Gateway),
    ("gateway.settled", Victim::Gateway),
    ("gateway.recorded", Victim::Gateway),
    ("facilitator.begun", Victim::Settler),
    ("facilitator.recorded", Victim::Settler),
    ("facilitator.settled", Victim::Settler),
    ("facilitator.finished", Victim::Settler),
    ("rail_evm.recorded", Victim::Settler),
    ("rail_evm.sent", Victim::Settler),
    ("keystore.drafted", Victim::Init),
    ("keystore.linked", Victim::Init),
    ("keystore.renamed", Victim::OwnTest),
];

/// The points of these victims.
pub(crate) fn of(victims: &[Victim]) -> Vec<&'static str> {
    POINTS.iter().filter(|(_, victim)| victims.contains(victim)).map(|(name, _)| *name).collect()
}

fn crates() -> PathBuf {
    PathBuf::from(std::env::var("CARGO_MANIFEST_DIR").unwrap()).join("..")
}

/// The names in `point("…")` of every source file below a folder.
fn named_below(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            named_below(&path, found);
        } else if path.extension().is_some_and(|end| end == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let calls = text.lines().filter(|line| !line.trim_start().starts_with("//"));
            for call in calls.flat_map(|line| line.split("point(\"").skip(1)) {
                found.insert(call.split('"').next().unwrap().to_owned());
            }
        }
    }
}

#[test]
fn every_fault_point_is_in_the_table_and_the_other_way_round() {
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(crates()).unwrap() {
        named_below(&entry.unwrap().path().join("src"), &mut found);
    }
    let listed: BTreeSet<String> = POINTS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(found, listed, "tests/e2e/crash/points.rs lists every fault::point in crates/*/src");
}

/// Nothing but a test build has fault points: no default feature and no other program of the workspace turns them on.
#[test]
fn a_build_that_is_no_test_has_no_fault_points() {
    let tree = |more: &[&str]| {
        let fixed = ["tree", "--offline", "--workspace", "--prefix", "none", "--format", "{p} [{f}]"];
        let done = Command::new(env!("CARGO")).args(fixed).args(more).current_dir(crates()).output().unwrap();
        let text = String::from_utf8(done.stdout).unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        let ambient = text.lines().find(|line| line.starts_with("farthing-ambient "));
        ambient.unwrap_or_else(|| panic!("{text}")).contains("faults")
    };
    assert!(!tree(&["--edges", "normal,build"]), "a release would have fault points");
    assert!(tree(&["--edges", "normal,build,dev"]), "the tests' own build has none");
}
