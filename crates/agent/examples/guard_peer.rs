//! The other sides of the guard, for its tests and for measuring: `serve` is a small MCP server, `guard -- COMMAND` is
//! the guard with a gate that does what the call's arguments say, `measure` compares round trips.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test's helper"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use farthing_agent::guard::stdio::{StdioConfig, run};
use farthing_agent::guard::{Call, Client, Decided, End, Gate, Refusal, Ticket};
use farthing_policy::json::{Json, Object};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    match arguments.next().as_deref() {
        Some("serve") => serve(),
        Some("guard") => return guard(arguments.collect()),
        Some("measure") => measure(),
        _ => eprintln!("serve, guard or measure"),
    }
    ExitCode::SUCCESS
}

// The server

fn serve() {
    let mut server = Server::default();
    let mut line = Vec::new();
    let mut input = BufReader::with_capacity(1 << 16, std::io::stdin());
    while input.read_until(b'\n', &mut line).unwrap() > 0 {
        match Json::parse(&line).unwrap() {
            Json::Array(members) => {
                let answers: Vec<_> = members.into_iter().filter_map(|json| server.take(json)).collect();
                write(&Json::Array(answers));
            }
            json => {
                if let Some(answer) = server.take(json) {
                    write(&answer);
                }
            }
        }
        line.clear();
    }
}

#[derive(Default)]
struct Server {
    notified: Vec<Json>,
    asking: Option<Json>,
}

impl Server {
    fn take(&mut self, message: Json) -> Option<Json> {
        let id = message.get("id").cloned();
        match (message.get("method").and_then(Json::as_str), id) {
            (Some("tools/list"), Some(id)) => Some(answer(id, list())),
            (Some("tools/call"), Some(id)) => self.call(id, message.get("params").unwrap()),
            (Some(_), Some(id)) => Some(answer(id, object([("seen", message)]))),
            (None, Some(_)) => {
                let asking = self.asking.take()?;
                Some(answer(asking, object([("heard", message)])))
            }
            _ => {
                self.notified.push(message);
                None
            }
        }
    }

    fn call(&mut self, id: Json, params: &Json) -> Option<Json> {
        let number = |key: &str| -> u64 {
            let json = params.get("arguments").and_then(|arguments| arguments.get(key));
            json.and_then(|json| json.to_string().parse().ok()).unwrap_or(0)
        };
        match params.get("name").and_then(Json::as_str).unwrap() {
            "silent" => return None,
            "stuck" => loop {
                std::thread::park();
            },
            "exit" => std::process::exit(i32::try_from(number("code")).unwrap()),
            "abort" => std::process::abort(),
            "notified" => return Some(answer(id, Json::Array(self.notified.clone()))),
            "big" => {
                let text = "x".repeat(usize::try_from(number("bytes")).unwrap());
                return Some(answer(id, object([("text", Json::from(text))])));
            }
            "noise" => println!("no JSON at all"),
            "elicit" => {
                let question = [
                    ("jsonrpc", Json::from("2.0")),
                    ("id", Json::from("s-1")),
                    ("method", Json::from("elicitation/create")),
                ];
                write(&object(question));
                self.asking = Some(id);
                return None;
            }
            "progress" => {
                let token = params.get("_meta").and_then(|meta| meta.get("progressToken")).unwrap();
                for _ in 0..number("times") {
                    std::thread::sleep(Duration::from_millis(number("every")));
                    let params = object([("progressToken", token.clone()), ("progress", Json::from(1))]);
                    write(&object([("method", Json::from("notifications/progress")), ("params", params)]));
                }
            }
            _ => {}
        }
        Some(answer(id, object([("seen", params.clone())])))
    }
}

fn list() -> Json {
    let tool = |name: &str| object([("name", Json::from(name)), ("extra", Json::from(1))]);
    let tools = Json::Array(vec![tool("echo"), tool("hidden"), tool("big")]);
    object([("tools", tools), ("nextCursor", Json::from("c")), ("odd", Json::Null)])
}

fn answer(id: Json, result: Json) -> Json {
    object([("result", result), ("jsonrpc", Json::from("2.0")), ("id", id)])
}

fn write(message: &Json) {
    let mut bytes = message.to_vec();
    bytes.push(b'\n');
    std::io::stdout().lock().write_all(&bytes).unwrap();
    std::io::stdout().lock().flush().unwrap();
}

