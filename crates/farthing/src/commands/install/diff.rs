//! A change as a unified diff. Of lines that are not the entry's, only what is needed to find one's way is shown: their
//! values may be somebody's keys.

use farthing_install::Change;
use similar::{ChangeTag, TextDiff};

use crate::output::{BAD, DIM, GOOD, printable};

const CONTEXT_LINES: usize = 3;
/// A longer line holds more than one thing; of such, the part that differs is shown.
const LONGEST_LINE: usize = 200;

/// For people.
pub(super) fn colored(change: &Change) -> String {
    let lines = lines(change);
    let painted = lines.iter().map(|(sign, text)| match sign {
        '+' => format!("{GOOD}+{text}{GOOD:#}"),
        '-' => format!("{BAD}-{text}{BAD:#}"),
        '@' => format!("{DIM}{text}{DIM:#}"),
        _ => format!(" {text}"),
    });
    painted.collect::<Vec<_>>().join("\n")
}

/// The same without colours.
pub(super) fn plain(change: &Change) -> String {
    let lines = lines(change);
    let plain = lines.iter().map(|(sign, text)| match sign {
        '@' => text.clone(),
        sign => format!("{sign}{text}"),
    });
    plain.collect::<Vec<_>>().join("\n")
}

/// Each line with its sign: `+`, `-`, ` `, and `@` for where the lines stand.
fn lines(change: &Change) -> Vec<(char, String)> {
    let before = change.before.as_deref().unwrap_or_default();
    let after = change.after.as_deref().unwrap_or_default();
    if [before, after].iter().any(|text| text.lines().any(|line| line.len() > LONGEST_LINE)) {
        return differing_part(before, after);
    }
    let diff = TextDiff::from_lines(before, after);
    let mut lines = Vec::new();
    for hunk in diff.unified_diff().context_radius(CONTEXT_LINES).iter_hunks() {
        lines.push(('@', hunk.header().to_string()));
        let changes: Vec<_> = hunk.iter_changes().map(|change| (change.tag(), change.value())).collect();
        lines.extend(changes.iter().map(|(tag, line)| shown(*tag, line, &changes)));
    }
    lines
}

fn shown(tag: ChangeTag, line: &str, all: &[(ChangeTag, &str)]) -> (char, String) {
    let line = line.trim_end_matches(['\n', '\r']);
    let (sign, other) = match tag {
        ChangeTag::Equal => return (' ', masked(line)),
        ChangeTag::Insert => ('+', ChangeTag::Delete),
        ChangeTag::Delete => ('-', ChangeTag::Insert),
    };
    // A neighbour that only got or lost its comma.
    let same = |text: &str| bare(text) == bare(line);
    let is_neighbour = all.iter().any(|(tag, text)| *tag == other && same(text));
    (sign, if is_neighbour { masked(line) } else { printable(line) })
}

/// A line without what follows from its neighbours: a comma, and a comment that stands after it.
fn bare(line: &str) -> String {
    line.chars().filter(|c| *c != ',' && !c.is_whitespace()).collect()
}

/// A line's key and brackets; in the place of its value a `…`.
fn masked(line: &str) -> String {
    let indent = &line[..line.len() - line.trim_start().len()];
    let text = line.trim();
    let is_structure = |text: &str| text.chars().all(|c| "{}[](),: ".contains(c));
    let is_table = text.starts_with('[') && text.ends_with(']') && !text.contains(['"', '\'', ',']);
    if is_structure(text) || is_table {
        return printable(line);
    }
    let rest = text.trim_start_matches(['}', ']', ',', ' ']);
    let closing = &text[..text.len() - rest.len()];
    let Some(at) = text.find([':', '=']).filter(|_| closing.is_empty() && !text.starts_with(['#', '/']))
    else {
        return format!("{indent}{closing}…");
    };
    let (key, value) = text.split_at(at + 1);
    let value = value.trim();
    let kept = if is_structure(value) { value } else { "…" };
    let plain_key = key.chars().count() <= 40 && !key.contains(['{', '[']);
    let key = if plain_key { printable(key) } else { "…".to_owned() };
    format!("{indent}{key} {kept}").trim_end().to_owned()
}

/// From the first difference to the last.
fn differing_part(before: &str, after: &str) -> Vec<(char, String)> {
    let start = common(before.chars(), after.chars());
    let (rest_before, rest_after) = (&before[start..], &after[start..]);
    let end = common(rest_before.chars().rev(), rest_after.chars().rev());
    let part = |text: &str| text[..text.len() - end].to_owned();
    let signed = [('-', part(rest_before)), ('+', part(rest_after))];
    let place = format!("@@ byte {start} @@");
    let lines = signed
        .into_iter()
        .flat_map(|(sign, part)| part.lines().map(|line| (sign, printable(line))).collect::<Vec<_>>());
    [('@', place)].into_iter().chain(lines).collect()
}

/// How many bytes both begin with.
fn common(one: impl Iterator<Item = char>, other: impl Iterator<Item = char>) -> usize {
    one.zip(other).take_while(|(a, b)| a == b).map(|(a, _)| a.len_utf8()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn diff(before: &str, after: &str) -> String {
        plain(&Change { file: "f".into(), before: Some(before.to_owned()), after: Some(after.to_owned()) })
    }

    #[test]
    fn the_entry_is_shown_and_keys_of_others_are_not() {
        let text = diff(
            "{\n  \"env\": {\n    \"API_KEY\": \"sk-1\"\n  }\n}\n",
            "{\n  \"env\": {\n    \"API_KEY\": \"sk-1\",\n    \"farthing\": \"/bin/farthing\"\n  }\n}\n",
        );
        assert_eq!(
            text,
            "@@ -1,5 +1,6 @@\n {\n   \"env\": {\n-    \"API_KEY\": …\n+    \"API_KEY\": …\n+    \"farthing\": \"/bin/farthing\"\n   }\n }"
        );
    }

    #[test]
    fn of_long_lines_the_difference_is_shown() {
        let secret = format!("{{\"token\":\"{}\"", "s".repeat(300));
        let text = diff(&format!("{secret}}}"), &format!("{secret}, \"farthing\": {{}}}}"));
        assert_eq!(text, "@@ byte 311 @@\n+, \"farthing\": {}");
    }

    #[test]
    fn values_are_hidden_in_every_format() {
        for (line, shown) in [
            ("  KEY: sk-1 # secret", "  KEY: …"),
            ("key = \"sk-1\"", "key = …"),
            ("  - sk-1", "  …"),
            ("    \"-y\", \"sk-1\"", "    …"),
            ("# sk-1: old", "…"),
            ("[mcp_servers.docs]", "[mcp_servers.docs]"),
            ("  \"a\": {\"b\": \"sk-1\"}", "  \"a\": …"),
            ("  \"a\": [", "  \"a\": ["),
            ("},", "},"),
            ("  }, // sk-1: old", "  }, …"),
        ] {
            assert_eq!(masked(line), shown);
        }
    }
}
