//! The static bound against a simulation: random policies, payments at random and at bad times, every one decided by the
//! policy and admitted by limits over a full record of what was spent. What was spent in any stretch never exceeds the
//! bound. That the bound is reached is held beside the code: its schedule keeps every budget.
#![allow(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use farthing_money::{Asset, BaseUnits, Network, Registry, Usd};
use farthing_policy::{Limit, Period, Policy, Terms, Usage, Window};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use proptest::prelude::*;
use proptest::sample::select;

const MINUTE: i64 = 60;
const DAY: i64 = 24 * 60 * MINUTE;
const PAYEES: [&str; 2] =
    ["0x209693bc6afc0c5328ba36faf03c514ef312287c", "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266"];
const HOSTS: [&str; 3] = ["a.com", "b.com", "x.c.com"];
const AGENTS: [Option<&str>; 4] = [None, Some("team"), Some("one"), Some("two")];

/// Everything that was admitted: time, value, scopes.
#[derive(Default)]
struct Record {
    payments: Vec<(i64, u128, Option<&'static str>, Vec<String>)>,
}

impl Record {
    fn usage(&self, limit: &Limit, now: i64) -> Usage {
        let from = begin(limit.window, now);
        let mut usage = Usage::default();
        for (at, value, _, scopes) in &self.payments {
            if *at > from && scopes.contains(&limit.scope) {
                usage.amount = usage.amount.checked_add(Usd::new(*value)).unwrap();
                usage.count += 1;
            }
        }
        usage
    }

    /// The most that was spent in any stretch of a kind, by an agent and those below it.
    fn most(&self, window: Window, by: Option<&str>) -> u128 {
        let counts = |agent: Option<&str>| match by {
            None => true,
            Some("team") => agent.is_some(),
            by => agent == by,
        };
        let payments: Vec<_> = self.payments.iter().filter(|(_, _, agent, _)| counts(*agent)).collect();
        let ends = payments.iter().map(|(at, ..)| *at);
        let spent = |end: i64| {
            let from = begin(window, end);
            payments.iter().filter(|(at, ..)| *at > from && *at <= end).map(|(_, value, ..)| *value).sum()
        };
        ends.map(spent).max().unwrap_or_default()
    }
}

/// What lies after this time, and no later than `now`, is in the window.
fn begin(window: Window, now: i64) -> i64 {
    let length = |period: Period| match period {
        Period::Minute => MINUTE,
        Period::Hour => 60 * MINUTE,
        Period::Day => DAY,
        Period::Week => 7 * DAY,
        Period::Month => 30 * DAY,
    };
    match window {
        Window::Lifetime => i64::MIN,
        Window::Rolling(period) => now - length(period),
        Window::Calendar(Period::Week) => now - (now + 3 * DAY).rem_euclid(7 * DAY) - 1,
        Window::Calendar(Period::Month) => {
            let first =
                Timestamp::from_second(now).unwrap().to_zoned(TimeZone::UTC).first_of_month().unwrap();
            first.start_of_day().unwrap().timestamp().as_second() - 1
        }
        Window::Calendar(period) => now - now.rem_euclid(length(period)) - 1,
    }
}

const WINDOWS: [(&str, Window); 11] = [
    ("minute", Window::Calendar(Period::Minute)),
    ("hour", Window::Calendar(Period::Hour)),
    ("day", Window::Calendar(Period::Day)),
    ("week", Window::Calendar(Period::Week)),
    ("month", Window::Calendar(Period::Month)),
    ("60 seconds", Window::Rolling(Period::Minute)),
    ("60 minutes", Window::Rolling(Period::Hour)),
    ("24 hours", Window::Rolling(Period::Day)),
    ("7 days", Window::Rolling(Period::Week)),
    ("30 days", Window::Rolling(Period::Month)),
    ("lifetime", Window::Lifetime),
];

fn caps(amount: bool) -> impl Strategy<Value = String> {
    let each = select(vec!["all", "all", "all", "host", "payee", "network", "category", "agent"]);
    let cap = (1u32..60, 0..WINDOWS.len(), each);
    proptest::collection::vec(cap, 0..3).prop_map(move |caps| {
        let line = |(n, (most, window, each)): (usize, (u32, usize, &str))| {
            let most = if amount { format!("\"$0.{most:06}\"") } else { most.to_string() };
            format!("{{name: c{n}{amount}, max: {most}, per: {}, each: {each}}}", WINDOWS[window].0)
        };
        let lines: Vec<_> = caps.into_iter().enumerate().map(line).collect();
        match (lines.is_empty(), amount) {
            (true, _) => String::new(),
            (false, true) => format!(", budgets: [{}]", lines.join(", ")),
            (false, false) => format!(", rates: [{}]", lines.join(", ")),
        }
    })
}

fn lists() -> impl Strategy<Value = String> {
    select(vec![
        "",
        ", hosts: {allow: [a.com, b.com]}",
        ", hosts: {allow: [a.com, \"a.com:8443\", \"*.c.com\"]}",
        ", categories: {allow: [first]}",
        ", networks: {allow: [base]}",
        ", payees: {allow: [\"0x209693bc6afc0c5328ba36faf03c514ef312287c\"]}",
    ])
    .prop_map(str::to_owned)
}

fn policy() -> impl Strategy<Value = String> {
    let section = || (caps(true), caps(false), lists()).prop_map(|(a, b, c)| format!("{a}{b}{c}"));
    let max = select(vec!["none", "\"$0.000009\"", "\"$0.000030\""]);
    (max, section(), section(), section()).prop_map(|(max, root, team, one)| {
        format!(
            "version: 1\npayments: {{max: {max}{root}}}\ncategories: {{first: [a.com, b.com], second: [b.com]}}\n\
             agents:\n  team: {{payments: {{max: none{team}}}}}\n  one: {{parent: team, payments: {{max: \
             \"$0.000025\"{one}}}}}\n  two: {{parent: team}}\n"
        )
    })
}

/// A payment: when, in seconds after the one before; how much; host, payee, network, agent.
type Step = (i64, u128, usize, usize, usize, usize);

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let wait = prop_oneof![
        4 => Just(0i64),
        2 => 1i64..90,
        2 => 1i64..2 * 60 * MINUTE,
        1 => select(vec![60 * MINUTE, DAY, 7 * DAY, MINUTE, DAY - MINUTE, 30 * DAY, 28 * DAY]),
        1 => 1i64..3 * DAY,
    ];
    proptest::collection::vec((wait, 1u128..40, 0..HOSTS.len(), 0..2usize, 0..2usize, 0..AGENTS.len()), 1..80)
}

