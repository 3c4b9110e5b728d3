//! Where a condition looks: `args.payee.id`, `args["dotted.key"]`, `args.items[0]`, `state.send_payment.cents_today`.

use std::collections::HashMap;
use std::fmt;

use crate::error::printable;
use crate::json::{Json, Object};

/// A way into the arguments of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Path {
    text: String,
    segments: Vec<Segment>,
    /// Its number among the policy's paths.
    slot: usize,
}

/// One step on the way.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    Key(String),
    Index(usize),
}

impl Path {
    /// Reads a path that begins with `args`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let rest =
            text.strip_prefix("args").filter(|rest| rest.starts_with(['.', '['])).ok_or_else(|| {
                format!("`{}` is no path into the arguments: it begins with args.", printable(text))
            })?;
        let segments = segments(rest).ok_or_else(|| {
            format!("`{}` is no path: write args.a.b, args[\"a.b\"] or args.a[0]", printable(text))
        })?;
        Ok(Self { text: text.to_owned(), segments, slot: 0 })
    }

    /// Puts a value in the place of what stands there, if anything does.
    pub(crate) fn replace(&self, arguments: &mut Json, value: Json) {
        let place = self.segments.iter().try_fold(arguments, |at, segment| match (segment, at) {
            (Segment::Key(key), Json::Object(object)) => object.get_mut(key),
            (Segment::Index(index), Json::Array(items)) => items.get_mut(*index),
            _ => None,
        });
        if let Some(place) = place {
            *place = value;
        }
    }

    /// The path as it is spelled in these arguments: with each key in the letters in which it stands there.
    pub(crate) fn spelled_in(&self, arguments: &Object) -> Vec<Self> {
        let mut spelled = vec![(Vec::new(), None::<&Json>)];
        for segment in &self.segments {
            let steps = spelled.into_iter().flat_map(|(way, at)| {
                next_steps(segment, arguments, way.is_empty(), at)
                    .into_iter()
                    .map(move |(step, value)| ([way.clone(), vec![step]].concat(), Some(value)))
            });
            spelled = steps.collect();
        }
        spelled
            .into_iter()
            .map(|(segments, _)| Self { text: self.text.clone(), segments, slot: self.slot })
            .collect()
    }

    /// The path with its number among the policy's: those of the same text have the same.
    pub(crate) fn numbered(self, known: &mut HashMap<String, usize>) -> Self {
        let next = known.len();
        let slot = *known.entry(self.text.clone()).or_insert(next);
        Self { slot, ..self }
    }

    /// The number that [`Self::numbered`] gave it.
    pub(crate) fn slot(&self) -> usize {
        self.slot
    }

    /// What stands there, if anything does.
    ///
    /// # Errors
    /// A key on the way stands there in other letter case, alone or beside the right one: many servers take it for the
    /// key itself (Go's do), so nobody can say what this one will see. Or what stands there has a number with more digits
    /// than are compared.
    pub(crate) fn find<'a>(&self, arguments: &'a Object) -> Result<Option<&'a Json>, String> {
        let mut at: Option<&'a Json> = None;
        for (depth, segment) in self.segments.iter().enumerate() {
            let next = match (segment, depth, at) {
                (Segment::Key(key), 0, _) => look_up(arguments, key),
                (Segment::Key(key), _, Some(Json::Object(object))) => look_up(object, key),
                (Segment::Index(index), _, Some(Json::Array(items))) => Ok(items.get(*index)),
                _ => Ok(None),
            };
            let next =
                next.map_err(|name| format!("`{}` stands where {self} is looked for", printable(name)))?;
            let Some(next) = next else { return Ok(None) };
            at = Some(next);
        }
        match at {
            Some(value) if !value.is_exact() => Err(format!("{self} has a number with too many digits")),
            at => Ok(at),
        }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&printable(&self.text))
    }
}

/// Where a segment leads to from a value, in whatever letters its key stands there.
fn next_steps<'a>(
    segment: &Segment,
    arguments: &'a Object,
    first: bool,
    at: Option<&'a Json>,
) -> Vec<(Segment, &'a Json)> {
    let object = if first { Some(arguments) } else { at.and_then(Json::as_object) };
    match segment {
        Segment::Key(key) => {
            let named = object.into_iter().flat_map(Object::iter);
            let named = named.filter(|(name, _)| *name == key || is_variant(name, key));
            named.map(|(name, value)| (Segment::Key(name.to_owned()), value)).collect()
        }
        Segment::Index(index) => {
            let item = at.and_then(Json::as_array).and_then(|items| items.get(*index));
            item.map(|item| (segment.clone(), item)).into_iter().collect()
        }
    }
}

