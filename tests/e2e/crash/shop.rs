//! A chain, sellers that can die and come back, and buyers that can die too.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use farthing_ambient::SystemClock;
use farthing_devnet::accounts::{FACILITATOR, FACILITATOR_2, PAYEE};
use farthing_devnet::{Account, BASE_SEPOLIA, Base};
use farthing_ledger::Ledger;
use farthing_wallet::BodyStore;
use futures::{StreamExt as _, stream};
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::sync::watch;

use crate::world::{Wallet, free_port, listening, server};

/// What every call costs, in base units.
pub(crate) const PRICE: u64 = 2_000;
/// What a wallet begins with, in base units.
pub(crate) const FUNDS: u64 = 5_000_000;

/// What a wallet may ever spend, unless a test says otherwise.
const CAP: &str = "$1";

const ROUTES: &str = r#"
  - {match: "GET /weather/{city}", price: "$0.002"}
  - {match: "GET /stall/{city}", price: "$0.002"}
  - {match: "GET /upfront/{city}", price: "$0.002", flow: upfront}
"#;

/// How long a process may take to die at its fault point, and a call to end.
const PATIENCE: Duration = Duration::from_secs(60);
const SIGABRT: i32 = 6;

// === the API behind a gateway ===

/// An API that looks, at each call, whether its gateway's ledger holds a claim for it.
#[derive(Clone)]
pub(crate) struct Upstream {
    pub(crate) url: String,
    inner: Arc<Inner>,
}

struct Inner {
    ledger: PathBuf,
    calls: Mutex<BTreeMap<String, u64>>,
    unclaimed: Mutex<Vec<String>>,
    stalled: watch::Sender<bool>,
}

impl Upstream {
    async fn start(ledger: PathBuf) -> Self {
        let stalled = watch::Sender::new(true);
        let (calls, unclaimed) = Default::default();
        let inner = Arc::new(Inner { ledger, calls, unclaimed, stalled });
        let router = axum::Router::new().fallback(answer).with_state(inner.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, inner }
    }

    /// How often a path was called.
    pub(crate) fn calls(&self, path: &str) -> u64 {
        self.inner.calls.lock().unwrap().get(path).copied().unwrap_or(0)
    }

    /// The calls that came without a claim in the gateway's ledger.
    pub(crate) fn unclaimed(&self) -> Vec<String> {
        self.inner.unclaimed.lock().unwrap().clone()
    }

    /// Lets `/stall/…` answer from now on, and `/upfront/stall-…` end its answers, or no longer.
    pub(crate) fn stall(&self, stalled: bool) {
        self.inner.stalled.send_replace(stalled);
    }

    /// Waits until a path was called.
    pub(crate) async fn reached(&self, path: &str) {
        until(&format!("a call of {path}"), async || (self.calls(path) > 0).then_some(())).await;
    }
}

async fn answer(State(inner): State<Arc<Inner>>, uri: Uri) -> Response {
    let path = uri.path().to_owned();
    // Opened as another process would, so what it sees is in the file.
    let ledger = Ledger::open(&inner.ledger, Arc::new(SystemClock)).unwrap();
    let open = ledger.open_claims().await.unwrap();
    ledger.close().await.unwrap();
    let wanted = format!("GET {path} ");
    if !open.iter().any(|claim| claim.claim.request.starts_with(&wanted)) {
        inner.unclaimed.lock().unwrap().push(path.clone());
    }
    *inner.calls.lock().unwrap().entry(path.clone()).or_default() += 1;
    if path.starts_with("/upfront/stall-") {
        return stalled_halfway(&inner, &body_of(&path));
    }
    if path.starts_with("/stall/") {
        let waiting = inner.stalled.subscribe().wait_for(|stalled| !stalled).await.map(drop);
        if waiting.is_err() {
            return StatusCode::SERVICE_UNAVAILABLE.into_response();
        }
    }
    body_of(&path).into_response()
}

