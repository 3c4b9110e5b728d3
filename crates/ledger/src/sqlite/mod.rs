//! The record in a SQLite file: WAL, `synchronous=FULL`, many processes on one file.

mod approvals;
mod budget;
mod calls;
mod claims;
mod counters;
mod freeze;
mod host;
mod journal;
mod migrate;
mod open;
mod place;
mod purchases;
mod rebuild;
mod replay;
mod select;
mod settlements;
mod spending;
mod table;
#[cfg(test)]
mod tests;
mod told;
mod verify;

use std::path::Path;
use std::sync::Arc;

use farthing_ambient::{Clock, fault};
use rusqlite::{Connection, Row};

use crate::LedgerError;
use crate::marker::Marker;
use crate::op::{Answer, Read, Write};
use crate::queue::Backend;
use crate::untold::Untold;
use freeze::Switch;
use journal::Head;
use place::Place;

type Result<T> = std::result::Result<T, LedgerError>;

/// One connection, used by one thread.
pub(crate) struct Sqlite {
    conn: Connection,
    place: Option<Place>,
    clock: Arc<dyn Clock>,
    marker: Arc<Marker>,
    untold: Arc<Untold>,
}

impl Sqlite {
    pub(crate) fn open(path: &Path, clock: Arc<dyn Clock>) -> Result<Self> {
        let conn = open::file(path)?;
        let marker = Arc::new(Marker::beside(path));
        // A power cut can take the marker and leave the freeze; so can a copy of the ledger alone. What cannot be read
        // counts as frozen, and hinders nobody from opening the ledger to verify it.
        if !matches!(freeze::find(&conn), Ok(None)) {
            marker.set()?;
        }
        Ok(Self { conn, place: Some(Place::of(path)), clock, marker, untold: Arc::default() })
    }

    pub(crate) fn in_memory(clock: Arc<dyn Clock>) -> Result<Self> {
        let marker = Arc::new(Marker::in_memory());
        Ok(Self { conn: open::memory()?, place: None, clock, marker, untold: Arc::default() })
    }

    /// The sign that everything may be frozen.
    pub(crate) fn marker(&self) -> Arc<Marker> {
        Arc::clone(&self.marker)
    }

    /// The approvals that nobody was told of.
    pub(crate) fn untold(&self) -> Arc<Untold> {
        Arc::clone(&self.untold)
    }

    /// The time that the next row would have.
    fn now(&self) -> Result<i64> {
        Ok(self.clock.now().as_millisecond().max(Head::read(&self.conn)?.at))
    }

    /// Runs `work` in a transaction that ends whatever happens.
    fn transaction<T>(&self, begin: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        run(&self.conn, begin)?;
        let done = work();
        // After some errors (disk full) SQLite has rolled back by itself.
        if !self.conn.is_autocommit()
            && let Err(error) = run(&self.conn, "ROLLBACK")
        {
            tracing::error!(%error, "a transaction could not be rolled back");
        }
        done
    }
}

impl Backend for Sqlite {
    fn write(&mut self, group: &[Write]) -> Result<Vec<Result<Answer>>> {
        self.place.as_ref().map_or(Ok(()), Place::check)?;
        self.transaction("BEGIN IMMEDIATE", || {
            let mut batch = Batch::begin(self)?;
            let answers = group.iter().map(|op| batch.attempt(op)).collect::<Result<Vec<_>>>()?;
            batch.commit()?;
            Ok(answers)
        })
    }

    fn read(&mut self, question: &Read) -> Result<Answer> {
        self.transaction("BEGIN", || self.answer(question))
    }
}

