//! A change as a unified diff of what may be shown of it: values that are not the entry's may be somebody's keys.

use farthing_install::{Change, Client};
use imara_diff::{Algorithm, BasicLineDiffPrinter, InternedInput, UnifiedDiffConfig};

use crate::output::{BAD, DIM, GOOD, printable};

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
    let input = InternedInput::new(before, after);
    let mut diff = imara_diff::Diff::compute(Algorithm::Histogram, &input);
    diff.postprocess_lines(&input);
    let printer = BasicLineDiffPrinter(&input.interner);
    diff.unified_diff(&printer, UnifiedDiffConfig::default(), &input)
        .to_string()
        .lines()
        .map(signed)
        .collect()
}

/// A line of a unified diff. One that says where the lines stand is whole.
fn signed(line: &str) -> (char, String) {
    let mut rest = line.chars();
    match rest.next() {
        Some('@') => ('@', line.to_owned()),
        sign => (sign.unwrap_or(' '), printable(rest.as_str().trim_end_matches('\r'))),
    }
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
