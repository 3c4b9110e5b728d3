//! Everything that the demo sets up: files, processes, and how it talks.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anstyle::{AnsiColor, Style};
use tokio::process::{Child, Command};

pub(crate) const STEP: Style = AnsiColor::Cyan.on_default().bold();
pub(crate) const COMMAND: Style = AnsiColor::Yellow.on_default();
pub(crate) const DIM: Style = AnsiColor::BrightBlack.on_default();
pub(crate) const GOOD: Style = AnsiColor::Green.on_default().bold();

/// How long a person gets for each step.
const READING: Duration = Duration::from_secs(3);

/// What went wrong, in words for the person who runs the demo.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Broken(pub(crate) String);

impl From<std::io::Error> for Broken {
    fn from(error: std::io::Error) -> Self {
        Self(error.to_string())
    }
}

impl From<farthing_devnet::Error> for Broken {
    fn from(error: farthing_devnet::Error) -> Self {
        Self(format!("the local chain: {error}"))
    }
}

impl From<reqwest::Error> for Broken {
    fn from(error: reqwest::Error) -> Self {
        Self(error.to_string())
    }
}

/// The user's terminal, played: it runs `farthing` with the wallet's folder and shows what it prints.
#[derive(Debug)]
pub(crate) struct Terminal {
    pub(crate) farthing: PathBuf,
    pub(crate) home: PathBuf,
    pub(crate) passphrase: String,
    steps: std::cell::Cell<u32>,
    began: Instant,
}

impl Terminal {
    pub(crate) fn new(farthing: PathBuf, home: PathBuf, passphrase: String) -> Self {
        Self { farthing, home, passphrase, steps: std::cell::Cell::new(0), began: Instant::now() }
    }

    /// Announces what happens next, leaving a person the time to read what came before.
    pub(crate) async fn step(&self, title: &str) {
        if self.steps.get() > 0 && std::io::stdout().is_terminal() {
            tokio::time::sleep(READING).await;
        }
        self.steps.set(self.steps.get() + 1);
        let seconds = self.began.elapsed().as_secs();
        anstream::println!("\n{STEP}{:>2}. {title}{STEP:#} {DIM}({seconds} s){DIM:#}", self.steps.get());
    }

    pub(crate) fn say(&self, line: impl std::fmt::Display) {
        anstream::println!("    {line}");
    }

    /// Runs a command as the user would and shows its output; fails unless it exits with `expected`.
    pub(crate) async fn run(&self, args: &[&str], expected: i32) -> Result<String, Broken> {
        let shown: Vec<String> = args.iter().map(|arg| quoted(arg)).collect();
        anstream::println!("    {COMMAND}$ farthing {}{COMMAND:#}", shown.join(" "));
        let (code, stdout, stderr) = self.output(args).await?;
        for line in stdout.lines().chain(stderr.lines()) {
            self.say(line);
        }
        if code != Some(expected) {
            return Err(Broken(format!(
                "`farthing {}` ended with {code:?}, expected {expected}",
                shown.join(" ")
            )));
        }
        if expected != 0 {
            self.say(format!("{DIM}exit code {expected}{DIM:#}"));
        }
        Ok(stdout)
    }

    /// Runs a command without showing it, and reads its JSON.
    pub(crate) async fn ask(&self, args: &[&str]) -> Result<serde_json::Value, Broken> {
        let (_, stdout, stderr) = self.output(args).await?;
        serde_json::from_str(&stdout)
            .map_err(|error| Broken(format!("farthing {}: {error}: {stderr}", args.join(" "))))
    }

    async fn output(&self, args: &[&str]) -> Result<(Option<i32>, String, String), Broken> {
        let done = self.command(args).output().await?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok((done.status.code(), text(&done.stdout), text(&done.stderr)))
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.farthing);
        command.args(args).env("FARTHING_HOME", &self.home).env("FARTHING_PASSPHRASE", &self.passphrase);
        // The demo passes colours on exactly when it prints to a terminal itself.
        if anstream::AutoStream::choice(&std::io::stdout()) != anstream::ColorChoice::Never {
            command.env("CLICOLOR_FORCE", "1");
        }
        command.kill_on_drop(true);
        command
    }

    /// Starts the gateway and waits until it answers. Its log goes to a file beside its configuration.
    pub(crate) async fn gateway(&self, config: &Path, env: (&str, &str), url: &str) -> Result<Child, Broken> {
        anstream::println!(
            "    {COMMAND}$ farthing gateway -c gateway.yaml{COMMAND:#} {DIM}(in the background){DIM:#}"
        );
        let log_path = config.with_extension("log");
        let log = std::fs::File::create(&log_path)?;
        let mut child = self
            .command(&["gateway", "-c", &config.to_string_lossy()])
            .env(env.0, env.1)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let deadline = Instant::now() + Duration::from_secs(20);
        while reqwest::get(url).await.is_err() {
            if let Some(status) = child.try_wait()? {
                let log = std::fs::read_to_string(&log_path)?;
                return Err(Broken(format!("the gateway ended with {status}: {log}")));
            }
            if Instant::now() > deadline {
                return Err(Broken(format!(
                    "the gateway does not answer at {url}; see {}",
                    log_path.display()
                )));
            }
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
        Ok(child)
    }
}

fn quoted(arg: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@=".contains(c);
    if arg.chars().all(plain) { arg.to_owned() } else { format!("'{arg}'") }
}