/// The first half at once, and the second as soon as nothing is stalled.
fn stalled_halfway(inner: &Inner, body: &str) -> Response {
    let (first, second) = body.split_at(body.len() / 2);
    let (first, second) = (Ok::<_, Infallible>(first.to_owned()), Ok(second.to_owned()));
    let mut stalled = inner.stalled.subscribe();
    let rest = async move {
        drop(stalled.wait_for(|stalled| !stalled).await);
        second
    };
    Body::from_stream(stream::iter([first]).chain(stream::once(rest))).into_response()
}

/// What is bought at a path.
pub(crate) fn body_of(path: &str) -> String {
    format!("bought at {path}")
}

// === servers ===

/// `farthing gateway` or `farthing facilitator`, through its deaths.
pub(crate) struct Server {
    pub(crate) name: &'static str,
    pub(crate) config: PathBuf,
    pub(crate) url: String,
    signer: Account,
    pub(crate) child: Option<Child>,
    /// Where it is to die, while it has not.
    pub(crate) fault: Option<String>,
}

impl Server {
    fn new(name: &'static str, config: PathBuf, port: u16, signer: Account) -> Self {
        Self { name, config, url: format!("http://127.0.0.1:{port}"), signer, child: None, fault: None }
    }

    /// The folder with its ledger and answers.
    pub(crate) fn home(&self) -> PathBuf {
        self.config.with_extension("").join(self.name)
    }

    pub(crate) fn ledger(&self) -> PathBuf {
        self.home().join(format!("{}.db", self.name))
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.config.with_extension("log")).unwrap_or_default()
    }

    /// The command that starts it.
    pub(crate) fn command(&self, ahead: u64) -> Command {
        std::fs::create_dir_all(self.home().parent().unwrap()).unwrap();
        let mut command = server(self.name, &self.config);
        command.env("FARTHING_HOME", self.home());
        command.env("SIGNER_KEY", self.signer.private_key.to_string());
        command.env("FARTHING_CLOCK_AHEAD", ahead.to_string());
        command
    }

    /// Starts it, to die at `fault` where one is given, and waits until it listens.
    pub(crate) async fn start(&mut self, ahead: u64, fault: Option<&str>) {
        self.begin(ahead, fault);
        self.listens().await;
    }

    /// Waits until it listens.
    pub(crate) async fn listens(&mut self) {
        let child = self.child.take().unwrap();
        self.child = Some(listening(child, &self.config, &self.url).await);
    }

    /// Starts it and does not wait: it may die at once.
    pub(crate) fn begin(&mut self, ahead: u64, fault: Option<&str>) {
        assert!(self.child.is_none(), "{} runs already", self.name);
        let mut command = self.command(ahead);
        self.fault = fault.map(str::to_owned);
        if let Some(fault) = fault {
            command.env("FARTHING_FAULT", fault);
        }
        self.child = Some(command.spawn().unwrap());
    }

    /// Waits for its end.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let status = self.child.as_mut().unwrap().wait().await.unwrap();
        (self.child, self.fault) = (None, None);
        status
    }

    /// Waits for its death at a fault point.
    pub(crate) async fn died(&mut self, at: &str) {
        let status = tokio::time::timeout(PATIENCE, self.ended()).await;
        let status = status.unwrap_or_else(|_| panic!("{} lives on at {at}: {}", self.name, self.log()));
        assert!(aborted(status), "{} at {at}: {status}: {}", self.name, self.log());
    }

    /// SIGKILL.
    pub(crate) async fn kill(&mut self) {
        self.fault = None;
        if let Some(mut child) = self.child.take() {
            // It may have died by itself.
            drop(child.kill().await);
        }
    }
}

// === the shop ===

/// Everything at once. Dropping it stops all of it.
pub(crate) struct Shop {
    pub(crate) chain: Arc<Base>,
    pub(crate) folder: TempDir,
    /// Each with its own API, in the same order.
    pub(crate) gateways: Vec<Server>,
    pub(crate) upstreams: Vec<Upstream>,
    /// Settles for the gateways that have no facilitator of their own.
    pub(crate) facilitator: Option<Server>,
    pub(crate) wallets: Vec<Wallet>,
    /// How far every clock here runs ahead of the machine's.
    ahead: AtomicU64,
}

