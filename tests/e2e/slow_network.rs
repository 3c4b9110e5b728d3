//! Everyday commands on a slow and on a dying network: the exit code is right, what is said can be followed to the letter,
//! nothing takes much longer than its timeout, and nothing is paid twice or lost.

mod proxy;

use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::world::World;
use proxy::{Fault, Proxy};

const CALL: &str = "/weather/berlin";
const BODY: &str = r#"{"path":"/weather/berlin"}"#;

async fn world() -> (World, Proxy) {
    let world = World::start().await;
    let proxy = Proxy::before(&world.url).await;
    (world, proxy)
}

/// The first command in backticks of an error's hint, as a person copies it, without the program's name.
fn command_in(hint: &str) -> Vec<&str> {
    let command = hint.split('`').nth(1).unwrap_or_else(|| panic!("no command in: {hint}"));
    command.strip_prefix("farthing ").unwrap().split(' ').collect()
}

/// Runs what the hint says, and expects the whole body.
async fn follow_hint(world: &World, answer: &Value) {
    let hint = answer["error"]["hint"].as_str().unwrap();
    let got = world.wallet.json(&command_in(hint), 0).await;
    assert_eq!(got["body"]["text"], BODY, "{got}");
    assert_eq!(world.newest_only().await["state"], "paid");
    assert_eq!(world.earned().await, 2_000, "it was paid once");
}

impl World {
    /// The only purchase.
    async fn newest_only(&self) -> Value {
        let history = self.wallet.json(&["history"], 0).await;
        assert_eq!(history["purchases"].as_array().unwrap().len(), 1, "{history}");
        history["purchases"][0].clone()
    }
}

#[tokio::test]
async fn a_slow_network_is_only_slow() {
    let (world, proxy) = world().await;
    let tick = Duration::from_millis(20);
    proxy.does(Fault::Slow { wait: Duration::from_millis(300), drop_bytes: 100, every: tick });
    let url = proxy.at(CALL);
    let answer = world.wallet.json(&["fetch", &url, "--timeout", "30"], 0).await;
    assert_eq!((answer["body"]["text"].as_str(), world.earned().await), (Some(BODY), 2_000));
}

/// Row "settlement times out, the chain confirms later" of reference/x402.md: `reconcile` asks the chain, and what was
/// paid for can still be had.
#[tokio::test]
async fn a_lost_answer_is_found_on_the_chain_and_got_by_the_hint() {
    let (world, proxy) = world().await;
    proxy.does(Fault::LosesAnswer);
    let answer = world.wallet.json(&["fetch", &proxy.at(CALL), "--timeout", "30"], 6).await;
    let unknown = world.newest_only().await;
    assert_eq!(unknown["state"], "unknown");
    assert_eq!(answer["payment"]["purchase"], unknown["id"], "{answer}");
    let said = world.wallet.json(&["reconcile"], 0).await;
    let hint = said["reconciled"][0]["hint"].as_str().unwrap();
    assert!(
        hint.contains(&format!("`farthing fetch --resume {}`", unknown["id"].as_str().unwrap())),
        "{hint}"
    );
    assert_eq!(world.newest_only().await["state"], "paid");
    proxy.does(Fault::None);
    follow_hint(&world, &answer).await;
    world.wallet.assert_whole().await;
}

#[tokio::test]
async fn a_reset_before_the_seller_heard_is_resumed_by_the_hint() {
    let (world, proxy) = world().await;
    proxy.does(Fault::Reset);
    let answer = world.wallet.json(&["fetch", &proxy.at(CALL), "--timeout", "30"], 6).await;
    assert_eq!(world.earned().await, 0);
    proxy.does(Fault::None);
    follow_hint(&world, &answer).await;
}

#[tokio::test]
async fn a_body_that_breaks_off_or_stalls_is_got_whole_by_the_hint() {
    for fault in [Fault::CutsOff(5), Fault::Stalls(5)] {
        let (world, proxy) = world().await;
        proxy.does(fault);
        let answer = world.wallet.json(&["fetch", &proxy.at(CALL), "--timeout", "10"], 1).await;
        assert_eq!(answer["body"]["text"], BODY[..BODY.len() - 5], "{fault:?}");
        assert!(answer["cut_off"].is_string() && answer["payment"].is_object(), "{answer}");
        proxy.does(Fault::None);
        follow_hint(&world, &answer).await;
    }
}

