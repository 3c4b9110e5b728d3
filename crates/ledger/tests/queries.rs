//! Lists and sums of purchases against a plain list of them, under random filters.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeMap;
use std::time::Duration;

use common::*;
use farthing_ambient::Timestamp;
use farthing_ledger::{
    Ledger, LedgerError, Purchase, PurchaseFilter, PurchaseState, Reserved, Spending, SpendingBy, Spent,
};
use farthing_money::{Network, Usd};
use jiff::tz::{Offset, TimeZone};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

const HOSTS: [&str; 3] = ["a.example", "b.example", "127.0.0.1"];
const AGENTS: [&str; 2] = ["ana", "bo"];
const NETWORKS: [Network; 2] = [Network::BASE, Network::BASE_SEPOLIA];
/// The longest pause between two purchases, in minutes.
const PAUSE: u64 = 900;

/// A purchase to be made.
#[derive(Debug, Clone)]
struct Made {
    /// Minutes after the one before it; often none.
    after: u64,
    host: &'static str,
    agent: Option<&'static str>,
    network: Network,
    cents: u128,
    state: PurchaseState,
}

fn made() -> impl Strategy<Value = Made> {
    (
        prop_oneof![Just(0), 0..PAUSE],
        select(HOSTS.to_vec()),
        option::of(select(AGENTS.to_vec())),
        select(NETWORKS.to_vec()),
        0u128..500,
        select(PurchaseState::ALL.to_vec()),
    )
        .prop_map(|(after, host, agent, network, cents, state)| Made {
            after,
            host,
            agent,
            network,
            cents,
            state,
        })
}

/// A filter without its page.
fn filter() -> impl Strategy<Value = PurchaseFilter> {
    let time = || option::of((0..40 * i64::try_from(PAUSE).unwrap()).prop_map(|m| at(START + m * 60)));
    let host = option::weighted(0.3, select(vec!["a.example", "A.Example.", "127.1", "c.example"]));
    (
        any::<bool>(),
        option::weighted(0.3, select(PurchaseState::ALL.to_vec())),
        (time(), time()),
        host,
        option::weighted(0.3, select(AGENTS.to_vec())),
        option::weighted(0.3, select(NETWORKS.to_vec())),
        option::weighted(0.2, "[0-9A-C]{1,8}"),
    )
        .prop_map(|(unresolved, state, (since, until), host, agent, network, end)| PurchaseFilter {
            unresolved,
            state,
            since,
            until,
            host: host.map(str::to_owned),
            agent: agent.map(str::to_owned),
            network,
            id_ends_with: end,
            ..PurchaseFilter::default()
        })
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// The id of the n-th purchase; like a ULID, it ends in no order.
fn name(n: usize) -> String {
    format!("01{:020}{:06X}", n, (n * 7_919_113) & 0x00ff_ffff)
}

/// Makes them, and gives the list, oldest first, as the ledger wrote them.
async fn fill(all: &[Made]) -> (Ledger, Vec<Purchase>) {
    let (ledger, clock) = memory();
    let mut list = Vec::new();
    for (n, made) in all.iter().enumerate() {
        clock.advance(Duration::from_secs(made.after * 60));
        let mut terms = purchase(name(n), "$0");
        terms.url = format!("https://{}:8443/{n}", made.host);
        terms.agent = made.agent.map(str::to_owned);
        terms.network = made.network.clone();
        terms.value = Usd::new(made.cents * 10u128.pow(16));
        let purchase_id = terms.id.clone();
        assert!(matches!(ledger.reserve(terms, vec![]).await.unwrap(), Reserved::Granted { .. }));
        if made.state != PurchaseState::Reserved {
            ledger.signed(&purchase_id, signed(u32::try_from(n).unwrap())).await.unwrap();
        }
        match made.state {
            PurchaseState::Reserved | PurchaseState::Signed => {}
            PurchaseState::Paid => ledger.finish(&purchase_id, paid()).await.unwrap(),
            PurchaseState::NotPaid => ledger.finish(&purchase_id, not_paid()).await.unwrap(),
            PurchaseState::Unknown => ledger.finish(&purchase_id, unknown()).await.unwrap(),
        }
        list.push(ledger.purchase(&purchase_id).await.unwrap());
    }
    (ledger, list)
}

fn host_of(purchase: &Purchase) -> String {
    url::Url::parse(&purchase.terms.url).unwrap().host_str().unwrap().to_owned()
}

/// Whether the filter selects a purchase, in as many words.
fn selects(filter: &PurchaseFilter, purchase: &Purchase) -> bool {
    let is_resolved = matches!(purchase.state, PurchaseState::Paid | PurchaseState::NotPaid);
    let host = filter.host.as_deref().map(|host| match host {
        "A.Example." => "a.example",
        "127.1" => "127.0.0.1",
        host => host,
    });
    !(filter.unresolved && is_resolved)
        && filter.state.is_none_or(|state| state == purchase.state)
        && filter.since.is_none_or(|since| purchase.created_at >= since)
        && filter.until.is_none_or(|until| purchase.created_at < until)
        && host.is_none_or(|host| host == host_of(purchase))
        && filter.agent.as_ref().is_none_or(|agent| purchase.terms.agent.as_ref() == Some(agent))
        && filter.network.as_ref().is_none_or(|network| *network == purchase.terms.network)
        && filter.id_ends_with.as_ref().is_none_or(|end| purchase.terms.id.0.ends_with(end))
}

fn group(by: &SpendingBy, purchase: &Purchase) -> Option<String> {
    match by {
        SpendingBy::Day(zone) => Some(zone.to_datetime(purchase.created_at).date().to_string()),
        SpendingBy::Host => Some(host_of(purchase)),
        SpendingBy::Agent => purchase.terms.agent.clone(),
        SpendingBy::Network => Some(purchase.terms.network.as_str().to_owned()),
    }
}

fn count(spent: &mut Spent, purchase: &Purchase) {
    let tally = match purchase.state {
        PurchaseState::NotPaid => return,
        PurchaseState::Paid => &mut spent.settled,
        _ => &mut spent.reserved,
    };
    tally.value = tally.value.checked_add(purchase.terms.value).unwrap();
    tally.count += 1;
}

fn add_up<'a>(purchases: impl Iterator<Item = &'a Purchase>, by: &SpendingBy) -> Spending {
    let (mut groups, mut total) = (BTreeMap::<_, Spent>::new(), Spent::default());
    for purchase in purchases.filter(|purchase| purchase.state != PurchaseState::NotPaid) {
        count(groups.entry(group(by, purchase)).or_default(), purchase);
        count(&mut total, purchase);
    }
    Spending { groups, total }
}

