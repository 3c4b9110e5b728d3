//! Payments on a local chain: those that go through, and those that must not.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests and their helpers")]

mod support;

use std::time::Duration;

use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_sol_types::SolValue;
use farthing_ambient::{OsEntropy, Timestamp};
use farthing_devnet::abi::ISmartWalletFactory;
use farthing_devnet::{accounts, contracts};
use farthing_money::Asset;
use farthing_protocol::x402::ExactEvmPayload;
use farthing_rail::{Payer, PaymentState, Settlement, Settler, SignedPayment};
use farthing_rail_evm::eip3009::{Authorization, domain_separator};
use serde_json::value::{RawValue, to_raw_value};
use support::*;

/// A payment of any form by any key.
fn signed_by(
    account: farthing_devnet::Account,
    from: Address,
    wrap: impl FnOnce(Vec<u8>) -> Vec<u8>,
    change: impl FnOnce(&mut Authorization),
) -> Box<RawValue> {
    let now = u64::try_from(Timestamp::now().as_second()).unwrap();
    let mut nonce = [0; 32];
    farthing_ambient::Entropy::fill(&OsEntropy, &mut nonce).unwrap();
    let mut authorization = Authorization {
        from,
        to: accounts::PAYEE.address,
        value: U256::from(PRICE),
        valid_after: U256::ZERO,
        valid_before: U256::from(now + 300),
        nonce: B256::from(nonce),
    };
    change(&mut authorization);
    let separator = domain_separator("USDC", "2", 84532, usdc().address.parse().unwrap());
    let signature = wrap(signature(account, authorization.digest(&separator)));
    to_raw_value(&ExactEvmPayload {
        signature: Bytes::from(signature).to_string(),
        authorization: authorization.to_wire(),
    })
    .unwrap()
}

fn by_buyer(change: impl FnOnce(&mut Authorization)) -> Box<RawValue> {
    signed_by(accounts::BUYER, accounts::BUYER.address, |signature| signature, change)
}

#[tokio::test]
async fn a_payment_is_verified_settled_and_never_again() {
    let world = world(|_| {}).await;
    let (terms, buyer) = (terms(), world.payer(accounts::BUYER));
    let before = Timestamp::now();
    let signed = world.sign(&terms);
    let verified = world.settler.verify(&terms, &signed.payload).await.unwrap();
    assert_eq!((verified.key, verified.payer), (signed.key.clone(), signed.payer.clone()));
    assert_eq!(verified.valid_before, signed.valid_before);
    let state = buyer.lookup(&network(), &signed.key, before).await.unwrap();
    assert!(matches!(state, PaymentState::Unused { chain_time } if chain_time < signed.valid_before));

    let hash = transaction(world.settle(&terms, &signed).await);
    assert_eq!(world.paid().await, PRICE);
    assert_eq!(world.log.all().len(), 1);
    assert_eq!(world.log.all()[0].transaction, hash);
    assert_eq!(world.log.all()[0].payments, std::slice::from_ref(&signed.key));
    assert_eq!(buyer.balance(&usdc()).await.unwrap().get(), 100_000_000 - u128::from(PRICE));
    let state = buyer.lookup(&network(), &signed.key, before).await.unwrap();
    assert_eq!(state, PaymentState::Settled { transaction: Some(hash) });

    assert_eq!(world.refused(&terms, &signed).await, "invalid_exact_evm_nonce_already_used");
    assert_eq!(code(world.settle(&terms, &signed).await), "invalid_exact_evm_nonce_already_used");
    assert_eq!(world.log.all().len(), 1, "nothing more was sent");
}

/// Known attacks, "the same payment sent many times at once".
#[tokio::test]
async fn the_same_payment_many_times_at_once_is_sent_once() {
    let world = world(|_| {}).await;
    let (terms, signed) = (terms(), world.sign(&terms()));
    let all = futures::future::join_all((0..50).map(|_| world.settle(&terms, &signed))).await;
    let hashes: std::collections::BTreeSet<String> = all.into_iter().map(transaction).collect();
    assert_eq!((hashes.len(), world.log.all().len(), world.paid().await), (1, 1, PRICE));
}

