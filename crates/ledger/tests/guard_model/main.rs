//! Calls, payments, approvals, the freeze and restarts under random interleavings, against a plain list of what happened.
//! The list decides exactly as the ledger does.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "../common/mod.rs"]
mod common;
mod list;
mod steps;

use std::sync::Arc;
use std::time::Duration;

use common::*;
use farthing_ambient::{Clock, TestClock};
use farthing_ledger::{
    Admitted, CallOutcome, Ledger, LedgerError, NewPurchase, Noted, PurchaseState, Reserved,
};
use farthing_money::Usd;
use farthing_policy::{ApprovalNeed, CallPlan, Denial, DenialCode, Limit, Needs};
use list::{Asked, Model, Payment, Take};
use proptest::collection::vec;
use proptest::prelude::*;
use steps::{Cap, Step, caps, limits, step};

const VALID: Duration = Duration::from_secs(1800);
const CENT: u128 = 10u128.pow(16);

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

    /// Compares an answer with what must be said: of a freeze, of the rule that has no room, of an approval.
    fn expect(&mut self, full: Option<String>, terms: Option<u8>, denial: Option<&Denial>, now: i64) {
        match (self.model.frozen, full, terms) {
            (true, ..) => assert_eq!(denial.unwrap().code, DenialCode::Frozen),
            (_, Some(rule), _) => assert_eq!(denial.unwrap().rule, rule),
            (_, None, Some(terms)) => self.expect_approval(terms, denial, now),
            (_, None, None) => assert_eq!(denial, None),
        }
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
        let full = full.map(|cap| format!("{:?}", cap.counter));
        self.expect(full, terms, denial.as_ref(), now);
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

    /// The limits whose bit is set, as they are for this payee.
    fn limits(&self, which: u8, payee: u8) -> Vec<Limit> {
        let chosen = self.limits.iter().enumerate().filter(|(i, _)| which & (1 << i) != 0);
        let named = chosen.map(|(_, limit)| Limit {
            first_use_of: limit.first_use_of.as_ref().map(|_| format!("payee:0x{payee}")),
            ..limit.clone()
        });
        named.collect()
    }

    async fn reserve(&mut self, cents: u128, payee: u8, which: u8, terms: Option<u8>) {
        let limits = self.limits(which, payee);
        let wish = NewPurchase {
            value: Usd::new(cents * CENT),
            pay_to: format!("0x{payee}"),
            ..purchase(self.model.payments.len().to_string(), "$0")
        };
        let needs = Needs { limits: limits.clone(), approval: terms.map(need), ..Needs::default() };
        let answer = self.ledger.reserve_with(wish, needs).await.unwrap();
        let now = self.write();
        let has_room = |limit: &&Limit| self.model.has_room(limit, payee, cents, now);
        let (reporting, refusing): (Vec<_>, Vec<_>) = limits.iter().partition(|limit| limit.shadow);
        let full = refusing.into_iter().find(|limit| has_room(limit) == Some(false));
        let reported = reporting.iter().filter(|limit| has_room(limit) == Some(false)).count();
        let applied = limits.iter().filter(|limit| has_room(limit).is_some());
        let scopes = applied.map(|limit| limit.scope.clone()).chain(["all".to_owned()]).collect();
        let denial = match answer {
            Reserved::Denied(denial) => Some(denial),
            Reserved::Granted { shadowed, .. } => {
                assert_eq!(shadowed.len(), reported);
                None
            }
        };
        self.expect(full.map(|limit| limit.rule.clone()), terms, denial.as_ref(), now);
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
