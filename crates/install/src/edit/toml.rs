//! TOML: new tables at the end of the file, keys of their own lines.

use std::ops::Range;

use toml_edit::{Document, Item, TableLike, Value};

use super::data::{Data, quoted};
use super::node::{Node, Pair, Shape, Style};
use super::splice::{Splice, line_end, line_start, missing_newline, newline};
use super::{EditError, Edited, Place, Source};

pub(super) struct Toml<'a> {
    text: &'a str,
    root: Node,
}

impl<'a> Toml<'a> {
    pub(super) fn read(text: &'a str) -> Result<Self, EditError> {
        let document = Document::parse(text).map_err(|error| EditError::Syntax {
            place: Place::of(text, error.span().map_or(0, |span| span.start)),
            why: error.message().to_owned(),
        })?;
        let pairs = pairs(text, document.as_table());
        Ok(Self {
            text,
            root: Node { span: 0..text.len(), shape: Shape::Map { pairs, style: Style::Block } },
        })
    }

    fn no_room(&self, at: usize, why: &str) -> EditError {
        EditError::NoRoom { place: Place::of(self.text, at), why: why.to_owned() }
    }

    /// A table of its own, at the end.
    fn table(&self, path: &[&str], data: &Data) -> Vec<Splice> {
        let end = newline(self.text);
        let blank = if self.text.trim().is_empty() { "" } else { end };
        let mut text = format!("{}{blank}", missing_newline(self.text));
        write_table(&mut text, &path.iter().map(|key| (*key).to_owned()).collect::<Vec<_>>(), data, end);
        vec![Splice::insert(self.text.len(), text)]
    }

    /// The lines from the first of these bytes to the last.
    fn lines(&self, range: &Range<usize>) -> Range<usize> {
        line_start(self.text, range.start)..line_end(self.text, range.end)
    }

    /// The lines that write this pair: one run of lines for a key, one for each table.
    fn pieces(&self, pair: &Pair) -> Vec<Range<usize>> {
        let value = &pair.value;
        match value.style() {
            Some(Style::Dotted) => value.pairs().iter().flat_map(|pair| self.pieces(pair)).collect(),
            Some(Style::Block) => {
                let own = value.span.clone();
                let inner = value.pairs().iter().filter(|pair| pair.value.style() == Some(Style::Block));
                let inner = inner.flat_map(|pair| self.pieces(pair));
                // A table that only its inner tables imply has no header.
                let header = self.text[own.clone()].starts_with('[').then(|| self.lines(&own));
                header.into_iter().chain(inner).collect()
            }
            _ => vec![self.lines(&(pair.key_span.start..value.span.end))],
        }
    }

    /// The same lines, with the blank one that sets them off from what comes before.
    fn with_blank(&self, lines: Range<usize>) -> Range<usize> {
        let before = line_start(self.text, lines.start.saturating_sub(1));
        let blank = before < lines.start && self.text[before..lines.start].trim().is_empty();
        let next = &self.text[lines.end..line_end(self.text, lines.end)];
        if blank && next.trim().is_empty() { before..lines.end } else { lines }
    }
}

impl Source for Toml<'_> {
    fn text(&self) -> &str {
        self.text
    }

    fn root(&self) -> &Node {
        &self.root
    }

    fn leaf(&self) -> fn(&Data) -> String {
        leaf
    }

    fn insert(&self, map: &Node, owner: Option<&Pair>, path: &[&str], key: &str, data: &Data) -> Edited {
        let mut whole = path.to_vec();
        whole.push(key);
        let is_map = matches!(data, Data::Map(_));
        let line = format!("{} = {}", written_key(key), leaf(data));
        match (map.style(), map.pairs().last()) {
            (Some(Style::Block), _) if is_map => Ok(self.table(&whole, data)),
            (Some(Style::Block), _) => {
                let at = line_end(self.text, map.span.start);
                let before = missing_newline(&self.text[..at]);
                Ok(vec![Splice::insert(at, format!("{before}{line}{}", newline(self.text)))])
            }
            (Some(Style::Dotted), _) if is_map => {
                let last = owner.map(|owner| self.pieces(owner)).unwrap_or_default();
                let at = last.iter().map(|lines| lines.end).max().unwrap_or(self.text.len());
                let keys: Vec<String> = whole.iter().map(|key| written_key(key)).collect();
                let before = missing_newline(&self.text[..at]);
                let line = format!("{before}{} = {}{}", keys.join("."), leaf(data), newline(self.text));
                Ok(vec![Splice::insert(at, line)])
            }
            (Some(Style::Braces), Some(last)) if !is_map => {
                Ok(vec![Splice::insert(last.value.span.end, format!(", {line}"))])
            }
            _ => Err(self.no_room(
                map.span.start,
                "this table is not written as `[table]`: write it so, and try again",
            )),
        }
    }

    fn replace(&self, pair: &Pair, data: &Data) -> Edited {
        if pair.value.style().is_some_and(|style| style != Style::Braces) {
            return Err(self.no_room(pair.key_span.start, "a value was expected here, not a table"));
        }
        Ok(vec![Splice::replace(pair.value.span.clone(), leaf(data))])
    }

    fn remove(&self, map: &Node, index: usize) -> Edited {
        let Some(pair) = map.pairs().get(index) else { return Ok(Vec::new()) };
        if map.style() == Some(Style::Braces) {
            return Err(
                self.no_room(pair.key_span.start, "this entry stands inside of `{ }`: remove it by hand")
            );
        }
        let mut pieces = self.pieces(pair);
        pieces.sort_by_key(|lines| lines.start);
        Ok(pieces.into_iter().map(|lines| Splice::delete(self.with_blank(lines))).collect())
    }
}

