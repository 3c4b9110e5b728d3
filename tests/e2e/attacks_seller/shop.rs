//! What the attacks meet: a chain, an API that can turn against its own seller, gateways in front of it, and a buyer whose
//! payments are signed here, so that they can be sent in any form and any number.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use farthing_ambient::{Entropy, OsEntropy, Timestamp};
use farthing_devnet::accounts::{BUYER, FACILITATOR_2, PAYEE};
use farthing_devnet::{BASE_SEPOLIA, Base};
use farthing_keystore::EvmKey;
use farthing_money::{Network, Registry};
use farthing_protocol::x402::Payment;
use farthing_protocol::{Challenge, Protocol};
use farthing_rail::Payer as _;
use farthing_rail_evm::{ChainConfig, EvmPayer};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::Child;
use tokio::sync::Semaphore;

use crate::world::{free_port, start_server};

/// What every priced route of the shop costs, in base units.
pub(crate) const PRICE: u64 = 10_000;

/// keccak256 of `AuthorizationUsed(address,bytes32)`: the token logs it once for each payment that moves money.
const AUTHORIZATION_USED: &str = "0x98de503528ee59b575ef0c0a2576a82497bfc029a5685b209e9ec333479b10a5";

/// What the API does and sees.
#[derive(Clone)]
pub(crate) struct Api {
    chain: Arc<Base>,
    served: Arc<AtomicUsize>,
    open: Arc<AtomicUsize>,
    most_open: Arc<AtomicUsize>,
    /// A permit for each call of /wait that may go on.
    permits: Arc<Semaphore>,
}

impl Api {
    /// How many requests reached it.
    pub(crate) fn served(&self) -> usize {
        self.served.load(Ordering::SeqCst)
    }

    /// How many it worked on at once, at most.
    pub(crate) fn most_open(&self) -> usize {
        self.most_open.load(Ordering::SeqCst)
    }

    /// So many calls of /wait go on.
    pub(crate) fn let_go(&self, calls: usize) {
        self.permits.add_permits(calls);
    }

