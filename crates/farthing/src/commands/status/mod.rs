//! `farthing status`, and `farthing` alone: where one stands, and what to do next.

mod gather;

use farthing_ledger::Spent;
use farthing_money::Usd;
use farthing_policy::{CountedApart, Limit, Measure, Usage, Window};
use farthing_wallet::Balance;
use serde_json::{Value, json};

use super::balance;
use super::check::budgets_json;
use crate::draw;
use crate::exit::Failure;
use crate::home::Home;
use crate::output::{BAD, DIM, GOOD, Output, STRONG, WARN, printable, time};
use crate::progress::shown;
use crate::session::Session;
use gather::{Purse, Status};

/// The width of the names on the left.
const NAMES: usize = 14;
/// The longest that a budget's name is not cut: those of agents have the agent's in them.
const LONGEST_NAME: usize = 40;
/// How many hosts, say, are shown of a budget that counts for each of them: those that used most.
const MOST_APART: usize = 5;

pub(crate) async fn run(home: Home, output: Output) -> Result<(), Failure> {
    let session = Session::new(home)?;
    let asking = || "asking the chains what the wallet holds".to_owned();
    let status = shown(output, asking, Status::of(&session)).await?;
    match (status, output.json) {
        (None, _) => welcome(session.home(), output),
        (Some(status), true) => output.json(&to_json(&session, &status)),
        (Some(status), false) => print(&session, &status, output),
    }
    Ok(())
}

/// The first steps.
fn welcome(home: &Home, output: Output) {
    const STEPS: [(&str, &str); 4] = [
        ("farthing init", "make a wallet, with small caps"),
        ("farthing fund", "where to send USDC"),
        ("farthing check URL", "what a call would cost; never pays"),
        ("farthing fetch URL", "make the call, paying within the caps"),
    ];
    let folder = home.folder().to_string_lossy().into_owned();
    if output.json {
        let nothing = Status { wallet: None, killed: None, frozen: None, approvals: Vec::new() };
        output.json(&object(&folder, &nothing, &STEPS.map(|(command, why)| step_json(command, why))));
        return;
    }
    output.line(format!("{STRONG}Payments for AI agents, one API call at a time.{STRONG:#}"));
    output.line(format!("There is no wallet in {} yet.\n", printable(&folder)));
    for (command, why) in STEPS {
        output.line(format!("  {GOOD}{command:<20}{GOOD:#} {why}"));
    }
    output.note(format!("\n{DIM}`farthing --help` lists every command.{DIM:#}"));
}

fn step_json(command: &str, why: &str) -> Value {
    json!({"command": command, "why": why})
}

fn to_json(session: &Session, status: &Status) -> Value {
    let next: Vec<_> = status.next().iter().map(|(command, why)| step_json(command, why)).collect();
    object(&session.home().folder().to_string_lossy(), status, &next)
}

/// Every key is there, with a wallet or without.
fn object(home: &str, status: &Status, next: &[Value]) -> Value {
    let wallet = status.wallet.as_ref();
    let apart = wallet.iter().flat_map(|wallet| &wallet.apart);
    let open = wallet.iter().flat_map(|wallet| &wallet.open).map(|purchase| &purchase.terms.id);
    json!({
        "home": home,
        "wallet": wallet.map(|wallet| json!({"address": wallet.address})),
        "balances": wallet.map(|wallet| balance::to_json(&wallet.balances)).unwrap_or_default(),
        "today": wallet.map(|wallet| spent_json(&wallet.today)),
        "budgets": wallet.map(|wallet| budgets_json(&wallet.budgets)).unwrap_or_default(),
        "counted_apart": apart.map(apart_json).collect::<Vec<_>>(),
        "killed": status.killed,
        "frozen": status.frozen,
        "pending_approvals": status.approvals.iter().map(|approval| &approval.id).collect::<Vec<_>>(),
        "open_purchases": open.collect::<Vec<_>>(),
        "next": next,
    })
}

fn apart_json((apart, used): &(CountedApart, Vec<(Limit, Usage)>)) -> Value {
    json!({"words": apart.words, "used": budgets_json(used)})
}

/// What was spent and what is reserved, apart.
pub(crate) fn spent_json(spent: &Spent) -> Value {
    json!({
        "settled": spent.settled.value, "settled_payments": spent.settled.count,
        "reserved": spent.reserved.value, "reserved_payments": spent.reserved.count,
    })
}

fn print(session: &Session, status: &Status, output: Output) {
    let folder = printable(&session.home().folder().to_string_lossy());
    match &status.wallet {
        Some(wallet) => output.line(format!("{STRONG}{}{STRONG:#}  {DIM}{folder}{DIM:#}", wallet.address)),
        None => output.line(format!("There is a record in {folder}, and no wallet.")),
    }
    if let Some(why) = &status.killed {
        output.line(format!("{BAD}stopped{BAD:#} by `kill:` in policy.yaml: {}", printable(why)));
    }
    if let Some(frozen) = &status.frozen {
        let (since, why) = (time(frozen.since), printable(&frozen.why));
        output.line(format!("{BAD}frozen{BAD:#} since {since} UTC: {why}"));
    }
    if let Some(wallet) = &status.wallet {
        purse(wallet, output);
    }
    waiting(status, output);
    let next = status.next();
    if !next.is_empty() {
        output.note("");
    }
    for (command, why) in next {
        output.note(format!("{DIM}next{DIM:#}  {GOOD}{command}{GOOD:#}  {DIM}{why}{DIM:#}"));
    }
}

