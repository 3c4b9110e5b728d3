//! The schema, in numbered steps. `PRAGMA user_version` says how many a file has taken.

use rusqlite::{Connection, Row, TransactionBehavior, params};

use super::host::host;
use super::{Result, collect};
use crate::LedgerError;

/// Marks the file as a ledger: `Frth`.
const APPLICATION_ID: i32 = 0x4672_7468;

/// Step n brings a file from schema n to n + 1. A step that was released is never changed.
const STEPS: [&str; 3] = [FIRST, SECOND, THIRD];

/// The first schema in which purchases have a column for the host.
const WITH_HOSTS: u32 = 3;

/// Money is text, in digits: SQLite's integers have 64 bits. Times are Unix milliseconds. `seq` is the journal's row
/// that last changed a record. `digest` is the first half of a payment key's SHA-256: an index of it is a tenth of an
/// index of the keys, which come in no order, so that writing one touches fewer pages.
const FIRST: &str = "
CREATE TABLE journal (
    seq INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    body TEXT NOT NULL,
    prev BLOB NOT NULL,
    hash BLOB NOT NULL
) STRICT;
CREATE TRIGGER journal_no_update BEFORE UPDATE ON journal
    BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
CREATE TRIGGER journal_no_delete BEFORE DELETE ON journal
    BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
-- INSERT OR REPLACE would delete without asking the trigger above.
CREATE TRIGGER journal_no_replace BEFORE INSERT ON journal
    WHEN EXISTS (SELECT 1 FROM journal WHERE seq = NEW.seq)
    BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;

CREATE TABLE head (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    seq INTEGER NOT NULL,
    at INTEGER NOT NULL,
    hash BLOB NOT NULL
) STRICT;
INSERT INTO head VALUES (1, 0, 0, zeroblob(32));

CREATE TABLE purchases (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    method TEXT NOT NULL,
    url TEXT NOT NULL,
    request_digest TEXT NOT NULL,
    protocol TEXT NOT NULL,
    scheme TEXT NOT NULL,
    network TEXT NOT NULL,
    asset TEXT NOT NULL,
    amount TEXT NOT NULL,
    value TEXT NOT NULL,
    pay_to TEXT NOT NULL,
    payer TEXT NOT NULL,
    offer TEXT NOT NULL,
    policy_hash TEXT NOT NULL,
    scopes TEXT NOT NULL,
    state TEXT NOT NULL,
    detail TEXT,
    payment_key TEXT,
    header_name TEXT,
    header_value TEXT,
    valid_before INTEGER,
    response_status INTEGER,
    response_type TEXT,
    response_digest TEXT,
    response_bytes INTEGER,
    response_file TEXT,
    response_settlement TEXT,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    seq INTEGER NOT NULL
) STRICT;
CREATE INDEX purchases_unresolved ON purchases (number) WHERE state IN ('reserved', 'signed', 'unknown');

-- What was used in a scope: in each second, minute, hour and day, and in all. `unit` is the bucket's seconds, 0 for all.
CREATE TABLE buckets (
    scope TEXT NOT NULL,
    unit INTEGER NOT NULL,
    start INTEGER NOT NULL,
    amount TEXT NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (scope, unit, start)
) STRICT, WITHOUT ROWID;

CREATE TABLE claims (
    number INTEGER PRIMARY KEY,
    digest BLOB NOT NULL UNIQUE,
    payment_key TEXT NOT NULL,
    route TEXT NOT NULL,
    request TEXT NOT NULL,
    payer TEXT NOT NULL,
    pay_to TEXT NOT NULL,
    network TEXT NOT NULL,
    asset TEXT NOT NULL,
    amount TEXT NOT NULL,
    state TEXT NOT NULL,
    detail TEXT,
    answer INTEGER,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    seq INTEGER NOT NULL
) STRICT;
CREATE INDEX claims_open ON claims (number) WHERE state IN ('taken', 'settling');

CREATE TABLE settlements (
    number INTEGER PRIMARY KEY,
    digest BLOB NOT NULL UNIQUE,
    payment_key TEXT NOT NULL,
    binding TEXT NOT NULL,
    payment TEXT NOT NULL,
    requirements TEXT NOT NULL,
    pay_to TEXT NOT NULL,
    network TEXT NOT NULL,
    asset TEXT NOT NULL,
    amount TEXT NOT NULL,
    state TEXT NOT NULL,
    tx TEXT,
    payer TEXT,
    reason TEXT,
    message TEXT,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    seq INTEGER NOT NULL
) STRICT;
CREATE INDEX settlements_pending ON settlements (number) WHERE state = 'pending';

