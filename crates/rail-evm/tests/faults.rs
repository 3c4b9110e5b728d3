//! What goes wrong between a settler and its chain: dead, wrong and limiting endpoints, stuck transactions, crashes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests and their helpers")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use alloy_primitives::{Bytes, U256};
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use farthing_devnet::{Base, accounts};
use farthing_rail::{Broadcast, Payer, RailError, Settlement, Settler, VerifyError};
use serde_json::{Value, json};
use support::*;

/// A stub of an RPC endpoint, for faults that no real node can be made to have: each request gets what `answer` says.
async fn stub(answer: impl Fn(u32, Value) -> Response + Send + Sync + 'static) -> (String, Arc<AtomicU32>) {
    type Shared = Arc<(AtomicCount, Box<dyn Fn(u32, Value) -> Response + Send + Sync>)>;
    type AtomicCount = Arc<AtomicU32>;
    async fn serve(State(shared): State<Shared>, body: String) -> Response {
        let count = shared.0.fetch_add(1, Ordering::SeqCst);
        (shared.1)(count, serde_json::from_str(&body).unwrap())
    }
    let count = AtomicCount::default();
    let shared: Shared = Arc::new((count.clone(), Box::new(answer)));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v2/SECRETKEY", listener.local_addr().unwrap());
    let app = Router::new().fallback(serve).with_state(shared);
    tokio::spawn(async move { axum::serve(listener, app).await });
    (url, count)
}

/// Answers every call of a request by its method.
fn each(body: &Value, result: impl Fn(&Value) -> Value) -> Response {
    let one = |call: &Value| json!({"jsonrpc": "2.0", "id": call["id"], "result": result(call)});
    let answer = match body {
        Value::Array(calls) => calls.iter().map(one).collect(),
        call => one(call),
    };
    answer.to_string().into_response()
}

fn balance_of_seven(call: &Value) -> Value {
    match call["method"].as_str().unwrap() {
        "eth_chainId" => json!("0x14a34"),
        _ => json!(format!("0x{:064x}", 7)),
    }
}

/// How long one request is waited for: no machine is so slow.
const PATIENCE: Duration = Duration::from_secs(5);

fn buyer_at(urls: &[&str]) -> farthing_rail_evm::EvmPayer {
    let mut chain = at(urls[0]);
    chain.endpoints = urls.iter().map(|url| url.parse().unwrap()).collect();
    chain.request_timeout = PATIENCE;
    farthing_rail_evm::EvmPayer::new(secret(accounts::BUYER), &[chain], &entropy()).unwrap()
}

/// Stops the clock, until what it gives is dropped, but for what a test advances it by.
fn stop_clock() -> std::sync::mpsc::Sender<()> {
    let (stopped, ended) = std::sync::mpsc::channel();
    // A paused clock jumps to the next timeout when everything waits for a socket, but not while this waits too.
    tokio::task::spawn_blocking(move || ended.recv());
    tokio::time::pause();
    stopped
}

#[tokio::test]
async fn a_dead_endpoint_is_passed_over_and_then_asked_last() {
    let (silent, asked) = stub(|_, _| StatusCode::SERVICE_UNAVAILABLE.into_response()).await;
    let (good, _) = stub(|_, body| each(&body, balance_of_seven)).await;
    let buyer = buyer_at(&["http://127.0.0.1:1", &silent, &good]);
    let _stopped = stop_clock();
    for _ in 0..5 {
        assert_eq!(buyer.balance(&usdc()).await.unwrap().get(), 7);
    }
    assert_eq!(asked.load(Ordering::SeqCst), 1, "once it failed, it is not asked again for a while");
}

#[tokio::test]
async fn an_endpoint_that_lacks_the_block_is_passed_over() {
    let lacking = |_, body: Value| {
        if body["method"] == "eth_chainId" {
            return each(&body, balance_of_seven);
        }
        let error = json!({"code": -32000, "message": "header not found"});
        json!({"jsonrpc": "2.0", "id": body["id"], "error": error}).to_string().into_response()
    };
    let (behind, _) = stub(lacking).await;
    let (good, _) = stub(|_, body| each(&body, balance_of_seven)).await;
    assert_eq!(buyer_at(&[&behind, &good]).balance(&usdc()).await.unwrap().get(), 7);
    let alone = buyer_at(&[&behind]).balance(&usdc()).await.unwrap_err();
    assert!(alone.to_string().contains("header not found"), "{alone}");
}

