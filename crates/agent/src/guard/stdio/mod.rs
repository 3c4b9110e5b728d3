//! The guard around a child process: newline-delimited JSON on standard input and output.
//!
//! A message is judged and passed on by the thread that read it, with one system call each way: no other thread has to
//! be woken for it. Only what the gate decides later, what times out, and signals, go by a small runtime.

mod child;
mod hangup;
pub(super) mod lines;
pub(super) mod outlet;
mod output;

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::Duration;

use farthing_ambient::OsEntropy;
use rustix::process::Signal;
use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use super::{Gate, Limits, Link, Relay, Side, Stream};
use child::{Event, Watched};
use lines::{Line, Lines};
use outlet::Outlet;
use output::Output;

/// There is one stream.
const ONLY: Stream = Stream(0);

/// How the guard runs a server.
#[derive(Debug, Clone)]
pub struct StdioConfig {
    /// The program and its arguments.
    pub command: Vec<OsString>,
    /// What the session may take.
    pub limits: Limits,
    /// How long the child may take to leave after its input was closed, and again after SIGTERM.
    pub grace: Duration,
    /// Where later decisions are awaited and signals are heard: it needs tokio's time and I/O, and must be driven by
    /// another thread than the one that calls [`run`]. None: a thread of our own.
    pub runtime: Option<Handle>,
}

impl StdioConfig {
    /// The defaults: [`Limits::default`], 5 seconds of grace, a runtime of our own.
    pub fn new<I: IntoIterator<Item: Into<OsString>>>(command: I) -> Self {
        let command = command.into_iter().map(Into::into).collect();
        Self { command, limits: Limits::default(), grace: Duration::from_secs(5), runtime: None }
    }
}

/// Why the guard could not run.
#[derive(Debug, thiserror::Error)]
pub enum StdioError {
    /// There is no command.
    #[error("no command is given for the server")]
    NoCommand,
    /// The child could not be started.
    #[error("can't start {program:?}")]
    Spawn {
        /// What was to be started.
        program: OsString,
        /// Why not.
        source: io::Error,
    },
    /// The process could not be set up for it.
    #[error("can't set up the guard")]
    Setup(#[from] io::Error),
    /// There is no randomness.
    #[error(transparent)]
    Entropy(#[from] farthing_ambient::NoEntropy),
}

/// Starts the child, and carries messages between it and our own standard input and output until it has left. Gives
/// the exit code for us: the child's, or 128 and the signal's number if one ended it.
///
/// When it returns, a thread may still be reading standard input: end the process then.
///
/// # Errors
/// [`StdioError`]: the session could not begin, or the child could not be reaped.
pub fn run(config: StdioConfig, gate: Arc<dyn Gate>) -> Result<u8, StdioError> {
    let input = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let output = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    for pipe in [&input, &output] {
        // Another program may have left the pipe non-blocking. What is no pipe may refuse, and needs it not.
        let _ = rustix::io::ioctl_fionbio(pipe, false);
    }
    let (events, heard) = mpsc::channel();
    let (runtime, _stop) = match &config.runtime {
        Some(runtime) => (runtime.clone(), None),
        None => own_runtime().map(|(runtime, stop)| (runtime, Some(stop)))?,
    };
    hear_signals(&runtime, &events)?;
    let (child, to_child, from_child) = Watched::start(&config.command)?;
    let link = Arc::new(Pipes { client: Outlet::new(output), server: Outlet::new(to_child), events });
    let relay = Relay::new(config.limits, gate, link.clone(), runtime.clone(), &OsEntropy)?;
    start_threads(&config, &relay, &link, &child, input, from_child)?;
    runtime.spawn(expire(relay.clone()));
    Ok(child.watch(&heard, &relay, &link, config.grace)?)
}

/// The two pipes.
struct Pipes {
    client: Outlet,
    server: Outlet,
    events: Sender<Event>,
}

impl Pipes {
    fn outlet(&self, to: Side) -> &Outlet {
        match to {
            Side::Client => &self.client,
            Side::Server => &self.server,
        }
    }

    /// Nobody listens after the end.
    fn tell(&self, event: Event) {
        let _ = self.events.send(event);
    }
}

/// Tells that a thread has ended, also when the gate panicked in it: the session must not hang.
struct Ends(Arc<Pipes>, Event);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.tell(self.1);
    }
}

