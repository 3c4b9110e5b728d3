//! A ledger with a month of purchases, and the page in front of it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use farthing_ambient::{OsEntropy, TestClock, Timestamp};
use farthing_ledger::{
    Ledger, NewCall, NewPurchase, Outcome, Purchase, PurchaseFilter, PurchaseId, ResponseRecord, SignedRecord,
};
use farthing_money::{BaseUnits, Network, Registry, Usd};
use farthing_policy::{ApprovalNeed, CallPlan, Limit, Needs, Policy, Usage};
use farthing_protocol::{Challenge, PaymentKey};
use farthing_ui::{Parts, Ui};
use farthing_wallet::{
    Appraisal, Authorization, Balance, CallLimits, PurchaseResult, Reconciled, Request, Wallet, WalletError,
};

use crate::http::{Answer, send};

/// 2026-10-27T08:00:00Z.
const START: i64 = 1_793_088_000;
pub(crate) const PAYEE: &str = "0x209693Bc6afc0C5328bA36FaF03C514EF312287C";
const PAYER: &str = "0x857b06519E91e3A54538791bDbb0E22373e36b66";
const USDC: &str = "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913";
pub(crate) const SIGNED: &str = "c2lnbmVkLXBheW1lbnQ";

/// The policy of a world that has lived.
const LIVED: &str = r#"
version: 1
payments:
  max: "$0.10"
  budgets:
    - {name: hour, max: "$1.00", per: "60 minutes"}
    - {name: day, max: "$5.00", per: "24 hours"}
    - {name: month, max: "$25.00", per: "30 days"}
    - {name: per-host, max: "$3.00", per: "30 days", each: host}
  rates: [{name: pace, max: 60, per: "60 seconds"}]
"#;

/// The page, being served.
pub(crate) struct World {
    pub(crate) ui: Ui,
    pub(crate) address: SocketAddr,
    pub(crate) ledger: Ledger,
    pub(crate) clock: Arc<TestClock>,
}

/// A browser's session.
pub(crate) struct Browser<'a> {
    world: &'a World,
    pub(crate) root: String,
    pub(crate) cookie: String,
    /// The token of the forms.
    pub(crate) form: String,
}

impl World {
    /// A wallet with nothing bought.
    pub(crate) async fn empty() -> Self {
        Self::with(Some(Arc::new(Chains(vec![(Network::BASE, Ok(0))]))), Policy::starter()).await
    }

    /// The page beside a guard, where there is no wallet.
    pub(crate) async fn without_wallet() -> Self {
        Self::with(None, Policy::starter()).await
    }

    /// The same under another policy.
    pub(crate) async fn under(policy: &'static str) -> Self {
        Self::with(None, policy).await
    }

    /// A month of purchases, and two approvals that wait.
    pub(crate) async fn full() -> Self {
        let held = vec![
            (Network::BASE, Ok(12_402_500)),
            (Network::BASE_SEPOLIA, Err("eip155:84532: no endpoint answered: connection refused".to_owned())),
        ];
        let world = Self::with(Some(Arc::new(Chains(held))), LIVED).await;
        world.live_a_month().await;
        world.ask_for_approvals().await;
        world
    }

    async fn with(wallet: Option<Arc<dyn Wallet>>, policy: &'static str) -> Self {
        let clock = Arc::new(TestClock::at_unix_second(START));
        let ledger = Ledger::in_memory(clock.clone()).unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let parts = Parts {
            ledger: ledger.clone(),
            wallet,
            policy: Arc::new(move || Policy::parse(policy).map_err(|error| error.to_string())),
            registry: Registry::builtin(),
            person: "ana".into(),
            clock: clock.clone(),
            entropy: Arc::new(OsEntropy),
        };
        let ui = Ui::new(parts, address).unwrap();
        let serving = ui.clone();
        tokio::spawn(async move { serving.serve(listener, std::future::pending()).await });
        Self { ui, address, ledger, clock }
    }

