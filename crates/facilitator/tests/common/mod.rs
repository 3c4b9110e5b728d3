//! A settler that does what a script says, and the facilitator around it. For tests of this crate only: it checks no
//! signature and knows no chain.
#![allow(dead_code, reason = "each test program uses a part of it")]

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use farthing_ambient::{Clock, TestClock, Timestamp};
use farthing_facilitator::http::{HttpConfig, ServeLimits, router, serve};
use farthing_facilitator::{Facilitator, Limits};
use farthing_ledger::Ledger;
use farthing_money::Network;
use farthing_protocol::x402::{FacilitatorRequest, Reason, SupportedKind};
use farthing_protocol::{Object, PaymentKey, Requirements};
use farthing_rail::{Broadcast, RailError, Settlement, SettlementLog, Settler, Verified, VerifyError};
use serde_json::value::RawValue;
use tokio::net::TcpSocket;
use tokio::sync::Semaphore;

pub(crate) const PAYEE: &str = "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC";
pub(crate) const PAYEE_2: &str = "0x90F79bf6EB2c4f870365E785982E1f101E93b906";
pub(crate) const PAYER: &str = "0x70997970c51812dc3a010c7d01b50e0d17dc79c8";
pub(crate) const SIGNER: &str = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";
pub(crate) const TX: &str = "0x3333333333333333333333333333333333333333333333333333333333333333";

/// What the scripted settler does next.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Step {
    /// Records, sends, confirms.
    Confirm,
    /// Records, sends, and does not see it confirmed.
    Pend,
    /// Records, sends, reverts.
    Revert,
    /// Refuses before sending.
    Invalid,
    /// Loses the chain before sending.
    Lost,
    /// Breaks its contract: records, then says that nothing was sent.
    LostAfterRecord,
    /// Records, then never returns.
    HangAfterRecord,
    /// Never returns, nothing recorded.
    Hang,
}

#[derive(Debug, Default)]
pub(crate) struct Script {
    pub(crate) settle: Mutex<VecDeque<Step>>,
    pub(crate) outcome: Mutex<VecDeque<Step>>,
    pub(crate) verify: Mutex<VecDeque<Step>>,
    /// Transactions that left.
    pub(crate) sent: AtomicUsize,
    pub(crate) outcomes: AtomicUsize,
    pub(crate) resumed: Mutex<Vec<Vec<Broadcast>>>,
    pub(crate) resume_fails: AtomicUsize,
    /// Taking up what was sent waits for a permit where there is a gate.
    pub(crate) resume_gate: Option<Semaphore>,
    /// Settling waits for a permit where there is a gate.
    pub(crate) gate: Option<Semaphore>,
    /// So does verifying.
    pub(crate) verify_gate: Option<Semaphore>,
}

impl Script {
    pub(crate) fn of(settle: &[Step]) -> Arc<Self> {
        Arc::new(Self { settle: Mutex::new(settle.iter().copied().collect()), ..Self::default() })
    }

    pub(crate) fn then_outcome(self: Arc<Self>, outcome: &[Step]) -> Arc<Self> {
        self.outcome.lock().unwrap().extend(outcome);
        self
    }

    pub(crate) fn sent(&self) -> usize {
        self.sent.load(Ordering::SeqCst)
    }

    fn next(steps: &Mutex<VecDeque<Step>>, default: Step) -> Step {
        steps.lock().unwrap().pop_front().unwrap_or(default)
    }
}

#[derive(Debug)]
pub(crate) struct ScriptedSettler(pub(crate) Arc<Script>);

impl ScriptedSettler {
    async fn record(
        &self,
        terms: &Requirements,
        payload: &RawValue,
        log: &dyn SettlementLog,
    ) -> Result<String, RailError> {
        let nonce = self.0.sent.fetch_add(1, Ordering::SeqCst) as u64;
        let transaction = if nonce == 0 { TX.to_owned() } else { format!("0x{nonce:064x}") };
        log.record(&Broadcast {
            network: terms.network.clone(),
            signer: SIGNER.into(),
            nonce,
            transaction: transaction.clone(),
            raw: "0x02".into(),
            payments: vec![PaymentKey::of(terms, payload).unwrap()],
        })
        .await?;
        Ok(transaction)
    }
}

pub(crate) fn lost() -> RailError {
    RailError::Unavailable {
        network: Network::BASE_SEPOLIA,
        why: "https://rpc.example/SECRET: timed out".into(),
    }
}

