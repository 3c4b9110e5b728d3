//! One run of a program, which can say how to repeat it by hand.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::workspace;

/// What cargo sets for the program that it runs. Handed on, some build scripts (ring's) would see a change and build
/// again at every turn between `cargo xtask` and plain cargo.
const CARGO_OWN: [&str; 4] = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_"];

/// A program, its arguments, its place and its additions to the environment.
#[derive(Debug, Clone)]
pub(crate) struct Invocation {
    program: String,
    arguments: Vec<String>,
    folder: Option<&'static str>,
    environment: Vec<(&'static str, String)>,
}

/// What went wrong, and the command that shows it again.
#[derive(Debug)]
pub(crate) struct Failure {
    what: String,
    repeat: Option<String>,
}

impl Failure {
    /// A failure that is not one command's.
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), repeat: None }
    }

    /// A failure that a summary has told: only the exit code is left.
    pub(crate) fn already_told() -> Self {
        Self::new("")
    }

    /// Whether nothing is left to be said.
    pub(crate) fn is_told(&self) -> bool {
        self.what.is_empty()
    }

    /// The command that shows it again.
    pub(crate) fn repeat(&self) -> Option<&str> {
        self.repeat.as_deref()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl Invocation {
    /// A program found on `PATH`, run at the root of the checkout.
    pub(crate) fn new(program: impl Into<String>, arguments: &[&str]) -> Self {
        Self {
            program: program.into(),
            arguments: arguments.iter().map(|&a| a.to_owned()).collect(),
            folder: None,
            environment: Vec::new(),
        }
    }

    /// Cargo.
    pub(crate) fn cargo(arguments: &[&str]) -> Self {
        Self::new("cargo", arguments)
    }

    /// Adds arguments.
    pub(crate) fn with(mut self, arguments: &[String]) -> Self {
        self.arguments.extend_from_slice(arguments);
        self
    }

    /// Runs it in a folder below the root instead.
    pub(crate) fn inside(mut self, folder: &'static str) -> Self {
        self.folder = Some(folder);
        self
    }

    /// Sets an environment variable.
    pub(crate) fn env(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.environment.push((name, value.into()));
        self
    }

    /// Runs it with this terminal, and waits.
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let status = self.command().status().map_err(|error| self.cannot_start(&error))?;
        if status.success() { Ok(()) } else { Err(self.failed(&format!("ended with {status}"))) }
    }

    /// Runs it silently, and gives back what it wrote on standard output.
    pub(crate) fn output(&self) -> Result<String, Failure> {
        let output = self
            .command()
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .output()
            .map_err(|error| self.cannot_start(&error))?;
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            Err(self.failed(&format!("ended with {}", output.status)))
        }
    }

    /// Whether it runs and succeeds, silently.
    pub(crate) fn succeeds(&self) -> bool {
        self.output().is_ok()
    }

    /// As [`Self::run`], but ends it, and what it started, after `limit`. It can ask nothing.
    pub(crate) fn run_within(&self, limit: Duration) -> Result<(), Failure> {
        let mut command = self.command();
        let child = command.stdin(Stdio::null()).process_group(0).spawn();
        let mut child = child.map_err(|error| self.cannot_start(&error))?;
        let started = Instant::now();
        loop {
            match child.try_wait() {
                Ok(Some(status)) if status.success() => return Ok(()),
                Ok(Some(status)) => return Err(self.failed(&format!("ended with {status}"))),
                Ok(None) if started.elapsed() < limit => std::thread::sleep(Duration::from_millis(50)),
                Ok(None) => {
                    end_group(&mut child);
                    return Err(self.failed(&format!("took more than {} s", limit.as_secs())));
                }
                Err(error) => return Err(self.cannot_start(&error)),
            }
        }
    }

    /// Becomes the program: signals and Ctrl-C reach it directly, and its exit code is ours. Returns on failure only.
    pub(crate) fn replace_this_process(&self) -> Failure {
        let error = self.command().exec();
        self.cannot_start(&error)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).current_dir(self.folder());
        for (name, _) in std::env::vars_os() {
            if is_cargos_own(&name) {
                command.env_remove(name);
            }
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    fn folder(&self) -> PathBuf {
        self.folder.map_or_else(workspace::root, |folder| workspace::root().join(folder))
    }

    fn failed(&self, how: &str) -> Failure {
        Failure { what: format!("`{}` {how}", self.bare()), repeat: Some(self.to_string()) }
    }

    fn cannot_start(&self, error: &std::io::Error) -> Failure {
        let what = format!("`{}` can't be started: {error}", self.bare());
        Failure { what, repeat: Some(self.to_string()) }
    }

    /// Program and arguments, without place and environment.
    fn bare(&self) -> String {
        let words = std::iter::once(&self.program).chain(&self.arguments);
        words.map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
    }
}

/// A line for a shell at the root of the checkout.
impl fmt::Display for Invocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(folder) = self.folder {
            write!(f, "cd {folder} && ")?;
        }
        for (name, value) in &self.environment {
            write!(f, "{name}={} ", quoted(value))?;
        }
        f.write_str(&self.bare())
    }
}

/// Ends a child that leads its own process group, and its children. The standard library can't signal a group.
fn end_group(child: &mut Child) {
    let script = format!("kill -KILL -{}", child.id());
    // Both fail only when it ended by itself in between.
    let _ = Command::new("sh").arg("-c").arg(script).stderr(Stdio::null()).status();
    let _ = child.wait();
}

fn is_cargos_own(name: &OsStr) -> bool {
    name.to_str().is_some_and(|name| CARGO_OWN.iter().any(|own| name.starts_with(own)))
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,@+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// A path as an argument.
pub(crate) fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_to_repeat_can_be_pasted_into_a_shell() {
        let doc = Invocation::cargo(&["doc", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings");
        assert_eq!(doc.to_string(), "RUSTDOCFLAGS='-D warnings' cargo doc --no-deps");
        let golden = Invocation::new("node", &["golden.mjs", "it's"]).inside("tests/peers");
        assert_eq!(golden.to_string(), r"cd tests/peers && node golden.mjs 'it'\''s'");
    }

    #[test]
    fn a_failure_names_the_command() {
        let failure = Invocation::new("false", &[]).run().unwrap_err();
        assert_eq!(failure.repeat(), Some("false"));
        assert!(failure.to_string().contains("exit status: 1"));
        let missing = Invocation::new("farthing-no-such-program", &[]).run().unwrap_err();
        assert!(missing.to_string().contains("can't be started"));
    }

    #[test]
    fn what_takes_too_long_is_stopped() {
        let started = Instant::now();
        let sleep = Invocation::new("sh", &["-c", "sleep 60 & sleep 60"]);
        let failure = sleep.run_within(Duration::from_millis(100)).unwrap_err();
        assert!(failure.to_string().contains("took more than"));
        assert!(started.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn cargos_own_variables_are_not_handed_on() {
        assert!(is_cargos_own(OsStr::new("CARGO_PKG_NAME")));
        assert!(is_cargos_own(OsStr::new("CARGO_MANIFEST_DIR")));
        assert!(!is_cargos_own(OsStr::new("CARGO_TARGET_DIR")));
        assert!(!is_cargos_own(OsStr::new("CARGO_HOME")));
    }
}
