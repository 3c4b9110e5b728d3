//! A link made of lists, a gate that does as told, and a child behind the guard.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use farthing_agent::guard::{
    Call, Client, Decided, End, Gate, Limits, Link, Refusal, Relay, Side, Stream, Ticket,
};
use farthing_ambient::SeededEntropy;
use farthing_policy::json::Json;
use tokio::sync::oneshot;

pub(crate) const ONE: Stream = Stream(1);

/// Keeps what is sent, and shows the time that it is set to.
pub(crate) struct Lists {
    pub(crate) sent: Mutex<Vec<(Side, Stream, String)>>,
    begin: Instant,
    passed: Mutex<Duration>,
}

impl Link for Lists {
    fn send(&self, to: Side, stream: Stream, message: &[u8]) {
        self.queue(to, stream, message.to_vec());
    }

    fn queue(&self, to: Side, stream: Stream, message: Vec<u8>) {
        self.sent.lock().unwrap().push((to, stream, String::from_utf8_lossy(&message).into_owned()));
    }

    fn now(&self) -> Instant {
        self.begin + *self.passed.lock().unwrap()
    }
}

/// Denies `denied`, hides `hidden`, gives tickets, lets `later` wait for the test, asks the client about `asks`.
#[derive(Default)]
pub(crate) struct Told {
    /// What it saw: the tool and the arguments.
    pub(crate) seen: Mutex<Vec<(String, String)>>,
    pub(crate) ends: Mutex<Vec<String>>,
    pub(crate) waiting: Mutex<HashMap<String, oneshot::Sender<Decided>>>,
    /// Whether it changes answers.
    pub(crate) changes: bool,
}

impl Gate for Told {
    fn call(&self, call: &Call<'_>, client: &Client) -> Decided {
        self.seen.lock().unwrap().push((call.tool.to_owned(), call.arguments.to_string()));
        if call.tool.starts_with("later") {
            let (decide, decided) = oneshot::channel();
            self.waiting.lock().unwrap().insert(call.tool.to_owned(), decide);
            return Decided::Later(Box::pin(async { decided.await.unwrap() }));
        }
        match call.tool {
            "denied" => deny("no"),
            "free" => Decided::Allow(None),
            "asks" => {
                let client = client.clone();
                Decided::Later(Box::pin(async move {
                    match client.ask("elicitation/create", Json::from("sure?")).await {
                        Ok(answer) => deny(&answer.to_string()),
                        Err(error) => deny(&error.to_string()),
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
        let (how, answer) = match end {
            End::Answered(answer) => ("answered", Some(answer)),
            End::Failed => ("failed", None),
            End::Lost => ("lost", None),
        };
        self.ends.lock().unwrap().push(format!("{name} {how}"));
        let Json::Object(mut answer) = answer?.clone() else { panic!() };
        answer.set("changed", Json::from(true));
        self.changes.then_some(Json::Object(answer))
    }
}

impl Told {
    /// What decides about a call that waits.
    pub(crate) fn take_waiting(&self, tool: &str) -> oneshot::Sender<Decided> {
        self.waiting.lock().unwrap().remove(tool).unwrap()
    }
}

pub(crate) fn allow(name: &str) -> Decided {
    Decided::Allow(Some(Ticket(Box::new(name.to_owned()))))
}

pub(crate) fn deny(text: &str) -> Decided {
    Decided::Deny(Refusal { text: text.to_owned(), structure: None })
}

/// A relay between lists.
pub(crate) struct Session {
    pub(crate) relay: Relay,
    pub(crate) link: Arc<Lists>,
    pub(crate) gate: Arc<Told>,
}

impl Session {
    /// To be called within a runtime.
    pub(crate) fn new() -> Self {
        Self::with(Limits::default(), Told::default())
    }

    pub(crate) fn with(limits: Limits, gate: Told) -> Self {
        let (sent, passed) = (Mutex::default(), Mutex::default());
        let link = Arc::new(Lists { sent, begin: Instant::now(), passed });
        let gate = Arc::new(gate);
        let runtime = tokio::runtime::Handle::current();
        let relay = Relay::new(limits, gate.clone(), link.clone(), runtime, &SeededEntropy::new(1)).unwrap();
        Self { relay, link, gate }
    }

    pub(crate) fn client(&self, message: &str) {
        self.relay.from_client(ONE, message.as_bytes());
    }

    pub(crate) fn server(&self, message: &str) {
        self.relay.from_server(ONE, message.as_bytes());
    }

    pub(crate) fn call(&self, id: &str, tool: &str) {
        self.client(&call(id, tool));
    }

    pub(crate) fn pass(&self, time: Duration) {
        *self.link.passed.lock().unwrap() += time;
    }

    /// Decides about a call that waits, and lets the decision come through.
    pub(crate) async fn decide(&self, tool: &str, decided: Decided) {
        let _ = self.gate.take_waiting(tool).send(decided);
        settle().await;
    }

    /// What was sent to a side since it was asked last.
    pub(crate) fn sent(&self, side: Side) -> Vec<String> {
        let mut sent = self.link.sent.lock().unwrap();
        let all = std::mem::take(&mut *sent);
        let (asked, rest): (Vec<_>, Vec<_>) = all.into_iter().partition(|(to, ..)| *to == side);
        *sent = rest;
        asked.into_iter().map(|(_, _, message)| message).collect()
    }

    pub(crate) fn to_client(&self) -> Vec<String> {
        self.sent(Side::Client)
    }

    pub(crate) fn to_server(&self) -> Vec<String> {
        self.sent(Side::Server)
    }

    pub(crate) fn ends(&self) -> Vec<String> {
        std::mem::take(&mut self.gate.ends.lock().unwrap())
    }
}

pub(crate) async fn settle() {
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
}

pub(crate) fn call(id: &str, tool: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"{tool}"}}}}"#)
}

pub(crate) fn result(id: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{}}}}"#)
}

