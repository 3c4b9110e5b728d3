use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use farthing_ambient::SystemClock;
use farthing_gateway::{Config, Gateway, Pricing, SharedPricing, Watcher};
use farthing_ledger::{ClaimState, Ledger};
use farthing_protocol::Protocol;
use http::{Method, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::waiting::{Gate, eventually, in_time};
use crate::world::{Answer, Script, Settle, World, paid, pay, request};

/// A gateway on a socket in front of a server on another.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) upstream: SocketAddr,
    pub(crate) script: Arc<Script>,
    pub(crate) ledger: Ledger,
    client: Client<HttpConnector, Body>,
    stop: Option<oneshot::Sender<()>>,
    ended: JoinHandle<()>,
    folder: Arc<tempfile::TempDir>,
}

const ROUTES: &str = r#"
routes:
  - {match: "GET /weather/{city}", price: "$0.002"}
  - {match: "GET /status/{code}", price: "$0.01"}
  - {match: "GET /never", price: "$0.01", timeout: 200ms}
  - {match: "GET /slow", price: "$0.01"}
  - {match: "GET /cut", price: "$0.01"}
  - {match: "* /free/{*rest}", free: true}
"#;

fn yaml(upstream: SocketAddr, routes: &str) -> String {
    format!(
        "upstream: http://{upstream}\npublic_url: https://api.example.com\n\
         pay_to: \"0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC\"\naccepts: [base-sepolia]\n\
         responses: {{dir: answers}}\nlimits: {{request_body: 1KB}}\ntimeouts: {{settle: 2s, shutdown: 10s}}\n{routes}"
    )
}

async fn serve(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

pub(crate) async fn start_with(router: Router) -> Running {
    start_before(serve(router).await).await
}

/// In front of whatever is there, or is not.
pub(crate) async fn start_before(upstream: SocketAddr) -> Running {
    start(upstream, Arc::new(tempfile::tempdir().unwrap()), Arc::default(), None).await
}

/// The same with these keys of gateway.yaml.
pub(crate) async fn start_selling(router: Router, keys: &str) -> Running {
    let upstream = serve(router).await;
    let folder = Arc::new(tempfile::tempdir().unwrap());
    std::fs::write(folder.path().join("gateway.yaml"), yaml(upstream, keys)).unwrap();
    start(upstream, folder, Arc::default(), None).await
}

async fn start(
    upstream: SocketAddr,
    folder: Arc<tempfile::TempDir>,
    script: Arc<Script>,
    ledger: Option<Ledger>,
) -> Running {
    let file: PathBuf = folder.path().join("gateway.yaml");
    if !file.exists() {
        std::fs::write(&file, yaml(upstream, ROUTES)).unwrap();
    }
    let clock = Arc::new(SystemClock);
    let ledger = ledger
        .unwrap_or_else(|| Ledger::open(&folder.path().join("ledger.db"), Arc::new(SystemClock)).unwrap());
    let config = Config::load(&file).unwrap();
    let gateway = Gateway::new(config, script.clone(), ledger.clone(), clock).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let admin = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, admin_address) = (listener.local_addr().unwrap(), admin.local_addr().unwrap());
    let (stop, stopped) = oneshot::channel();
    let ended = tokio::spawn(async move {
        let stopped = async move { stopped.await.unwrap_or_default() };
        gateway.serve(listener, Some(admin), Some(&file), stopped).await.unwrap();
    });
    let client = Client::builder(TokioExecutor::new()).build_http();
    Running {
        address,
        admin: admin_address,
        upstream,
        script,
        ledger,
        client,
        stop: Some(stop),
        ended,
        folder,
    }
}

impl Running {
    pub(crate) async fn send(&self, mut request: http::Request<Body>) -> Answer {
        let uri = format!("http://{}{}", self.address, request.uri());
        *request.uri_mut() = uri.parse().unwrap();
        Answer::of(self.client.request(request).await.unwrap()).await
    }

    pub(crate) async fn payment(&self, path: &str, nonce: u32) -> (&'static str, String) {
        let unpaid = self.send(request(Method::GET, path).body(Body::empty()).unwrap()).await;
        assert_eq!(unpaid.status, StatusCode::PAYMENT_REQUIRED, "{}", unpaid.text());
        pay(&unpaid.challenge(), |offer| offer.protocol == Protocol::X402V2, nonce)
    }

