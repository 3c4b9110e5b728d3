use std::collections::HashSet;
use std::fmt;

use super::{Json, Number, Object};

/// Deep enough for any message, shallow enough for recursion.
const MAX_DEPTH: usize = 128;
/// Up to so many keys are compared one by one.
const FEW_KEYS: usize = 16;

/// Why a text is refused, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonError {
    /// The byte at which it happened, from 0.
    pub at: usize,
    /// What is wrong there.
    pub why: &'static str,
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (byte {})", self.why, self.at)
    }
}

impl std::error::Error for JsonError {}

type Result<T> = std::result::Result<T, JsonError>;

pub(super) fn parse(text: &[u8]) -> Result<Json> {
    let mut parser = Parser { text, at: 0 };
    let value = parser.value(0)?;
    parser.space();
    if parser.at < text.len() {
        return Err(parser.error("something follows after the end of the value"));
    }
    Ok(value)
}

struct Parser<'a> {
    text: &'a [u8],
    at: usize,
}

impl Parser<'_> {
    fn error(&self, why: &'static str) -> JsonError {
        JsonError { at: self.at, why }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// Whether the next byte, after white space, is this one; then it is taken.
    fn takes(&mut self, byte: u8) -> bool {
        self.space();
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn value(&mut self, depth: usize) -> Result<Json> {
        if depth > MAX_DEPTH {
            return Err(self.error("nested too deeply"));
        }
        self.space();
        match self.peek() {
            Some(b'{') => self.object(depth).map(Json::Object),
            Some(b'[') => self.array(depth).map(Json::Array),
            Some(b'"') => self.string().map(Json::String),
            Some(b't') => self.word(b"true", Json::Bool(true)),
            Some(b'f') => self.word(b"false", Json::Bool(false)),
            Some(b'n') => self.word(b"null", Json::Null),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(_) => Err(self.error("a value is expected here")),
            None => Err(self.error("the text ends too early")),
        }
    }

    fn word(&mut self, word: &[u8], value: Json) -> Result<Json> {
        if self.text[self.at..].starts_with(word) {
            self.at += word.len();
            return Ok(value);
        }
        Err(self.error("a value is expected here"))
    }

    fn array(&mut self, depth: usize) -> Result<Vec<Json>> {
        self.at += 1;
        let mut items = Vec::new();
        if self.takes(b']') {
            return Ok(items);
        }
        loop {
            items.push(self.value(depth + 1)?);
            if self.takes(b']') {
                return Ok(items);
            }
            if !self.takes(b',') {
                return Err(self.error("a comma or the end of the list is expected here"));
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<Object> {
        self.at += 1;
        let mut entries = Vec::new();
        if self.takes(b'}') {
            return Ok(Object(entries));
        }
        let mut seen = HashSet::new();
        loop {
            self.space();
            let begin = self.at;
            if self.peek() != Some(b'"') {
                return Err(self.error("a key in quotes is expected here"));
            }
            let key = self.string()?;
            if !is_new(&entries, &mut seen, &key) {
                return Err(JsonError { at: begin, why: "this key stands in the object twice" });
            }
            if !self.takes(b':') {
                return Err(self.error("a colon is expected here"));
            }
            entries.push((key, self.value(depth + 1)?));
            if self.takes(b'}') {
                return Ok(Object(entries));
            }
            if !self.takes(b',') {
                return Err(self.error("a comma or the end of the object is expected here"));
            }
        }
    }

    fn number(&mut self) -> Result<Json> {
        let begin = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E')) {
            self.at += 1;
        }
        let number = std::str::from_utf8(&self.text[begin..self.at]).ok().and_then(Number::parse);
        number.map(Json::Number).ok_or(JsonError { at: begin, why: "this is not a number" })
    }

    fn string(&mut self) -> Result<String> {
        self.at += 1;
        let mut text = Vec::new();
        loop {
            let begin = self.at;
            while !matches!(self.peek(), None | Some(b'"' | b'\\' | 0..0x20)) {
                self.at += 1;
            }
            text.extend_from_slice(&self.text[begin..self.at]);
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => self.escape(&mut text)?,
                Some(_) => return Err(self.error("a control character must be escaped")),
                None => return Err(self.error("the text ends within quotes")),
            }
        }
        let text = String::from_utf8(text).map_err(|_| self.error("this text is not UTF-8"))?;
        self.at += 1;
        Ok(text)
    }

    fn escape(&mut self, text: &mut Vec<u8>) -> Result<()> {
        self.at += 1;
        let byte = match self.peek() {
            Some(byte @ (b'"' | b'\\' | b'/')) => byte,
            Some(b'b') => 0x08,
            Some(b'f') => 0x0c,
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'u') => {
                self.at += 1;
                let character = self.code_point()?;
                text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                return Ok(());
            }
            _ => return Err(self.error("this escape is not known")),
        };
        self.at += 1;
        text.push(byte);
        Ok(())
    }

    /// One character, in one or two groups of four digits. A half of a pair alone is no character.
    fn code_point(&mut self) -> Result<char> {
        let first = self.four_digits()?;
        let code = match first {
            0xd800..0xdc00 => {
                if !self.text[self.at..].starts_with(b"\\u") {
                    return Err(self.error("half of a surrogate pair"));
                }
                self.at += 2;
                let second = self.four_digits()?;
                if !(0xdc00..0xe000).contains(&second) {
                    return Err(self.error("half of a surrogate pair"));
                }
                0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00)
            }
            code => code,
        };
        char::from_u32(code).ok_or_else(|| self.error("half of a surrogate pair"))
    }

    fn four_digits(&mut self) -> Result<u32> {
        let digits = self.text.get(self.at..self.at + 4);
        let digits = digits.filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let code = digits
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u32::from_str_radix(digits, 16).ok())
            .ok_or_else(|| self.error("four hexadecimal digits are expected here"))?;
        self.at += 4;
        Ok(code)
    }
}

