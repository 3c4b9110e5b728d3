//! A configuration as it may be shown: what is not the entry's, and not needed to find one's way, may be somebody's key.

use std::ops::Range;

use super::node::{Node, Pair, Shape};
use super::{Format, Target, read, without_bom};

/// A longer key may be more than a name.
const LONGEST_KEY: usize = 40;

/// A key or a value, and whether it is shown.
type Part = (Range<usize>, bool);

/// The text with a `…` in the place of every value and every comment. Of the entry, what stands under the keys `shown` is
/// left; of everything, the keys, the marks between them and the line breaks.
pub(crate) fn veiled(text: &str, target: &Target<'_>, shown: &[&str]) -> String {
    let text = without_bom(text);
    let Ok(source) = read(target.format, text) else { return hidden(text) };
    let path: Vec<&str> = target.path.iter().chain([&target.name]).copied().collect();
    let mut parts = Vec::new();
    match source.root().style() {
        Some(_) => find(source.root(), Some(path.as_slice()), shown, &mut parts),
        None => find_values(source.root(), false, &mut parts),
    }
    parts.sort_by_key(|(range, _)| range.start);
    let mut veiled = String::with_capacity(text.len());
    let mut done = 0;
    for (range, is_shown) in parts.into_iter().filter(|(range, _)| !range.is_empty()) {
        // What the parser places within something that was there already is a part of it.
        let (Some(between), Some(part)) = (text.get(done..range.start), text.get(range.clone())) else {
            continue;
        };
        veiled.push_str(&structure(between, target.format));
        veiled.push_str(&if is_shown { part.to_owned() } else { hidden(part) });
        done = range.end;
    }
    veiled + &structure(text.get(done..).unwrap_or_default(), target.format)
}

/// The parts of a map. `path` leads on to the entry, whose own path is empty; `None` leads elsewhere.
fn find(node: &Node, path: Option<&[&str]>, shown: &[&str], parts: &mut Vec<Part>) {
    for pair in node.pairs() {
        parts.push((pair.key_span.clone(), is_name(pair)));
        match path {
            Some([]) => find_values(&pair.value, shown.contains(&pair.key.as_str()), parts),
            Some([first, rest @ ..]) if *first == pair.key && pair.value.style().is_some() => {
                find(&pair.value, Some(rest), shown, parts);
            }
            _ => find_values(&pair.value, false, parts),
        }
    }
}

/// The parts of a value. What is in a map is hidden: an environment is its owner's.
fn find_values(node: &Node, is_shown: bool, parts: &mut Vec<Part>) {
    match &node.shape {
        Shape::Map { .. } => find(node, None, &[], parts),
        Shape::List(items) => items.iter().for_each(|item| find_values(item, is_shown, parts)),
        Shape::Leaf(_) | Shape::Null => parts.push((node.span.clone(), is_shown)),
    }
}

/// A key that is a plain text, and not a long one.
fn is_name(pair: &Pair) -> bool {
    !pair.key.starts_with('\0') && pair.key.chars().count() <= LONGEST_KEY
}

/// What stands between keys and values: white space, brackets and marks, and in TOML the way to a table. Anything else is a
/// comment, or a value that the parser does not place, and hidden to the end of its line.
fn structure(text: &str, format: Format) -> String {
    let is_mark =
        |c: char| c.is_whitespace() || "{}[](),:=-".contains(c) || (format == Format::Toml && c == '.');
    let lines = text.split_inclusive('\n').map(|line| {
        let way = if format == Format::Toml { way_to_a_table(line) } else { 0 };
        let marks = line[way..].find(|c| !is_mark(c)).unwrap_or(line.len() - way);
        let (shown, rest) = line.split_at(way + marks);
        format!("{shown}{}", hidden(rest))
    });
    lines.collect()
}

/// How many bytes of `[mcp_servers.` stand at the beginning of a line: the maps around a table, of which the parser places
/// the first mention only. What the header ends with is placed.
fn way_to_a_table(line: &str) -> usize {
    let way = line.rfind('.').map_or("", |dot| &line[..=dot]);
    let is_way = way.starts_with('[')
        && !line.ends_with('\n')
        && way.chars().all(|c| c.is_ascii_alphanumeric() || "[_-.".contains(c));
    if is_way { way.len() } else { 0 }
}

/// The white space around each line, and a `…` for what is in it.
fn hidden(text: &str) -> String {
    let lines = text.split_inclusive('\n').map(|line| match line.trim() {
        "" => line.to_owned(),
        said => line.replacen(said, "…", 1),
    });
    lines.collect()
}