fn refused() -> VerifyError {
    VerifyError::Invalid {
        reason: Reason::EVM_SIGNATURE,
        message: "the signature is not the payer's".into(),
        payer: Some(PAYER.into()),
    }
}

fn settlement(step: Step, terms: &Requirements, transaction: String) -> Settlement {
    match step {
        Step::Confirm => Settlement::Confirmed { transaction, payer: PAYER.into(), amount: terms.amount },
        Step::Revert => Settlement::Failed {
            reason: Reason::EVM_TRANSACTION_FAILED,
            message: "reverted".into(),
            transaction: Some(transaction),
        },
        _ => Settlement::Pending { transaction, payer: PAYER.into() },
    }
}

#[async_trait]
impl Settler for ScriptedSettler {
    fn kinds(&self) -> Vec<SupportedKind> {
        let kind = |x402_version, network: &str| SupportedKind {
            x402_version,
            scheme: "exact".into(),
            network: network.into(),
            extra: Object::default(),
        };
        vec![kind(2, "eip155:84532"), kind(1, "base-sepolia")]
    }

    fn signers(&self) -> Vec<(Network, String)> {
        vec![(Network::BASE_SEPOLIA, SIGNER.into())]
    }

    fn supports(&self, scheme: &str, network: &Network) -> bool {
        scheme == "exact" && *network == Network::BASE_SEPOLIA
    }

    async fn verify(&self, terms: &Requirements, payload: &RawValue) -> Result<Verified, VerifyError> {
        let step = Script::next(&self.0.verify, Step::Confirm);
        if let Some(gate) = &self.0.verify_gate {
            gate.acquire().await.unwrap().forget();
        }
        match step {
            Step::Invalid => Err(refused()),
            Step::Lost => Err(lost().into()),
            Step::Hang => std::future::pending().await,
            _ => Ok(Verified {
                key: PaymentKey::of(terms, payload).unwrap(),
                payer: PAYER.into(),
                valid_before: Timestamp::MAX,
            }),
        }
    }

    async fn settle(
        &self,
        terms: &Requirements,
        payload: &RawValue,
        log: &dyn SettlementLog,
    ) -> Result<Settlement, VerifyError> {
        let step = Script::next(&self.0.settle, Step::Confirm);
        let transaction = match step {
            Step::Invalid => return Err(refused()),
            Step::Lost => return Err(lost().into()),
            Step::Hang => return std::future::pending().await,
            _ => self.record(terms, payload, log).await?,
        };
        if let Some(gate) = &self.0.gate {
            gate.acquire().await.unwrap().forget();
        }
        match step {
            Step::LostAfterRecord => Err(lost().into()),
            Step::HangAfterRecord => std::future::pending().await,
            step => Ok(settlement(step, terms, transaction)),
        }
    }

    async fn resume(&self, sent: Vec<Broadcast>, _log: Arc<dyn SettlementLog>) -> Result<(), RailError> {
        if let Some(gate) = &self.0.resume_gate {
            gate.acquire().await.unwrap().forget();
        }
        let failing =
            self.0.resume_fails.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
        if failing.is_ok() {
            return Err(lost());
        }
        self.0.resumed.lock().unwrap().push(sent);
        Ok(())
    }

    async fn outcome(
        &self,
        terms: &Requirements,
        _payload: &RawValue,
        sent: &[Broadcast],
    ) -> Result<Settlement, RailError> {
        assert!(!sent.is_empty(), "asked about a payment without saying what was sent");
        self.0.outcomes.fetch_add(1, Ordering::SeqCst);
        match Script::next(&self.0.outcome, Step::Pend) {
            Step::Lost => Err(lost()),
            step => Ok(settlement(step, terms, sent[0].transaction.clone())),
        }
    }
}

/// A facilitator over a script, with its own ledger.
pub(crate) struct World {
    pub(crate) script: Arc<Script>,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) ledger: Ledger,
    pub(crate) facilitator: Arc<Facilitator>,
}

pub(crate) fn quick() -> Limits {
    Limits {
        settle_wait: Duration::from_secs(20),
        watch_every: (Duration::from_millis(10), Duration::from_millis(40)),
        ..Limits::default()
    }
}

/// For callers who are to run out of time.
pub(crate) fn hasty() -> Limits {
    Limits { settle_wait: Duration::from_millis(300), ..quick() }
}

impl World {
    pub(crate) fn new(script: Arc<Script>) -> Self {
        Self::with(script, quick())
    }