/// Shortly before a month, a week, a day and an hour begin: 2021-02-01 was a Monday.
fn start() -> impl Strategy<Value = i64> {
    let midnight = "2021-02-01T00:00:00Z".parse::<Timestamp>().unwrap().as_second();
    select(vec![30, 30 * MINUTE, DAY / 2, 3 * DAY, 15 * DAY, -27 * DAY])
        .prop_map(move |before| midnight - before)
}

fn simulate(policy: &Policy, start: i64, steps: &[Step]) -> Record {
    let registry = Registry::builtin();
    let assets: Vec<Asset> = [Network::BASE, Network::BASE_SEPOLIA]
        .iter()
        .map(|network| Asset::clone(registry.usdc(network).unwrap()))
        .collect();
    let mut record = Record::default();
    let mut now = start;
    for (wait, amount, host, payee, network, agent) in steps {
        now += wait;
        // As much as there is room for, half of the time.
        for amount in [*amount, 1] {
            let terms = Terms {
                host: HOSTS[*host],
                payee: PAYEES[*payee],
                asset: &assets[*network],
                amount: BaseUnits::new(amount),
                method: "GET",
                resource: "https://a.com/",
                body: None,
                agent: AGENTS[*agent],
                session: None,
                tool: None,
                advertised: None,
                now: Timestamp::from_second(now).unwrap(),
            };
            let Ok(clearance) = policy.check(&terms) else { continue };
            if clearance
                .limits
                .iter()
                .all(|limit| limit.admit(record.usage(limit, now), clearance.value).is_ok())
            {
                let scopes = clearance.limits.into_iter().map(|limit| limit.scope).collect();
                record.payments.push((now, clearance.value.get(), AGENTS[*agent], scopes));
            }
        }
    }
    record
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn nothing_spends_more_than_the_bound(
        text in policy(), start in start(), steps in steps(), window in 0..WINDOWS.len(),
    ) {
        let Ok(policy) = Policy::parse(&text) else { return Ok(()) };
        let record = simulate(&policy, start, &steps);
        let window = WINDOWS[window].1;
        for agent in AGENTS {
            let bound = policy.bound(window, agent);
            let spent = record.most(window, agent);
            if let Some(most) = bound.most {
                prop_assert!(spent <= most.get(), "{spent} > {most:?} in {window:?} by {agent:?}\n{text}\n{bound:#?}");
            }
        }
    }
}

fn dollars(text: &str) -> Option<Usd> {
    Some(text.parse().unwrap())
}

fn bound(payments: &str, window: Window, agent: Option<&str>) -> Option<Usd> {
    Policy::parse(&format!("version: 1\npayments:\n  {payments}")).unwrap().bound(window, agent).most
}