/// All pages of so many, one after the other.
async fn paged(ledger: &Ledger, filter: &PurchaseFilter, size: u32) -> Vec<Purchase> {
    let mut all: Vec<Purchase> = Vec::new();
    loop {
        let before = all.last().map(|purchase| purchase.terms.id.clone());
        let page = PurchaseFilter { limit: Some(size), before, ..filter.clone() };
        let found = ledger.purchases(page).await.unwrap();
        let is_last = found.len() < usize::try_from(size).unwrap();
        all.extend(found);
        if is_last {
            return all;
        }
    }
}

async fn check(all: &[Made], filters: &[PurchaseFilter], size: u32, hours: i8) {
    let (ledger, list) = fill(all).await;
    let zone = TimeZone::fixed(Offset::constant(hours));
    for filter in filters {
        let expected: Vec<_> = list.iter().rev().filter(|one| selects(filter, one)).cloned().collect();
        assert_eq!(ledger.purchases(filter.clone()).await.unwrap(), expected, "{filter:?}");
        assert_eq!(paged(&ledger, filter, size).await, expected, "{filter:?} in pages of {size}");
        for by in [SpendingBy::Day(zone.clone()), SpendingBy::Host, SpendingBy::Agent, SpendingBy::Network] {
            let found = ledger.spending(filter.clone(), by.clone()).await.unwrap();
            assert_eq!(found, add_up(expected.iter(), &by), "{filter:?} by {by:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn lists_and_sums_are_those_of_a_plain_list(
        all in vec(made(), 0..40), filters in vec(filter(), 8), size in 1u32..9, hours in -12i8..=14
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(check(&all, &filters, size, hours));
    }
}

#[tokio::test]
async fn a_page_after_a_purchase_that_is_not_there_is_an_error() {
    let (ledger, _) = memory();
    let filter = PurchaseFilter { before: Some(id("none")), ..PurchaseFilter::default() };
    assert!(matches!(ledger.purchases(filter).await, Err(LedgerError::NotFound { .. })));
}

#[tokio::test]
async fn sums_beyond_64_bits_are_exact() {
    let (ledger, _) = memory();
    let half = "$170141183460469231731.687303715884105727";
    for name in ["a", "b"] {
        let granted = ledger.reserve(purchase(name, half), vec![]).await.unwrap();
        assert!(matches!(granted, Reserved::Granted { .. }));
    }
    let by_host = || ledger.spending(PurchaseFilter::default(), SpendingBy::Host);
    assert_eq!(
        by_host().await.unwrap().total.reserved.value,
        usd("$340282366920938463463.374607431768211454")
    );
}

#[tokio::test]
async fn a_purchase_has_the_row_by_which_it_last_changed() {
    let (ledger, _) = memory();
    for name in ["one", "two"] {
        let _ = ledger.reserve(purchase(name, "$0.01"), vec![]).await.unwrap();
    }
    ledger.signed(&id("one"), signed(1)).await.unwrap();
    let (row, head) = (ledger.purchase_row(&id("one")).await.unwrap(), ledger.verify().await.unwrap().head);
    assert_eq!((row.seq, row.kind.as_str(), row.id.as_str()), (3, "signed", "one"));
    assert_eq!(row.hash, head, "it is the last of all");
    let before = ledger.purchase_row(&id("two")).await.unwrap();
    assert_eq!((before.seq, before.hash), (2, row.prev));
    let missing = ledger.purchase_row(&id("three")).await;
    assert!(matches!(missing, Err(LedgerError::NotFound { .. })), "{missing:?}");
}
