//! Sellers that say whatever bytes they are told to, and a proxy with a wallet whose chain is silent.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use farthing_agent::guard::PolicyFile;
use farthing_agent::proxy::{KnownToken, Proxy, ProxyConfig, Token, TokenFile, Tokens};
use farthing_ambient::{SeededEntropy, TestClock, Timestamp};
use farthing_http::Reach;
use farthing_ledger::Ledger;
use farthing_money::{Network, Registry};
use farthing_policy::Policy;
use farthing_rail_evm::{ChainConfig, EvmPayer};
use farthing_wallet::{BodyStore, Client, ClientConfig, LocalWallet, LocalWalletConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, spawn_blocking};

/// Two thousandths of a dollar on Base Sepolia, in x402's version 1.
pub(crate) const ASK: &str = r#"{"x402Version":1,"error":"pay","accepts":[{"scheme":"exact","network":"base-sepolia",
"maxAmountRequired":"2000","payTo":"0x209693Bc6afc0C5328bA36FaF03C514EF312287C","resource":"http://127.0.0.1/goods",
"description":"","mimeType":"","maxTimeoutSeconds":60,"asset":"0x036CbD53842c5426634e7929541eC2318f3dCF7e",
"extra":{"name":"USDC","version":"2"}}]}"#;

const POLICY: &str = "version: 1\npayments:\n  max: \"$1\"\n  hosts: {deny: [\"denied.example\"]}\n";

pub(crate) struct Seller {
    pub(crate) url: String,
    heard: Arc<Mutex<Vec<String>>>,
}

/// A whole answer; `status` may go on with headers.
pub(crate) fn answer(status: &str, body: &str) -> (String, bool) {
    (format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len()), false)
}

impl Seller {
    /// A seller that answers what it heard with these bytes, and then hangs or closes the connection.
    pub(crate) async fn start(says: impl Fn(&str) -> (String, bool) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (heard, says) = (Arc::<Mutex<Vec<String>>>::default(), Arc::new(says));
        let log = heard.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (log, says) = (log.clone(), says.clone());
                tokio::spawn(async move {
                    let request = hear(&mut stream).await;
                    log.lock().unwrap().push(request.clone());
                    // It may take its time, which must not hold up the proxy's tasks.
                    let (bytes, hangs) = spawn_blocking(move || says(&request)).await.unwrap();
                    stream.write_all(bytes.as_bytes()).await.ok();
                    if hangs {
                        std::future::pending::<()>().await;
                    }
                });
            }
        });
        Self { url, heard }
    }

    pub(crate) fn host(&self) -> &str {
        self.url.trim_start_matches("http://")
    }

    pub(crate) fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }
}

async fn hear(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                return text;
            }
        }
        if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return String::from_utf8_lossy(&bytes).into_owned();
        }
    }
}

pub(crate) struct World {
    address: SocketAddr,
    pub(crate) token: String,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) ledger: Ledger,
    stop: oneshot::Sender<()>,
    running: JoinHandle<()>,
    _home: tempfile::TempDir,
}

impl World {
    /// A proxy that may call these sellers, although they are on this machine.
    pub(crate) async fn start(sellers: &[&Seller]) -> Self {
        let home = tempfile::tempdir().unwrap();
        let policy = home.path().join("policy.yaml");
        std::fs::write(&policy, POLICY).unwrap();
        let (clock, entropy) =
            (Arc::new(TestClock::at_unix_second(1_800_000_000)), Arc::new(SeededEntropy::new(2)));
        let ledger = Ledger::in_memory(clock.clone()).unwrap();
        let wallet = LocalWallet::new(LocalWalletConfig {
            payers: vec![Arc::new(payer())],
            registry: Registry::builtin(),
            policy: Arc::new(Policy::parse(POLICY).unwrap()),
            ledger: ledger.clone(),
            preference: Vec::new(),
            clock: clock.clone(),
            entropy: entropy.clone(),
        });
        let client = ClientConfig {
            timeout: Duration::from_secs(4),
            bodies: BodyStore::new(home.path(), 1 << 20),
            reach: Reach::public().and_hosts(sellers.iter().map(|seller| seller.host().to_owned())),
            ..ClientConfig::default()
        };
        let (token, tokens) = one_token(home.path());
        let proxy = Proxy::bind(ProxyConfig {
            bind: ([127, 0, 0, 1], 0).into(),
            client: Client::new(Arc::new(wallet), client).unwrap(),
            policy: Arc::new(PolicyFile::open(&policy).unwrap()),
            ledger: ledger.clone(),
            tokens,
            anonymous: None,
            allow_hosts: Vec::new(),
            max_request_bytes: 1 << 20,
            grace: Duration::from_secs(2),
            run: "r".to_owned(),
            notify: None,
            clock: clock.clone(),
            entropy,
        })
        .await
        .unwrap();
        let address = proxy.address().unwrap();
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(proxy.run(async move { drop(stopped.await) }));
        Self { address, token, clock, ledger, stop, running, _home: home }
    }

    /// What the journal says of refused calls: rule, session and the rest of each.
    pub(crate) async fn refusals(&self) -> Vec<String> {
        let rows = self.ledger.journal(0, 1_000).await.unwrap();
        rows.into_iter().filter(|row| row.kind == "call_denied").map(|row| row.body).collect()
    }

    pub(crate) fn host(&self) -> String {
        self.address.to_string()
    }

    /// A request with the token.
    pub(crate) fn get(&self, target: &str) -> String {
        format!("GET {target} HTTP/1.1\r\nhost: {}\r\nx-api-key: {}\r\n\r\n", self.address, self.token)
    }

    /// How long the proxy takes to end.
    pub(crate) async fn end(self) -> Duration {
        let began = Instant::now();
        self.stop.send(()).unwrap();
        self.running.await.unwrap();
        began.elapsed()
    }
}

fn payer() -> EvmPayer {
    let secret = secp256k1::SecretKey::from_byte_array([7; 32]).unwrap();
    let chain = ChainConfig::new(Network::BASE_SEPOLIA, vec!["http://127.0.0.1:9".parse().unwrap()]);
    EvmPayer::new(secret, &[chain], &(Arc::new(SeededEntropy::new(1)) as _)).unwrap()
}

fn one_token(home: &std::path::Path) -> (String, TokenFile) {
    let token = Token::generate(&SeededEntropy::new(3)).unwrap();
    let mut tokens = Tokens::none();
    tokens.tokens.push(KnownToken {
        id: "t1".to_owned(),
        agent: "anybody".to_owned(),
        sha256: token.digest(),
        made: Timestamp::UNIX_EPOCH,
    });
    let path = home.join("tokens.json");
    std::fs::write(&path, serde_json::to_string(&tokens).unwrap()).unwrap();
    (token.reveal().to_owned(), TokenFile::open(path).unwrap())
}

/// Sends these bytes, and gives back what comes until the answer is whole or the connection ends.
pub(crate) async fn raw(world: &World, request: &str) -> String {
    let mut stream = TcpStream::connect(world.address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut said = Vec::new();
    while !is_whole(&String::from_utf8_lossy(&said)) {
        let read = tokio::time::timeout(Duration::from_secs(10), stream.read_buf(&mut said)).await;
        if !matches!(read, Ok(Ok(1..))) {
            break;
        }
    }
    String::from_utf8_lossy(&said).into_owned()
}

fn is_whole(answer: &str) -> bool {
    let Some((head, body)) = answer.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    length.map_or_else(|| body.ends_with("\r\n0\r\n\r\n"), |length: usize| body.len() >= length)
}