/// The parser bounds the depth.
fn pairs(text: &str, table: &dyn TableLike) -> Vec<Pair> {
    let keys = table.iter().filter_map(|(key, item)| Some((table.get_key_value(key)?.0, item)));
    keys.map(|(key, item)| {
        let key_span = key.span().unwrap_or_default();
        let value = node(text, item, &key_span);
        Pair { key: key.get().to_owned(), key_span, value }
    })
    .collect()
}

fn node(text: &str, item: &Item, key: &Range<usize>) -> Node {
    let span = item.span().unwrap_or_else(|| key.clone());
    match item {
        Item::Table(table) => {
            let pairs = pairs(text, table);
            let style = if table.is_dotted() { Style::Dotted } else { Style::Block };
            // The parser's span is the header's.
            let own = pairs.iter().filter(|pair| pair.value.style() != Some(Style::Block));
            let end = own.map(|pair| pair.value.span.end).chain([span.end]).max().unwrap_or(span.end);
            Node { span: span.start..end, shape: Shape::Map { pairs, style } }
        }
        Item::Value(value) => value_node(text, value, span),
        Item::ArrayOfTables(tables) => {
            let items = tables.iter().map(|table| node(text, &Item::Table(table.clone()), &span));
            Node { span: span.clone(), shape: Shape::List(items.collect()) }
        }
        Item::None => Node { span, shape: Shape::Null },
    }
}

fn value_node(text: &str, value: &Value, span: Range<usize>) -> Node {
    let shape = match value {
        Value::InlineTable(table) if table.is_dotted() => {
            Shape::Map { pairs: pairs(text, table), style: Style::Dotted }
        }
        Value::InlineTable(table) => Shape::Map { pairs: pairs(text, table), style: Style::Braces },
        Value::Array(items) => Shape::List(
            items
                .iter()
                .map(|item| value_node(text, item, item.span().unwrap_or_else(|| span.clone())))
                .collect(),
        ),
        Value::String(string) => Shape::Leaf(quoted(string.value())),
        _ => Shape::Leaf(text.get(span.clone()).unwrap_or_default().to_owned()),
    };
    Node { span, shape }
}

/// The table and those within it.
fn write_table(text: &mut String, path: &[String], data: &Data, end: &str) {
    let Data::Map(pairs) = data else { return };
    let (tables, values): (Vec<_>, Vec<_>) = pairs.iter().partition(|(_, data)| matches!(data, Data::Map(_)));
    if !values.is_empty() || tables.is_empty() {
        let keys: Vec<String> = path.iter().map(|key| written_key(key)).collect();
        text.push_str(&format!("[{}]{end}", keys.join(".")));
    }
    for (key, value) in values {
        text.push_str(&format!("{} = {}{end}", written_key(key), leaf(value)));
    }
    for (key, table) in tables {
        let path: Vec<String> = path.iter().cloned().chain([key.clone()]).collect();
        write_table(text, &path, table, end);
    }
}

fn written_key(key: &str) -> String {
    let bare = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
    if bare { key.to_owned() } else { quoted(key) }
}

fn leaf(data: &Data) -> String {
    match data {
        Data::Text(text) => quoted(text),
        Data::Texts(texts) => {
            format!("[{}]", texts.iter().map(|text| quoted(text)).collect::<Vec<_>>().join(", "))
        }
        Data::Flag(flag) => flag.to_string(),
        Data::Number(number) => number.to_string(),
        Data::Map(pairs) => {
            let pairs: Vec<String> =
                pairs.iter().map(|(key, data)| format!("{} = {}", written_key(key), leaf(data))).collect();
            if pairs.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", pairs.join(", ")) }
        }
    }
}
