//! A change as a unified diff of what may be shown of it: values that are not the entry's may be somebody's keys.

use std::ops::Range;

use farthing_install::{Change, Client};
use imara_diff::{Algorithm, InternedInput};

use crate::output::{BAD, DIM, GOOD, printable};

const CONTEXT_LINES: usize = 3;
/// A longer line holds more than one thing; of such, the part that differs is shown.
const LONGEST_LINE: usize = 200;

/// A change of one client's entry.
pub(super) struct Diff {
    /// Each line with its sign: `+`, `-`, ` `, and `@` for where the lines stand.
    lines: Vec<(char, String)>,
}

impl Diff {
    pub(super) fn of(client: Client, name: &str, change: &Change) -> Self {
        let veiled = |text: &Option<String>| client.veiled(text.as_deref().unwrap_or_default(), name);
        Self { lines: lines(&veiled(&change.before), &veiled(&change.after)) }
    }

    /// For people.
    pub(super) fn colored(&self) -> String {
        let painted = self.lines.iter().map(|(sign, text)| match sign {
            '+' => format!("{GOOD}+{text}{GOOD:#}"),
            '-' => format!("{BAD}-{text}{BAD:#}"),
            '@' => format!("{DIM}{text}{DIM:#}"),
            _ => format!(" {text}"),
        });
        painted.collect::<Vec<_>>().join("\n")
    }

    /// The same without colours.
    pub(super) fn plain(&self) -> String {
        let plain = self.lines.iter().map(|(sign, text)| match sign {
            '@' => text.clone(),
            sign => format!("{sign}{text}"),
        });
        plain.collect::<Vec<_>>().join("\n")
    }
}

fn lines(before: &str, after: &str) -> Vec<(char, String)> {
    if [before, after].iter().any(|text| text.lines().any(|line| line.len() > LONGEST_LINE)) {
        return differing_part(before, after);
    }
    let (old, new) = (split(before), split(after));
    let input = InternedInput::new(before, after);
    let mut diff = imara_diff::Diff::compute(Algorithm::Histogram, &input);
    diff.postprocess_lines(&input);
    let changes: Vec<_> = diff.hunks().map(|hunk| (range(&hunk.before), range(&hunk.after))).collect();
    let near = |one: &Changed, next: &Changed| next.0.start - one.0.end <= 2 * CONTEXT_LINES;
    changes.chunk_by(near).flat_map(|changes| hunk(changes, &old, &new)).collect()
}

/// Lines of the text before, and those that stand in their place after.
type Changed = (Range<usize>, Range<usize>);

fn split(text: &str) -> Vec<&str> {
    text.split_inclusive('\n').collect()
}

fn range(lines: &Range<u32>) -> Range<usize> {
    lines.start as usize..lines.end as usize
}

/// Changes that are near each other, with what stands around them.
fn hunk(changes: &[Changed], old: &[&str], new: &[&str]) -> Vec<(char, String)> {
    let (Some(first), Some(last)) = (changes.first(), changes.last()) else { return Vec::new() };
    let ahead = first.0.start.min(CONTEXT_LINES);
    let behind = (old.len() - last.0.end).min(CONTEXT_LINES);
    let (mut at, end) = (first.0.start - ahead, last.0.end + behind);
    let place = format!("@@ -{} +{} @@", place(at..end), place(first.1.start - ahead..last.1.end + behind));
    let mut lines = vec![('@', place)];
    let signed = |sign: char, text: &[&str]| {
        text.iter().map(|line| (sign, printable(line.trim_end()))).collect::<Vec<_>>()
    };
    for (before, after) in changes {
        lines.extend(signed(' ', &old[at..before.start]));
        lines.extend(signed('-', &old[before.clone()]));
        lines.extend(signed('+', &new[after.clone()]));
        at = before.end;
    }
    lines.extend(signed(' ', &old[at..end]));
    lines
}

/// The first line and how many, as unified diffs write them: of none, the line before.
fn place(lines: Range<usize>) -> String {
    let first = if lines.is_empty() { lines.start } else { lines.start + 1 };
    format!("{first},{}", lines.len())
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

    fn diff(client: Client, before: &str, after: &str) -> String {
        let text = |text: &str| Some(text.to_owned());
        let change = Change { file: "f".into(), before: text(before), after: text(after) };
        Diff::of(client, "farthing", &change).plain()
    }

    #[test]
    fn the_entry_is_shown_and_keys_of_others_are_not() {
        let text = diff(
            Client::Cursor,
            "{\n  \"mcpServers\": {\n    \"a\": \"sk-1\"\n  }\n}\n",
            "{\n  \"mcpServers\": {\n    \"a\": \"sk-1\",\n    \"farthing\": {\"command\": \"/bin/farthing\"}\n  }\n}\n",
        );
        assert_eq!(
            text,
            "@@ -1,5 +1,6 @@\n {\n   \"mcpServers\": {\n-    \"a\": …\n+    \"a\": …,\n+    \"farthing\": {\"command\": \"/bin/farthing\"}\n   }\n }"
        );
    }

    #[test]
    fn places_are_those_of_unified_diffs() {
        let twenty: Vec<String> = (1..=20).map(|n| format!("{n}\n")).collect();
        let changed = |places: &[usize]| {
            let mut after = twenty.clone();
            places.iter().for_each(|line| after[line - 1] = "x\n".to_owned());
            let shown = lines(&twenty.concat(), &after.concat());
            (
                shown
                    .iter()
                    .filter(|(sign, _)| *sign == '@')
                    .map(|(_, text)| text.clone())
                    .collect::<Vec<_>>(),
                shown.len(),
            )
        };
        assert_eq!(changed(&[6]), (vec!["@@ -3,7 +3,7 @@".to_owned()], 9));
        assert_eq!(changed(&[1]), (vec!["@@ -1,4 +1,4 @@".to_owned()], 6));
        assert_eq!(changed(&[6, 13]), (vec!["@@ -3,14 +3,14 @@".to_owned()], 17));
        let apart = vec!["@@ -3,7 +3,7 @@".to_owned(), "@@ -11,7 +11,7 @@".to_owned()];
        assert_eq!(changed(&[6, 14]), (apart, 18));
        assert_eq!(lines("", "a\n"), [('@', "@@ -0,0 +1,1 @@".to_owned()), ('+', "a".to_owned())]);
        assert_eq!(lines("a\n", ""), [('@', "@@ -1,1 +0,0 @@".to_owned()), ('-', "a".to_owned())]);
    }

    #[test]
    fn of_long_lines_the_difference_is_shown() {
        let others: String = (0..40).map(|n| format!("\"key{n}\":\"sk-{n}\",")).collect();
        let text = diff(
            Client::Cursor,
            &format!("{{{others}\"mcpServers\":{{}}}}"),
            &format!("{{{others}\"mcpServers\":{{\"farthing\":{{\"command\":\"f\"}}}}}}"),
        );
        assert!(text.ends_with("@@\n+\"farthing\":{\"command\":\"f\"}") && !text.contains("sk-"), "{text}");
    }
}
