//! The token behaves as USDC does wherever a payment can tell the difference.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that can't go on should stop"
)]

mod support;

use alloy_primitives::{B256, Bytes, U256, b256};
use farthing_devnet::{
    BASE, BASE_SEPOLIA, Base,
    abi::IUsdc,
    accounts::{BUYER, FACILITATOR, PAYEE, STRANGER},
};
use support::*;

/// A chain whose buyer has 10 USDC.
async fn chain() -> Base {
    let chain = Base::builder().start().await.unwrap();
    chain.mint(BUYER.address, 10_000_000).await.unwrap();
    chain
}

#[tokio::test]
async fn base_sepolia_has_its_own_domain() {
    let chain = Base::builder().chain_id(BASE_SEPOLIA).start().await.unwrap();
    assert_eq!(chain.call(chain.usdc(), IUsdc::nameCall {}).await.unwrap(), "USDC");
    let separator = chain.call(chain.usdc(), IUsdc::DOMAIN_SEPARATORCall {}).await.unwrap();
    assert_eq!(separator, domain(&chain).separator());
}

/// The value is what Base's own USDC answers.
#[tokio::test]
async fn base_has_the_domain_of_the_real_token() {
    let chain = Base::builder().chain_id(BASE).start().await.unwrap();
    assert_eq!(chain.call(chain.usdc(), IUsdc::nameCall {}).await.unwrap(), "USD Coin");
    let separator = chain.call(chain.usdc(), IUsdc::DOMAIN_SEPARATORCall {}).await.unwrap();
    assert_eq!(separator, domain(&chain).separator());
    assert_eq!(separator, b256!("0x02fa7265e7c5d81118673727957699e4d68f74cd74b7db77da710fe8a2c7834f"));
}

/// The type hashes that EIP-3009 and EIP-2612 give.
#[tokio::test]
async fn type_hashes_are_the_standards() {
    let chain = chain().await;
    let usdc = chain.usdc();
    assert_eq!(
        chain.call(usdc, IUsdc::TRANSFER_WITH_AUTHORIZATION_TYPEHASHCall {}).await.unwrap(),
        b256!("0x7c7c6cdb67a18743f49ec6fa9b35f50d52ed05cbed4cc592e13b44501c1a2267")
    );
    assert_eq!(
        chain.call(usdc, IUsdc::RECEIVE_WITH_AUTHORIZATION_TYPEHASHCall {}).await.unwrap(),
        b256!("0xd099cc98ef71107a616c4f0f941f04c322d8e254fe26b3c6668db87aae413de8")
    );
    assert_eq!(
        chain.call(usdc, IUsdc::CANCEL_AUTHORIZATION_TYPEHASHCall {}).await.unwrap(),
        b256!("0x158b0a9edf7a828aad02f63cd515c68ef2f50ba807396f6d12842833a1597429")
    );
    assert_eq!(
        chain.call(usdc, IUsdc::PERMIT_TYPEHASHCall {}).await.unwrap(),
        b256!("0x6e71edae12b1b97f4d1f60370fef10105fa2faae0126114a169c64845d6126c9")
    );
}

#[tokio::test]
async fn an_authorization_pays_in_both_forms() {
    let chain = chain().await;
    let first = authorization(BUYER.address, PAYEE.address, 2500, 1);
    let signature = sign(&chain, &BUYER, &first);
    let receipt =
        chain.send(FACILITATOR.address, chain.usdc(), split_form(&first, &signature)).await.unwrap();
    assert_eq!(transfers(&chain, &receipt), [(BUYER.address, PAYEE.address, U256::from(2500))]);
    assert_eq!(receipt.events::<IUsdc::AuthorizationUsed>(chain.usdc())[0].nonce, first.nonce);

    let second = authorization(BUYER.address, PAYEE.address, 500, 2);
    pay(&chain, &BUYER, &second).await.unwrap();
    assert_eq!(chain.balance_of(PAYEE.address).await.unwrap(), U256::from(3000));
    assert_eq!(chain.balance_of(BUYER.address).await.unwrap(), U256::from(9_997_000));
}

#[tokio::test]
async fn an_authorization_pays_once() {
    let chain = chain().await;
    let message = authorization(BUYER.address, PAYEE.address, 2500, 1);
    assert!(!chain.authorization_state(BUYER.address, message.nonce).await.unwrap());
    pay(&chain, &BUYER, &message).await.unwrap();
    assert!(chain.authorization_state(BUYER.address, message.nonce).await.unwrap());
    let again = pay(&chain, &BUYER, &message).await;
    assert_eq!(reason(again), "FiatTokenV2: authorization is used or canceled");
}

