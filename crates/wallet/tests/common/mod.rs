//! A seller that says whatever bytes it is told to, and a buyer whose chain is silent.

#![allow(dead_code, reason = "not every test file uses all of it")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use farthing_ambient::{SeededEntropy, TestClock};
use farthing_ledger::{Ledger, Purchase, PurchaseFilter};
use farthing_money::{Network, Registry};
use farthing_policy::Policy;
use farthing_protocol::x402::{decode_header, encode_header};
use farthing_rail::Payer as _;
use farthing_rail_evm::{ChainConfig, EvmPayer};
use farthing_wallet::{
    BodyStore, CallLimits, Client, ClientConfig, FetchError, Fetched, LocalWallet, LocalWalletConfig, Request,
};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

pub(crate) const PAYEE: &str = "0x209693Bc6afc0C5328bA36FaF03C514EF312287C";
pub(crate) const POLICY: &str = "version: 1\npayments:\n  max: \"$1\"\n";

/// A request as it came over the wire.
#[derive(Debug, Clone)]
pub(crate) struct Heard {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
}

impl Heard {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The payment, in either version.
    pub(crate) fn payment(&self) -> Option<&str> {
        self.header("payment-signature").or_else(|| self.header("x-payment"))
    }
}

/// What the seller does after its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    Closes,
    Hangs,
}

pub(crate) type Reply = (Vec<u8>, Then);

#[derive(Clone)]
pub(crate) struct Seller {
    pub(crate) url: String,
    heard: Arc<Mutex<Vec<Heard>>>,
}

impl Seller {
    /// A seller that answers the n-th request (from 0) as `answer` says.
    pub(crate) async fn start(answer: impl Fn(&Heard, usize) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (heard, answer) = (Arc::<Mutex<Vec<Heard>>>::default(), Arc::new(answer));
        let log = heard.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, log.clone(), answer.clone()));
            }
        });
        Self { url, heard }
    }

    /// A seller that asks for payment with this 402, and to a payment answers as `paid` says.
    pub(crate) async fn selling(ask: Vec<u8>, paid: impl Fn(usize) -> Reply + Send + Sync + 'static) -> Self {
        let payments = Mutex::new(0);
        Self::start(move |heard, _| {
            if heard.payment().is_none() {
                return (ask.clone(), Then::Closes);
            }
            let mut count = payments.lock().unwrap();
            *count += 1;
            paid(*count - 1)
        })
        .await
    }

    pub(crate) fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }

    pub(crate) fn payments(&self) -> Vec<String> {
        self.heard().iter().filter_map(|heard| heard.payment().map(str::to_owned)).collect()
    }
}

async fn serve(
    mut stream: TcpStream,
    log: Arc<Mutex<Vec<Heard>>>,
    answer: Arc<impl Fn(&Heard, usize) -> Reply + Send + Sync + 'static>,
) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = stream.read_u8().await else { return };
        head.push(byte);
    }
    let heard = parse(&String::from_utf8_lossy(&head));
    let number = {
        let mut log = log.lock().unwrap();
        log.push(heard.clone());
        log.len() - 1
    };
    let (bytes, then) = answer(&heard, number);
    stream.write_all(&bytes).await.ok();
    match then {
        Then::Closes => drop(stream.shutdown().await),
        Then::Hangs => std::future::pending().await,
    }
}

fn parse(head: &str) -> Heard {
    let mut lines = head.split("\r\n");
    let mut first = lines.next().unwrap_or_default().split(' ');
    let mut word = || first.next().unwrap_or_default().to_owned();
    let (method, path) = (word(), word());
    let headers = lines.filter_map(|line| line.split_once(':'));
    let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect();
    Heard { method, path, headers }
}

/// A whole answer, after which the connection closes.
pub(crate) fn http(status: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut answer = format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n", body.len());
    for (name, value) in headers {
        answer.push_str(&format!("{name}: {value}\r\n"));
    }
    [answer.as_bytes(), b"\r\n", body].concat()
}

/// An answer that says that it settled.
pub(crate) fn settled(headers: &[(&str, &str)], body: &[u8]) -> Reply {
    let word = json!({"success": true, "transaction": "0xabc", "network": "eip155:84532"});
    let word = encode_header(&word).unwrap();
    (http("200 OK", &[headers, &[("payment-response", &word)]].concat(), body), Then::Closes)
}

/// Two thousandths of a dollar on Base Sepolia.
pub(crate) fn offer() -> Value {
    json!({"scheme": "exact", "network": "eip155:84532", "amount": "2000",
        "asset": "0x036CbD53842c5426634e7929541eC2318f3dCF7e", "payTo": PAYEE, "maxTimeoutSeconds": 60,
        "extra": {"name": "USDC", "version": "2"}})
}

/// The offer with another value at `key`; `extra.` leads inside.
pub(crate) fn offer_with(key: &str, value: Value) -> Value {
    let mut offer = offer();
    match key.strip_prefix("extra.") {
        Some(key) => offer["extra"][key] = value,
        None => offer[key] = value,
    }
    offer
}

pub(crate) fn offer_v1(amount: &str, pay_to: &str) -> Value {
    json!({"scheme": "exact", "network": "base-sepolia", "maxAmountRequired": amount, "payTo": pay_to,
        "resource": "http://127.0.0.1/goods", "description": "", "mimeType": "", "maxTimeoutSeconds": 60,
        "asset": "0x036CbD53842c5426634e7929541eC2318f3dCF7e", "extra": {"name": "USDC", "version": "2"}})
}

