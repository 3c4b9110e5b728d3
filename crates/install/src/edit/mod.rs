//! The pure part: a configuration's text with the entry in it, and without. Nothing else in it changes.
//!
//! Each format is read by a parser that knows places, and changed at these places only. What comes out is read again:
//! unless it says the same as before but for the entry, nothing is given out.

mod data;
mod json;
mod node;
mod splice;
mod toml;
mod veil;
mod yaml;

use std::fmt;

pub(crate) use data::Data;
use node::{Content, Node, Pair};
use splice::Splice;
pub(crate) use veil::veiled;

/// How a client's file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// JSON, with comments and trailing commas where they stand already.
    Json,
    /// TOML.
    Toml,
    /// YAML, in blocks.
    Yaml,
}

/// A place in a text, counted from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

impl Place {
    fn of(text: &str, at: usize) -> Self {
        let before = text.get(..at).unwrap_or(text);
        let line = before.matches('\n').count() + 1;
        Self { line, column: before[splice::line_start(before, before.len())..].chars().count() + 1 }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// Why a text is left as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// It is not what its format allows.
    #[error("{place}: {why}")]
    Syntax {
        /// Where.
        place: Place,
        /// What is wrong.
        why: String,
    },
    /// It can be read, but what is there leaves no place for the entry that is safe.
    #[error("{place}: {why}")]
    NoRoom {
        /// Where.
        place: Place,
        /// What stands in the way, and what to do.
        why: String,
    },
    /// What stands under the entry's name is somebody else's.
    #[error("{place}: there is an entry `{name}` that starts no program: remove it, or choose another name")]
    Foreign {
        /// Where.
        place: Place,
        /// The name.
        name: String,
    },
    /// Read again, the changed text would say something else elsewhere.
    #[error("it cannot be changed with certainty that nothing but the entry changes; change it by hand")]
    Unsure,
}

/// Where the entry stands, and what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target<'a> {
    pub(crate) format: Format,
    /// The maps around the entry, outermost first.
    pub(crate) path: &'a [&'a str],
    pub(crate) name: &'a str,
    /// The key that says which program is started: an entry without it is somebody else's.
    pub(crate) program: &'a str,
}

/// A key of the entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) key: String,
    pub(crate) data: Data,
    /// Set in an entry that is there already, too. The others are only how an entry begins: what became of them since
    /// is the user's.
    pub(crate) kept: bool,
}

/// A text that was read, and how its format is changed.
trait Source {
    fn text(&self) -> &str;
    fn root(&self) -> &Node;
    /// A further pair in `map`, which is the value of `owner`, or the whole text.
    fn insert(&self, map: &Node, owner: Option<&Pair>, path: &[&str], key: &str, data: &Data) -> Edited;
    /// Another value for a pair.
    fn replace(&self, pair: &Pair, data: &Data) -> Edited;
    /// The map without its pair of this index.
    fn remove(&self, map: &Node, index: usize) -> Edited;
    /// What a value's text is in the tree.
    fn leaf(&self) -> fn(&Data) -> String;
}

type Edited = Result<Vec<Splice>, EditError>;

fn read(format: Format, text: &str) -> Result<Box<dyn Source + '_>, EditError> {
    Ok(match format {
        Format::Json => Box::new(json::Json::read(text)?),
        Format::Toml => Box::new(toml::Toml::read(text)?),
        Format::Yaml => Box::new(yaml::Yaml::read(text)?),
    })
}

/// The text with the entry in it. The same text, when the entry says so already.
pub(crate) fn put(text: &str, target: &Target<'_>, fields: &[Field]) -> Result<String, EditError> {
    change(text, target, |source| putting(source, target, fields))
}

/// The text without the entry, and without a map that it leaves with nothing, not even a comment. The same text, when there is none.
pub(crate) fn take(text: &str, target: &Target<'_>) -> Result<String, EditError> {
    match change(text, target, |source| taking(source, target, true)) {
        // In YAML a comment of the emptied map may become part of the text above it: the map stays then.
        Err(EditError::Unsure) => change(text, target, |source| taking(source, target, false)),
        taken => taken,
    }
}

/// The keys of the map at this path, where there is one.
pub(crate) fn keys(format: Format, text: &str, path: &[&str]) -> Result<Option<Vec<String>>, EditError> {
    let source = read(format, without_bom(text))?;
    let found = pair_at(source.as_ref(), path)?.filter(|pair| pair.value.style().is_some());
    Ok(found.map(|map| map.value.pairs().iter().map(|pair| pair.key.clone()).collect()))
}

/// What the entry says now, as far as Farthing could have written it. An entry that is somebody else's is an error.
pub(crate) fn entry(text: &str, target: &Target<'_>) -> Result<Option<Vec<Field>>, EditError> {
    let source = read(target.format, without_bom(text))?;
    let path: Vec<&str> = target.path.iter().chain([&target.name]).copied().collect();
    let Some(pair) = pair_at(source.as_ref(), &path)? else { return Ok(None) };
    check_ours(source.as_ref(), pair, target)?;
    let field = |pair: &Pair| Some(Field { key: pair.key.clone(), data: Data::of(&pair.value)?, kept: true });
    Ok(pair.value.pairs().iter().map(field).collect())
}

