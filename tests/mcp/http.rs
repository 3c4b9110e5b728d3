//! The same over streamable HTTP.

use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Child;

use crate::world::{Wallet, World};

/// `farthing mcp --listen`, until it is dropped.
pub(crate) struct Server {
    _child: Child,
    pub(crate) url: String,
    pub(crate) token: String,
}

pub(crate) async fn start(wallet: &Wallet) -> Server {
    let mut command = wallet.command(&["mcp", "--listen", "127.0.0.1:0", "--json"]);
    command.stdout(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let said: Value = serde_json::from_str(&lines.next_line().await.unwrap().unwrap()).unwrap();
    let text = |key: &str| said[key].as_str().unwrap().to_owned();
    Server { url: text("url"), token: text("token"), _child: child }
}

fn hello() -> Value {
    json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": "2025-11-25",
        "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}})
}

async fn post(server: &Server, headers: &[(&str, &str)]) -> u16 {
    drop(rustls::crypto::ring::default_provider().install_default());
    let mut request = reqwest::Client::new()
        .post(&server.url)
        .header("accept", "application/json, text/event-stream")
        .json(&hello());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn only_who_shows_the_token_gets_in_and_no_web_page_does() {
    let world = World::start().await;
    let server = start(&world.wallet).await;
    let bearer = format!("Bearer {}", server.token);
    let good = ("authorization", bearer.as_str());
    assert_eq!(post(&server, &[good]).await, 200);
    assert_eq!(post(&server, &[]).await, 401);
    assert_eq!(post(&server, &[("authorization", "Bearer x")]).await, 401);
    assert_eq!(post(&server, &[("authorization", "Bearer ")]).await, 401);
    for origin in ["https://evil.example", "http://localhost:1", "null"] {
        assert_eq!(post(&server, &[good, ("origin", origin)]).await, 403, "{origin}");
    }
    // Its own origin is no other page's.
    let own = server.url.trim_end_matches("/mcp");
    assert_eq!(post(&server, &[good, ("origin", own)]).await, 200);
    assert_eq!(post(&server, &[good, ("host", "evil.example")]).await, 403);
}

#[tokio::test]
async fn sessions_are_bounded() {
    let world = World::start().await;
    let server = start(&world.wallet).await;
    let bearer = format!("Bearer {}", server.token);
    for number in 0..64 {
        assert_eq!(post(&server, &[("authorization", &bearer)]).await, 200, "{number}");
    }
    assert_eq!(post(&server, &[("authorization", &bearer)]).await, 503);
}

#[cfg(unix)]
#[tokio::test]
async fn a_token_that_others_can_read_is_none() {
    use std::os::unix::fs::PermissionsExt as _;
    let world = World::start().await;
    let file = world.folder.path().join("token");
    std::fs::write(&file, "0123456789abcdef0123456789abcdef").unwrap();
    for mode in [0o666, 0o640] {
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        let args = ["mcp", "--listen", "127.0.0.1:0", "--token-file", file.to_str().unwrap()];
        let refused = world.wallet.json(&args, 2).await;
        assert!(refused["error"]["message"].as_str().unwrap().contains("others may read"), "{refused}");
        assert!(!refused.to_string().contains("0123456789"), "{refused}");
    }
}

#[tokio::test]
async fn it_listens_on_this_machine_only() {
    let world = World::start().await;
    let refused = world.wallet.json(&["mcp", "--listen", "0.0.0.0:0"], 2).await;
    assert!(refused["error"]["message"].as_str().unwrap().contains("this machine"), "{refused}");
}