    async fn start(chain: Arc<Base>) -> (Self, String) {
        let permits = Arc::new(Semaphore::new(0));
        let api =
            Self { chain, served: Arc::default(), open: Arc::default(), most_open: Arc::default(), permits };
        let router = Router::new().route("/{what}/{name}", get(handle)).with_state(api.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (api, url)
    }
}

async fn handle(State(api): State<Api>, Path((what, name)): Path<(String, String)>) -> Response {
    api.served.fetch_add(1, Ordering::SeqCst);
    api.most_open.fetch_max(api.open.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
    match what.as_str() {
        // Long enough for copies to arrive meanwhile.
        "slow" => tokio::time::sleep(Duration::from_millis(300)).await,
        "wait" => api.permits.acquire().await.unwrap().forget(),
        // The buyer spends his money elsewhere.
        "drain" => api.chain.set_balance(BUYER.address, 0).await.unwrap(),
        // From here the chain takes transactions and makes no blocks.
        "hold" => api.chain.stop_mining().await.unwrap(),
        _ => {}
    }
    api.open.fetch_sub(1, Ordering::SeqCst);
    format!("the data of {name}").into_response()
}

/// Everything at once. Dropping it stops all of it.
pub(crate) struct Shop {
    pub(crate) chain: Arc<Base>,
    pub(crate) api: Api,
    /// Where each gateway listens. They share one ledger.
    pub(crate) ports: Vec<u16>,
    payer: EvmPayer,
    http: reqwest::Client,
    _gateways: Vec<Child>,
    _folder: TempDir,
}

/// A payment in its header.
pub(crate) type Header = (&'static str, String);

impl Shop {
    /// So many gateways, with further keys of gateway.yaml, and a buyer with this balance.
    pub(crate) async fn open(gateways: usize, balance: u64, more: &str) -> Self {
        let chain = Arc::new(Base::builder().chain_id(BASE_SEPOLIA).start().await.unwrap());
        chain.mint(BUYER.address, balance).await.unwrap();
        let (api, upstream) = Api::start(chain.clone()).await;
        let folder = tempfile::tempdir().unwrap();
        // Two programs never send from one account.
        let second = folder.path().join("signer-2");
        std::fs::write(&second, FACILITATOR_2.private_key.to_string()).unwrap();
        std::fs::set_permissions(&second, Permissions::from_mode(0o600)).unwrap();
        let signers = ["env: SIGNER_KEY".to_owned(), format!("file: {}", second.display())];
        let (mut ports, mut running) = (Vec::new(), Vec::new());
        for (n, signer) in signers.iter().take(gateways).enumerate() {
            let port = free_port();
            // Beside each other: `start_server` gives both one home, and with it one ledger.
            let config = folder.path().join(format!("gateway{n}.yaml"));
            std::fs::write(&config, yaml(port, &upstream, chain.rpc_url(), signer, more)).unwrap();
            running.push(start_server("gateway", &config, &format!("http://127.0.0.1:{port}")).await);
            ports.push(port);
        }
        let payer = buyer(&chain);
        let http = reqwest::Client::new();
        Self { chain, api, ports, payer, http, _gateways: running, _folder: folder }
    }

    /// What the payee has earned.
    pub(crate) async fn earned(&self) -> u64 {
        self.chain.balance_of(PAYEE.address).await.unwrap().to()
    }

    /// How many payments of the buyer moved money, by the token's own log.
    pub(crate) async fn used(&self) -> usize {
        let usdc = self.chain.usdc();
        let filter = json!([{"fromBlock": "0x0", "address": usdc, "topics": [AUTHORIZATION_USED]}]);
        let logs: Value = self.chain.rpc("eth_getLogs", filter).await.unwrap();
        logs.as_array().unwrap().len()
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.ports[0])
    }

    /// A payment for what this path asks, in this version of the protocol.
    pub(crate) async fn sign(&self, path: &str, protocol: Protocol) -> Payment {
        let answer = self.http.get(self.url(path)).send().await.unwrap();
        let header = answer.headers().get("payment-required").map(|header| header.as_bytes().to_vec());
        let body = answer.bytes().await.unwrap();
        let challenge = Challenge::read(header.as_deref(), &body).unwrap();
        let offer = challenge.offers.iter().find(|offer| offer.protocol == protocol).unwrap();
        let usdc = Registry::builtin().usdc(&Network::BASE_SEPOLIA).unwrap().clone();
        let signed = self.payer.sign(&offer.requirements, &usdc, Timestamp::now(), &OsEntropy).unwrap();
        Payment::answer(&challenge, offer, signed.payload).unwrap()
    }

    /// The same, in its header.
    pub(crate) async fn pay(&self, path: &str) -> Header {
        self.sign(path, Protocol::X402V2).await.to_header().unwrap()
    }

    /// One request with a payment: status, body, and whether it says when to come back.
    pub(crate) async fn send(&self, path: &str, payment: &Header) -> (u16, String, bool) {
        let answer = self.http.get(self.url(path)).header(payment.0, &payment.1).send().await.unwrap();
        let (status, later) = (answer.status().as_u16(), answer.headers().contains_key("retry-after"));
        (status, answer.text().await.unwrap(), later)
    }
}

fn buyer(chain: &Base) -> EvmPayer {
    let key = EvmKey::from_hex(&BUYER.private_key.to_string()).unwrap();
    let at = ChainConfig::new(Network::BASE_SEPOLIA, vec![chain.rpc_url().parse().unwrap()]);
    let entropy: Arc<dyn Entropy> = Arc::new(OsEntropy);
    EvmPayer::new(*key.secret_key(), &[at], &entropy).unwrap()
}

fn yaml(port: u16, upstream: &str, rpc: &str, signer: &str, more: &str) -> String {
    let pay_to = PAYEE.address;
    format!(
        r#"listen: 127.0.0.1:{port}
public_url: http://127.0.0.1:4020
upstream: {upstream}
pay_to: "{pay_to}"
accepts: [base-sepolia]
facilitator: {{in_process: {{networks: {{base-sepolia: {{rpc: ["{rpc}"], signers: [{{{signer}}}]}}}}}}}}
routes:
  - {{match: "GET /{{what}}/{{name}}", price: "$0.01"}}
{more}
"#
    )
}

/// Sends the same bytes so many times over one connection that is kept open, and counts the answers by their status.
pub(crate) async fn repeat(port: u16, request: Arc<[u8]>, times: usize) -> Vec<u16> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (mut statuses, mut buffer) = (Vec::with_capacity(times), Vec::new());
    for _ in 0..times {
        stream.write_all(&request).await.unwrap();
        buffer.clear();
        while !is_whole(&buffer) {
            assert_ne!(stream.read_buf(&mut buffer).await.unwrap(), 0, "the gateway hung up");
        }
        statuses.push(std::str::from_utf8(&buffer[9..12]).unwrap().parse().unwrap());
    }
    statuses
}

/// Whether an answer is there to its last byte. All answers to payments tell their length.
fn is_whole(answer: &[u8]) -> bool {
    let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") else { return false };
    let head = std::str::from_utf8(&answer[..end]).unwrap().to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    answer.len() >= end + 4 + length.parse::<usize>().unwrap()
}

/// A request without a body, as bytes.
pub(crate) fn get_request(path: &str, payment: &Header) -> Arc<[u8]> {
    format!("GET {path} HTTP/1.1\r\nhost: shop\r\n{}: {}\r\n\r\n", payment.0, payment.1).into_bytes().into()
}
