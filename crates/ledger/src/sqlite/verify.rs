//! Verification: the journal's chain, and every record and budget rebuilt from the journal and compared.
//!
//! It streams: memory does not grow with the ledger. Whoever can write the file can also compute a new chain over a
//! changed journal; that is noticed only by keeping [`VerifyReport::head`] elsewhere.

use std::collections::BTreeMap;

use rusqlite::{Connection, Row};

use super::host::host;
use super::journal::{Entry, Head, Kind};
use super::rebuild::budgets;
use super::table::{Cell, TABLES, Table};
use super::{Result, collect};
use crate::VerifyReport;

/// How many problems are told; a file that was destroyed has as many as rows.
const MOST_PROBLEMS: usize = 1000;

/// `sought` is an earlier head, to be found among the rows.
pub(super) fn verify(conn: &Connection, sought: Option<&str>) -> Result<VerifyReport> {
    let mut problems = Problems::default();
    let Chain { rows, last, rows_since } = chain(conn, sought, &mut problems)?;
    head(conn, &last, &mut problems)?;
    for table in TABLES {
        records(conn, table, &mut problems)?;
        strangers(conn, table, &last, &mut problems)?;
    }
    broadcast_payments(conn, &mut problems)?;
    hosts(conn, &mut problems)?;
    budgets(conn, &mut problems)?;
    Ok(VerifyReport { rows, head: hex::encode(last.hash), rows_since, problems: problems.into_list() })
}

/// What does not fit, up to a bound.
#[derive(Default)]
pub(super) struct Problems {
    list: Vec<String>,
    untold: usize,
}

impl Problems {
    pub(super) fn add(&mut self, problem: String) {
        if self.list.len() < MOST_PROBLEMS {
            self.list.push(problem);
        } else {
            self.untold += 1;
        }
    }

    fn into_list(mut self) -> Vec<String> {
        if self.untold > 0 {
            self.list.push(format!("and {} more", self.untold));
        }
        self.list
    }
}

/// The journal as a whole.
struct Chain {
    rows: u64,
    /// The head that the last row stands for.
    last: Head,
    /// How many rows came after the head that was sought, if a row or the empty journal has its hash.
    rows_since: Option<u64>,
}

/// Follows the chain from its beginning.
fn chain(conn: &Connection, sought: Option<&str>, problems: &mut Problems) -> Result<Chain> {
    let sought = sought.and_then(|head| <[u8; 32]>::try_from(hex::decode(head).ok()?).ok());
    let (mut rows, mut head) = (0, Head::EMPTY);
    let mut found_after = (sought == Some(head.hash)).then_some(rows);
    let mut statement = conn.prepare(&format!("SELECT {} FROM journal ORDER BY seq", Entry::COLUMNS))?;
    let mut found = statement.query([])?;
    while let Some(row) = found.next()? {
        let entry = Entry::read(row)?;
        check_link(&head, &entry, problems);
        // Go on from what the row says of itself, so that one changed row is one problem and not all that follow.
        head = Head { seq: entry.seq, at: entry.at, hash: to_hash(&entry.hash) };
        rows += 1;
        if sought.is_some_and(|hash| entry.hash[..] == hash) {
            found_after = Some(rows);
        }
    }
    Ok(Chain { rows, last: head, rows_since: found_after.map(|found| rows - found) })
}

fn check_link(head: &Head, entry: &Entry, problems: &mut Problems) {
    let Entry { seq, at, .. } = entry;
    if *seq != head.seq + 1 {
        problems.add(format!("journal row {seq} follows row {}: rows between them are missing", head.seq));
    }
    if *at < head.at {
        problems.add(format!("journal row {seq} is older than the row before it"));
    }
    if entry.prev != head.hash {
        problems.add(format!("journal row {seq} does not hang on the row before it"));
    }
    let before = Head { seq: seq - 1, at: head.at, hash: to_hash(&entry.prev) };
    if before.next(*at, &entry.kind, &entry.id, &entry.body).hash[..] != entry.hash[..] {
        problems.add(format!(
            "journal row {seq} ({} {}) was changed: its hash does not fit",
            entry.kind, entry.id
        ));
    }
}

/// A hash of another length fits nothing.
fn to_hash(bytes: &[u8]) -> [u8; 32] {
    bytes.try_into().unwrap_or_default()
}

/// The head's own row must be the journal's last row.
fn head(conn: &Connection, last: &Head, problems: &mut Problems) -> Result<()> {
    match collect(conn, "SELECT seq, at, hash FROM head", [], head_row)?.as_slice() {
        [head] if head == last => {}
        [head] if head.seq > last.seq => problems.add(format!(
            "the journal was cut off: it ends with row {}, and row {} had been written",
            last.seq, head.seq
        )),
        [head] => problems.add(format!(
            "the head names row {}, and the journal ends with row {}, or with another hash or time",
            head.seq, last.seq
        )),
        _ => problems.add("the head is missing".to_owned()),
    }
    Ok(())
}

fn head_row(row: &Row<'_>) -> Result<Head> {
    Ok(Head { seq: row.get(0)?, at: row.get(1)?, hash: to_hash(&row.get::<_, Vec<u8>>(2)?) })
}

/// A record's columns, as the journal holds them.
pub(super) type Columns = BTreeMap<String, Cell<'static>>;

