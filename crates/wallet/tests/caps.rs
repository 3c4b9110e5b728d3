//! What the policy engine asks of the wallet beyond amounts: a person's approval, agents, a switch that stops everything.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::{Buyer, Seller, ask, offer, request, settled};
use farthing_ledger::{ApprovalFilter, LedgerError};
use farthing_policy::{Denial, DenialCode};
use farthing_wallet::{CallLimits, FetchError, Fetched, Probe, WalletError};

async fn seller() -> Seller {
    Seller::selling(ask(&[offer()]), |_| settled(&[], b"goods")).await
}

async fn fetch(buyer: &Buyer, seller: &Seller, agent: Option<&str>) -> Result<Fetched, FetchError> {
    let limits = CallLimits { agent: agent.map(str::to_owned), ..CallLimits::default() };
    buyer.client.fetch(request(seller), limits).await
}

fn denial(fetched: Result<Fetched, FetchError>) -> Denial {
    match fetched.err().unwrap() {
        FetchError::Wallet(WalletError::Denied(denial)) => *denial,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_person_approves_one_payment_of_these_terms() {
    let buyer = Buyer::new("version: 1\npayments: {max: \"$1\", approve_above: \"$0.001\"}\n");
    let (one, other) = (seller().await, seller().await);
    let first = denial(fetch(&buyer, &one, None).await);
    assert_eq!(first.code, DenialCode::ApprovalRequired);
    let id = first.approval.unwrap().id;
    assert_eq!(
        denial(fetch(&buyer, &one, None).await).approval.unwrap().id,
        id,
        "the same terms, the same request"
    );
    buyer.ledger.decide_approval(&id, true, "a person".to_owned()).await.unwrap();
    assert_eq!(denial(fetch(&buyer, &other, None).await).code, DenialCode::ApprovalRequired, "another host");
    assert!(fetch(&buyer, &one, None).await.is_ok());
    assert_eq!(
        denial(fetch(&buyer, &one, None).await).code,
        DenialCode::ApprovalRequired,
        "it was good for one"
    );
    assert_eq!((one.payments().len(), other.payments().len()), (1, 0));
    let all = buyer.ledger.approvals(ApprovalFilter::default()).await.unwrap();
    assert_eq!(all.len(), 3, "{all:?}");
    assert!(buyer.ledger.verify().await.unwrap().problems.is_empty());
}

#[tokio::test]
async fn an_agent_spends_its_part_and_its_parents() {
    let buyer = Buyer::new(
        "version: 1\npayments: {max: \"$1\"}\nagents:\n  team:\n    payments: {budgets: [{name: day, max: \"$0.005\", per: day}]}\n  \
         one: {parent: team}\n  two: {parent: team, payments: {budgets: [{name: day, max: \"$0.003\", per: day}]}}\n",
    );
    let seller = seller().await;
    assert!(fetch(&buyer, &seller, Some("two")).await.is_ok());
    assert_eq!(denial(fetch(&buyer, &seller, Some("two")).await).rule, "agents.two.day", "$0.002 of $0.003");
    assert!(fetch(&buyer, &seller, Some("one")).await.is_ok());
    assert_eq!(denial(fetch(&buyer, &seller, Some("one")).await).rule, "agents.team.day", "$0.004 of $0.005");
    assert_eq!(denial(fetch(&buyer, &seller, Some("three")).await).code, DenialCode::UnknownAgent);
    assert!(fetch(&buyer, &seller, None).await.is_ok(), "the owner is under the root's rules alone");
}

#[tokio::test]
async fn frozen_nothing_is_signed() {
    let buyer = Buyer::new("version: 1\npayments: {max: \"$1\"}\n");
    let seller = seller().await;
    buyer.ledger.freeze("testing".to_owned(), "a test".to_owned()).await.unwrap();
    assert_eq!(denial(fetch(&buyer, &seller, None).await).code, DenialCode::Frozen);
    let probe = buyer.client.probe(&request(&seller), &CallLimits::default()).await.unwrap();
    let Probe::Priced { appraisal, .. } = probe else { panic!("{probe:?}") };
    assert_eq!(appraisal.denied.unwrap().code, DenialCode::Frozen, "who only looks is told, too");
    assert!(seller.payments().is_empty());
    buyer.ledger.thaw("a test".to_owned()).await.unwrap();
    assert!(fetch(&buyer, &seller, None).await.is_ok());
    let unfrozen: Result<_, LedgerError> = buyer.ledger.frozen().await;
    assert_eq!(unfrozen.unwrap(), None);
}
