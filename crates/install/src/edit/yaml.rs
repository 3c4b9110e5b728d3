//! YAML in blocks: lines are put in and taken out, and nothing is written anew.

use std::ops::Range;

use granit_parser::{Event, Options, Parser, ScalarStyle, Span, StructureStyle, Tag};

use super::data::{Data, quoted};
use super::node::{Content, Node, Pair, Shape, Style};
use super::splice::{Splice, line_end, line_start, missing_newline, newline};
use super::{EditError, Edited, Place, Source};

const MOST_LEVELS: usize = 100;

pub(super) struct Yaml<'a> {
    text: &'a str,
    root: Node,
}

impl<'a> Yaml<'a> {
    pub(super) fn read(text: &'a str) -> Result<Self, EditError> {
        let mut options = Options::default();
        options.set_emit_comments(false);
        let events = Parser::new_from_str_with_options(text, options);
        let events = events.collect::<Result<Vec<_>, _>>().map_err(|error| {
            let at = error.marker().byte_offset().unwrap_or(0);
            EditError::Syntax { place: Place::of(text, at), why: error.info().to_owned() }
        })?;
        let mut reader = Reader { text, events: events.into_iter(), end: 0 };
        let root = reader.document()?;
        Ok(Self { text, root })
    }

    fn no_room(&self, at: usize, why: &str) -> EditError {
        EditError::NoRoom { place: Place::of(self.text, at), why: why.to_owned() }
    }

    /// Whole lines, each with this indentation.
    fn lines(&self, key: &str, data: &Data, indent: &str) -> String {
        let end = newline(self.text);
        match data {
            Data::Map(pairs) if !pairs.is_empty() => {
                let inner = format!("{indent}{}", self.unit());
                let pairs: String = pairs.iter().map(|(key, data)| self.lines(key, data, &inner)).collect();
                format!("{indent}{key}:{end}{pairs}")
            }
            _ => format!("{indent}{key}: {}{end}", leaf(data)),
        }
    }

    /// One step of indentation, as the file has it.
    fn unit(&self) -> String {
        let blocks = self.root.pairs().iter().filter(|pair| pair.value.style() == Some(Style::Block));
        let first = blocks.flat_map(|pair| pair.value.pairs().first()).next();
        " ".repeat(first.map_or(2, |pair| self.column(pair).max(1)))
    }

    fn column(&self, pair: &Pair) -> usize {
        pair.key_span.start - line_start(self.text, pair.key_span.start)
    }

    fn lines_of(&self, pair: &Pair) -> Range<usize> {
        line_start(self.text, pair.key_span.start)..line_end(self.text, end_of(pair))
    }

    /// Whether the pair has its lines for itself.
    fn has_own_lines(&self, pair: &Pair) -> bool {
        let line = line_start(self.text, pair.key_span.start);
        self.text[line..pair.key_span.start].chars().all(|c| c == ' ')
    }
}

impl Source for Yaml<'_> {
    fn text(&self) -> &str {
        self.text
    }

    fn root(&self) -> &Node {
        &self.root
    }

    fn leaf(&self) -> fn(&Data) -> String {
        leaf
    }

    fn insert(&self, map: &Node, owner: Option<&Pair>, _: &[&str], key: &str, data: &Data) -> Edited {
        let Some(first) = map.pairs().first() else { return self.fill(map, owner, key, data) };
        if map.style() != Some(Style::Block) || !self.has_own_lines(first) {
            return Err(self.no_room(
                map.span.start,
                "this map is not written one key a line: write it so, and try again",
            ));
        }
        let indent = " ".repeat(self.column(first));
        let at = owner.map_or(self.text.len(), |owner| line_end(self.text, owner.key_span.start));
        let before = missing_newline(&self.text[..at]);
        Ok(vec![Splice::insert(at, format!("{before}{}", self.lines(key, data, &indent)))])
    }

    fn replace(&self, pair: &Pair, data: &Data) -> Edited {
        if matches!(pair.value.shape, Shape::Leaf(_)) && !self.text[pair.value.span.clone()].contains('\n') {
            return Ok(vec![Splice::replace(pair.value.span.clone(), leaf(data))]);
        }
        if !self.has_own_lines(pair) {
            return Err(self.no_room(pair.key_span.start, "this key does not stand on a line of its own"));
        }
        let indent = " ".repeat(self.column(pair));
        Ok(vec![Splice::replace(self.lines_of(pair), self.lines(&pair.key, data, &indent))])
    }

    fn remove(&self, map: &Node, index: usize) -> Edited {
        let Some(pair) = map.pairs().get(index) else { return Ok(Vec::new()) };
        if map.style() != Some(Style::Block) || !self.has_own_lines(pair) {
            return Err(self.no_room(
                pair.key_span.start,
                "this entry does not stand on lines of its own: remove it by hand",
            ));
        }
        Ok(vec![Splice::delete(self.lines_of(pair))])
    }
}

