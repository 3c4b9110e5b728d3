//! The journal: one row for every change of money or right, chained by hashes, never changed.

use rusqlite::{Connection, Row, params};
use sha2::{Digest, Sha256};

use super::purchases::time;
use super::{Batch, Result, collect};
use crate::JournalRow;

/// What a hash of the chain begins with, so that it can be mistaken for no other hash.
const DOMAIN: &[u8] = b"farthing ledger journal v1";

/// What happened. The name stands in the journal for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Reserved,
    Denied,
    Signed,
    Responded,
    Finished,
    Claimed,
    ClaimMoved,
    SettlementBegun,
    SettlementMoved,
    Broadcast,
    Call,
    CallDenied,
    CallEnded,
    Frozen,
    Thawed,
    ApprovalAsked,
    ApprovalDecided,
    ApprovalUsed,
    PolicyLoaded,
    PolicyRefused,
}

impl Kind {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Reserved => "reserved",
            Self::Denied => "denied",
            Self::Signed => "signed",
            Self::Responded => "responded",
            Self::Finished => "finished",
            Self::Claimed => "claimed",
            Self::ClaimMoved => "claim_moved",
            Self::SettlementBegun => "settlement_begun",
            Self::SettlementMoved => "settlement_moved",
            Self::Broadcast => "broadcast",
            Self::PolicyLoaded => "policy_loaded",
            Self::PolicyRefused => "policy_refused",
            Self::Call => "call",
            Self::CallDenied => "call_denied",
            Self::CallEnded => "call_ended",
            Self::Frozen => "frozen",
            Self::Thawed => "thawed",
            Self::ApprovalAsked => "approval_asked",
            Self::ApprovalDecided => "approval_decided",
            Self::ApprovalUsed => "approval_used",
        }
    }
}

/// The journal's last row. Kept in a row of its own too, so that a journal that was cut off is noticed, and so that
/// the last recorded time is known to every process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) seq: i64,
    pub(super) at: i64,
    pub(super) hash: [u8; 32],
}

impl Head {
    /// The head of a journal without rows.
    pub(super) const EMPTY: Self = Self { seq: 0, at: 0, hash: [0; 32] };

    pub(super) fn read(conn: &Connection) -> Result<Self> {
        let mut statement = conn.prepare_cached("SELECT seq, at, hash FROM head WHERE one = 1")?;
        let head = statement
            .query_row([], |row| Ok(Self { seq: row.get(0)?, at: row.get(1)?, hash: row.get(2)? }))?;
        Ok(head)
    }

    pub(super) fn write(&self, conn: &Connection) -> Result<()> {
        conn.prepare_cached("UPDATE head SET seq = ?1, at = ?2, hash = ?3 WHERE one = 1")?
            .execute(params![self.seq, self.at, self.hash])?;
        Ok(())
    }

    /// The head after a further row.
    pub(super) fn next(&self, at: i64, kind: &str, id: &str, body: &str) -> Self {
        let seq = self.seq + 1;
        Self { seq, at, hash: link(seq, at, kind, id, body, &self.hash) }
    }
}

impl Batch<'_> {
    /// Appends a row. `body` is canonical JSON: keys sorted, no spaces.
    pub(super) fn append(&mut self, kind: Kind, id: &str, body: &str) -> Result<()> {
        let next = self.head.next(self.now, kind.as_str(), id, body);
        self.conn
            .prepare_cached(
                "INSERT INTO journal (seq, at, kind, id, body, prev, hash) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .execute(params![next.seq, next.at, kind.as_str(), id, body, self.head.hash, next.hash])?;
        self.head = next;
        Ok(())
    }
}

/// The hash that chains a row to all before it: every part with its length, so that no two rows read the same.
fn link(seq: i64, at: i64, kind: &str, id: &str, body: &str, prev: &[u8; 32]) -> [u8; 32] {
    let mut hash = Sha256::new();
    let parts: [&[u8]; 7] = [
        DOMAIN,
        &seq.to_be_bytes(),
        &at.to_be_bytes(),
        kind.as_bytes(),
        id.as_bytes(),
        body.as_bytes(),
        prev,
    ];
    for part in parts {
        hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

/// A row as it stands in the journal, whatever was done to it.
pub(super) struct Entry {
    pub(super) seq: i64,
    pub(super) at: i64,
    pub(super) kind: String,
    pub(super) id: String,
    pub(super) body: String,
    pub(super) prev: Vec<u8>,
    pub(super) hash: Vec<u8>,
}

impl Entry {
    /// The columns that [`Self::read`] reads.
    pub(super) const COLUMNS: &str = "seq, at, kind, id, body, prev, hash";

    pub(super) fn read(row: &Row<'_>) -> Result<Self> {
        Ok(Self {
            seq: row.get(0)?,
            at: row.get(1)?,
            kind: row.get(2)?,
            id: row.get(3)?,
            body: row.get(4)?,
            prev: row.get(5)?,
            hash: row.get(6)?,
        })
    }
}

/// The rows after `seq`, at most so many, oldest first.
pub(super) fn rows(conn: &Connection, seq: i64, limit: u32) -> Result<Vec<JournalRow>> {
    let sql = format!("SELECT {} FROM journal WHERE seq > ?1 ORDER BY seq LIMIT ?2", Entry::COLUMNS);
    collect(conn, &sql, params![seq, limit], |row| {
        let Entry { seq, at, kind, id, body, prev, hash } = Entry::read(row)?;
        let (prev, hash) = (hex::encode(prev), hex::encode(hash));
        Ok(JournalRow { seq, at: time(at)?, kind, id, body, prev, hash })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_is_hashed_and_no_two_rows_read_the_same() {
        let zero = [0; 32];
        let hashes = [
            link(1, 2, "kind", "id", "{}", &zero),
            link(2, 2, "kind", "id", "{}", &zero),
            link(1, 3, "kind", "id", "{}", &zero),
            link(1, 2, "kin", "did", "{}", &zero),
            link(1, 2, "kind", "i", "d{}", &zero),
            link(1, 2, "kind", "id", "{ }", &zero),
            link(1, 2, "kind", "id", "{}", &[1; 32]),
        ];
        for (i, a) in hashes.iter().enumerate() {
            assert!(hashes.iter().skip(i + 1).all(|b| a != b), "row {i}");
        }
    }

    #[test]
    fn the_encoding_does_not_change() {
        // Computed apart, with Python's hashlib: files of released versions hang on it.
        let hash = link(1, 1_700_000_000_000, "claimed", "k", "{}", &[0; 32]);
        assert_eq!(hex::encode(hash), "8f9c78caa26865120fe747a1f4bde278121436841feded3d6f4761aff1e1197b");
    }
}