    async fn has_begun_a_call(&self) {
        let has_begun = async || !self.ledger.open_claims().await.unwrap().is_empty();
        eventually("the call has begun", has_begun).await;
    }

    /// Sends a paid request, and hangs up once the call has begun. When this returns the gateway has seen it.
    async fn hang_up(&self, path: &str, payment: &(&str, String)) {
        let mut buyer = TcpStream::connect(self.address).await.unwrap();
        let (name, value) = payment;
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n{name}: {value}\r\n\r\n");
        buyer.write_all(request.as_bytes()).await.unwrap();
        self.has_begun_a_call().await;
        buyer.shutdown().await.unwrap();
        let mut heard = Vec::new();
        in_time("the gateway hangs up as well", buyer.read_to_end(&mut heard)).await.unwrap();
        assert_eq!(heard, b"");
    }

    async fn admin(&self, path: &str) -> Answer {
        let uri = format!("http://{}{path}", self.admin).parse().unwrap();
        Answer::of(self.client.get(uri).await.unwrap()).await
    }

    fn stop(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
    }
}

/// Its answer waits for the gate.
fn slow_router(gate: &Gate) -> Router {
    let gate = gate.clone();
    let slow = move || async move {
        gate.passed().await;
        "slow"
    };
    Router::new().route("/slow", get(slow))
}

