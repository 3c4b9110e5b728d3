//! The MCP inspector's command line, as a developer types it.

use serde_json::{Value, json};

use crate::http;
use crate::session::allow;
use crate::world::programs::node;
use crate::world::{FARTHING, World};

const INSPECTOR: &str = "node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js";

struct Said {
    code: i32,
    stdout: Value,
    stderr: String,
}

/// Runs it with the server, over stdio or HTTP, that comes first.
async fn inspect(world: &World, server: &[&str], more: &[&str]) -> Said {
    let mut command = node(INSPECTOR);
    command.arg("--cli").args(server).args(more);
    // What it keeps, it keeps here.
    command.env("HOME", world.folder.path()).kill_on_drop(true);
    let done = command.output().await.unwrap();
    let text = String::from_utf8_lossy(&done.stdout);
    let stdout = serde_json::from_str(&text).unwrap_or_else(|_| json!(text));
    let stderr = String::from_utf8_lossy(&done.stderr).into_owned();
    Said { code: done.status.code().unwrap(), stdout, stderr }
}

/// The arguments that name the server over stdio; it hands only the environment on that it is told to.
fn over_stdio(world: &World) -> Vec<String> {
    let mut args = vec![FARTHING.to_owned(), "mcp".to_owned()];
    for (name, value) in world.wallet.environment() {
        args.extend(["-e".to_owned(), format!("{name}={}", value.to_str().unwrap())]);
    }
    args
}

#[tokio::test]
async fn the_inspector_has_nothing_to_say_against_the_tools() {
    let world = World::start().await;
    let server = over_stdio(&world);
    let server: Vec<&str> = server.iter().map(String::as_str).collect();
    // It names what some models' providers would not take.
    let listed = inspect(&world, &server, &["--method", "tools/list", "--strict"]).await;
    assert_eq!((listed.code, listed.stderr.as_str()), (0, ""), "{}", listed.stdout);
    assert_eq!(listed.stdout["tools"].as_array().unwrap().len(), 9, "{}", listed.stdout);
}

#[tokio::test]
async fn the_inspector_checks_and_pays() {
    let world = World::start().await;
    allow(&world);
    let url = format!("url={}", world.at("/weather/bern"));
    let call = |tool| ["--method", "tools/call", "--tool-name", tool, "--tool-arg", &url];
    let stdio = over_stdio(&world);
    let stdio: Vec<&str> = stdio.iter().map(String::as_str).collect();
    let server = http::start(&world.wallet).await;
    let header = format!("Authorization: Bearer {}", server.token);
    let http = [&server.url, "--transport", "http", "--header", &header];
    for (server, earned) in [(&stdio[..], 2_000), (&http[..], 4_000)] {
        let checked = inspect(&world, server, &call("check")).await;
        assert_eq!(
            checked.stdout["structuredContent"]["price"], "$0.002",
            "{}{}",
            checked.stdout, checked.stderr
        );
        let paid = inspect(&world, server, &call("pay")).await;
        assert_eq!((paid.code, paid.stderr.as_str()), (0, ""), "{}", paid.stdout);
        let payment = &paid.stdout["structuredContent"]["payment"];
        assert_eq!((&payment["state"], world.earned().await), (&json!("paid"), earned), "{}", paid.stdout);
    }
    let receipts = inspect(&world, &http, &["--method", "resources/list"]).await;
    assert!(receipts.stdout.to_string().contains("farthing://receipts/"), "{}", receipts.stdout);
    world.wallet.assert_whole().await;
}
