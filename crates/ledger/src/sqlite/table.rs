//! Records and the journal change together, through [`Batch::insert`] and [`Batch::update`], or, where every microsecond
//! counts, through [`Batch::execute`] with [`Batch::journal`]: the journal's body is the set of columns that changed, so
//! the records can be rebuilt from it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSqlOutput, Value, ValueRef};
use rusqlite::{Connection, Row, ToSql};
use sha2::{Digest, Sha256};

use super::journal::Kind;
use super::{Batch, Result, collect};
use crate::LedgerError;

/// A table of records.
pub(super) struct Table {
    pub(super) name: &'static str,
    /// One record, for messages.
    pub(super) what: &'static str,
    /// The column with a record's identity.
    pub(super) key: &'static str,
    /// The column that a record is found by.
    pub(super) found_by: FoundBy,
    /// Columns that are secret or long: the journal holds their SHA-256.
    pub(super) digested: &'static [&'static str],
    /// Columns that follow from others, for queries: the journal does not hold them.
    pub(super) derived: &'static [&'static str],
    /// The kind of journal row that makes a record, or makes it anew.
    pub(super) made_by: Kind,
    /// The kinds that change it.
    pub(super) changed_by: &'static [Kind],
}

/// How a record is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FoundBy {
    /// By its identity.
    Key,
    /// By the column `digest`: half of the SHA-256 of its identity.
    Digest,
}

/// The value of the column that a record is found by.
pub(super) enum Place<'a> {
    Key(&'a str),
    Digest([u8; 16]),
}

impl ToSql for Place<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        match self {
            Self::Key(id) => id.to_sql(),
            Self::Digest(digest) => Ok(ToSqlOutput::Borrowed(ValueRef::Blob(digest))),
        }
    }
}

pub(super) const PURCHASES: Table = Table {
    name: "purchases",
    what: "purchase",
    key: "id",
    found_by: FoundBy::Key,
    digested: &["offer", "header_value"],
    derived: &["host"],
    made_by: Kind::Reserved,
    changed_by: &[Kind::Signed, Kind::Responded, Kind::Finished],
};

pub(super) const CLAIMS: Table = Table {
    name: "claims",
    what: "claim",
    key: "payment_key",
    found_by: FoundBy::Digest,
    digested: &[],
    derived: &[],
    made_by: Kind::Claimed,
    changed_by: &[Kind::ClaimMoved],
};

pub(super) const SETTLEMENTS: Table = Table {
    name: "settlements",
    what: "settlement",
    key: "payment_key",
    found_by: FoundBy::Digest,
    digested: &["payment", "requirements"],
    derived: &[],
    made_by: Kind::SettlementBegun,
    changed_by: &[Kind::SettlementMoved],
};

pub(super) const BROADCASTS: Table = Table {
    name: "broadcasts",
    what: "broadcast",
    key: "tx",
    found_by: FoundBy::Key,
    digested: &["raw"],
    derived: &[],
    made_by: Kind::Broadcast,
    changed_by: &[],
};

/// One record, about everything.
pub(super) const FREEZES: Table = Table {
    name: "freezes",
    what: "freeze",
    key: "id",
    found_by: FoundBy::Key,
    digested: &[],
    derived: &[],
    made_by: Kind::Frozen,
    changed_by: &[Kind::Thawed],
};

pub(super) const APPROVALS: Table = Table {
    name: "approvals",
    what: "approval",
    key: "id",
    found_by: FoundBy::Key,
    digested: &["terms"],
    derived: &[],
    made_by: Kind::ApprovalAsked,
    changed_by: &[Kind::ApprovalDecided, Kind::ApprovalUsed],
};

/// Every table of records.
pub(super) const TABLES: [&Table; 6] = [&PURCHASES, &CLAIMS, &SETTLEMENTS, &BROADCASTS, &FREEZES, &APPROVALS];

/// A value of a column.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(untagged)]
pub(super) enum Cell<'a> {
    Null,
    Int(i64),
    Text(Cow<'a, str>),
}

impl<'a> From<&'a str> for Cell<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl<'a> From<&'a String> for Cell<'a> {
    fn from(text: &'a String) -> Self {
        Self::from(text.as_str())
    }
}

impl From<String> for Cell<'_> {
    fn from(text: String) -> Self {
        Self::Text(Cow::Owned(text))
    }
}

impl<'a> From<&'a Option<String>> for Cell<'a> {
    fn from(text: &'a Option<String>) -> Self {
        text.as_deref().map_or(Self::Null, Self::from)
    }
}

impl From<i64> for Cell<'_> {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl ToSql for Cell<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self {
            Self::Null => ToSqlOutput::Owned(Value::Null),
            Self::Int(number) => ToSqlOutput::Owned(Value::Integer(*number)),
            Self::Text(text) => ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())),
        })
    }
}

impl FromSql for Cell<'static> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        match value {
            ValueRef::Null => Ok(Self::Null),
            ValueRef::Integer(number) => Ok(Self::Int(number)),
            ValueRef::Text(_) => value.as_str().map(|text| Self::from(text.to_owned())),
            ValueRef::Real(_) | ValueRef::Blob(_) => Err(FromSqlError::InvalidType),
        }
    }
}

impl fmt::Display for Cell<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("empty"),
            Self::Int(number) => number.fmt(f),
            Self::Text(text) => write!(f, "`{}`", text.escape_debug()),
        }
    }
}

