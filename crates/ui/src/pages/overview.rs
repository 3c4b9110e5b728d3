//! Where one stands: what is held, what was spent, what is left, what waits.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Query, State};
use farthing_ledger::{PurchaseFilter, Spending, SpendingBy, Spent};
use farthing_money::Usd;
use farthing_wallet::Balance;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::Deserialize;
use url::form_urlencoded::byte_serialize;

use self::budgets::Budgets;
use super::{Frame, Problem, Row, Shown, rows, shown};
use crate::chart::{self, Days};
use crate::guard::Entered;
use crate::server::Shared;
use crate::words::{self, visible};

mod budgets;

/// How many days the chart may have.
const SPANS: [usize; 3] = [7, 30, 90];
/// How many it has when nothing is asked for.
const USUAL_SPAN: usize = 30;
/// How many hosts and agents are listed by themselves.
const MOST_SHARES: usize = 6;
/// How many purchases are shown.
const RECENT: u32 = 6;

/// How far the chart goes back.
#[derive(Deserialize)]
pub(crate) struct Asked {
    #[serde(default)]
    days: Option<usize>,
}

#[derive(Template)]
#[template(path = "overview.html")]
struct OverviewPage {
    frame: Frame,
    holdings: Option<Holdings>,
    span: usize,
    spans: [usize; 3],
    days: Days,
    total: Spent,
    hosts: Vec<Share>,
    agents: Vec<Share>,
    budgets: Result<Budgets, String>,
    recent: Vec<Row>,
}

/// What the wallet holds. No wallet, no holdings.
struct Holdings {
    /// When the chains said so; none while they have not.
    at: Option<String>,
    list: Vec<Holding>,
}

/// What it holds of one asset.
struct Holding {
    network: String,
    symbol: String,
    address: String,
    /// Dollars, or why they are not known.
    value: Result<String, String>,
    is_empty: bool,
}

/// A host's or an agent's part of what was spent.
struct Share {
    name: String,
    /// Its purchases, as a query of the history.
    query: Option<String>,
    value: String,
    count: String,
    /// Of [`chart::LENGTH`].
    length: u128,
}

impl OverviewPage {
    fn purchases(&self) -> String {
        words::count(self.total.settled.count, "purchase")
    }

    fn has_spent(&self) -> bool {
        self.total != Spent::default()
    }
}

pub(crate) async fn show(
    State(shared): State<Arc<Shared>>,
    Entered(visitor): Entered,
    Query(asked): Query<Asked>,
) -> Shown {
    let span = asked.days.filter(|days| SPANS.contains(days)).unwrap_or(USUAL_SPAN);
    let today = shared.clock.now().to_zoned(TimeZone::UTC).date();
    let period = period(today, span)?;
    let by = |by| shared.ledger.spending(period.clone(), by);
    let daily = by(SpendingBy::Day(TimeZone::UTC)).await?;
    let recent = PurchaseFilter { limit: Some(RECENT), ..PurchaseFilter::default() };
    shown(&OverviewPage {
        frame: Frame::around(&shared, &visitor, "overview").await?,
        holdings: holdings(&shared).await,
        span,
        spans: SPANS,
        days: Days::new(&daily, today, span),
        total: daily.total,
        hosts: shares(by(SpendingBy::Host).await?, "host"),
        agents: shares(by(SpendingBy::Agent).await?, "agent"),
        budgets: budgets::read(&shared).await?,
        recent: rows(&shared.ledger.purchases(recent).await?),
    })
}

/// The purchases of so many days up to today.
fn period(today: Date, span: usize) -> Result<PurchaseFilter, Problem> {
    let back = jiff::Span::new().days(i64::try_from(span).unwrap_or_default() - 1);
    let first = today.saturating_sub(back).to_zoned(TimeZone::UTC);
    let first =
        first.map_err(|error| Problem::Conflict(format!("the clock shows no usable time: {error}")))?;
    Ok(PurchaseFilter { since: Some(first.timestamp()), ..PurchaseFilter::default() })
}

async fn holdings(shared: &Shared) -> Option<Holdings> {
    let known = shared.balances.as_ref()?.known().await;
    let list = known.iter().flat_map(|held| &held.balances).map(holding).collect();
    Some(Holdings { at: known.map(|held| words::time(held.at)), list })
}

fn holding(balance: &Balance) -> Holding {
    let asset = &balance.asset;
    Holding {
        network: asset.network.display_name().to_owned(),
        symbol: visible(&asset.symbol),
        address: visible(&balance.address),
        value: balance.amount.as_ref().map(|amount| asset.format(*amount)).map_err(|why| visible(why)),
        is_empty: balance.amount.as_ref().is_ok_and(|amount| amount.get() == 0),
    }
}

/// The largest first; what is not listed by itself is added up.
fn shares(spending: Spending, key: &str) -> Vec<Share> {
    let mut groups: Vec<(Option<String>, Spent)> = spending.groups.into_iter().collect();
    groups.sort_by_key(|(_, spent)| std::cmp::Reverse(chart::all(spent)));
    let most = groups.first().map(|(_, spent)| chart::all(spent)).unwrap_or_default();
    let rest = groups.split_off(groups.len().min(MOST_SHARES));
    let mut lines: Vec<(Usd, Share)> =
        groups.iter().map(|(name, spent)| share(name.as_deref(), key, spent, most)).collect();
    lines.extend(others(&rest, most));
    let values: Vec<String> = lines.iter().map(|(value, _)| value.to_string()).collect();
    lines
        .into_iter()
        .zip(words::aligned(&values))
        .map(|((_, share), value)| Share { value, ..share })
        .collect()
}

fn share(name: Option<&str>, key: &str, spent: &Spent, most: Usd) -> (Usd, Share) {
    let value = chart::all(spent);
    let nobody = if key == "agent" { "you, without an agent" } else { "no host" };
    let query = name.map(|name| format!("{key}={}", byte_serialize(name.as_bytes()).collect::<String>()));
    let share = Share {
        name: name.map_or(nobody.to_owned(), visible),
        query,
        value: String::new(),
        count: words::count(spent.settled.count.saturating_add(spent.reserved.count), "purchase"),
        length: chart::scaled(value.get(), most.get(), chart::LENGTH),
    };
    (value, share)
}

fn others(rest: &[(Option<String>, Spent)], most: Usd) -> Option<(Usd, Share)> {
    let mut sum = Spent::default();
    for (_, spent) in rest {
        sum.settled.value = sum.settled.value.checked_add(chart::all(spent)).ok()?;
        sum.settled.count = sum.settled.count.saturating_add(spent.settled.count + spent.reserved.count);
    }
    let (value, share) = share(None, "", &sum, most);
    (!rest.is_empty()).then(|| (value, Share { name: format!("{} others", rest.len()), ..share }))
}
