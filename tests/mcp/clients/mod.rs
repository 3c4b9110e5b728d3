//! Other people's clients: the official SDKs for TypeScript (versions 1 and 2) and Python, with the revision that
//! `initialize` agrees upon and, where they speak it, the newest, over stdio and streamable HTTP; the inspector; the
//! conformance suite. The programs stand in tests/peers and tests/python.

mod approve;
mod cancel;
mod conformance;
mod inspector;
mod use_all;

use std::fs::File;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::TcpListener;
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::http::{self, Server};
use crate::session::allow_hosts;
use crate::world::programs::{node, python};
use crate::world::{FARTHING, World};

const PATIENCE: Duration = Duration::from_secs(60);

const ROUTES: &str = r#"
  - {match: "GET /weather/{city}", price: "$0.002"}
  - {match: "GET /later", price: "$0.004"}
  - {match: "POST /echo", price: "$0.01"}
"#;

const POLICY: &str = "version: 1\npayments:\n  max: \"$1\"\n  approve_above: \"$0.005\"\n  \
    budgets: [{name: ever, max: \"$100\", per: lifetime}]\n";

/// An SDK, and the newest revision of MCP or the one that it has without being asked for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sdk {
    TypeScript1,
    TypeScript2,
    TypeScript2Newest,
    Python,
    PythonNewest,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Over {
    Stdio,
    Http,
}

/// A wallet that asks a person about what costs more than half a cent, and whom its agents may call.
struct Stage {
    world: World,
    /// A seller that never answers.
    silent: TcpListener,
    silent_url: String,
}

impl Stage {
    async fn set() -> Self {
        let world = World::selling(ROUTES, "").await;
        world.wallet.policy(POLICY);
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = silent.local_addr().unwrap().to_string();
        let index = use_all::index(world.at("/weather/{city}")).await;
        allow_hosts(&world.wallet, &[world.url.trim_start_matches("http://"), &host, &index]);
        let config = world.wallet.home.join("config.yaml");
        let text = std::fs::read_to_string(&config).unwrap();
        std::fs::write(config, format!("{text}indexes: [\"http://{index}\"]\n")).unwrap();
        Self { world, silent, silent_url: format!("http://{host}/") }
    }
}

/// All that a client on this SDK has to manage, over both transports.
async fn everything_with(sdk: Sdk) {
    let stage = Stage::set().await;
    for over in [Over::Stdio, Over::Http] {
        let mut client = Client::start(&stage.world, sdk, over).await;
        use_all::everything(&mut client, &stage.world).await;
        approve::its_user_is_asked_and_decides(&mut client, &stage.world).await;
        cancel::what_it_breaks_off_is_not_begun_or_is_recorded(&mut client, &stage).await;
        use_all::it_is_told_of_mistakes(&mut client, &stage.world).await;
        client.leave().await;
    }
    stage.world.wallet.assert_whole().await;
}

#[tokio::test]
async fn version_1_of_the_typescript_sdk() {
    everything_with(Sdk::TypeScript1).await;
}

#[tokio::test]
async fn version_2_of_the_typescript_sdk() {
    everything_with(Sdk::TypeScript2).await;
}

#[tokio::test]
async fn the_typescript_sdk_in_the_newest_revision() {
    everything_with(Sdk::TypeScript2Newest).await;
}

#[tokio::test]
async fn the_python_sdk() {
    everything_with(Sdk::Python).await;
}

#[tokio::test]
async fn the_python_sdk_in_the_newest_revision() {
    everything_with(Sdk::PythonNewest).await;
}

impl Sdk {
    fn is_newest(self) -> bool {
        matches!(self, Self::TypeScript2Newest | Self::PythonNewest)
    }

    fn revision(self) -> &'static str {
        if self.is_newest() { "2026-07-28" } else { "2025-11-25" }
    }

    fn program(self) -> Command {
        let (mut command, more): (_, &[&str]) = match self {
            Self::TypeScript1 => (node("mcp-client.mjs"), &["--sdk", "1"]),
            Self::TypeScript2 => (node("mcp-client.mjs"), &["--sdk", "2"]),
            Self::TypeScript2Newest => (node("mcp-client.mjs"), &["--sdk", "2", "--newest"]),
            Self::Python => (python("python-mcp", "tests/python/mcp_client.py"), &[]),
            Self::PythonNewest => (python("python-mcp", "tests/python/mcp_client.py"), &["--newest"]),
        };
        command.args(more);
        command
    }
}

/// A program on one of the SDKs, connected to `farthing mcp`.
struct Client {
    sdk: Sdk,
    who: String,
    child: Child,
    stdin: ChildStdin,
    stdout: Lines<BufReader<ChildStdout>>,
    /// What it complains about.
    stderr: PathBuf,
    _server: Option<Server>,
}

impl Client {
    async fn start(world: &World, sdk: Sdk, over: Over) -> Self {
        Self::with(world, sdk, over, &[]).await
    }

    async fn with(world: &World, sdk: Sdk, over: Over, more: &[&str]) -> Self {
        let who = format!("{sdk:?} over {over:?}");
        let mut command = sdk.program();
        command.args(more);
        let server = match over {
            Over::Stdio => {
                command.args(["--command", FARTHING]).envs(world.wallet.environment());
                None
            }
            Over::Http => {
                let server = http::start(&world.wallet).await;
                command.args(["--url", &server.url, "--token", &server.token]);
                Some(server)
            }
        };
        let stderr = world.folder.path().join(format!("{who}.log"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(File::create(&stderr).unwrap());
        let mut child = command.kill_on_drop(true).spawn().unwrap();
        let (stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Self { sdk, who, child, stdin, stdout: BufReader::new(stdout).lines(), stderr, _server: server }
    }

    fn complaints(&self) -> String {
        std::fs::read_to_string(&self.stderr).unwrap()
    }

    /// Gives it a task, and reads what came of it.
    async fn ask(&mut self, task: &str, given: Value) -> Value {
        let mut line = json!({"task": task});
        line.as_object_mut().unwrap().extend(given.as_object().unwrap().clone());
        self.stdin.write_all(format!("{line}\n").as_bytes()).await.unwrap();
        let said = tokio::time::timeout(PATIENCE, self.stdout.next_line()).await;
        let said = said.unwrap_or_else(|_| panic!("{}: no answer in time to {line}", self.who));
        let said = said.unwrap().unwrap_or_else(|| panic!("{}: {line}: {}", self.who, self.complaints()));
        serde_json::from_str(&said).unwrap_or_else(|error| panic!("{}: {error}: {said}", self.who))
    }

    /// The result of a tool, whatever it says. The SDK has held it against the tool's schema.
    async fn call(&mut self, tool: &str, arguments: Value) -> Value {
        self.ask("call", json!({"name": tool, "arguments": arguments})).await
    }

    /// What a tool gave that must have worked.
    async fn ok(&mut self, tool: &str, arguments: Value) -> Value {
        let result = self.call(tool, arguments).await;
        assert!(result["isError"] == false, "{}: {tool}: {result}", self.who);
        result["structuredContent"].clone()
    }

    /// Ends the session, as the SDK ends it. None of them may have found anything to complain about.
    async fn leave(self) {
        let Self { who, mut child, stdin, stderr, .. } = self;
        drop(stdin);
        let ended = tokio::time::timeout(PATIENCE, child.wait()).await.expect("it ends").unwrap();
        let complaints = std::fs::read_to_string(stderr).unwrap();
        assert!(ended.success() && complaints.is_empty(), "{who}: {ended}: {complaints}");
    }
}
