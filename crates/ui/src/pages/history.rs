//! Every purchase, newest first, a page at a time.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Query, State};
use farthing_ambient::Timestamp;
use farthing_ledger::{PurchaseFilter, PurchaseId, PurchaseState, SpendingBy};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::Deserialize;
use url::form_urlencoded::Serializer;

use super::{Frame, Problem, Row, Shown, rows, shown};
use crate::guard::Entered;
use crate::server::Shared;
use crate::words;

/// How many purchases a page has.
const PAGE: u32 = 25;

/// What the form asks for, as it was typed.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Asked {
    host: String,
    agent: String,
    state: String,
    since: String,
    until: String,
    /// The last purchase of the page before this one.
    before: String,
}

#[derive(Template)]
#[template(path = "history.html")]
struct HistoryPage {
    frame: Frame,
    asked: Asked,
    is_filtered: bool,
    rows: Vec<Row>,
    /// What the filter selects, added up.
    total: String,
    /// The address of the next page, where there is one.
    older: Option<String>,
    newest: String,
}

pub(crate) async fn show(
    State(shared): State<Arc<Shared>>,
    Entered(visitor): Entered,
    Query(asked): Query<Asked>,
) -> Shown {
    let asked = asked.trimmed();
    let filter = asked.filter()?;
    let page = PurchaseFilter { limit: Some(PAGE + 1), ..filter.clone() };
    let mut purchases = shared.ledger.purchases(page).await?;
    let has_more = purchases.len() > usize::try_from(PAGE).unwrap_or(usize::MAX);
    purchases.truncate(usize::try_from(PAGE).unwrap_or(usize::MAX));
    let last = purchases.last().filter(|_| has_more);
    let at = |query: String| format!("{}/history?{query}", visitor.root);
    shown(&HistoryPage {
        frame: Frame::around(&shared, &visitor, "history").await?,
        is_filtered: asked.is_filtered(),
        rows: rows(&purchases),
        total: total(&shared, filter).await?,
        older: last.map(|last| at(asked.query(&last.terms.id.0))),
        newest: at(asked.query("")),
        asked,
    })
}

/// `12 purchases, $0.53 paid, $0.01 reserved`, over all pages.
async fn total(shared: &Shared, filter: PurchaseFilter) -> Result<String, Problem> {
    let filter = PurchaseFilter { before: None, ..filter };
    let total = shared.ledger.spending(filter, SpendingBy::Network).await?.total;
    let paid = format!("{} paid, {}", words::count(total.settled.count, "purchase"), total.settled.value);
    Ok(match total.reserved.count {
        0 => paid,
        open => format!("{paid}; {} open, {} reserved", words::count(open, "purchase"), total.reserved.value),
    })
}

impl Asked {
    fn trimmed(self) -> Self {
        let trimmed = |text: String| text.trim().to_owned();
        Self {
            host: trimmed(self.host),
            agent: trimmed(self.agent),
            since: trimmed(self.since),
            until: trimmed(self.until),
            ..self
        }
    }

    fn is_filtered(&self) -> bool {
        [&self.host, &self.agent, &self.state, &self.since, &self.until].iter().any(|text| !text.is_empty())
    }

    fn filter(&self) -> Result<PurchaseFilter, Problem> {
        let some = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
        let state = some(&self.state).map(|name| state(&name)).transpose()?;
        Ok(PurchaseFilter {
            state,
            since: some(&self.since).map(|day| start(&day, 0)).transpose()?,
            // To the end of that day.
            until: some(&self.until).map(|day| start(&day, 1)).transpose()?,
            host: some(&self.host),
            agent: some(&self.agent),
            before: some(&self.before).map(PurchaseId),
            ..PurchaseFilter::default()
        })
    }

    /// The same question, for the page after this purchase.
    fn query(&self, before: &str) -> String {
        let named = [
            ("host", self.host.as_str()),
            ("agent", &self.agent),
            ("state", &self.state),
            ("since", &self.since),
            ("until", &self.until),
            ("before", before),
        ];
        let given = named.into_iter().filter(|(_, value)| !value.is_empty());
        Serializer::new(String::new()).extend_pairs(given).finish()
    }
}

fn state(name: &str) -> Result<PurchaseState, Problem> {
    let known = PurchaseState::ALL.into_iter().find(|state| state.as_str() == name);
    known.ok_or_else(|| Problem::Missing(format!("There is no state “{name}”.")))
}

/// The first moment of the day this many days after the one written, in UTC.
fn start(day: &str, later: i64) -> Result<Timestamp, Problem> {
    let wrong = || Problem::Missing(format!("“{day}” is no day; write one as 2026-11-26."));
    let date: Date = day.parse().map_err(|_| wrong())?;
    let date = date.checked_add(jiff::Span::new().days(later)).map_err(|_| wrong())?;
    Ok(date.to_zoned(TimeZone::UTC).map_err(|_| wrong())?.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_asks_the_same() {
        let asked = Asked { host: "a b&c".into(), state: "paid".into(), ..Asked::default() };
        assert_eq!(asked.query("01X"), "host=a+b%26c&state=paid&before=01X");
        assert_eq!(asked.query(""), "host=a+b%26c&state=paid");
    }

    #[test]
    fn days_are_whole() {
        let asked = Asked { since: "2026-11-26".into(), until: "2026-11-26".into(), ..Asked::default() };
        let filter = asked.filter().ok().unwrap();
        let (since, until) = (filter.since.unwrap(), filter.until.unwrap());
        assert_eq!(
            (since.to_string().as_str(), until.duration_since(since).as_hours()),
            ("2026-11-26T00:00:00Z", 24)
        );
        for wrong in ["26.11.2026", "9999-12-31x", "9999-12-31"] {
            assert!(start(wrong, 1).is_err(), "{wrong}");
        }
    }
}
