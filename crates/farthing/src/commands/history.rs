//! `farthing history`.

use farthing_ambient::{Clock as _, SystemClock};
use farthing_ledger::{Ledger, Outcome, Purchase, PurchaseFilter, PurchaseId};
use farthing_wallet::Transfer;
use serde_json::json;

use super::check::find_purchase;
use super::go_on::{command, tail};
use crate::cli::{HistoryArgs, WhichArgs};
use crate::csv;
use crate::draw;
use crate::exit::Failure;
use crate::output::{DIM, Output, printable, state, table, time, written};
use crate::session::Session;

/// What the columns before the call take, with the gaps between them.
const BEFORE_THE_CALL: usize = 62;
/// On terminals narrower than this the time stands without year and seconds, and takes so much less.
const WIDE: usize = 100;
const SAVED: usize = 8;
/// The narrowest that a call is cut to.
const NARROWEST_CALL: usize = 18;
/// How many purchases are listed where nothing is said.
const USUAL: u32 = 20;
/// How many are read at once where all are meant.
const PAGE: u32 = 500;

pub(crate) async fn run(session: &Session, args: &HistoryArgs, output: Output) -> Result<(), Failure> {
    let before = match &args.before {
        Some(id) => Some(find_purchase(session, id).await?.terms.id),
        None => None,
    };
    let filter = PurchaseFilter { unresolved: args.unresolved, before, ..filter(&args.which) };
    if args.csv {
        return print_csv(&session.ledger()?, filter, args.limit, output).await;
    }
    let most = args.limit.unwrap_or(USUAL);
    // One more than asked for tells whether there is another page.
    let filter = PurchaseFilter { limit: Some(most.saturating_add(1)), ..filter };
    let mut purchases = session.ledger()?.purchases(filter).await?;
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let more = purchases.len() > most;
    purchases.truncate(most);
    let next = purchases.last().filter(|_| more).map(|last| last.terms.id.clone());
    if output.json {
        let rows: Vec<_> = purchases.iter().map(Purchase::without_payment).collect();
        output.json(&json!({"purchases": rows, "next": next}));
    } else {
        print(&purchases, output);
        tell_of_more(next.as_ref(), session, output);
    }
    Ok(())
}

/// The purchases that were asked for, as the ledger selects them.
pub(super) fn filter(which: &WhichArgs) -> PurchaseFilter {
    let now = SystemClock.now();
    PurchaseFilter {
        since: which.since.map(|since| since.seen_from(now)),
        until: which.until.map(|until| until.seen_from(now)),
        host: which.host.clone(),
        agent: which.agent.clone(),
        network: which.network.clone(),
        ..PurchaseFilter::default()
    }
}

fn print(purchases: &[Purchase], output: Output) {
    if purchases.is_empty() {
        output.note("no such purchase; nothing was bought yet, or it was bought otherwise than asked for");
        return;
    }
    let columns = draw::columns();
    let rows: Vec<Vec<String>> = purchases.iter().map(|purchase| row(purchase, columns)).collect();
    output.line(table(&["PURCHASE", "WHEN (UTC)", "AMOUNT", "NETWORK", "STATE", "CALL"], &rows));
}

/// A line of the table, cut to the terminal's width.
fn row(purchase: &Purchase, columns: Option<usize>) -> Vec<String> {
    let terms = &purchase.terms;
    let is_narrow = columns.is_some_and(|columns| columns < WIDE);
    let before = if is_narrow { BEFORE_THE_CALL - SAVED } else { BEFORE_THE_CALL };
    let at = purchase.created_at;
    let call = call(purchase);
    vec![
        tail(&terms.id.0).to_owned(),
        if is_narrow { at.strftime("%m-%d %H:%M").to_string() } else { time(at) },
        terms.value.to_string(),
        terms.network.display_name().to_owned(),
        plain_state(purchase.state),
        match columns {
            None => call,
            Some(columns) => {
                // What is cut off is cut where it says least: every address begins alike.
                let call = call.replacen("https://", "", 1).replacen("http://", "", 1);
                draw::cut(&call, columns.saturating_sub(before).max(NARROWEST_CALL))
            }
        },
    ]
}

/// What was called; of a transfer, who got it.
fn call(purchase: &Purchase) -> String {
    let terms = &purchase.terms;
    if Transfer::is_one(purchase) {
        return format!("{} {}", Transfer::METHOD, printable(&terms.pay_to));
    }
    format!("{} {}", terms.method, printable(&terms.url))
}

fn tell_of_more(next: Option<&PurchaseId>, session: &Session, output: Output) {
    if let Some(id) = next {
        let more = command(&format!("history --before {}", tail(&id.0)), session.home());
        output.note(format!("{DIM}more: {more}, with the same filters{DIM:#}"));
    }
}

/// Every purchase that is meant, a page at a time: a record that ends early passes for a whole one.
async fn print_csv(
    ledger: &Ledger,
    mut filter: PurchaseFilter,
    limit: Option<u32>,
    output: Output,
) -> Result<(), Failure> {
    csv_names(output);
    let mut left = limit.unwrap_or(u32::MAX);
    while left > 0 {
        filter.limit = Some(left.min(PAGE));
        let page = ledger.purchases(filter.clone()).await?;
        let Some(last) = page.last() else { break };
        filter.before = Some(last.terms.id.clone());
        left = left.saturating_sub(PAGE);
        page.iter().for_each(|purchase| csv_row(purchase, output));
        written()?;
    }
    Ok(())
}

fn csv_names(output: Output) {
    const NAMES: [&str; 13] = [
        "purchase",
        "reserved_at",
        "state",
        "value_usd",
        "amount",
        "asset",
        "network",
        "agent",
        "method",
        "url",
        "payee",
        "transaction",
        "policy",
    ];
    output.line(csv::line(NAMES));
}

fn csv_row(purchase: &Purchase, output: Output) {
    let terms = &purchase.terms;
    let transaction = match &purchase.outcome {
        Some(Outcome::Paid { transaction }) => transaction.clone().unwrap_or_default(),
        _ => String::new(),
    };
    output.line(csv::line([
        &terms.id.0,
        &purchase.created_at.to_string(),
        purchase.state.as_str(),
        terms.value.to_string().trim_start_matches('$'),
        &terms.amount.to_string(),
        &terms.asset,
        terms.network.as_str(),
        terms.agent.as_deref().unwrap_or_default(),
        &terms.method,
        &terms.url,
        &terms.pay_to,
        &transaction,
        &terms.policy_hash,
    ]));
}

/// The state without colour: a table's columns are measured in characters.
fn plain_state(of: farthing_ledger::PurchaseState) -> String {
    anstream::adapter::strip_str(&state(of)).to_string()
}