impl Shop {
    /// A gateway that settles itself, and a wallet. The gateway is not started yet.
    pub(crate) async fn new() -> Self {
        let chain = Base::builder().chain_id(BASE_SEPOLIA).start().await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let mut shop = Self {
            chain: Arc::new(chain),
            folder,
            gateways: Vec::new(),
            upstreams: Vec::new(),
            facilitator: None,
            wallets: Vec::new(),
            ahead: AtomicU64::new(0),
        };
        let rpc = shop.chain.rpc_url();
        let own = format!(
            "\n  in_process:\n    networks:\n      base-sepolia: {{rpc: [\"{rpc}\"], signers: [{{env: SIGNER_KEY}}]}}"
        );
        shop.add_gateway("first", &own).await;
        shop.add_wallet(CAP).await;
        shop
    }

    /// The same, with a second gateway that a `farthing facilitator` settles for. Neither is started yet.
    pub(crate) async fn with_facilitator() -> Self {
        let mut shop = Self::new().await;
        let port = free_port();
        let config = shop.folder.path().join("settler.yaml");
        let rpc = shop.chain.rpc_url();
        let yaml = format!(
            "listen: 127.0.0.1:{port}\nnetworks:\n  base-sepolia: {{rpc: [\"{rpc}\"], signers: [{{env: SIGNER_KEY}}]}}\n"
        );
        std::fs::write(&config, yaml).unwrap();
        shop.facilitator = Some(Server::new("facilitator", config, port, FACILITATOR_2));
        shop.add_gateway("second", &format!(" {{url: \"http://127.0.0.1:{port}\"}}")).await;
        shop
    }

    async fn add_gateway(&mut self, name: &str, facilitator: &str) {
        let port = free_port();
        let config = self.folder.path().join(format!("{name}.yaml"));
        let gateway = Server::new("gateway", config, port, FACILITATOR);
        let upstream = Upstream::start(gateway.ledger()).await;
        let yaml = format!(
            "listen: 127.0.0.1:{port}\npublic_url: http://127.0.0.1:{port}\nupstream: {}\npay_to: \"{}\"\n\
             accepts: [base-sepolia]\nunmatched: refuse\nfacilitator:{facilitator}\nroutes:{ROUTES}",
            upstream.url, PAYEE.address,
        );
        std::fs::write(&gateway.config, yaml).unwrap();
        self.gateways.push(gateway);
        self.upstreams.push(upstream);
    }

    pub(crate) async fn add_wallet(&mut self, cap: &str) {
        let home = self.folder.path().join(format!("wallet-{}", self.wallets.len()));
        let wallet = Wallet::new(home, &self.chain).await;
        wallet.policy(&format!(
            "version: 1\npayments:\n  max: \"$0.01\"\n  budgets:\n    - {{name: ever, max: \"{cap}\", per: lifetime}}\n"
        ));
        self.wallets.push(wallet);
    }

    pub(crate) fn ahead(&self) -> u64 {
        self.ahead.load(Ordering::SeqCst)
    }

    /// Lets every clock jump: the chain's at once, a program's when it is started next.
    pub(crate) async fn jump(&self, seconds: u64) {
        self.chain.increase_time_s(seconds).await.unwrap();
        self.ahead.fetch_add(seconds, Ordering::SeqCst);
    }

    /// Starts the first gateway.
    pub(crate) async fn open(&mut self, fault: Option<&str>) {
        let ahead = self.ahead();
        self.gateways[0].start(ahead, fault).await;
    }

    /// Where the first gateway sells a path.
    pub(crate) fn at(&self, path: &str) -> String {
        format!("{}{path}", self.gateways[0].url)
    }

    pub(crate) fn upstream(&self) -> &Upstream {
        &self.upstreams[0]
    }

    // === the buyer ===

