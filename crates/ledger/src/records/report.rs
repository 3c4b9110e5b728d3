use serde::{Deserialize, Serialize};

/// What `farthing ledger verify` found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifyReport {
    /// How many rows the journal has.
    pub rows: u64,
    /// The last row's hash, in hex: keep it elsewhere to notice a journal that was cut off.
    pub head: String,
    /// Everything that does not fit, in words that name the row. Empty when the ledger is whole.
    pub problems: Vec<String>,
}