/// The value under a key; or a key that differs from it in letter case alone.
fn look_up<'a>(object: &'a Object, key: &str) -> Result<Option<&'a Json>, &'a str> {
    let mut found = None;
    for (name, value) in object.iter() {
        if name == key {
            found = Some(value);
        } else if is_variant(name, key) {
            return Err(name);
        }
    }
    Ok(found)
}

/// Whether the two differ in letter case alone, as Go's decoder folds it: two letters outside ASCII fold into it, and
/// are longer than what they fold to.
pub(super) fn is_variant(name: &str, key: &str) -> bool {
    if name.len() == key.len() {
        return name.eq_ignore_ascii_case(key);
    }
    name.len() > key.len() && !name.is_ascii() && {
        let folded = |c: char| match c {
            '\u{17f}' => 's',
            '\u{212a}' => 'k',
            c => c.to_ascii_lowercase(),
        };
        name.chars().map(folded).eq(key.chars().map(folded))
    }
}

/// `.key`, `["key"]` and `[0]`, one after the other.
fn segments(mut rest: &str) -> Option<Vec<Segment>> {
    let mut segments = Vec::new();
    while !rest.is_empty() {
        let (segment, after) = match rest.strip_prefix('.') {
            Some(key) => key_segment(key)?,
            None => bracket_segment(rest.strip_prefix('[')?)?,
        };
        segments.push(segment);
        rest = after;
    }
    Some(segments)
}

fn key_segment(text: &str) -> Option<(Segment, &str)> {
    let (key, rest) = text.split_at(text.find(['.', '[']).unwrap_or(text.len()));
    (!key.is_empty()).then(|| (Segment::Key(key.to_owned()), rest))
}

fn bracket_segment(text: &str) -> Option<(Segment, &str)> {
    if let Some(quoted) = text.strip_prefix('"') {
        let (key, rest) = quoted.split_once("\"]")?;
        return Some((Segment::Key(key.to_owned()), rest));
    }
    let (digits, rest) = text.split_once(']')?;
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    let index = digits.parse().ok().filter(|_| plain)?;
    Some((Segment::Index(index), rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(path: &str, arguments: &str) -> Option<String> {
        let json = Json::parse(arguments.as_bytes()).unwrap();
        Path::parse(path).unwrap().find(json.as_object().unwrap()).unwrap().map(Json::to_string)
    }

    #[test]
    fn finds_what_stands_there() {
        let arguments = r#"{"a":{"b":[1,{"c":2}]},"d.e":3,"n":null,"Z":4}"#;
        for (path, found) in [
            ("args.a.b[1].c", Some("2")),
            ("args.a.b[0]", Some("1")),
            ("args[\"d.e\"]", Some("3")),
            ("args.n", Some("null")),
            ("args.Z", Some("4")),
            ("args.a.c", None),
            ("args.d.e", None),
            ("args.a.b[2]", None),
            ("args.a[0]", None),
            ("args.n.x", None),
            ("args.a.b.0", None),
        ] {
            assert_eq!(at(path, arguments).as_deref(), found, "{path}");
        }
    }

    #[test]
    fn a_key_in_other_letters_is_not_passed_over() {
        for (path, arguments) in [
            ("args.cents", r#"{"cents":1,"Cents":999}"#),
            ("args.cents", r#"{"CENTS":999}"#),
            ("args.to.kid", r#"{"to":{"\u212aid":1}}"#),
            ("args.sum", r#"{"\u017fum":1}"#),
            ("args.payeeId", r#"{"payeeid":1}"#),
        ] {
            let json = Json::parse(arguments.as_bytes()).unwrap();
            assert!(
                Path::parse(path).unwrap().find(json.as_object().unwrap()).is_err(),
                "{path} {arguments}"
            );
        }
    }

    #[test]
    fn refuses_what_is_no_path() {
        for text in [
            "",
            "args",
            "args.",
            "args..a",
            "arg.a",
            "args.a.",
            "args[",
            "args[]",
            "args[-1]",
            "args[x]",
            "args[\"a\"",
            "args.a[0",
            "argsx.a",
            "args[+1]",
            "state.a.b",
        ] {
            assert!(Path::parse(text).is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in "args[a-z.\\[\\]\"0-9é]{0,20}") {
            if let Ok(path) = Path::parse(&text) {
                prop_assert!(path.find(&Object::default()).is_ok());
                prop_assert_eq!(Path::parse(&path.text.clone()), Ok(path));
            }
        }
    }
}
