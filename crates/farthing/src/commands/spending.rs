//! `farthing spending`: what was paid, added up.

use farthing_ambient::{Clock as _, SystemClock, Timestamp};
use farthing_ledger::{Spending, SpendingBy, Spent};
use farthing_money::Usd;
use serde_json::json;

use super::history::filter;
use super::status::spent_json;
use crate::cli::{By, SpendingArgs};
use crate::csv;
use crate::draw;
use crate::exit::Failure;
use crate::output::{DIM, GOOD, Output, STRONG, WARN, printable};
use crate::session::Session;

/// How far back it goes where nobody says.
const USUAL: std::time::Duration = std::time::Duration::from_secs(30 * 86_400);
/// The widest name of a host or an agent.
const WIDEST_NAME: usize = 40;
/// The width of an amount.
const AMOUNT: usize = 10;

pub(crate) async fn run(session: &Session, args: &SpendingArgs, output: Output) -> Result<(), Failure> {
    let mut wanted = filter(&args.which);
    let now = SystemClock.now();
    let since = *wanted.since.get_or_insert(now.checked_sub(USUAL).unwrap_or(Timestamp::MIN));
    let by = match args.by {
        By::Day => SpendingBy::Day(args.offset.0.clone()),
        By::Host => SpendingBy::Host,
        By::Agent => SpendingBy::Agent,
        By::Network => SpendingBy::Network,
    };
    let until = wanted.until;
    let spending = session.ledger()?.spending(wanted, by).await?;
    if output.json {
        output.json(&to_json(args.by, since, until, &spending));
    } else if args.csv {
        print_csv(args.by, &spending, output);
    } else {
        print(args.by, &spending, output);
    }
    Ok(())
}

/// The groups as they are listed: days as they come, all others by what was spent.
fn listed(by: By, spending: &Spending) -> Vec<(Option<&str>, &Spent)> {
    let mut groups: Vec<_> = spending.groups.iter().map(|(name, spent)| (name.as_deref(), spent)).collect();
    if by != By::Day {
        groups.sort_by_key(|(_, spent)| std::cmp::Reverse(both(spent)));
    }
    groups
}

fn both(spent: &Spent) -> Usd {
    spent.settled.value.checked_add(spent.reserved.value).unwrap_or(Usd::new(u128::MAX))
}

fn name_of(by: By) -> &'static str {
    match by {
        By::Day => "day",
        By::Host => "host",
        By::Agent => "agent",
        By::Network => "network",
    }
}

fn to_json(by: By, since: Timestamp, until: Option<Timestamp>, spending: &Spending) -> serde_json::Value {
    let groups: Vec<_> = listed(by, spending)
        .into_iter()
        .map(|(name, spent)| {
            let mut row = spent_json(spent);
            row["name"] = json!(name);
            row
        })
        .collect();
    json!({"by": name_of(by), "since": since, "until": until, "groups": groups, "total": spent_json(&spending.total)})
}

fn print_csv(by: By, spending: &Spending, output: Output) {
    output.line(csv::line([
        name_of(by),
        "settled_usd",
        "settled_payments",
        "reserved_usd",
        "reserved_payments",
    ]));
    let dollars = |value: Usd| value.to_string().trim_start_matches('$').to_owned();
    for (name, spent) in listed(by, spending) {
        output.line(csv::line([
            name.unwrap_or_default().to_owned(),
            dollars(spent.settled.value),
            spent.settled.count.to_string(),
            dollars(spent.reserved.value),
            spent.reserved.count.to_string(),
        ]));
    }
}

fn print(by: By, spending: &Spending, output: Output) {
    if spending.groups.is_empty() {
        output.note("nothing was spent in that time");
        return;
    }
    let groups = listed(by, spending);
    let names: Vec<_> = groups.iter().map(|(name, _)| shown(by, *name)).collect();
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or_default();
    let largest = groups.iter().map(|(_, spent)| both(spent)).max().unwrap_or_default();
    let said = groups.iter().map(|(_, spent)| words(spent)).chain([words(&spending.total)]);
    let text = said.map(|words| anstream::adapter::strip_str(&words).to_string().chars().count()).max();
    let text = width + text.unwrap_or_default() + 4;
    let room = draw::columns().and_then(|columns| draw::room(columns, text));
    for (name, (_, spent)) in names.iter().zip(&groups) {
        let bar = room
            .map(|length| draw::bar(spent.settled.value, spent.reserved.value, largest, GOOD, length) + "  ");
        output.line(format!("{name:<width$}  {}{}", bar.unwrap_or_default(), words(spent)));
    }
    output.line(format!(
        "{STRONG}{:<width$}{STRONG:#}  {}{}",
        "total",
        " ".repeat(room.map_or(0, |room| room + 2)),
        words(&spending.total)
    ));
}

fn shown(by: By, name: Option<&str>) -> String {
    let nobody = match by {
        By::Agent => "(no agent)",
        _ => "(no host)",
    };
    let network =
        name.filter(|_| by == By::Network).and_then(|name| name.parse::<farthing_money::Network>().ok());
    let name = network.as_ref().map(|network| network.display_name()).or(name);
    draw::cut(&printable(name.unwrap_or(nobody)), WIDEST_NAME)
}

fn words(spent: &Spent) -> String {
    let payments = if spent.settled.count == 1 { "payment" } else { "payments" };
    let settled = format!(
        "{:>width$}  {DIM}{} {payments}{DIM:#}",
        spent.settled.value.to_string(),
        spent.settled.count,
        width = AMOUNT
    );
    match spent.reserved.count {
        0 => settled,
        count => format!("{settled}, {WARN}{}{WARN:#} reserved in {count}", spent.reserved.value),
    }
}
