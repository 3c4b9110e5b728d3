//! Asks a server for its tools, for `farthing guard scan`.

use std::ffi::OsString;
use std::io;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use farthing_policy::json::Json;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use super::config::{HttpError, Target};
use super::front::{Front, Out};
use super::queue::{Receiver, queue};
use super::session::Session;
use super::upstream::Upstream;
use crate::guard::message::object;
use crate::guard::{Call, Client, Decided, End, Gate, Limits, Stream, Ticket};

/// What we ask for first, and what we speak to servers that know no `initialize` any more.
const VERSION: &str = "2025-11-25";
const MODERN: &str = "2026-07-28";
/// The most pages of a list, and the most tools.
const MAX_PAGES: usize = 100;
const MAX_TOOLS: usize = 10_000;
/// The longest answer, in bytes.
const MAX_MESSAGE: usize = 16 << 20;
/// How long a child may take to leave.
const GRACE: Duration = Duration::from_secs(2);

/// Why there is no list of tools.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// The server can't be asked.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The server can't be started, or talked to.
    #[error("can't talk to {program:?}")]
    Process {
        /// The program.
        program: OsString,
        /// Why not.
        source: io::Error,
    },
    /// There is no command.
    #[error("no command is given for the server")]
    NoCommand,
    /// The server answered with an error.
    #[error("the server refused {method}: {error}")]
    Refused {
        /// What it was asked.
        method: String,
        /// Its JSON-RPC error.
        error: Json,
    },
    /// The server's list is none.
    #[error("the server's list of tools can't be used: {why}")]
    Unclear {
        /// What is wrong with it.
        why: &'static str,
    },
    /// The server left.
    #[error("the server ended the session")]
    Closed,
    /// The server took too long.
    #[error("the server gave no list of tools within {within:?}")]
    TimedOut {
        /// How long it had.
        within: Duration,
    },
}

/// Starts this server, asks it for its tools, and ends it. Each is an object with a `name`.
///
/// # Errors
/// [`ScanError`]
pub async fn scan_stdio(command: &[OsString], within: Duration) -> Result<Vec<Json>, ScanError> {
    let (program, arguments) = command.split_first().ok_or(ScanError::NoCommand)?;
    let broken = |source| ScanError::Process { program: program.clone(), source };
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(broken)?;
    let pipes = child.stdin.take().zip(child.stdout.take());
    let (input, output) = pipes.ok_or_else(|| broken(io::ErrorKind::BrokenPipe.into()))?;
    let mut talk = Pipes { child, input, output: BufReader::new(output) };
    let listed = within_time(within, list(&mut talk)).await;
    drop(talk.input);
    // Who does not leave is killed when it is dropped.
    let _ = timeout(GRACE, talk.child.wait()).await;
    listed
}

/// Asks the server at this URL for its tools; `headers` are written `Name: value`. Each tool is an object with a `name`.
///
/// # Errors
/// [`ScanError`]
pub async fn scan_http(url: &str, headers: &[String], within: Duration) -> Result<Vec<Json>, ScanError> {
    let upstream = Upstream::new(Target::new(url, headers)?).map_err(HttpError::from)?;
    let limits = Limits { max_message: MAX_MESSAGE, ..Limits::default() };
    let (to, from) = queue();
    let opened = Session::open(Arc::new(upstream), limits, Arc::new(Open), Front::One(to));
    let mut talk = Over { session: opened.map_err(HttpError::from)?, from };
    let listed = within_time(within, list(&mut talk)).await;
    talk.session.close("the list is read").await;
    listed
}

async fn within_time<T>(
    within: Duration,
    work: impl Future<Output = Result<T, ScanError>>,
) -> Result<T, ScanError> {
    timeout(within, work).await.unwrap_or(Err(ScanError::TimedOut { within }))
}

/// Messages to a server and from it.
trait Talk {
    async fn send(&mut self, message: &Json) -> Result<(), ScanError>;
    async fn next(&mut self) -> Result<Json, ScanError>;
}

async fn list(talk: &mut impl Talk) -> Result<Vec<Json>, ScanError> {
    let us =
        || object([("name", Json::from("farthing")), ("version", Json::from(env!("CARGO_PKG_VERSION")))]);
    let params = object([
        ("protocolVersion", Json::from(VERSION)),
        ("capabilities", object([])),
        ("clientInfo", us()),
    ]);
    match ask(talk, 0, "initialize", params).await {
        Ok(_) => {
            let method = Json::from("notifications/initialized");
            talk.send(&object([("jsonrpc", Json::from("2.0")), ("method", method)])).await?;
            pages(talk, None).await
        }
        Err(refused @ ScanError::Refused { .. }) => {
            let meta = object([
                ("io.modelcontextprotocol/protocolVersion", Json::from(MODERN)),
                ("io.modelcontextprotocol/clientInfo", us()),
                ("io.modelcontextprotocol/clientCapabilities", object([])),
            ]);
            // The first refusal says more: to an older server, this is no request.
            pages(talk, Some(meta)).await.map_err(|_| refused)
        }
        Err(error) => Err(error),
    }
}

