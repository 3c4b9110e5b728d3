//! A look at a message's top level, without a tree and without the whole message in memory.
//!
//! An answer of 20 MB passes as the bytes it came in; only which request it answers must be known. So the scan keeps
//! the few fields that say that, counts brackets, and skips the rest. It takes the message in pieces, so that even one
//! that is too large to be kept can be refused by its id.

use farthing_policy::json::Json;
use memchr::memchr2;

/// The longest key that can be a known one (each letter as `\u00xx`), and the longest id or method that is kept.
const MAX_KEY: usize = 64;
const MAX_VALUE: usize = 4096;
/// The keys of JSON-RPC's messages.
pub(super) const KNOWN: [&str; 6] = ["id", "method", "result", "error", "params", "jsonrpc"];

/// What stands at the top level of a message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shape {
    /// An object, a list, or neither.
    pub form: Form,
    /// `id`, if it is a text, a number or null.
    pub id: Option<Json>,
    /// `method`, if it is a text.
    pub method: Option<String>,
    /// Whether there is a `result`.
    pub result: bool,
    /// Whether there is an `error`.
    pub error: bool,
    /// Why two readers could understand the message differently.
    pub fault: Option<&'static str>,
}

/// What a message is on the outside.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Form {
    /// One object, complete.
    Object,
    /// The beginning of a list; a list is not looked into.
    List,
    /// Neither.
    #[default]
    Broken,
}

/// Reads a [`Shape`] from a message that comes in pieces.
#[derive(Debug, Default)]
pub struct Scan {
    at: At,
    depth: usize,
    escaped: bool,
    kept: Vec<u8>,
    overlong: bool,
    field: Option<usize>,
    seen: [bool; KNOWN.len()],
    shape: Shape,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum At {
    #[default]
    Start,
    FirstKey,
    Key,
    KeyText,
    Colon,
    Value,
    Text,
    Plain,
    Nested,
    NestedText,
    After,
    End,
    List,
    Broken,
}

impl Scan {
    /// The shape of a message that is there as a whole.
    #[must_use]
    pub fn of(message: &[u8]) -> Shape {
        let mut scan = Self::default();
        scan.feed(message);
        scan.finish()
    }

    /// Takes the next piece.
    pub fn feed(&mut self, mut piece: &[u8]) {
        while let Some(&byte) = piece.first() {
            let used = match self.at {
                At::KeyText | At::Text | At::NestedText => self.text(piece),
                At::Nested => self.nested(piece),
                At::Plain => self.plain(piece),
                At::List | At::Broken => piece.len(),
                _ => {
                    self.mark(byte);
                    1
                }
            };
            piece = &piece[used..];
        }
    }

    /// The shape, when the message has ended.
    #[must_use]
    pub fn finish(mut self) -> Shape {
        self.shape.form = match self.at {
            At::End => Form::Object,
            At::List => Form::List,
            _ => Form::Broken,
        };
        self.shape
    }

    /// One byte between the values.
    fn mark(&mut self, byte: u8) {
        if matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
            return;
        }
        self.at = match (self.at, byte) {
            (At::Start, b'{') => At::FirstKey,
            (At::Start, b'[') => At::List,
            (At::FirstKey | At::Key, b'"') => At::KeyText,
            (At::FirstKey | At::After, b'}') => At::End,
            (At::After, b',') => At::Key,
            (At::Colon, b':') => At::Value,
            (At::Value, b'"') => At::Text,
            (At::Value, b'{' | b'[') => {
                self.depth = 1;
                At::Nested
            }
            (At::Value, b'-' | b'0'..=b'9' | b't' | b'f' | b'n') => {
                self.kept.push(byte);
                At::Plain
            }
            _ => At::Broken,
        };
    }

