//! What happens: random steps, counters with their caps, and limits.

use std::collections::HashSet;
use std::time::Duration;

use farthing_ledger::CallOutcome;
use farthing_money::Usd;
use farthing_policy::{Counter, Limit, Measure, Period, Refund, Window};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::CENT;

#[derive(Debug, Clone)]
pub(crate) enum Step {
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

pub(crate) fn step() -> impl Strategy<Value = Step> {
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
pub(crate) struct Cap {
    pub(crate) counter: Counter,
    pub(crate) most: u128,
    pub(crate) refund: Refund,
}

pub(crate) fn caps() -> impl Strategy<Value = Vec<Cap>> {
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

pub(crate) fn limits() -> impl Strategy<Value = Vec<Limit>> {
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
