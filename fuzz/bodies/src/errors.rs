//! How an error must read, whatever input it is about.

use std::fmt::Display;

/// More than this is the input itself, not a message about it.
const MAX_BYTES: usize = 2_000;

/// A message is there, is short, and holds nothing that moves a terminal's cursor or forges a line of a log.
pub(crate) fn reads_well(error: &dyn Display) -> String {
    let text = error.to_string();
    assert!(!text.trim().is_empty(), "an error without a message");
    assert!(
        text.len() <= MAX_BYTES,
        "a message of {} bytes: {}",
        text.len(),
        &text[..text.floor_char_boundary(300)]
    );
    assert!(!text.contains(char::is_control), "control characters in a message: {text:?}");
    text
}

/// A place counts from 1 and lies in the text, or just behind its end.
pub(crate) fn lies_in(text: &str, line: u64, column: u64) {
    // Every kind of line break that some YAML reader knows.
    let breaks = text.matches(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']).count();
    assert!(line >= 1 && column >= 1, "{line}:{column} does not count from 1");
    assert!(line <= breaks as u64 + 2, "line {line} of {}", breaks + 1);
    assert!(column <= text.len() as u64 + 2, "column {column} in {} bytes", text.len());
}
