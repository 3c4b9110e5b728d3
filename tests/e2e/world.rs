//! A chain, an API, a gateway in front of it, and a wallet: everything a paid call needs.

#[path = "world/model.rs"]
pub(crate) mod model;
#[path = "world/programs.rs"]
pub(crate) mod programs;

use std::ffi::OsString;
use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Request, StatusCode};
use axum::response::{IntoResponse, Response};
use farthing_devnet::accounts::{FACILITATOR, PAYEE};
use farthing_devnet::{BASE_SEPOLIA, Base};
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::sync::Semaphore;

pub(crate) const FARTHING: &str = env!("CARGO_BIN_EXE_farthing");
const PASSPHRASE: &str = "correct horse";

/// A policy that gets in nobody's way.
pub(crate) const GENEROUS: &str =
    "version: 1\npayments:\n  max: \"$5\"\n  budgets:\n    - {name: ever, max: \"$100\", per: lifetime}\n";

/// The routes that most tests sell.
pub(crate) const ROUTES: &str = r#"
  - {match: "GET /weather/{city}", price: "$0.002"}
  - {match: "POST /echo", price: "$0.01"}
  - {match: "GET /broken", price: "$0.01"}
  - {match: "GET /slow", price: "$0.01", timeout: 1s}
  - {match: "GET /pause", price: "$0.01"}
  - {match: "GET /upfront", price: "$0.01", flow: upfront}
"#;