    /// Opens a link as a browser does.
    pub(crate) async fn enter(&self) -> Browser<'_> {
        let link = self.ui.link().unwrap();
        let path = link.strip_prefix(&format!("http://{}", self.address)).unwrap().to_owned();
        let answer = send(self.address, &format!("GET {path}"), &[&self.host()], "").await;
        assert_eq!(answer.status, 303, "{}", answer.text());
        let root = answer.header("location").unwrap().strip_suffix('/').unwrap().to_owned();
        let cookie = answer.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
        let mut browser = Browser { world: self, root, cookie, form: String::new() };
        let text = browser.get("/").await.text();
        let form = text.split("name=\"form\" value=\"").nth(1).unwrap();
        browser.form = form.split('"').next().unwrap().to_owned();
        browser
    }

    /// What somebody without a session reads there.
    pub(crate) async fn nosed_at(&self, path: &str) -> String {
        send(self.address, &format!("GET {path}"), &[&self.host()], "").await.text()
    }

    pub(crate) fn host(&self) -> String {
        format!("host: {}", self.address)
    }

    pub(crate) fn origin(&self) -> String {
        format!("origin: http://{}", self.address)
    }

    /// Buys once: reserves, signs, and ends so.
    pub(crate) async fn buy(&self, purchase: NewPurchase, outcome: Option<Outcome>) {
        let id = purchase.id.clone();
        let _ = self.ledger.reserve_with(purchase, Needs::default()).await.unwrap();
        let Some(outcome) = outcome else { return };
        self.ledger.signed(&id, signed(&id, self.now())).await.unwrap();
        if matches!(outcome, Outcome::Paid { .. }) {
            self.ledger.responded(&id, response()).await.unwrap();
        }
        self.ledger.finish(&id, outcome).await.unwrap();
    }

    fn now(&self) -> Timestamp {
        farthing_ambient::Clock::now(&*self.clock)
    }

    async fn live_a_month(&self) {
        let hosts = ["api.weather.example", "inference.example:8443", "search.example", "maps.example"];
        let agents = [Some("researcher"), None, Some("researcher/helper"), Some("writer")];
        for n in 0..90_usize {
            let busy = [1, 3, 7, 2, 11, 5, 2][n % 7];
            self.clock.advance(Duration::from_secs(7 * 3600 + 1800 + busy));
            let units = [2_000, 12_500, 100, 45_000, 3_333][n % 5] * u128::from(busy);
            let url = format!(
                "https://{}/v1/{}?q={n}",
                hosts[n * 7 % 11 % 4],
                ["forecast", "chat", "query"][n % 3]
            );
            let terms = purchase(&format!("01KA{n:022}"), &url, units);
            let agent = agents[n * 5 % 7 % 4].map(str::to_owned);
            let outcome = match n % 23 {
                7 => Some(Outcome::Unknown { why: "no answer came".into() }),
                11 => Some(Outcome::NotPaid { why: "the signature expired unused".into() }),
                _ => Some(Outcome::Paid { transaction: Some(format!("0x{:064x}", n + 0xabc)) }),
            };
            self.buy(NewPurchase { agent, ..terms }, outcome).await;
        }
        self.clock.advance(Duration::from_secs(1200));
        self.buy(purchase("01KA00000000000000000000LAST", "https://maps.example/tiles/7/12", 40_000), None)
            .await;
    }

    async fn ask_for_approvals(&self) {
        let terms = format!(
            r#"{{"agent":"researcher","amount":"750000","asset":"{USDC}","host":"data.example","network":"eip155:8453","payee":"{PAYEE}","resource":"GET https://data.example/v2/companies?country=DE&key=k-123"}}"#
        );
        self.ask(&terms, "approve_above").await;
        let mut plan = CallPlan::default();
        plan.approval = Some(need(
            r#"{"agent":null,"arguments":{"amount":100000000000000000000001,"note":"two\nlines","to":{"iban":"DE02 1203 0000 0000 2020 51","names":["Anna","Bert"]}},"server":"bank","tool":"send_payment"}"#,
            "big",
        ));
        let call = NewCall {
            id: "01KACALL".into(),
            server: "bank".into(),
            agent: None,
            session: "s".into(),
            tool: "send_payment".into(),
            arguments: "sha256:00".into(),
            policy_hash: "9d".repeat(32),
        };
        let _ = self.ledger.admit(call, Arc::new(plan)).await.unwrap();
    }

    /// Has a payment on these terms ask for approval.
    pub(crate) async fn ask(&self, terms: &str, rule: &str) {
        let needs = Needs { approval: Some(need(terms, rule)), ..Needs::default() };
        let wanted = purchase(&format!("01KAWANTED{rule}"), "https://data.example/", 750_000);
        let _ = self.ledger.reserve_with(wanted, needs).await.unwrap();
    }
}

fn need(terms: &str, rule: &str) -> ApprovalNeed {
    ApprovalNeed { rule: rule.into(), terms: terms.into(), valid: Duration::from_secs(3600) }
}

