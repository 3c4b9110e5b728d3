//! Changes of a text by place: whatever stands outside of them stays as it is, byte for byte.

use std::ops::Range;

/// Puts `text` where `range` was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Splice {
    pub(super) range: Range<usize>,
    pub(super) text: String,
}

impl Splice {
    pub(super) fn insert(at: usize, text: impl Into<String>) -> Self {
        Self { range: at..at, text: text.into() }
    }

    pub(super) fn replace(range: Range<usize>, text: impl Into<String>) -> Self {
        Self { range, text: text.into() }
    }

    pub(super) fn delete(range: Range<usize>) -> Self {
        Self { range, text: String::new() }
    }
}

/// The text after all of the changes, which must not overlap; those at one place are made in their order.
pub(super) fn apply(text: &str, mut splices: Vec<Splice>) -> String {
    splices.sort_by_key(|splice| splice.range.start);
    let mut new = String::with_capacity(text.len() + 256);
    let mut done = 0;
    for splice in &splices {
        new.push_str(text.get(done..splice.range.start).unwrap_or_default());
        new.push_str(&splice.text);
        done = splice.range.end.max(done);
    }
    new.push_str(text.get(done..).unwrap_or_default());
    new
}

/// Where the line begins in which this byte stands.
pub(super) fn line_start(text: &str, at: usize) -> usize {
    text.get(..at).and_then(|before| before.rfind('\n')).map_or(0, |newline| newline + 1)
}

/// Where the line ends in which this byte stands: after its line break.
pub(super) fn line_end(text: &str, at: usize) -> usize {
    text.get(at..).and_then(|after| after.find('\n')).map_or(text.len(), |newline| at + newline + 1)
}

/// The white space with which the line of this byte begins.
pub(super) fn indent(text: &str, at: usize) -> &str {
    let line = text.get(line_start(text, at)..at).unwrap_or_default();
    let white = line.len() - line.trim_start_matches([' ', '\t']).len();
    &line[..white]
}

/// The line break of this text: that of its first line.
pub(super) fn newline(text: &str) -> &'static str {
    match text.find('\n') {
        Some(at) if text[..at].ends_with('\r') => "\r\n",
        _ => "\n",
    }
}

/// A line break for a text that does not end in one.
pub(super) fn missing_newline(text: &str) -> &'static str {
    if text.is_empty() || text.ends_with('\n') { "" } else { newline(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_made_where_they_belong() {
        let splices = vec![
            Splice::insert(5, "!"),
            Splice::delete(0..2),
            Splice::replace(3..4, "x"),
            Splice::insert(5, "?"),
        ];
        assert_eq!(apply("abcde", splices), "cxe!?");
    }

    #[test]
    fn lines_are_found() {
        let text = "a\r\n  b c\nd";
        assert_eq!((line_start(text, 7), line_end(text, 5), line_end(text, 9)), (3, 9, 10));
        assert_eq!((indent(text, 7), newline(text), missing_newline(text)), ("  ", "\r\n", "\r\n"));
    }
}
