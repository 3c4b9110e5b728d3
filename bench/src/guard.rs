//! The guard: what it adds to a round trip over standard input and output, beside the same server without it. Intercept,
//! the peer, is a Go program that cannot be built here; what it measured stands in the table's last column, from
//! reference/policy.md.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use farthing_policy::json::Json;
use farthing_policy::{Call, Policy};

use crate::Failure;
use crate::figures::{median, say};
use crate::process;

/// Calls in a round.
const CALLS: usize = 400;
/// Calls that are under way at a time, where many are.
const IN_FLIGHT: usize = 16;
/// What the echo server is called with.
const ECHO: &str = "echo-server";

const NO_COUNTERS: &str = "version: \"1\"\ntools: {ping: {rules: []}}\n";
const DENIES: &str = "version: \"1\"\ntools: {ping: {rules: [{name: never, action: deny}]}}\n";
/// Three counters, each durable, that never end.
const COUNTERS: &str = "version: \"1\"\ntools:\n  ping:\n    rules:\n      - {name: minute, rate_limit: 100000000/minute}\n      \
    - {name: hour, rate_limit: 100000000/hour}\n      - {name: day, rate_limit: 100000000/day}\n";

/// What to measure.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Rounds of each kind
    #[arg(long, default_value_t = 15)]
    rounds: usize,

    /// The program `farthing`, in release; `cargo xtask bench` builds it and sets this
    #[arg(long, env = "FARTHING", hide_env_values = true)]
    farthing: String,
}

/// The echo server of the benchmark: answers every request with an empty result.
///
/// # Errors
/// Standard output is closed.
pub(crate) fn echo() -> Result<(), Failure> {
    let (mut input, mut output) = (std::io::stdin().lock(), std::io::stdout().lock());
    let mut line = String::new();
    while input.read_line(&mut line)? > 0 {
        let id = line.split("\"id\":").nth(1).and_then(|rest| rest.split([',', '}']).next()).unwrap_or("0");
        output.write_all(
            format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{{\"content\":[]}}}}\n").as_bytes(),
        )?;
        output.flush()?;
        line.clear();
    }
    Ok(())
}

/// Runs it and prints a table.
///
/// # Errors
/// The guard could not be run, or answered otherwise than it should.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let guards = Guards { options, folder: folder.path() };
    let direct = guards.median_of(None, 1)?;
    say("| | farthing | target | Intercept (measured elsewhere) |\n|---|---|---|---|");
    for (name, policy, target, peer) in [
        ("added round trip, no counters, p50", NO_COUNTERS, "30 us", "41 to 82 us"),
        ("denial, whole round trip, p50", DENIES, "20 us", "23 to 43 us"),
    ] {
        let took = guards.median_of(Some(policy), 1)?;
        let shown = if policy == DENIES { took } else { took - direct };
        say(&format!("| {name} | {shown:.1} us | {target} | {peer} |"));
    }
    let (alone, guarded) = (guards.median_of(None, IN_FLIGHT)?, guards.median_of(Some(COUNTERS), IN_FLIGHT)?);
    let each = guarded - alone;
    say(&format!(
        "| three durable counters, {IN_FLIGHT} in flight, added each | {each:.1} us | 100 us | 364 to 642 us, one at a time, not durable |"
    ));
    let (start, memory) = guards.start()?;
    say(&format!("| start to the first answer | {start:.1} ms | 15 ms | 6 to 45 ms |"));
    say(&format!("| most memory held | {:.1} MB | 15 MB | 25 MB |", memory as f64 / 1024.0));
    say(&format!("| decision in process, 100 rules | {:.2} us | 1.5 us | - |", decision()?));
    say(&format!("\na round trip without the guard: {direct:.1} us at the median"));
    Ok(())
}

/// One decision over a hundred rules, of which all hold; the median of many batches.
fn decision() -> Result<f64, Failure> {
    let rules: String = (0..100)
        .map(|n| {
            format!(
                "      - {{name: r{n}, conditions: [{{path: args.a{}, op: lte, value: {}}}]}}\n",
                n % 10,
                n + 10
            )
        })
        .collect();
    let policy = Policy::parse(&format!("version: \"1\"\ntools:\n  ping:\n    rules:\n{rules}"))?;
    let arguments: String = (0..10).map(|n| format!("\"a{n}\":{n},")).collect();
    let json = Json::parse(format!("{{{}\"z\":0}}", arguments).as_bytes())?;
    let arguments = json.as_object().ok_or("no object")?;
    let now = farthing_ambient::Timestamp::UNIX_EPOCH;
    let call = Call { server: "s", tool: "ping", arguments, agent: None, session: "1", now };
    let batch = || -> Result<f64, Failure> {
        let began = Instant::now();
        for _ in 0..1000 {
            let plan = policy.plan(std::hint::black_box(&call)).map_err(|denial| denial.to_string())?;
            std::hint::black_box(plan);
        }
        Ok(began.elapsed().as_secs_f64() * 1e6 / 1000.0)
    };
    Ok(median((0..50).map(|_| batch()).collect::<Result<_, _>>()?))
}