const PIXEL: &[u8] =
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0\x1f\x15\xc4\x89\0\0\0\x0dIDATx\x9cc\
\xf8\xff\xff?\0\x05\xfe\x02\xfe\xa75\x81\x84\0\0\0\0IEND\xaeB`\x82";

/// What the API behind the gateway saw.
#[derive(Debug, Clone)]
pub(crate) struct Upstream {
    pub(crate) url: String,
    served: Arc<AtomicU64>,
    permits: Arc<Semaphore>,
}

/// What the handlers need.
#[derive(Clone)]
struct Api {
    served: Arc<AtomicU64>,
    /// One for each event of /events that may come after the first.
    permits: Arc<Semaphore>,
    chain: Arc<Base>,
}

impl Upstream {
    async fn start(chain: Arc<Base>) -> Self {
        let (served, permits) = (Arc::new(AtomicU64::new(0)), Arc::new(Semaphore::new(0)));
        let api = Api { served: served.clone(), permits: permits.clone(), chain };
        let router = Router::new().fallback(handle).with_state(api);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, served, permits }
    }

    /// So many more events come.
    pub(crate) fn let_events_go(&self, events: usize) {
        self.permits.add_permits(events);
    }

    /// How many requests reached the API.
    pub(crate) fn served(&self) -> u64 {
        self.served.load(Ordering::SeqCst)
    }
}

/// What buyers look for before they call: this API has none of it, and these requests are no calls of it.
const DOCUMENTS: [&str; 4] = ["/openapi.json", "/llms.txt", "/.well-known/x402", "/.well-known/mpp"];

async fn handle(State(api): State<Api>, request: Request<Body>) -> Response {
    let path = request.uri().path().to_owned();
    if DOCUMENTS.contains(&&*path) {
        return StatusCode::NOT_FOUND.into_response();
    }
    let before = api.served.fetch_add(1, Ordering::SeqCst);
    let leaked = request
        .headers()
        .keys()
        .any(|name| name.as_str().starts_with("x-payment") || name.as_str().starts_with("payment-"));
    if leaked {
        return (StatusCode::IM_A_TEAPOT, "a payment header reached the upstream").into_response();
    }
    if request.headers().values().any(|value| value.as_bytes().windows(4).any(|part| part == b"fth_")) {
        return (StatusCode::IM_A_TEAPOT, "a proxy's token reached the upstream").into_response();
    }
    match path.as_str() {
        "/v1/chat/completions" => model::answer(request).await,
        // Models with a bad day, for a client that tries again.
        "/failing/chat/completions" if before == 0 => {
            (StatusCode::INTERNAL_SERVER_ERROR, [("x-should-retry", "true")], "out of order").into_response()
        }
        "/breaking/chat/completions" if before == 0 => model::broken(),
        "/failing/chat/completions" | "/breaking/chat/completions" => model::answer(request).await,
        "/pondering/chat/completions" => {
            tokio::time::sleep(Duration::from_millis(5500)).await;
            model::answer(request).await
        }
        "/events" => {
            let pieces = (1..=3).map(|n| format!("data: {n}\n\n")).collect();
            model::events(pieces, move || {
                let permits = api.permits.clone();
                async move { permits.acquire().await.unwrap().forget() }
            })
        }
        "/broken" => (StatusCode::INTERNAL_SERVER_ERROR, "out of order").into_response(),
        "/slow" => {
            tokio::time::sleep(Duration::from_secs(5)).await;
            "late".into_response()
        }
        // Between verification and settlement the token is paused: the settlement reverts.
        "/pause" => {
            api.chain.pause().await.unwrap();
            "served in vain".into_response()
        }
        "/echo" => {
            let body = axum::body::to_bytes(request.into_body(), 1 << 20).await.unwrap();
            ([("content-type", "application/octet-stream")], body).into_response()
        }
        "/later" => {
            tokio::time::sleep(Duration::from_secs(3)).await;
            "better late".into_response()
        }
        // One transparent pixel.
        "/image" => ([("content-type", "image/png")], PIXEL).into_response(),
        "/long" => ([("content-type", "text/plain")], "0123456789".repeat(20_000)).into_response(),
        // In pieces, of no length that is known beforehand.
        "/stream" | "/stream/upfront" => {
            let pieces = (0..64_u8).map(|n| Ok::<_, std::convert::Infallible>(vec![n; 4096]));
            Body::from_stream(futures::stream::iter(pieces)).into_response()
        }
        path => axum::Json(serde_json::json!({"path": path})).into_response(),
    }
}

/// Everything at once. Dropping it stops all of it.
pub(crate) struct World {
    pub(crate) chain: Arc<Base>,
    pub(crate) upstream: Upstream,
    pub(crate) url: String,
    pub(crate) folder: TempDir,
    pub(crate) wallet: Wallet,
    gateway: Child,
}

impl World {
    /// A wallet with five dollars, a generous policy, and a gateway that sells [`ROUTES`].
    pub(crate) async fn start() -> Self {
        Self::selling(ROUTES, "").await
    }

    /// The same with these routes and further keys of gateway.yaml.
    pub(crate) async fn selling(routes: &str, more: &str) -> Self {
        let chain = local_chain().await;
        let in_process = in_process(&chain);
        Self::settled_by(chain, &in_process, routes, more).await
    }

    /// The same on this chain, with this value of `facilitator` in gateway.yaml.
    pub(crate) async fn settled_by(chain: Arc<Base>, facilitator: &str, routes: &str, more: &str) -> Self {
        let upstream = Upstream::start(chain.clone()).await;
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let config = folder.path().join("gateway.yaml");
        let url = format!("http://127.0.0.1:{port}");
        std::fs::write(&config, gateway_yaml(port, &upstream.url, facilitator, routes, more)).unwrap();
        let gateway = start_server("gateway", &config, &url).await;
        let wallet = Wallet::new(folder.path().join("wallet"), &chain).await;
        Self { chain, upstream, url, folder, wallet, gateway }
    }

    /// What the payee holds, in base units.
    pub(crate) async fn earned(&self) -> u64 {
        self.chain.balance_of(PAYEE.address).await.unwrap().to_string().parse().unwrap()
    }

    /// What the wallet holds, in base units, asked of the chain and not of the wallet.
    pub(crate) async fn held(&self) -> u64 {
        let address = self.wallet.address.parse().unwrap();
        self.chain.balance_of(address).await.unwrap().to_string().parse().unwrap()
    }

    pub(crate) fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    /// Ends the gateway as an operator would, and says how it ended.
    pub(crate) async fn stop_gateway(&mut self) -> std::process::ExitStatus {
        terminate(&self.gateway);
        tokio::time::timeout(Duration::from_secs(20), self.gateway.wait()).await.unwrap().unwrap()
    }
}

/// Starts `farthing gateway` or `farthing facilitator` and waits until it listens.
pub(crate) async fn start_server(command: &str, config: &Path, url: &str) -> Child {
    listening(server(command, config).spawn().unwrap(), config, url).await
}

/// `farthing gateway` or `farthing facilitator`, with a home and a log beside its configuration.
pub(crate) fn server(command: &str, config: &Path) -> Command {
    let log = std::fs::OpenOptions::new().create(true).append(true).open(config.with_extension("log"));
    let file = log.unwrap();
    let mut server = Command::new(FARTHING);
    server
        .args([command, "-c"])
        .arg(config)
        .env("FARTHING_HOME", config.parent().unwrap().join(command))
        .env("SIGNER_KEY", FACILITATOR.private_key.to_string())
        .stdin(Stdio::null())
        .stdout(file.try_clone().unwrap())
        .stderr(file)
        .kill_on_drop(true);
    server
}

/// Waits until a server listens.
pub(crate) async fn listening(mut child: Child, config: &Path, url: &str) -> Child {
    let deadline = Instant::now() + Duration::from_secs(20);
    drop(rustls::crypto::ring::default_provider().install_default());
    let address = url.trim_start_matches("http://").to_owned();
    while tokio::net::TcpStream::connect(&address).await.is_err() {
        let ended = child.try_wait().unwrap();
        let text = || std::fs::read_to_string(config.with_extension("log")).unwrap();
        assert!(ended.is_none(), "{} ended: {}", config.display(), text());
        assert!(Instant::now() < deadline, "{} does not answer: {}", config.display(), text());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(child.try_wait().unwrap().is_none(), "{} ended, and somebody else listens", config.display());
    child
}

/// SIGTERM, as an operator or a container runtime sends it.
pub(crate) fn terminate(child: &Child) {
    let pid = child.id().unwrap().to_string();
    assert!(std::process::Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
}

/// A chain with USDC, as Base Sepolia.
pub(crate) async fn local_chain() -> Arc<Base> {
    Arc::new(Base::builder().chain_id(BASE_SEPOLIA).start().await.unwrap())
}

/// A facilitator within the gateway.
fn in_process(chain: &Base) -> String {
    format!("{{in_process: {{{}}}}}", networks(chain))
}

/// The key `networks` of gateway.yaml and facilitator.yaml.
pub(crate) fn networks(chain: &Base) -> String {
    let rpc = chain.rpc_url();
    format!("networks: {{base-sepolia: {{rpc: [\"{rpc}\"], signers: [{{env: SIGNER_KEY}}]}}}}")
}

fn gateway_yaml(port: u16, upstream: &str, facilitator: &str, routes: &str, more: &str) -> String {
    format!(
        "listen: 127.0.0.1:{port}\npublic_url: http://127.0.0.1:{port}\nupstream: {upstream}\npay_to: \"{}\"\n\
         accepts: [base-sepolia]\nunmatched: free\nfacilitator: {facilitator}\n{more}\nroutes:{routes}",
        PAYEE.address
    )
}

/// For tests of what begins anew at midnight (UTC): the days, weeks and months of budgets, and what was spent today. None runs
/// across it.
pub(crate) async fn away_from_midnight() {
    const DAY_S: u64 = 24 * 60 * 60;
    let second = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() % DAY_S;
    if DAY_S - second < 120 {
        tokio::time::sleep(Duration::from_secs(DAY_S - second + 1)).await;
    }
}

/// A port at which nobody listens, and that no other test takes while this one runs. It lies below those that the system
/// gives to whoever asks for any.
pub(crate) fn free_port() -> u16 {
    /// A UDP socket of the same number is the sign that it is taken. Nothing here speaks UDP.
    static SIGNS: Mutex<Vec<UdpSocket>> = Mutex::new(Vec::new());
    let first = std::process::id();
    (0..20_000)
        .map(|n| 10_000 + u16::try_from((first + n) % 20_000).unwrap())
        .find(|port| {
            let Ok(sign) = UdpSocket::bind(("127.0.0.1", *port)) else { return false };
            let is_free = TcpListener::bind(("127.0.0.1", *port)).is_ok();
            SIGNS.lock().unwrap().push(sign);
            is_free
        })
        .unwrap()
}

/// A wallet of the real binary.
pub(crate) struct Wallet {
    pub(crate) home: PathBuf,
    pub(crate) address: String,
}

impl Wallet {
    /// A new wallet with five dollars on this chain.
    pub(crate) async fn new(home: PathBuf, chain: &Base) -> Self {
        let mut wallet = Self { home, address: String::new() };
        wallet.ok(&["init", "--yes"]).await;
        std::fs::write(
            wallet.home.join("config.yaml"),
            format!("version: 1\nnetworks:\n  base-sepolia: {{rpc: [\"{}\"]}}\n", chain.rpc_url()),
        )
        .unwrap();
        wallet.policy(GENEROUS);
        wallet.ok(&["fund", "--network", "base-sepolia", "--amount", "$5"]).await;
        let addresses = wallet.json(&["address"], 0).await;
        wallet.address = addresses["addresses"][0]["address"].as_str().unwrap().to_owned();
        wallet
    }

    pub(crate) fn policy(&self, yaml: &str) {
        std::fs::write(self.home.join("policy.yaml"), yaml).unwrap();
    }

    pub(crate) async fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().await.unwrap()
    }

    /// What tells `farthing` that it is this wallet's.
    pub(crate) fn environment(&self) -> [(&'static str, OsString); 2] {
        [("FARTHING_HOME", self.home.clone().into()), ("FARTHING_PASSPHRASE", PASSPHRASE.into())]
    }

    /// A command that is not run yet.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(FARTHING);
        command.args(args).envs(self.environment());
        command.stdin(Stdio::null());
        command
    }

    /// Runs a command that must succeed; returns its stdout.
    pub(crate) async fn ok(&self, args: &[&str]) -> Vec<u8> {
        let done = self.run(args).await;
        assert!(done.status.success(), "farthing {args:?}: {}", String::from_utf8_lossy(&done.stderr));
        done.stdout
    }

    /// Runs a command with `--json` that must end with `code`; returns the one object that it printed.
    pub(crate) async fn json(&self, args: &[&str], code: i32) -> Value {
        let done = self.run(&[args, &["--json"]].concat()).await;
        let text = String::from_utf8_lossy(&done.stdout);
        assert_eq!(
            done.status.code(),
            Some(code),
            "farthing {args:?}: {text} {}",
            String::from_utf8_lossy(&done.stderr)
        );
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("farthing {args:?}: {error}: {text}"))
    }

    /// The newest purchase.
    pub(crate) async fn newest(&self) -> Value {
        self.json(&["history", "-n", "1"], 0).await["purchases"][0].clone()
    }

    pub(crate) async fn assert_whole(&self) {
        self.ok(&["ledger", "verify"]).await;
    }
}