CREATE TABLE broadcasts (
    number INTEGER PRIMARY KEY,
    tx TEXT NOT NULL UNIQUE,
    network TEXT NOT NULL,
    signer TEXT NOT NULL,
    nonce INTEGER NOT NULL,
    raw TEXT NOT NULL,
    payments TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    seq INTEGER NOT NULL
) STRICT;
-- Which payments are in which transaction, by their numbers: an index of `broadcasts.payments`.
CREATE TABLE broadcast_payments (
    settlement INTEGER NOT NULL REFERENCES settlements (number),
    broadcast INTEGER NOT NULL REFERENCES broadcasts (number),
    PRIMARY KEY (settlement, broadcast)
) STRICT, WITHOUT ROWID;
";

/// Agents: their names on purchases, the end of their calls, approvals, and the freeze. `valid` is how many milliseconds
/// a decision on an approval holds.
const SECOND: &str = "
ALTER TABLE purchases ADD COLUMN agent TEXT;
ALTER TABLE purchases ADD COLUMN session TEXT;
ALTER TABLE purchases ADD COLUMN shadowed TEXT;

-- What the end of a call may give back; the row goes with the end. `seq` is the journal's row of the call.
CREATE TABLE holds (
    call TEXT PRIMARY KEY,
    seq INTEGER NOT NULL,
    at INTEGER NOT NULL,
    charges TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE freezes (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    state TEXT NOT NULL,
    why TEXT NOT NULL,
    frozen_by TEXT NOT NULL,
    thawed_by TEXT,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    seq INTEGER NOT NULL
) STRICT;

CREATE TABLE approvals (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    rule TEXT NOT NULL,
    terms TEXT NOT NULL,
    terms_hash TEXT NOT NULL,
    policy_hash TEXT NOT NULL,
    state TEXT NOT NULL,
    valid INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    decided_at INTEGER,
    decided_by TEXT,
    used_by TEXT,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    seq INTEGER NOT NULL
) STRICT;
CREATE INDEX approvals_open ON approvals (terms_hash, policy_hash, number)
    WHERE state IN ('pending', 'approved', 'denied');
CREATE INDEX approvals_pending ON approvals (expires_at) WHERE state = 'pending';
";

/// Lists and sums of purchases by what people ask for. Every index ends with the number, in which they are listed.
const THIRD: &str = "
-- The host of the URL, as budgets name it; it follows from the URL, and the journal does not have it.
ALTER TABLE purchases ADD COLUMN host TEXT;
CREATE INDEX purchases_at ON purchases (created_at);
CREATE INDEX purchases_host ON purchases (host, number);
CREATE INDEX purchases_agent ON purchases (agent, number) WHERE agent IS NOT NULL;
CREATE INDEX purchases_network ON purchases (network, number);
CREATE INDEX purchases_not_paid ON purchases (number) WHERE state = 'not_paid';
CREATE INDEX purchases_end ON purchases ((substr(id, -1, 1) || substr(id, -2, 1) || substr(id, -3, 1)
    || substr(id, -4, 1) || substr(id, -5, 1) || substr(id, -6, 1)));
-- All that a sum needs.
CREATE INDEX purchases_spending ON purchases (number, created_at, host, agent, network, state, value);
";

/// Brings the file to the newest schema. Many processes may try at once: one does it.
pub(super) fn migrate(conn: &mut Connection, path: &str) -> Result<()> {
    let known = u32::try_from(STEPS.len()).unwrap_or(u32::MAX);
    if version(conn)? == known {
        return belongs(conn, path);
    }
    let transaction = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found = version(&transaction)?;
    if found > known {
        return Err(LedgerError::Newer { path: path.to_owned(), found, known });
    }
    if found == 0 {
        is_empty(&transaction, path)?;
    } else {
        belongs(&transaction, path)?;
    }
    for step in STEPS.iter().skip(usize::try_from(found).unwrap_or(usize::MAX)) {
        transaction.execute_batch(step)?;
    }
    if found < WITH_HOSTS {
        fill_hosts(&transaction)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", known)?;
    transaction.commit()?;
    Ok(())
}

/// Writes the hosts of purchases that are older than their column.
fn fill_hosts(conn: &Connection) -> Result<()> {
    let urls = |row: &Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?));
    for (number, url) in collect(conn, "SELECT number, url FROM purchases", [], urls)? {
        conn.prepare_cached("UPDATE purchases SET host = ?2 WHERE number = ?1")?
            .execute(params![number, host(&url)])?;
    }
    Ok(())
}

fn version(conn: &Connection) -> Result<u32> {
    Ok(conn.pragma_query_value(None, "user_version", |row| row.get(0))?)
}

fn belongs(conn: &Connection, path: &str) -> Result<()> {
    let found: i32 = conn.pragma_query_value(None, "application_id", |row| row.get(0))?;
    if found == APPLICATION_ID { Ok(()) } else { Err(foreign(path)) }
}

fn is_empty(conn: &Connection, path: &str) -> Result<()> {
    let objects: i64 = conn.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if objects == 0 { Ok(()) } else { Err(foreign(path)) }
}

fn foreign(path: &str) -> LedgerError {
    LedgerError::Open {
        path: path.to_owned(),
        why: "it is a database of another program; name another file".to_owned(),
    }
}
