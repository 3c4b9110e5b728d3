//! The servers: the real binary as gateway and facilitator, started, killed, started again, and watched.

use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tokio::process::{Child, Command};
use tokio::sync::Mutex;

use crate::Failure;

/// How long a server may take to listen, and to end after SIGTERM: its own `shutdown` is 60 s, twice.
const START: Duration = Duration::from_secs(60);
const END: Duration = Duration::from_secs(150);

/// One server. It is killed when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) name: &'static str,
    /// Its ledger, once it has started.
    pub(crate) ledger: PathBuf,
    pub(crate) log: PathBuf,
    farthing: PathBuf,
    command: &'static str,
    config: PathBuf,
    home: PathBuf,
    address: String,
    signer: String,
    child: Mutex<Option<Child>>,
    pid: AtomicU32,
}

/// What a server is started with.
#[derive(Debug)]
pub(crate) struct Setup<'a> {
    pub(crate) farthing: &'a Path,
    pub(crate) folder: &'a Path,
    pub(crate) name: &'static str,
    /// `gateway` or `facilitator`.
    pub(crate) command: &'static str,
    pub(crate) port: u16,
    pub(crate) config: String,
    /// The private key that its configuration finds in `SIGNER_KEY`.
    pub(crate) signer: String,
}

/// How a process is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signal {
    Term,
    Kill,
}

impl Server {
    /// Writes its configuration. It does not run yet.
    pub(crate) fn new(setup: Setup<'_>) -> Result<Self, Failure> {
        let home = setup.folder.join(setup.name);
        private_folder(&home)?;
        let config = home.join(format!("{}.yaml", setup.command));
        std::fs::write(&config, setup.config)?;
        Ok(Self {
            name: setup.name,
            ledger: home.join(format!("{}.db", setup.command)),
            log: home.join("log"),
            farthing: setup.farthing.to_owned(),
            command: setup.command,
            config,
            home,
            address: format!("127.0.0.1:{}", setup.port),
            signer: setup.signer,
            child: Mutex::new(None),
            pid: AtomicU32::new(0),
        })
    }

    /// Starts it, and waits until it listens.
    pub(crate) async fn start(&self) -> Result<(), Failure> {
        let log = std::fs::File::options().create(true).append(true).open(&self.log)?;
        let mut child = Command::new(&self.farthing)
            .args([self.command, "-c"])
            .arg(&self.config)
            .env("FARTHING_HOME", &self.home)
            .env("FARTHING_LOG", "warn")
            .env("SIGNER_KEY", &self.signer)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("{} can't be started: {error}", self.farthing.display()))?;
        let deadline = Instant::now() + START;
        while tokio::net::TcpStream::connect(&self.address).await.is_err() {
            if let Some(status) = child.try_wait()? {
                return Err(format!(
                    "{} ended at its start with {status}: see {}",
                    self.name,
                    self.log.display()
                )
                .into());
            }
            if Instant::now() > deadline {
                return Err(format!("{} does not listen: see {}", self.name, self.log.display()).into());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.pid.store(child.id().unwrap_or_default(), Ordering::Relaxed);
        *self.child.lock().await = Some(child);
        Ok(())
    }

    /// Ends it, and waits until it is gone. After SIGTERM it has to end by itself, and well.
    pub(crate) async fn end(&self, signal: Signal) -> Result<(), Failure> {
        let Some(mut child) = self.child.lock().await.take() else { return Ok(()) };
        if let Some(status) = child.try_wait()? {
            return Err(
                format!("{} ended by itself with {status}: see {}", self.name, self.log.display()).into()
            );
        }
        match signal {
            Signal::Kill => child.start_kill()?,
            Signal::Term => terminate(&child).await?,
        }
        let ended = tokio::time::timeout(END, child.wait()).await;
        self.pid.store(0, Ordering::Relaxed);
        let status: ExitStatus = ended.map_err(|_| format!("{} did not end within {END:?}", self.name))??;
        if signal == Signal::Term && !status.success() {
            return Err(format!("{} ended with {status} after SIGTERM", self.name).into());
        }
        Ok(())
    }

    /// What it uses now; none while it does not run.
    pub(crate) fn usage(&self) -> Option<Usage> {
        let pid = self.pid.load(Ordering::Relaxed);
        let status = (pid > 0).then(|| std::fs::read_to_string(format!("/proc/{pid}/status")).ok())??;
        let memory_kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count();
        Some(Usage {
            pid,
            memory_kib: memory_kib?.split_whitespace().next()?.parse().ok()?,
            descriptors: u64::try_from(descriptors).ok()?,
        })
    }

    /// What its ledger takes on the disk, with what is not folded into it yet.
    pub(crate) fn ledger_bytes(&self) -> u64 {
        ledger_bytes(&self.ledger)
    }
}

/// What a process uses.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage {
    pub(crate) pid: u32,
    pub(crate) memory_kib: u64,
    pub(crate) descriptors: u64,
}

async fn terminate(child: &Child) -> Result<(), Failure> {
    let pid = child.id().ok_or("it has no process id")?.to_string();
    let sent = Command::new("kill").args(["-TERM", &pid]).status().await?;
    if sent.success() { Ok(()) } else { Err(format!("process {pid} takes no signal").into()) }
}

pub(crate) fn ledger_bytes(ledger: &Path) -> u64 {
    let size = |suffix: &str| {
        let mut name = ledger.as_os_str().to_owned();
        name.push(suffix);
        std::fs::metadata(name).map_or(0, |file| file.len())
    };
    size("") + size("-wal")
}

/// Makes a folder as the binary wants its home: nobody else's.
pub(crate) fn private_folder(path: &Path) -> std::io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

pub(crate) fn free_port() -> std::io::Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
