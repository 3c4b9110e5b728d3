//! A client that speaks to `farthing mcp` over its pipes.

use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout};

use crate::world::{Wallet, World};

const PATIENCE: Duration = Duration::from_secs(60);

/// One session.
pub(crate) struct Session {
    child: Child,
    stdin: ChildStdin,
    stdout: Lines<BufReader<ChildStdout>>,
    next_id: u64,
    /// What the server sent that nobody asked for.
    pub(crate) told: Vec<Value>,
}

/// Lets agents call the world's gateway, which is on this machine.
pub(crate) fn allow(world: &World) {
    allow_hosts(&world.wallet, &[world.url.trim_start_matches("http://")]);
}

pub(crate) fn allow_hosts(wallet: &Wallet, hosts: &[&str]) {
    let config = wallet.home.join("config.yaml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(config, format!("{text}private_hosts: {hosts:?}\n")).unwrap();
}

/// Sellers that say nothing are given up soon.
pub(crate) fn impatient(wallet: &Wallet) {
    let config = wallet.home.join("config.yaml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(config, format!("{text}timeout_seconds: 3\n")).unwrap();
}

impl Session {
    /// A session of the revision before the newest, without elicitation.
    pub(crate) async fn start(wallet: &Wallet) -> Self {
        Self::with(wallet, &[], json!({})).await
    }

    pub(crate) async fn with(wallet: &Wallet, args: &[&str], capabilities: Value) -> Self {
        let mut session = Self::unopened(wallet, args);
        let hello = json!({"protocolVersion": "2025-11-25", "capabilities": capabilities,
            "clientInfo": {"name": "test", "version": "1"}});
        let opened = session.request("initialize", hello).await;
        assert_eq!(opened["result"]["protocolVersion"], "2025-11-25", "{opened}");
        session.notify("notifications/initialized", json!({})).await;
        session
    }

    /// A server that nobody has said hello to.
    pub(crate) fn unopened(wallet: &Wallet, args: &[&str]) -> Self {
        let mut command = wallet.command(&[&["mcp"], args].concat());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let (stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Self { child, stdin, stdout: BufReader::new(stdout).lines(), next_id: 0, told: Vec::new() }
    }

    pub(crate) async fn send(&mut self, message: &Value) {
        self.stdin.write_all(format!("{message}\n").as_bytes()).await.unwrap();
    }

    pub(crate) async fn notify(&mut self, method: &str, params: Value) {
        self.send(&json!({"jsonrpc": "2.0", "method": method, "params": params})).await;
    }

    /// Sends a request, and gives its id.
    pub(crate) async fn begin(&mut self, method: &str, params: Value) -> u64 {
        self.next_id += 1;
        self.send(&json!({"jsonrpc": "2.0", "id": self.next_id, "method": method, "params": params})).await;
        self.next_id
    }

    /// The next message.
    pub(crate) async fn read(&mut self) -> Value {
        let line = tokio::time::timeout(PATIENCE, self.stdout.next_line()).await.expect("an answer in time");
        let line = line.unwrap().expect("the server is there");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }

    /// The answer to a request; what comes before it is kept.
    pub(crate) async fn answer(&mut self, id: u64) -> Value {
        loop {
            let message = self.read().await;
            if message["id"] == id && message.get("method").is_none() {
                return message;
            }
            self.told.push(message);
        }
    }

    pub(crate) async fn request(&mut self, method: &str, params: Value) -> Value {
        let id = self.begin(method, params).await;
        self.answer(id).await
    }

    /// A tool's result, whatever it says.
    pub(crate) async fn call(&mut self, tool: &str, arguments: Value) -> Value {
        let answer = self.request("tools/call", json!({"name": tool, "arguments": arguments})).await;
        assert!(answer.get("error").is_none(), "{tool}: {answer}");
        answer["result"].clone()
    }

    /// What a tool gave that must have worked.
    pub(crate) async fn ok(&mut self, tool: &str, arguments: Value) -> Value {
        let result = self.call(tool, arguments).await;
        assert_eq!(result["isError"], false, "{tool}: {result}");
        result["structuredContent"].clone()
    }

    /// Why a tool did not do it.
    pub(crate) async fn refused(&mut self, tool: &str, arguments: Value) -> Value {
        let result = self.call(tool, arguments).await;
        assert_eq!(result["isError"], true, "{tool}: {result}");
        result["structuredContent"]["error"].clone()
    }

    /// Closes the server's input, and waits until it has ended.
    pub(crate) async fn leave(self) -> std::process::ExitStatus {
        let Self { mut child, stdin, .. } = self;
        drop(stdin);
        tokio::time::timeout(PATIENCE, child.wait()).await.expect("it ends").unwrap()
    }
}