pub(crate) fn ask(offers: &[Value]) -> Vec<u8> {
    ask_with(offers, &json!({"url": "http://127.0.0.1/goods"}), b"{}")
}

pub(crate) fn ask_with(offers: &[Value], resource: &Value, body: &[u8]) -> Vec<u8> {
    let required = json!({"x402Version": 2, "resource": resource, "accepts": offers});
    http("402 Payment Required", &[("payment-required", &encode_header(&required).unwrap())], body)
}

/// A 402 whose v2 JSON is this text, well formed or not.
pub(crate) fn ask_text(json: &str) -> Vec<u8> {
    // Any value that serialises as itself.
    let raw = serde_json::value::RawValue::from_string(json.to_owned()).unwrap();
    http("402 Payment Required", &[("payment-required", &encode_header(&raw).unwrap())], b"{}")
}

pub(crate) fn decoded(payment: &str) -> Value {
    decode_header("payment", payment.as_bytes()).unwrap()
}

/// The address of every buyer's key.
pub(crate) fn own_address() -> String {
    payer().address(&Network::BASE_SEPOLIA).unwrap()
}

fn payer() -> EvmPayer {
    let secret = secp256k1::SecretKey::from_byte_array([7; 32]).unwrap();
    let chains = [Network::BASE, Network::BASE_SEPOLIA]
        .map(|network| ChainConfig::new(network, vec!["http://127.0.0.1:9".parse().unwrap()]));
    EvmPayer::new(secret, &chains, &(Arc::new(SeededEntropy::new(1)) as _)).unwrap()
}

pub(crate) struct Buyer {
    pub(crate) client: Client,
    pub(crate) ledger: Ledger,
    pub(crate) home: tempfile::TempDir,
}

/// How long a buyer waits for a seller, who is at work.
const PATIENCE: Duration = Duration::from_secs(15);

impl Buyer {
    pub(crate) fn new(policy: &str) -> Self {
        Self::keeping(policy, 1 << 20)
    }

    /// A buyer that keeps so many bytes of a body.
    pub(crate) fn keeping(policy: &str, max_bytes: u64) -> Self {
        Self::made(policy, max_bytes, ClientConfig { timeout: PATIENCE, ..ClientConfig::default() })
    }

    /// A buyer for sellers who do not answer.
    pub(crate) fn hasty(policy: &str) -> Self {
        let timeout = Duration::from_secs(3);
        Self::made(policy, 1 << 20, ClientConfig { timeout, ..ClientConfig::default() })
    }

    /// A buyer that reads on for so long when whoever a paid body is for has left.
    pub(crate) fn waiting(policy: &str, max_bytes: u64, rest_timeout: Duration) -> Self {
        Self::made(
            policy,
            max_bytes,
            ClientConfig { timeout: PATIENCE, rest_timeout, ..ClientConfig::default() },
        )
    }

    fn made(policy: &str, max_bytes: u64, config: ClientConfig) -> Self {
        let home = tempfile::tempdir().unwrap();
        let clock = Arc::new(TestClock::at_unix_second(1_800_000_000));
        let ledger = Ledger::in_memory(clock.clone()).unwrap();
        let wallet = LocalWallet::new(LocalWalletConfig {
            payers: vec![Arc::new(payer())],
            registry: Registry::builtin(),
            policy: Policy::parse(policy).unwrap().into(),
            ledger: ledger.clone(),
            preference: Vec::new(),
            clock,
            entropy: Arc::new(SeededEntropy::new(2)),
        });
        let config = ClientConfig { bodies: BodyStore::new(home.path(), max_bytes), ..config };
        Self { client: Client::new(Arc::new(wallet), config).unwrap(), ledger, home }
    }

    pub(crate) async fn fetch(&self, seller: &Seller) -> Result<Fetched, FetchError> {
        self.fetch_within(seller, CallLimits::default()).await
    }

    pub(crate) async fn fetch_within(
        &self,
        seller: &Seller,
        limits: CallLimits,
    ) -> Result<Fetched, FetchError> {
        self.client.fetch(request(seller), limits).await
    }

    pub(crate) async fn purchases(&self) -> Vec<Purchase> {
        self.ledger.purchases(PurchaseFilter::default()).await.unwrap()
    }
}

pub(crate) fn request(seller: &Seller) -> Request {
    Request::get(&format!("{}/goods", seller.url)).unwrap()
}

/// Whoever asks this seller gets an error instead of a signature, and the ledger stays empty.
pub(crate) async fn assert_nothing_signed(ask: Vec<u8>, case: &str) -> FetchError {
    let buyer = Buyer::new(POLICY);
    let seller = Seller::selling(ask, |_| settled(&[], b"goods")).await;
    let answer = tokio::time::timeout(Duration::from_secs(10), buyer.fetch(&seller)).await;
    let error = match answer.unwrap_or_else(|_| panic!("{case}: it is bounded")) {
        Ok(fetched) => panic!("{case}: {fetched:?}"),
        Err(error) => error,
    };
    assert_eq!((seller.payments().len(), buyer.purchases().await.len()), (0, 0), "{case}: {error}");
    error
}
