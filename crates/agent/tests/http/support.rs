//! A gate that does as told, and a client on standard input and output.

use std::io::{BufRead as _, BufReader, PipeWriter, Write as _};
use std::sync::{Arc, Mutex};

use farthing_agent::guard::http::{BridgeConfig, HttpError, Target, bridge};
use farthing_agent::guard::{Call, Client, Decided, End, Gate, Limits, Refusal, Ticket};
use farthing_policy::json::Json;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::upstream::{SOON, Upstream};

/// Denies `denied`, hides `hidden`, asks the client about `asks`, lets `later` wait, gives tickets for the rest.
pub(crate) struct Told {
    ends: mpsc::UnboundedSender<String>,
    pub(crate) seen: Mutex<Vec<String>>,
    pub(crate) waiting: Mutex<Vec<oneshot::Sender<Decided>>>,
}

impl Told {
    pub(crate) fn new() -> (Arc<Self>, Ends) {
        let (ends, heard) = mpsc::unbounded_channel();
        (Arc::new(Self { ends, seen: Mutex::default(), waiting: Mutex::default() }), Ends(heard))
    }
}

/// How calls ended.
pub(crate) struct Ends(mpsc::UnboundedReceiver<String>);

impl Ends {
    pub(crate) async fn next(&mut self) -> String {
        timeout(SOON, self.0.recv()).await.expect("no call has ended").unwrap()
    }
}

pub(crate) fn allow(name: &str) -> Decided {
    Decided::Allow(Some(Ticket(Box::new(name.to_owned()))))
}

fn deny(text: String) -> Decided {
    Decided::Deny(Refusal { text, structure: None })
}

impl Gate for Told {
    fn call(&self, call: &Call<'_>, client: &Client) -> Decided {
        self.seen.lock().unwrap().push(call.tool.to_owned());
        match call.tool {
            "denied" => deny("no".to_owned()),
            "later" => {
                let (decide, decided) = oneshot::channel();
                self.waiting.lock().unwrap().push(decide);
                Decided::Later(Box::pin(async { decided.await.unwrap() }))
            }
            "asks" => {
                let client = client.clone();
                Decided::Later(Box::pin(async move {
                    match client.ask("elicitation/create", Json::from("sure?")).await {
                        Ok(answer) if answer == Json::from("yes") => allow("asks"),
                        other => deny(format!("{other:?}")),
                    }
                }))
            }
            tool => allow(tool),
        }
    }

    fn hides(&self, tool: &str) -> bool {
        tool == "hidden"
    }

    fn ended(&self, ticket: Ticket, end: End<'_>) -> Option<Json> {
        let name = ticket.0.downcast::<String>().unwrap();
        let how = match end {
            End::Answered(_) => "answered",
            End::Failed => "failed",
            End::Lost => "lost",
        };
        let _ = self.ends.send(format!("{name} {how}"));
        None
    }
}

pub(crate) fn call(id: u32, tool: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"{tool}","arguments":{{}}}}}}"#
    )
}

pub(crate) fn result(id: u32, result: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#)
}

pub(crate) fn cancel(id: u32) -> String {
    format!(r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{id}}}}}"#)
}

/// A call as of 2026-07-28.
pub(crate) fn modern(id: u32, tool: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"{tool}","arguments":{{"region":"north"}},"_meta":{{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}}}}"#
    )
}

pub(crate) const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":"i","method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{"elicitation":{}},"clientInfo":{"name":"t","version":"1"}}}"#;
pub(crate) const INITIALIZED: &str = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
pub(crate) const GREETING: &str =
    r#"{"jsonrpc":"2.0","id":"i","result":{"protocolVersion":"2025-06-18","capabilities":{}}}"#;

/// The guard between pipes and a server.
pub(crate) struct Bridge {
    to: Option<PipeWriter>,
    from: mpsc::UnboundedReceiver<String>,
    running: JoinHandle<Result<u8, HttpError>>,
    pub(crate) stop: Option<oneshot::Sender<()>>,
    pub(crate) ends: Ends,
    pub(crate) gate: Arc<Told>,
}

impl Bridge {
    pub(crate) fn start(url: &str, limits: Limits) -> Self {
        let target = Target::new(url, ["Authorization: Bearer s3cret"]).unwrap();
        let config = BridgeConfig { limits, ..BridgeConfig::new(target) };
        let (input, to) = std::io::pipe().unwrap();
        let (output, from_guard) = std::io::pipe().map(|(read, write)| (write, read)).unwrap();
        let (lines, from) = mpsc::unbounded_channel();
        std::thread::spawn(move || {
            for line in BufReader::new(from_guard).lines().map_while(Result::ok) {
                if lines.send(line).is_err() {
                    return;
                }
            }
        });
        let (gate, ends) = Told::new();
        let (stop, stopped) = oneshot::channel();
        let until = async { drop(stopped.await) };
        let running = tokio::spawn(bridge(config, gate.clone(), input, output, until));
        Self { to: Some(to), from, running, stop: Some(stop), ends, gate }
    }

    /// With a session that has begun. The server sends nothing of itself.
    pub(crate) async fn begun(upstream: &mut Upstream, limits: Limits) -> Self {
        let mut bridge = Self::start(&upstream.url, limits);
        bridge.begin(upstream).await;
        upstream.get().await.status(405);
        bridge
    }

    pub(crate) async fn begin(&mut self, upstream: &mut Upstream) {
        self.send(INITIALIZE);
        upstream.post("initialize").await.json_with(&[("mcp-session-id", "session-1")], GREETING);
        assert_eq!(self.next().await, GREETING);
        self.send(INITIALIZED);
        upstream.post("notifications/initialized").await.status(202);
    }

    pub(crate) fn send(&mut self, message: &str) {
        let to = self.to.as_mut().unwrap();
        to.write_all(format!("{message}\n").as_bytes()).unwrap();
    }

    pub(crate) async fn next(&mut self) -> String {
        timeout(SOON, self.from.recv()).await.expect("nothing came").expect("the guard has left")
    }

    /// Closes the guard's input.
    pub(crate) fn close(&mut self) {
        self.to = None;
    }

    /// The exit code, and what was written until then.
    pub(crate) async fn end(mut self) -> (u8, Vec<String>) {
        let code = timeout(SOON, &mut self.running).await.expect("the guard hangs").unwrap().unwrap();
        let mut rest = Vec::new();
        while let Some(line) = timeout(SOON, self.from.recv()).await.expect("the output stays open") {
            rest.push(line);
        }
        (code, rest)
    }
}
