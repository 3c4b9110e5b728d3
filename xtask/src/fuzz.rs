//! `cargo xtask fuzz`: cargo-fuzz over the targets of fuzz/, on nightly. fuzz/README.md tells what each holds true.
//!
//! What is found and learnt stays in the target directory; `--keep` puts what reaches more into `fuzz/corpus`. Plain
//! `cargo xtask test` replays that on stable, without any of this.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use crate::invocation::{Failure, Invocation, text};
use crate::toolchain;
use crate::workspace::{root, say, say_headline, target_dir};

const CARGO_FUZZ: &str = "0.13.2";
/// For one input, in seconds. None needs more than some milliseconds: what grows faster than its input is found by it.
const INPUT_TIMEOUT_S: u32 = 10;
/// For the whole process, with AddressSanitizer's shadow and the corpus.
const MEMORY_LIMIT_MB: u32 = 1500;

/// How long a target is fuzzed, which one, and what happens to what is learnt.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask fuzz                         every target, ten minutes each
  cargo xtask fuzz path --minutes 60       one target, for an hour
  cargo xtask fuzz path --input FILE       the target once, with this input: what a crash left, say
  cargo xtask fuzz path --minutes 5 --keep and put what reaches more into fuzz/corpus/path

It needs Rust nightly (rustup toolchain install nightly) and builds cargo-fuzz at the first time.
An input that fails is left in target/fuzz/artifacts; its path is printed.")]
pub(crate) struct Options {
    /// The target: a name in fuzz/targets. All of them, if left out
    target: Option<String>,

    /// For how many minutes, each
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    minutes: u64,

    /// Run the target once, with this input
    #[arg(long, value_name = "FILE", requires = "target")]
    input: Option<PathBuf>,

    /// Afterwards put into fuzz/corpus the fewest and smallest inputs that reach all that is reached
    #[arg(long, conflicts_with = "input")]
    keep: bool,
}

/// Fuzzes.
///
/// # Errors
/// No nightly, no such target, or an input that fails.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let known = targets()?;
    let wanted = match &options.target {
        Some(name) if known.contains(name) => std::slice::from_ref(name),
        Some(name) => {
            return Err(Failure::new(format!("there is no target `{name}`: {}", known.join(", "))));
        }
        None => &known,
    };
    if !Invocation::cargo(&["+nightly", "--version"]).succeeds() {
        return Err(Failure::new("Rust nightly is needed. Run: rustup toolchain install nightly"));
    }
    let fuzzer = Fuzzer::new()?;
    wanted.iter().try_for_each(|target| {
        say_headline(target);
        if let Some(input) = &options.input {
            let input = std::path::absolute(input).map_err(|error| Failure::new(error.to_string()))?;
            return fuzzer.cargo_fuzz("run", target, &[text(&input)]).run();
        }
        fuzzer.fuzz(target, options.minutes)?;
        if options.keep { fuzzer.keep(target) } else { Ok(()) }
    })
}

/// The targets' names, sorted.
fn targets() -> Result<Vec<String>, Failure> {
    let names = |folder: &Path| -> std::io::Result<Vec<String>> {
        let files = fs::read_dir(folder)?.map(|file| file.map(|file| file.path()));
        files.map(|path| path.map(|path| text(Path::new(path.file_stem().unwrap_or_default())))).collect()
    };
    let folder = root().join("fuzz/targets");
    let mut names = names(&folder).map_err(|error| Failure::new(format!("{}: {error}", folder.display())))?;
    names.sort();
    Ok(names)
}

struct Fuzzer {
    /// With cargo-fuzz in it.
    path: String,
    /// For everything that is built, found and learnt.
    folder: PathBuf,
}

impl Fuzzer {
    fn new() -> Result<Self, Failure> {
        let program = toolchain::tool("cargo-fuzz", CARGO_FUZZ)?;
        let found = std::env::var_os("PATH").unwrap_or_default();
        let folders =
            program.parent().map(Path::to_path_buf).into_iter().chain(std::env::split_paths(&found));
        let path: OsString =
            std::env::join_paths(folders).map_err(|error| Failure::new(format!("PATH: {error}")))?;
        Ok(Self { path: path.to_string_lossy().into_owned(), folder: target_dir().join("fuzz") })
    }

