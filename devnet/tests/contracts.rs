//! Multicall3, smart wallets and the hostile contracts do what their tests elsewhere rely on.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that can't go on should stop"
)]

mod support;

use alloy_primitives::{Address, B256, Bytes, U64, U256};
use alloy_sol_types::{SolCall, SolValue};
use farthing_devnet::{
    Base, MULTICALL3,
    abi::{IMulticall3, ISmartWallet, ISmartWalletFactory},
    accounts::{BUYER, FACILITATOR, PAYEE, STRANGER, WALLET_OWNER},
    contracts::{FAKE_USDC, GAS_BURNER_WALLET, SMART_WALLET, SMART_WALLET_FACTORY},
};
use serde_json::json;
use support::*;

async fn chain() -> Base {
    Base::builder().start().await.unwrap()
}

async fn smart_wallet(chain: &Base) -> Address {
    let wallet = chain.deploy(&SMART_WALLET, &(WALLET_OWNER.address,).abi_encode_params()).await.unwrap();
    chain.mint(wallet, 1_000_000).await.unwrap();
    wallet
}

#[tokio::test]
async fn aggregate3_carries_on_where_one_call_fails() {
    let chain = chain().await;
    chain.mint(BUYER.address, 5000).await.unwrap();
    let messages = [1, 2, 3].map(|nonce| authorization(BUYER.address, PAYEE.address, 2000, nonce));
    let calls: Vec<_> = messages
        .iter()
        .map(|message| IMulticall3::Call3 {
            target: chain.usdc(),
            allowFailure: true,
            callData: split_form(message, &sign(&chain, &BUYER, message)).abi_encode().into(),
        })
        .collect();
    let call = IMulticall3::aggregate3Call { calls };
    let results = chain.call(MULTICALL3, call.clone()).await.unwrap();
    assert_eq!(results.iter().map(|result| result.success).collect::<Vec<_>>(), [true, true, false]);

    let receipt = chain.send(FACILITATOR.address, MULTICALL3, call.clone()).await.unwrap();
    assert_eq!(transfers(&chain, &receipt).len(), 2);
    assert_eq!(chain.balance_of(PAYEE.address).await.unwrap(), U256::from(4000));

    let mut strict = call;
    strict.calls[0].allowFailure = false;
    assert_eq!(reason(chain.call(MULTICALL3, strict).await), "Multicall3: call failed");
}

#[tokio::test]
async fn multicall_knows_its_chain() {
    let chain = chain().await;
    let id = chain.call(MULTICALL3, IMulticall3::getChainIdCall {}).await.unwrap();
    assert_eq!(id, U256::from(chain.chain_id()));
    let call = IMulticall3::getEthBalanceCall { account: STRANGER.address };
    assert_eq!(
        chain.call(MULTICALL3, call).await.unwrap(),
        chain.eth_balance_of(STRANGER.address).await.unwrap()
    );
}

#[tokio::test]
async fn a_smart_wallet_pays_by_its_owners_signature() {
    let chain = chain().await;
    let wallet = smart_wallet(&chain).await;
    let message = authorization(wallet, PAYEE.address, 2500, 1);
    assert_eq!(reason(pay(&chain, &STRANGER, &message).await), "FiatTokenV2: invalid signature");
    pay(&chain, &WALLET_OWNER, &message).await.unwrap();
    assert_eq!(chain.balance_of(PAYEE.address).await.unwrap(), U256::from(2500));
}

/// An account that delegates by EIP-7702 has code: its own ECDSA signature no longer counts by itself.
#[tokio::test]
async fn a_delegated_account_is_asked_by_erc1271() {
    let chain = chain().await;
    chain.mint(BUYER.address, 5000).await.unwrap();
    let burner = chain.deploy(&GAS_BURNER_WALLET, &[]).await.unwrap();
    chain.set_code(BUYER.address, &[&[0xef, 0x01, 0x00], burner.as_slice()].concat()).await.unwrap();
    let message = authorization(BUYER.address, PAYEE.address, 2500, 1);
    let approved = bytes_form(&message, Bytes::from(vec![1]));
    chain.send(FACILITATOR.address, chain.usdc(), approved).await.unwrap();
    assert_eq!(chain.balance_of(PAYEE.address).await.unwrap(), U256::from(2500));
}

#[tokio::test]
async fn a_factory_deploys_where_it_says() {
    let chain = chain().await;
    let factory = chain.deploy(&SMART_WALLET_FACTORY, &[]).await.unwrap();
    let (owner, salt) = (WALLET_OWNER.address, B256::repeat_byte(9));
    let wallet = chain.call(factory, ISmartWalletFactory::addressOfCall { owner, salt }).await.unwrap();
    assert!(chain.call(wallet, ISmartWallet::ownerCall {}).await.is_err(), "not deployed yet");
    for _ in ["deploys", "does nothing the second time"] {
        chain.send(STRANGER.address, factory, ISmartWalletFactory::deployCall { owner, salt }).await.unwrap();
    }
    assert_eq!(chain.call(wallet, ISmartWallet::ownerCall {}).await.unwrap(), owner);
}

#[tokio::test]
async fn a_gas_burner_approves_at_any_price() {
    let chain = chain().await;
    let wallet = chain.deploy(&GAS_BURNER_WALLET, &[]).await.unwrap();
    chain.mint(wallet, 5000).await.unwrap();
    let message = authorization(wallet, PAYEE.address, 2500, 1);
    let from = FACILITATOR.address;
    chain.call_from(from, chain.usdc(), bytes_form(&message, Bytes::from(vec![1]))).await.unwrap();
    let refused = chain.call_from(from, chain.usdc(), bytes_form(&message, Bytes::from(vec![0]))).await;
    assert_eq!(reason(refused), "FiatTokenV2: invalid signature");

    // What a settlement costs is the limit that its sender sets.
    let data = Bytes::from(bytes_form(&message, Bytes::from(vec![1])).abi_encode());
    let transaction = json!({ "from": from, "to": chain.usdc(), "data": data, "gas": "0x1312d00" });
    let hash = chain.rpc("eth_sendTransaction", json!([transaction])).await.unwrap();
    let receipt = chain.wait_for(serde_json::from_value(hash).unwrap()).await.unwrap();
    assert!(receipt.succeeded() && receipt.gas_used > U64::from(19_000_000), "{}", receipt.gas_used);
}

#[tokio::test]
async fn a_fake_token_takes_everything_and_moves_nothing() {
    let chain = chain().await;
    let fake = chain.deploy(&FAKE_USDC, &[]).await.unwrap();
    let message = authorization(BUYER.address, PAYEE.address, 2500, 1);
    let call = bytes_form(&message, sign(&chain, &BUYER, &message).bytes());
    let receipt = chain.send(FACILITATOR.address, fake, call).await.unwrap();
    assert!(receipt.succeeded() && receipt.logs.is_empty());
}