#[tokio::test]
async fn a_hanging_endpoint_costs_one_timeout() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let hanging = format!("http://{}", listener.local_addr().unwrap());
    let (good, _) = stub(|_, body| each(&body, balance_of_seven)).await;
    let (buyer, usdc) = (buyer_at(&[&hanging, &good]), usdc());
    let _stopped = stop_clock();
    let hang = async {
        let connection = listener.accept().await.unwrap();
        // Timers are rounded up to a millisecond.
        tokio::time::advance(PATIENCE + Duration::from_millis(1)).await;
        connection
    };
    let (first, _connection) = tokio::join!(buyer.balance(&usdc), hang);
    assert_eq!(first.unwrap().get(), 7);
    for _ in 0..4 {
        tokio::select! {
            next = buyer.balance(&usdc) => assert_eq!(next.unwrap().get(), 7),
            _ = listener.accept() => panic!("it is asked again, at the cost of another timeout"),
        }
    }
}

#[tokio::test]
async fn another_chain_is_excluded_and_named_without_its_key() {
    let (wrong, asked) = stub(|_, body| each(&body, |_| json!("0x1"))).await;
    let error = buyer_at(&[&wrong]).balance(&usdc()).await.unwrap_err().to_string();
    assert!(error.contains("the chain 1 instead of 84532"), "{error}");
    assert!(error.contains("http://127.0.0.1") && !error.contains("SECRETKEY"), "{error}");

    let (good, _) = stub(|_, body| each(&body, balance_of_seven)).await;
    let buyer = buyer_at(&[&wrong, &good]);
    let before = asked.load(Ordering::SeqCst);
    for _ in 0..3 {
        assert_eq!(buyer.balance(&usdc()).await.unwrap().get(), 7);
    }
    assert_eq!(asked.load(Ordering::SeqCst), before + 1, "never asked again");
}

#[tokio::test]
async fn a_limited_rate_is_waited_for() {
    let (limiting, asked) = stub(|count, body| match count {
        0 => (
            StatusCode::TOO_MANY_REQUESTS,
            HeaderMap::from_iter([("retry-after".parse().unwrap(), "1".parse().unwrap())]),
        )
            .into_response(),
        1 => json!({"jsonrpc": "2.0", "id": 0, "error": {"code": -32005, "message": "slow down"}})
            .to_string()
            .into_response(),
        _ => each(&body, balance_of_seven),
    })
    .await;
    let buyer = buyer_at(&[&limiting]);
    let started = Instant::now();
    assert_eq!(buyer.balance(&usdc()).await.unwrap().get(), 7);
    assert_eq!(asked.load(Ordering::SeqCst), 3);
    assert!(started.elapsed() >= Duration::from_secs(1), "Retry-After is honoured");
}

#[tokio::test]
async fn an_endpoint_without_batches_is_asked_one_by_one() {
    let (plain, _) = stub(|_, body| {
        if body.is_array() {
            let error =
                json!({"jsonrpc": "2.0", "id": null, "error": {"code": -32600, "message": "no batches"}});
            return error.to_string().into_response();
        }
        each(&body, balance_of_seven)
    })
    .await;
    assert_eq!(buyer_at(&[&plain]).balance(&usdc()).await.unwrap().get(), 7);
}

#[tokio::test]
async fn an_endless_answer_is_cut_off() {
    let (endless, _) = stub(|_, _| "x".repeat(9 * 1024 * 1024).into_response()).await;
    let error = buyer_at(&[&endless]).balance(&usdc()).await.unwrap_err().to_string();
    assert!(error.contains("more than"), "{error}");
}

#[tokio::test]
async fn a_settlement_survives_a_dead_first_endpoint() {
    let chain = Base::builder().start().await.unwrap();
    chain.mint(accounts::BUYER.address, 100_000).await.unwrap();
    let mut config = config_at("http://127.0.0.1:1");
    config.chains[0].endpoints.push(chain.rpc_url().parse().unwrap());
    let world = World { settler: settler_of(&config), chain, log: Arc::default() };
    transaction(world.settle(&terms(), &world.sign(&terms())).await);
}

