//! `policy.yaml`.

use farthing_ambient::Timestamp;
use farthing_money::{Asset, BaseUnits, Network, Registry, Usd};
use farthing_policy::{Denial, DenialCode, Policy, Terms};

use crate::errors::{lies_in, reads_well};

const PAYEE: &str = "0x209693Bc6afc0C5328bA36FaF03C514EF312287C";
const HOSTS: [&str; 6] =
    ["api.example.com", "example.com", "a.b.example.org:8443", "localhost:4021", "127.0.0.1", "[::1]:80"];
const AMOUNTS: [u128; 7] = [0, 1, 2500, 100_000, 1_000_000, 1_000_000_000_000, u128::MAX];

/// A text is refused with a place in it, or means the same every time. What is allowed is within the maximum; paying
/// less is denied only for being too little; a cap of the caller's only tightens; another spelling of the host or the
/// payee changes nothing; every limit is there with and without a payment; a denial names a rule and reads well.
pub(crate) fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let policy = match Policy::parse(text) {
        Ok(policy) => policy,
        Err(error) => {
            reads_well(&error);
            return lies_in(text, error.line as u64, error.column as u64);
        }
    };
    assert!(text.len() <= Policy::MAX_BYTES);
    let again = Policy::parse(text).unwrap();
    assert_eq!((again.hash(), again.explain()), (policy.hash(), policy.explain()));
    // CRLF is how an editor may save the same text. Inside quotes a line break is text, and folds to the same.
    if let Ok(windows) = Policy::parse(&text.replace("\r\n", "\n").replace('\n', "\r\n")) {
        assert_eq!(windows.explain(), policy.explain());
    }
    let registry = Registry::builtin();
    for network in [Network::BASE, Network::BASE_SEPOLIA] {
        for host in HOSTS {
            decides(&policy, host, registry.usdc(&network).unwrap());
        }
    }
}

fn decides(policy: &Policy, host: &str, asset: &Asset) {
    let mut allowed: Option<Usd> = None;
    for amount in AMOUNTS.into_iter().rev().map(BaseUnits::new) {
        let terms = Terms {
            host,
            payee: PAYEE,
            asset,
            amount,
            method: "GET",
            resource: "https://api.example.com/weather?city=Berlin",
            body: None,
            agent: None,
            session: None,
            tool: None,
            advertised: None,
            now: Timestamp::UNIX_EPOCH,
        };
        let decision = policy.check(&terms);
        is_the_same_however_spelt(policy, &terms, decision.as_ref().err());
        match decision {
            Ok(clearance) => {
                allowed = Some(clearance.value);
                assert_eq!(asset.value(amount), Ok(clearance.value));
                assert!(policy.limits().iter().all(|limit| clearance.limits.contains(limit)));
                assert_eq!(policy.limits_for(&terms), clearance.limits);
                a_cap_tightens(policy, &terms, clearance.value);
            }
            Err(denial) => {
                names_its_rule(&denial);
                assert!(
                    allowed.is_none() || denial.code == DenialCode::BelowMinimum,
                    "less is denied: {denial}"
                );
                assert!(policy.check_capped(&terms, Some(Usd::new(u128::MAX))).is_err(), "a cap loosens");
            }
        }
    }
}

fn a_cap_tightens(policy: &Policy, terms: &Terms<'_>, value: Usd) {
    assert!(policy.check_capped(terms, Some(value)).is_ok());
    if let Ok(less) = value.checked_sub(Usd::new(1)) {
        let denial = policy.check_capped(terms, Some(less)).unwrap_err();
        assert_eq!((denial.code, denial.rule.as_str()), (DenialCode::AboveMaximum, "--max-amount"));
    }
}

fn is_the_same_however_spelt(policy: &Policy, terms: &Terms<'_>, denial: Option<&Denial>) {
    let host = terms.host.to_ascii_uppercase();
    let payee = terms.payee.to_ascii_lowercase();
    let other = policy.check(&Terms { host: &host, payee: &payee, ..*terms });
    assert_eq!(other.err().as_ref(), denial);
}

fn names_its_rule(denial: &Denial) {
    reads_well(denial);
    let rules = [
        "min",
        "max",
        "hosts",
        "payees",
        "networks",
        "assets",
        "resources",
        "categories",
        "hours",
        "new_payees",
        "loops",
    ];
    let named = denial.rule.strip_prefix("payments.").map(|rule| rule.split('.').next().unwrap_or(rule));
    let known = match denial.code {
        DenialCode::Frozen => denial.rule == "kill",
        DenialCode::PaymentsNotAllowed => denial.rule == "payments",
        // A budget or a rate per session, by its name.
        DenialCode::BudgetExceeded | DenialCode::RateExceeded => !denial.rule.is_empty(),
        _ => named.is_some_and(|rule| rules.contains(&rule)),
    };
    assert!(known, "{denial:?}");
}