    pub(crate) fn with(script: Arc<Script>, limits: Limits) -> Self {
        let clock = Arc::new(TestClock::at_unix_second(1_767_225_600));
        let ledger = Ledger::in_memory(clock.clone()).unwrap();
        Self::over(script, clock, ledger, limits)
    }

    /// Another process over the same ledger.
    pub(crate) fn over(script: Arc<Script>, clock: Arc<TestClock>, ledger: Ledger, limits: Limits) -> Self {
        let settler = Arc::new(ScriptedSettler(script.clone()));
        let facilitator =
            Facilitator::new(vec![settler], ledger.clone(), clock.clone() as Arc<dyn Clock>, limits);
        Self { script, clock, ledger, facilitator }
    }
}

/// One payment: its nonce's last digit, its payee, its amount, and the version it is written in.
#[derive(Debug, Clone)]
pub(crate) struct Pay {
    pub(crate) nonce: u8,
    pub(crate) pay_to: &'static str,
    pub(crate) amount: &'static str,
    pub(crate) version: u8,
}

pub(crate) fn pay() -> Pay {
    Pay { nonce: 1, pay_to: PAYEE, amount: "10000", version: 2 }
}

impl Pay {
    pub(crate) fn body(&self) -> String {
        let Self { nonce, pay_to, amount, version } = self;
        let payload = format!(
            r#"{{"signature":"0x5ec4e7","authorization":{{"from":"{PAYER}","to":"{pay_to}","value":"{amount}",
            "validAfter":"0","validBefore":"1767225900","nonce":"0x{nonce:064x}"}}}}"#
        );
        let rest = format!(
            r#""payTo":"{pay_to}","maxTimeoutSeconds":300,"asset":"0x036CbD53842c5426634e7929541eC2318f3dCF7e",
            "extra":{{"name":"USDC","version":"2"}}"#
        );
        if *version == 1 {
            return format!(
                r#"{{"x402Version":1,"paymentPayload":{{"x402Version":1,"scheme":"exact","network":"base-sepolia",
                "payload":{payload}}},"paymentRequirements":{{"scheme":"exact","network":"base-sepolia",
                "maxAmountRequired":"{amount}","resource":"https://a.example/","description":"","mimeType":"",{rest}}}}}"#
            );
        }
        let terms = format!(r#"{{"scheme":"exact","network":"eip155:84532","amount":"{amount}",{rest}}}"#);
        format!(
            r#"{{"x402Version":2,"paymentPayload":{{"x402Version":2,"accepted":{terms},"payload":{payload}}},
            "paymentRequirements":{terms}}}"#
        )
    }

    pub(crate) fn request(&self) -> FacilitatorRequest {
        FacilitatorRequest::read(self.body().as_bytes()).unwrap()
    }

    pub(crate) fn key(&self) -> PaymentKey {
        let request = self.request();
        PaymentKey::of(&request.requirements, request.payment.payload()).unwrap()
    }
}

/// Waits for what happens in the background, at most a minute.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, mut happened: impl FnMut() -> F) {
    let begun = Instant::now();
    while !happened().await {
        assert!(begun.elapsed() < Duration::from_secs(60), "never: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A facilitator behind HTTP on a free port. It stops with `stop`.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    /// Keeps the port from others once the server has ended: whoever connects then is refused.
    _port: TcpSocket,
    pub(crate) stop: tokio::sync::oneshot::Sender<()>,
    pub(crate) done: tokio::task::JoinHandle<usize>,
}

pub(crate) async fn start(facilitator: &Arc<Facilitator>, config: HttpConfig) -> Server {
    start_with(facilitator, config, ServeLimits::default()).await
}

pub(crate) async fn start_with(
    facilitator: &Arc<Facilitator>,
    config: HttpConfig,
    limits: ServeLimits,
) -> Server {
    let port = shared(SocketAddr::from(([127, 0, 0, 1], 0)));
    let address = port.local_addr().unwrap();
    let listener = shared(address).listen(1024).unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let router = router(facilitator.clone(), config);
    let shutdown = async move { drop(stopped.await) };
    let done = tokio::spawn(serve(listener, router, facilitator.clone(), limits, shutdown));
    Server { address, _port: port, stop, done }
}

/// A socket at an address that another one of this process may have too. Connections go to the one that listens.
fn shared(address: SocketAddr) -> TcpSocket {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseport(true).unwrap();
    socket.bind(address).unwrap();
    socket
}