impl Link for Pipes {
    fn send(&self, to: Side, _: Stream, message: &[u8]) {
        if !self.outlet(to).send(message) {
            self.tell(Event::Broken);
        }
    }

    fn queue(&self, to: Side, _: Stream, message: Vec<u8>) {
        if !self.outlet(to).queue(message) {
            self.tell(Event::Broken);
        }
    }
}

fn start_threads(
    config: &StdioConfig,
    relay: &Relay,
    link: &Arc<Pipes>,
    child: &Watched,
    input: File,
    from_child: Output,
) -> io::Result<()> {
    let most = config.limits.max_message;
    let patience = config.limits.call_timeout.max(config.grace);
    let (watched, to) = (input.try_clone()?, link.clone());
    spawn("guard-hangup", move || hangup::watch(&watched, &to, patience))?;
    let (ends, relay_in) = (Ends(link.clone(), Event::ClientClosed), relay.clone());
    spawn("guard-client", move || {
        let _ends = ends;
        carry(Lines::new(input, most), |line| match line {
            Line::Whole(line) if line.trim_ascii().is_empty() => {}
            Line::Whole(line) => drop(relay_in.from_client(ONLY, line)),
            Line::TooLarge(shape) => drop(relay_in.client_too_large(ONLY, &shape)),
        });
    })?;
    let (ends, relay_out) = (Ends(link.clone(), Event::ServerClosed), relay.clone());
    spawn("guard-server", move || {
        let _ends = ends;
        carry(Lines::new(from_child, most), |line| match line {
            Line::Whole(line) => relay_out.from_server(ONLY, line),
            Line::TooLarge(shape) => relay_out.server_too_large(ONLY, &shape),
        });
    })?;
    for side in [Side::Client, Side::Server] {
        let link = link.clone();
        spawn("guard-queue", move || {
            if !link.outlet(side).run() {
                link.tell(Event::Broken);
            }
        })?;
    }
    let (to, wait) = (link.clone(), child.waiter());
    spawn("guard-child", move || {
        wait();
        to.tell(Event::Exited);
    })
}

fn carry<R: Read>(mut lines: Lines<R>, mut take: impl FnMut(Line<'_>)) {
    loop {
        match lines.next() {
            Ok(Some(line)) => take(line),
            Ok(None) => return,
            Err(error) => return tracing::warn!(%error, "can't read on"),
        }
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().name(name.to_owned()).spawn(work).map(drop)
}

/// A runtime on a thread of its own, until the second half is dropped.
fn own_runtime() -> io::Result<(Handle, oneshot::Sender<()>)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let handle = runtime.handle().clone();
    let (stop, stopped) = oneshot::channel();
    spawn("guard-later", move || drop(runtime.block_on(stopped)))?;
    Ok((handle, stop))
}

/// Answers what is overdue. Requests get their deadlines at least `call_timeout` ahead, so none can be missed by
/// sleeping until the next one that is known.
async fn expire(relay: Relay) {
    loop {
        tokio::time::sleep(relay.expire()).await;
    }
}

/// Takes the signals from now on, so that none ends us while the child lives on.
fn hear_signals(runtime: &Handle, events: &Sender<Event>) -> io::Result<()> {
    let _entered = runtime.enter();
    let kinds = [
        (SignalKind::terminate(), Signal::TERM),
        (SignalKind::interrupt(), Signal::INT),
        (SignalKind::hangup(), Signal::HUP),
    ];
    for (kind, name) in kinds {
        let mut heard = signal(kind)?;
        let events = events.clone();
        runtime.spawn(async move {
            while heard.recv().await.is_some() && events.send(Event::Signal(name)).is_ok() {}
        });
    }
    Ok(())
}
