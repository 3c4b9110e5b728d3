//! A value with its place, and what is found on the way.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{Code, Finding, MAX_DOCUMENT_BYTES, MAX_FINDINGS, MAX_OPERATIONS, Severity};
use crate::StrictValue;
use crate::json::without_bom;

/// The most items of a list that are looked at: one more than the longest list that is read.
const MAX_ITEMS: usize = MAX_OPERATIONS + 1;
/// The most findings besides the one that says how many more there are.
const MAX_KEPT: usize = MAX_FINDINGS - 1;
/// The most characters of a place.
const PLACE: usize = 2_000;

/// What is wrong with one document.
#[derive(Debug)]
pub(super) struct Findings {
    document: &'static str,
    kept: Vec<Finding>,
    /// How many of each kind there are, kept or not.
    told: BTreeMap<Code, usize>,
    /// The resource that is being read.
    about: Option<String>,
}

impl Findings {
    pub(super) fn of(document: &'static str) -> Self {
        Self { document, kept: Vec::new(), told: BTreeMap::new(), about: None }
    }

    /// Notes something at a JSON pointer. When there are too many already, a less severe one makes room for it.
    pub(super) fn add(&mut self, code: Code, at: &str, message: impl Into<String>) {
        *self.told.entry(code).or_default() += 1;
        if self.kept.len() >= MAX_KEPT && !self.make_room(code.severity()) {
            return;
        }
        let place = format!("{}#{}", self.document, cut(at, PLACE));
        let finding = Finding::new(code, place, message);
        self.kept.push(match &self.about {
            Some(key) => finding.about(key),
            None => finding,
        });
    }

    /// Drops the last of the least severe ones, if it is less severe than this.
    fn make_room(&mut self, severity: Severity) -> bool {
        let least = self.kept.iter().map(|finding| finding.severity).min();
        let Some(least) = least.filter(|least| *least < severity) else { return false };
        let last = self.kept.iter().rposition(|finding| finding.severity == least);
        last.map(|at| self.kept.remove(at)).is_some()
    }

    /// How many there are of these kinds, kept or not.
    pub(super) fn count(&self, codes: &[Code]) -> usize {
        codes.iter().filter_map(|code| self.told.get(code)).sum()
    }

    /// From here on, everything is about this resource, or about none.
    pub(super) fn set_about(&mut self, key: Option<String>) {
        self.about = key;
    }

    pub(super) fn into_list(mut self) -> Vec<Finding> {
        let left_out = self.left_out();
        if !left_out.is_empty() {
            let message = format!("besides those that are listed: {}", left_out.join(", "));
            self.kept.push(Finding::new(Code::MoreFindings, self.document, message));
        }
        self.kept
    }

    /// `12 missing-auth`, of each kind of which not all are kept.
    fn left_out(&self) -> Vec<String> {
        let kept = |code: Code| self.kept.iter().filter(|finding| finding.code == code).count();
        let left_out = self.told.iter().map(|(code, told)| (code, told - kept(*code)));
        left_out
            .filter(|(_, left_out)| *left_out > 0)
            .map(|(code, count)| format!("{count} {code}"))
            .collect()
    }
}

/// Reads a document's JSON. What strict readers refuse is read all the same, as JavaScript does, and noted.
pub(super) fn json(bytes: &[u8], findings: &mut Findings) -> Result<Value, Finding> {
    let refused = |code, message: String| Finding::new(code, findings.document, message);
    if bytes.len() > MAX_DOCUMENT_BYTES {
        let message = format!("it has {} bytes; at most {MAX_DOCUMENT_BYTES} are read", bytes.len());
        return Err(refused(Code::TooLarge, message));
    }
    let bytes = without_bom(bytes);
    let strict = match serde_json::from_slice::<StrictValue>(bytes) {
        Ok(StrictValue(value)) => return Ok(value),
        Err(error) => error.to_string(),
    };
    match serde_json::from_slice(bytes) {
        Ok(value) => {
            findings.add(Code::DuplicateKey, "", strict);
            Ok(value)
        }
        Err(error) => Err(refused(Code::NotJson, error.to_string())),
    }
}

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Node<'a> {
    pub(super) value: &'a Value,
    /// A JSON pointer (RFC 6901).
    pub(super) at: String,
}

impl<'a> Node<'a> {
    pub(super) fn root(value: &'a Value) -> Self {
        Self { value, at: String::new() }
    }

    /// What stands under the key. `null` is nothing.
    pub(super) fn get(&self, key: &str) -> Option<Self> {
        let value = self.value.get(key).filter(|value| !value.is_null())?;
        Some(Self { value, at: self.at_key(key) })
    }

    /// Where the key stands or would stand.
    pub(super) fn at_key(&self, key: &str) -> String {
        format!("{}/{}", self.at, key.replace('~', "~0").replace('/', "~1"))
    }

    /// Whether it is an object; if not, that is noted.
    pub(super) fn is_object(&self, findings: &mut Findings) -> bool {
        self.object(findings).is_some()
    }

    pub(super) fn object(&self, findings: &mut Findings) -> Option<&'a Map<String, Value>> {
        let object = self.value.as_object();
        if object.is_none() {
            self.wrong(findings, "an object");
        }
        object
    }

    /// The object under the key. Something else there is noted.
    pub(super) fn get_object(&self, key: &str, findings: &mut Findings) -> Option<Self> {
        self.get(key).filter(|node| node.is_object(findings))
    }

    /// The entries of an object, each with its place; none where it is something else.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&'a str, Self)> + use<'a> {
        let here = Self { value: self.value, at: self.at.clone() };
        let entries = self.value.as_object().into_iter().flatten();
        entries.map(move |(key, value)| (key.as_str(), Self { value, at: here.at_key(key) }))
    }

    /// The first items of the list under the key. Something else there is noted.
    pub(super) fn items(&self, key: &str, findings: &mut Findings) -> Vec<Self> {
        let Some(list) = self.get(key) else { return Vec::new() };
        match list.value.as_array() {
            Some(items) => {
                let node = |(index, value)| Self { value, at: format!("{}/{index}", list.at) };
                items.iter().take(MAX_ITEMS).enumerate().map(node).collect()
            }
            None => {
                list.wrong(findings, "a list");
                Vec::new()
            }
        }
    }

    /// The text under the key, cut to so many characters. Something else there is noted.
    pub(super) fn text(&self, key: &str, most: usize, findings: &mut Findings) -> Option<String> {
        let node = self.get(key)?;
        let text = node.value.as_str();
        if text.is_none() {
            node.wrong(findings, "a text");
        }
        text.map(|text| cut(text, most))
    }

    pub(super) fn wrong(&self, findings: &mut Findings, expected: &str) {
        findings.add(Code::WrongType, &self.at, format!("expected {expected}, found {}", kind(self.value)));
    }
}

/// What a value is. Its text is not told: it may be megabytes, and stand behind thousands of references.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// The beginning of a text.
pub(super) fn cut(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}