impl Browser<'_> {
    pub(crate) async fn get(&self, path: &str) -> Answer {
        let request = format!("GET {}{path}", self.root);
        send(self.world.address, &request, &[&self.world.host(), &format!("cookie: {}", self.cookie)], "")
            .await
    }

    /// Sends a form as one of the page's own.
    pub(crate) async fn post(&self, path: &str, fields: &str) -> Answer {
        let body = format!("form={}{fields}", self.form);
        self.send_form(path, &[&self.world.origin()], &body).await
    }

    pub(crate) async fn send_form(&self, path: &str, more: &[&str], body: &str) -> Answer {
        let (host, cookie) = (self.world.host(), format!("cookie: {}", self.cookie));
        let headers: Vec<&str> = [host.as_str(), &cookie].into_iter().chain(more.iter().copied()).collect();
        send(self.world.address, &format!("POST {}{path}", self.root), &headers, body).await
    }
}

/// A purchase of so many base units of USDC.
pub(crate) fn purchase(id: &str, url: &str, units: u128) -> NewPurchase {
    NewPurchase {
        id: PurchaseId(id.into()),
        method: "GET".into(),
        url: url.into(),
        request_digest: "3c".repeat(32),
        protocol: "x402-v2".into(),
        scheme: "exact".into(),
        network: Network::BASE,
        asset: USDC.into(),
        amount: BaseUnits::new(units),
        value: Usd::new(units * 10u128.pow(12)),
        pay_to: PAYEE.into(),
        payer: PAYER.into(),
        offer: r#"{"scheme":"exact"}"#.into(),
        policy_hash: "9d".repeat(32),
        agent: None,
        session: None,
    }
}

fn signed(id: &PurchaseId, now: Timestamp) -> SignedRecord {
    let mut nonce = [0; 32];
    let end = id.0.as_bytes();
    nonce[..end.len().min(32)].copy_from_slice(&end[..end.len().min(32)]);
    SignedRecord {
        key: PaymentKey::eip3009(&Network::BASE, [0x83; 20], [0x85; 20], nonce),
        header_name: "PAYMENT-SIGNATURE".into(),
        header_value: SIGNED.into(),
        valid_before: now.checked_add(Duration::from_secs(60)).unwrap(),
    }
}

fn response() -> ResponseRecord {
    ResponseRecord {
        status: 200,
        content_type: Some("application/json".into()),
        body_digest: "b7".repeat(32),
        body_bytes: 4_213,
        body_file: Some("bodies/a".into()),
        settlement: None,
    }
}

/// A wallet whose chains say this; a stand-in, because the page asks a wallet for its balances only. The real one is
/// behind the page in `tests/e2e/ui.rs`.
#[derive(Debug)]
struct Chains(Vec<(Network, Result<u128, String>)>);

#[async_trait]
impl Wallet for Chains {
    async fn balances(&self) -> Vec<Balance> {
        let registry = Registry::builtin();
        let held = self.0.iter().map(|(network, amount)| Balance {
            asset: registry.usdc(network).unwrap().clone(),
            address: PAYER.into(),
            amount: amount.clone().map(BaseUnits::new),
        });
        held.collect()
    }

    async fn appraise(&self, _: &Request, _: &Challenge, _: &CallLimits) -> Result<Appraisal, WalletError> {
        unimplemented!("the page never asks")
    }

    async fn authorize(
        &self,
        _: &Request,
        _: &Challenge,
        _: &CallLimits,
    ) -> Result<Authorization, WalletError> {
        unimplemented!("the page never asks")
    }

    async fn resume(&self, _: &Request, _: &PurchaseId) -> Result<Authorization, WalletError> {
        unimplemented!("the page never asks")
    }

    async fn record(&self, _: &PurchaseId, _: PurchaseResult) -> Result<Outcome, WalletError> {
        unimplemented!("the page never asks")
    }

    async fn reconcile(&self) -> Result<Vec<Reconciled>, WalletError> {
        unimplemented!("the page never asks")
    }

    async fn budgets(&self) -> Result<Vec<(Limit, Usage)>, WalletError> {
        unimplemented!("the page never asks")
    }

    async fn purchase(&self, _: &PurchaseId) -> Result<Purchase, WalletError> {
        unimplemented!("the page never asks")
    }

    async fn purchases(&self, _: PurchaseFilter) -> Result<Vec<Purchase>, WalletError> {
        unimplemented!("the page never asks")
    }
}