    fn fuzz(&self, target: &str, minutes: u64) -> Result<(), Failure> {
        let (learnt, artifacts) = (self.learnt(target)?, self.made("artifacts", target)?);
        let corpora = [text(&learnt), text(&kept(target)), "--".to_owned()];
        let limits = [
            format!("-max_total_time={}", minutes.saturating_mul(60)),
            format!("-timeout={INPUT_TIMEOUT_S}"),
            format!("-rss_limit_mb={MEMORY_LIMIT_MB}"),
            format!("-max_len={}", longest(target)),
            format!("-dict={}", text(&root().join("fuzz/dictionaries").join(dictionary(target)))),
            format!("-artifact_prefix={}/", text(&artifacts)),
            "-print_final_stats=1".to_owned(),
        ];
        self.cargo_fuzz("run", target, &[&corpora[..], &limits].concat()).run()
    }

    /// Merges what was kept and what was learnt, the smallest first, and keeps what that needs.
    fn keep(&self, target: &str) -> Result<(), Failure> {
        let (learnt, kept) = (self.learnt(target)?, kept(target));
        let fewest = self.made("kept", target)?;
        let io = |error: std::io::Error| Failure::new(format!("{}: {error}", kept.display()));
        fs::remove_dir_all(&fewest).and_then(|()| fs::create_dir(&fewest)).map_err(io)?;
        let folders = [text(&fewest), text(&kept), text(&learnt)];
        // By what is reached, not by how often: that would keep several times as many.
        let merge = ["--", "-merge=1", "-set_cover_merge=1", "-use_counters=0"].map(str::to_owned);
        self.cargo_fuzz("run", target, &[&folders[..], &merge].concat()).run()?;
        fs::remove_dir_all(&kept).and_then(|()| fs::create_dir(&kept)).map_err(io)?;
        for file in fs::read_dir(&fewest).map_err(io)? {
            let file = file.map_err(io)?;
            // The names are SHA-1; twelve digits tell them apart.
            let name = text(Path::new(&file.file_name()));
            fs::copy(file.path(), kept.join(name.get(..12).unwrap_or(&name))).map_err(io)?;
        }
        say(&format!("fuzz/corpus/{target} is written anew; commit what you want to keep"));
        Ok(())
    }

    fn cargo_fuzz(&self, command: &str, target: &str, rest: &[String]) -> Invocation {
        let built = text(&self.folder);
        let own = ["+nightly", "fuzz", command, "--fuzz-dir", "fuzz", "--target-dir", &built, target];
        Invocation::cargo(&own).env("PATH", self.path.clone()).with(rest)
    }

    fn learnt(&self, target: &str) -> Result<PathBuf, Failure> {
        self.made("corpus", target)
    }

    fn made(&self, what: &str, target: &str) -> Result<PathBuf, Failure> {
        let folder = self.folder.join(what).join(target);
        fs::create_dir_all(&folder)
            .map_err(|error| Failure::new(format!("{}: {error}", folder.display())))?;
        Ok(folder)
    }
}

fn kept(target: &str) -> PathBuf {
    root().join("fuzz/corpus").join(target)
}

fn dictionary(target: &str) -> &'static str {
    match target {
        "path" => "path.dict",
        "money" => "money.dict",
        "cel" | "argument_path" => "cel.dict",
        _ if target.ends_with("_yaml") || target == "config_secrets" => "yaml.dict",
        _ => "json.dict",
    }
}

/// In bytes: room for several of what it is about, and no more, since small inputs find more in the same time.
fn longest(target: &str) -> usize {
    match target {
        "argument_path" => 256,
        "path" | "money" | "config_secrets" | "cel" => 1024,
        "settlement" => 4096,
        _ => 8192,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_has_a_dictionary_and_a_kept_corpus() {
        let targets = targets().unwrap();
        assert!(targets.len() >= 11, "{targets:?}");
        let manifest = fs::read_to_string(root().join("fuzz/Cargo.toml")).unwrap();
        for target in targets {
            assert!(root().join("fuzz/dictionaries").join(dictionary(&target)).is_file(), "{target}");
            assert!(fs::read_dir(kept(&target)).unwrap().count() >= 10, "{target}");
            assert!(manifest.contains(&format!("name = \"{target}\"")), "{target} is no program of fuzz/");
        }
    }
}