/// Both ends of the time are exclusive.
#[tokio::test]
async fn an_authorization_has_its_time() {
    let chain = chain().await;
    let now = chain.timestamp_s().await.unwrap() + 1000;
    chain.set_next_block_timestamp_s(now).await.unwrap();
    chain.mine().await.unwrap();

    let mut late = authorization(BUYER.address, PAYEE.address, 1, 1);
    late.validBefore = U256::from(now);
    assert_eq!(reason(pay(&chain, &BUYER, &late).await), "FiatTokenV2: authorization is expired");

    let mut early = authorization(BUYER.address, PAYEE.address, 1, 2);
    early.validAfter = U256::from(now + 500);
    assert_eq!(reason(pay(&chain, &BUYER, &early).await), "FiatTokenV2: authorization is not yet valid");
    chain.increase_time_s(501).await.unwrap();
    pay(&chain, &BUYER, &early).await.unwrap();
}

#[tokio::test]
async fn what_does_not_match_the_signature_is_refused() {
    let chain = chain().await;
    let message = authorization(BUYER.address, PAYEE.address, 2500, 1);
    let signature = sign(&chain, &BUYER, &message);
    let invalid = "FiatTokenV2: invalid signature";
    assert_eq!(reason(pay(&chain, &STRANGER, &message).await), invalid);

    let mut raised = message.clone();
    raised.value = U256::from(2501);
    let raised = split_form(&raised, &signature);
    assert_eq!(reason(chain.send(FACILITATOR.address, chain.usdc(), raised).await), invalid);
}

#[tokio::test]
async fn malformed_signatures_are_refused() {
    let chain = chain().await;
    let message = authorization(BUYER.address, PAYEE.address, 2500, 1);
    let signature = sign(&chain, &BUYER, &message);
    let refused = async |signature: Bytes| {
        reason(chain.send(FACILITATOR.address, chain.usdc(), bytes_form(&message, signature)).await)
    };
    assert_eq!(refused(signature.mirrored().bytes()).await, "ECRecover: invalid signature 's' value");
    assert_eq!(refused(Bytes::from(vec![0; 64])).await, "ECRecover: invalid signature length");
    let wrong_v = Signature { v: 1, ..signature };
    assert_eq!(refused(wrong_v.bytes()).await, "ECRecover: invalid signature 'v' value");
}

#[tokio::test]
async fn nobody_pays_more_than_they_have() {
    let chain = chain().await;
    let message = authorization(BUYER.address, PAYEE.address, 10_000_001, 1);
    assert_eq!(reason(pay(&chain, &BUYER, &message).await), "ERC20: transfer amount exceeds balance");
}

#[tokio::test]
async fn a_cancelled_authorization_pays_nobody() {
    let chain = chain().await;
    for (nonce, split) in [(1, true), (2, false)] {
        let message = authorization(BUYER.address, PAYEE.address, 2500, nonce);
        let cancel = CancelAuthorization { authorizer: BUYER.address, nonce: message.nonce };
        let signature = sign(&chain, &BUYER, &cancel);
        let (authorizer, nonce, Signature { v, r, s }) = (BUYER.address, message.nonce, signature.clone());
        let receipt = if split {
            let call = IUsdc::cancelAuthorization_0Call { authorizer, nonce, v, r, s };
            chain.send(STRANGER.address, chain.usdc(), call).await.unwrap()
        } else {
            let call = IUsdc::cancelAuthorization_1Call { authorizer, nonce, signature: signature.bytes() };
            chain.send(STRANGER.address, chain.usdc(), call).await.unwrap()
        };
        assert_eq!(receipt.events::<IUsdc::AuthorizationCanceled>(chain.usdc()).len(), 1);
        assert!(chain.authorization_state(authorizer, nonce).await.unwrap());
        let paid = pay(&chain, &BUYER, &message).await;
        assert_eq!(reason(paid), "FiatTokenV2: authorization is used or canceled");
    }
}

#[tokio::test]
async fn only_the_payee_receives() {
    let chain = chain().await;
    let message = ReceiveWithAuthorization {
        from: BUYER.address,
        to: PAYEE.address,
        value: U256::from(2500),
        validAfter: U256::ZERO,
        validBefore: U256::MAX,
        nonce: B256::repeat_byte(7),
    };
    let signature = sign(&chain, &BUYER, &message);
    let call = IUsdc::receiveWithAuthorization_1Call {
        from: message.from,
        to: message.to,
        value: message.value,
        validAfter: message.validAfter,
        validBefore: message.validBefore,
        nonce: message.nonce,
        signature: signature.bytes(),
    };
    let other = chain.send(STRANGER.address, chain.usdc(), call.clone()).await;
    assert_eq!(reason(other), "FiatTokenV2: caller must be the payee");
    chain.send(PAYEE.address, chain.usdc(), call).await.unwrap();
    assert_eq!(chain.balance_of(PAYEE.address).await.unwrap(), U256::from(2500));
}