/// Whether the key is not among the entries; `seen` is filled when they are many.
fn is_new(entries: &[(String, Json)], seen: &mut HashSet<String>, key: &str) -> bool {
    if entries.len() < FEW_KEYS {
        return entries.iter().all(|(known, _)| known != key);
    }
    if seen.is_empty() {
        seen.extend(entries.iter().map(|(known, _)| known.clone()));
    }
    seen.insert(key.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_with_the_place() {
        for (text, at, why) in [
            ("", 0, "too early"),
            ("{\"a\":1,\"a\":2}", 7, "twice"),
            ("{\"a\":1,\"\\u0061\":2}", 7, "twice"),
            ("[1,]", 3, "value"),
            ("{\"a\" 1}", 5, "colon"),
            ("{a:1}", 1, "key"),
            ("1 2", 2, "follows"),
            ("01", 0, "number"),
            ("\"\n\"", 1, "control"),
            ("\"\\ud800\"", 7, "surrogate"),
            ("\"\\udc00\"", 7, "surrogate"),
            ("\"\\q\"", 2, "escape"),
            ("nul", 0, "value"),
            ("[1 2]", 3, "comma"),
        ] {
            let error = parse(text.as_bytes()).unwrap_err();
            assert!(error.at == at && error.why.contains(why), "{text:?}: {error}");
        }
        assert!(parse(b"\"\xff\"").is_err());
    }

    #[test]
    fn depth_and_number_of_keys_are_no_trap() {
        assert!(parse("[".repeat(100_000).as_bytes()).unwrap_err().why.contains("deeply"));
        let many = (0..50_000).map(|n| format!("\"k{n}\":{n}")).collect::<Vec<_>>().join(",");
        assert!(parse(format!("{{{many}}}").as_bytes()).is_ok());
        let twice = parse(format!("{{{many},\"k7\":0}}").as_bytes()).unwrap_err();
        assert!(twice.why.contains("twice"));
    }
}
