//! The ledger against models that are obviously right, under random interleavings.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::collections::HashMap;
use std::time::Duration;

use common::*;
use farthing_ambient::TestClock;
use farthing_ledger::{
    ClaimState, Claimed, Ledger, LedgerError, PurchaseState, Reserved, SettlementState, Started,
};
use farthing_money::Usd;
use farthing_policy::{Limit, Measure, Period, Window};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

const PERIODS: [Period; 5] = [Period::Minute, Period::Hour, Period::Day, Period::Week, Period::Month];

#[derive(Debug, Clone)]
enum Step {
    /// So many cents, under the limits whose bit is set.
    Reserve {
        cents: u32,
        limits: u8,
    },
    Sign(usize),
    /// 0 paid, 1 not paid, 2 unknown.
    Finish(usize, u8),
    Forward(Duration),
    /// Sets the clock, backwards too.
    Jump(i64),
}

fn step() -> impl Strategy<Value = Step> {
    let minutes = |n: u64| Duration::from_secs(60 * n);
    let forward = prop_oneof![
        (1u64..60_000).prop_map(Duration::from_millis),
        (1u64..90).prop_map(minutes),
        (1u64..3_000).prop_map(minutes),
        (1u64..60_000).prop_map(minutes),
    ];
    prop_oneof![
        8 => (0u32..60, any::<u8>()).prop_map(|(cents, limits)| Step::Reserve { cents, limits }),
        2 => (0usize..40).prop_map(Step::Sign),
        4 => (0usize..40, 0u8..3).prop_map(|(n, outcome)| Step::Finish(n, outcome)),
        5 => forward.prop_map(Step::Forward),
        1 => (-200_000i64..200_000).prop_map(Step::Jump),
    ]
}

fn window() -> impl Strategy<Value = Window> {
    prop_oneof![
        4 => select(PERIODS.to_vec()).prop_map(Window::Rolling),
        4 => select(PERIODS.to_vec()).prop_map(Window::Calendar),
        1 => Just(Window::Lifetime),
    ]
}

fn a_limit() -> impl Strategy<Value = Limit> {
    let measure = prop_oneof![
        3 => (50u128..200).prop_map(|cents| Measure::Amount(Usd::new(cents * 10u128.pow(16)))),
        1 => (1u64..6).prop_map(Measure::Count),
    ];
    (select(vec!["all", "host:api.example.com", "agent:x"]), window(), measure)
        .prop_map(|(scope, window, measure)| limit(scope, window, measure))
}

/// One granted reservation.
struct Use {
    at: i64,
    cents: u128,
    scopes: Vec<String>,
    state: PurchaseState,
}

/// Every reservation, in a list, and the last recorded time.
#[derive(Default)]
struct Model {
    uses: Vec<Use>,
    last: i64,
}

impl Model {
    /// Cents and payments for which `inside` holds of their time.
    fn used(&self, scope: &str, inside: impl Fn(i64) -> bool) -> (u128, u64) {
        let counted = self.uses.iter().filter(|u| inside(u.at) && u.scopes.iter().any(|s| s == scope));
        counted.fold((0, 0), |(cents, count), u| {
            (cents + if u.state == PurchaseState::NotPaid { 0 } else { u.cents }, count + 1)
        })
    }

    /// The true use of a limit at `now`, and the most that a ledger which counts in buckets may believe.
    fn bounds(&self, limit: &Limit, now: i64) -> [(u128, u64); 2] {
        match limit.window {
            Window::Lifetime => [self.used(&limit.scope, |_| true); 2],
            Window::Calendar(period) => {
                [self.used(&limit.scope, |at| calendar_name(period, at) == calendar_name(period, now)); 2]
            }
            Window::Rolling(period) => {
                let (length, slack) = rolling(period);
                [0, slack].map(|slack| self.used(&limit.scope, |at| now - at < length + slack))
            }
        }
    }
}

fn fits(measure: Measure, (cents, count): (u128, u64), more: u128) -> bool {
    match measure {
        Measure::Amount(most) => (cents + more) * 10u128.pow(16) <= most.get(),
        Measure::Count(most) => count < most,
    }
}

struct Run {
    ledger: Ledger,
    clock: std::sync::Arc<TestClock>,
    model: Model,
    limits: Vec<Limit>,
}