fn object<'a>(entries: impl IntoIterator<Item = (&'a str, Json)>) -> Json {
    Json::Object(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

// The guard

fn guard(arguments: Vec<String>) -> ExitCode {
    let at = arguments.iter().position(|argument| argument == "--").unwrap();
    let mut config = StdioConfig::new(&arguments[at + 1..]);
    for option in &arguments[..at] {
        let (name, number) = option.split_once('=').unwrap();
        let number: u64 = number.parse().unwrap();
        match name {
            "timeout" => config.limits.call_timeout = Duration::from_millis(number),
            "ask" => config.limits.ask_timeout = Duration::from_millis(number),
            "grace" => config.grace = Duration::from_millis(number),
            "message" => config.limits.max_message = usize::try_from(number).unwrap(),
            "pending" => config.limits.max_pending = usize::try_from(number).unwrap(),
            _ => panic!("{option}"),
        }
    }
    match run(config, Arc::new(Obedient)) {
        Ok(code) => code.into(),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(99)
        }
    }
}

/// Does what the call says: `later` milliseconds, `ticket`, `deny`, `ask`.
struct Obedient;

impl Gate for Obedient {
    fn call(&self, call: &Call<'_>, client: &Client) -> Decided {
        let asked = |key: &str| call.arguments.get(key).cloned();
        let ticket = asked("ticket").map(|name| Ticket(Box::new(name.to_string())));
        assert!(asked("panic").is_none(), "told to panic");
        if asked("deny").is_some() {
            return denied();
        }
        if let Some(params) = asked("ask") {
            assert!(client.supports_elicitation());
            let client = client.clone();
            return Decided::Later(Box::pin(async move {
                match client.ask("elicitation/create", params).await {
                    Ok(result) if result.get("action").and_then(Json::as_str) == Some("accept") => {
                        Decided::Allow(ticket)
                    }
                    Ok(_) => denied(),
                    Err(error) => Decided::Deny(Refusal { text: error.to_string(), structure: None }),
                }
            }));
        }
        if let Some(later) = asked("later") {
            let later = Duration::from_millis(later.to_string().parse().unwrap());
            return Decided::Later(Box::pin(async move {
                tokio::time::sleep(later).await;
                Decided::Allow(ticket)
            }));
        }
        Decided::Allow(ticket)
    }

    fn hides(&self, tool: &str) -> bool {
        tool == "hidden"
    }

    fn ended(&self, ticket: Ticket, end: End<'_>) -> Option<Json> {
        let name = ticket.0.downcast::<String>().unwrap();
        match end {
            End::Answered(answer) => {
                eprintln!("{name} answered");
                let Json::Object(mut answer) = answer.clone() else { panic!() };
                answer.set("judged", Json::from(true));
                Some(Json::Object(answer))
            }
            End::Failed => {
                eprintln!("{name} failed");
                None
            }
            End::Lost => {
                eprintln!("{name} lost");
                None
            }
        }
    }
}

fn denied() -> Decided {
    let structure = Object::from_iter([("rule".to_owned(), Json::from("r"))]);
    Decided::Deny(Refusal { text: "denied".to_owned(), structure: Some(Json::Object(structure)) })
}

// The measurement

const ROUNDS: usize = 3000;

fn measure() {
    let me = std::env::current_exe().unwrap();
    let me = me.to_str().unwrap();
    // `cat` answers each line with itself: a request comes back as a request, which the guard passes on.
    let mut direct = Peer::start(&["cat"]);
    let mut guarded = Peer::start(&[me, "guard", "--", "cat"]);
    let mut served = Peer::start(&[me, "serve"]);
    let mut judged = Peer::start(&[me, "guard", "--", me, "serve"]);
    let call = r#"{"jsonrpc":"2.0","id":ID,"method":"tools/call","params":{"name":"echo","arguments":{"cents":1200,"payee":{"id":"acct_00000001"}}}}"#;
    let denied = call.replace("\"cents\"", "\"deny\":1,\"cents\"");
    let note = r#"{"jsonrpc":"2.0","method":"notifications/x","params":{"cents":1200,"payee":{"id":"acct_00000001"}}}"#;
    let (mut times, mut id) = (vec![Vec::new(); 5], 0);
    for _ in 0..ROUNDS {
        id += 1;
        let call = call.replace("ID", &id.to_string());
        let denied = denied.replace("ID", &format!("\"d{id}\""));
        times[0].push(direct.round(note));
        times[1].push(guarded.round(note));
        times[2].push(served.round(&call));
        times[3].push(judged.round(&call));
        times[4].push(judged.round(&denied));
    }
    for (name, times) in ["cat", "cat guarded", "server", "server guarded", "denied"].iter().zip(&mut times) {
        times.sort_unstable();
        println!(
            "{name:<16} p50 {:>7.1?}  p99 {:>7.1?}",
            times[times.len() / 2],
            times[times.len() * 99 / 100]
        );
    }
    println!("guard's memory: {}", judged.memory());
    let begin = Instant::now();
    let mut started = Peer::start(&[me, "guard", "--", "cat"]);
    started.round(note);
    println!("start to first answer: {:.1?}", begin.elapsed());
    let begin = Instant::now();
    let mut started = Peer::start(&["cat"]);
    started.round(note);
    println!("the same without the guard: {:.1?}", begin.elapsed());
}

struct Peer {
    child: std::process::Child,
    buffer: Vec<u8>,
}

impl Peer {
    fn start(command: &[&str]) -> Self {
        let child =
            Command::new(command[0]).args(&command[1..]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        Self { child: child.unwrap(), buffer: vec![0; 1 << 16] }
    }

    fn round(&mut self, message: &str) -> Duration {
        let message = format!("{message}\n");
        let begin = Instant::now();
        self.child.stdin.as_mut().unwrap().write_all(message.as_bytes()).unwrap();
        let mut read = 0;
        while read == 0 || self.buffer[read - 1] != b'\n' {
            read += self.child.stdout.as_mut().unwrap().read(&mut self.buffer[read..]).unwrap();
        }
        begin.elapsed()
    }

    fn memory(&self) -> String {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        status.lines().find(|line| line.starts_with("VmRSS")).unwrap_or("unknown").to_owned()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        self.child.wait().unwrap();
    }
}
