//! What a client or a server says to the guard.

use std::sync::{Arc, Mutex, OnceLock};

use farthing_agent::guard::{
    Call, Client, Decided, End, Gate, Limits, Link, Refusal, Relay, Side, Stream, Ticket,
};
use farthing_ambient::SeededEntropy;
use farthing_policy::json::Json;
use tokio::runtime::Runtime;

/// Denies what is called `no`, and notes the rest.
#[derive(Default)]
struct Noting(Mutex<Vec<(String, Json)>>);

impl Gate for Noting {
    fn call(&self, call: &Call<'_>, _: &Client) -> Decided {
        if call.tool == "no" {
            return Decided::Deny(Refusal { text: "no".to_owned(), structure: None });
        }
        self.0.lock().unwrap().push((call.tool.to_owned(), call.arguments.clone()));
        Decided::Allow(call.tool.len().is_multiple_of(2).then(|| Ticket(Box::new(()))))
    }

    fn hides(&self, tool: &str) -> bool {
        tool == "no"
    }

    fn ended(&self, _: Ticket, _: End<'_>) -> Option<Json> {
        None
    }
}

#[derive(Default)]
struct Noted {
    server: Mutex<Vec<Vec<u8>>>,
    client: Mutex<Vec<Vec<u8>>>,
}

impl Link for Noted {
    fn send(&self, to: Side, stream: Stream, message: &[u8]) {
        self.queue(to, stream, message.to_vec());
    }

    fn queue(&self, to: Side, _: Stream, message: Vec<u8>) {
        match to {
            Side::Server => self.server.lock().unwrap().push(message),
            Side::Client => self.client.lock().unwrap().push(message),
        }
    }
}

fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap())
}

/// Lines of the client's; a line that begins with `<` is the server's. Whatever comes: what is forwarded is JSON on one
/// line that both parsers read alike, the calls in it are those that the gate saw, in their order, no denied or hidden
/// tool is among them, and no list of tools that reaches the client names a hidden one.
pub(crate) fn run(input: &[u8]) {
    let (gate, link) = (Arc::new(Noting::default()), Arc::new(Noted::default()));
    let limits = Limits { max_message: 64 * 1024, max_pending: 64, ..Limits::default() };
    let entropy = SeededEntropy::new(1);
    let relay = Relay::new(limits, gate.clone(), link.clone(), runtime().handle().clone(), &entropy).unwrap();
    for line in input.split(|byte| *byte == b'\n') {
        match line.strip_prefix(b"<") {
            Some(line) => relay.from_server(Stream(0), line),
            None => drop(relay.from_client(Stream(0), line)),
        }
    }
    relay.server_gone("the input has ended");
    let seen = gate.0.lock().unwrap();
    let mut called = Vec::new();
    for message in link.server.lock().unwrap().iter() {
        assert!(!message.contains(&b'\n'));
        let json = Json::parse(message).expect("what is forwarded is JSON, with no key twice");
        serde_json::from_slice::<serde_json::Value>(message).map(drop).or_else(too_large).unwrap();
        each(&json, &mut |member| called.extend(call_in(member)));
    }
    assert_eq!(called, *seen, "what was judged is what is forwarded");
    // What answers another question is no list of tools, whatever it looks like.
    let mut lists = Vec::new();
    for message in link.server.lock().unwrap().iter() {
        each(&Json::parse(message).unwrap(), &mut |member| {
            let asks = member.get("method").and_then(Json::as_str) == Some("tools/list");
            lists.extend(member.get("id").filter(|_| asks).cloned());
        });
    }
    for message in link.client.lock().unwrap().iter() {
        shows_nothing_hidden(message, &lists);
    }
}

/// serde's floats end where JSON's numbers go on.
fn too_large(error: serde_json::Error) -> Result<(), serde_json::Error> {
    if error.to_string().contains("out of range") || error.to_string().contains("recursion") {
        Ok(())
    } else {
        Err(error)
    }
}

fn each(json: &Json, take: &mut impl FnMut(&Json)) {
    match json {
        Json::Array(members) => members.iter().for_each(take),
        member => take(member),
    }
}

fn call_in(member: &Json) -> Option<(String, Json)> {
    if member.get("method")?.as_str()? != "tools/call" {
        return None;
    }
    let params = member.get("params").expect("a call that was judged has params");
    let tool = params.get("name").and_then(Json::as_str).expect("and a name");
    let none = || Json::Object(Default::default());
    Some((tool.to_owned(), params.get("arguments").cloned().unwrap_or_else(none)))
}

fn shows_nothing_hidden(message: &[u8], lists: &[Json]) {
    // What the server says beside lists of tools passes as it is, JSON or not.
    let Ok(json) = Json::parse(message) else { return };
    each(&json, &mut |member| {
        if !member.get("id").is_some_and(|id| lists.contains(id)) {
            return;
        }
        let tools = member.get("result").and_then(|result| result.get("tools")).and_then(Json::as_array);
        let hidden = |tool: &Json| tool.get("name").and_then(Json::as_str) == Some("no");
        assert!(!tools.unwrap_or_default().iter().any(hidden), "a hidden tool is shown: {json}");
    });
}
