//! A local chain with a settler and a buyer on it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests and their helpers")]
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of it")]

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use alloy_primitives::{B256, Bytes, keccak256};
use alloy_sol_types::{SolCall, SolValue};
use async_trait::async_trait;
use farthing_ambient::{Entropy, OsEntropy, SystemClock, Timestamp};
use farthing_devnet::abi::IUsdc;
use farthing_devnet::{Account, Base, accounts};
use farthing_money::{Asset, BaseUnits, Network, Registry};
use farthing_protocol::Requirements;
use farthing_rail::{
    Broadcast, Payer, RailError, Settlement, SettlementLog, Settler, SignedPayment, VerifyError,
};
use farthing_rail_evm::eip3009::domain_separator;
use farthing_rail_evm::{ChainConfig, EvmPayer, EvmSettler, SettlerConfig};
use secp256k1::SecretKey;
use serde_json::json;

pub const PRICE: u64 = 2500;

/// Where transactions are written in tests: memory, which may be made to fail.
#[derive(Debug, Default)]
pub struct Log {
    pub records: Mutex<Vec<Broadcast>>,
    pub full: std::sync::atomic::AtomicBool,
}

#[async_trait]
impl SettlementLog for Log {
    async fn record(&self, broadcast: &Broadcast) -> Result<(), RailError> {
        if self.full.load(std::sync::atomic::Ordering::SeqCst) {
            return Err(RailError::NotRecorded("the disk is full".into()));
        }
        self.records.lock().unwrap().push(broadcast.clone());
        Ok(())
    }
}

impl Log {
    pub fn all(&self) -> Vec<Broadcast> {
        self.records.lock().unwrap().clone()
    }
}

pub struct World {
    pub chain: Base,
    pub settler: Arc<EvmSettler>,
    pub log: Arc<Log>,
}

pub fn secret(account: Account) -> SecretKey {
    SecretKey::from_byte_array(account.private_key.0).unwrap()
}

pub fn entropy() -> Arc<dyn Entropy> {
    Arc::new(OsEntropy)
}

pub fn network() -> Network {
    Network::BASE_SEPOLIA
}

pub fn usdc() -> Arc<Asset> {
    Registry::builtin().usdc(&network()).unwrap().clone()
}

pub fn at(url: &str) -> ChainConfig {
    ChainConfig::new(network(), vec![url.parse().unwrap()])
}

pub fn config_at(url: &str) -> SettlerConfig {
    SettlerConfig::new(vec![at(url)], secret(accounts::FACILITATOR))
}

pub fn settler_of(config: &SettlerConfig) -> Arc<EvmSettler> {
    Arc::new(EvmSettler::new(config, Arc::new(SystemClock), &entropy()).unwrap())
}

pub async fn world(change: impl FnOnce(&mut SettlerConfig)) -> World {
    let chain = Base::builder().start().await.unwrap();
    chain.mint(accounts::BUYER.address, 100_000_000).await.unwrap();
    let mut config = config_at(chain.rpc_url());
    change(&mut config);
    World { settler: settler_of(&config), chain, log: Arc::default() }
}

pub fn terms() -> Requirements {
    Requirements {
        scheme: "exact".into(),
        network: network(),
        amount: BaseUnits::new(PRICE.into()),
        asset: usdc().address.clone(),
        pay_to: accounts::PAYEE.address.to_string(),
        max_timeout_seconds: 300,
        extra: serde_json::from_value(json!({"name": "USDC", "version": "2"})).unwrap(),
    }
}

impl World {
    pub fn payer(&self, account: Account) -> EvmPayer {
        EvmPayer::new(secret(account), &[at(self.chain.rpc_url())], &entropy()).unwrap()
    }

    pub fn sign(&self, terms: &Requirements) -> SignedPayment {
        self.sign_as(accounts::BUYER, terms)
    }

    pub fn sign_as(&self, account: Account, terms: &Requirements) -> SignedPayment {
        self.payer(account).sign(terms, &usdc(), Timestamp::now(), &OsEntropy).unwrap()
    }

    pub async fn settle(
        &self,
        terms: &Requirements,
        signed: &SignedPayment,
    ) -> Result<Settlement, VerifyError> {
        self.settler.settle(terms, &signed.payload, &*self.log).await
    }

