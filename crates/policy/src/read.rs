//! Typed values out of YAML nodes, each error at its place.
use std::collections::HashSet;
use std::hash::Hash;

use farthing_money::{Price, Usd};

use crate::error::{Place, printable};
use crate::yaml::{Entry, Node, Value};
use crate::{Period, PolicyError, Window};

/// A map whose keys are all known; what is taken out is read, and nothing can be left over.
pub(crate) struct Fields {
    at: Place,
    entries: Vec<Entry>,
}

impl Fields {
    /// The fields of a map that may only have the keys in `known`.
    pub(crate) fn of(node: Node, known: &[&str]) -> Result<Self, PolicyError> {
        let Value::Map(entries) = node.value else {
            return Err(node.at.error(format!("expected a map with the keys {}", known.join(", "))));
        };
        match entries.iter().find(|entry| !known.contains(&entry.key.as_str())) {
            Some(Entry { key, at, .. }) => Err(at.error(format!(
                "the key `{}` is not known here; known are {}",
                printable(key),
                known.join(", ")
            ))),
            None => Ok(Self { at: node.at, entries }),
        }
    }

    /// The value of `key`, if the key is there.
    pub(crate) fn take(&mut self, key: &str) -> Option<Node> {
        let index = self.entries.iter().position(|entry| entry.key == key)?;
        Some(self.entries.swap_remove(index).node)
    }

    /// The value of `key`.
    pub(crate) fn need(&mut self, key: &str, hint: &str) -> Result<Node, PolicyError> {
        self.take(key).ok_or_else(|| self.at.error(format!("the key `{key}` is missing: {hint}")))
    }
}

/// The entries of a map whose keys are names that the policy gives, at least one.
pub(crate) fn named(node: Node, what: &str) -> Result<Vec<(String, Place, Node)>, PolicyError> {
    let Value::Map(entries) = node.value else {
        return Err(node.at.error(format!("expected a map of {what}")));
    };
    if entries.is_empty() {
        return Err(node.at.error("the map is empty: fill it, or take its key away"));
    }
    let checked = |Entry { key, at, node }| Ok((name(Node { at, value: Value::Quoted(key) })?, at, node));
    entries.into_iter().map(checked).collect()
}

/// The items of a list that must not be empty: an `allow:` of which every entry was commented out is a mistake that
/// would otherwise allow everything.
pub(crate) fn items(node: Node) -> Result<Vec<Node>, PolicyError> {
    match node.value {
        Value::List(items) if !items.is_empty() => Ok(items),
        Value::List(_) => Err(node.at.error("the list is empty: fill it, or take its key away")),
        Value::Plain(text) if is_null(&text) => {
            Err(node.at.error("a list is missing here: fill it, or take its key away"))
        }
        _ => Err(node.at.error("expected a list, such as [first, second]")),
    }
}

/// The entries of a list, none twice.
pub(crate) fn entries<T: Eq + Hash + Clone>(
    node: Node,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<Vec<T>, PolicyError> {
    let mut seen = HashSet::new();
    let mut entries = Vec::new();
    for item in items(node)? {
        let at = item.at;
        let entry = parse(&text(item)?).map_err(|message| at.error(message))?;
        if !seen.insert(entry.clone()) {
            return Err(at.error("this entry stands in the list already"));
        }
        entries.push(entry);
    }
    Ok(entries)
}

/// A text, in quotes or evidently not a number, a truth value or nothing.
pub(crate) fn text(node: Node) -> Result<String, PolicyError> {
    match node.value {
        Value::Quoted(text) => Ok(text),
        Value::Plain(text) if is_null(&text) => Err(node.at.error("a text is missing here")),
        Value::Plain(text) if is_number(&text) || is_truth(&text) => Err(node
            .at
            .error(format!("`{0}` is not a text: write \"{0}\" if you mean one", printable(&text)))),
        Value::Plain(text) => Ok(text),
        _ => Err(node.at.error("expected a text")),
    }
}

/// `true` or `false`.
pub(crate) fn truth(node: Node) -> Result<bool, PolicyError> {
    match &node.value {
        Value::Plain(text) if text == "true" => Ok(true),
        Value::Plain(text) if text == "false" => Ok(false),
        _ => Err(node.at.error("write true or false")),
    }
}

/// A rule's name: what denials, budgets and the record call it.
pub(crate) fn name(node: Node) -> Result<String, PolicyError> {
    let at = node.at;
    let name = text(node)?;
    let fits = (1..=64).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        && name.starts_with(|c: char| c.is_ascii_alphanumeric());
    if fits {
        return Ok(name);
    }
    Err(at.error(format!("`{}` is not a name: use at most 64 letters, digits, - and _", printable(&name))))
}

/// An amount of dollars, as text. YAML's numbers are floats to most programs.
pub(crate) fn dollars(node: Node) -> Result<Usd, PolicyError> {
    let at = node.at;
    if let Value::Plain(number) = &node.value
        && is_number(number)
    {
        return Err(at.error(format!("write the amount in quotes: \"${}\"", printable(number))));
    }
    let price: Price = text(node)?.parse().map_err(|error| at.error(format!("{error}")))?;
    price.in_dollars().map_err(|error| at.error(format!("{error}")))
}

/// A count of at least one.
pub(crate) fn count(node: Node) -> Result<u64, PolicyError> {
    let digits = match &node.value {
        Value::Plain(text) if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) => text,
        _ => return Err(node.at.error("expected a whole number, such as 30")),
    };
    match digits.parse() {
        Ok(0) => Err(node.at.error("0 would never allow a payment: use the deny lists for that")),
        Ok(count) => Ok(count),
        Err(_) => Err(node.at.error("the number is too large")),
    }
}

