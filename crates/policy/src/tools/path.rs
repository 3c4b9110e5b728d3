//! Where a condition looks: `args.payee.id`, `args["dotted.key"]`, `args.items[0]`, `state.send_payment.cents_today`.

use std::fmt;

use crate::error::printable;
use crate::json::{Json, Object};

/// A way into the arguments of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Path {
    text: String,
    segments: Vec<Segment>,
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
        Ok(Self { text: text.to_owned(), segments })
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

    /// What stands there, if anything does.
    pub(crate) fn find<'a>(&self, arguments: &'a Object) -> Option<&'a Json> {
        let (first, rest) = self.segments.split_first()?;
        let Segment::Key(key) = first else { return None };
        rest.iter().try_fold(arguments.get(key)?, |value, segment| match segment {
            Segment::Key(key) => value.get(key),
            Segment::Index(index) => value.as_array()?.get(*index),
        })
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
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
        Path::parse(path).unwrap().find(json.as_object().unwrap()).map(Json::to_string)
    }

    #[test]
    fn finds_what_stands_there() {
        let arguments = r#"{"a":{"b":[1,{"c":2}]},"d.e":3,"n":null,"A":4}"#;
        for (path, found) in [
            ("args.a.b[1].c", Some("2")),
            ("args.a.b[0]", Some("1")),
            ("args[\"d.e\"]", Some("3")),
            ("args.n", Some("null")),
            ("args.A", Some("4")),
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
                path.find(&Object::default());
                prop_assert_eq!(Path::parse(&path.to_string()), Ok(path));
            }
        }
    }
}
