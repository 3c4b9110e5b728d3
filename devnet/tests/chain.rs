//! Chains start ready, end with their handle, and don't get in each other's way.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that can't go on should stop"
)]

use std::{
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use alloy_primitives::U256;
use alloy_sol_types::SolCall;
use farthing_devnet::{
    BASE, BASE_SEPOLIA, Base, Error,
    abi::IUsdc,
    accounts::{self, BUYER, OPERATOR, PAYEE, STRANGER},
};
use serde_json::{Value, json};

fn alive(pid: u32) -> bool {
    PathBuf::from(format!("/proc/{pid}")).exists()
}

fn wait_until_gone(pid: u32) {
    until(&format!("process {pid} is gone"), || !alive(pid));
}

fn until(what: &str, is_so: impl Fn() -> bool) {
    let since = Instant::now();
    while !is_so() {
        assert!(since.elapsed() < Duration::from_secs(60), "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Where the chain keeps old blocks' states.
fn states_of(pid: u32) -> PathBuf {
    let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
    line.split('\0').skip_while(|word| *word != "--cache-path").nth(1).unwrap().into()
}

#[tokio::test]
async fn a_chain_ends_with_its_handle() {
    let since = Instant::now();
    let chain = Base::builder().start().await.unwrap();
    println!("ready after {:?}", since.elapsed());
    let pid = chain.pid();
    assert!(alive(pid));
    // So many that not all of their states stay in memory.
    chain.rpc("anvil_mine", json!([600])).await.unwrap();
    let states = states_of(pid);
    until("old states are on the disk", || states.read_dir().unwrap().next().is_some());
    drop(chain);
    assert!(!alive(pid) && !states.exists());
}

#[tokio::test]
async fn stopping_waits_for_the_end() {
    let chain = Base::builder().start().await.unwrap();
    let pid = chain.pid();
    chain.stop().await;
    assert!(!alive(pid));
}

#[tokio::test]
async fn two_chains_run_side_by_side() {
    let (base, sepolia) =
        tokio::join!(Base::builder().chain_id(BASE).start(), Base::builder().chain_id(BASE_SEPOLIA).start());
    let (base, sepolia) = (base.unwrap(), sepolia.unwrap());
    assert_ne!(base.rpc_url(), sepolia.rpc_url());
    base.mint(BUYER.address, 7).await.unwrap();
    assert_eq!(base.balance_of(BUYER.address).await.unwrap(), U256::from(7));
    assert_eq!(sepolia.balance_of(BUYER.address).await.unwrap(), U256::ZERO);
    assert_eq!((base.network(), sepolia.network()), ("eip155:8453".into(), "eip155:84532".into()));
}

#[tokio::test]
async fn an_unknown_chain_is_named() {
    let error = Base::builder().chain_id(1).start().await.unwrap_err();
    assert_eq!(error.to_string(), "the devnet has no chain 1: use 8453 (Base) or 84532 (Base Sepolia)");
}

#[tokio::test]
async fn a_taken_port_is_explained() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let error = Base::builder().port(port).start().await.unwrap_err();
    assert!(error.to_string().contains("in use"), "{error}");
}

#[tokio::test]
async fn a_chain_that_is_gone_is_said_to_be() {
    let chain = Base::builder().start().await.unwrap();
    Command::new("kill").args(["-9", &chain.pid().to_string()]).status().unwrap();
    wait_until_gone(chain.pid());
    assert!(matches!(chain.block_number().await, Err(Error::Unreachable { .. })));
}

#[tokio::test]
async fn stopped_mining_lets_transactions_wait() {
    let chain = Base::builder().start().await.unwrap();
    chain.set_balance(BUYER.address, 100).await.unwrap();
    chain.stop_mining().await.unwrap();
    let call = IUsdc::transferCall { to: PAYEE.address, value: U256::from(40) };
    let hash = chain.submit(BUYER.address, Some(chain.usdc()), call.abi_encode().into()).await.unwrap();
    assert!(chain.receipt(hash).await.unwrap().is_none());
    chain.mine().await.unwrap();
    assert!(chain.wait_for(hash).await.unwrap().succeeded());

    let hash = chain.submit(BUYER.address, Some(chain.usdc()), call.abi_encode().into()).await.unwrap();
    assert!(chain.drop_transaction(hash).await.unwrap());
    chain.start_mining().await.unwrap();
    chain.mint(STRANGER.address, 1).await.unwrap();
    assert!(chain.receipt(hash).await.unwrap().is_none());
    assert_eq!(chain.balance_of(BUYER.address).await.unwrap(), U256::from(60));
}

#[tokio::test]
async fn blocks_come_in_their_time() {
    let chain = Base::builder().block_time_s(1).start().await.unwrap();
    let before = chain.block_number().await.unwrap();
    chain.mint(BUYER.address, 5).await.unwrap();
    assert!(chain.block_number().await.unwrap() > before);
    let before = chain.block_number().await.unwrap();
    let since = Instant::now();
    while chain.block_number().await.unwrap() <= before {
        assert!(since.elapsed() < Duration::from_secs(30), "no block without any transaction");
    }
}

#[tokio::test]
async fn a_snapshot_brings_the_state_back() {
    let chain = Base::builder().start().await.unwrap();
    let snapshot = chain.snapshot().await.unwrap();
    chain.mint(BUYER.address, 5).await.unwrap();
    chain.set_eth_balance(BUYER.address, U256::ZERO).await.unwrap();
    assert_eq!(chain.eth_balance_of(BUYER.address).await.unwrap(), U256::ZERO);
    chain.revert(snapshot).await.unwrap();
    assert_eq!(chain.balance_of(BUYER.address).await.unwrap(), U256::ZERO);
    assert!(chain.revert(snapshot).await.is_err(), "it is used up");
}

#[tokio::test]
async fn a_balance_set_directly_keeps_the_supply_true() {
    let chain = Base::builder().start().await.unwrap();
    chain.mint(BUYER.address, 30).await.unwrap();
    chain.set_balance(BUYER.address, 10).await.unwrap();
    chain.set_balance(PAYEE.address, 5).await.unwrap();
    assert_eq!(chain.balance_of(BUYER.address).await.unwrap(), U256::from(10));
    let supply = chain.call(chain.usdc(), IUsdc::totalSupplyCall {}).await.unwrap();
    assert_eq!(supply, U256::from(15));
}

/// Sixteen at once from one account get sixteen nonces.
#[tokio::test]
async fn many_may_use_one_chain_at_once() {
    let chain = std::sync::Arc::new(Base::builder().start().await.unwrap());
    let tasks: Vec<_> = (0..16)
        .map(|_| {
            tokio::spawn({
                let chain = chain.clone();
                async move { chain.mint(BUYER.address, 1).await.map(drop) }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    assert_eq!(chain.balance_of(BUYER.address).await.unwrap(), U256::from(16));
}

#[tokio::test]
async fn every_account_is_the_nodes_own() {
    let chain = Base::builder().start().await.unwrap();
    let listed = chain.rpc("eth_accounts", json!([])).await.unwrap();
    assert_eq!(listed, json!(accounts::ALL.map(|account| account.address)));
    assert_eq!(chain.call(chain.usdc(), IUsdc::ownerCall {}).await.unwrap(), OPERATOR.address);
}

// The binary.

/// Starts the binary and reads what it says about itself.
fn devnet(arguments: &[&str]) -> (Child, Value) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_farthing-devnet"))
        .args(arguments)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    (child, serde_json::from_str(&line).unwrap())
}

fn pid_of(said: &Value) -> u32 {
    u32::try_from(said["pid"].as_u64().unwrap()).unwrap()
}

#[test]
fn the_binary_stops_its_chain_on_sigterm() {
    let (mut child, said) = devnet(&["--port", "0", "--chain-id", "8453", "--json"]);
    assert_eq!(said["chainId"], 8453);
    assert!(alive(pid_of(&said)));
    Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(child.wait().unwrap().success());
    assert!(!alive(pid_of(&said)));
}

#[test]
fn the_chain_dies_with_a_killed_parent() {
    let (mut child, said) = devnet(&["--port", "0", "--json"]);
    let states = states_of(pid_of(&said));
    child.kill().unwrap();
    child.wait().unwrap();
    wait_until_gone(pid_of(&said));
    until("its states are gone", || !states.exists());
}
