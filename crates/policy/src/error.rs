use std::fmt;

/// Where something stands in a policy's text. Both count from 1; columns count characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

impl Place {
    /// Where a text begins.
    pub(crate) const START: Self = Self { line: 1, column: 1 };

    /// An error at this place.
    pub(crate) fn error(self, message: impl Into<String>) -> PolicyError {
        PolicyError { line: self.line, column: self.column, message: message.into() }
    }
}

/// Why a policy's text was refused, and where. Nothing of such a policy is in force.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {message}")]
pub struct PolicyError {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// What is wrong there, and what would be right.
    pub message: String,
}

impl PolicyError {
    /// `policy.yaml:12:5: …`, the form that editors and terminals make a link of.
    #[must_use]
    pub fn in_file(&self, file: impl fmt::Display) -> String {
        format!("{file}:{}:{}: {}", self.line, self.column, self.message)
    }
}

/// Cuts text from outside to a length and alphabet that is safe to print.
pub(crate) fn printable(text: &str) -> String {
    const MAX: usize = 80;
    let mut out: String = text.chars().take(MAX).flat_map(char::escape_debug).collect();
    if text.chars().nth(MAX).is_some() {
        out.push('…');
    }
    out
}
