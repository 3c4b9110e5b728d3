use std::fmt;

use crate::error::Place;

/// Something in a policy that has no effect, or not the effect that somebody may expect. The policy is in force all
/// the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyWarning {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// What has no effect, and why.
    pub message: String,
}

impl PolicyWarning {
    /// `policy.yaml:12:5: …`, the form that editors and terminals make a link of.
    #[must_use]
    pub fn in_file(&self, file: impl fmt::Display) -> String {
        format!("{file}:{}:{}: {}", self.line, self.column, self.message)
    }
}

impl fmt::Display for PolicyWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: {}", self.line, self.column, self.message)
    }
}

impl Place {
    /// A warning at this place.
    pub(crate) fn warning(self, message: impl Into<String>) -> PolicyWarning {
        PolicyWarning { line: self.line, column: self.column, message: message.into() }
    }
}
