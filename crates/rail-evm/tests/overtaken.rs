//! Payments that others overtake between verification and settlement: cancelled by the payer, redeemed by a stranger.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests and their helpers")]

mod support;

use std::time::Duration;

use alloy_primitives::{B256, Bytes};
use farthing_devnet::faulty::{Fault, FaultyRpc, Rule};
use farthing_devnet::{MULTICALL3, accounts};
use farthing_rail::{RailError, Settlement, Settler, SignedPayment, VerifyError};
use farthing_rail_evm::SettlerConfig;
use serde_json::{Value, json};
use support::*;

const SEND: &str = "eth_sendRawTransaction";
const RECEIPT: &str = "eth_getTransactionReceipt";

/// A settler behind an endpoint that keeps what it is to send to itself, so that a test can send it when it likes.
async fn withholding(change: impl FnOnce(&mut SettlerConfig)) -> (World, FaultyRpc) {
    let mut world = world(|_| {}).await;
    let rpc = FaultyRpc::before(world.chain.rpc_url()).await.unwrap();
    // To a settler this means that the chain has it.
    rpc.add(Rule::on(SEND, Fault::error(-32000, "already known")));
    let mut config = config_at(&rpc.url());
    change(&mut config);
    world.settler = settler_of(&config);
    (world, rpc)
}

impl World {
    async fn until_recorded(&self, transactions: usize) {
        self.until("ours are recorded", async || self.log.all().len() == transactions).await;
    }

    /// Puts the transactions that were withheld into blocks. Tells whether the last one succeeded.
    async fn send_withheld(&self) -> bool {
        let mut succeeded = false;
        for sent in self.log.all() {
            self.chain.rpc(SEND, json!([sent.raw])).await.unwrap();
            let receipt = self.chain.wait_for(sent.transaction.parse().unwrap()).await.unwrap();
            succeeded = receipt.succeeded();
        }
        succeeded
    }

    async fn outcome(&self, signed: &SignedPayment) -> Result<Settlement, RailError> {
        self.settler.outcome(&terms(), &signed.payload, &self.log.all()).await
    }
}

#[track_caller]
fn is_cancelled(settlement: &Settlement) {
    match settlement {
        Settlement::Failed { reason, message, .. } => {
            assert_eq!(reason.as_str(), "invalid_exact_evm_nonce_already_used");
            assert!(message.contains("cancelled"), "{message}");
        }
        other => panic!("{other:?}"),
    }
}

/// Known attacks, "drain or cancel between verify and settle".
#[tokio::test]
async fn a_payment_cancelled_before_it_settles_fails() {
    let world = world(|_| {}).await;
    let (terms, signed) = (terms(), world.sign(&terms()));
    world.settler.verify(&terms, &signed.payload).await.unwrap();
    world.cancel(&signed).await;
    assert_eq!(code(world.settle(&terms, &signed).await), "invalid_exact_evm_nonce_already_used");
    is_cancelled(&world.outcome(&signed).await.unwrap());
    assert_eq!((world.log.all().len(), world.paid().await), (0, 0), "nothing was sent");
}

/// Known attacks, "drain or cancel between verify and settle": canceled when it was on its way.
#[tokio::test]
async fn a_cancellation_mined_before_our_transaction_fails_the_payment() {
    let (world, _rpc) = withholding(|_| {}).await;
    let (terms, signed) = (terms(), world.sign(&terms()));
    let cancel = async {
        world.until_recorded(1).await;
        world.cancel(&signed).await;
        assert!(!world.send_withheld().await, "ours comes too late");
    };
    let (settled, ()) = tokio::join!(world.settle(&terms, &signed), cancel);
    is_cancelled(&settled.unwrap());
    is_cancelled(&world.outcome(&signed).await.unwrap());
    assert_eq!((world.log.all().len(), world.paid().await), (1, 0));
}

/// As before, and our transaction can never be mined.
#[tokio::test]
async fn a_cancellation_is_found_where_our_transaction_never_lands() {
    let (world, _rpc) = withholding(|_| {}).await;
    let (terms, signed) = (terms(), world.sign(&terms()));
    let cancel = async {
        world.until_recorded(1).await;
        world.cancel(&signed).await;
        let (signer, anybody) = (accounts::FACILITATOR.address, Some(accounts::PAYEE.address));
        world.chain.submit(signer, anybody, Bytes::new()).await.unwrap();
    };
    let (settled, ()) = tokio::join!(world.settle(&terms, &signed), cancel);
    is_cancelled(&settled.unwrap());
    assert_eq!((world.log.all().len(), world.paid().await), (1, 0));
}

/// Settles a payment that a stranger redeems first, while `late` is true of the endpoint's view of the token. Returns
/// the stranger's transaction too.
async fn overtaken(
    world: &World,
    rpc: &FaultyRpc,
    signed: &SignedPayment,
    late: Fault,
) -> (Settlement, B256) {
    let overtake = async {
        world.until_recorded(1).await;
        rpc.add(Rule::on("eth_call", late));
        let theirs = world.redeem_as_stranger(accounts::BUYER).await;
        world.chain.wait_for(theirs).await.unwrap();
        assert!(!world.send_withheld().await, "ours comes too late");
        theirs
    };
    let terms = terms();
    let (settled, theirs) = tokio::join!(world.settle(&terms, signed), overtake);
    (settled.unwrap(), theirs)
}