impl Yaml<'_> {
    /// Into a map without pairs: nothing at all, `null` or `{}`.
    fn fill(&self, map: &Node, owner: Option<&Pair>, key: &str, data: &Data) -> Edited {
        let Some(owner) = owner else {
            let text = format!("{}{}", missing_newline(self.text), self.lines(key, data, ""));
            return Ok(vec![Splice::replace(map.span.clone(), ""), Splice::insert(self.text.len(), text)]);
        };
        if !self.has_own_lines(owner) {
            return Err(self.no_room(owner.key_span.start, "this key does not stand on a line of its own"));
        }
        // `{}` goes, and with it whatever it holds.
        if self.text[map.span.clone()].contains('#') {
            return Err(self.no_room(
                map.span.start,
                "this map holds a comment only: put the comment outside of it, and try again",
            ));
        }
        let indent = format!("{}{}", " ".repeat(self.column(owner)), self.unit());
        let at = line_end(self.text, end_of(owner));
        let lines = format!("{}{}", missing_newline(&self.text[..at]), self.lines(key, data, &indent));
        let value = match map.span.is_empty() {
            true => map.span.clone(),
            // With the space before it.
            false => self.text[..map.span.start].trim_end_matches(' ').len()..map.span.end,
        };
        Ok(vec![Splice::delete(value), Splice::insert(at, lines)])
    }
}

/// The end of a pair: of its value, or of its key where there is none.
fn end_of(pair: &Pair) -> usize {
    pair.value.span.end.max(pair.key_span.end)
}

struct Reader<'a, I> {
    text: &'a str,
    events: I,
    /// Where the last value ended.
    end: usize,
}