/// Known attacks, "fake token, decimals or domain", among others.
#[tokio::test]
async fn payments_that_do_not_meet_the_terms_are_refused() {
    let world = world(|_| {}).await;
    let now = u64::try_from(Timestamp::now().as_second()).unwrap();
    let signed = world.sign(&terms());
    let mut cases = Vec::new();
    let mut on = |expected: &'static str, change: &dyn Fn(&mut farthing_protocol::Requirements)| {
        let mut terms = terms();
        change(&mut terms);
        cases.push((expected, terms, signed.payload.clone()));
    };
    on("invalid_exact_evm_scheme", &|t| t.scheme = "upto".into());
    on("invalid_network", &|t| t.network = farthing_money::Network::BASE);
    on("invalid_exact_evm_recipient_mismatch", &|t| t.pay_to = accounts::PAYEE_2.address.to_string());
    on("invalid_exact_evm_payload_authorization_value_mismatch", &|t| {
        t.amount = 2499u64.to_string().parse().unwrap()
    });
    on("invalid_exact_evm_payload_authorization_value_mismatch", &|t| {
        t.amount = 2501u64.to_string().parse().unwrap()
    });
    on("invalid_exact_evm_missing_eip712_domain", &|t| drop(t.extra.0.remove("name")));
    on("invalid_exact_evm_token_name_mismatch", &|t| {
        drop(t.extra.0.insert("name".into(), "USD Coin".into()))
    });
    on("invalid_exact_evm_token_version_mismatch", &|t| drop(t.extra.0.insert("version".into(), "1".into())));
    on("unsupported_payload_type", &|t| {
        drop(t.extra.0.insert("assetTransferMethod".into(), "permit2".into()))
    });
    on("invalid_payment_requirements", &|t| t.asset = "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913".into());
    on("invalid_payment_requirements", &|t| t.pay_to = "0x00".into());
    let mut of = |expected, payload| cases.push((expected, terms(), payload));
    of(
        "invalid_exact_evm_payload_authorization_valid_before",
        by_buyer(|a| a.valid_before = U256::from(now + 3)),
    );
    of(
        "invalid_exact_evm_payload_authorization_valid_after",
        by_buyer(|a| a.valid_after = U256::from(now + 60)),
    );
    of("invalid_exact_evm_signature", signed_by(accounts::STRANGER, accounts::BUYER.address, |s| s, |_| {}));
    of(
        "invalid_exact_evm_signature",
        signed_by(accounts::BUYER, accounts::BUYER.address, |s| s[..64].to_vec(), |_| {}),
    );
    of(
        "invalid_exact_evm_insufficient_balance",
        signed_by(accounts::BUYER_2, accounts::BUYER_2.address, |s| s, |_| {}),
    );
    of("invalid_payload", to_raw_value("no").unwrap());
    for (expected, terms, payload) in cases {
        assert_eq!(code(world.settler.verify(&terms, &payload).await), expected);
        assert_eq!(code(world.settler.settle(&terms, &payload, &*world.log).await), expected);
    }
    assert!(world.log.all().is_empty(), "nothing was sent");
}

#[tokio::test]
async fn a_paused_token_and_a_denied_payer_are_refused() {
    let world = world(|_| {}).await;
    let (terms, signed) = (terms(), world.sign(&terms()));
    world.chain.pause().await.unwrap();
    assert_eq!(world.refused(&terms, &signed).await, "invalid_exact_evm_transaction_simulation_failed");
    world.chain.unpause().await.unwrap();
    world.chain.blacklist(accounts::BUYER.address).await.unwrap();
    assert_eq!(world.refused(&terms, &signed).await, "invalid_exact_evm_transaction_simulation_failed");
    world.chain.unblacklist(accounts::BUYER.address).await.unwrap();
    transaction(world.settle(&terms, &signed).await);
}