#[tokio::test]
async fn a_half_open_connection_is_not_waited_for() {
    let (world, proxy) = world().await;
    proxy.does(Fault::HalfOpen);
    let began = Instant::now();
    let answer = world.wallet.json(&["fetch", &proxy.at(CALL), "--timeout", "10"], 6).await;
    assert!(began.elapsed() < Duration::from_secs(45), "less than without a timeout: {:?}", began.elapsed());
    assert_eq!((world.earned().await, world.newest_only().await["state"].as_str()), (0, Some("unknown")));
    proxy.does(Fault::None);
    follow_hint(&world, &answer).await;
}

#[tokio::test]
async fn a_seller_that_cannot_be_reached_costs_nothing() {
    let (world, proxy) = world().await;
    proxy.does(Fault::Dead);
    let refused = format!("http://127.0.0.1:{}/", crate::world::free_port());
    // A name that no resolver may know (RFC 6761).
    for url in [&proxy.at(CALL), &refused, "https://nothing.invalid/"] {
        for command in ["fetch", "check"] {
            let answer = world.wallet.json(&[command, url, "--timeout", "1"], 3).await;
            let message = answer["error"]["message"].as_str().unwrap();
            assert!(message.contains("did not answer"), "{command} {url}: {message}");
        }
    }
    assert_eq!(world.wallet.json(&["history"], 0).await["purchases"].as_array().unwrap().len(), 0);
}

/// The chain is asked for the balance, and nothing waits for it: the seller settles.
#[tokio::test]
async fn a_dead_chain_stops_no_payment() {
    let (world, _) = world().await;
    let chain = Proxy::before(world.chain.rpc_url()).await;
    chain.does(Fault::Dead);
    let config = format!("version: 1\nnetworks:\n  base-sepolia: {{rpc: [\"{}\"]}}\n", chain.url);
    std::fs::write(world.wallet.home.join("config.yaml"), config).unwrap();
    world.wallet.ok(&["fetch", &world.at(CALL)]).await;
    assert_eq!(world.earned().await, 2_000);
    chain.does(Fault::None);
    assert_eq!(world.wallet.json(&["balance"], 0).await["balances"][0]["value"], "$4.998");
}

/// Ctrl-C after the payment has left: recorded, and said how to go on.
#[tokio::test]
async fn an_interrupted_payment_is_recorded_and_resumed_by_the_hint() {
    let (world, proxy) = world().await;
    proxy.does(Fault::HalfOpen);
    let mut command = world.wallet.command(&["fetch", &proxy.at(CALL), "--json"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    proxy.payment().await;
    let answer = interrupt(child, 6).await;
    let signed = world.newest_only().await;
    assert_eq!((&signed["state"], &signed["id"]), (&"signed".into(), &answer["payment"]["purchase"]));
    proxy.does(Fault::None);
    follow_hint(&world, &answer).await;
}

/// Ctrl-C in the middle of the body: the seller's confirmation is known, and so is where the part is.
#[tokio::test]
async fn an_interrupted_body_is_paid_for_and_got_by_the_hint() {
    let (world, proxy) = world().await;
    proxy.does(Fault::Stalls(5));
    let mut command = world.wallet.command(&["fetch", &proxy.at(CALL), "--json"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    proxy.payment().await;
    let bodies = world.wallet.home.join("bodies");
    // With something in it: where it is, is told before that, and after it has been made.
    let part = || {
        let files = std::fs::read_dir(&bodies).into_iter().flatten().flatten();
        let begun = files.filter(|file| file.metadata().is_ok_and(|known| known.len() > 0));
        begun.map(|file| file.path()).find(|file| file.extension().is_some_and(|end| end == "part"))
    };
    let part = once(async || part()).await;
    let answer = interrupt(child, 1).await;
    let message = answer["error"]["message"].as_str().unwrap();
    assert!(message.contains("are paid") && message.contains(part.to_str().unwrap()), "{message}");
    let paid = world.newest_only().await;
    assert_eq!((&paid["state"], &paid["id"]), (&"paid".into(), &answer["payment"]["purchase"]));
    assert!(paid["outcome"]["transaction"].is_string(), "{paid}");
    proxy.does(Fault::None);
    follow_hint(&world, &answer).await;
}

/// Waits for something.
async fn once<T>(look: impl AsyncFn() -> Option<T>) -> T {
    let wait = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), wait).await.expect("it comes")
}

/// Sends Ctrl-C, and expects to be told of it.
async fn interrupt(child: tokio::process::Child, code: i32) -> Value {
    let pid = child.id().unwrap().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let done =
        tokio::time::timeout(Duration::from_secs(60), child.wait_with_output()).await.unwrap().unwrap();
    assert_eq!(done.status.code(), Some(code), "{}", String::from_utf8_lossy(&done.stderr));
    let answer: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert!(answer["error"]["message"].as_str().unwrap().contains("interrupted"), "{answer}");
    answer
}
