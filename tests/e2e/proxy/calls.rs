//! Calls through the proxy, and the policy around them.

use std::time::{Duration, Instant};

use farthing_ambient::SystemClock;
use farthing_ledger::{Ledger, Purchase, PurchaseFilter, PurchaseState};
use serde_json::Value;

use super::{POLICY, Proxy, ROUTES, token};
use crate::world::{World, terminate};

async fn purchases(world: &World) -> Vec<Purchase> {
    let path = world.wallet.home.join("ledger.db");
    let ledger = Ledger::open(&path, std::sync::Arc::new(SystemClock)).unwrap();
    ledger.purchases(PurchaseFilter::default()).await.unwrap()
}

/// The status and the code of a problem.
async fn problem(answer: reqwest::Response) -> (u16, Value) {
    let status = answer.status().as_u16();
    let code = answer.headers()["farthing-error"].to_str().unwrap().to_owned();
    let body: Value = answer.json().await.unwrap();
    assert_eq!(body["error"]["code"], code.as_str(), "{body}");
    (status, body["error"].clone())
}

fn said(error: &(u16, Value)) -> (u16, &str) {
    (error.0, error.1["code"].as_str().unwrap())
}

#[tokio::test]
async fn a_program_that_only_speaks_http_pays() {
    let world = World::selling(ROUTES, "").await;
    let proxy = Proxy::start(&world).await;
    let token = token(&world.wallet, "researcher").await;
    let (paid, free) = (world.at("/weather/berlin?units=%2Fc"), world.at("/free"));

    let answer = proxy.get(&paid, &token).send().await.unwrap();
    let headers = answer.headers().clone();
    assert_eq!((answer.status().as_u16(), headers["farthing-price"].to_str().unwrap()), (200, "$0.002"));
    assert_eq!(headers["farthing-outcome"], "paid");
    assert!(
        headers["farthing-remaining"].to_str().unwrap().contains("ever=\"$0.998 of $1.00\""),
        "{headers:?}"
    );
    assert_eq!(answer.text().await.unwrap(), r#"{"path":"/weather/berlin"}"#);
    let purchase = purchases(&world).await.remove(0);
    assert_eq!(headers["farthing-purchase"], purchase.terms.id.0.as_str());
    assert_eq!(purchase.terms.agent.as_deref(), Some("researcher"));
    assert_eq!(purchase.terms.url, paid, "as it was asked");
    let transaction = headers["farthing-transaction"].to_str().unwrap().parse().unwrap();
    assert!(world.chain.receipt(transaction).await.unwrap().unwrap().succeeded());

    // Free, and over HTTP/2.
    let over_h2 = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
    let answer = over_h2.get(proxy.at(&free)).header("x-farthing-token", &token).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.headers().get("farthing-price")), (200, None));

    let dear = proxy.get(&paid, &token).header("farthing-max-price", "$0.001").send().await.unwrap();
    assert_eq!(said(&problem(dear).await), (403, "denied"));
    let silent = proxy.get("https://silent.invalid/?api_key=s3cret", &token).send().await.unwrap();
    assert_eq!(said(&problem(silent).await), (502, "unreachable"));
    let log = std::fs::read_to_string(world.folder.path().join("proxy.log")).unwrap();
    assert!(log.contains("https://silent.invalid/") && !log.contains("s3cret"), "{log}");
    let nobody = reqwest::get(proxy.at(&paid)).await.unwrap();
    assert_eq!(said(&problem(nobody).await), (401, "no_token"));
    let unknown = proxy.get(&paid, &token.replace("fth_", "fth_x")).send().await.unwrap();
    assert_eq!(said(&problem(unknown).await), (401, "unknown_token"));
    assert_eq!((world.earned().await, world.upstream.served()), (2_000, 2));

    let listed = world.wallet.json(&["proxy", "tokens", "list"], 0).await;
    for known in listed["tokens"].as_array().unwrap() {
        world.wallet.ok(&["proxy", "tokens", "remove", known["id"].as_str().unwrap()]).await;
    }
    let removed = proxy.get(&free, &token).send().await.unwrap();
    assert_eq!(said(&problem(removed).await), (401, "unknown_token"), "at once");
    world.wallet.assert_whole().await;
}