    /// Within quotes, up to their end or the next escape.
    fn text(&mut self, piece: &[u8]) -> usize {
        if self.escaped {
            self.escaped = false;
            self.keep(&piece[..1]);
            return 1;
        }
        let Some(end) = memchr2(b'"', b'\\', piece) else {
            self.keep(piece);
            return piece.len();
        };
        if piece[end] == b'\\' {
            self.escaped = true;
            self.keep(&piece[..=end]);
        } else {
            self.keep(&piece[..end]);
            self.text_ends();
        }
        end + 1
    }

    fn text_ends(&mut self) {
        match self.at {
            At::KeyText => {
                self.key_ends();
                self.at = At::Colon;
            }
            At::Text => self.value_ends(true),
            _ => self.at = At::Nested,
        }
    }

    /// Within a list or an object below the top, up to its end or the next text.
    fn nested(&mut self, piece: &[u8]) -> usize {
        for (index, byte) in piece.iter().enumerate() {
            match byte {
                b'"' => {
                    self.at = At::NestedText;
                    return index + 1;
                }
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => {
                    self.depth -= 1;
                    if self.depth == 0 {
                        self.kept.extend_from_slice(b"[]");
                        self.value_ends(false);
                        return index + 1;
                    }
                }
                _ => {}
            }
        }
        piece.len()
    }

    /// Within a number or a word; what ends it is left for [`Self::mark`].
    fn plain(&mut self, piece: &[u8]) -> usize {
        let ends = |byte: &u8| matches!(byte, b',' | b'}' | b' ' | b'\t' | b'\n' | b'\r');
        let end = piece.iter().position(ends);
        self.keep(&piece[..end.unwrap_or(piece.len())]);
        if end.is_some() {
            self.value_ends(false);
        }
        end.unwrap_or(piece.len())
    }

    fn keep(&mut self, bytes: &[u8]) {
        let most = match self.at {
            At::KeyText => MAX_KEY,
            At::Text | At::Plain if self.field.is_some_and(|field| field < 2) => MAX_VALUE,
            _ => return,
        };
        if self.kept.len() + bytes.len() > most {
            self.overlong = true;
        } else {
            self.kept.extend_from_slice(bytes);
        }
    }

    fn key_ends(&mut self) {
        let kept = std::mem::take(&mut self.kept);
        self.field = None;
        if std::mem::take(&mut self.overlong) {
            return;
        }
        let unescaped = if kept.contains(&b'\\') { quoted(&kept) } else { None };
        let key = match &unescaped {
            Some(Json::String(text)) => text.as_bytes(),
            _ => &kept,
        };
        let Some(field) = KNOWN.iter().position(|known| same_folded(known.as_bytes(), key)) else { return };
        if KNOWN[field].as_bytes() != key {
            self.shape.fault = Some("a key differs from a known one only in the case of its letters");
        } else if std::mem::replace(&mut self.seen[field], true) {
            self.shape.fault = Some("a key stands in the message twice");
        } else {
            self.field = Some(field);
        }
    }

    fn value_ends(&mut self, text: bool) {
        self.at = At::After;
        let kept = std::mem::take(&mut self.kept);
        let overlong = std::mem::take(&mut self.overlong);
        let value = || {
            let whole = if text { quoted(&kept) } else { Json::parse(&kept).ok() };
            whole.filter(|_| !overlong)
        };
        match self.field.take() {
            Some(0) => match value() {
                Some(id @ (Json::String(_) | Json::Number(_) | Json::Null)) => self.shape.id = Some(id),
                _ => self.shape.fault = Some("the id is neither a text nor a number"),
            },
            Some(1) => match value() {
                Some(Json::String(method)) => self.shape.method = Some(method),
                _ => self.shape.fault = Some("the method is no text"),
            },
            Some(2) => self.shape.result = true,
            Some(3) => self.shape.error = true,
            _ => {}
        }
    }
}

fn quoted(text: &[u8]) -> Option<Json> {
    let mut quoted = Vec::with_capacity(text.len() + 2);
    quoted.push(b'"');
    quoted.extend_from_slice(text);
    quoted.push(b'"');
    Json::parse(&quoted).ok()
}

