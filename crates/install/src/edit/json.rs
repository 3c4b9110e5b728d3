//! JSON, with the comments and trailing commas that editors allow.

use std::ops::Range;

use jsonc_parser::ast::Value;
use jsonc_parser::common::Ranged as _;
use jsonc_parser::tokens::Token;
use jsonc_parser::{CollectOptions, CommentCollectionStrategy, ParseOptions, parse_to_ast};

use super::data::{Data, quoted};
use super::node::{Node, Pair, Shape, Style};
use super::splice::{Splice, indent, missing_newline, newline};
use super::{EditError, Edited, Place, Source};

/// What editors and their agents read: comments and trailing commas, and nothing else beyond JSON.
const DIALECT: ParseOptions = ParseOptions {
    allow_comments: true,
    allow_trailing_commas: true,
    allow_loose_object_property_names: false,
    allow_missing_commas: false,
    allow_single_quoted_strings: false,
    allow_hexadecimal_numbers: false,
    allow_unary_plus_numbers: false,
    allow_bare_decimal_point_numbers: false,
    allow_non_finite_numbers: false,
    allow_extended_string_escapes: false,
};

pub(super) struct Json<'a> {
    text: &'a str,
    /// Every token and comment, in order.
    tokens: Vec<(Range<usize>, Kind)>,
    root: Node,
    /// There is no value at all.
    bare: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Comma,
    LineComment,
    BlockComment,
    Other,
}

impl Kind {
    fn is_comment(self) -> bool {
        matches!(self, Self::LineComment | Self::BlockComment)
    }
}

impl<'a> Json<'a> {
    pub(super) fn read(text: &'a str) -> Result<Self, EditError> {
        let collect = CollectOptions { comments: CommentCollectionStrategy::AsTokens, tokens: true };
        let parsed = parse_to_ast(text, &collect, &DIALECT).map_err(|error| EditError::Syntax {
            place: Place::of(text, error.range().start),
            why: error.kind().to_string(),
        })?;
        let tokens = parsed.tokens.unwrap_or_default();
        let tokens =
            tokens.iter().map(|token| (token.range.start..token.range.end, kind(&token.token))).collect();
        let root = parsed.value.as_ref().map(node);
        Ok(Self { text, tokens, bare: root.is_none(), root: root.unwrap_or_else(|| Node::empty(text.len())) })
    }

    /// The comma that follows this byte before anything else does, comments aside.
    fn comma_after(&self, at: usize) -> Option<&Range<usize>> {
        let mut after = self.tokens.iter().filter(|(range, _)| range.start >= at);
        let first = after.find(|(_, kind)| !kind.is_comment())?;
        (first.1 == Kind::Comma).then_some(&first.0)
    }

    /// The end of the last comment that stands on the line after this byte, or the byte itself.
    fn after_comments(&self, at: usize) -> usize {
        let comments = self.tokens.iter().filter(|(range, _)| range.start >= at);
        comments
            .take_while(|(_, kind)| kind.is_comment())
            .take_while(|(range, _)| !self.text[at..range.start].contains('\n'))
            .last()
            .map_or(at, |(range, _)| range.end)
    }

    /// The end of the last comment within this range.
    fn last_comment(&self, within: &Range<usize>) -> Option<usize> {
        let inside =
            self.tokens.iter().filter(|(range, _)| range.start > within.start && range.end < within.end);
        inside.filter(|(_, kind)| kind.is_comment()).map(|(range, _)| range.end).next_back()
    }

    /// One step of indentation, as the file has it.
    fn unit(&self) -> &str {
        let first = self.root.pairs().first().map(|pair| indent(self.text, pair.key_span.start));
        first.filter(|indent| !indent.is_empty()).unwrap_or("  ")
    }

    fn is_one_line(&self, map: &Node) -> bool {
        let until = map.pairs().first().map_or(map.span.end, |pair| pair.key_span.start);
        !self.text[map.span.start..until].contains('\n')
    }

    fn pair_text(&self, key: &str, data: &Data, outer: Option<&str>) -> String {
        format!("{}: {}", quoted(key), self.value_text(data, outer))
    }

    /// A value, on one line, or on several from the indentation of its own.
    fn value_text(&self, data: &Data, outer: Option<&str>) -> String {
        match (data, outer) {
            (Data::Map(pairs), None) => {
                let pairs: Vec<String> =
                    pairs.iter().map(|(key, data)| self.pair_text(key, data, None)).collect();
                format!("{{{}}}", pairs.join(", "))
            }
            (Data::Map(pairs), Some(outer)) if !pairs.is_empty() => {
                let (end, inner) = (newline(self.text), format!("{outer}{}", self.unit()));
                let pairs: Vec<String> = pairs
                    .iter()
                    .map(|(key, data)| format!("{inner}{}", self.pair_text(key, data, Some(&inner))))
                    .collect();
                format!("{{{end}{}{end}{outer}}}", pairs.join(&format!(",{end}")))
            }
            _ => leaf(data),
        }
    }

    /// Into a map that has pairs already: after the last of them.
    fn append(&self, map: &Node, last: &Pair, key: &str, data: &Data) -> Vec<Splice> {
        let end = last.value.span.end;
        let trailing = self.comma_after(end).map(|comma| comma.end);
        let comma = if trailing.is_some() { "," } else { "" };
        if self.is_one_line(map) {
            let pair = self.pair_text(key, data, None);
            return vec![match trailing {
                Some(at) => Splice::insert(at, format!(" {pair},")),
                None => Splice::insert(end, format!(", {pair}")),
            }];
        }
        let inner = indent(self.text, map.pairs().first().map_or(end, |pair| pair.key_span.start));
        let pair = self.pair_text(key, data, Some(inner));
        let at = self.after_comments(trailing.unwrap_or(end));
        let mut splices = Vec::new();
        if trailing.is_none() {
            splices.push(Splice::insert(end, ","));
        }
        splices.push(Splice::insert(at, format!("{}{inner}{pair}{comma}", newline(self.text))));
        splices
    }

