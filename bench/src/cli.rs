//! The command line: how long `farthing --version` and `farthing check` take, and what they hold. `check` asks our own
//! gateway's layer for the price, and a local chain for the wallet's balance. agentcash, where its program is given, is
//! run beside.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use farthing_devnet::{BASE_SEPOLIA, Base};

use crate::figures::{median, say};
use crate::process::{self, Server};
use crate::{Failure, buyer, gateway, stub};

/// What to measure.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Runs of each command
    #[arg(long, default_value_t = 50)]
    runs: usize,

    /// The program `farthing`, in release; `cargo xtask bench` builds it and sets this
    #[arg(long, env = "FARTHING", hide_env_values = true)]
    farthing: String,

    /// agentcash's program (npm), if it is to be measured beside
    #[arg(long)]
    agentcash: Option<String>,
}

/// Runs it and prints a table.
///
/// # Errors
/// A command failed.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    process::leave_the_servers_core()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(async {
        let chain = Base::builder().chain_id(BASE_SEPOLIA).start().await?;
        let outcome = with_a_wallet(options, &chain).await;
        chain.stop().await;
        outcome
    })
}

async fn with_a_wallet(options: &Options, chain: &Base) -> Result<(), Failure> {
    let facilitator = format!("http://127.0.0.1:{}", stub::start().await?);
    let folder = tempfile::tempdir()?;
    let seller =
        gateway::our_seller(&["--facilitator", &facilitator, "--pay-to", buyer::PAYEE], folder.path())?;
    let commands = Commands { options, home: folder.path().join("home") };
    commands.finish(&["init", "--yes", "--quiet"])?;
    let config = format!("version: 1\nnetworks:\n  base-sepolia: {{rpc: [\"{}\"]}}\n", chain.rpc_url());
    std::fs::write(commands.home.join("config.yaml"), config)?;
    commands.finish(&["fund", "--network", "base-sepolia", "--amount", "$5", "--quiet"])?;
    commands.measure(&seller)
}

struct Commands<'a> {
    options: &'a Options,
    home: PathBuf,
}

impl Commands<'_> {
    fn measure(&self, seller: &Server) -> Result<(), Failure> {
        let url = format!("http://127.0.0.1:{}/paid", seller.port);
        say("| command | median ms | p90 ms | most memory held, KiB |\n|---|---|---|---|");
        self.row("farthing --version", &self.options.farthing, &["--version"])?;
        self.row("farthing check", &self.options.farthing, &["check", &url])?;
        if let Some(agentcash) = &self.options.agentcash {
            self.row("agentcash --version", agentcash, &["--version"])?;
        }
        Ok(())
    }

    fn row(&self, name: &str, program: &str, arguments: &[&str]) -> Result<(), Failure> {
        let mut took = Vec::new();
        for _ in 0..self.options.runs {
            let began = Instant::now();
            finish(self.start(program, arguments)?)?;
            took.push(began.elapsed());
        }
        took.sort_unstable();
        let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
        let p90 = took.get(took.len() * 9 / 10).copied().unwrap_or_default();
        let middle = median(took.into_iter().map(milliseconds).collect());
        let memory = self.memory_kib(program, arguments)?;
        say(&format!("| `{name}` | {middle:.1} | {:.1} | {memory} |", milliseconds(p90)));
        Ok(())
    }

    /// The most that a run held, in KiB: watched until it ends, from the other core, or a short run would be over before
    /// it was looked at. In runs of their own, as watching takes time.
    fn memory_kib(&self, program: &str, arguments: &[&str]) -> Result<u64, Failure> {
        let elsewhere = [&["--cpu-list", process::SERVERS_CORE, program], arguments].concat();
        let mut most = 0;
        for _ in 0..20 {
            let mut child = self.start("taskset", &elsewhere)?;
            while child.try_wait()?.is_none() {
                // None of its own is left when it has just ended.
                most = most.max(process::memory_kib(child.id(), "VmHWM:").unwrap_or(0));
            }
        }
        Ok(most)
    }

    fn start(&self, program: &str, arguments: &[&str]) -> Result<Child, Failure> {
        let mut command = Command::new(program);
        command.args(arguments).env("FARTHING_HOME", &self.home);
        command.env("FARTHING_PASSPHRASE", "a passphrase of no worth").stdin(Stdio::null());
        command.stdout(Stdio::null()).spawn().map_err(|error| format!("{program}: {error}").into())
    }

    fn finish(&self, arguments: &[&str]) -> Result<(), Failure> {
        finish(self.start(&self.options.farthing, arguments)?)
    }
}

fn finish(mut child: Child) -> Result<(), Failure> {
    let status = child.wait()?;
    if status.success() { Ok(()) } else { Err(format!("a command ended with {status}").into()) }
}
