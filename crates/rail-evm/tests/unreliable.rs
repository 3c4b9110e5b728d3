//! A real chain behind an endpoint that fails, lies, stalls and reorders: what is said, what is kept, what is paid.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests and their helpers")]

mod support;

use std::time::{Duration, Instant};

use alloy_primitives::U256;
use farthing_devnet::accounts;
use farthing_devnet::faulty::{Fault, FaultyRpc, Rule};
use farthing_rail::{Payer, RailError, Settlement, Settler, VerifyError};
use farthing_rail_evm::{ChainConfig, EvmPayer, SettlerConfig};
use serde_json::{Value, json};
use support::*;

const SEND: &str = "eth_sendRawTransaction";
const RECEIPT: &str = "eth_getTransactionReceipt";

/// How long one request is waited for: long enough for an answer on a busy machine.
const PATIENCE: Duration = Duration::from_secs(5);

/// The same where the test has to wait as long.
const SHORT: Duration = Duration::from_secs(2);

/// A network at these endpoints, with times made for tests.
fn quick(urls: &[&str]) -> ChainConfig {
    let endpoints = urls.iter().map(|url| url.parse().unwrap()).collect();
    let block_time = Duration::from_millis(200);
    ChainConfig { request_timeout: PATIENCE, block_time, ..ChainConfig::new(network(), endpoints) }
}

/// A settler behind one such endpoint.
async fn behind(change: impl FnOnce(&mut SettlerConfig)) -> (World, FaultyRpc) {
    let mut world = world(|_| {}).await;
    let rpc = FaultyRpc::before(world.chain.rpc_url()).await.unwrap();
    let mut config = SettlerConfig::new(vec![quick(&[&rpc.url()])], secret(accounts::FACILITATOR));
    config.stuck_after = Duration::from_millis(1500);
    config.receipt_wait = Duration::from_secs(30);
    change(&mut config);
    world.settler = settler_of(&config);
    (world, rpc)
}

fn buyer(urls: &[&str], patience: Duration) -> EvmPayer {
    let chain = ChainConfig { request_timeout: patience, ..quick(urls) };
    EvmPayer::new(secret(accounts::BUYER), &[chain], &entropy()).unwrap()
}

/// How long an endpoint with this fault is waited for. Who says when to come back is waited for as well.
fn patience(fault: &Fault) -> Duration {
    let is_waited_for = matches!(
        fault,
        Fault::Hang | Fault::HangAfter | Fault::Slow(_) | Fault::Http { retry_after_s: Some(_), .. }
    );
    if is_waited_for { SHORT } else { PATIENCE }
}

