//! What the records say about single calls, and about themselves.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use farthing_policy::{Measure, Window};
use farthing_wallet::Wallet as _;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio::process::Command;

use super::{Evidence, Finding};
use crate::Failure;
use crate::books::{self, Bought};
use crate::buyers::Buyer;
use crate::plan::{Fate, number_of};
use crate::world::World;

pub(super) fn once(evidence: &Evidence) -> Finding {
    let mut calls = HashSet::new();
    for purchase in evidence.paid() {
        if !calls.insert(&purchase.url) {
            return Err(format!(
                "{} was paid twice, the second time by purchase {}",
                purchase.url, purchase.id
            ));
        }
    }
    let mut payments = HashSet::new();
    let twice = evidence.claims.iter().find(|claim| !payments.insert(&claim.payment));
    match twice {
        Some(claim) => Err(format!("{} was claimed at two gateways", claim.payment)),
        None => Ok(format!("{} paid calls, each by one purchase; {} claims", calls.len(), payments.len())),
    }
}

/// What a purchase brought, against what it should have.
enum Brought {
    Whole,
    /// 404 or a body that broke off, on a route that is paid before it is served.
    PaidFirst,
    Wrong(String),
}

fn brought(evidence: &Evidence, purchase: &Bought) -> Brought {
    let Some(number) = number_of(&purchase.url) else { return Brought::Wrong("it is no call".to_owned()) };
    let call = evidence.plan.call(number);
    let missing = evidence.plan.fate(number, 0) == Fate::Missing;
    match purchase.status {
        Some(404) if missing && call.route.upfront => Brought::PaidFirst,
        Some(200) => {
            let right = hex::encode(Sha256::digest(evidence.plan.answer(number)));
            match &purchase.digest {
                Some(digest) if *digest == right => Brought::Whole,
                Some(_) if call.route.upfront => Brought::PaidFirst,
                _ => Brought::Wrong("its answer is another one than was sent".to_owned()),
            }
        }
        status => Brought::Wrong(format!("its answer is {status:?}")),
    }
}

pub(super) fn answered(evidence: &Evidence) -> Finding {
    let (mut whole, mut first) = (0, 0);
    for purchase in evidence.paid() {
        match brought(evidence, purchase) {
            Brought::Whole => whole += 1,
            Brought::PaidFirst => first += 1,
            Brought::Wrong(why) => {
                return Err(format!("purchase {} of {}: {why}", purchase.id, purchase.url));
            }
        }
    }
    Ok(format!(
        "{whole} whole answers; {first} on the upfront route were paid first and then failed, as it says"
    ))
}

pub(super) fn served_is_settled(evidence: &Evidence) -> Finding {
    let settled = evidence.claims.iter().filter(|claim| claim.state == "settled");
    let settled: HashSet<_> = settled.map(|claim| &claim.payment).collect();
    let mut answers = 0;
    for purchase in evidence.purchases.iter().filter(|purchase| purchase.status == Some(200)) {
        let payment =
            purchase.payment.as_ref().ok_or_else(|| format!("{} is answered and unsigned", purchase.id))?;
        if !settled.contains(payment) || !evidence.logs.settled.contains_key(payment) {
            return Err(format!("{} of {} was answered and not settled", purchase.id, purchase.url));
        }
        answers += 1;
    }
    Ok(format!("{answers} answers, {} settled claims", settled.len()))
}

pub(super) fn failed_is_free(evidence: &Evidence) -> Finding {
    let mut failed = 0;
    for purchase in &evidence.purchases {
        let Some(number) = number_of(&purchase.url) else { continue };
        let served = evidence.seen.get(&number).map_or(0, |seen| seen.answered);
        if served > 0 || evidence.plan.call(number).route.upfront {
            continue;
        }
        failed += 1;
        let charged =
            purchase.payment.as_ref().is_some_and(|payment| evidence.logs.settled.contains_key(payment));
        if charged || purchase.state == "paid" {
            return Err(format!("{} was charged, and the API never served {}", purchase.id, purchase.url));
        }
    }
    Ok(format!("{failed} calls that the API never served, none of them charged"))
}

