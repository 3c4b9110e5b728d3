//! Replays the kept corpora on stable Rust: what fuzzing once found, or merely reached, holds on.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "these are tests")]

#[path = "../../../crates/protocol/tests/documents/busy.rs"]
mod busy;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use busy::busy;
use farthing_fuzz_bodies::{TARGETS, Target};

/// Of the processor's time, for one input, unoptimised. libFuzzer's own limit is in xtask/src/fuzz.rs.
const LIMIT: Duration = Duration::from_secs(20);
/// All corpora together; one file.
const MAX_BYTES: u64 = 2 * 1024 * 1024;
const MAX_FILE_BYTES: u64 = 16 * 1024;

fn corpora() -> PathBuf {
    // From the package's folder, where tests run: a path in the program would name the checkout that built it.
    PathBuf::from("../corpus")
}

fn inputs(target: &str) -> Vec<PathBuf> {
    let folder = corpora().join(target);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// Says which file it was when one fails, and fails for one that takes too long.
fn replay(target: &Target) {
    struct Named(PathBuf);
    impl Drop for Named {
        fn drop(&mut self) {
            if std::thread::panicking() {
                eprintln!("the input is {}", self.0.display());
            }
        }
    }
    let files = inputs(target.name);
    assert!(files.len() >= 10, "the corpus of {} has {} files", target.name, files.len());
    for file in files {
        let (input, started) = (fs::read(&file).unwrap(), busy());
        let named = Named(file);
        (target.run)(&input);
        let took = busy() - started;
        assert!(took < LIMIT, "{} took {took:?}", named.0.display());
    }
}

macro_rules! replayed {
    ($($name:ident,)*) => {
        $(
            #[test]
            fn $name() {
                replay(TARGETS.iter().find(|target| target.name == stringify!($name)).unwrap());
            }
        )*

        #[test]
        fn every_target_is_replayed_and_has_a_program() {
            let named = [$(stringify!($name)),*];
            assert_eq!(TARGETS.map(|target| target.name), named);
            let targets = Path::new("../targets");
            for name in named {
                assert!(targets.join(format!("{name}.rs")).is_file(), "{name}");
            }
        }
    };
}

replayed! {
    argument_path,
    cel,
    config_secrets,
    discovery_document,
    facilitator_request,
    facilitator_yaml,
    gateway_yaml,
    json_rpc,
    money,
    path,
    payment_header,
    payment_required,
    policy_yaml,
    settlement,
    tools_yaml,
}

#[test]
fn the_corpora_are_small() {
    let mut total = 0;
    for corpus in fs::read_dir(corpora()).unwrap() {
        for file in fs::read_dir(corpus.unwrap().path()).unwrap() {
            let file = file.unwrap();
            let bytes = file.metadata().unwrap().len();
            assert!(bytes <= MAX_FILE_BYTES, "{} has {bytes} bytes", file.path().display());
            total += bytes;
        }
    }
    assert!(total <= MAX_BYTES, "{total} bytes");
}
