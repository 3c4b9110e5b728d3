//! Purchases added up by day, host, agent or network.

use farthing_money::Usd;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use rusqlite::{Connection, Row, params_from_iter};

use super::purchases::{parsed, state, time};
use super::select::Selection;
use super::{Result, budget};
use crate::{PurchaseFilter, Spending, SpendingBy};

/// Reads the purchases one by one: the sums have more bits than SQLite's numbers. The index holds every
/// column that is needed, and is a small part of the table.
pub(super) fn add_up(conn: &Connection, filter: &PurchaseFilter, by: &SpendingBy) -> Result<Spending> {
    let selection = Selection::of(conn, filter)?;
    let sql = format!(
        "SELECT {}, state, value FROM purchases INDEXED BY purchases_spending {}",
        column(by),
        selection.sql()
    );
    let mut statement = conn.prepare_cached(&sql)?;
    let mut rows = statement.query(params_from_iter(&selection.parameters))?;
    let (mut spending, mut days) = (Spending::default(), Days::default());
    while let Some(row) = rows.next()? {
        let group = match by {
            SpendingBy::Day(zone) => Some(days.of(row.get(0)?, zone)?.to_string()),
            SpendingBy::Host | SpendingBy::Agent | SpendingBy::Network => row.get(0)?,
        };
        count(&mut spending, group, row)?;
    }
    spending.groups.retain(|_, spent| spent.settled.count + spent.reserved.count > 0);
    Ok(spending)
}

fn column(by: &SpendingBy) -> &'static str {
    match by {
        SpendingBy::Day(_) => "created_at",
        SpendingBy::Host => "host",
        SpendingBy::Agent => "agent",
        SpendingBy::Network => "network",
    }
}

fn count(spending: &mut Spending, group: Option<String>, row: &Row<'_>) -> Result<()> {
    let (state, value) = (state(row)?, Usd::new(parsed("value", &row.get::<_, String>("value")?)?));
    let too_much = |_| budget::overflow("all");
    spending.total.add(state, value).map_err(too_much)?;
    spending.groups.entry(group).or_default().add(state, value).map_err(too_much)
}

/// The days that were met, each by its first and last millisecond: asking the time zone costs more than reading a row.
#[derive(Default)]
struct Days(Option<(Date, std::ops::Range<i64>)>);

impl Days {
    fn of(&mut self, at: i64, zone: &TimeZone) -> Result<Date> {
        if let Some((day, range)) = &self.0
            && range.contains(&at)
        {
            return Ok(*day);
        }
        let day = zone.to_datetime(time(at)?).date();
        let bound = |date: Date| date.to_zoned(zone.clone()).map(|start| start.timestamp().as_millisecond());
        let range = day.tomorrow().and_then(|next| Ok(bound(day)?..bound(next)?));
        self.0 = range.ok().map(|range| (day, range));
        Ok(day)
    }
}