/// Checks every silence: first those that are soon over, so that their work takes no time from the others.
async fn each_silence(check: impl AsyncFn(Fault, &'static str)) {
    let (short, other): (Vec<_>, Vec<_>) =
        silences().into_iter().partition(|(fault, _)| patience(fault) == SHORT);
    for some in [other, short] {
        futures::future::join_all(some.into_iter().map(|(fault, word)| check(fault, word))).await;
    }
}

/// Every way of giving no answer, and a word that has to be in the error.
fn silences() -> Vec<(Fault, &'static str)> {
    let limited = |retry_after_s| Fault::Http { status: 429, retry_after_s, body: "slow down" };
    vec![
        (Fault::Hang, "no answer in"),
        (Fault::HangAfter, "no answer in"),
        (Fault::Slow(2 * SHORT), "no answer in"),
        (Fault::ResetBefore, "reset"),
        (Fault::ResetAfter, "reset"),
        (limited(None), "too many requests"),
        (limited(Some(3600)), "too many requests"),
        (Fault::page(500), "HTTP status 500"),
        (Fault::page(502), "HTTP status 502"),
        (Fault::page(403), "HTTP status 403"),
        (Fault::page(200), "not an answer in JSON-RPC"),
        (Fault::Truncated, "not an answer in JSON-RPC"),
        (Fault::Broken, "body"),
        (Fault::Oversized(9 * 1024 * 1024), "more than"),
        (Fault::WrongIds, "id"),
        (Fault::error(-32005, "daily request count exceeded"), "too many requests"),
        (Fault::error(429, "compute units per second capacity"), "too many requests"),
        (Fault::OneError(json!({"code": -32005, "message": "limit"})), "too many requests"),
        (Fault::OneError(json!({"code": -32603, "message": "internal error"})), "internal error"),
        (Fault::error(-32000, "header not found"), "header not found"),
    ]
}

#[tokio::test]
async fn every_silence_names_network_and_endpoint_and_ends() {
    let world = world(|_| {}).await;
    each_silence(async |fault, word| {
        let rpc = FaultyRpc::before(world.chain.rpc_url()).await.unwrap();
        let buyer = buyer(&[&rpc.url()], patience(&fault));
        // Before it ever answered, and after it did: the chain id is asked along with the first question.
        for round in 0..2 {
            rpc.add(Rule::always(fault.clone()));
            let error = buyer.balance(&usdc()).await.unwrap_err().to_string();
            let host = rpc.url().trim_end_matches("/v2/SECRETKEY").to_owned();
            for part in ["eip155:84532", &host, word] {
                assert!(error.contains(part), "{fault:?}, round {round}, lacks {part}: {error}");
            }
            assert!(!error.contains("SECRETKEY"), "{fault:?}: {error}");
            rpc.heal();
            assert_eq!(buyer.balance(&usdc()).await.unwrap().get(), 100_000_000, "{fault:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_second_endpoint_stands_in_for_every_silence() {
    let world = world(|_| {}).await;
    each_silence(async |fault, _| {
        let rpc = FaultyRpc::before(world.chain.rpc_url()).await.unwrap();
        rpc.add(Rule::always(fault.clone()));
        let buyer = buyer(&[&rpc.url(), world.chain.rpc_url()], patience(&fault));
        let balance = buyer.balance(&usdc()).await;
        assert_eq!(balance.unwrap_or_else(|error| panic!("{fault:?}: {error}")).get(), 100_000_000);
    })
    .await;
}

#[tokio::test]
async fn batches_may_come_back_in_any_order_but_not_in_part() {
    for fault in [Fault::Reversed, Fault::Partial, Fault::OneError(json!({"code": -32600, "message": "no"}))]
    {
        let (world, rpc) = behind(|_| {}).await;
        rpc.add(Rule::always(fault.clone()).times(3));
        let settled = world.settle(&terms(), &world.sign(&terms())).await;
        assert!(matches!(settled, Ok(Settlement::Confirmed { .. })), "{fault:?}: {settled:?}");
        assert_eq!(world.paid().await, PRICE, "{fault:?}");
    }
}

/// Settles under a fault, heals, and settles the same payment again: it must be confirmed and paid once.
async fn settle_through(fault: Fault, on: &'static str, times: usize) {
    let (world, rpc) = behind(|config| config.chains[0].request_timeout = patience(&fault)).await;
    let (terms, signed) = (terms(), world.sign(&terms()));
    rpc.add(Rule::on(on, fault.clone()).times(times));
    let first = world.settle(&terms, &signed).await;
    if matches!(first, Ok(Settlement::Confirmed { .. })) {
        assert_eq!(world.paid().await, PRICE, "{fault:?}: confirmed what is not on the chain");
    }
    assert!(!matches!(first, Ok(Settlement::Failed { .. })), "{fault:?} on {on}: {first:?}");
    assert!(!format!("{first:?}").contains("SECRETKEY"), "{first:?}");
    rpc.heal();
    if !matches!(first, Ok(Settlement::Confirmed { .. })) {
        let again = world.settle(&terms, &signed).await;
        let outcome = world.settler.outcome(&terms, &signed.payload, &world.log.all()).await;
        assert!(
            matches!(outcome, Ok(Settlement::Confirmed { .. })),
            "{fault:?} on {on}: {first:?}, then {again:?}, then {outcome:?}"
        );
    }
    assert_eq!(world.paid().await, PRICE, "{fault:?} on {on}");
    // The lane still works, and its nonces have no gap.
    transaction(world.settle(&terms, &world.sign(&terms)).await);
}

#[tokio::test]
async fn whatever_happens_to_the_sending_it_is_paid_once() {
    let refusals = [
        "already known",
        "nonce too low",
        "replacement transaction underpriced",
        "transaction underpriced",
        "max fee per gas less than block base fee",
        "insufficient funds for gas * price + value",
        "txpool is full",
    ];
    let mut faults: Vec<Fault> = silences().into_iter().map(|(fault, _)| fault).collect();
    faults.extend(refusals.map(|words| Fault::error(-32000, words)));
    let all = faults.into_iter().map(|fault| settle_through(fault, SEND, 1));
    let all: Vec<_> = all.collect();
    // A few chains at a time.
    futures::StreamExt::collect::<Vec<()>>(futures::StreamExt::buffer_unordered(
        futures::stream::iter(all),
        4,
    ))
    .await;
}

#[tokio::test]
async fn whatever_happens_to_the_receipt_it_is_paid_once() {
    let mut faults: Vec<Fault> = silences().into_iter().map(|(fault, _)| fault).collect();
    faults.push(Fault::lie(|_, _| Value::Null));
    faults.push(Fault::Behind(1));
    let all: Vec<_> = faults.into_iter().map(|fault| settle_through(fault, RECEIPT, 2)).collect();
    futures::StreamExt::collect::<Vec<()>>(futures::StreamExt::buffer_unordered(
        futures::stream::iter(all),
        4,
    ))
    .await;
}

#[tokio::test]
async fn two_endpoints_and_a_lost_answer_send_one_transaction() {
    let mut world = world(|_| {}).await;
    let rpc = FaultyRpc::before(world.chain.rpc_url()).await.unwrap();
    let chain = ChainConfig { request_timeout: SHORT, ..quick(&[&rpc.url(), world.chain.rpc_url()]) };
    world.settler = settler_of(&SettlerConfig::new(vec![chain], secret(accounts::FACILITATOR)));
    for fault in [Fault::ResetAfter, Fault::HangAfter, Fault::Truncated, Fault::Broken] {
        let before = world.log.all().len();
        rpc.heal();
        rpc.add(Rule::on(SEND, fault.clone()));
        // Without the penalty of the last failure it is asked first again.
        let hash = transaction(world.settle(&terms(), &world.sign(&terms())).await);
        let sent = world.log.all();
        assert_eq!(sent.len(), before + 1, "{fault:?}: one transaction");
        assert_eq!(sent[before].transaction, hash);
    }
    assert_eq!(world.paid().await, 4 * PRICE);
}

#[tokio::test]
async fn a_receipt_that_contradicts_the_chain_ends_nothing() {
    let (world, rpc) = behind(|config| config.receipt_wait = Duration::from_secs(2)).await;
    let (terms, signed) = (terms(), world.sign(&terms()));
    rpc.add(Rule::on(
        RECEIPT,
        Fault::lie(|_, mut receipt| {
            if receipt.is_object() {
                receipt["status"] = json!("0x0");
                receipt["logs"] = json!([]);
            }
            receipt
        }),
    ));
    let settled = world.settle(&terms, &signed).await;
    assert!(matches!(settled, Ok(Settlement::Pending { .. })), "it was paid: {settled:?}");
    let outcome = world.settler.outcome(&terms, &signed.payload, &world.log.all()).await;
    assert!(!matches!(outcome, Ok(Settlement::Failed { .. } | Settlement::Confirmed { .. })), "{outcome:?}");
    rpc.heal();
    let outcome = world.settler.outcome(&terms, &signed.payload, &world.log.all()).await;
    transaction(outcome.map_err(VerifyError::Rail));
    assert_eq!(world.paid().await, PRICE);
}

#[tokio::test]
async fn a_simulation_that_lies_settles_nothing() {
    let (world, rpc) = behind(|_| {}).await;
    let (terms, signed) = (terms(), world.sign(&terms()));
    world.chain.set_balance(accounts::BUYER.address, 1).await.unwrap();
    rpc.add(Rule::on("eth_call", Fault::lie(|_, _| json!("0x"))).times(1));
    let settled = world.settle(&terms, &signed).await;
    assert!(!matches!(settled, Ok(Settlement::Confirmed { .. })), "{settled:?}");
    assert_eq!(world.paid().await, 0);
}

#[tokio::test]
async fn an_endpoint_that_turns_into_another_chain_is_found_out_and_comes_back() {
    let world = world(|_| {}).await;
    let rpc = FaultyRpc::before(world.chain.rpc_url()).await.unwrap();
    let buyer = buyer(&[&rpc.url()], PATIENCE);
    assert_eq!(buyer.balance(&usdc()).await.unwrap().get(), 100_000_000);
    // It goes away and comes back as something else, as when a provider or an operator mixes up two nodes.
    rpc.add(Rule::always(Fault::page(502)));
    buyer.balance(&usdc()).await.unwrap_err();
    rpc.heal();
    rpc.add(Rule::on("eth_chainId", Fault::lie(|_, _| json!("0x2105"))));
    let error = buyer.balance(&usdc()).await.unwrap_err().to_string();
    assert!(error.contains("the chain 8453 instead of 84532"), "{error}");
    rpc.heal();
    assert_eq!(buyer.balance(&usdc()).await.unwrap().get(), 100_000_000);
}

#[tokio::test]
async fn a_stale_nonce_of_a_lagging_endpoint_is_waited_for() {
    let (world, rpc) = behind(|_| {}).await;
    let terms = terms();
    transaction(world.settle(&terms, &world.sign(&terms)).await);
    // Another process of the same signer starts and asks a node that has not got the last block.
    let next = settler_of(&SettlerConfig::new(vec![quick(&[&rpc.url()])], secret(accounts::FACILITATOR)));
    rpc.add(Rule::on("eth_getTransactionCount", Fault::Behind(1)).times(2));
    let signed = world.sign(&terms);
    transaction(next.settle(&terms, &signed.payload, &*world.log).await);
    assert_eq!(world.paid().await, 2 * PRICE);
}

#[tokio::test]
async fn gas_above_the_cap_sends_nothing_and_below_it_works_again() {
    let (world, rpc) = behind(|_| {}).await;
    let dear = |_: &Value, mut history: Value| {
        let fees = history["baseFeePerGas"].as_array_mut().unwrap();
        *fees.last_mut().unwrap() = json!("0x174876e800");
        history
    };
    rpc.add(Rule::on("eth_feeHistory", Fault::lie(dear)));
    let (terms, signed) = (terms(), world.sign(&terms()));
    let error = world.settle(&terms, &signed).await.unwrap_err().to_string();
    assert!(error.contains("above the cap") && error.contains("nothing was sent"), "{error}");
    assert!(world.log.all().is_empty());
    rpc.heal();
    tokio::time::sleep(Duration::from_millis(250)).await;
    transaction(world.settle(&terms, &signed).await);
}

#[tokio::test]
async fn a_stuck_transaction_stops_at_the_fee_cap() {
    let (world, _rpc) = behind(|config| {
        config.stuck_after = Duration::from_millis(200);
        config.max_fee_per_gas_wei = 6_000_000_000;
        config.receipt_wait = Duration::from_secs(2);
    })
    .await;
    world.chain.stop_mining().await.unwrap();
    let (terms, signed) = (terms(), world.sign(&terms()));
    let settled = world.settle(&terms, &signed).await;
    assert!(matches!(settled, Ok(Settlement::Pending { .. })), "{settled:?}");
    for sent in world.log.all() {
        assert_eq!((sent.nonce, sent.payments.len()), (0, 1));
        let pool = world.chain.rpc("eth_getTransactionByHash", json!([sent.transaction])).await.unwrap();
        if let Some(fee) = pool["maxFeePerGas"].as_str() {
            assert!(fee.parse::<U256>().unwrap() <= U256::from(6_000_000_000u64), "{fee}");
        }
    }
    world.chain.start_mining().await.unwrap();
    world.chain.mine().await.unwrap();
    let outcome = world.settler.outcome(&terms, &signed.payload, &world.log.all()).await;
    transaction(outcome.map_err(VerifyError::Rail));
    assert_eq!(world.paid().await, PRICE);
}

/// Takes the last block away, with what is in it; the pool does not get it back.
async fn lose_last_block(world: &World) {
    world.chain.rpc("anvil_reorg", json!([1, []])).await.unwrap();
}

#[tokio::test]
async fn a_payment_that_a_reorganisation_took_away_is_paid_again_by_the_same_bytes() {
    let (world, rpc) = behind(|_| {}).await;
    let terms = terms();
    transaction(world.settle(&terms, &world.sign(&terms)).await);
    let hash = transaction(world.settle(&terms, &world.sign(&terms)).await);
    assert_eq!(world.paid().await, 2 * PRICE);
    // The settler does not see it before we did.
    rpc.add(Rule::always(Fault::page(503)));
    lose_last_block(&world).await;
    assert_eq!(world.paid().await, PRICE, "the second is gone");
    rpc.heal();
    world.until("it is paid again", async || world.paid().await == 2 * PRICE).await;
    assert_eq!(world.log.all().len(), 2, "no new transaction");
    assert!(world.chain.receipt(hash.parse().unwrap()).await.unwrap().unwrap().succeeded());
    transaction(world.settle(&terms, &world.sign(&terms)).await);
    assert_eq!(world.log.all()[2].nonce, 2, "its nonce was not given to another");
}

#[tokio::test]
async fn a_payment_after_a_reorganisation_does_not_take_the_lost_ones_nonce() {
    let (world, _rpc) = behind(|_| {}).await;
    let terms = terms();
    transaction(world.settle(&terms, &world.sign(&terms)).await);
    lose_last_block(&world).await;
    let (first, second) = (world.sign(&terms), world.sign(&terms));
    let both = tokio::join!(world.settle(&terms, &first), world.settle(&terms, &second));
    transaction(both.0);
    transaction(both.1);
    assert_eq!(world.paid().await, 3 * PRICE);
}

/// Waits until the endpoint has been asked so many times more.
async fn more_calls(world: &World, rpc: &FaultyRpc, method: &str, more: usize) {
    let before = rpc.calls(method).len();
    world.until("it is asked", async || rpc.calls(method).len() >= before + more).await;
}

/// A lagging node does not make a transaction stuck that has been in a block for longer than that takes.
#[tokio::test]
async fn a_receipt_that_is_missing_once_replaces_nothing() {
    let stuck_after = Duration::from_secs(600);
    let (world, rpc) = behind(|config| {
        config.confirmations = 3;
        (config.stuck_after, config.receipt_wait) = (stuck_after, 2 * stuck_after);
        config.max_fee_per_gas_wei = 100_000_000_000;
        // Nor is it given up, as its nonce is used.
        config.chains[0].block_time = Duration::from_secs(30);
    })
    .await;
    let (terms, signed) = (terms(), world.sign(&terms()));
    let lag = async {
        more_calls(&world, &rpc, "eth_blockNumber", 2).await;
        rpc.add(Rule::on(RECEIPT, Fault::lie(|_, _| Value::Null)));
        tokio::time::pause();
        tokio::time::advance(stuck_after).await;
        tokio::time::resume();
        world.until("it is offered again", async || rpc.calls(SEND).len() >= 2).await;
        rpc.heal();
        // The next look begins after all that this one does.
        more_calls(&world, &rpc, RECEIPT, 1).await;
        assert_eq!(world.log.all().len(), 1, "no dearer one");
        world.chain.mine().await.unwrap();
        world.chain.mine().await.unwrap();
    };
    let (settled, ()) = tokio::join!(world.settle(&terms, &signed), lag);
    assert_eq!(transaction(settled), world.log.all()[0].transaction);
}

#[tokio::test]
async fn a_settlement_waits_for_its_confirmations() {
    let (world, rpc) = behind(|config| {
        config.confirmations = 3;
        // No replacement while its block is lost.
        (config.stuck_after, config.receipt_wait) = (Duration::from_secs(60), Duration::from_secs(60));
    })
    .await;
    let (terms, signed) = (terms(), world.sign(&terms()));
    let settle = world.settle(&terms, &signed);
    let mine = async {
        let looks = async |more: usize| more_calls(&world, &rpc, "eth_blockNumber", more).await;
        looks(3).await;
        let outcome = world.settler.outcome(&terms, &signed.payload, &world.log.all()).await;
        assert!(matches!(outcome, Ok(Settlement::Pending { .. })), "in one block only: {outcome:?}");
        lose_last_block(&world).await;
        world.until("it is sent again", async || world.paid().await == PRICE).await;
        world.chain.mine().await.unwrap();
        looks(3).await;
        assert_eq!(world.log.all().len(), 1);
        world.chain.mine().await.unwrap();
    };
    let (settled, ()) = tokio::join!(settle, mine);
    let hash = transaction(settled);
    let outcome = world.settler.outcome(&terms, &signed.payload, &world.log.all()).await;
    assert_eq!(transaction(outcome.map_err(VerifyError::Rail)), hash);
}

#[tokio::test]
async fn a_stuck_transaction_is_replaced_also_when_nobody_waits() {
    let (world, _rpc) = behind(|config| {
        config.receipt_wait = Duration::from_millis(300);
        config.stuck_after = Duration::from_millis(600);
        config.max_fee_per_gas_wei = 100_000_000_000;
    })
    .await;
    world.settler.resume(Vec::new(), world.log.clone()).await.unwrap();
    world.chain.stop_mining().await.unwrap();
    let settled = world.settle(&terms(), &world.sign(&terms())).await;
    assert!(matches!(settled, Ok(Settlement::Pending { .. })), "its caller is gone: {settled:?}");
    world.until("it is replaced", async || world.log.all().len() >= 2).await;
    world.chain.start_mining().await.unwrap();
    world.chain.mine().await.unwrap();
    assert_eq!(world.paid().await, PRICE);
    let sent = world.log.all();
    assert!(sent.iter().all(|one| one.nonce == 0 && one.payments == sent[0].payments));
}

#[tokio::test]
async fn a_dead_endpoint_costs_no_more_than_its_bound() {
    let (world, rpc) = behind(|config| config.chains[0].request_timeout = SHORT).await;
    rpc.add(Rule::always(Fault::Hang));
    let started = Instant::now();
    let error = world.settle(&terms(), &world.sign(&terms())).await.unwrap_err();
    assert!(matches!(error, VerifyError::Rail(RailError::Unavailable { .. })), "{error}");
    // Three times as long for one question; the rest is the machine's.
    assert!(started.elapsed() < 10 * SHORT, "{:?}", started.elapsed());
    assert!(world.log.all().is_empty(), "nothing was recorded as sent");
}
