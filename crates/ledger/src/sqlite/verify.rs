use rusqlite::Connection;

use super::Result;
use crate::VerifyReport;

pub(super) fn verify(_conn: &Connection) -> Result<VerifyReport> {
    Ok(VerifyReport { rows: 0, head: String::new(), problems: Vec::new() })
}