/// Columns by name.
pub(super) type Cells<'a> = [(&'static str, Cell<'a>)];

impl Table {
    /// The column that a record is found by.
    pub(super) fn index(&self) -> &'static str {
        match self.found_by {
            FoundBy::Key => self.key,
            FoundBy::Digest => "digest",
        }
    }

    /// What that column holds for a record.
    pub(super) fn place<'a>(&self, id: &'a str) -> Place<'a> {
        match self.found_by {
            FoundBy::Key => Place::Key(id),
            FoundBy::Digest => {
                let mut half = [0; 16];
                half.copy_from_slice(&Sha256::digest(id.as_bytes())[..16]);
                Place::Digest(half)
            }
        }
    }

    /// The records with this identity: one or none.
    pub(super) fn find<T>(
        &self,
        conn: &Connection,
        id: &str,
        read: impl Fn(&Row<'_>) -> Result<T>,
    ) -> Result<Option<T>> {
        let sql = format!("SELECT * FROM {} WHERE {} = ?1", self.name, self.index());
        Ok(collect(conn, &sql, [self.place(id)], read)?.pop())
    }

    /// The cell as the journal holds it.
    pub(super) fn public<'a>(&self, column: &str, cell: Cell<'a>) -> Cell<'a> {
        match cell {
            Cell::Text(text) if self.digested.contains(&column) => {
                Cell::from(format!("sha256:{}", hex::encode(Sha256::digest(text.as_bytes()))))
            }
            cell => cell,
        }
    }
}

/// Canonical JSON of an object: keys sorted, no spaces.
pub(super) fn canonical(object: &BTreeMap<&str, Cell<'_>>) -> Result<String> {
    serde_json::to_string(object).map_err(|error| LedgerError::Database(error.to_string()))
}

impl Batch<'_> {
    /// Makes a record and its row in the journal. A record that is there already is made anew: all of its columns
    /// have to be given.
    pub(super) fn insert(&mut self, table: &Table, id: &str, cells: &Cells<'_>) -> Result<()> {
        self.journal(table, table.made_by, id, cells)?;
        let digest = (table.found_by == FoundBy::Digest).then_some("digest");
        let mut columns: Vec<&str> = digest.into_iter().chain([table.key]).collect();
        columns.extend(cells.iter().map(|(column, _)| *column));
        columns.extend(["created_at", "updated_at", "seq"]);
        let place = table.place(id);
        let mut values: Vec<&dyn ToSql> = Vec::with_capacity(columns.len());
        if digest.is_some() {
            values.push(&place);
        }
        values.push(&id);
        values.extend(cells.iter().map(|(_, cell)| cell as &dyn ToSql));
        values.extend([&self.now as &dyn ToSql, &self.now, &self.head.seq]);
        let sql = upsert(table, &columns);
        self.conn.prepare_cached(&sql)?.execute(values.as_slice())?;
        Ok(())
    }

    /// Runs a statement that makes or changes one record, and says whether it did. Then [`Self::journal`] must follow,
    /// and the record's `seq` is [`Self::next_seq`] as it was before.
    pub(super) fn execute(&mut self, sql: &str, values: impl rusqlite::Params) -> Result<bool> {
        Ok(self.conn.prepare_cached(sql)?.execute(values)? != 0)
    }

    /// The number of the journal's next row.
    pub(super) fn next_seq(&self) -> i64 {
        self.head.seq + 1
    }

    /// Changes columns of a record, with a row in the journal.
    pub(super) fn update(&mut self, table: &Table, kind: Kind, id: &str, cells: &Cells<'_>) -> Result<()> {
        self.journal(table, kind, id, cells)?;
        let changes = cells.iter().map(|(column, _)| format!("{column} = ?, ")).collect::<String>();
        let sql =
            format!("UPDATE {} SET {changes}updated_at = ?, seq = ? WHERE {} = ?", table.name, table.index());
        let place = table.place(id);
        let mut values: Vec<&dyn ToSql> = cells.iter().map(|(_, cell)| cell as &dyn ToSql).collect();
        values.extend([&self.now as &dyn ToSql, &self.head.seq, &place]);
        match self.conn.prepare_cached(&sql)?.execute(values.as_slice())? {
            1 => Ok(()),
            _ => Err(LedgerError::NotFound { what: table.what, id: id.to_owned() }),
        }
    }

    /// The journal's row of a change that was made by [`Self::execute`].
    pub(super) fn journal(&mut self, table: &Table, kind: Kind, id: &str, cells: &Cells<'_>) -> Result<()> {
        let told = cells.iter().filter(|(column, _)| !table.derived.contains(column));
        let body = told.map(|(column, cell)| (*column, table.public(column, cell.clone()))).collect();
        self.append(kind, id, &canonical(&body)?)
    }
}

fn upsert(table: &Table, columns: &[&str]) -> String {
    let places = vec!["?"; columns.len()].join(", ");
    let anew = columns.iter().map(|c| format!("{c} = excluded.{c}")).collect::<Vec<_>>().join(", ");
    format!(
        "INSERT INTO {} ({}) VALUES ({places}) ON CONFLICT ({}) DO UPDATE SET {anew}",
        table.name,
        columns.join(", "),
        table.index()
    )
}
