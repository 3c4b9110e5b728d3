//! `farthing guard` as an MCP client sees it.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::desk::await_some;

/// Longer than anything takes on a busy machine; a guard that hangs fails a test by it.
const PATIENCE: Duration = Duration::from_secs(30);

/// A guard that runs. Dropping it ends it.
pub(crate) struct Guard {
    child: Child,
    input: Option<ChildStdin>,
    messages: Receiver<Value>,
    log: Receiver<String>,
    /// What came while something else was awaited.
    kept: Vec<Value>,
    next: u64,
}

impl Guard {
    pub(crate) fn start(mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let messages =
            pump(child.stdout.take().unwrap(), |line| match serde_json::from_str(&line).unwrap() {
                Value::Array(members) => members,
                one => vec![one],
            });
        let log = pump(child.stderr.take().unwrap(), |line| vec![line]);
        Self { input: child.stdin.take(), child, messages, log, kept: Vec::new(), next: 0 }
    }

    /// Sends a line as it is.
    pub(crate) fn send(&mut self, line: &str) {
        self.send_bytes(line.as_bytes());
    }

    pub(crate) fn send_bytes(&mut self, line: &[u8]) {
        self.input.as_mut().unwrap().write_all(&[line, b"\n"].concat()).unwrap();
    }

    /// Sends a call and gives its id.
    pub(crate) fn ask(&mut self, tool: &str, arguments: Value) -> u64 {
        self.next += 1;
        let params = json!({"name": tool, "arguments": arguments});
        let call = json!({"jsonrpc": "2.0", "id": self.next, "method": "tools/call", "params": params});
        self.send(&call.to_string());
        self.next
    }

    /// Makes a call and waits for its answer.
    pub(crate) fn call(&mut self, tool: &str, arguments: Value) -> Answer {
        let id = self.ask(tool, arguments);
        self.answer(id)
    }

    /// The arguments as they stand in a text: JSON numbers keep their digits.
    pub(crate) fn call_text(&mut self, tool: &str, arguments: &str) -> Answer {
        self.next += 1;
        let (id, tool) = (self.next, Value::from(tool));
        self.send(&format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":{tool},"arguments":{arguments}}}}}"#
        ));
        self.answer(id)
    }

    pub(crate) fn answer(&mut self, id: impl Into<Value>) -> Answer {
        let id = id.into();
        Answer(self.find(|message| message.get("method").is_none() && message["id"] == id))
    }

    /// Another request, and its result.
    pub(crate) fn request(&mut self, method: &str, params: Value) -> Value {
        self.next += 1;
        let request = json!({"jsonrpc": "2.0", "id": self.next, "method": method, "params": params});
        self.send(&request.to_string());
        self.answer(self.next).0["result"].clone()
    }

    /// Says who the client is, and whether it can ask its user.
    pub(crate) fn initialize(&mut self, elicitation: bool) {
        let capabilities = if elicitation { json!({"elicitation": {}}) } else { json!({}) };
        let client = json!({"name": "tester", "version": "1"});
        let params =
            json!({"protocolVersion": "2025-06-18", "capabilities": capabilities, "clientInfo": client});
        self.request("initialize", params);
        self.send(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
    }

    /// Has the server answer what it holds.
    pub(crate) fn release(&mut self, how: &str) {
        let release = json!({"jsonrpc": "2.0", "method": "notifications/release", "params": {"as": how}});
        self.send(&release.to_string());
    }

    /// The next question to the client.
    pub(crate) fn question(&mut self) -> Value {
        self.find(|message| message["method"] == "elicitation/create")
    }

    pub(crate) fn reply(&mut self, question: &Value, result: Value) {
        self.send(&json!({"jsonrpc": "2.0", "id": question["id"], "result": result}).to_string());
    }

    /// Whether a question of the client's came that nobody has taken.
    pub(crate) fn was_asked(&mut self) -> bool {
        self.kept.extend(self.messages.try_iter());
        self.kept.iter().any(|message| message["method"] == "elicitation/create")
    }

    /// Whether an answer came that nobody has taken.
    pub(crate) fn has_answer(&mut self, id: u64) -> bool {
        self.kept.extend(self.messages.try_iter());
        self.kept.iter().any(|message| message.get("method").is_none() && message["id"] == id)
    }

    fn find(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        if let Some(at) = self.kept.iter().position(&wanted) {
            return self.kept.remove(at);
        }
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(message) = self.messages.recv_timeout(left) else {
                let log: Vec<String> = self.log.try_iter().collect();
                panic!("no answer came; the guard said {log:?}");
            };
            if wanted(&message) {
                return message;
            }
            self.kept.push(message);
        }
    }

    /// Waits until the guard has said this on stderr, and gives the line.
    pub(crate) fn hear(&mut self, words: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = self.log.recv_timeout(left).unwrap_or_else(|_| panic!("never heard {words:?}"));
            if line.contains(words) {
                return line;
            }
        }
    }

    /// Leaves as a client does, and gives the guard's exit code. What it decided is recorded then.
    pub(crate) fn close(mut self) -> i32 {
        drop(self.input.take());
        self.exit_code()
    }

    /// Waits for the guard to leave by itself.
    pub(crate) fn exit_code(&mut self) -> i32 {
        await_some("the guard's end", || self.child.try_wait().unwrap()).code().unwrap()
    }

    /// Ends it as a power cut would.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // It may have left.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The answer to a call.
#[derive(Debug, Clone)]
pub(crate) struct Answer(pub(crate) Value);

impl Answer {
    /// Whether the server answered with a result that is no failure.
    pub(crate) fn passed(&self) -> bool {
        self.0.get("result").is_some_and(|result| result["isError"] != true)
    }

    /// The text of a denial, which is a normal result with `isError`.
    pub(crate) fn denied(&self) -> &str {
        let Self(answer) = self;
        assert_eq!(answer["jsonrpc"], "2.0", "{answer}");
        assert_eq!(answer["result"]["isError"], true, "{answer}");
        assert!(answer.get("error").is_none(), "{answer}");
        assert_eq!(answer["result"]["content"].as_array().unwrap().len(), 1, "{answer}");
        assert_eq!(answer["result"]["content"][0]["type"], "text", "{answer}");
        self.text()
    }

    pub(crate) fn text(&self) -> &str {
        self.0["result"]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("no text: {self:?}"))
    }

    /// A denial's structured part.
    pub(crate) fn denial(&self) -> &Value {
        self.denied();
        let denial = &self.0["result"]["_meta"]["farthing/denial"];
        assert!(denial.is_object(), "{self:?}");
        denial
    }

    /// The code and the rule of a denial.
    pub(crate) fn code_and_rule(&self) -> (&str, &str) {
        let denial = self.denial();
        (denial["code"].as_str().unwrap(), denial["rule"].as_str().unwrap())
    }

    /// The code of a JSON-RPC error.
    pub(crate) fn error_code(&self) -> i64 {
        self.0["error"]["code"].as_i64().unwrap_or_else(|| panic!("no error: {self:?}"))
    }
}

/// Reads lines on a thread of its own.
fn pump<T: Send + 'static>(
    output: impl Read + Send + 'static,
    read: impl Fn(String) -> Vec<T> + Send + 'static,
) -> Receiver<T> {
    let (to, from) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines() {
            let Ok(line) = line else { return };
            // Nobody listens any more when a test has failed.
            if read(line).into_iter().any(|one| to.send(one).is_err()) {
                return;
            }
        }
    });
    from
}