async fn pages(talk: &mut impl Talk, meta: Option<Json>) -> Result<Vec<Json>, ScanError> {
    let (mut tools, mut cursor) = (Vec::new(), None);
    for page in 0..MAX_PAGES {
        let entries = [("_meta", meta.clone()), ("cursor", cursor.map(Json::from))];
        let params = object(entries.into_iter().filter_map(|(key, value)| Some((key, value?))));
        let number = i64::try_from(page).unwrap_or(i64::MAX).saturating_add(1);
        let result = ask(talk, number, "tools/list", params).await?;
        let unclear = |why| ScanError::Unclear { why };
        let listed = result.get("tools").and_then(Json::as_array).ok_or(unclear("tools is no list"))?;
        if listed.iter().any(|tool| tool.get("name").and_then(Json::as_str).is_none()) {
            return Err(unclear("a tool has no name"));
        }
        tools.extend_from_slice(listed);
        if tools.len() > MAX_TOOLS {
            return Err(unclear("it has more than 10,000 tools"));
        }
        match result.get("nextCursor").and_then(Json::as_str) {
            Some(next) => cursor = Some(next.to_owned()),
            None => return Ok(tools),
        }
    }
    Err(ScanError::Unclear { why: "it has more than 100 pages" })
}

/// Asks the server, and answers meanwhile what it asks.
async fn ask(talk: &mut impl Talk, id: i64, method: &str, params: Json) -> Result<Json, ScanError> {
    let id = Json::from(id);
    let request = [("id", id.clone()), ("method", Json::from(method)), ("params", params)];
    talk.send(&object([("jsonrpc", Json::from("2.0"))].into_iter().chain(request))).await?;
    loop {
        let message = talk.next().await?;
        match (message.get("method"), message.get("id")) {
            (Some(asked), Some(theirs)) => {
                let answer = match asked.as_str() {
                    Some("ping") => ("result", object([])),
                    _ => {
                        ("error", object([("code", Json::from(-32601)), ("message", Json::from("unknown"))]))
                    }
                };
                let version = ("jsonrpc", Json::from("2.0"));
                talk.send(&object([version, ("id", theirs.clone()), answer])).await?;
            }
            (None, Some(theirs)) if *theirs == id => {
                return match (message.get("result"), message.get("error")) {
                    (Some(result), None) => Ok(result.clone()),
                    (_, error) => Err(ScanError::Refused {
                        method: method.to_owned(),
                        error: error.cloned().unwrap_or(Json::Null),
                    }),
                };
            }
            _ => {}
        }
    }
}

/// A child process.
struct Pipes {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Talk for Pipes {
    async fn send(&mut self, message: &Json) -> Result<(), ScanError> {
        let mut line = message.to_vec();
        line.push(b'\n');
        self.input.write_all(&line).await.map_err(|_| ScanError::Closed)
    }

    async fn next(&mut self) -> Result<Json, ScanError> {
        loop {
            let mut line = Vec::new();
            let mut bounded = (&mut self.output).take(MAX_MESSAGE as u64);
            match bounded.read_until(b'\n', &mut line).await {
                Ok(0) | Err(_) => return Err(ScanError::Closed),
                Ok(_) if line.len() >= MAX_MESSAGE => {
                    return Err(ScanError::Unclear { why: "an answer is larger than 16 MiB" });
                }
                Ok(_) => {}
            }
            // Some servers write to their output what belongs into a log.
            if let Ok(message) = Json::parse(line.trim_ascii()) {
                return Ok(message);
            }
        }
    }
}

/// A session over HTTP.
struct Over {
    session: Arc<Session>,
    from: Receiver<Out>,
}

impl Talk for Over {
    async fn send(&mut self, message: &Json) -> Result<(), ScanError> {
        self.session.relay.from_client(Stream(1), &message.to_vec());
        Ok(())
    }

    async fn next(&mut self) -> Result<Json, ScanError> {
        loop {
            match self.from.next().await {
                Some(Out::Message { data, .. }) => {
                    if let Ok(message) = Json::parse(&data) {
                        return Ok(message);
                    }
                }
                None | Some(Out::Close) => return Err(ScanError::Closed),
                Some(_) => {}
            }
        }
    }
}

/// Decides nothing: we call no tool.
struct Open;

impl Gate for Open {
    fn call(&self, _: &Call<'_>, _: &Client) -> Decided {
        Decided::Allow(None)
    }

    fn hides(&self, _: &str) -> bool {
        false
    }

    fn ended(&self, _: Ticket, _: End<'_>) -> Option<Json> {
        None
    }
}