#[tokio::test]
async fn without_a_chain_the_settler_says_so_and_sends_nothing() {
    let log = Log::default();
    let world = world(|_| {}).await;
    let signed = world.sign(&terms());
    let settler = settler_of(&config_at("http://127.0.0.1:1"));
    let error = settler.settle(&terms(), &signed.payload, &log).await.unwrap_err();
    assert!(matches!(error, VerifyError::Rail(RailError::Unavailable { .. })), "{error}");
    assert!(log.all().is_empty());
}

#[tokio::test]
async fn a_stuck_transaction_is_replaced_under_the_same_nonce() {
    let world = world(|config| {
        config.stuck_after = Duration::from_millis(500);
        config.max_fee_per_gas_wei = 100_000_000_000;
    })
    .await;
    let (terms, signed) = (terms(), world.sign(&terms()));
    world.chain.stop_mining().await.unwrap();
    let settle = world.settle(&terms, &signed);
    let unblock = async {
        world.until("the first is sent", async || world.log.all().len() == 1).await;
        // Blocks now cost more than the first transaction offers.
        let dear = U256::from(20_000_000_000u64);
        world.chain.rpc("anvil_setNextBlockBaseFeePerGas", json!([dear])).await.unwrap();
        world.chain.mine().await.unwrap();
        world.until("it is replaced", async || world.log.all().len() >= 2).await;
        loop {
            tokio::time::sleep(Duration::from_millis(600)).await;
            world.chain.mine().await.unwrap();
        }
    };
    let settled = tokio::select! {
        settled = settle => settled,
        never = unblock => never,
    };
    let hash = transaction(settled);
    let sent = world.log.all();
    assert!(sent.len() >= 2 && sent.iter().all(|one| one.nonce == 0 && one.payments == [signed.key.clone()]));
    assert_ne!(hash, sent[0].transaction, "not the first");
    assert!(sent.iter().any(|one| one.transaction == hash), "a recorded one");
    assert_eq!(world.paid().await, PRICE);
}

#[tokio::test]
async fn what_is_not_mined_in_time_is_pending_and_then_found() {
    let world = world(|config| config.receipt_wait = Duration::from_secs(2)).await;
    let (terms, signed) = (terms(), world.sign(&terms()));
    world.chain.stop_mining().await.unwrap();
    let Ok(Settlement::Pending { transaction: hash, payer }) = world.settle(&terms, &signed).await else {
        panic!()
    };
    assert_eq!((hash.clone(), payer), (world.log.all()[0].transaction.clone(), signed.payer.clone()));
    let again = world.settle(&terms, &signed).await;
    assert!(
        matches!(&again, Ok(Settlement::Pending { transaction, .. }) if *transaction == hash),
        "{again:?}"
    );
    let sent = world.log.all();
    let outcome = world.settler.outcome(&terms, &signed.payload, &sent).await.unwrap();
    assert!(matches!(outcome, Settlement::Pending { .. }), "{outcome:?}");
    world.chain.mine().await.unwrap();
    let outcome = world.settler.outcome(&terms, &signed.payload, &sent).await;
    assert_eq!(transaction(outcome.map_err(VerifyError::Rail)), hash);
    assert_eq!((world.log.all().len(), world.paid().await), (1, PRICE), "sent once");
}

/// A settler that sent payments and died; a new one on the same chain.
async fn crashed() -> (World, Vec<farthing_rail::SignedPayment>, Arc<farthing_rail_evm::EvmSettler>) {
    let world = world(|config| config.gather = Duration::ZERO).await;
    world.chain.stop_mining().await.unwrap();
    let (terms, signed) = (terms(), (0..3).map(|_| world.sign(&terms())).collect::<Vec<_>>());
    for (before, one) in signed.iter().enumerate() {
        tokio::select! {
            settled = world.settle(&terms, one) => panic!("nothing is mined: {settled:?}"),
            () = world.until_sent(before + 1) => {}
        }
    }
    let next = settler_of(&config_at(world.chain.rpc_url()));
    (world, signed, next)
}