struct Guards<'a> {
    options: &'a Options,
    folder: &'a Path,
}

impl Guards<'_> {
    /// The median round trip in microseconds, by the median of its rounds; with many in flight, the time for each.
    fn median_of(&self, policy: Option<&str>, in_flight: usize) -> Result<f64, Failure> {
        let mut talk = Talk::start(self.command(policy)?)?;
        talk.round(in_flight)?;
        let rounds = (0..self.options.rounds).map(|_| talk.round(in_flight));
        let median = median(rounds.collect::<Result<_, _>>()?);
        talk.end()?;
        Ok(median)
    }

    fn command(&self, policy: Option<&str>) -> Result<Command, Failure> {
        let echo = std::env::current_exe()?;
        let Some(policy) = policy else {
            let mut command = Command::new(echo);
            command.arg(ECHO);
            return Ok(command);
        };
        let file = self.folder.join("policy.yaml");
        std::fs::write(&file, policy)?;
        let mut command = Command::new(&self.options.farthing);
        command.arg("guard").arg("-c").arg(file).arg("--").arg(echo).arg(ECHO);
        command.env("FARTHING_HOME", self.folder.join("home"));
        Ok(command)
    }

    /// From the start of the process to its first answer, in milliseconds, and the most memory held, in KiB.
    fn start(&self) -> Result<(f64, u64), Failure> {
        let (mut took, mut most) = (Vec::new(), 0);
        for _ in 0..self.options.rounds {
            let began = Instant::now();
            let mut talk = Talk::start(self.command(Some(COUNTERS))?)?;
            talk.call(1)?;
            took.push(began.elapsed().as_secs_f64() * 1e3);
            talk.round(IN_FLIGHT)?;
            most = most.max(process::memory_kib(talk.child.id(), "VmHWM:").unwrap_or(0));
            talk.end()?;
        }
        Ok((median(took), most))
    }
}

/// A process that is talked to in lines.
struct Talk {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    line: String,
}

impl Talk {
    fn start(mut command: Command) -> Result<Self, Failure> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let to = child.stdin.take().ok_or("no pipe")?;
        let from = BufReader::new(child.stdout.take().ok_or("no pipe")?);
        Ok(Self { child, to, from, line: String::new() })
    }

    fn send(&mut self, id: usize) -> Result<(), Failure> {
        let call = format!(
            "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"tools/call\",\"params\":{{\"name\":\"ping\",\"arguments\":{{\"n\":{id}}}}}}}\n"
        );
        Ok(self.to.write_all(call.as_bytes())?)
    }

    fn answer(&mut self) -> Result<(), Failure> {
        self.line.clear();
        if self.from.read_line(&mut self.line)? == 0 || !self.line.contains("\"result\"") {
            return Err(format!("no answer, but `{}`", self.line.trim()).into());
        }
        Ok(())
    }

    fn call(&mut self, id: usize) -> Result<Duration, Failure> {
        let began = Instant::now();
        self.send(id)?;
        self.answer()?;
        Ok(began.elapsed())
    }

    /// Microseconds for a call.
    fn round(&mut self, in_flight: usize) -> Result<f64, Failure> {
        if in_flight == 1 {
            let each = (0..CALLS).map(|id| Ok(self.call(id)?.as_secs_f64() * 1e6));
            return Ok(median(each.collect::<Result<_, Failure>>()?));
        }
        let began = Instant::now();
        (0..in_flight).try_for_each(|id| self.send(id))?;
        for id in in_flight..CALLS {
            self.answer()?;
            self.send(id)?;
        }
        (0..in_flight).try_for_each(|_| self.answer())?;
        Ok(began.elapsed().as_secs_f64() * 1e6 / CALLS as f64)
    }

    fn end(self) -> Result<(), Failure> {
        let Self { mut child, to, .. } = self;
        drop(to);
        child.wait()?;
        Ok(())
    }
}
