//! Decisions against a model that is independent of the engine and obviously right: it works on the random policy
//! itself, never on the YAML.
#![allow(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use farthing_money::{Asset, BaseUnits, Network, Registry, Usd};
use farthing_policy::{DenialCode, Limit, Measure, Period, Policy, Terms, Usage, Window};
use jiff::Timestamp;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

const HOSTS: [&str; 5] = ["example.com", "a.example.com", "b.a.example.com", "notexample.com", "example.org"];
const PATTERNS: [&str; 5] = ["example.com", "*.example.com", "*.a.example.com", "*.org", "notexample.com"];
const PAYEES: [&str; 3] = [
    "0x209693bc6afc0c5328ba36faf03c514ef312287c",
    "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266",
    "0x833589fcd6edb6e08f4c7c32d4f71b54bda02913",
];
const NETWORKS: [&str; 2] = ["eip155:8453", "eip155:84532"];
const WINDOWS: [(&str, Window); 4] = [
    ("day", Window::Calendar(Period::Day)),
    ("60 minutes", Window::Rolling(Period::Hour)),
    ("30 days", Window::Rolling(Period::Month)),
    ("lifetime", Window::Lifetime),
];
/// A micro-dollar, which is one base unit of USDC.
const MICRO: u128 = 1_000_000_000_000;

type List = (Option<Vec<&'static str>>, Option<Vec<&'static str>>);

#[derive(Debug, Clone)]
struct Cap {
    amount: bool,
    most: u64,
    window: usize,
    each: Option<&'static str>,
}

#[derive(Debug, Clone)]
struct Rules {
    min: Option<u64>,
    max: Option<u64>,
    caps: Vec<Cap>,
    hosts: List,
    payees: List,
    networks: List,
    symbols: List,
}

#[derive(Debug, Clone)]
struct Payment {
    host: &'static str,
    spelling: usize,
    payee: &'static str,
    network: &'static str,
    micros: u64,
    cap: Option<u64>,
}

fn list<const N: usize>(of: [&'static str; N]) -> impl Strategy<Value = List> {
    let some = move || proptest::option::of(subsequence(of.to_vec(), 1..=N));
    (some(), some())
}

fn rules() -> impl Strategy<Value = Rules> {
    let cap =
        (any::<bool>(), 100u64..1000, 0..WINDOWS.len(), select(vec![None, Some("host"), Some("payee")]))
            .prop_map(|(amount, most, window, each)| Cap { amount, most, window, each });
    (
        proptest::option::of(0u64..40),
        proptest::option::of(40u64..100),
        proptest::collection::vec(cap, 0..4),
        list(PATTERNS),
        list(PAYEES),
        list(NETWORKS),
        list(["USDC", "EURC"]),
    )
        .prop_map(|(min, max, caps, hosts, payees, networks, symbols)| Rules {
            min,
            max,
            caps,
            hosts,
            payees,
            networks,
            symbols,
        })
}

fn payment() -> impl Strategy<Value = Payment> {
    let cap = proptest::option::of(0u64..120);
    (select(HOSTS.to_vec()), 0usize..4, select(PAYEES.to_vec()), select(NETWORKS.to_vec()), 0u64..120, cap)
        .prop_map(|(host, spelling, payee, network, micros, cap)| Payment {
            host,
            spelling,
            payee,
            network,
            micros,
            cap,
        })
}

fn yaml(rules: &Rules) -> String {
    let dollars = |micros: u64| format!("\"$0.{micros:06}\"");
    let mut text = "version: 1\npayments:\n".to_owned();
    text += &format!("  max: {}\n", rules.max.map_or("none".to_owned(), dollars));
    if let Some(min) = rules.min {
        text += &format!("  min: {}\n", dollars(min));
    }
    for (key, amount) in [("budgets", true), ("rates", false)] {
        let caps = rules.caps.iter().enumerate().filter(|(_, cap)| cap.amount == amount);
        let lines: String = caps
            .map(|(n, cap)| {
                let max = if amount { dollars(cap.most) } else { cap.most.to_string() };
                let each = cap.each.map_or(String::new(), |each| format!(", each: {each}"));
                format!("    - {{name: c{n}, max: {max}, per: {}{each}}}\n", WINDOWS[cap.window].0)
            })
            .collect();
        if !lines.is_empty() {
            text += &format!("  {key}:\n{lines}");
        }
    }
    let lists = [
        ("hosts", &rules.hosts),
        ("payees", &rules.payees),
        ("networks", &rules.networks),
        ("assets", &rules.symbols),
    ];
    for (key, (allow, deny)) in lists {
        let line = |name, list: &Option<Vec<_>>| {
            list.as_ref().map_or(String::new(), |list| format!("    {name}: {list:?}\n"))
        };
        let lines = line("allow", allow) + &line("deny", deny);
        if !lines.is_empty() {
            text += &format!("  {key}:\n{lines}");
        }
    }
    text
}

/// What the policy should say: the code and rule of a denial, or the names of the caps.
fn model(rules: &Rules, payment: &Payment) -> Result<Vec<(String, String)>, (DenialCode, String)> {
    let host_matches = |pattern: &str| match pattern.strip_prefix('*') {
        Some(suffix) => payment.host.ends_with(suffix),
        None => payment.host == pattern,
    };
    let listed = |(allow, deny): &List, code, section: &str, matches: &dyn Fn(&str) -> bool| {
        if deny.as_ref().is_some_and(|list| list.iter().any(|entry| matches(entry))) {
            return Err((code, format!("payments.{section}.deny")));
        }
        match allow {
            Some(list) if !list.iter().any(|entry| matches(entry)) => {
                Err((code, format!("payments.{section}.allow")))
            }
            _ => Ok(()),
        }
    };
    listed(&rules.hosts, DenialCode::HostNotAllowed, "hosts", &host_matches)?;
    listed(&rules.payees, DenialCode::PayeeNotAllowed, "payees", &|entry| entry == payment.payee)?;
    listed(&rules.networks, DenialCode::NetworkNotAllowed, "networks", &|entry| entry == payment.network)?;
    listed(&rules.symbols, DenialCode::AssetNotAllowed, "assets", &|entry| entry == "USDC")?;
    if rules.min.is_some_and(|min| payment.micros < min) {
        return Err((DenialCode::BelowMinimum, "payments.min".to_owned()));
    }
    if rules.max.is_some_and(|max| payment.micros > max) {
        return Err((DenialCode::AboveMaximum, "payments.max".to_owned()));
    }
    if payment.cap.is_some_and(|cap| payment.micros > cap) {
        return Err((DenialCode::AboveMaximum, "--max-amount".to_owned()));
    }
    let caps = |amount: bool| {
        rules.caps.iter().enumerate().filter(move |(_, cap)| cap.amount == amount).map(|(n, cap)| {
            let scope = match cap.each {
                None => "all".to_owned(),
                Some("host") => format!("host:{}", payment.host),
                Some(_) => format!("payee:{}", payment.payee),
            };
            (format!("c{n}"), scope)
        })
    };
    Ok(caps(true).chain(caps(false)).collect())
}

/// The same host, spelt differently.
fn spelt(payment: &Payment) -> String {
    match payment.spelling {
        0 => payment.host.to_owned(),
        1 => payment.host.to_uppercase(),
        2 => format!("{}.", payment.host),
        _ => format!("{}:8443", payment.host),
    }
}

fn terms<'a>(host: &'a str, payee: &'a str, asset: &'a Asset, amount: u128) -> Terms<'a> {
    Terms {
        host,
        payee,
        asset,
        amount: BaseUnits::new(amount),
        method: "GET",
        resource: "/",
        body: None,
        agent: None,
        session: None,
        tool: None,
        advertised: None,
        now: Timestamp::UNIX_EPOCH,
    }
}

