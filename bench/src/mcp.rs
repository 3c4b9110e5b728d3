//! `farthing mcp`: how long it takes from its start to its tools and what it holds then, beside agentcash; and what `pay` adds to
//! a call and its settlement, beside the same call made by hand with a payment that is signed already.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

use farthing_devnet::{BASE_SEPOLIA, Base};
use serde_json::{Value, json};

use crate::figures::{median, say};
use crate::http1::{self, Connection};
use crate::process::{self, Server};
use crate::{Failure, buyer, gateway, stub};

/// What to measure.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Starts of each server
    #[arg(long, default_value_t = 30)]
    starts: usize,

    /// Paid calls
    #[arg(long, default_value_t = 300)]
    calls: usize,

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
/// A server could not be run, or answered otherwise than it should.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    process::leave_the_servers_core()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(async {
        let chain = Base::builder().chain_id(BASE_SEPOLIA).start().await?;
        let outcome = measure(options, &chain).await;
        chain.stop().await;
        outcome
    })
}

async fn measure(options: &Options, chain: &Base) -> Result<(), Failure> {
    let facilitator = format!("http://127.0.0.1:{}", stub::start().await?);
    let folder = tempfile::tempdir()?;
    let seller =
        gateway::our_seller(&["--facilitator", &facilitator, "--pay-to", buyer::PAYEE], folder.path())?;
    let home = wallet(options, chain, folder.path(), seller.port)?;
    say("| | farthing | aim | agentcash |\n|---|---|---|---|");
    let (start, memory) = starts(&options.farthing, &["mcp"], &home, options.starts)?;
    let peer = match &options.agentcash {
        Some(program) => Some(starts(program, &["server"], &home, options.starts.div_ceil(6))?),
        None => None,
    };
    let of_peer = |shown: fn((f64, f64)) -> String| peer.map_or("-".to_owned(), shown);
    say(&format!(
        "| start to `tools/list`, p50 | {start:.1} ms | 30 ms | {} |",
        of_peer(|(ms, _)| format!("{ms:.0} ms"))
    ));
    say(&format!(
        "| most memory held then | {memory:.1} MB | 20 MB | {} |",
        of_peer(|(_, mb)| format!("{mb:.0} MB"))
    ));
    let by_hand = by_hand(&seller, options.calls).await?;
    let paid = paid(options, &home, &seller)?;
    say(&format!(
        "| `pay` adds to the call and its settlement, p50 | {:.1} ms | 15 ms | - |",
        paid - by_hand
    ));
    say(&format!("\n`pay` took {paid:.2} ms at the median, the same call by hand {by_hand:.2} ms"));
    Ok(())
}

/// A wallet that agents may call the seller with.
fn wallet(options: &Options, chain: &Base, folder: &Path, port: u16) -> Result<PathBuf, Failure> {
    let home = folder.join("home");
    let finish = |arguments: &[&str]| -> Result<(), Failure> {
        let status = command(&options.farthing, arguments, &home)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status()?;
        if status.success() {
            Ok(())
        } else {
            Err(format!("farthing {arguments:?} ended with {status}").into())
        }
    };
    finish(&["init", "--yes", "--quiet"])?;
    let rpc = chain.rpc_url();
    let config = format!(
        "version: 1\nnetworks:\n  base-sepolia: {{rpc: [\"{rpc}\"]}}\nprivate_hosts: [\"127.0.0.1:{port}\"]\n"
    );
    std::fs::write(home.join("config.yaml"), config)?;
    std::fs::write(
        home.join("policy.yaml"),
        "version: 1\npayments: {max: \"$1\", budgets: [{name: day, max: \"$1000\", per: 24 hours}]}\n",
    )?;
    finish(&["fund", "--network", "base-sepolia", "--amount", "$500", "--quiet"])?;
    Ok(home)
}

fn command(program: &str, arguments: &[&str], home: &Path) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).env("FARTHING_HOME", home).env("FARTHING_PASSPHRASE", "a passphrase of no worth");
    command
}

/// The median time from a server's start to its list of tools, in milliseconds, and the most memory that it held, in MB.
fn starts(program: &str, arguments: &[&str], home: &Path, count: usize) -> Result<(f64, f64), Failure> {
    let (mut took, mut held) = (Vec::new(), 0);
    for _ in 0..count {
        let began = Instant::now();
        let mut session = Session::start(program, arguments, home)?;
        session.request("tools/list", &json!({}))?;
        took.push(began.elapsed().as_secs_f64() * 1e3);
        held = held.max(process::memory_kib(session.child.id(), "VmHWM:")?);
    }
    Ok((median(took), held as f64 / 1024.0))
}

/// The median time of a 402 and a paid answer over one connection, in milliseconds.
async fn by_hand(seller: &Server, count: usize) -> Result<f64, Failure> {
    let price = buyer::ask(seller.port, "/paid").await?;
    let mut connection = Connection::open(seller.port).await?;
    let mut took = Vec::new();
    for _ in 0..count {
        let paid = price.paid_request("/paid")?;
        let began = Instant::now();
        let statuses =
            [connection.exchange(&http1::get("/paid", None)).await?, connection.exchange(&paid).await?];
        took.push(began.elapsed().as_secs_f64() * 1e3);
        if statuses != [402, 200] {
            return Err(format!("the seller answered {statuses:?}").into());
        }
    }
    Ok(median(took))
}

/// The median time of the tool `pay`, in milliseconds. The first call unlocks the key, and is not counted.
fn paid(options: &Options, home: &Path, seller: &Server) -> Result<f64, Failure> {
    let mut session = Session::start(&options.farthing, &["mcp"], home)?;
    let url = format!("http://127.0.0.1:{}/paid", seller.port);
    let call = json!({"name": "pay", "arguments": {"url": url}});
    let mut took = Vec::new();
    for _ in 0..=options.calls {
        let began = Instant::now();
        let answer = session.request("tools/call", &call)?;
        took.push(began.elapsed().as_secs_f64() * 1e3);
        if answer["result"]["structuredContent"]["payment"]["state"] != "paid" {
            return Err(format!("not paid: {answer}").into());
        }
    }
    took.remove(0);
    Ok(median(took))
}

/// A client's session.
struct Session {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    next_id: u64,
}

impl Session {
    fn start(program: &str, arguments: &[&str], home: &Path) -> Result<Self, Failure> {
        let elsewhere = [&["--cpu-list", process::SERVERS_CORE, program], arguments].concat();
        let mut command = command("taskset", &elsewhere, home);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let input = child.stdin.take().ok_or("no input")?;
        let output = BufReader::new(child.stdout.take().ok_or("no output")?);
        let mut session = Self { child, input, output, next_id: 0 };
        session.request(
            "initialize",
            &json!({"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "bench", "version": "1"}}),
        )?;
        session.send(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}))?;
        Ok(session)
    }

    fn send(&mut self, message: &Value) -> Result<(), Failure> {
        Ok(self.input.write_all(format!("{message}\n").as_bytes())?)
    }

    fn request(&mut self, method: &str, params: &Value) -> Result<Value, Failure> {
        self.next_id += 1;
        self.send(&json!({"jsonrpc": "2.0", "id": self.next_id, "method": method, "params": params}))?;
        let mut line = String::new();
        loop {
            line.clear();
            if self.output.read_line(&mut line)? == 0 {
                return Err(format!("the server ended before it answered {method}").into());
            }
            // Servers may say other things in between.
            let Ok(message) = serde_json::from_str::<Value>(&line) else { continue };
            if message["id"] == self.next_id && message.get("method").is_none() {
                return Ok(message);
            }
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Both fail only when it ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
