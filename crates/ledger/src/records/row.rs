use farthing_ambient::Timestamp;
use serde::{Deserialize, Serialize};

/// A row of the journal, as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalRow {
    /// Its number, from 1.
    pub seq: i64,
    /// When it was written.
    pub at: Timestamp,
    /// What happened: `reserved`, `call_denied`.
    pub kind: String,
    /// What it happened to.
    pub id: String,
    /// The rest, as canonical JSON.
    pub body: String,
    /// The hash of the row before it, in hex.
    pub prev: String,
    /// The hash that chains this row to all before it, in hex.
    pub hash: String,
}