    /// The code with which a payment is not verified.
    pub async fn refused(&self, terms: &Requirements, signed: &SignedPayment) -> String {
        code(self.settler.verify(terms, &signed.payload).await.map(|verified| format!("{verified:?}")))
    }

    /// Somebody has seen our last transaction and redeems the authorization in it of this account; that transaction's
    /// hash.
    pub async fn redeem_as_stranger(&self, of: Account) -> B256 {
        let ours: Bytes = self.log.all().last().unwrap().raw.parse().unwrap();
        let selector = IUsdc::transferWithAuthorization_0Call::SELECTOR;
        let start = [&selector[..], of.address.into_word().as_slice()].concat();
        let call = ours.windows(start.len()).position(|window| window == start).unwrap();
        let data = Bytes::copy_from_slice(&ours[call..call + 4 + 9 * 32]);
        self.chain.submit(accounts::STRANGER.address, Some(self.chain.usdc()), data).await.unwrap()
    }

    /// The buyer cancels his payment: he signs, and somebody else pays for the gas.
    pub async fn cancel(&self, signed: &SignedPayment) {
        let (_, _, nonce) = signed.key.eip3009_parts().unwrap();
        let cancel = cancellation(accounts::BUYER, nonce.into());
        self.chain.send(accounts::STRANGER.address, self.chain.usdc(), cancel).await.unwrap();
    }

    pub async fn paid(&self) -> u64 {
        self.chain.balance_of(accounts::PAYEE.address).await.unwrap().to()
    }

    /// Waits until something is so, for at most a minute.
    pub async fn until(&self, what: &str, is_so: impl AsyncFn() -> bool) {
        let begun = Instant::now();
        while !is_so().await {
            assert!(begun.elapsed() < Duration::from_secs(60), "never: {what}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until the log has so many transactions and the chain knows each of them: what is recorded is sent only
    /// afterwards.
    pub async fn until_sent(&self, transactions: usize) {
        self.until("they are recorded", async || self.log.all().len() >= transactions).await;
        for sent in self.log.all() {
            self.until("the chain knows it", async || self.knows(&sent.transaction).await).await;
        }
    }

    /// The same, however many transactions so many payments go out in.
    pub async fn until_paid_out(&self, payments: usize) {
        let out = async || self.log.all().iter().map(|sent| sent.payments.len()).sum::<usize>() >= payments;
        self.until("all are recorded", out).await;
        self.until_sent(1).await;
    }

    async fn knows(&self, transaction: &str) -> bool {
        !self.chain.rpc("eth_getTransactionByHash", json!([transaction])).await.unwrap().is_null()
    }
}

/// The token's call that cancels an authorization, signed by whoever gave it.
pub fn cancellation(account: Account, nonce: B256) -> IUsdc::cancelAuthorization_1Call {
    let type_hash = keccak256("CancelAuthorization(address authorizer,bytes32 nonce)");
    let inner = keccak256((type_hash, account.address, nonce).abi_encode());
    let separator = domain_separator("USDC", "2", 84532, usdc().address.parse().unwrap());
    let digest = keccak256([&[0x19, 0x01], &separator[..], &inner[..]].concat());
    let signature = signature(account, digest).into();
    IUsdc::cancelAuthorization_1Call { authorizer: account.address, nonce, signature }
}

/// An account's signature of a digest: `r`, `s` and `v`.
pub fn signature(account: Account, digest: B256) -> Vec<u8> {
    let message = secp256k1::Message::from_digest(digest.0);
    let (id, compact) =
        secp256k1::SECP256K1.sign_ecdsa_recoverable(message, &secret(account)).serialize_compact();
    let v = 27 + u8::try_from(i32::from(id)).unwrap();
    [&compact[..], &[v]].concat()
}

pub fn code<T: std::fmt::Debug>(result: Result<T, VerifyError>) -> String {
    match result {
        Err(VerifyError::Invalid { reason, .. }) => reason.to_string(),
        other => format!("{other:?}"),
    }
}

#[track_caller]
pub fn transaction(settlement: Result<Settlement, VerifyError>) -> String {
    match settlement {
        Ok(Settlement::Confirmed { transaction, amount, .. }) => {
            assert_eq!(amount.get(), u128::from(PRICE));
            transaction
        }
        other => panic!("not confirmed: {other:?}"),
    }
}
