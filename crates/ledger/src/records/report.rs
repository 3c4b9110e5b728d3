use serde::{Deserialize, Serialize};

/// What `farthing ledger verify` found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifyReport {
    /// How many rows the journal has.
    pub rows: u64,
    /// The last row's hash, in hex: keep it elsewhere to notice a journal that was cut off.
    pub head: String,
    /// How many rows came after the one whose hash was asked for ([`Ledger::verify_since`](crate::Ledger::verify_since));
    /// `None` when no row has it, or none was asked for.
    pub rows_since: Option<u64>,
    /// Everything that does not fit, in words that name the row. Empty when the ledger is whole.
    pub problems: Vec<String>,
}