impl Run {
    fn now(&self) -> i64 {
        use farthing_ambient::Clock;
        self.clock.now().as_millisecond().max(self.model.last)
    }

    async fn take(&mut self, step: Step) {
        match step {
            Step::Forward(by) => self.clock.advance(by),
            Step::Jump(by) => self.clock.step_to_unix_second(START + by),
            Step::Reserve { cents, limits } => self.reserve(cents.into(), limits).await,
            Step::Sign(n) => self.sign(n).await,
            Step::Finish(n, outcome) => self.finish(n, outcome).await,
        }
    }

    async fn reserve(&mut self, cents: u128, which: u8) {
        let now = self.now();
        let limits: Vec<_> = self
            .limits
            .iter()
            .enumerate()
            .filter(|(i, _)| which & (1 << i) != 0)
            .map(|(_, l)| l.clone())
            .collect();
        let mut terms = purchase(self.model.uses.len().to_string(), "$0");
        terms.value = Usd::new(cents * 10u128.pow(16));
        let answer = self.ledger.reserve(terms, limits.clone()).await.unwrap();
        self.model.last = now;
        match answer {
            Reserved::Granted { .. } => {
                for limit in &limits {
                    let [exact, _] = self.model.bounds(limit, now);
                    assert!(fits(limit.measure, exact, cents), "{limit:?} was overshot: {exact:?} + {cents}");
                }
                let mut scopes = vec!["all".to_owned(), "host:api.example.com".to_owned()];
                scopes.extend(limits.into_iter().map(|limit| limit.scope));
                self.model.uses.push(Use { at: now, cents, scopes, state: PurchaseState::Reserved });
            }
            Reserved::Denied(denial) => {
                let limit = limits.iter().find(|limit| limit.rule == denial.rule).unwrap();
                let denied_by = |limit: &Limit| !fits(limit.measure, self.model.bounds(limit, now)[1], cents);
                // Rules may share a name here; one of that name must have had no room.
                let mut named = limits.iter().filter(|other| other.rule == limit.rule);
                assert!(named.clone().any(denied_by), "{denial:?} without need");
                if let Some(wait) = denial.retry_after_seconds {
                    let wait = i64::try_from(wait).unwrap() * 1_000;
                    let right = named.any(|limit| self.frees_after(limit, now, wait, cents));
                    assert!(right, "{denial:?}: not after {wait} ms");
                }
            }
        }
    }

    /// Whether there is room for a payment after this wait, and none much earlier.
    fn frees_after(&self, limit: &Limit, now: i64, wait: i64, cents: u128) -> bool {
        let slack = match limit.window {
            Window::Rolling(period) => rolling(period).1,
            Window::Calendar(_) | Window::Lifetime => 0,
        };
        let fits_at = |at: i64| fits(limit.measure, self.model.bounds(limit, at)[0], cents);
        // The wait is rounded up to more than a second, and the bucket counts until its last moment has left.
        let earlier = now + wait - slack - 1_001;
        fits_at(now + wait) && (earlier < now || !fits_at(earlier))
    }

    async fn sign(&mut self, n: usize) {
        let now = self.now();
        let answer = self.ledger.signed(&id(n.to_string()), signed(u32::try_from(n).unwrap())).await;
        match self.model.uses.get_mut(n) {
            None => assert!(matches!(answer, Err(LedgerError::NotFound { .. }))),
            Some(u) if u.state == PurchaseState::Reserved => {
                answer.unwrap();
                u.state = PurchaseState::Signed;
                self.model.last = now;
            }
            Some(_) => assert!(matches!(answer, Err(LedgerError::WrongState { .. }))),
        }
    }

    async fn finish(&mut self, n: usize, outcome: u8) {
        use PurchaseState::{NotPaid, Paid, Reserved, Signed, Unknown};
        let now = self.now();
        let (outcome, wanted) =
            [(paid(), Paid), (not_paid(), NotPaid), (unknown(), Unknown)][usize::from(outcome)].clone();
        let answer = self.ledger.finish(&id(n.to_string()), outcome).await;
        let Some(u) = self.model.uses.get_mut(n) else {
            return assert!(matches!(answer, Err(LedgerError::NotFound { .. })));
        };
        match (u.state, wanted) {
            (from, to) if from == to => answer.unwrap(),
            (Reserved, NotPaid) | (Signed | Unknown, _) => {
                answer.unwrap();
                u.state = wanted;
                self.model.last = now;
            }
            _ => assert!(matches!(answer, Err(LedgerError::WrongState { .. }))),
        }
    }

