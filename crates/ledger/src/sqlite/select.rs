//! Which purchases a filter selects, in SQL.
//!
//! Recorded time never goes back, so purchases are in the order of time by their number: every bound in time is a bound of
//! the number, and every index ends with the number. So a page costs as much as it holds, wherever it lies.

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, params};

use super::purchases::missing;
use super::{Result, host};
use crate::{PurchaseFilter, PurchaseId, PurchaseState};

/// The last characters of an id, backwards: what the index of ends holds, in the words of the schema.
const BACKWARDS: &str = "(substr(id, -1, 1) || substr(id, -2, 1) || substr(id, -3, 1) || substr(id, -4, 1) \
                          || substr(id, -5, 1) || substr(id, -6, 1))";
/// How many they are.
const CHARACTERS: usize = 6;

/// The end of a statement that reads purchases, from `WHERE` on, newest first, and its parameters.
pub(super) struct Selection {
    conditions: Vec<String>,
    pub(super) parameters: Vec<Value>,
}

impl Selection {
    pub(super) fn of(conn: &Connection, filter: &PurchaseFilter) -> Result<Self> {
        let mut selection = Self { conditions: vec!["true".to_owned()], parameters: Vec::new() };
        // The index of those that are not final is used where its own words stand.
        if filter.unresolved || filter.state.is_some_and(|state| !is_final(state)) {
            selection.conditions.push("state IN ('reserved', 'signed', 'unknown')".to_owned());
        }
        if let Some(state) = filter.state {
            // Written out, for the index of those that are not paid.
            selection.conditions.push(format!("state = '{}'", state.as_str()));
        }
        selection.equals("host", filter.host.as_deref().map(host::of_name));
        selection.equals("agent", filter.agent.clone());
        selection.equals("network", filter.network.as_ref().map(|network| network.as_str().to_owned()));
        selection.ends_with(filter.id_ends_with.as_deref());
        selection.between(conn, filter)?;
        // A negative limit is none.
        selection.parameters.push(filter.limit.map_or(-1, i64::from).into());
        Ok(selection)
    }

    /// From `WHERE` to the end.
    pub(super) fn sql(&self) -> String {
        let conditions = self.conditions.join(" AND ");
        format!("WHERE {conditions} ORDER BY number DESC LIMIT ?{}", self.parameters.len())
    }

    fn equals(&mut self, column: &str, value: Option<String>) {
        if let Some(value) = value {
            self.condition(&format!("{column} ="), value);
        }
    }

    fn condition(&mut self, comparison: &str, value: impl Into<Value>) {
        self.parameters.push(value.into());
        self.conditions.push(format!("{comparison} ?{}", self.parameters.len()));
    }

    /// Of an id backwards, an end is a beginning.
    fn ends_with(&mut self, end: Option<&str>) {
        let Some(end) = end.filter(|end| !end.is_empty()) else { return };
        let beginning: String = end.chars().rev().take(CHARACTERS).collect();
        self.condition(&format!("{BACKWARDS} <"), format!("{beginning}\u{10ffff}"));
        self.condition(&format!("{BACKWARDS} >="), beginning);
        self.parameters.push(end.to_owned().into());
        let place = self.parameters.len();
        self.conditions.push(format!("substr(id, -length(?{place})) = ?{place}"));
    }

    fn between(&mut self, conn: &Connection, filter: &PurchaseFilter) -> Result<()> {
        if let Some(since) = filter.since {
            self.condition("number >=", first_at(conn, since.as_millisecond())?);
        }
        if let Some(until) = filter.until {
            self.condition("number <", first_at(conn, until.as_millisecond())?);
        }
        if let Some(before) = &filter.before {
            self.condition("number <", number(conn, before)?);
        }
        Ok(())
    }
}

fn is_final(state: PurchaseState) -> bool {
    matches!(state, PurchaseState::Paid | PurchaseState::NotPaid)
}

/// The number of the first purchase at `at` or later; where there is none, one that is greater than all.
fn first_at(conn: &Connection, at: i64) -> Result<i64> {
    let sql = "SELECT number FROM purchases WHERE created_at >= ?1 ORDER BY created_at, number LIMIT 1";
    Ok(conn.prepare_cached(sql)?.query_row([at], |row| row.get(0)).optional()?.unwrap_or(i64::MAX))
}

fn number(conn: &Connection, id: &PurchaseId) -> Result<i64> {
    let mut statement = conn.prepare_cached("SELECT number FROM purchases WHERE id = ?1")?;
    statement.query_row(params![id.0], |row| row.get(0)).optional()?.ok_or_else(|| missing(id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::{collect, open};

    /// How SQLite would read what the filter selects.
    fn plan(conn: &Connection, of: &str, filter: &PurchaseFilter) -> String {
        let selection = Selection::of(conn, filter).unwrap();
        let sql = format!("EXPLAIN QUERY PLAN {of} {}", selection.sql());
        let parameters = rusqlite::params_from_iter(&selection.parameters);
        collect(conn, &sql, parameters, |row| Ok(row.get::<_, String>(3)?)).unwrap().join("; ")
    }

    #[test]
    fn every_filter_has_its_index_and_nothing_is_sorted() {
        let conn = open::memory().unwrap();
        let none = PurchaseFilter::default();
        let some = |name: &str| Some(name.to_owned());
        for (filter, index) in [
            (PurchaseFilter { unresolved: true, ..none.clone() }, "purchases_unresolved"),
            (PurchaseFilter { state: Some(PurchaseState::Unknown), ..none.clone() }, "purchases_unresolved"),
            (PurchaseFilter { state: Some(PurchaseState::NotPaid), ..none.clone() }, "purchases_not_paid"),
            (
                PurchaseFilter { host: some("a.example"), ..none.clone() },
                "purchases_host (host=? AND number<?)",
            ),
            (PurchaseFilter { agent: some("ana"), ..none.clone() }, "purchases_agent (agent=? AND number<?)"),
            (
                PurchaseFilter { network: Some(farthing_money::Network::BASE), ..none.clone() },
                "purchases_network (network=? AND number<?)",
            ),
            (none.clone(), "INTEGER PRIMARY KEY (rowid<?)"),
        ] {
            let filter = PurchaseFilter { until: Some(farthing_ambient::Timestamp::UNIX_EPOCH), ..filter };
            let plan = plan(&conn, "SELECT * FROM purchases", &filter);
            assert!(plan.contains(index) && !plan.contains("TEMP B-TREE"), "{filter:?}: {plan}");
        }
        let end = PurchaseFilter { id_ends_with: some("WXYZ"), ..none.clone() };
        let plan = plan(&conn, "SELECT * FROM purchases", &end);
        assert!(plan.contains("purchases_end (<expr>>? AND <expr><?)"), "{plan}");
    }

    #[test]
    fn sums_read_one_index_alone() {
        let conn = open::memory().unwrap();
        let filter = PurchaseFilter {
            since: Some(farthing_ambient::Timestamp::UNIX_EPOCH),
            host: Some("a.example".to_owned()),
            ..PurchaseFilter::default()
        };
        let of = "SELECT created_at, state, value FROM purchases INDEXED BY purchases_spending";
        let plan = plan(&conn, of, &filter);
        let index = "USING COVERING INDEX purchases_spending (number>?)";
        assert!(plan.contains(index) && !plan.contains("TEMP B-TREE"), "{plan}");
    }
}
