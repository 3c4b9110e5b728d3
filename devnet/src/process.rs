//! The chain's process: started, watched over and stopped.
//!
//! Between us and anvil stands a small `sh`, anvil's parent. It waits for the end of a pipe whose only writer is this
//! process: when the pipe closes, because the handle was dropped or because this process died in whatever way, it kills
//! anvil. The kernel's parent-death signal would do it without the shell, but it follows the thread that started the
//! child, and runtimes end threads whenever they like.

use std::{
    collections::VecDeque,
    io::{BufRead, BufReader},
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
    time::Duration,
};

use tokio::sync::oneshot;

use crate::Error;

/// The anvil of the pinned npm package: the native binary itself, so that its process id is the chain's.
const ANVIL: &str = env!("FARTHING_DEVNET_ANVIL");

/// A cold start on a busy machine takes a second or two.
const READY_TIMEOUT: Duration = Duration::from_secs(60);

/// How many of anvil's last lines are kept to explain a failure.
const LINES_KEPT: usize = 10;

const PID_LINE: &str = "farthing-devnet pid ";
const LISTENING_LINE: &str = "Listening on ";

/// Starts its arguments as a child, says the child's process id, and kills the child when its standard input ends. It
/// has the child until it has waited for it, so the id can't have passed to another process by then. Old blocks' states,
/// which a killed anvil leaves on the disk, are in a folder that goes with it.
const SUPERVISOR: &str = r#"
exec 3<&0 </dev/null
states=$(mktemp -d 2>&1) || { echo "$states"; exit 1; }
sh -c 'echo "farthing-devnet pid $$"; exec "$@"' sh "$@" --cache-path "$states" 2>&1 3<&- &
chain=$!
exec >/dev/null
(read -r _ <&3; kill -9 "$chain") &
watch=$!
exec 3<&-
wait "$chain"
rm -rf "$states"
kill -9 "$watch"
"#;

/// A running anvil; dropping it stops it.
#[derive(Debug)]
pub(crate) struct Process {
    supervisor: Child,
    pid: u32,
    port: u16,
}

/// What anvil says about itself while it starts.
struct Announcement {
    pid: u32,
    port: u16,
}

// === impl Process ===

impl Process {
    /// Starts anvil and waits until it listens; port 0 lets it take a free one.
    pub(crate) async fn start(chain_id: u64, port: u16) -> Result<Self, Error> {
        if !Path::new(ANVIL).is_file() {
            return Err(Error::AnvilMissing(ANVIL.to_owned()));
        }
        let mut process = Self { supervisor: spawn(chain_id, port)?, pid: 0, port: 0 };
        let heard = listen(process.supervisor.stdout.take());
        let announcement = tokio::time::timeout(READY_TIMEOUT, heard)
            .await
            .map_err(|_| Error::NotReady(READY_TIMEOUT))?
            .unwrap_or_else(|_| Err(String::new()))
            .map_err(|output| Error::Ended { output })?;
        process.pid = announcement.pid;
        process.port = announcement.port;
        Ok(process)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Closes the pipe and waits for the supervisor, which has then waited for anvil.
    fn end(&mut self) {
        drop(self.supervisor.stdin.take());
        // Only fails if somebody else has waited for the supervisor: then it has ended too.
        let _ = self.supervisor.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

fn spawn(chain_id: u64, port: u16) -> Result<Child, Error> {
    Command::new("sh")
        .args(["-c", SUPERVISOR, "sh", ANVIL])
        .args(["--host", "127.0.0.1", "--accounts", "10", "--color", "never"])
        .args(["--chain-id", &chain_id.to_string(), "--port", &port.to_string()])
        // Ctrl-C in a terminal reaches the whole group: the chain has to outlive it, for settlements on the way.
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(Error::Spawn)
}

/// Reads anvil's output on a thread, for as long as there is any: a full pipe would stop the chain.
fn listen(stdout: Option<ChildStdout>) -> oneshot::Receiver<Result<Announcement, String>> {
    let (sender, receiver) = oneshot::channel();
    if let Some(stdout) = stdout {
        std::thread::spawn(move || {
            let mut lines = BufReader::new(stdout).lines().map_while(Result::ok);
            // Nobody may be waiting any more; the output is still drained.
            let _ = sender.send(await_announcement(&mut lines));
            lines.for_each(drop);
        });
    }
    receiver
}

/// Finds process id and port, or gives the last lines if the output ends before.
fn await_announcement(lines: &mut impl Iterator<Item = String>) -> Result<Announcement, String> {
    let mut pid = 0;
    let mut last = VecDeque::new();
    for line in lines {
        if let Some(found) = line.strip_prefix(PID_LINE).and_then(|rest| rest.parse().ok()) {
            pid = found;
            continue;
        }
        if let Some(port) = line.strip_prefix(LISTENING_LINE).and_then(port_of) {
            return Ok(Announcement { pid, port });
        }
        last.push_back(line);
        if last.len() > LINES_KEPT {
            last.pop_front();
        }
    }
    Err(Vec::from(last).join(" / "))
}

fn port_of(address: &str) -> Option<u16> {
    address.rsplit_once(':')?.1.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> impl Iterator<Item = String> {
        text.lines().map(str::to_owned)
    }

    #[test]
    fn pid_and_port_are_read_from_what_anvil_prints() {
        let text = "farthing-devnet pid 4711\n\nChain ID\n====\n8453\nListening on 127.0.0.1:33625\nmore";
        let announcement = await_announcement(&mut lines(text)).unwrap();
        assert_eq!((announcement.pid, announcement.port), (4711, 33625));
    }

    #[test]
    fn an_early_end_is_explained_by_the_last_lines() {
        let text = "farthing-devnet pid 1\nError: Address already in use (os error 98)";
        let output = await_announcement(&mut lines(text)).err().unwrap();
        assert_eq!(output, "Error: Address already in use (os error 98)");
    }
}