impl Sqlite {
    fn answer(&self, question: &Read) -> Result<Answer> {
        let conn = &self.conn;
        Ok(match question {
            Read::Purchase(id) => Answer::Purchase(Box::new(purchases::get(conn, id)?)),
            Read::PurchaseRow(id) => Answer::Journal(purchases::row(conn, id)?),
            Read::Purchases(filter) => Answer::Purchases(purchases::list(conn, filter)?),
            Read::Spending { filter, by } => Answer::Spending(spending::add_up(conn, filter, by)?),
            Read::Usage(limits) => {
                let now = self.now()?;
                let usage = limits.iter().map(|limit| budget::usage_where_it_applies(conn, limit, now));
                Answer::Usage(usage.collect::<Result<_>>()?)
            }
            Read::Scopes(start) => Answer::Scopes(budget::used_scopes(conn, start)?),
            Read::Claim(key) => Answer::Claim(claims::find(conn, key)?.map(Box::new)),
            Read::OpenClaims => Answer::Claims(claims::open(conn)?),
            Read::Settlement(key) => Answer::Settlement(settlements::find(conn, key)?),
            Read::PendingSettlements => Answer::Settlements(settlements::pending(conn)?),
            Read::OpenBroadcasts => Answer::Broadcasts(settlements::open_broadcasts(conn)?),
            Read::Frozen => Answer::Frozen(freeze::find(conn)?),
            Read::Approval(id) => Answer::Approval(Box::new(approvals::get(conn, id, self.now()?)?)),
            Read::Approvals(filter) => Answer::Approvals(approvals::list(conn, filter, self.now()?)?),
            Read::CountPending => Answer::Count(approvals::count_pending(conn, self.now()?)?),
            Read::Counters(counters) => Answer::Usage(counters::usage(conn, counters, self.now()?, true)?),
            Read::JournalEnd => Answer::JournalEnd(Head::read(conn)?.seq),
            Read::Journal { after, limit } => Answer::Journal(journal::rows(conn, *after, *limit)?),
            Read::Verify { head } => Answer::Report(verify::verify(conn, head.as_deref())?),
        })
    }
}

/// One transaction under way: the journal's end as it will be, and the time of the operation at hand.
struct Batch<'a> {
    conn: &'a Connection,
    clock: &'a dyn Clock,
    marker: &'a Marker,
    untold: &'a Untold,
    head: Head,
    committed: Head,
    now: i64,
    /// Whether everything is frozen, once somebody has asked.
    switch: Option<Switch>,
}

impl<'a> Batch<'a> {
    fn begin(sqlite: &'a Sqlite) -> Result<Self> {
        let Sqlite { conn, clock, marker, untold, .. } = sqlite;
        let head = Head::read(conn)?;
        let (now, committed) = (head.at, head.clone());
        Ok(Self { conn, clock: &**clock, marker, untold, now, committed, head, switch: None })
    }

    /// Does one operation so that its failure leaves no trace. The outer error is the whole transaction's.
    fn attempt(&mut self, op: &Write) -> Result<Result<Answer>> {
        // Time never goes back, whatever the clock does and whichever process wrote last: a window that was
        // left is not entered again.
        self.now = self.clock.now().as_millisecond().max(self.head.at);
        if op.may_refuse_halfway() { self.attempt_undoably(op) } else { self.attempt_at_once(op) }
    }

    /// For an operation that refuses before it writes: there is nothing to undo. Should the database fail in the middle
    /// of it, the whole transaction fails.
    fn attempt_at_once(&mut self, op: &Write) -> Result<Result<Answer>> {
        let before = self.conn.total_changes();
        let answer = self.perform(op);
        match answer {
            Err(error) if self.conn.is_autocommit() || self.conn.total_changes() != before => Err(error),
            answer => Ok(answer),
        }
    }

    /// A savepoint costs a copy of every page that is changed after it.
    fn attempt_undoably(&mut self, op: &Write) -> Result<Result<Answer>> {
        let before = self.head.clone();
        run(self.conn, "SAVEPOINT op")?;
        let answer = self.perform(op);
        if let Err(error) = &answer {
            if self.conn.is_autocommit() {
                return Err(error.clone());
            }
            run(self.conn, "ROLLBACK TO op")?;
            self.head = before;
        }
        run(self.conn, "RELEASE op")?;
        Ok(answer)
    }