    /// The ledger's word on every limit lies between the true use and one bucket more.
    async fn compare(&self) {
        let now = self.now();
        let usage = self.ledger.usage(self.limits.clone()).await.unwrap();
        for (limit, usage) in self.limits.iter().zip(usage) {
            let [exact, most] = self.model.bounds(limit, now);
            let cents = usage.amount.get() / 10u128.pow(16);
            assert!((exact.0..=most.0).contains(&cents), "{limit:?} {cents} not in {exact:?} {most:?}");
            assert!((exact.1..=most.1).contains(&usage.count), "{limit:?} {usage:?}");
        }
    }
}

fn block_on(work: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_limit_is_ever_overshot(limits in vec(a_limit(), 1..5), steps in vec(step(), 1..80)) {
        block_on(async {
            let (ledger, clock) = memory();
            let mut run = Run { ledger, clock, model: Model::default(), limits };
            for step in steps {
                run.take(step).await;
                run.compare().await;
            }
            for (n, used) in run.model.uses.iter().enumerate() {
                let recorded = run.ledger.purchase(&id(n.to_string())).await.unwrap();
                assert_eq!((recorded.state, recorded.created_at.as_millisecond()), (used.state, used.at));
            }
            assert_whole(&run.ledger).await;
        });
    }

    #[test]
    fn claims_and_settlements_stay_rebuildable(steps in vec((0u8..5, 0u32..4, 0u8..5), 1..80)) {
        block_on(async {
            let (ledger, clock) = memory();
            let (mut granted, mut begun, mut rows) = (0, 0, HashMap::new());
            for (n, (what, payment, state)) in steps.into_iter().enumerate() {
                clock.advance(Duration::from_millis(700));
                match what {
                    0 => {
                        if let Claimed::Granted { seq } = ledger.claim(claim(payment)).await.unwrap() {
                            granted += 1;
                            rows.insert(payment, seq);
                        }
                    }
                    1 => begun += u32::from(matches!(
                        ledger.begin_settlement(settlement(payment)).await.unwrap(), Started::New)),
                    2 => allow_refusal(ledger.broadcast(broadcast(&format!("0x{n}"), [payment, 0])).await),
                    _ => {
                        let (claim, settlement) = states(state);
                        // Now and then by who does not know that it has moved.
                        let seen = rows.get(&payment).copied().unwrap_or(1);
                        let moved = ledger.move_claim(&key(payment), seen, claim).await;
                        if let Ok(Some(row)) = moved && what == 3 {
                            rows.insert(payment, row);
                        }
                        allow_refusal(moved.map(drop));
                        allow_refusal(ledger.update_settlement(&key(payment), settlement).await);
                    }
                }
            }
            assert!(usize::try_from(granted).unwrap() >= ledger.open_claims().await.unwrap().len());
            assert!(usize::try_from(begun).unwrap() >= ledger.pending_settlements().await.unwrap().len());
            assert_whole(&ledger).await;
        });
    }
}

fn states(n: u8) -> (ClaimState, SettlementState) {
    let tx = || "0xt".to_owned();
    match n {
        0 => (ClaimState::Taken, SettlementState::Pending { transaction: None }),
        1 => (ClaimState::Released { why: tx() }, SettlementState::Abandoned { why: tx() }),
        2 => (
            ClaimState::Settled { transaction: tx() },
            SettlementState::Confirmed { transaction: tx(), payer: tx() },
        ),
        3 => (
            ClaimState::Settling { transaction: Some(tx()) },
            SettlementState::Pending { transaction: Some(tx()) },
        ),
        _ => (
            ClaimState::Failed { reason: tx() },
            SettlementState::Failed { reason: tx(), message: tx(), transaction: None },
        ),
    }
}

/// A step that does not follow, or a record that is not there, is refused; nothing else may go wrong.
fn allow_refusal<T>(answer: Result<T, LedgerError>) {
    match answer {
        Ok(_) | Err(LedgerError::WrongState { .. } | LedgerError::NotFound { .. }) => {}
        Err(error) => panic!("{error}"),
    }
}
