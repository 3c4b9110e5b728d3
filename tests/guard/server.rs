//! An MCP server for the guard's tests. Before it answers it writes every message that reached it, byte for byte, to the
//! end of the file that `RECORD` names. How it answers a call, the call's argument `do` says.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's helper")]

use std::fs::{File, OpenOptions};
use std::io::{BufRead, Write};

use serde_json::{Value, json};

fn main() {
    let record = OpenOptions::new().create(true).append(true).open(std::env::var_os("RECORD").unwrap());
    let mut server = Server { record: record.unwrap(), held: Vec::new(), asking: None };
    let mut input = std::io::stdin().lock();
    let mut line = Vec::new();
    while input.read_until(b'\n', &mut line).unwrap() > 0 {
        // One write, so that the lines of several servers do not mix.
        server.record.write_all(&line).unwrap();
        match serde_json::from_slice(&line).unwrap() {
            Value::Array(members) => {
                let answers: Vec<Value> = members.into_iter().filter_map(|one| server.take(one)).collect();
                if !answers.is_empty() {
                    say(&Value::Array(answers));
                }
            }
            one => {
                if let Some(answer) = server.take(one) {
                    say(&answer);
                }
            }
        }
        line.clear();
    }
}

struct Server {
    record: File,
    /// Calls that wait for `notifications/release`.
    held: Vec<Value>,
    /// The call that waits for the client's answer.
    asking: Option<Value>,
}

impl Server {
    fn take(&mut self, message: Value) -> Option<Value> {
        let id = message.get("id").cloned();
        match (message["method"].as_str(), id) {
            (Some("initialize"), Some(id)) => Some(result(
                id,
                json!({"protocolVersion": "2025-06-18", "capabilities": {"tools": {}},
                    "serverInfo": {"name": "recording", "version": "1"}}),
            )),
            (Some("tools/list"), Some(id)) => Some(result(id, tools())),
            (Some("tools/call"), Some(id)) => self.call(id, &message["params"]),
            (Some("notifications/release"), None) => {
                let how = message["params"]["as"].as_str().unwrap_or("answer").to_owned();
                for id in std::mem::take(&mut self.held) {
                    say(&answer(id, &how, &Value::Null));
                }
                None
            }
            (None, Some(_)) => {
                let call = self.asking.take()?;
                Some(result(call, text(&message["result"].to_string())))
            }
            (Some(_), Some(id)) => Some(result(id, json!({}))),
            _ => None,
        }
    }

    fn call(&mut self, id: Value, params: &Value) -> Option<Value> {
        let arguments = &params["arguments"];
        match arguments["do"].as_str().unwrap_or("answer") {
            "silent" => None,
            "crash" => std::process::exit(i32::try_from(arguments["code"].as_i64().unwrap()).unwrap()),
            "hold" => {
                self.held.push(id);
                None
            }
            "ask" => {
                say(&json!({"jsonrpc": "2.0", "id": "server-1", "method": "elicitation/create",
                    "params": {"message": "Which one?", "requestedSchema": {"type": "object", "properties": {}}}}));
                self.asking = Some(id);
                None
            }
            "big" => {
                let bytes = usize::try_from(arguments["bytes"].as_u64().unwrap()).unwrap();
                Some(result(id, text(&"x".repeat(bytes))))
            }
            how => Some(answer(id, how, arguments)),
        }
    }
}

fn answer(id: Value, how: &str, arguments: &Value) -> Value {
    match how {
        "error" => json!({"jsonrpc": "2.0", "id": id, "error": {"code": -32050, "message": "told to fail"}}),
        "is_error" => result(id, json!({"content": [{"type": "text", "text": "failed"}], "isError": true})),
        "answer" => result(id, text(&arguments.to_string())),
        other => panic!("no such behaviour: {other}"),
    }
}

fn tools() -> Value {
    let tool = |name: &str| json!({"name": name, "inputSchema": {"type": "object"}});
    json!({"tools": [tool("look_up"), tool("purge_ledger"), tool("send_payment")]})
}

fn text(text: &str) -> Value {
    json!({"content": [{"type": "text", "text": text}]})
}

fn result(id: Value, result: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "result": result})
}

fn say(message: &Value) {
    let mut bytes = serde_json::to_vec(message).unwrap();
    bytes.push(b'\n');
    let mut output = std::io::stdout().lock();
    output.write_all(&bytes).and_then(|()| output.flush()).unwrap();
}
