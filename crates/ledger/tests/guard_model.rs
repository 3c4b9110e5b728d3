//! Calls, payments, approvals, the freeze and restarts under random interleavings, against a plain list of what happened.
//! The list decides exactly as the ledger does.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use common::*;
use farthing_ambient::{Clock, TestClock};
use farthing_ledger::{
    Admitted, CallOutcome, Ledger, LedgerError, NewPurchase, Noted, PurchaseState, Reserved,
};
use farthing_money::Usd;
use farthing_policy::{
    ApprovalNeed, CallPlan, Counter, Denial, DenialCode, Limit, Measure, Needs, Period, Refund, Window,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

const VALID: Duration = Duration::from_secs(1800);
const CENT: u128 = 10u128.pow(16);

#[derive(Debug, Clone)]
enum Step {
    /// A call that takes so much from the counters whose bit is set, and may need an approval.
    Admit {
        counters: u8,
        amount: u8,
        terms: Option<u8>,
    },
    End(usize, CallOutcome),
    Note,
    /// So many cents to one of four payees, under the limits whose bit is set.
    Reserve {
        cents: u8,
        payee: u8,
        limits: u8,
        terms: Option<u8>,
    },
    Sign(usize),
    /// 0 paid, 1 not paid, 2 unknown.
    Finish(usize, u8),
    Decide(usize, bool),
    Freeze,
    Thaw,
    Restart,
    Forward(Duration),
    Jump(i64),
}

fn terms() -> impl Strategy<Value = Option<u8>> {
    prop_oneof![3 => Just(None), 1 => (0u8..3).prop_map(Some)]
}

fn step() -> impl Strategy<Value = Step> {
    use CallOutcome::{Answered, Error, Failed, Lost, ToolError};
    let forward = prop_oneof![
        (1u64..60_000).prop_map(Duration::from_millis),
        (1u64..90).prop_map(|minutes| Duration::from_secs(60 * minutes)),
        (1u64..3_000).prop_map(|minutes| Duration::from_secs(60 * minutes)),
    ];
    prop_oneof![
        12 => (any::<u8>(), 0u8..5, terms())
            .prop_map(|(counters, amount, terms)| Step::Admit { counters, amount, terms }),
        6 => (0usize..40, select(vec![Answered, ToolError, Error, Failed, Lost]))
            .prop_map(|(n, outcome)| Step::End(n, outcome)),
        1 => Just(Step::Note),
        8 => (0u8..60, 0u8..4, any::<u8>(), terms())
            .prop_map(|(cents, payee, limits, terms)| Step::Reserve { cents, payee, limits, terms }),
        3 => (0usize..20).prop_map(Step::Sign),
        3 => (0usize..20, 0u8..3).prop_map(|(n, outcome)| Step::Finish(n, outcome)),
        4 => (0usize..12, any::<bool>()).prop_map(|(n, approve)| Step::Decide(n, approve)),
        1 => Just(Step::Freeze),
        2 => Just(Step::Thaw),
        1 => Just(Step::Restart),
        5 => forward.prop_map(Step::Forward),
        1 => (-200_000i64..200_000).prop_map(Step::Jump),
    ]
}

fn window() -> impl Strategy<Value = Window> {
    let periods = vec![Period::Minute, Period::Hour, Period::Day, Period::Week, Period::Month];
    prop_oneof![
        4 => select(periods.clone()).prop_map(Window::Rolling),
        4 => select(periods).prop_map(Window::Calendar),
        1 => Just(Window::Lifetime),
    ]
}

/// A counter with what it may hold, and when it gives back.
#[derive(Debug, Clone)]
struct Cap {
    counter: Counter,
    most: u128,
    refund: Refund,
}

fn caps() -> impl Strategy<Value = Vec<Cap>> {
    let refund = select(vec![Refund::Never, Refund::OnError, Refund::OnFailure]);
    let cap =
        (select(vec!["a", "b"]), window(), 1u128..12, refund).prop_map(|(scope, window, most, refund)| Cap {
            counter: Counter { scope: scope.into(), window },
            most,
            refund,
        });
    vec(cap, 1..6).prop_map(|mut caps| {
        let mut seen = HashSet::new();
        caps.retain(|cap| seen.insert(cap.counter.clone()));
        caps
    })
}

fn limits() -> impl Strategy<Value = Vec<Limit>> {
    let measure = prop_oneof![
        3 => (50u128..200).prop_map(|cents| Measure::Amount(Usd::new(cents * CENT))),
        1 => (1u64..6).prop_map(Measure::Count),
    ];
    let one = (select(vec!["all", "agent:x"]), window(), measure, 0u8..4);
    vec(one, 1..5).prop_map(|all| {
        let named = all.into_iter().enumerate().map(|(n, (scope, window, measure, kind))| Limit {
            shadow: kind == 0,
            // Which payee is new is known when one is paid.
            first_use_of: (kind == 1).then(String::new),
            ..Limit::new(n.to_string(), if kind == 1 { "strangers" } else { scope }, window, measure)
        });
        named.collect()
    })
}

/// Whether use at `at` counts in a window at `now`, as the crate's documentation says.
fn counts(window: Window, at: i64, now: i64) -> bool {
    match window {
        Window::Lifetime => true,
        Window::Calendar(period) => calendar_name(period, at) == calendar_name(period, now),
        Window::Rolling(period) => {
            let (length, slack) = rolling(period);
            at >= (now - length) - (now - length).rem_euclid(slack)
        }
    }
}

/// What one charge of a call took.
struct Take {
    call: usize,
    at: i64,
    counter: Counter,
    amount: u128,
    refund: Refund,
}

struct Payment {
    at: i64,
    cents: u128,
    payee: u8,
    scopes: Vec<String>,
    state: PurchaseState,
}

struct Asked {
    id: String,
    terms: u8,
    state: &'static str,
    expires: i64,
}

/// What happened, and the time of the last row.
#[derive(Default)]
struct Model {
    takes: Vec<Take>,
    /// Which calls may still give back.
    open: Vec<bool>,
    payments: Vec<Payment>,
    asked: Vec<Asked>,
    frozen: bool,
    last: i64,
}

impl Model {
    fn used(&self, counter: &Counter, now: i64) -> u128 {
        let counted = self.takes.iter().filter(|take| take.counter == *counter);
        counted.filter(|take| counts(counter.window, take.at, now)).map(|take| take.amount).sum()
    }

    /// Whether a limit has room for so many cents; `None` where it does not apply.
    fn has_room(&self, limit: &Limit, payee: u8, cents: u128, now: i64) -> Option<bool> {
        if limit.first_use_of.is_some() && self.payments.iter().any(|payment| payment.payee == payee) {
            return None;
        }
        let counted = self
            .payments
            .iter()
            .filter(|payment| payment.scopes.contains(&limit.scope) && counts(limit.window, payment.at, now));
        Some(match limit.measure {
            Measure::Count(most) => counted.count() < usize::try_from(most).unwrap(),
            Measure::Amount(most) => {
                let spent = counted.filter(|payment| payment.state != PurchaseState::NotPaid);
                let sum: u128 = spent.map(|payment| payment.cents).sum();
                (sum + cents) * CENT <= most.get()
            }
        })
    }

    /// The approval that holds for these terms.
    fn approval(&mut self, terms: u8, now: i64) -> Option<&mut Asked> {
        self.asked
            .iter_mut()
            .find(|asked| asked.terms == terms && asked.state != "used" && asked.expires > now)
    }
}

struct Run {
    _folder: tempfile::TempDir,
    path: std::path::PathBuf,
    ledger: Ledger,
    clock: Arc<TestClock>,
    model: Model,
    caps: Vec<Cap>,
    limits: Vec<Limit>,
}

fn need(terms: u8) -> ApprovalNeed {
    ApprovalNeed { rule: "ask".into(), terms: terms.to_string(), valid: VALID }
}

fn until(now: i64) -> i64 {
    now + i64::try_from(VALID.as_millis()).unwrap()
}

impl Run {
    fn new(caps: Vec<Cap>, limits: Vec<Limit>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (path, clock) = (folder.path().join("ledger.db"), clock());
        let ledger = Ledger::open(&path, clock.clone()).unwrap();
        Self { _folder: folder, path, ledger, clock, model: Model::default(), caps, limits }
    }

    fn now(&self) -> i64 {
        self.clock.now().as_millisecond().max(self.model.last)
    }

    /// The time of the row that is about to be written.
    fn write(&mut self) -> i64 {
        self.model.last = self.now();
        self.model.last
    }

    async fn take(&mut self, step: Step) {
        match step {
            Step::Admit { counters, amount, terms } => self.admit(counters, amount.into(), terms).await,
            Step::End(n, outcome) => self.end(n, outcome).await,
            Step::Note => {
                self.ledger.note(call("note"), Noted::Allowed { shadowed: vec![] }).await.unwrap();
                // So that it has the time that the model believes.
                self.ledger.frozen().await.unwrap();
                self.write();
            }
            Step::Reserve { cents, payee, limits, terms } => {
                self.reserve(cents.into(), payee, limits, terms).await;
            }
            Step::Sign(n) => self.sign(n).await,
            Step::Finish(n, outcome) => self.finish(n, outcome).await,
            Step::Decide(n, approve) => self.decide(n, approve).await,
            Step::Freeze => self.freeze(true).await,
            Step::Thaw => self.freeze(false).await,
            Step::Restart => self.restart().await,
            Step::Forward(by) => self.clock.advance(by),
            Step::Jump(by) => self.clock.step_to_unix_second(START + by),
        }
    }

    async fn restart(&mut self) {
        self.ledger.close().await.unwrap();
        self.ledger = Ledger::open(&self.path, self.clock.clone()).unwrap();
    }

    async fn freeze(&mut self, on: bool) {
        if on {
            self.ledger.freeze("stop".into(), "ops".into()).await.unwrap();
        } else {
            self.ledger.thaw("ops".into()).await.unwrap();
        }
        if self.model.frozen != on {
            self.model.frozen = on;
            self.write();
        }
        assert_eq!(self.ledger.maybe_frozen(), on);
        assert_eq!(self.ledger.frozen().await.unwrap().is_some(), on);
    }

    /// Compares an answer about an approval with what is known, and notes what it changed.
    fn expect_approval(&mut self, terms: u8, denial: Option<&Denial>, now: i64) {
        let told = denial.and_then(|denial| denial.approval.as_ref()).map(|approval| approval.id.clone());
        match (self.model.approval(terms, now), denial.map(|denial| denial.code)) {
            (Some(asked), None) => {
                assert_eq!(asked.state, "approved");
                asked.state = "used";
            }
            (Some(asked), Some(DenialCode::ApprovalDenied)) => assert_eq!(asked.state, "denied"),
            (Some(asked), Some(DenialCode::ApprovalRequired)) => {
                assert_eq!((asked.state, Some(&asked.id)), ("pending", told.as_ref()));
            }
            (None, Some(DenialCode::ApprovalRequired)) => {
                let id = told.unwrap();
                assert!(self.model.asked.iter().all(|asked| asked.id != id));
                self.model.asked.push(Asked { id, terms, state: "pending", expires: until(now) });
            }
            (_, other) => panic!("{other:?} about terms {terms}"),
        }
    }

    async fn admit(&mut self, which: u8, amount: u128, terms: Option<u8>) {
        let chosen = self.caps.iter().enumerate().filter(|(i, _)| which & (1 << i) != 0);
        let caps: Vec<_> = chosen.map(|(_, cap)| cap.clone()).collect();
        let mut plan = caps.iter().fold(CallPlan::default(), |plan, cap| {
            let Cap { counter, most, refund } = cap;
            let charge = charge(&counter.scope, counter.window, amount, *refund);
            plan.with_limit(format!("{counter:?}"), charge, quantity(*most))
        });
        plan.approval = terms.map(need);
        let n = self.model.open.len();
        let answer = self.ledger.admit(call(n.to_string()), plan.into()).await.unwrap();
        let now = self.write();
        let denial = match answer {
            Admitted::Granted { .. } => None,
            Admitted::Denied(denial) => Some(denial),
        };
        let full = caps.iter().find(|cap| self.model.used(&cap.counter, now) + amount > cap.most);
        match (self.model.frozen, full, terms) {
            (true, ..) => assert_eq!(denial.as_ref().unwrap().code, DenialCode::Frozen),
            (_, Some(cap), _) => assert_eq!(denial.as_ref().unwrap().rule, format!("{:?}", cap.counter)),
            (_, None, Some(terms)) => self.expect_approval(terms, denial.as_ref(), now),
            (_, None, None) => assert_eq!(denial, None),
        }
        self.model.open.push(denial.is_none());
        if denial.is_none() {
            self.model.takes.extend(caps.into_iter().map(|Cap { counter, refund, .. }| Take {
                call: n,
                at: now,
                counter,
                amount,
                refund,
            }));
        }
    }

    async fn end(&mut self, n: usize, outcome: CallOutcome) {
        self.ledger.end_call(n.to_string(), end(outcome)).await.unwrap();
        if outcome != CallOutcome::Answered {
            self.write();
        }
        let Some(open) = self.model.open.get_mut(n) else { return };
        if std::mem::take(open) {
            self.model.takes.retain(|take| take.call != n || !outcome.gives_back(take.refund));
        }
    }

    async fn reserve(&mut self, cents: u128, payee: u8, which: u8, terms: Option<u8>) {
        let chosen = self.limits.iter().enumerate().filter(|(i, _)| which & (1 << i) != 0);
        let limits: Vec<_> = chosen
            .map(|(_, limit)| Limit {
                first_use_of: limit.first_use_of.as_ref().map(|_| format!("payee:0x{payee}")),
                ..limit.clone()
            })
            .collect();
        let n = self.model.payments.len();
        let terms_of = NewPurchase {
            value: Usd::new(cents * CENT),
            pay_to: format!("0x{payee}"),
            ..purchase(n.to_string(), "$0")
        };
        let needs = Needs { limits: limits.clone(), approval: terms.map(need) };
        let answer = self.ledger.reserve_with(terms_of, needs).await.unwrap();
        let now = self.write();
        let has_room = |limit: &Limit| self.model.has_room(limit, payee, cents, now);
        let full = limits.iter().find(|limit| !limit.shadow && has_room(limit) == Some(false)).cloned();
        let reported = limits.iter().filter(|limit| limit.shadow && has_room(limit) == Some(false)).count();
        let applied = limits.iter().filter(|limit| has_room(limit).is_some());
        let mut scopes: Vec<_> = applied.map(|limit| limit.scope.clone()).collect();
        scopes.push("all".into());
        let denial = match answer {
            Reserved::Denied(denial) => Some(denial),
            Reserved::Granted { shadowed, .. } => {
                assert_eq!(shadowed.len(), reported);
                None
            }
        };
        match (self.model.frozen, full, terms) {
            (true, ..) => assert_eq!(denial.as_ref().unwrap().code, DenialCode::Frozen),
            (_, Some(limit), _) => assert_eq!(denial.as_ref().unwrap().rule, limit.rule),
            (_, None, Some(terms)) => self.expect_approval(terms, denial.as_ref(), now),
            (_, None, None) => assert_eq!(denial, None),
        }
        if denial.is_none() {
            let state = PurchaseState::Reserved;
            self.model.payments.push(Payment { at: now, cents, payee, scopes, state });
        }
    }

    async fn sign(&mut self, n: usize) {
        let answer = self.ledger.signed(&id(n.to_string()), signed(u32::try_from(n).unwrap())).await;
        let now = self.now();
        match self.model.payments.get_mut(n) {
            None => assert!(matches!(answer, Err(LedgerError::NotFound { .. }))),
            Some(payment) if payment.state != PurchaseState::Reserved => {
                assert!(matches!(answer, Err(LedgerError::WrongState { .. })));
            }
            Some(_) if self.model.frozen => assert!(matches!(answer, Err(LedgerError::Frozen(_)))),
            Some(payment) => {
                answer.unwrap();
                payment.state = PurchaseState::Signed;
                self.model.last = now;
            }
        }
    }

    async fn finish(&mut self, n: usize, outcome: u8) {
        use PurchaseState::{NotPaid, Paid, Reserved, Signed, Unknown};
        let (outcome, wanted) =
            [(paid(), Paid), (not_paid(), NotPaid), (unknown(), Unknown)][usize::from(outcome)].clone();
        let answer = self.ledger.finish(&id(n.to_string()), outcome).await;
        let now = self.now();
        let Some(payment) = self.model.payments.get_mut(n) else { return };
        match (payment.state, wanted) {
            (from, to) if from == to => answer.unwrap(),
            (Reserved, NotPaid) | (Signed | Unknown, _) => {
                answer.unwrap();
                payment.state = wanted;
                self.model.last = now;
            }
            _ => assert!(matches!(answer, Err(LedgerError::WrongState { .. }))),
        }
    }

    async fn decide(&mut self, n: usize, approve: bool) {
        let now = self.now();
        let Some(asked) = self.model.asked.get_mut(n) else { return };
        let answer = self.ledger.decide_approval(&asked.id, approve, "ana".into()).await;
        if asked.state == "pending" && asked.expires > now {
            answer.unwrap();
            asked.state = if approve { "approved" } else { "denied" };
            asked.expires = until(now);
            self.model.last = now;
        } else {
            assert!(matches!(answer, Err(LedgerError::WrongState { .. })), "{answer:?}");
        }
    }

    /// No cap is exceeded by what was taken in the true window.
    fn check(&self) {
        let now = self.now();
        for Cap { counter, most, .. } in &self.caps {
            assert!(self.model.used(counter, now) <= *most, "{counter:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn the_ledger_decides_as_a_plain_list_does(
        caps in caps(), limits in limits(), steps in vec(step(), 1..100),
    ) {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
            let mut run = Run::new(caps, limits);
            for step in steps {
                run.take(step).await;
                run.check();
            }
            for (n, payment) in run.model.payments.iter().enumerate() {
                assert_eq!(run.ledger.purchase(&id(n.to_string())).await.unwrap().state, payment.state);
            }
            assert_whole(&run.ledger).await;
            run.restart().await;
            assert_whole(&run.ledger).await;
        });
    }
}