/// Known attacks, "fake token, decimals or domain".
#[tokio::test]
async fn a_token_that_moves_nothing_is_found_out() {
    let chain = farthing_devnet::Base::builder().start().await.unwrap();
    let fake = chain.deploy(&contracts::FAKE_USDC, &[]).await.unwrap();
    let asset = Asset { address: fake.to_string(), symbol: "FAKE".into(), ..(*usdc()).clone() };
    let mut config = config_at(chain.rpc_url());
    config.assets.add(asset.clone()).unwrap();
    let world = World { settler: settler_of(&config), chain, log: Default::default() };
    let mut terms = terms();
    terms.asset = asset.address.clone();
    let payer = world.payer(accounts::BUYER);
    let signed = payer.sign(&terms, &asset, Timestamp::now(), &OsEntropy).unwrap();
    match world.settle(&terms, &signed).await {
        Ok(Settlement::Failed { reason, transaction: Some(_), .. }) => {
            assert_eq!(reason.as_str(), "invalid_exact_evm_transfer_event_mismatch");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_token_without_code_is_refused() {
    let world = world(|config| {
        let nowhere = Asset { address: Address::repeat_byte(5).to_string(), ..(*usdc()).clone() };
        config.assets.add(nowhere).unwrap();
    })
    .await;
    let mut terms = terms();
    terms.asset = Address::repeat_byte(5).to_string();
    let asset = Asset { address: terms.asset.clone(), ..(*usdc()).clone() };
    let signed = world.payer(accounts::BUYER).sign(&terms, &asset, Timestamp::now(), &OsEntropy).unwrap();
    assert_eq!(world.refused(&terms, &signed).await, "asset_not_deployed_contract");
}

#[tokio::test]
async fn a_smart_wallet_pays_by_its_owners_signature() {
    let world = world(|_| {}).await;
    let owner = (accounts::WALLET_OWNER.address,).abi_encode_params();
    let wallet = world.chain.deploy(&contracts::SMART_WALLET, &owner).await.unwrap();
    world.chain.mint(wallet, 10_000).await.unwrap();
    let good = signed_by(accounts::WALLET_OWNER, wallet, |s| s, |_| {});
    transaction(world.settler.settle(&terms(), &good, &*world.log).await);
    let forged = signed_by(accounts::STRANGER, wallet, |s| s, |_| {});
    let refused = code(world.settler.settle(&terms(), &forged, &*world.log).await);
    assert_eq!(refused, "invalid_exact_evm_signature");
    assert_eq!(world.paid().await, PRICE);
}

#[tokio::test]
async fn an_account_with_code_is_asked_even_though_its_key_signed() {
    let world = world(|_| {}).await;
    // The buyer delegates by EIP-7702 to a wallet whose owner is nobody: its own key no longer signs for it.
    let nobody = (Address::repeat_byte(9),).abi_encode_params();
    let wallet = world.chain.deploy(&contracts::SMART_WALLET, &nobody).await.unwrap();
    let delegation = [&[0xef, 0x01, 0x00][..], wallet.as_slice()].concat();
    world.chain.set_code(accounts::BUYER.address, &delegation).await.unwrap();
    let signed = world.sign(&terms());
    assert_eq!(world.refused(&terms(), &signed).await, "invalid_exact_evm_signature");
}

#[tokio::test]
async fn a_wallet_that_burns_gas_is_refused_before_it_costs_anything() {
    let world = world(|_| {}).await;
    let wallet = world.chain.deploy(&contracts::GAS_BURNER_WALLET, &[]).await.unwrap();
    world.chain.mint(wallet, 10_000).await.unwrap();
    let out_of_gas = "invalid_exact_evm_transaction_simulation_failed";
    for (first, expected) in [(1, out_of_gas), (2, "invalid_exact_evm_signature")] {
        let burns = signed_by(accounts::STRANGER, wallet, |s| [&[first], &s[..]].concat(), |_| {});
        let refused = code(world.settler.settle(&terms(), &burns, &*world.log).await);
        assert_eq!(refused, expected);
    }
    assert!(world.log.all().is_empty(), "nothing was sent");
}

/// Known attacks, "gas griefing": the caps on gas.
#[tokio::test]
async fn a_wallet_that_burns_gas_costs_no_more_than_its_cap() {
    // With so much gas, what the burner leaves suffices for the transfer.
    let world = world(|config| config.wallet_gas_cap = 5_000_000).await;
    let wallet = world.chain.deploy(&contracts::GAS_BURNER_WALLET, &[]).await.unwrap();
    world.chain.mint(wallet, 10_000).await.unwrap();
    let burns = signed_by(accounts::STRANGER, wallet, |s| [&[1], &s[..]].concat(), |_| {});
    let hash = transaction(world.settler.settle(&terms(), &burns, &*world.log).await);
    let receipt = world.chain.receipt(hash.parse().unwrap()).await.unwrap().unwrap();
    let gas_used = receipt.gas_used.to::<u64>();
    assert!((1_000_000..=5_000_000).contains(&gas_used), "{gas_used}");
}

struct Undeployed {
    world: World,
    factory: Address,
    payload: Box<RawValue>,
}

async fn undeployed(allow: bool) -> Undeployed {
    let chain = farthing_devnet::Base::builder().start().await.unwrap();
    let factory = chain.deploy(&contracts::SMART_WALLET_FACTORY, &[]).await.unwrap();
    let (owner, salt) = (accounts::WALLET_OWNER.address, B256::repeat_byte(1));
    let wallet = chain.call(factory, ISmartWalletFactory::addressOfCall { owner, salt }).await.unwrap();
    chain.mint(wallet, 10_000).await.unwrap();
    let mut config = config_at(chain.rpc_url());
    config.factories = if allow { vec![factory] } else { Vec::new() };
    let world = World { settler: settler_of(&config), chain, log: Default::default() };
    let deploy = alloy_sol_types::SolCall::abi_encode(&ISmartWalletFactory::deployCall { owner, salt });
    let wrap = |signature: Vec<u8>| {
        let body = (factory, Bytes::from(deploy), Bytes::from(signature)).abi_encode_params();
        [&body[..], &[0x64, 0x92].repeat(16)].concat()
    };
    let payload = signed_by(accounts::WALLET_OWNER, wallet, wrap, |_| {});
    Undeployed { world, factory, payload }
}

#[tokio::test]
async fn an_undeployed_wallet_pays_through_an_allowed_factory() {
    let Undeployed { world, payload, .. } = undeployed(true).await;
    transaction(world.settler.settle(&terms(), &payload, &*world.log).await);
    assert_eq!(world.paid().await, PRICE);
    // The same wrapper once the wallet is there: an ordinary smart wallet, and this nonce is used.
    let again = code(world.settler.settle(&terms(), &payload, &*world.log).await);
    assert_eq!(again, "invalid_exact_evm_nonce_already_used");
}

/// Known attacks, "gas griefing": ERC-6492 factories.
#[tokio::test]
async fn an_undeployed_wallet_is_refused_without_an_allowed_factory() {
    let Undeployed { world, payload, factory } = undeployed(false).await;
    let refused = code(world.settler.settle(&terms(), &payload, &*world.log).await);
    assert_eq!(refused, "eip6492_factory_not_allowed");
    assert!(world.log.all().is_empty() && !factory.is_zero());
}

#[tokio::test]
async fn a_hundred_at_once_go_out_in_few_transactions_without_gaps() {
    // Few also where the machine is slow to check a hundred.
    let world = world(|config| {
        config.gather = Duration::from_secs(2);
        config.max_in_flight = 100;
        (config.receipt_wait, config.stuck_after) = (Duration::from_secs(120), Duration::from_secs(120));
    })
    .await;
    let terms = terms();
    let signed: Vec<SignedPayment> = (0..100).map(|_| world.sign(&terms)).collect();
    world.chain.stop_mining().await.unwrap();
    let settle = futures::future::join_all(signed.iter().map(|signed| world.settle(&terms, signed)));
    let mine = async {
        world.until_paid_out(100).await;
        world.chain.start_mining().await.unwrap();
        world.chain.mine().await.unwrap();
    };
    let (all, ()) = tokio::join!(settle, mine);
    all.into_iter().for_each(|one| drop(transaction(one)));
    assert_eq!(world.paid().await, 100 * PRICE);
    let nonces: Vec<u64> = world.log.all().iter().map(|sent| sent.nonce).collect();
    assert_eq!(nonces, (0..u64::try_from(nonces.len()).unwrap()).collect::<Vec<_>>());
    assert!(nonces.len() < 40, "{} transactions", nonces.len());
}

#[tokio::test]
async fn one_bad_among_many_fails_alone() {
    let world = world(|_| {}).await;
    let terms = terms();
    world.chain.mint(accounts::BUYER_2.address, PRICE).await.unwrap();
    // While nothing is mined, a second payment of a poor buyer still looks good.
    let good: Vec<SignedPayment> = (0..5).map(|_| world.sign(&terms)).collect();
    let poor: Vec<SignedPayment> = (0..2).map(|_| world.sign_as(accounts::BUYER_2, &terms)).collect();
    world.chain.stop_mining().await.unwrap();
    let settle =
        futures::future::join_all(good.iter().chain(&poor).map(|signed| world.settle(&terms, signed)));
    let mine = async {
        world.until_paid_out(7).await;
        world.chain.mine().await.unwrap();
    };
    let (all, ()) = tokio::join!(settle, mine);
    let confirmed = all.iter().filter(|one| matches!(one, Ok(Settlement::Confirmed { .. }))).count();
    let reasons: Vec<String> = all
        .iter()
        .filter_map(|one| match one {
            Ok(Settlement::Failed { reason, transaction: Some(_), .. }) => Some(reason.to_string()),
            _ => None,
        })
        .collect();
    assert_eq!((confirmed, reasons.len(), world.paid().await), (6, 1, 6 * PRICE), "{all:?}");
    // In company it is asked what was the matter; alone it is what the reference calls a reverted transaction.
    let expected = ["invalid_exact_evm_insufficient_balance", "invalid_exact_evm_transaction_failed"];
    assert!(expected.contains(&reasons[0].as_str()), "{reasons:?}");
}

#[tokio::test]
async fn cancelled_and_unused_nonces_are_told_apart() {
    let world = world(|_| {}).await;
    let (terms, buyer) = (terms(), world.payer(accounts::BUYER));
    let (since, signed) = (Timestamp::now(), world.sign(&terms));
    world.cancel(&signed).await;
    assert_eq!(buyer.lookup(&network(), &signed.key, since).await.unwrap(), PaymentState::Canceled);
    let other = world.sign(&terms);
    let state = buyer.lookup(&network(), &other.key, since).await.unwrap();
    assert!(matches!(state, PaymentState::Unused { .. }));
    world.chain.increase_time_s(600).await.unwrap();
    let state = buyer.lookup(&network(), &other.key, since).await.unwrap();
    assert!(matches!(state, PaymentState::Unused { chain_time } if chain_time > other.valid_before));
}

#[tokio::test]
async fn nothing_is_sent_that_could_not_be_recorded() {
    let world = world(|_| {}).await;
    let (terms, signed) = (terms(), world.sign(&terms()));
    world.log.full.store(true, std::sync::atomic::Ordering::SeqCst);
    let refused = world.settle(&terms, &signed).await.unwrap_err().to_string();
    assert!(refused.contains("disk is full"), "{refused}");
    world.log.full.store(false, std::sync::atomic::Ordering::SeqCst);
    transaction(world.settle(&terms, &signed).await);
    assert_eq!(world.log.all()[0].nonce, 0, "the nonce was not lost");
}

/// Known attacks, "gas griefing": the cap on the price of gas.
#[tokio::test]
async fn above_the_fee_cap_nothing_is_sent() {
    let world = world(|config| config.max_fee_per_gas_wei = 1000).await;
    let refused = world.settle(&terms(), &world.sign(&terms())).await.unwrap_err().to_string();
    assert!(refused.contains("above the cap of 1000"), "{refused}");
    assert!(world.log.all().is_empty());
}

#[test]
fn what_is_supported_is_told_in_both_versions() {
    let settler = settler_of(&config_at("http://127.0.0.1:1"));
    let kinds: Vec<(u8, String)> = settler.kinds().into_iter().map(|k| (k.x402_version, k.network)).collect();
    assert_eq!(kinds, [(2, "eip155:84532".to_owned()), (1, "base-sepolia".to_owned())]);
    assert_eq!(settler.signers(), [(network(), accounts::FACILITATOR.address.to_string())]);
    assert!(settler.supports("exact", &network()) && !settler.supports("upto", &network()));
    assert!(!settler.supports("exact", &farthing_money::Network::BASE));
    assert!(!format!("{settler:?}").contains("ac0974"));
}