#[tokio::test]
async fn a_permit_allows_once_in_both_forms() {
    let chain = chain().await;
    let (owner, spender, value) = (BUYER.address, FACILITATOR.address, U256::from(900));
    let deadline = U256::MAX;
    let permit = |nonce: u64| Permit { owner, spender, value, nonce: U256::from(nonce), deadline };
    let Signature { v, r, s } = sign(&chain, &BUYER, &permit(0));
    let call = IUsdc::permit_0Call { holder: owner, spender, value, deadline, v, r, s };
    chain.send(spender, chain.usdc(), call.clone()).await.unwrap();
    assert_eq!(reason(chain.send(spender, chain.usdc(), call).await), "EIP2612: invalid signature");

    let signature = sign(&chain, &BUYER, &permit(1)).bytes();
    let call = IUsdc::permit_1Call { holder: owner, spender, value, deadline, signature };
    chain.send(spender, chain.usdc(), call).await.unwrap();
    assert_eq!(chain.call(chain.usdc(), IUsdc::noncesCall { holder: owner }).await.unwrap(), U256::from(2));

    let take = IUsdc::transferFromCall { from: owner, to: PAYEE.address, value };
    chain.send(spender, chain.usdc(), take.clone()).await.unwrap();
    let more = chain.send(spender, chain.usdc(), take).await;
    assert_eq!(reason(more), "ERC20: transfer amount exceeds allowance");
}

#[tokio::test]
async fn an_expired_permit_is_refused() {
    let chain = chain().await;
    let (owner, spender, value) = (BUYER.address, FACILITATOR.address, U256::from(900));
    let deadline = U256::from(1_000_000);
    let signature =
        sign(&chain, &BUYER, &Permit { owner, spender, value, nonce: U256::ZERO, deadline }).bytes();
    let call = IUsdc::permit_1Call { holder: owner, spender, value, deadline, signature };
    assert_eq!(reason(chain.send(spender, chain.usdc(), call).await), "FiatTokenV2: permit is expired");
}

#[tokio::test]
async fn a_denied_account_neither_sends_nor_receives() {
    let chain = chain().await;
    let denied = "Blacklistable: account is blacklisted";
    let message = authorization(BUYER.address, PAYEE.address, 2500, 1);
    for account in [BUYER.address, PAYEE.address] {
        chain.blacklist(account).await.unwrap();
        assert!(chain.call(chain.usdc(), IUsdc::isBlacklistedCall { account }).await.unwrap());
        assert_eq!(reason(pay(&chain, &BUYER, &message).await), denied);
        chain.unblacklist(account).await.unwrap();
    }
    let to_itself = authorization(BUYER.address, chain.usdc(), 2500, 2);
    assert_eq!(reason(pay(&chain, &BUYER, &to_itself).await), denied);
    pay(&chain, &BUYER, &message).await.unwrap();
}

#[tokio::test]
async fn a_paused_token_moves_nothing() {
    let chain = chain().await;
    let message = authorization(BUYER.address, PAYEE.address, 2500, 1);
    chain.pause().await.unwrap();
    assert_eq!(reason(pay(&chain, &BUYER, &message).await), "Pausable: paused");
    assert_eq!(reason(chain.mint(PAYEE.address, 1).await), "Pausable: paused");
    chain.unpause().await.unwrap();
    pay(&chain, &BUYER, &message).await.unwrap();
}

#[tokio::test]
async fn the_operator_alone_has_the_roles() {
    let chain = chain().await;
    let from = STRANGER.address;
    let mint = IUsdc::mintCall { to: from, amount: U256::from(1) };
    assert_eq!(reason(chain.send(from, chain.usdc(), mint).await), "FiatToken: caller is not a minter");
    let pause = chain.send(from, chain.usdc(), IUsdc::pauseCall {}).await;
    assert_eq!(reason(pause), "Pausable: caller is not the pauser");
    let deny = chain.send(from, chain.usdc(), IUsdc::blacklistCall { account: BUYER.address }).await;
    assert_eq!(reason(deny), "Blacklistable: caller is not the blacklister");
    let again = chain.send(from, chain.usdc(), IUsdc::initializeCall { operator: from }).await;
    assert_eq!(reason(again), "Usdc: already initialized");
}