/// The windows by the names that a policy uses.
const WINDOWS: [(&str, Window); 11] = [
    ("minute", Window::Calendar(Period::Minute)),
    ("hour", Window::Calendar(Period::Hour)),
    ("day", Window::Calendar(Period::Day)),
    ("week", Window::Calendar(Period::Week)),
    ("month", Window::Calendar(Period::Month)),
    ("60 seconds", Window::Rolling(Period::Minute)),
    ("60 minutes", Window::Rolling(Period::Hour)),
    ("24 hours", Window::Rolling(Period::Day)),
    ("7 days", Window::Rolling(Period::Week)),
    ("30 days", Window::Rolling(Period::Month)),
    ("lifetime", Window::Lifetime),
];

/// The time over which a budget or rate counts.
pub(crate) fn window(node: Node) -> Result<Window, PolicyError> {
    let at = node.at;
    let wanted = text(node)?;
    WINDOWS.iter().find(|(name, _)| *name == wanted).map(|(_, window)| *window).ok_or_else(|| {
        at.error(format!(
            "`{}` is not a window: calendar ones (UTC) are minute, hour, day, week, month; rolling ones \
             \"60 seconds\", \"60 minutes\", \"24 hours\", \"7 days\", \"30 days\"; or lifetime",
            printable(&wanted)
        ))
    })
}

/// Whether YAML 1.2 reads the plain text as nothing.
pub(crate) fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

/// Whether YAML 1.1 or 1.2 reads the plain text as a truth value.
fn is_truth(text: &str) -> bool {
    ["true", "false", "yes", "no", "on", "off"].iter().any(|word| text.eq_ignore_ascii_case(word))
}

/// Whether some YAML reader would take the plain text for a number: it has a digit, and nothing but what numbers
/// are written with. IP addresses have several points, and are text to all of them.
fn is_number(text: &str) -> bool {
    let digits = text.trim_start_matches(['+', '-']);
    let points = digits.matches('.').count();
    let prefixed = ["0x", "0o", "0b"].iter().any(|prefix| digits.starts_with(prefix))
        && digits.len() <= 18
        && digits.bytes().skip(2).all(|b| b.is_ascii_hexdigit() || b == b'_');
    let decimal = digits.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && points <= 1
        && digits.bytes().any(|b| b.is_ascii_digit())
        && digits.bytes().all(|b| b.is_ascii_digit() || b"._eE+-".contains(&b));
    prefixed || decimal || [".inf", ".nan"].iter().any(|word| digits.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_by_their_looks() {
        for text in ["0", "-1", "0.05", "+.5", "1e3", "1_000", "0x1E", "0o17", ".inf", "5.", "1.5e-3"] {
            assert!(is_number(text), "{text}");
        }
        for text in
            ["$0.05", "127.0.0.1", "base", "e", ".", "-", "", "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913"]
        {
            assert!(!is_number(text), "{text}");
        }
    }

    #[test]
    fn windows_are_named_as_they_print() {
        for (name, window) in WINDOWS {
            let printed = window.to_string();
            assert_eq!(printed.strip_prefix("this ").unwrap_or(&printed), name);
        }
    }
}
