//! The child process, from its start to its exit code.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

use super::output::{Output, Unheard};
use super::{Pipes, StdioError};
use crate::guard::Relay;

/// How often it is asked after the child's exit whether all it wrote has been heard, if another process keeps its output
/// open.
const LAST_WORDS: Duration = Duration::from_millis(100);
/// How long the client may take to read the last answers.
const LAST_READ: Duration = Duration::from_secs(1);
/// How often it is asked whether a state has passed that sends no event.
const TICK: Duration = Duration::from_millis(5);

/// What happens to the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    /// The client has closed our input.
    ClientClosed,
    /// The child has closed its output.
    ServerClosed,
    /// A pipe took no more.
    Broken,
    /// The child has exited; it is not reaped yet.
    Exited,
    /// We got a signal.
    Signal(Signal),
}

/// What was done to make the child leave, and until when the next thing has time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Running,
    /// The client is gone; calls still wait for their decision.
    Deciding(Instant),
    /// Its input is closed.
    Closing(Instant),
    /// It got SIGTERM.
    Terminating(Instant),
    /// It got SIGKILL.
    Killed,
}

/// The child process. It is reaped in one place, after [`Event::Exited`]: until then its number is nobody else's, and
/// a signal can't reach a stranger.
pub(super) struct Watched {
    child: Child,
    pid: Pid,
    stage: Stage,
    /// What it may have written; none after its output has ended.
    unheard: Option<Unheard>,
}

impl Watched {
    /// Starts the child with pipes for its input and output; its errors go where ours go.
    pub(super) fn start(command: &[OsString]) -> Result<(Self, ChildStdin, Output), StdioError> {
        let (program, arguments) = command.split_first().ok_or(StdioError::NoCommand)?;
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|source| StdioError::Spawn { program: program.clone(), source })?;
        let pipes = child.stdin.take().zip(child.stdout.take());
        let (input, output) = pipes.ok_or_else(|| io::Error::from(io::ErrorKind::BrokenPipe))?;
        let (output, unheard) = Output::of(output)?;
        let pid = Pid::from_child(&child);
        Ok((Self { child, pid, stage: Stage::Running, unheard: Some(unheard) }, input, output))
    }

    /// Waits for the exit without reaping; for a thread of its own.
    pub(super) fn waiter(&self) -> impl FnOnce() + Send + 'static {
        let pid = self.pid;
        move || {
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            while matches!(waitid(WaitId::Pid(pid), options), Err(Errno::INTR)) {}
        }
    }

    /// Sees the session to its end, and gives the exit code.
    pub(super) fn watch(
        mut self,
        events: &Receiver<Event>,
        relay: &Relay,
        link: &Pipes,
        grace: Duration,
    ) -> io::Result<u8> {
        loop {
            match self.next(events) {
                Some(Event::Exited) => break,
                Some(event) => self.on_event(event, link, grace),
                None => self.on_time(relay, link, grace),
            }
        }
        let status = self.child.wait()?;
        self.hear_last_words(events, link, grace);
        relay.server_gone("the server has exited");
        link.client.flush(LAST_READ);
        let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
        Ok(code.and_then(|code| u8::try_from(code & 0xff).ok()).unwrap_or(1))
    }

    /// The next event; none when a stage's time may be over.
    fn next(&self, events: &Receiver<Event>) -> Option<Event> {
        let wait = match self.stage {
            Stage::Running | Stage::Killed => return events.recv().ok(),
            Stage::Deciding(_) => TICK,
            Stage::Closing(until) | Stage::Terminating(until) => {
                until.saturating_duration_since(Instant::now())
            }
        };
        events.recv_timeout(wait).ok()
    }

    fn on_event(&mut self, event: Event, link: &Pipes, grace: Duration) {
        match event {
            Event::ClientClosed if self.stage == Stage::Running => {
                self.stage = Stage::Deciding(Instant::now() + grace);
            }
            // Without one of its pipes it is no server any more.
            Event::ServerClosed | Event::Broken => {
                if event == Event::ServerClosed {
                    self.unheard = None;
                }
                if matches!(self.stage, Stage::Running | Stage::Deciding(_)) {
                    self.close_input(link, grace);
                }
            }
            Event::Signal(signal) => {
                self.signal(signal);
                if signal == Signal::TERM && self.stage != Stage::Killed {
                    self.stage = Stage::Terminating(Instant::now() + grace);
                }
            }
            Event::ClientClosed | Event::Exited => {}
        }
    }

    fn on_time(&mut self, relay: &Relay, link: &Pipes, grace: Duration) {
        let now = Instant::now();
        match self.stage {
            Stage::Deciding(until) if relay.undecided() == 0 || now >= until => self.close_input(link, grace),
            Stage::Closing(until) if now >= until => {
                self.signal(Signal::TERM);
                self.stage = Stage::Terminating(now + grace);
            }
            Stage::Terminating(until) if now >= until => {
                self.signal(Signal::KILL);
                self.stage = Stage::Killed;
            }
            _ => {}
        }
    }

    fn close_input(&mut self, link: &Pipes, grace: Duration) {
        link.server.close();
        self.stage = Stage::Closing(Instant::now() + grace);
    }

    fn signal(&self, signal: Signal) {
        if let Err(error) = kill_process(self.pid, signal) {
            tracing::warn!(%error, ?signal, "can't pass the signal on to the server");
        }
    }

    /// Waits for the end of the child's output: at once there, as a rule. Another process may hold it open.
    fn hear_last_words(&self, events: &Receiver<Event>, link: &Pipes, grace: Duration) {
        let Some(unheard) = &self.unheard else { return };
        let until = Instant::now() + grace;
        loop {
            match events.recv_timeout(LAST_WORDS) {
                Ok(Event::ServerClosed) => return,
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout)
                    if (unheard.is_there() || link.client.is_busy()) && Instant::now() < until => {}
                Err(_) => return,
            }
        }
    }
}