pub(crate) fn cancel(id: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{id}}}}}"#)
}

/// A call with arguments.
pub(crate) fn calling(id: u32, tool: &str, arguments: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"{tool}","arguments":{arguments}}}}}"#
    )
}

/// The guard around the test's server, as processes.
pub(crate) struct Guarded {
    child: Child,
    lines: Receiver<String>,
    errors: Receiver<String>,
}

impl Guarded {
    pub(crate) fn start(options: &[&str]) -> Self {
        let peer = peer();
        Self::around(options, &[peer.to_str().unwrap(), "serve"])
    }

    pub(crate) fn around(options: &[&str], server: &[&str]) -> Self {
        let mut child = Command::new(peer())
            .arg("guard")
            .args(options)
            .arg("--")
            .args(server)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (lines, errors) =
            (lines_of(child.stdout.take().unwrap()), lines_of(child.stderr.take().unwrap()));

        Self { child, lines, errors }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn send(&mut self, message: &str) {
        let message = format!("{message}\n");
        self.child.stdin.as_mut().unwrap().write_all(message.as_bytes()).unwrap();
    }

    pub(crate) fn call(&mut self, id: u32, tool: &str, arguments: &str) {
        self.send(&calling(id, tool, arguments));
    }

    pub(crate) fn line(&self) -> String {
        self.lines.recv_timeout(Duration::from_secs(60)).expect("the guard sent nothing")
    }

    pub(crate) fn json(&self) -> Json {
        Json::parse(self.line().as_bytes()).unwrap()
    }

    /// The next thing that the gate wrote about a ticket.
    pub(crate) fn end(&self) -> String {
        self.errors.recv_timeout(Duration::from_secs(60)).expect("no ticket ended")
    }

    pub(crate) fn close(&mut self) {
        drop(self.child.stdin.take());
    }

    /// The exit of the guard, within a time that is no hang.
    pub(crate) fn exit(&mut self) -> ExitStatus {
        let begin = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(begin.elapsed() < Duration::from_secs(60), "the guard hangs");
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        self.close();
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn peer() -> PathBuf {
    let me = std::env::current_exe().unwrap();
    let peer = me.parent().unwrap().parent().unwrap().join("examples/guard_peer");
    assert!(peer.exists(), "build it: cargo build -p farthing-agent --examples");
    peer
}

fn lines_of(output: impl Read + Send + 'static) -> Receiver<String> {
    let (to, from) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines() {
            let Ok(line) = line else { return };
            if to.send(line).is_err() {
                return;
            }
        }
    });
    from
}