#[tokio::test]
async fn a_restarted_settler_takes_its_transactions_up_again() {
    let (world, signed, next) = crashed().await;
    let sent = world.log.all();
    for one in &sent {
        world.chain.drop_transaction(one.transaction.parse().unwrap()).await.unwrap();
    }
    next.resume(sent.clone(), world.log.clone()).await.unwrap();
    // A new payment takes the nonce after those of the earlier process, and an old one is not sent again.
    let fresh = world.sign(&terms());
    let terms = terms();
    let settle = async {
        tokio::join!(
            next.settle(&terms, &fresh.payload, &*world.log),
            next.settle(&terms, &signed[0].payload, &*world.log)
        )
    };
    let mine = async {
        world.until_sent(sent.len() + 1).await;
        world.chain.mine().await.unwrap();
    };
    let ((new, old), ()) = tokio::join!(settle, mine);
    let used = world.log.all();
    assert_eq!(transaction(new), used[sent.len()].transaction);
    assert_eq!(used[sent.len()].nonce, sent.last().unwrap().nonce + 1);
    assert_eq!(transaction(old), sent[0].transaction);
    for (one, broadcast) in signed.iter().zip(&sent) {
        let outcome = next.outcome(&terms, &one.payload, std::slice::from_ref(broadcast)).await;
        transaction(outcome.map_err(VerifyError::Rail));
    }
    assert_eq!(world.paid().await, 4 * PRICE);
}

#[tokio::test]
async fn a_broken_record_is_not_taken_up() {
    let (world, _, next) = crashed().await;
    let mut broken: Broadcast = world.log.all()[0].clone();
    broken.nonce += 1;
    assert!(matches!(next.resume(vec![broken], world.log.clone()).await, Err(RailError::Configuration(_))));
}

#[tokio::test]
async fn a_payment_redeemed_by_somebody_else_is_confirmed_with_their_transaction() {
    let world = world(|_| {}).await;
    let (terms, signed) = (terms(), world.sign(&terms()));
    world.chain.stop_mining().await.unwrap();
    let settle = world.settle(&terms, &signed);
    let overtake = async {
        world.until_sent(1).await;
        let ours: Bytes = world.log.all()[0].raw.parse().unwrap();
        let ours_hash = world.log.all()[0].transaction.parse().unwrap();
        assert!(world.chain.drop_transaction(ours_hash).await.unwrap());
        let theirs = world.redeem_as_stranger(accounts::BUYER).await;
        world.chain.mine().await.unwrap();
        world.chain.rpc("eth_sendRawTransaction", json!([ours])).await.unwrap();
        world.chain.mine().await.unwrap();
        theirs
    };
    let (settled, theirs) = tokio::join!(settle, overtake);
    assert_eq!(transaction(settled), theirs.to_string());
    assert_eq!(world.paid().await, PRICE);
}

#[tokio::test]
async fn a_payer_who_turns_into_a_gas_burner_harms_nobody_else() {
    let world = world(|_| {}).await;
    world.chain.mint(accounts::BUYER_2.address, 100_000).await.unwrap();
    let terms = terms();
    let evil = world.sign_as(accounts::BUYER_2, &terms);
    let good: Vec<_> = (0..6).map(|_| world.sign(&terms)).collect();
    let opener = world.sign(&terms);
    world.chain.stop_mining().await.unwrap();
    let settle = async {
        let opener = world.settle(&terms, &opener);
        let rest = async {
            world.until("the first is out", async || world.log.all().len() == 1).await;
            let all = [&evil].into_iter().chain(&good);
            futures::future::join_all(all.map(|one| world.settle(&terms, one))).await
        };
        tokio::join!(opener, rest)
    };
    let turn = async {
        world.until_paid_out(8).await;
        let burner = farthing_devnet::contracts::GAS_BURNER_WALLET.runtime;
        world.chain.set_code(accounts::BUYER_2.address, burner).await.unwrap();
        world.chain.start_mining().await.unwrap();
        world.chain.mine().await.unwrap();
    };
    let ((opener, rest), ()) = tokio::join!(settle, turn);
    transaction(opener);
    let mut rest = rest.into_iter();
    let evil = rest.next().unwrap();
    assert!(matches!(&evil, Ok(Settlement::Failed { .. })), "{evil:?}");
    rest.for_each(|one| drop(transaction(one)));
    assert_eq!(world.paid().await, 7 * PRICE);
}