/// Whether every entry of an allow list is denied as well: such a policy is refused.
fn pays_nothing(rules: &Rules) -> bool {
    let covered = |allow: &&str, deny: &&str| {
        allow == deny || deny.strip_prefix('*').is_some_and(|suffix| allow.ends_with(suffix))
    };
    let lists = [&rules.hosts, &rules.payees, &rules.networks, &rules.symbols];
    lists.into_iter().any(|list| match list {
        (Some(allow), Some(deny)) => allow.iter().all(|entry| deny.iter().any(|deny| covered(entry, deny))),
        _ => false,
    })
}

fn asset(network: &str) -> Asset {
    Asset::clone(Registry::builtin().usdc(&network.parse().unwrap()).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn the_engine_agrees_with_the_model(rules in rules(), payments in proptest::collection::vec(payment(), 1..8)) {
        let text = yaml(&rules);
        let policy = match Policy::parse(&text) {
            Err(error) if pays_nothing(&rules) => {
                prop_assert!(error.message.contains("every entry is denied"), "{}", error);
                return Ok(());
            }
            read => read.map_err(|error| TestCaseError::fail(format!("{error}\n{text}")))?,
        };
        prop_assert!(!pays_nothing(&rules));
        for payment in payments {
            let host = spelt(&payment);
            let payee = if payment.spelling == 1 {
                format!("0x{}", payment.payee[2..].to_uppercase())
            } else {
                payment.payee.to_owned()
            };
            let asset = asset(payment.network);
            let terms = terms(&host, &payee, &asset, payment.micros.into());
            let cap = payment.cap.map(|micros| Usd::new(u128::from(micros) * MICRO));
            let decided = policy.check_capped(&terms, cap);
            match (decided, model(&rules, &payment)) {
                (Ok(clearance), Ok(caps)) => {
                    prop_assert_eq!(clearance.value, Usd::new(u128::from(payment.micros) * MICRO));
                    let got: Vec<_> =
                        clearance.limits.iter().map(|limit| (limit.rule.clone(), limit.scope.clone())).collect();
                    prop_assert_eq!(got, caps);
                    prop_assert_eq!(&clearance.limits, &policy.limits_for(&terms));
                    for limit in &clearance.limits {
                        let cap = &rules.caps[limit.rule[1..].parse::<usize>().unwrap()];
                        prop_assert_eq!(limit.window, WINDOWS[cap.window].1);
                        let most = match limit.measure {
                            Measure::Amount(most) => most.get() / MICRO,
                            Measure::Count(most) => most.into(),
                        };
                        prop_assert_eq!(most, u128::from(cap.most));
                    }
                }
                (Err(denial), Err((code, rule))) => {
                    prop_assert!(!denial.message.is_empty());
                    prop_assert_eq!((denial.code, denial.rule), (code, rule));
                }
                (decided, expected) => {
                    return Err(TestCaseError::fail(format!("{decided:?}, expected {expected:?}\n{text}")));
                }
            }
        }
    }

    #[test]
    fn a_cap_of_the_caller_only_tightens(rules in rules(), payment in payment()) {
        let Ok(policy) = Policy::parse(&yaml(&rules)) else { return Ok(()) };
        let asset = asset(payment.network);
        let terms = terms(payment.host, payment.payee, &asset, payment.micros.into());
        let cap = payment.cap.map(|micros| Usd::new(u128::from(micros) * MICRO));
        match (policy.check(&terms), policy.check_capped(&terms, cap)) {
            (Ok(free), Ok(capped)) => prop_assert_eq!(free, capped),
            (Ok(free), Err(denial)) => {
                prop_assert_eq!(denial.rule.as_str(), "--max-amount");
                prop_assert!(free.value > cap.unwrap());
            }
            (Err(free), Err(capped)) => prop_assert_eq!(free, capped),
            (Err(denial), Ok(_)) => return Err(TestCaseError::fail(format!("loosened: {denial:?}"))),
        }
    }

    #[test]
    fn what_is_admitted_never_exceeds_the_limit(
        most in 1u64..1000,
        amounts in proptest::collection::vec(0u64..400, 1..30),
        count in any::<bool>(),
    ) {
        let measure = if count { Measure::Count(most % 20 + 1) } else { Measure::Amount(Usd::new(most.into())) };
        let limit = Limit::new("r", "all", Window::Lifetime, measure);
        let mut used = Usage::default();
        for amount in amounts {
            let value = Usd::new(amount.into());
            let room = match measure {
                Measure::Amount(most) => used.amount.get() + value.get() <= most.get(),
                Measure::Count(most) => used.count < most,
            };
            let within = |limit: Limit| match limit.measure {
                Measure::Amount(most) => used.amount <= most,
                Measure::Count(most) => used.count <= most,
            };
            prop_assert_eq!(limit.beside(value).is_some_and(within), room);
            match limit.admit(used, value) {
                Ok(after) => {
                    prop_assert!(room);
                    prop_assert_eq!((after.amount.get(), after.count), (used.amount.get() + value.get(), used.count + 1));
                    used = after;
                }
                Err(denial) => {
                    prop_assert!(!room);
                    prop_assert_eq!(denial.rule.as_str(), "r");
                    prop_assert!(denial.limit.is_some() && denial.used.is_some() && denial.remaining.is_some());
                }
            }
        }
    }
}

#[test]
fn terms_that_cannot_be_read_are_denied() {
    let policy = Policy::parse("version: 1\npayments: {max: none}").unwrap();
    let asset = asset("eip155:8453");
    let good = terms("example.com", PAYEES[0], &asset, u128::MAX / MICRO);
    assert!(policy.check(&good).is_ok());
    for (terms, code, rule) in [
        (Terms { host: "https://x", ..good }, DenialCode::HostNotAllowed, "payments.hosts"),
        (Terms { payee: "alice", ..good }, DenialCode::PayeeNotAllowed, "payments.payees"),
        (Terms { amount: BaseUnits::new(u128::MAX), ..good }, DenialCode::AboveMaximum, "payments.max"),
    ] {
        let denial = policy.check(&terms).unwrap_err();
        assert_eq!((denial.code, denial.rule.as_str()), (code, rule));
    }
    assert!(policy.limits_for(&Terms { host: "", ..good }).is_empty());
}

#[test]
fn ports_share_a_host_budget() {
    let text =
        "version: 1\npayments:\n  max: none\n  budgets: [{name: h, max: \"$1\", per: day, each: host}]";
    let policy = Policy::parse(text).unwrap();
    let asset = asset(Network::BASE.as_str());
    let terms = |host| terms(host, PAYEES[0], &asset, 1);
    let scope = |host| policy.limits_for(&terms(host))[0].scope.clone();
    assert_eq!(scope("API.example.com:8443"), "host:api.example.com");
    assert_eq!(scope("api.example.com"), scope("api.example.com.:9000"));
    assert!(policy.limits().is_empty(), "without a host there is nothing to count");
}