#[test]
fn midnight_doubles_a_calendar_budget() {
    let day = "max: \"$0.10\"\n  budgets: [{name: d, max: \"$5\", per: day}]";
    assert_eq!(bound(day, Window::Rolling(Period::Day), None), dollars("10"));
    assert_eq!(bound(day, Window::Calendar(Period::Day), None), dollars("5"));
    assert_eq!(bound(day, Window::Rolling(Period::Month), None), dollars("155"));
    assert_eq!(bound(day, Window::Lifetime, None), None);
    let rolling = "max: \"$0.10\"\n  budgets: [{name: d, max: \"$5\", per: 24 hours}]";
    assert_eq!(bound(rolling, Window::Rolling(Period::Day), None), dollars("5"));
    assert_eq!(bound(rolling, Window::Rolling(Period::Week), None), dollars("35"));
    assert_eq!(bound(rolling, Window::Rolling(Period::Minute), None), dollars("5"));
}

#[test]
fn budgets_of_several_windows_bind_together() {
    // Three full weeks, and four days and a half at each end of them.
    let both = "max: none\n  budgets: [{name: d, max: \"$5\", per: day}, {name: w, max: \"$20\", per: week}]";
    assert_eq!(bound(both, Window::Rolling(Period::Week), None), dollars("40"));
    assert_eq!(bound(both, Window::Rolling(Period::Month), None), dollars("100"));
    let rate = "max: \"$0.10\"\n  rates: [{name: r, max: 10, per: 60 minutes}]";
    assert_eq!(bound(rate, Window::Rolling(Period::Day), None), dollars("24"));
    assert_eq!(
        bound("max: none\n  rates: [{name: r, max: 10, per: hour}]", Window::Rolling(Period::Day), None),
        None
    );
    let month = "max: none\n  budgets: [{name: m, max: \"$10\", per: month}]";
    assert_eq!(
        bound(month, Window::Rolling(Period::Month), None),
        dollars("30"),
        "a February lies between two others"
    );
    assert_eq!(bound(month, Window::Rolling(Period::Week), None), dollars("20"));
}

#[test]
fn hosts_that_are_named_can_be_counted() {
    let hosts = |list: &str| {
        let text = format!(
            "max: none\n  budgets: [{{name: h, max: \"$1\", per: 24 hours, each: host}}]\n  hosts: {{allow: {list}}}"
        );
        bound(&text, Window::Rolling(Period::Day), None)
    };
    assert_eq!(hosts("[a.com, b.com, \"b.com:8443\"]"), dollars("2"));
    assert_eq!(hosts("[a.com, \"*.b.com\"]"), None);
}

#[test]
fn agents_are_bound_by_all_above_them() {
    let text = "version: 1\npayments: {max: none, budgets: [{name: d, max: \"$9\", per: 24 hours}, {name: e, max: \"$3\", \
                per: 24 hours, each: agent}]}\nagents:\n  team: {payments: {budgets: [{name: d, max: \"$2\", per: 24 \
                hours}]}}\n  one: {parent: team, payments: {max: \"$1\"}}\n  other: {}\n";
    let policy = Policy::parse(text).unwrap();
    let most = |agent| policy.bound(Window::Rolling(Period::Day), agent).most;
    assert_eq!(most(None), dollars("9"));
    assert_eq!(most(Some("team")), dollars("2"));
    assert_eq!(most(Some("one")), dollars("2"));
    assert_eq!(most(Some("other")), dollars("3"));
    assert_eq!(most(Some("stranger")), dollars("0"));
}

#[test]
fn it_says_why() {
    let text = "version: 1\npayments: {max: \"$0.10\", budgets: [{name: d, max: \"$5\", per: day}]}";
    let bound = Policy::parse(text).unwrap().bound(Window::Rolling(Period::Day), None);
    assert_eq!(bound.proof, ["`d`: at most $5.00 per calendar day (UTC); 2 windows, $5.00 each."]);
    assert_eq!(
        bound.example,
        [
            "Day 1, a Sunday, 12:00 UTC: $5.00, in payments of at most $0.10.",
            "Day 2, a Monday, 00:00 UTC: $5.00, in payments of at most $0.10.",
        ]
    );
    let bound =
        Policy::parse("version: 1\npayments: {max: \"$0.10\"}").unwrap().bound(Window::Lifetime, None);
    assert_eq!(bound.proof, ["There is no budget and no rate."]);
    assert_eq!(bound.example, ["Payments of $0.10 again and again: no rule ever ends them."]);
    let killed = Policy::parse("version: 1\nkill: true").unwrap().bound(Window::Lifetime, None);
    assert_eq!(killed.most, Some(Usd::ZERO));
}