/// Whether a reader that ignores case takes `key` for `known`. Go's `encoding/json` folds two letters more than ASCII:
/// the long s (U+017F) and the Kelvin sign (U+212A).
pub(super) fn same_folded(known: &[u8], mut key: &[u8]) -> bool {
    for letter in known {
        let (folded, used) = match key {
            [0xc5, 0xbf, ..] => (b's', 2),
            [0xe2, 0x84, 0xaa, ..] => (b'k', 3),
            [byte, ..] => (byte.to_ascii_lowercase(), 1),
            [] => return false,
        };
        if folded != letter.to_ascii_lowercase() {
            return false;
        }
        key = &key[used..];
    }
    key.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn scan(text: &str) -> Shape {
        Scan::of(text.as_bytes())
    }

    #[test]
    fn finds_what_says_whose_answer_it_is() {
        let shape = scan(r#" {"result":{"id":9,"a":["}","\"]"]},"jsonrpc":"2.0","id":1.0} "#);
        assert_eq!(shape.form, Form::Object);
        assert_eq!(shape.id.unwrap().to_string(), "1.0");
        assert!(shape.result && !shape.error && shape.method.is_none() && shape.fault.is_none());
        let shape = scan("{\"\\u0069d\":\"a\\\"b\",\"m\\u0065thod\":\"x/y\",\"error\":null}");
        assert_eq!(shape.id, Some(Json::from("a\"b")));
        assert_eq!(shape.method.as_deref(), Some("x/y"));
        assert!(shape.error);
    }

    #[test]
    fn what_two_readers_read_differently_is_a_fault() {
        for text in [
            r#"{"id":1,"id":2}"#,
            r#"{"id":1,"Result":{}}"#,
            "{\"re\u{17f}ult\":1}",
            r#"{"\u0049D":1}"#,
            r#"{"id":[1]}"#,
            r#"{"id":true}"#,
            r#"{"method":1}"#,
            &format!("{{\"id\":\"{}\"}}", "x".repeat(5000)),
        ] {
            assert!(scan(text).fault.is_some(), "{text}");
        }
    }

    #[test]
    fn forms() {
        assert_eq!(scan("[{}]").form, Form::List);
        assert_eq!(scan("{}").form, Form::Object);
        for text in ["", "x", "{", "{}x", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{,}", "1", "{\"a\":[}"] {
            assert_eq!(scan(text).form, Form::Broken, "{text}");
        }
    }

    #[test]
    fn folds_as_go_does() {
        assert!(same_folded(b"arguments", "argument\u{17f}".as_bytes()));
        assert!(same_folded(b"tasks", "TA\u{17f}\u{212a}S".as_bytes()));
        assert!(!same_folded(b"id", b"idx") && !same_folded(b"id", b"i") && !same_folded(b"id", b""));
    }

    proptest! {
        #[test]
        fn pieces_read_like_the_whole(
            text in r#"[\[{]("(id|method|ID|result|x|\\u0069d)":("[a\\"]{0,4}"|[0-9.]{1,3}|\{"[a}]{0,3}":\[\]\}),?){0,4}[}\]]?"#,
            cuts in prop::collection::vec(0usize..80, 0..5),
        ) {
            let bytes = text.as_bytes();
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.sort_unstable();
            let (mut pieces, mut from) = (Scan::default(), 0);
            for cut in cuts.into_iter().chain([bytes.len()]) {
                pieces.feed(&bytes[from..cut]);
                from = cut;
            }
            prop_assert_eq!(pieces.finish(), Scan::of(bytes));
        }

        #[test]
        fn agrees_with_the_parser(id in "[a-z\"\\\\é]{0,9}", number in any::<i64>(), flip in any::<bool>()) {
            let id = if flip { Json::from(id) } else { Json::from(number) };
            let text = format!("{{\"a\":{{\"id\":0}},\"id\":{id},\"result\":[]}}");
            prop_assert_eq!(Scan::of(text.as_bytes()).id, Some(id));
        }
    }
}
