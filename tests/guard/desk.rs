//! A folder with a policy, a record and what reached the servers; and the commands that are run on it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;
use tempfile::TempDir;

use crate::session::Guard;

pub(crate) const FARTHING: &str = env!("CARGO_BIN_EXE_farthing");

pub(crate) const MINUTE: u64 = 60;
pub(crate) const HOUR: u64 = 60 * MINUTE;
pub(crate) const DAY: u64 = 24 * HOUR;

/// Ten in the morning, a little after the minute: no window ends while a test runs, unless it wants that.
const MORNING: u64 = 10 * HOUR + 5;

/// Everything that a guard leaves on disk. Its clock begins at a time of a day that is to come, whenever the test runs.
pub(crate) struct Desk {
    folder: TempDir,
    /// How far the midnight before the desk's first day was ahead of the machine's clock.
    midnight: u64,
    /// How long after that midnight processes begin.
    time: u64,
}

/// What a command left.
pub(crate) struct Done {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Desk {
    pub(crate) fn new(policy: &str) -> Self {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        let desk = Self { folder: tempfile::tempdir().unwrap(), midnight: DAY - now % DAY, time: MORNING };
        std::fs::create_dir(desk.home()).unwrap();
        desk.policy(policy);
        desk
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.path("home")
    }

    pub(crate) fn ledger(&self) -> PathBuf {
        self.home().join("ledger.db")
    }

    pub(crate) fn policy_file(&self) -> PathBuf {
        self.path("policy.yaml")
    }

    /// Puts another policy in the file's place, as an editor does: written beside it, and renamed over it.
    pub(crate) fn policy(&self, text: &str) {
        std::fs::write(self.path("draft"), text).unwrap();
        std::fs::rename(self.path("draft"), self.policy_file()).unwrap();
    }

    /// Processes that begin from now on see this time, counted from the midnight before the desk's first day.
    pub(crate) fn at(&mut self, time: u64) -> &Self {
        self.time = time;
        self
    }

    /// A guard around a recording server, in Farthing's own words.
    pub(crate) fn guard(&self) -> Guard {
        self.guard_with(&[])
    }

    /// The same in Intercept's.
    pub(crate) fn intercept(&self) -> Guard {
        self.guard_with(&["--compat", "intercept"])
    }

    pub(crate) fn guard_with(&self, args: &[&str]) -> Guard {
        self.guard_around(&server(), args)
    }

    pub(crate) fn guard_around(&self, server: &Path, args: &[&str]) -> Guard {
        let mut command = self.command(&["guard", "--log-level", "info", "-c"]);
        command.arg(self.policy_file()).args(args).arg("--").arg(server).env("RECORD", self.path("record"));
        Guard::start(command)
    }

    /// A command of the desk's folder and time.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(FARTHING);
        command
            .args(args)
            .env("FARTHING_HOME", self.home())
            .env("FARTHING_CLOCK_AHEAD", (self.midnight + self.time).to_string())
            .env("USER", "the tester")
            .env_remove("FARTHING_AGENT")
            .env_remove("FARTHING_SESSION")
            .env_remove("FARTHING_LOG")
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Done {
        let done = self.command(args).output().unwrap();
        Done {
            code: done.status.code().unwrap(),
            stdout: String::from_utf8(done.stdout).unwrap(),
            stderr: String::from_utf8(done.stderr).unwrap(),
        }
    }

    /// A command that must succeed; its stdout.
    pub(crate) fn ok(&self, args: &[&str]) -> String {
        let done = self.run(args);
        assert_eq!(done.code, 0, "farthing {args:?}: {} {}", done.stdout, done.stderr);
        done.stdout
    }

    /// The record, row by row. Decisions without counters are in it for certain only when their guard has left.
    pub(crate) fn journal(&self) -> Vec<Value> {
        let file = self.ledger();
        let rows = self.ok(&["audit", "export", "--file", file.to_str().unwrap()]);
        rows.lines().map(|row| serde_json::from_str(row).unwrap()).collect()
    }

    /// The record's rows of one kind.
    pub(crate) fn rows(&self, kind: &str) -> Vec<Value> {
        self.journal().into_iter().filter(|row| row["kind"] == kind).collect()
    }

    /// Waits until the record has so many ends of calls, which are written when nobody waits for them.
    pub(crate) fn await_ends(&self, count: usize) -> Vec<Value> {
        await_some("ends of calls", || Some(self.rows("call_ended")).filter(|rows| rows.len() >= count))
    }

    /// Every line that reached a server, as it came. A server may be writing the next one.
    pub(crate) fn forwarded(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.path("record")).unwrap_or_default();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(str::to_owned).collect()
    }

    /// The tools that reached a server, in order.
    pub(crate) fn called(&self) -> Vec<String> {
        let mut tools = Vec::new();
        for line in self.forwarded() {
            let members = match serde_json::from_str(&line).unwrap() {
                Value::Array(members) => members,
                one => vec![one],
            };
            tools.extend(members.iter().filter_map(|one| one["params"]["name"].as_str()).map(str::to_owned));
        }
        tools
    }

    /// Whether the record's chain, counters and records agree.
    pub(crate) fn assert_whole(&self) {
        let file = self.ledger();
        let report = self.ok(&["audit", "verify", "--json", "--file", file.to_str().unwrap()]);
        assert_eq!(serde_json::from_str::<Value>(&report).unwrap()["whole"], true, "{report}");
    }
}

/// The server's program, which is built with the tests.
pub(crate) fn server() -> PathBuf {
    let me = std::env::current_exe().unwrap();
    let server = me.parent().unwrap().parent().unwrap().join("examples/recording_server");
    assert!(server.exists(), "build it: cargo build --package farthing --examples");
    server
}

/// Asks again until there is an answer.
pub(crate) fn await_some<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