    /// Into a map without pairs.
    fn fill(&self, map: &Node, key: &str, data: &Data) -> Vec<Splice> {
        let minified = !self.root.pairs().is_empty() && !self.text[self.root.span.clone()].contains('\n');
        let inside = map.span.start + 1..map.span.end - 1;
        if minified && self.last_comment(&map.span).is_none() {
            return vec![Splice::replace(inside, self.pair_text(key, data, None))];
        }
        let (end, outer) = (newline(self.text), indent(self.text, map.span.start));
        let inner = format!("{outer}{}", self.unit());
        let pair = format!("{end}{inner}{}", self.pair_text(key, data, Some(&inner)));
        match self.last_comment(&map.span) {
            None => vec![Splice::replace(inside, format!("{pair}{end}{outer}"))],
            Some(at) if self.text[at..inside.end].contains('\n') => vec![Splice::insert(at, pair)],
            Some(at) => vec![Splice::insert(at, format!("{pair}{end}{outer}"))],
        }
    }
}

impl Source for Json<'_> {
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
        let single = || Data::Map(vec![(key.to_owned(), data.clone())]);
        Ok(match (map.pairs().last(), owner) {
            (Some(last), _) => self.append(map, last, key, data),
            (None, _) if self.bare => {
                let root = self.value_text(&single(), Some(""));
                let text = format!("{}{root}{}", missing_newline(self.text), newline(self.text));
                vec![Splice::insert(self.text.len(), text)]
            }
            (None, Some(owner)) if matches!(map.shape, Shape::Null) => return self.replace(owner, &single()),
            (None, _) if matches!(map.shape, Shape::Null) => {
                vec![Splice::replace(map.span.clone(), self.value_text(&single(), Some("")))]
            }
            (None, _) => self.fill(map, key, data),
        })
    }

    fn replace(&self, pair: &Pair, data: &Data) -> Edited {
        let outer = indent(self.text, pair.key_span.start);
        Ok(vec![Splice::replace(pair.value.span.clone(), self.value_text(data, Some(outer)))])
    }

    fn remove(&self, map: &Node, index: usize) -> Edited {
        let Some(pair) = map.pairs().get(index) else { return Ok(Vec::new()) };
        if map.pairs().len() == 1 && self.is_without_comments(map, pair) {
            return Ok(vec![Splice::delete(map.span.start + 1..map.span.end - 1)]);
        }
        let next = self.comma_after(pair.value.span.end).map(|comma| comma.end);
        let end = next.unwrap_or(pair.value.span.end);
        let mut splices = vec![Splice::delete(self.start_before(pair, end)..end)];
        let previous = index.checked_sub(1).and_then(|previous| map.pairs().get(previous));
        if let (None, Some(previous)) = (next, previous) {
            splices.extend(self.comma_after(previous.value.span.end).cloned().map(Splice::delete));
        }
        Ok(splices)
    }
}

impl Json<'_> {
    /// Whether this map has no comments outside of its only pair.
    fn is_without_comments(&self, map: &Node, pair: &Pair) -> bool {
        let inside =
            self.tokens.iter().filter(|(range, _)| range.start > map.span.start && range.end < map.span.end);
        let mut outside = inside
            .filter(|(range, _)| range.start < pair.key_span.start || range.start >= pair.value.span.end);
        !outside.any(|(_, kind)| kind.is_comment())
    }

    /// Where a pair that goes begins: with the white space before it. A line comment keeps its line break, unless
    /// another follows.
    fn start_before(&self, pair: &Pair, end: usize) -> usize {
        let before = self.tokens.iter().rfind(|(range, _)| range.end <= pair.key_span.start);
        let rest = self.text[end..].trim_start_matches([' ', '\t', '\r']);
        match before {
            Some((_, Kind::LineComment)) if !rest.starts_with('\n') => pair.key_span.start,
            Some((range, _)) => range.end,
            None => pair.key_span.start,
        }
    }
}

fn kind(token: &Token<'_>) -> Kind {
    match token {
        Token::Comma => Kind::Comma,
        Token::CommentLine(_) => Kind::LineComment,
        Token::CommentBlock(_) => Kind::BlockComment,
        _ => Kind::Other,
    }
}

/// The parser bounds the depth.
fn node(value: &Value<'_>) -> Node {
    let span = value.range().start..value.range().end;
    let shape = match value {
        Value::Object(object) => {
            let pairs = object.properties.iter().map(|property| Pair {
                key: property.name.as_str().to_owned(),
                key_span: property.name.range().start..property.name.range().end,
                value: node(&property.value),
            });
            Shape::Map { pairs: pairs.collect(), style: Style::Braces }
        }
        Value::Array(array) => Shape::List(array.elements.iter().map(node).collect()),
        Value::NullKeyword(_) => Shape::Null,
        Value::StringLit(text) => Shape::Leaf(quoted(&text.value)),
        Value::NumberLit(number) => Shape::Leaf(number.value.to_owned()),
        Value::BooleanLit(flag) => Shape::Leaf(flag.value.to_string()),
    };
    Node { span, shape }
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