/// Rebuilds every record of a table from its rows in the journal, and compares.
fn records(conn: &Connection, table: &Table, problems: &mut Problems) -> Result<()> {
    let sql =
        format!("SELECT {} FROM journal WHERE kind IN ({}) ORDER BY id, seq", Entry::COLUMNS, table.kinds());
    let mut statement = conn.prepare(&sql)?;
    let mut rows = statement.query([])?;
    let mut building: Option<(String, Columns)> = None;
    while let Some(row) = rows.next()? {
        let entry = Entry::read(row)?;
        let (id, mut columns) = match building.take() {
            Some((id, columns)) if id == entry.id => (id, columns),
            done => {
                compare(conn, table, done, problems)?;
                (entry.id.clone(), Columns::new())
            }
        };
        replay(table, &entry, &mut columns, problems);
        building = Some((id, columns));
    }
    compare(conn, table, building, problems)
}

/// Applies one row of the journal to the record that it is about.
fn replay(table: &Table, entry: &Entry, columns: &mut Columns, problems: &mut Problems) {
    if entry.kind == table.made_by.as_str() {
        columns.clear();
        columns.insert(table.key.to_owned(), Cell::from(entry.id.clone()));
        columns.insert("created_at".to_owned(), Cell::Int(entry.at));
    }
    match serde_json::from_str::<Columns>(&entry.body) {
        Ok(changes) => columns.extend(changes),
        Err(_) => problems.add(format!("journal row {} cannot be read", entry.seq)),
    }
    columns.insert("updated_at".to_owned(), Cell::Int(entry.at));
    columns.insert("seq".to_owned(), Cell::Int(entry.seq));
}

fn compare(
    conn: &Connection,
    table: &Table,
    rebuilt: Option<(String, Columns)>,
    problems: &mut Problems,
) -> Result<()> {
    let Some((id, rebuilt)) = rebuilt else { return Ok(()) };
    let what = table.what;
    let Some(recorded) = table.find(conn, &id, |row| columns(table, row))? else {
        problems.add(format!("{what} {id} is missing: the journal has it"));
        return Ok(());
    };
    for column in recorded.keys().chain(rebuilt.keys().filter(|column| !recorded.contains_key(*column))) {
        let side = |columns: &Columns| columns.get(column).cloned().unwrap_or(Cell::Null);
        let (recorded, journalled) = (side(&recorded), side(&rebuilt));
        if recorded != journalled {
            problems.add(format!("{what} {id}: {column} is {recorded}, the journal says {journalled}"));
        }
    }
    Ok(())
}

/// A record's columns in the form of the journal. How a row is found (`number`, `digest`) is no part of the record, and
/// what follows from other columns is looked at by itself.
fn columns(table: &Table, row: &Row<'_>) -> Result<Columns> {
    let names = row.as_ref().column_names().into_iter().map(str::to_owned).collect::<Vec<_>>();
    let mut columns = Columns::new();
    let is_told =
        |name: &String| name != "number" && name != "digest" && !table.derived.contains(&name.as_str());
    for name in names.into_iter().filter(is_told) {
        let cell = row.get::<_, Cell<'static>>(name.as_str())?;
        columns.insert(name.clone(), table.public(&name, cell));
    }
    Ok(columns)
}

/// Records that the journal does not know.
fn strangers(conn: &Connection, table: &Table, last: &Head, problems: &mut Problems) -> Result<()> {
    let (name, key, made_by) = (table.name, table.key, table.made_by.as_str());
    let sql = format!(
        "SELECT {key}, seq FROM {name} WHERE {key} NOT IN (SELECT id FROM journal WHERE kind = '{made_by}')"
    );
    let found = collect(conn, &sql, [], |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?)))?;
    for (id, seq) in found {
        let cut =
            if seq > last.seq { format!(", or it was cut off: row {seq} wrote it") } else { String::new() };
        problems.add(format!("{} {id} is not in the journal{cut}", table.what));
    }
    Ok(())
}

/// The index of payments to transactions must say what the transactions say.
fn broadcast_payments(conn: &Connection, problems: &mut Problems) -> Result<()> {
    // A list that is no JSON, or names an unknown payment, was found to differ from the journal already.
    let sql = "WITH said (settlement, broadcast) AS (
                   SELECT s.number, b.number
                   FROM broadcasts b, json_each(iif(json_valid(b.payments), b.payments, '[]')) p
                   JOIN settlements s ON s.payment_key = p.value)
               SELECT settlement, broadcast FROM (SELECT * FROM said EXCEPT SELECT * FROM broadcast_payments)
               UNION ALL
               SELECT settlement, broadcast FROM (SELECT * FROM broadcast_payments EXCEPT SELECT * FROM said)";
    let pair = |row: &Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?));
    for (settlement, broadcast) in collect(conn, sql, [], pair)? {
        problems.add(format!(
            "broadcast number {broadcast}: its link to settlement number {settlement} does not fit its payments"
        ));
    }
    Ok(())
}

/// A purchase is listed and added up under the host of its URL.
fn hosts(conn: &Connection, problems: &mut Problems) -> Result<()> {
    let mut statement = conn.prepare("SELECT id, url, host FROM purchases ORDER BY number")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (id, url, found): (String, String, Option<String>) = (row.get(0)?, row.get(1)?, row.get(2)?);
        if found != host(&url) {
            let found = Cell::from(&found);
            problems.add(format!("purchase {id}: host is {found}, which is not that of its URL"));
        }
    }
    Ok(())
}

impl Table {
    /// The kinds of journal rows about this table, quoted for SQL.
    fn kinds(&self) -> String {
        let kinds = std::iter::once(&self.made_by).chain(self.changed_by);
        kinds.map(|kind| format!("'{}'", Kind::as_str(*kind))).collect::<Vec<_>>().join(", ")
    }
}