fn pair_at<'a>(source: &'a dyn Source, path: &[&str]) -> Result<Option<&'a Pair>, EditError> {
    let (mut map, mut found) = (source.root(), None);
    for key in path {
        let Some(pair) = only(source, map, key)? else { return Ok(None) };
        (map, found) = (&pair.value, Some(pair));
    }
    Ok(found)
}

fn without_bom(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

/// Makes one change after the other, until the plan is content.
fn change(
    text: &str,
    target: &Target<'_>,
    plan: impl Fn(&dyn Source) -> Edited,
) -> Result<String, EditError> {
    const MOST: usize = 32;
    let body = without_bom(text);
    let before = rest(target, body)?;
    let mut changed = body.to_owned();
    for _ in 0..MOST {
        let splices = plan(read(target.format, &changed)?.as_ref())?;
        if splices.is_empty() {
            let same = rest(target, &changed)? == before;
            return same
                .then(|| format!("{}{changed}", &text[..text.len() - body.len()]))
                .ok_or(EditError::Unsure);
        }
        let next = splice::apply(&changed, splices);
        read(target.format, &next).map_err(|_| EditError::Unsure)?;
        changed = next;
    }
    Err(EditError::Unsure)
}

fn rest(target: &Target<'_>, text: &str) -> Result<Content, EditError> {
    Ok(Content::besides(read(target.format, text)?.root(), target.path, target.name))
}

fn putting(source: &dyn Source, target: &Target<'_>, fields: &[Field]) -> Edited {
    let (mut map, mut owner) = (source.root(), None);
    for (depth, key) in target.path.iter().chain([&target.name]).enumerate() {
        check_map(source, map)?;
        let Some(pair) = only(source, map, key)? else {
            let inner: Vec<&str> =
                target.path.iter().chain([&target.name]).skip(depth + 1).copied().collect();
            return source.insert(map, owner, &target.path[..depth], key, &whole(fields).under(&inner));
        };
        (map, owner) = (&pair.value, Some(pair));
    }
    owner.map_or(Ok(Vec::new()), |entry| updating(source, entry, target, fields))
}

/// The first thing in which an entry that is there already differs.
fn updating(source: &dyn Source, entry: &Pair, target: &Target<'_>, fields: &[Field]) -> Edited {
    check_ours(source, entry, target)?;
    let mut path = target.path.to_vec();
    path.push(target.name);
    for field in fields.iter().filter(|field| field.kept) {
        match only(source, &entry.value, &field.key)? {
            Some(pair) if field.data.is(&pair.value, source.leaf()) => {}
            Some(pair) => return source.replace(pair, &field.data),
            None => return source.insert(&entry.value, Some(entry), &path, &field.key, &field.data),
        }
    }
    Ok(Vec::new())
}

/// Refuses an entry that starts no program: nobody but its owner changes it, or takes it away.
fn check_ours(source: &dyn Source, entry: &Pair, target: &Target<'_>) -> Result<(), EditError> {
    if only(source, &entry.value, target.program)?.is_some() {
        return Ok(());
    }
    let place = Place::of(source.text(), entry.key_span.start);
    Err(EditError::Foreign { place, name: target.name.to_owned() })
}

fn whole(fields: &[Field]) -> Data {
    Data::Map(fields.iter().map(|field| (field.key.clone(), field.data.clone())).collect())
}

fn taking(source: &dyn Source, target: &Target<'_>, with_emptied: bool) -> Edited {
    // The maps on the way, each with the index of the pair that leads on.
    let mut way = Vec::new();
    let mut map = source.root();
    for key in target.path.iter().chain([&target.name]) {
        let Some(pair) = only(source, map, key)? else { return Ok(Vec::new()) };
        way.push((map, map.pairs().iter().position(|other| std::ptr::eq(other, pair)).unwrap_or(0)));
        map = &pair.value;
    }
    while let [.., (outer, at), (inner, _)] = way.as_slice()
        && with_emptied
        && is_empty_besides(source.text(), &outer.pairs()[*at], inner)
    {
        way.pop();
    }
    way.last().map_or(Ok(Vec::new()), |(map, index)| source.remove(map, *index))
}

/// Whether the map that is the value of `owner` has one pair only, and no comment around it.
fn is_empty_besides(text: &str, owner: &Pair, map: &Node) -> bool {
    let [pair] = map.pairs() else { return false };
    let around = [owner.key_span.end..pair.key_span.start, pair.value.span.end..owner.value.span.end];
    // Besides comments there are only white space, brackets and marks.
    around.into_iter().all(|range| !text.get(range).unwrap_or_default().contains(['#', '/']))
}

fn check_map(source: &dyn Source, node: &Node) -> Result<(), EditError> {
    if node.holds_pairs() {
        return Ok(());
    }
    let place = Place::of(source.text(), node.span.start);
    Err(EditError::NoRoom { place, why: "a map was expected here".to_owned() })
}

/// The one pair with this key. Of two, clients may take either.
fn only<'a>(source: &dyn Source, map: &'a Node, key: &str) -> Result<Option<&'a Pair>, EditError> {
    let mut found = map.pairs().iter().filter(|pair| pair.key == key);
    let first = found.next();
    match found.next() {
        None => Ok(first),
        Some(second) => Err(EditError::NoRoom {
            place: Place::of(source.text(), second.key_span.start),
            why: format!("the key `{key}` stands here for a second time: remove one of the two"),
        }),
    }
}
