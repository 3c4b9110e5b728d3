//! YAML as a tree in which every node knows its place.
//!
//! Only what a policy needs: one document of maps with plain keys, lists and scalars. Anchors, aliases, merge keys,
//! tags and directives are refused, so that the text means what it shows and cannot grow when it is read.
use std::collections::HashSet;

use granit_parser::{Event, Marker, Parser, ScalarStyle, Span};

use crate::PolicyError;
use crate::error::{Place, printable};

/// Deep enough for any policy, shallow enough for recursion.
const MAX_DEPTH: usize = 16;

/// A value and its place.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) at: Place,
    pub(crate) value: Value,
}

/// What a node holds.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    Map(Vec<Entry>),
    List(Vec<Node>),
    /// In quotes, or a block: text whatever it looks like.
    Quoted(String),
    /// Without quotes: text, a number, a truth value or nothing, by its looks.
    Plain(String),
}

/// A key of a map with its value.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) at: Place,
    pub(crate) node: Node,
}

impl Node {
    /// Where each item of a list stands; nothing for what is no list.
    pub(crate) fn item_places(&self) -> Vec<Place> {
        match &self.value {
            Value::List(items) => items.iter().map(|item| item.at).collect(),
            _ => Vec::new(),
        }
    }
}

/// Reads the only document of `text`.
pub(crate) fn parse(text: &str) -> Result<Node, PolicyError> {
    let mut options = granit_parser::Options::default();
    options.set_emit_comments(false);
    options.strict_indentation = true;
    options.disallow_directives = true;
    options.flow_nesting_limit = MAX_DEPTH;
    options.block_nesting_limit = MAX_DEPTH;
    let mut reader = Reader { events: Parser::new_from_str_with_options(text, options) };
    reader.document()
}

struct Reader<I> {
    events: I,
}

type Step<'a> = Result<(Event<'a>, Span), granit_parser::ScanError>;

impl<'a, I: Iterator<Item = Step<'a>>> Reader<I> {
    fn document(&mut self) -> Result<Node, PolicyError> {
        let root = loop {
            match self.next()? {
                (Event::StreamStart | Event::DocumentStart(..), _) => {}
                (Event::StreamEnd, at) => return Err(at.error("the policy is empty")),
                (event, at) => break self.node(event, at, 0)?,
            }
        };
        loop {
            match self.next()? {
                (Event::DocumentEnd, _) => {}
                (Event::StreamEnd, _) => return Ok(root),
                (_, at) => return Err(at.error("a policy is one YAML document; here a second one begins")),
            }
        }
    }

    fn next(&mut self) -> Result<(Event<'a>, Place), PolicyError> {
        match self.events.next() {
            Some(Ok((event, span))) => Ok((event, place(&span.start))),
            Some(Err(error)) => Err(place(error.marker()).error(error.info())),
            None => Err(Place::START.error("the text ends too early")),
        }
    }

    fn node(&mut self, event: Event<'a>, at: Place, depth: usize) -> Result<Node, PolicyError> {
        refuse_references(&event, at)?;
        if depth > MAX_DEPTH {
            return Err(at.error("nested too deeply"));
        }
        let value = match event {
            Event::Scalar(text, ScalarStyle::Plain, ..) => Value::Plain(text.into_owned()),
            Event::Scalar(text, ..) => Value::Quoted(text.into_owned()),
            Event::SequenceStart(..) => Value::List(self.list(depth)?),
            Event::MappingStart(..) => Value::Map(self.map(depth)?),
            _ => return Err(at.error("a value is missing")),
        };
        Ok(Node { at, value })
    }

    fn list(&mut self, depth: usize) -> Result<Vec<Node>, PolicyError> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(items),
                (event, at) => items.push(self.node(event, at, depth + 1)?),
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<Vec<Entry>, PolicyError> {
        let mut entries = Vec::new();
        let mut seen = HashSet::new();
        loop {
            let (event, at) = self.next()?;
            let key = match event {
                Event::MappingEnd => return Ok(entries),
                event => key(event, at)?,
            };
            if !seen.insert(key.clone()) {
                return Err(at.error(format!("the key `{}` stands here twice", printable(&key))));
            }
            let (event, value_at) = self.next()?;
            entries.push(Entry { key, at, node: self.node(event, value_at, depth + 1)? });
        }
    }
}

fn key(event: Event<'_>, at: Place) -> Result<String, PolicyError> {
    refuse_references(&event, at)?;
    match event {
        Event::Scalar(text, ScalarStyle::Plain, ..) if text == "<<" => {
            Err(at.error("merge keys are not supported: write the keys out"))
        }
        Event::Scalar(text, ..) => Ok(text.into_owned()),
        _ => Err(at.error("a key must be a word")),
    }
}

fn refuse_references(event: &Event<'_>, at: Place) -> Result<(), PolicyError> {
    if event.anchor_id().is_some() || event.is_alias() {
        return Err(at.error("anchors and aliases are not supported: write the value out"));
    }
    if event.tag().is_some() {
        return Err(at.error("tags are not supported"));
    }
    Ok(())
}

fn place(marker: &Marker) -> Place {
    Place { line: marker.line().max(1), column: marker.col() + 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> (usize, usize, String) {
        let error = parse(text).unwrap_err();
        (error.line, error.column, error.message)
    }

    #[test]
    fn places_are_lines_and_columns_from_one() {
        let root = parse("a: 1\nb:\n  - {c: \"2\"}\n").unwrap();
        let Value::Map(entries) = root.value else { panic!() };
        assert_eq!(entries[0].node.at, Place { line: 1, column: 4 });
        let Value::List(items) = &entries[1].node.value else { panic!() };
        assert_eq!(items[0].at, Place { line: 3, column: 5 });
    }

    #[test]
    fn refuses_what_hides_or_multiplies() {
        for (text, line, column) in [
            ("a: 1\na: 2", 2, 1),
            ("a: 1\n\"a\": 2", 2, 1),
            ("a: &x 1", 1, 7),
            ("a: 1\nb: *x", 2, 4),
            ("a: 1\n<<: {b: 1}", 2, 1),
            ("a: !!str 1", 1, 10),
            ("a: 1\n---\nb: 1", 2, 1),
            ("%YAML 1.2\n---\na: 1", 1, 1),
            ("[a]: 1", 1, 1),
            ("a: [b", 1, 4),
        ] {
            let (l, c, message) = refused(text);
            assert_eq!((l, c), (line, column), "{text:?}: {message}");
        }
    }

    #[test]
    fn depth_is_bounded() {
        assert!(parse(&"[".repeat(100_000)).is_err());
        assert!(parse(&format!("a: {}1{}", "[".repeat(40), "]".repeat(40))).is_err());
        assert!(parse(&(0..40).map(|n| format!("{}a:\n", " ".repeat(n))).collect::<String>()).is_err());
    }
}