    /// A command of a wallet, in this shop's time.
    pub(crate) fn command(&self, wallet: &Wallet, args: &[&str], fault: Option<&str>) -> Command {
        let mut command = wallet.command(args);
        command.env("FARTHING_CLOCK_AHEAD", self.ahead().to_string()).kill_on_drop(true);
        if let Some(fault) = fault {
            command.env("FARTHING_FAULT", fault);
        }
        command
    }

    /// Runs a command of a wallet, in bounded time.
    pub(crate) async fn run(&self, wallet: &Wallet, args: &[&str], fault: Option<&str>) -> Output {
        let done = tokio::time::timeout(4 * PATIENCE, self.command(wallet, args, fault).output()).await;
        done.unwrap_or_else(|_| panic!("farthing {args:?} does not end")).unwrap()
    }

    /// The purchases of an address, the newest first, as `farthing history` tells them.
    pub(crate) async fn purchases(&self, wallet: &Wallet, url: &str) -> Vec<Value> {
        let done = self.run(wallet, &["history", "-n", "10000", "--json"], None).await;
        assert!(done.status.success(), "{}", shown(&done));
        let said: Value = serde_json::from_slice(&done.stdout).unwrap();
        let all = said["purchases"].as_array().unwrap().clone();
        all.into_iter().filter(|purchase| purchase["url"] == url).collect()
    }

    /// What its owner does after a crash: look how the purchase stands, and go on with it until the body is there.
    pub(crate) async fn go_on(&self, wallet: &Wallet, url: &str) -> String {
        self.go_on_within_cap(wallet, url).await.unwrap_or_else(|| panic!("{url} was refused by a cap"))
    }

    /// The same; `None` where a cap refuses what has to be bought anew.
    pub(crate) async fn go_on_within_cap(&self, wallet: &Wallet, url: &str) -> Option<String> {
        let mut last = String::new();
        for _ in 0..8 {
            let done = self.next_step(wallet, url).await;
            match done.status.code() {
                Some(0) => return Some(String::from_utf8(done.stdout).unwrap()),
                Some(4) => return None,
                // Broken off, not reachable, not known: another try is in order.
                Some(1 | 3 | 6 | 7) => last = shown(&done),
                _ => panic!("going on with {url}: {}", shown(&done)),
            }
        }
        let logs: String = self.gateways.iter().chain(&self.facilitator).map(Server::log).collect();
        panic!("going on with {url} leads nowhere: {last}\n{logs}")
    }

    async fn next_step(&self, wallet: &Wallet, url: &str) -> Output {
        let newest = self.purchases(wallet, url).await.into_iter().next();
        let newest = newest.unwrap_or_default();
        let id = newest["id"].as_str().unwrap_or_default();
        match newest["state"].as_str() {
            Some("paid") if is_whole(&newest["response"]) => {
                self.run(wallet, &["receipt", id, "--body"], None).await
            }
            Some("paid" | "signed" | "unknown") => {
                self.run(wallet, &["fetch", url, "--resume", id], None).await
            }
            _ => self.run(wallet, &["fetch", url], None).await,
        }
    }
}

/// Whether an answer, as `farthing history` tells it, is what was bought.
fn is_whole(response: &Value) -> bool {
    response["status"] == 200
        && response["body_file"].as_str().is_some_and(|file| !BodyStore::is_partial(file))
}

pub(crate) fn shown(done: &Output) -> String {
    format!(
        "{}: {}{}",
        done.status,
        String::from_utf8_lossy(&done.stdout),
        String::from_utf8_lossy(&done.stderr)
    )
}

/// Whether a process died at its fault point.
pub(crate) fn aborted(status: ExitStatus) -> bool {
    status.signal() == Some(SIGABRT)
}

/// Waits until `ready` says so.
pub(crate) async fn until<T>(what: &str, mut ready: impl AsyncFnMut() -> Option<T>) -> T {
    let waiting = async {
        loop {
            if let Some(done) = ready().await {
                return done;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("waited in vain for {what}"))
}

/// A ledger, read as another process would.
pub(crate) fn read_ledger(path: &Path) -> Ledger {
    Ledger::open(path, Arc::new(SystemClock)).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