impl<'a, I: Iterator<Item = (Event<'a>, Span)>> Reader<'a, I> {
    /// The one document of the text. Where there is none, an empty map.
    fn document(&mut self) -> Result<Node, EditError> {
        let mut root = None;
        while let Some((event, span)) = self.events.next() {
            match event {
                Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
                Event::DocumentStart(..) if root.is_none() => {
                    let Some((event, span)) = self.events.next() else { break };
                    root = Some(self.node(event, span, 0)?);
                }
                _ => return Err(self.no_room(span, "there is more than one document in this file")),
            }
        }
        Ok(root.unwrap_or_else(|| Node::empty(self.text.len())))
    }

    fn node(&mut self, event: Event<'a>, span: Span, level: usize) -> Result<Node, EditError> {
        if level > MOST_LEVELS {
            return Err(self.no_room(span, "this is nested too deep"));
        }
        let range = span.byte_range().unwrap_or_default();
        Ok(match event {
            Event::MappingStart(style, anchor, tag) => {
                let mark = mark(anchor, tag.as_deref());
                let style = if mark.is_empty() { block(style) } else { Style::Braces };
                self.map(range, style, mark, level)?
            }
            Event::SequenceStart(_, anchor, tag) => self.list(range, mark(anchor, tag.as_deref()), level)?,
            Event::Scalar(text, style, 0, None) if is_null(&text, style) => {
                self.end = if range.is_empty() { self.end } else { range.end };
                Node { span: range, shape: Shape::Null }
            }
            Event::Scalar(text, style, anchor, tag) => {
                let said = if is_text(&text, style) { quoted(&text) } else { text.into_owned() };
                // A block's text ends with line breaks, and the parser's span with the next line's indentation.
                let raw = self.text.get(range.clone()).unwrap_or_default();
                self.end = range.start + raw.trim_end_matches([' ', '\n', '\r']).len();
                let mark = mark(anchor, tag.as_deref());
                Node { span: range.start..self.end, shape: Shape::Leaf(format!("{mark}{said}")) }
            }
            Event::Alias(anchor) => {
                self.end = range.end;
                Node { span: range, shape: Shape::Leaf(format!("*{anchor}")) }
            }
            _ => return Err(self.no_room(span, "a value was expected here")),
        })
    }

    fn map(
        &mut self,
        start: Range<usize>,
        style: Style,
        mark: String,
        level: usize,
    ) -> Result<Node, EditError> {
        let mut pairs = Vec::new();
        if !mark.is_empty() {
            let value = Node { span: start.clone(), shape: Shape::Null };
            pairs.push(Pair { key: mark, key_span: start.clone(), value });
        }
        loop {
            let (event, span) = self.next(start.start)?;
            if event == Event::MappingEnd {
                return Ok(Node { span: self.closed(&start, span), shape: Shape::Map { pairs, style } });
            }
            pairs.push(self.pair(event, span, level)?);
        }
    }

    fn pair(&mut self, event: Event<'a>, span: Span, level: usize) -> Result<Pair, EditError> {
        let key_span = span.byte_range().unwrap_or_default();
        let key = match event {
            Event::Scalar(text, _, 0, None) => {
                self.end = key_span.end;
                text.into_owned()
            }
            // A key that is no plain text is nobody's name: it only has to stay the same.
            other => format!("\u{0}{:?}", Content::of(&self.node(other, span, level + 1)?)),
        };
        let (event, span) = self.next(key_span.end)?;
        let mut value = self.node(event, span, level + 1)?;
        if value.span.is_empty() && matches!(value.shape, Shape::Null) {
            value.span = key_span.end..key_span.end;
        }
        Ok(Pair { key, key_span, value })
    }

    fn list(&mut self, start: Range<usize>, mark: String, level: usize) -> Result<Node, EditError> {
        let mut items = Vec::new();
        if !mark.is_empty() {
            items.push(Node { span: start.clone(), shape: Shape::Leaf(mark) });
        }
        loop {
            let (event, span) = self.next(start.start)?;
            if event == Event::SequenceEnd {
                return Ok(Node { span: self.closed(&start, span), shape: Shape::List(items) });
            }
            items.push(self.node(event, span, level + 1)?);
        }
    }

    /// From where a collection starts to its bracket, or to the end of its last value.
    fn closed(&mut self, start: &Range<usize>, end: Span) -> Range<usize> {
        let bracket = end.byte_range().filter(|range| !range.is_empty()).map_or(0, |range| range.end);
        self.end = self.end.max(bracket).max(start.end);
        start.start..self.end
    }

    fn next(&mut self, at: usize) -> Result<(Event<'a>, Span), EditError> {
        let ends = EditError::NoRoom { place: Place::of(self.text, at), why: "this never ends".to_owned() };
        self.events.next().ok_or(ends)
    }

    fn no_room(&self, span: Span, why: &str) -> EditError {
        let at = span.byte_range().map_or(0, |range| range.start);
        EditError::NoRoom { place: Place::of(self.text, at), why: why.to_owned() }
    }
}

fn block(style: StructureStyle) -> Style {
    match style {
        StructureStyle::Block => Style::Block,
        StructureStyle::Flow => Style::Braces,
    }
}

/// What an anchor and a tag add to a value.
fn mark(anchor: usize, tag: Option<&Tag>) -> String {
    match (anchor, tag) {
        (0, None) => String::new(),
        (anchor, tag) => format!("\u{0}&{anchor} {} ", tag.map(Tag::original).unwrap_or_default()),
    }
}

/// Whether a scalar is a text: quoted, or no number and no truth value.
fn is_text(text: &str, style: ScalarStyle) -> bool {
    let word = text.to_ascii_lowercase();
    let special = matches!(word.as_str(), "true" | "false" | ".inf" | "-.inf" | "+.inf" | ".nan");
    let number = text.parse::<f64>().is_ok() || word.starts_with("0x") || word.starts_with("0o");
    style != ScalarStyle::Plain || !(special || number)
}

fn is_null(text: &str, style: ScalarStyle) -> bool {
    style == ScalarStyle::Plain && matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

fn leaf(data: &Data) -> String {
    match data {
        Data::Text(text) => quoted(text),
        Data::Texts(texts) => {
            format!("[{}]", texts.iter().map(|text| quoted(text)).collect::<Vec<_>>().join(", "))
        }
        Data::Flag(flag) => flag.to_string(),
        Data::Number(number) => number.to_string(),
        Data::Map(_) => "{}".to_owned(),
    }
}
