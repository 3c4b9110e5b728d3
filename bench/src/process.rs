//! Servers as processes of their own, on a core of their own.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::Failure;

/// The servers' core. The load generator and the stub have the other one.
pub(crate) const SERVERS_CORE: &str = "0";
const OWN_CORE: &str = "1";
/// What Linux counts processor time in, for programs: `USER_HZ` is 100 on every platform.
const TICK: Duration = Duration::from_millis(10);

/// A running server. It is killed when dropped.
pub(crate) struct Server {
    child: Child,
    /// Where it listens on this machine.
    pub(crate) port: u16,
}

impl Server {
    /// Starts a program that prints `{"ready":true,"port":N,…}`.
    pub(crate) fn start(program: &str, arguments: &[&str]) -> Result<Self, Failure> {
        let mut command = Command::new("taskset");
        command.args(["--cpu-list", SERVERS_CORE, program]).args(arguments);
        let spawned = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let child = spawned.map_err(|error| format!("taskset (of util-linux) can't be started: {error}"))?;
        let mut server = Self { child, port: 0 };
        let output = server.child.stdout.take().ok_or("the server has no output")?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        let ready: Value =
            serde_json::from_str(&line).map_err(|_| format!("{program} did not become ready"))?;
        server.port = ready["port"].as_u64().and_then(|port| port.try_into().ok()).ok_or("no port")?;
        Ok(server)
    }

    /// The processor time that it has used, to 10 ms.
    pub(crate) fn cpu_time(&self) -> Result<Duration, Failure> {
        cpu_time(&self.child.id().to_string())
    }

    /// The memory that it holds now, in KiB.
    pub(crate) fn memory_kib(&self) -> Result<u64, Failure> {
        memory_kib(self.child.id(), "VmRSS:")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only when it ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The processor time that this process has used, to 10 ms.
pub(crate) fn own_cpu_time() -> Result<Duration, Failure> {
    cpu_time("self")
}

fn cpu_time(process: &str) -> Result<Duration, Failure> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The program's name, in brackets, may hold anything; utime and stime are fields 14 and 15.
    let (_, rest) = stat.rsplit_once(')').ok_or("/proc/…/stat has no name")?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<u32>().ok());
    let (user, system) = ticks(11).zip(ticks(12)).ok_or("/proc/…/stat has no times")?;
    Ok(TICK * (user + system))
}

/// A line of `/proc/…/status`: `VmRSS:` is what the process holds now, `VmHWM:` the most that it ever held.
pub(crate) fn memory_kib(process: u32, which: &str) -> Result<u64, Failure> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(which));
    let number = line.and_then(|line| line.split_whitespace().next()).and_then(|n| n.parse().ok());
    number.ok_or_else(|| format!("/proc/…/status has no {which}").into())
}

/// Moves this process off the servers' core. To be called before it starts threads.
pub(crate) fn leave_the_servers_core() -> Result<(), Failure> {
    let own = std::process::id().to_string();
    let status = Command::new("taskset")
        .args(["--cpu-list", "--pid", OWN_CORE, &own])
        .stdout(Stdio::null())
        .status()
        .map_err(|error| format!("taskset (of util-linux) can't be started: {error}"))?;
    if status.success() { Ok(()) } else { Err("two cores are needed".into()) }
}