#[tokio::test]
async fn an_endpoint_that_is_behind_fails_no_payment() {
    let (world, rpc) = withholding(|_| {}).await;
    let signed = world.sign(&terms());
    // Receipts come from a node that is up to date, the token's state from one without the last two blocks.
    let (settled, theirs) = overtaken(&world, &rpc, &signed, Fault::Behind(2)).await;
    assert!(matches!(settled, Settlement::Pending { .. }), "the payee was paid: {settled:?}");
    let outcome = world.outcome(&signed).await;
    assert!(matches!(outcome, Err(RailError::Unavailable { .. })), "nobody can tell yet: {outcome:?}");
    rpc.heal();
    let outcome = world.outcome(&signed).await;
    assert_eq!(transaction(outcome.map_err(VerifyError::Rail)), theirs.to_string());
    assert_eq!(world.paid().await, PRICE);
}

/// What a node behind says of a nonce at the latest block, beside what another one says of other blocks and calls.
fn latest_is_stale(call: &Value, truth: Value) -> Value {
    let [target, block] = [&call["params"][0]["to"], &call["params"][1]];
    // The time and the nonce's state are asked by way of this contract.
    let is_state = *target == json!(MULTICALL3) && block == "latest";
    match truth.as_str() {
        // The last word of the answer is whether the nonce is used.
        Some(data) if is_state => json!(format!("{}0", &data[..data.len() - 1])),
        _ => truth,
    }
}

#[tokio::test]
async fn the_block_of_our_receipt_decides_where_the_latest_is_stale() {
    let (world, rpc) = withholding(|_| {}).await;
    let signed = world.sign(&terms());
    let (settled, theirs) = overtaken(&world, &rpc, &signed, Fault::lie(latest_is_stale)).await;
    assert_eq!(transaction(Ok(settled)), theirs.to_string());
    let outcome = world.outcome(&signed).await;
    assert!(matches!(outcome, Err(RailError::Nonsense { .. })), "endpoints disagree: {outcome:?}");
    rpc.heal();
    let outcome = world.outcome(&signed).await;
    assert_eq!(transaction(outcome.map_err(VerifyError::Rail)), theirs.to_string());
}

/// It failed in company, for want of money, and is redeemed by a stranger before it could go again.
#[tokio::test]
async fn a_payment_redeemed_after_it_failed_in_company_is_confirmed() {
    // Two go together, however far apart they come.
    let (world, rpc) = withholding(|config| {
        config.batch_size = 2;
        config.gather = Duration::from_secs(10);
    })
    .await;
    rpc.add(Rule::on(RECEIPT, Fault::lie(|_, _| Value::Null)));
    world.chain.mint(accounts::BUYER_2.address, PRICE).await.unwrap();
    let (terms, opener, good) = (terms(), world.sign(&terms()), world.sign(&terms()));
    let poor = world.sign_as(accounts::BUYER_2, &terms);
    let settle = async {
        let rest = async {
            world.until_recorded(1).await;
            tokio::join!(world.settle(&terms, &good), world.settle(&terms, &poor))
        };
        tokio::join!(world.settle(&terms, &opener), rest)
    };
    let overtake = async {
        world.until_recorded(2).await;
        world.chain.set_balance(accounts::BUYER_2.address, 0).await.unwrap();
        assert!(world.send_withheld().await, "the good one's company does it no harm");
        world.chain.set_balance(accounts::BUYER_2.address, PRICE).await.unwrap();
        let theirs = world.redeem_as_stranger(accounts::BUYER_2).await;
        world.chain.wait_for(theirs).await.unwrap();
        rpc.heal();
        rpc.add(Rule::on("eth_call", Fault::lie(latest_is_stale)));
        theirs
    };
    let ((opener, (good, poor)), theirs) = tokio::join!(settle, overtake);
    assert_eq!(transaction(poor), theirs.to_string());
    drop((transaction(opener), transaction(good)));
    assert_eq!(world.paid().await, 3 * PRICE);
}

#[tokio::test]
async fn a_payment_that_reverted_unused_still_fails_for_good() {
    let (world, _rpc) = withholding(|_| {}).await;
    let (terms, signed) = (terms(), world.sign(&terms()));
    let drain = async {
        world.until_recorded(1).await;
        world.chain.set_balance(accounts::BUYER.address, 1).await.unwrap();
        assert!(!world.send_withheld().await, "ours comes too late");
    };
    let (settled, ()) = tokio::join!(world.settle(&terms, &signed), drain);
    for end in [settled.unwrap(), world.outcome(&signed).await.unwrap()] {
        let Settlement::Failed { reason, .. } = end else { panic!("{end:?}") };
        assert_eq!(reason.as_str(), "invalid_exact_evm_transaction_failed");
    }
}
