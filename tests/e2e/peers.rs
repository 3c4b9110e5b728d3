//! Other people's software: npm's `@x402/*` 2.27.0 (tests/peers). The next issue does this at length.

use std::path::PathBuf;
use std::process::Stdio;

use farthing_devnet::accounts::{BUYER, PAYEE};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::world::{World, free_port, start_server};

fn peers() -> PathBuf {
    // Asked when the test runs: a target directory may serve several checkouts.
    PathBuf::from(std::env::var("CARGO_MANIFEST_DIR").unwrap()).join("../../tests/peers")
}

fn node(script: &str, args: &[&str]) -> Command {
    assert!(peers().join("node_modules").exists(), "run `cargo xtask test` once: it installs tests/peers");
    let mut command = Command::new("node");
    command
        .arg(peers().join(script))
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// Starts a peer's server; returns its port when it says that it is ready.
async fn ready(mut command: Command) -> (Child, u16) {
    let mut child = command.spawn().unwrap();
    let line = BufReader::new(child.stdout.take().unwrap()).lines().next_line().await.unwrap().unwrap();
    let said: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(said["ready"], true, "{said}");
    (child, u16::try_from(said["port"].as_u64().unwrap()).unwrap())
}

#[tokio::test]
async fn their_client_pays_our_gateway() {
    let world = World::start().await;
    world.chain.mint(BUYER.address, 1_000_000).await.unwrap();
    for extra in [&[][..], &["--v1"]] {
        let key = BUYER.private_key.to_string();
        let url = world.at("/weather/berlin");
        let mut args = vec!["--url", &url, "--rpc", world.chain.rpc_url(), "--key", &key];
        args.extend(extra);
        let before = world.earned().await;
        let done = node("fetch-client.mjs", &args).output().await.unwrap();
        let said: Value = serde_json::from_slice(&done.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&done.stderr)));
        assert_eq!(said["status"], 200, "{said}");
        assert_eq!(world.earned().await - before, 2_000, "{said}");
    }
}

#[tokio::test]
async fn our_wallet_pays_their_server_through_our_facilitator() {
    let world = World::start().await;
    let port = free_port();
    let config = world.folder.path().join("facilitator.yaml");
    let yaml = format!(
        "listen: 127.0.0.1:{port}\nnetworks:\n  base-sepolia: {{rpc: [\"{}\"], signers: [{{env: SIGNER_KEY}}]}}\n",
        world.chain.rpc_url()
    );
    std::fs::write(&config, yaml).unwrap();
    let facilitator_url = format!("http://127.0.0.1:{port}");
    let _facilitator = start_server("facilitator", &config, &facilitator_url).await;

    let payee = PAYEE.address.to_string();
    let args = [
        "--port",
        "0",
        "--facilitator",
        &facilitator_url,
        "--pay-to",
        &payee,
        "--network",
        "eip155:84532",
        "--price",
        "$0.01",
    ];
    let (_server, port) = ready(node("express-server.mjs", &args)).await;
    let answer = world.wallet.json(&["fetch", &format!("http://127.0.0.1:{port}/weather")], 0).await;
    assert_eq!(answer["status"], 200);
    assert_eq!(answer["payment"]["outcome"]["outcome"], "paid", "{answer}");
    assert_eq!(world.earned().await, 10_000);
}