#[tokio::test]
async fn a_shutdown_finishes_what_has_begun() {
    let gate = Gate::default();
    let mut gateway = start_with(slow_router(&gate)).await;
    let payment = gateway.payment("/slow", 1).await;
    let client = gateway.client.clone();
    let uri = format!("http://{}/slow", gateway.address);
    let call = tokio::spawn(async move { client.request(paid(Method::GET, &uri, &payment, "")).await });
    gateway.has_begun_a_call().await;
    gateway.stop();
    gate.open();
    let answer = Answer::of(call.await.unwrap().unwrap()).await;
    assert_eq!((answer.status, answer.text()), (StatusCode::OK, "slow"));
    gateway.ended.await.unwrap();
    assert_eq!(gateway.script.settled(), 1);
    assert!(gateway.ledger.open_claims().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_shutdown_settles_for_a_buyer_who_hung_up() {
    let gate = Gate::default();
    let mut gateway = start_with(slow_router(&gate)).await;
    let payment = gateway.payment("/slow", 1).await;
    gateway.hang_up("/slow", &payment).await;
    gateway.stop();
    gate.open();
    gateway.ended.await.unwrap();
    assert_eq!(gateway.script.settled(), 1);

    // The next process has the answer from the folder, and gives it out once.
    let (upstream, script) = (gateway.upstream, gateway.script.clone());
    let next = start(upstream, gateway.folder, script, Some(gateway.ledger)).await;
    let answer = next.send(paid(Method::GET, "/slow", &payment, "")).await;
    assert_eq!(
        (answer.status, answer.text(), answer.header("farthing-resent")),
        (StatusCode::OK, "slow", "1")
    );
    assert_eq!(next.send(paid(Method::GET, "/slow", &payment, "")).await.status, StatusCode::CONFLICT);
    assert_eq!(next.script.settled(), 1);
}

#[tokio::test]
async fn a_withheld_answer_survives_the_process() {
    let served = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counter = served.clone();
    let router = Router::new().fallback(move || {
        let count = counter.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        async move { format!("answer {count}") }
    });
    let mut gateway = start_with(router).await;
    let payment = gateway.payment("/weather/oslo", 1).await;
    gateway.script.settles([Settle::Hang]);
    let withheld = gateway.send(paid(Method::GET, "/weather/oslo", &payment, "")).await;
    assert_eq!(withheld.status, StatusCode::GATEWAY_TIMEOUT);
    gateway.stop();
    gateway.ended.await.unwrap();
    let next = start(gateway.upstream, gateway.folder, gateway.script, Some(gateway.ledger)).await;
    let answer = next.send(paid(Method::GET, "/weather/oslo", &payment, "")).await;
    assert_eq!((answer.status, answer.text()), (StatusCode::OK, "answer 0"), "not made anew");
    assert_eq!(served.load(std::sync::atomic::Ordering::SeqCst), 1);
}

/// Several gateways on one ledger: whichever the buyer comes to gives out the answer that another one keeps, alive or
/// not, if the request holds what only he knows.
#[tokio::test]
async fn an_answer_is_had_from_any_gateway_on_the_ledger() {
    let served = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counter = served.clone();
    let router = Router::new().fallback(move || {
        let count = counter.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        async move { format!("answer {count}") }
    });
    let mut first = start_with(router).await;
    let again = async |of: &Running| {
        start(of.upstream, of.folder.clone(), of.script.clone(), Some(of.ledger.clone())).await
    };
    let mut second = again(&first).await;
    let named = |payment: &(&str, String), key: &str| {
        let request = request(Method::GET, "/weather/oslo").header(payment.0, &payment.1);
        request.header("idempotency-key", key).body(Body::empty()).unwrap()
    };
    // Given out by the second, asked for again at the first.
    let bought = second.payment("/weather/oslo", 1).await;
    assert_eq!(second.send(named(&bought, "mine")).await.text(), "answer 0");
    let resent = first.send(named(&bought, "mine")).await;
    assert_eq!((resent.text(), resent.header("farthing-resent")), ("answer 0", "1"));
    assert_eq!(first.send(named(&bought, "yours")).await.status, StatusCode::CONFLICT);
    // Withheld by the second, which ends; and so does the first.
    let payment = second.payment("/weather/oslo", 2).await;
    second.script.settles([Settle::Hang]);
    assert_eq!(second.send(named(&payment, "mine")).await.status, StatusCode::GATEWAY_TIMEOUT);
    for gateway in [&mut second, &mut first] {
        gateway.stop();
        (&mut gateway.ended).await.unwrap();
    }
    let next = again(&first).await;
    let answer = next.send(named(&payment, "mine")).await;
    assert_eq!((answer.status, answer.text()), (StatusCode::OK, "answer 1"), "not made anew");
    assert_eq!(served.load(std::sync::atomic::Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_gateway_that_replaces_another_leaves_the_third_ones_calls_alone() {
    let served = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counter = served.clone();
    let gate = Gate::default();
    let router =
        slow_router(&gate).layer(axum::middleware::map_request(move |request: axum::extract::Request| {
            counter.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            std::future::ready(request)
        }));
    let mut old = start_with(router).await;
    let again = async |old: &Running| {
        let (folder, script) = (old.folder.clone(), old.script.clone());
        start(old.upstream, folder, script, Some(old.ledger.clone())).await
    };
    let beside = Arc::new(again(&old).await);
    old.stop();
    (&mut old.ended).await.unwrap();

    let payment = beside.payment("/slow", 1).await;
    let (serving, first) = (beside.clone(), paid(Method::GET, "/slow", &payment, ""));
    let call = tokio::spawn(async move { serving.send(first).await });
    old.has_begun_a_call().await;
    let new = again(&old).await;
    let copy = new.send(paid(Method::GET, "/slow", &payment, "")).await;
    assert_eq!((copy.status, copy.code().as_str()), (StatusCode::CONFLICT, "payment_in_progress"));
    gate.open();
    let answer = call.await.unwrap();
    assert_eq!((answer.status, answer.text()), (StatusCode::OK, "slow"));
    assert_eq!((served.load(std::sync::atomic::Ordering::SeqCst), old.script.settled()), (1, 1));
}

#[tokio::test]
async fn health_and_metrics_have_a_listener_of_their_own() {
    let gateway = start_with(slow_router(&Gate::default())).await;
    gateway.payment("/slow", 1).await;
    assert_eq!(gateway.admin("/healthz").await.text(), "ok\n");
    let metrics = gateway.admin("/metrics").await;
    assert!(metrics.text().contains("\nfarthing_gateway_unpaid_total 1\n"), "{}", metrics.text());
    assert_eq!(gateway.admin("/weather/oslo").await.status, StatusCode::NOT_FOUND);
    let public = gateway.send(request(Method::GET, "/metrics").body(Body::empty()).unwrap()).await;
    assert_eq!(public.status, StatusCode::NOT_FOUND);
}

// === reload ===

fn priced(price: &str) -> String {
    yaml(
        "127.0.0.1:1".parse().unwrap(),
        &format!("routes: [{{match: \"GET /weather\", price: \"{price}\"}}]\n"),
    )
}

async fn price(world: &World) -> u128 {
    world.ask("/weather").await.challenge().offers[0].requirements.amount.get()
}

#[tokio::test]
async fn prices_follow_the_file_and_a_bad_file_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gateway.yaml");
    let put = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    put("gateway.yaml", &priced("$0.001"));
    let config = Config::load(&file).unwrap();
    let pricing = SharedPricing::new(Pricing::new(&config).unwrap());
    let mut watcher = Watcher::new(&file, config, pricing.clone());
    let mut world = World::new();
    world.layer = farthing_gateway::PaymentLayer::new(
        pricing,
        world.script.clone(),
        world.ledger.clone(),
        world.clock.clone(),
    );
    assert_eq!((watcher.look(), price(&world).await), (Ok(false), 1000));

    put("gateway.yaml", &priced("$0.002"));
    assert_eq!((watcher.look(), price(&world).await), (Ok(true), 2000), "written in place");
    put("new", &priced("$0.003"));
    std::fs::rename(folder.path().join("new"), &file).unwrap();
    assert_eq!((watcher.look(), price(&world).await), (Ok(true), 3000), "renamed over");
    put("a", &priced("$0.004"));
    put("b", &priced("$0.005"));
    std::fs::remove_file(&file).unwrap();
    std::os::unix::fs::symlink(folder.path().join("a"), &file).unwrap();
    assert_eq!((watcher.look(), price(&world).await), (Ok(true), 4000), "a symbolic link");
    std::os::unix::fs::symlink(folder.path().join("b"), folder.path().join("link")).unwrap();
    std::fs::rename(folder.path().join("link"), &file).unwrap();
    assert_eq!((watcher.look(), price(&world).await), (Ok(true), 5000), "the link swapped");

    put("b", &priced("$0.0000000001"));
    let error = watcher.look().unwrap_err();
    assert!(error.to_string().contains("gateway.yaml:8:"), "{error}");
    assert_eq!((watcher.look(), price(&world).await), (Ok(false), 5000), "said once; the old price stays");
    std::fs::remove_file(&file).unwrap();
    assert!(watcher.look().is_err());
    assert_eq!(price(&world).await, 5000);
    put("gateway.yaml", &priced("$0.006"));
    assert_eq!((watcher.look(), price(&world).await), (Ok(true), 6000));
}

#[tokio::test]
async fn a_call_ends_under_the_price_it_began_with() {
    let world = World::new();
    let old = world.payment(Method::GET, "/weather", 1).await;
    let dearer = crate::world::YAML
        .replace("\"GET /weather\", price: \"$0.002\"", "\"GET /weather\", price: \"$0.003\"");
    let pricing = Pricing::new(&Config::parse("gateway.yaml", &dearer).unwrap()).unwrap();
    world.layer.pricing().replace(pricing);
    let answer = world.send(paid(Method::GET, "/weather", &old, "")).await;
    assert_eq!(answer.status, StatusCode::PAYMENT_REQUIRED, "the old price is not taken any more");
    assert_eq!(answer.challenge().offers[0].requirements.amount.get(), 3000);
}

/// A facilitator elsewhere may never say what became of a settlement.
#[tokio::test]
async fn what_nobody_ever_says_is_given_up_after_a_day() {
    let mut world = World::new();
    world.script.settles(vec![Settle::Down; 3]);
    assert_eq!(world.buy("/weather", 1).await.status, StatusCode::GATEWAY_TIMEOUT);
    world.clock.advance(Duration::from_secs(24 * 3600));
    world.restart().await;
    assert!(world.open_claim(1).await.is_some(), "its buyer may come back");
    world.clock.advance(Duration::from_secs(1));
    world.restart().await;
    assert!(matches!(world.state(1).await, Some(ClaimState::Failed { .. })));
}
