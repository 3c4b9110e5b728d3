//! The exact terms of an approval, a part a line.

use farthing_policy::json::Json;

use crate::words::visible;

/// A part of the terms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TermLine {
    /// How many objects and lists it is in.
    pub depth: usize,
    /// Its name in an object; empty in a list. What does not print is written out.
    pub name: String,
    /// Its JSON, every digit as it is and what does not print written out; none where lines of its own follow.
    pub value: Option<String>,
}

/// The terms, one part a line: nothing is left out, and nothing in them turns or hides what stands around it. What is
/// no JSON is one line.
#[must_use]
pub fn term_lines(terms: &str) -> Vec<TermLine> {
    let Ok(json) = Json::parse(terms.as_bytes()) else {
        return vec![TermLine { depth: 0, name: String::new(), value: Some(visible(terms)) }];
    };
    let mut lines = Vec::new();
    match &json {
        Json::Object(object) if !object.is_empty() => {
            object.iter().for_each(|(key, value)| add(value, key, 0, &mut lines));
        }
        json => add(json, "", 0, &mut lines),
    }
    lines
}

fn add(json: &Json, name: &str, depth: usize, lines: &mut Vec<TermLine>) {
    let name = visible(name);
    match json {
        Json::Object(object) if !object.is_empty() => {
            lines.push(TermLine { depth, name, value: None });
            object.iter().for_each(|(key, value)| add(value, key, depth + 1, lines));
        }
        Json::Array(items) if !items.is_empty() => {
            lines.push(TermLine { depth, name, value: None });
            items.iter().for_each(|item| add(item, "", depth + 1, lines));
        }
        value => lines.push(TermLine { depth, name, value: Some(visible(&value.to_string())) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_are_whole_and_harmless() {
        let lines = term_lines(
            "{\"arguments\":{\"cents\":100000000000000000000001,\"to\":\"a\u{202e}b\",\"list\":[1,{\"x\":null}]},\"tool\":\"pay\"}",
        );
        let shown: Vec<_> =
            lines.iter().map(|line| (line.depth, line.name.as_str(), line.value.as_deref())).collect();
        assert_eq!(
            shown,
            [
                (0, "arguments", None),
                (1, "cents", Some("100000000000000000000001")),
                (1, "to", Some("\"a\\u{202e}b\"")),
                (1, "list", None),
                (2, "", Some("1")),
                (2, "", None),
                (3, "x", Some("null")),
                (0, "tool", Some("\"pay\"")),
            ]
        );
    }

    #[test]
    fn what_is_no_json_is_shown_too() {
        assert_eq!(term_lines("a\u{7}b")[0].value.as_deref(), Some("a\\u{7}b"));
    }
}