#[tokio::test]
async fn paid_events_stream_and_outlive_their_reader_and_the_proxy() {
    let world = World::selling(ROUTES, "").await;
    let mut proxy = Proxy::start(&world).await;
    let token = token(&world.wallet, "researcher").await;
    let mut answer = proxy.get(&world.at("/events"), &token).send().await.unwrap();
    let first = answer.chunk().await.unwrap().unwrap();
    assert_eq!(
        (first, answer.headers()["farthing-price"].to_str().unwrap()),
        ("data: 1\n\n".into(), "$0.01")
    );
    // The others are not even made yet.
    world.upstream.let_events_go(2);
    let rest = answer.text().await.unwrap();
    assert_eq!(rest, "data: 2\n\ndata: 3\n\n");

    // Its reader leaves, and then the proxy is asked to end.
    let mut answer = proxy.get(&world.at("/events"), &token).send().await.unwrap();
    answer.chunk().await.unwrap().unwrap();
    drop(answer);
    terminate(&proxy.child);
    world.upstream.let_events_go(2);
    let ended = tokio::time::timeout(Duration::from_secs(60), proxy.child.wait()).await.unwrap().unwrap();
    assert!(ended.success());
    for purchase in purchases(&world).await {
        let kept = purchase.response.as_ref().unwrap().body_file.as_ref().unwrap();
        let kept = std::fs::read_to_string(world.wallet.home.join(kept)).unwrap();
        assert_eq!(
            (purchase.state, kept.as_str()),
            (PurchaseState::Paid, "data: 1\n\ndata: 2\n\ndata: 3\n\n")
        );
    }
    assert_eq!(world.earned().await, 20_000);
    world.wallet.assert_whole().await;
}

#[tokio::test]
async fn the_policy_holds_for_each_token_and_while_it_changes() {
    let world = World::selling(ROUTES, "").await;
    let proxy = Proxy::start(&world).await;
    let (intern, careful) = (token(&world.wallet, "intern").await, token(&world.wallet, "careful").await);
    let weather = world.at("/weather/berlin");
    let ask = async |token: &str| proxy.get(&weather, token).send().await.unwrap();

    // The agent's own budget: two calls.
    for _ in 0..2 {
        assert_eq!(ask(&intern).await.status(), 200);
    }
    let third = ask(&intern).await;
    assert!(third.headers().contains_key("retry-after"));
    let third = problem(third).await;
    assert_eq!(said(&third), (429, "denied"));
    assert!(third.1["denial"]["rule"].as_str().unwrap().contains("day"), "{third:?}");

    // A person has to approve.
    let waiting = problem(ask(&careful).await).await;
    assert_eq!(said(&waiting), (403, "approval_needed"));
    let id = waiting.1["denial"]["approval"]["id"].as_str().unwrap();
    assert!(waiting.1["hint"].as_str().unwrap().contains(&format!("farthing approvals approve {id}")));
    world.wallet.ok(&["approvals", "approve", id]).await;
    assert_eq!(ask(&careful).await.status(), 200);

    // The freeze stops free calls too.
    world.wallet.ok(&["freeze", "an exercise"]).await;
    let frozen = proxy.get(&world.at("/free"), &careful).send().await.unwrap();
    assert_eq!(said(&problem(frozen).await), (403, "frozen"));
    world.wallet.ok(&["thaw"]).await;
    assert_eq!(proxy.get(&world.at("/free"), &careful).send().await.unwrap().status(), 200);

    // Another policy is in force without a restart, for free calls too.
    world.wallet.policy(
        &POLICY.replace("  max: \"$0.10\"\n", "  max: \"$0.10\"\n  hosts: {allow: [\"a.example\"]}\n"),
    );
    let deadline = Instant::now() + Duration::from_secs(10);
    let refused = loop {
        let answer = proxy.get(&world.at("/free"), &careful).send().await.unwrap();
        if answer.status() != 200 {
            break answer;
        }
        assert!(Instant::now() < deadline, "it is not in force");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(said(&problem(refused).await), (403, "denied"));
    let audit = world.wallet.ok(&["audit", "tail", "-n", "200", "--json"]).await;
    assert!(String::from_utf8(audit).unwrap().contains("\"proxy\""), "what was refused leaves a trace");
    assert_eq!(world.earned().await, 6_000);
    world.wallet.assert_whole().await;
}
