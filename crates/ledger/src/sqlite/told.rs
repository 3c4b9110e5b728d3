//! Denials as the journal tells them.

use farthing_policy::{Denial, DenialCode};
use serde::Serialize;

use super::table::Cell;
use super::{Result, json};

/// What a rule in shadow mode would have denied. The fields are in the order of their names.
#[derive(Serialize)]
pub(super) struct Told<'a> {
    code: DenialCode,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<&'a str>,
    message: &'a str,
    rule: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    used: Option<&'a str>,
}

impl<'a> Told<'a> {
    pub(super) fn of(denial: &'a Denial) -> Self {
        Self {
            code: denial.code,
            limit: denial.limit.as_deref(),
            message: &denial.message,
            rule: &denial.rule,
            used: denial.used.as_deref(),
        }
    }
}

/// A denial as a part of a row's body.
pub(super) fn cells(denial: &Denial) -> Result<[(&'static str, Cell<'_>); 6]> {
    let approval = denial.approval.as_ref().map_or(Cell::Null, |approval| Cell::from(&approval.id));
    Ok([
        ("approval", approval),
        // The name without JSON's quotes.
        ("code", Cell::from(json(&denial.code)?.trim_matches('"').to_owned())),
        ("limit", Cell::from(&denial.limit)),
        ("message", Cell::from(&denial.message)),
        ("rule", Cell::from(&denial.rule)),
        ("used", Cell::from(&denial.used)),
    ])
}