    fn perform(&mut self, op: &Write) -> Result<Answer> {
        match op {
            Write::Reserve { purchase, needs } => {
                purchases::reserve(self, purchase, needs).map(Answer::Reserved)
            }
            Write::Signed { id, signed } => purchases::signed(self, id, signed).map(|()| Answer::Done),
            Write::Responded { id, response } => {
                purchases::responded(self, id, response).map(|()| Answer::Done)
            }
            Write::Finish { id, outcome } => purchases::finish(self, id, outcome).map(|()| Answer::Done),
            Write::ReleaseUnsigned { id, why } => {
                purchases::release_unsigned(self, id, why).map(|()| Answer::Done)
            }
            Write::Claim(claim) => claims::claim(self, claim).map(Answer::Claimed),
            Write::MoveClaim { key, seen, state, answer } => {
                claims::advance(self, key, *seen, state, *answer).map(Answer::Moved)
            }
            Write::BeginSettlement(settlement) => settlements::begin(self, settlement).map(Answer::Started),
            Write::Broadcast(record) => settlements::broadcast(self, record).map(|()| Answer::Done),
            Write::UpdateSettlement { key, state } => {
                settlements::update(self, key, state).map(|()| Answer::Done)
            }
            Write::Admit { call, plan } => calls::admit(self, call, plan).map(Answer::Admitted),
            Write::EndCall { id, end } => calls::end(self, id, *end).map(|()| Answer::Done),
            Write::Note { call, decision } => calls::note(self, call, decision).map(|()| Answer::Done),
            Write::Freeze { why, by } => freeze::freeze(self, why, by).map(|()| Answer::Done),
            Write::Thaw { by } => freeze::thaw(self, by).map(|()| Answer::Done),
            Write::Unmark => freeze::unmark(self).map(|()| Answer::Done),
            Write::Decide { id, approve, by } => {
                approvals::decide(self, id, *approve, by).map(|()| Answer::Done)
            }
            Write::PolicyRead { server, change } => {
                calls::policy_read(self, server, change).map(|()| Answer::Done)
            }
        }
    }

    fn commit(self) -> Result<()> {
        if self.head != self.committed {
            self.head.write(self.conn)?;
        }
        fault::point("ledger.before_commit");
        run(self.conn, "COMMIT")?;
        fault::point("ledger.after_commit");
        Ok(())
    }
}

fn run(conn: &Connection, sql: &str) -> Result<()> {
    conn.prepare_cached(sql)?.execute([])?;
    Ok(())
}

/// JSON for a column or for the journal's body.
fn json(value: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|error| LedgerError::Database(error.to_string()))
}

/// Every row of a query, read by `read`.
fn collect<T>(
    conn: &Connection,
    sql: &str,
    parameters: impl rusqlite::Params,
    read: impl Fn(&Row<'_>) -> Result<T>,
) -> Result<Vec<T>> {
    let mut statement = conn.prepare_cached(sql)?;
    let mut rows = statement.query(parameters)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(read(row)?);
    }
    Ok(found)
}

impl From<rusqlite::Error> for LedgerError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode;
        let help = match error.sqlite_error_code() {
            None => return Self::Corrupt(error.to_string()),
            Some(ErrorCode::DiskFull) => "the disk is full; free some space and try again",
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                "another process kept it locked for too long; try again"
            }
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
                "it may not be written; check who owns the file and its folder"
            }
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                "the file is damaged; keep it, and restore a copy"
            }
            Some(ErrorCode::SystemIoFailure) => "reading or writing the file failed; check the disk",
            Some(_) => "this is a defect of farthing, or the file was changed by another program",
        };
        Self::Database(format!("{help} ({error})"))
    }
}