#[tokio::test]
async fn a_nonce_that_somebody_else_took_is_given_up_and_the_payment_sent_anew() {
    // A replacement would have the nonce too.
    let world = world(|config| config.stuck_after = Duration::from_secs(60)).await;
    let (terms, signed) = (terms(), world.sign(&terms()));
    world.chain.stop_mining().await.unwrap();
    let settle = world.settle(&terms, &signed);
    let take = async {
        world.until_sent(1).await;
        assert!(world.chain.drop_transaction(world.log.all()[0].transaction.parse().unwrap()).await.unwrap());
        let foreign =
            world.chain.submit(accounts::FACILITATOR.address, Some(accounts::PAYEE.address), Bytes::new());
        foreign.await.unwrap();
        world.chain.start_mining().await.unwrap();
        world.chain.mine().await.unwrap();
    };
    let (settled, ()) = tokio::join!(settle, take);
    let (hash, sent) = (transaction(settled), world.log.all());
    assert_eq!((sent[0].nonce, sent.last().unwrap().nonce, world.paid().await), (0, 1, PRICE));
    assert_eq!(sent.last().unwrap().transaction, hash);
}

#[tokio::test]
async fn an_expired_payment_that_was_never_sent_ends() {
    let world = world(|_| {}).await;
    let (terms, signed) = (terms(), world.sign(&terms()));
    let early = world.settler.outcome(&terms, &signed.payload, &[]).await;
    assert!(matches!(early, Err(RailError::Unavailable { .. })), "{early:?}");
    world.chain.increase_time_s(600).await.unwrap();
    match world.settler.outcome(&terms, &signed.payload, &[]).await.unwrap() {
        Settlement::Failed { reason, .. } => {
            assert_eq!(reason.as_str(), "invalid_exact_evm_payload_authorization_valid_before");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn who_waits_for_company_is_sent_however_short_the_wait_for_receipts() {
    let world = world(|config| {
        config.receipt_wait = Duration::from_millis(1);
        config.gather = Duration::from_secs(3);
    })
    .await;
    world.chain.stop_mining().await.unwrap();
    let (terms, opener, next) = (terms(), world.sign(&terms()), world.sign(&terms()));
    for one in [&opener, &next] {
        let settled = world.settle(&terms, one).await;
        assert!(matches!(settled, Ok(Settlement::Pending { .. })), "{settled:?}");
    }
    assert_eq!(world.log.all().len(), 2);
}

#[tokio::test]
async fn a_full_queue_says_busy() {
    let world = world(|config| {
        config.max_waiting = 2;
        config.max_in_flight = 1;
        config.receipt_wait = Duration::from_secs(2);
        config.batch_size = 1;
    })
    .await;
    world.chain.stop_mining().await.unwrap();
    let signed: Vec<_> = (0..12).map(|_| world.sign(&terms())).collect();
    let terms = terms();
    let all = futures::future::join_all(signed.iter().map(|one| world.settle(&terms, one))).await;
    let busy = all.iter().filter(|one| matches!(one, Err(e) if e.to_string().contains("busy"))).count();
    let pending = all.iter().filter(|one| matches!(one, Ok(Settlement::Pending { .. }))).count();
    assert_eq!((busy, pending, world.log.all().len()), (11, 1, 1), "{all:?}");
}

#[tokio::test]
async fn a_signer_without_ether_is_an_error_and_keeps_its_nonce() {
    let world = world(|_| {}).await;
    let signer = accounts::FACILITATOR.address;
    let had = world.chain.eth_balance_of(signer).await.unwrap();
    world.chain.set_eth_balance(signer, U256::ZERO).await.unwrap();
    let (terms, signed) = (terms(), world.sign(&terms()));
    let error = world.settle(&terms, &signed).await.unwrap_err();
    assert!(matches!(error, VerifyError::Rail(_)), "{error}");
    world.chain.set_eth_balance(signer, had).await.unwrap();
    transaction(world.settle(&terms, &signed).await);
    assert_eq!(world.log.all().last().unwrap().nonce, 0);
}
