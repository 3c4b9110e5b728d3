//! Comma-separated values (RFC 4180): fewer lines than the crate for it would cost, as nothing is read.

/// One line, without its end. A cell that a spreadsheet would take for a formula begins with an apostrophe: cells hold
/// what others wrote.
pub(crate) fn line<T: AsRef<str>>(cells: impl IntoIterator<Item = T>) -> String {
    let cells: Vec<_> = cells.into_iter().map(|text| cell(text.as_ref())).collect();
    cells.join(",")
}

fn cell(text: &str) -> String {
    let is_formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let text = if is_formula { format!("'{text}") } else { text.to_owned() };
    if text.contains(['"', ',', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

#[cfg(test)]
mod tests {
    use super::line;

    #[test]
    fn what_others_wrote_stays_in_its_cell() {
        assert_eq!(line(["a", "", "1.5"]), "a,,1.5");
        assert_eq!(line(["a,b", "say \"hi\"", "two\nlines"]), "\"a,b\",\"say \"\"hi\"\"\",\"two\nlines\"");
        assert_eq!(line(["=HYPERLINK(\"x\")", "-1", "@a"]), "\"'=HYPERLINK(\"\"x\"\")\",'-1,'@a");
    }
}