pub(super) fn nothing_reserved(evidence: &Evidence) -> Finding {
    let states =
        evidence.purchases.iter().fold(HashMap::new(), |mut states: HashMap<&str, u64>, purchase| {
            *states.entry(&purchase.state).or_default() += 1;
            states
        });
    let open =
        evidence.purchases.iter().find(|purchase| !matches!(purchase.state.as_str(), "paid" | "not_paid"));
    if let Some(open) = open {
        return Err(format!("purchase {} of {} is still {}", open.id, open.url, open.state));
    }
    for (name, counted, spent) in &evidence.budgets {
        if *counted != spent.to_string() {
            return Err(format!("{name}'s budget counts {counted}, and {spent} was spent"));
        }
    }
    let count = |state| states.get(state).copied().unwrap_or_default();
    Ok(format!("{} purchases paid, {} released", count("paid"), count("not_paid")))
}

/// What a buyer's lifetime budget counts, and what its ledger's paid purchases add up to, both in 10^-18 dollars.
pub(super) async fn budget(buyer: &Buyer) -> Result<(String, String, u128), Failure> {
    let budgets = buyer.wallet.budgets().await?;
    let lifetime = budgets
        .iter()
        .find(|(limit, _)| limit.window == Window::Lifetime && matches!(limit.measure, Measure::Amount(_)))
        .ok_or("the policy has a lifetime budget, and the wallet does not tell it")?;
    let paid =
        books::purchases(&buyer.ledger_file())?.into_iter().filter(|purchase| purchase.state == "paid");
    let spent: u128 = paid.map(|purchase| purchase.movement.amount).sum();
    Ok((buyer.name.clone(), lifetime.1.amount.get().to_string(), spent * 1_000_000_000_000))
}

pub(super) fn nothing_open(evidence: &Evidence) -> Finding {
    let claim = evidence.claims.iter().find(|claim| matches!(claim.state.as_str(), "taken" | "settling"));
    if let Some(claim) = claim {
        return Err(format!("the claim of {} is still {}", claim.payment, claim.state));
    }
    match evidence.settlements.iter().find(|settlement| settlement.state == "pending") {
        Some(settlement) => Err(format!("the settlement of {} is still pending", settlement.payment)),
        None => Ok(format!("{} claims, {} settlements", evidence.claims.len(), evidence.settlements.len())),
    }
}

pub(super) fn journals(evidence: &Evidence) -> Finding {
    match evidence.verified.iter().find(|(_, whole, _)| !whole) {
        Some((name, _, said)) => Err(format!("{name}: {said}")),
        None => {
            let rows: u64 =
                evidence.verified.iter().filter_map(|(_, _, rows)| rows.parse::<u64>().ok()).sum();
            Ok(format!("{} ledgers, {rows} rows, asked of farthing ledger verify", evidence.verified.len()))
        }
    }
}

/// Runs `farthing ledger verify` on every ledger.
pub(super) async fn verify(world: &World) -> Result<Vec<(String, bool, String)>, Failure> {
    let servers = world.servers.iter().map(|server| (server.name.to_owned(), server.ledger.clone()));
    let mut verified = Vec::new();
    for (name, file) in world.wallets().into_iter().chain(servers) {
        let (whole, said) = verify_one(world, &file).await?;
        verified.push((name, whole, said));
    }
    Ok(verified)
}

async fn verify_one(world: &World, file: &Path) -> Result<(bool, String), Failure> {
    let command = Command::new(&world.farthing)
        .args(["ledger", "verify", "--json", "--file"])
        .arg(file)
        .env("FARTHING_HOME", &world.by_command.home)
        .output();
    let done = command.await?;
    let told: Value = serde_json::from_slice(&done.stdout)?;
    let whole = done.status.success() && told["whole"] == true;
    Ok((whole, if whole { told["rows"].to_string() } else { told.to_string() }))
}

pub(super) fn api(evidence: &Evidence) -> Finding {
    match evidence.complaints.iter().next() {
        Some((what, count)) => Err(format!("{what}, {count} times")),
        None => Ok(format!("{} calls reached it", evidence.seen.len())),
    }
}

pub(super) fn nothing_odd(evidence: &Evidence) -> Finding {
    if let Some(line) = evidence.panics.first() {
        return Err(line.clone());
    }
    match evidence.odd.first() {
        Some(odd) => Err(odd.clone()),
        None => Ok(format!("{} calls", evidence.ends.values().sum::<u64>())),
    }
}

/// Lines of the servers' logs that tell of a defect of theirs.
pub(super) fn panics(world: &World) -> Result<Vec<String>, Failure> {
    let mut found = Vec::new();
    for server in &world.servers {
        let log = std::fs::read_to_string(&server.log)?;
        let bad = log.lines().filter(|line| line.contains("panicked") || line.contains(" ERROR "));
        found.extend(bad.map(|line| format!("{}: {line}", server.name)));
    }
    Ok(found)
}