/// What is held, and what was spent of what.
fn purse(wallet: &Purse, output: Output) {
    let columns = draw::columns();
    output.line("");
    wallet.balances.iter().for_each(|held| output.line(balance_line(held, columns)));
    output.line("");
    output.line(row("today", &today(&wallet.today)));
    budget_lines(&wallet.budgets, columns).iter().for_each(|line| output.line(line));
    for (apart, used) in &wallet.apart {
        output.line(format!("{DIM}{}{DIM:#}", printable(&apart.words)));
        let shown = used.iter().take(MOST_APART).map(|(limit, used)| {
            let rule = format!("  {}", apart.name(&limit.scope).unwrap_or(&limit.scope));
            (Limit { rule, ..limit.clone() }, *used)
        });
        budget_lines(&shown.collect::<Vec<_>>(), columns).iter().for_each(|line| output.line(line));
        if let Some(more @ 1..) = used.len().checked_sub(MOST_APART) {
            output.line(format!("  {DIM}and {more} more{DIM:#}"));
        }
    }
}

fn row(name: &str, what: &str) -> String {
    row_of(NAMES, name, what)
}

fn row_of(names: usize, name: &str, what: &str) -> String {
    let name = draw::cut(name, names);
    format!("{DIM}{name:<names$}{DIM:#} {what}")
}

fn balance_line(held: &Balance, columns: Option<usize>) -> String {
    let network = held.asset.network.display_name();
    match &held.amount {
        Ok(amount) => {
            let amount = held.asset.format(*amount);
            row(network, &format!("{STRONG}{amount:>10}{STRONG:#}  {}", held.asset.symbol))
        }
        Err(why) => {
            let room = columns.map_or(usize::MAX, |columns| columns.saturating_sub(NAMES + 13));
            row(network, &format!("{WARN}{:>10}{WARN:#}  {}", "?", draw::cut(&printable(why), room)))
        }
    }
}

/// What was paid today, in words.
fn today(spent: &Spent) -> String {
    let payments = |count: u64| if count == 1 { "1 payment".to_owned() } else { format!("{count} payments") };
    let settled = format!(
        "{STRONG}{:>10}{STRONG:#}  in {}",
        spent.settled.value.to_string(),
        payments(spent.settled.count)
    );
    match spent.reserved.count {
        0 => settled,
        count => format!("{settled}, {WARN}{}{WARN:#} reserved in {}", spent.reserved.value, payments(count)),
    }
}

/// The budgets, each with a bar of what is used, where there is room for one.
fn budget_lines(budgets: &[(Limit, Usage)], columns: Option<usize>) -> Vec<String> {
    let words: Vec<_> = budgets.iter().map(|(limit, used)| words(limit, used)).collect();
    let longest = |texts: &mut dyn Iterator<Item = usize>| texts.max().unwrap_or_default();
    let width = longest(&mut words.iter().map(|words| words.chars().count()));
    let names = longest(&mut budgets.iter().map(|(limit, _)| limit.rule.chars().count()));
    let names = names.clamp(NAMES, LONGEST_NAME);
    let room = columns.and_then(|columns| draw::room(columns, names + 1 + width + 2));
    let line = |((limit, used), words): (&(Limit, Usage), &String)| {
        let bar = room.and_then(|length| bar(limit, used, length));
        let bar = bar.map(|bar| format!("{}  {bar}", " ".repeat(width - words.chars().count())));
        row_of(names, &printable(&limit.rule), &format!("{words}{}", bar.unwrap_or_default()))
    };
    budgets.iter().zip(&words).map(line).collect()
}

fn words(limit: &Limit, used: &Usage) -> String {
    match limit.measure {
        Measure::Amount(most) => {
            format!("{:>10}  of {most} {}", used.amount.to_string(), within(limit.window))
        }
        Measure::Count(most) => format!("{:>10}  of {most} payments {}", used.count, within(limit.window)),
    }
}

fn within(window: Window) -> String {
    match window {
        Window::Rolling(_) => format!("in {window}"),
        Window::Calendar(_) => window.to_string(),
        Window::Lifetime => "ever".to_owned(),
    }
}

/// A bar for a budget of money; a rate has none.
fn bar(limit: &Limit, used: &Usage, length: usize) -> Option<String> {
    let Measure::Amount(most) = limit.measure else { return None };
    Some(draw::bar(used.amount, Usd::ZERO, most, fullness(used.amount, most), length))
}

/// Green, yellow from four fifths on, red when full.
fn fullness(used: Usd, most: Usd) -> anstyle::Style {
    let fifth = Usd::new(most.get() / 5);
    if used >= most {
        BAD
    } else if used >= most.saturating_sub(fifth) {
        WARN
    } else {
        GOOD
    }
}

/// What waits for a person or for a chain.
fn waiting(status: &Status, output: Output) {
    if !status.approvals.is_empty() {
        let ids: Vec<_> = status.approvals.iter().take(3).map(|approval| approval.id.as_str()).collect();
        let what = format!("{WARN}{:>10}{WARN:#}  {}", status.approvals.len(), ids.join(", "));
        output.line(row("approvals", &what));
    }
    let open = status.wallet.as_ref().map(|wallet| wallet.open.as_slice()).unwrap_or_default();
    if !open.is_empty() {
        let ids: Vec<_> = open.iter().take(3).map(|one| super::go_on::tail(&one.terms.id.0)).collect();
        let what = format!("{WARN}{:>10}{WARN:#}  {}", open.len(), ids.join(", "));
        output.line(row("open", &what));
    }
}
