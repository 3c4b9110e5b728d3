//! Schemas without references.

use serde_json::{Map, Value, json};

use super::Code;
use super::node::{self, Findings, Node};
use crate::error::printable;

/// How deep a resolved schema may be.
const MAX_DEPTH: usize = 32;
/// How many bytes the schemas of one operation may have, about: more than an agent can use.
const OPERATION_BYTES: usize = 64 << 10;
/// How many bytes the schemas of a whole document may have. References multiply: a document of a few lines can describe
/// a schema of many gigabytes.
const DOCUMENT_BYTES: usize = 4 << 20;
/// The longest reference that is followed, in bytes. A longer one names nothing that anybody has written by hand or by
/// program, and to look for it again and again costs as much as the document is long.
const MAX_REFERENCE: usize = 1_000;

/// How much may still be read of the schemas of one document, or of all entries of one answer.
#[derive(Debug)]
pub(super) struct Budget {
    /// What is left for the operation.
    left: usize,
    /// What is left for all operations after it.
    reserve: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self { left: 0, reserve: DOCUMENT_BYTES }
    }
}

impl Budget {
    /// Begins the next operation.
    fn next(&mut self) {
        self.reserve += self.left;
        self.left = OPERATION_BYTES.min(self.reserve);
        self.reserve -= self.left;
    }

    /// Takes what this value needs by itself; false when there is too little left.
    fn take(&mut self, value: &Value) -> bool {
        let bytes = match value {
            Value::String(text) => 2 + text.len(),
            Value::Array(items) => 2 + 4 * items.len(),
            // Too many keys to be counted are too many.
            Value::Object(object) if object.len() > self.left => object.len(),
            Value::Object(object) => {
                let reference =
                    reference_of(object).map_or(0, |reference| reference.len().min(MAX_REFERENCE));
                2 + reference + object.keys().map(|key| 4 + key.len()).sum::<usize>()
            }
            _ => 8,
        };
        let enough = bytes <= self.left;
        self.left -= bytes.min(self.left);
        enough
    }
}

/// Puts in the place of each local `$ref` what it leads to. One that leads back to where it stands stays as it is.
#[derive(Debug)]
pub(super) struct Resolver<'a> {
    root: &'a Value,
    budget: Budget,
}

/// One value on its way to being resolved.
struct Walk<'f, 'a> {
    findings: &'f mut Findings,
    at: &'f str,
    /// The references that are being followed.
    following: Vec<&'a str>,
    /// Whether something was left out.
    cut: bool,
}

impl<'a> Resolver<'a> {
    pub(super) fn of(root: &'a Value) -> Self {
        Self { root, budget: Budget::default() }
    }

    /// Begins the next operation.
    pub(super) fn next_operation(&mut self) {
        self.budget.next();
    }

    pub(super) fn resolve(&mut self, node: &Node<'a>, findings: &mut Findings) -> Value {
        let mut walk = Walk { findings, at: &node.at, following: Vec::new(), cut: false };
        let resolved = self.value(node.value, MAX_DEPTH, &mut walk);
        if walk.cut {
            walk.findings.add(Code::SchemaCut, &node.at, "it is larger or deeper than is read");
        }
        resolved
    }

    fn value(&mut self, value: &'a Value, depth: usize, walk: &mut Walk<'_, 'a>) -> Value {
        let (Some(depth), true) = (depth.checked_sub(1), self.budget.take(value)) else {
            walk.cut = true;
            return json!({});
        };
        match value {
            Value::Array(items) => {
                items.iter().map(|item| self.value(item, depth, walk)).collect::<Vec<_>>().into()
            }
            Value::Object(object) => match reference_of(object) {
                Some(reference) => self.reference(object, reference, depth, walk),
                None => self.members(object, depth, walk).into(),
            },
            plain => plain.clone(),
        }
    }

    fn members(
        &mut self,
        object: &'a Map<String, Value>,
        depth: usize,
        walk: &mut Walk<'_, 'a>,
    ) -> Map<String, Value> {
        let members = object.iter().filter(|(key, value)| *key != "$ref" || !value.is_string());
        members.map(|(key, value)| (key.clone(), self.value(value, depth, walk))).collect()
    }

    /// What the reference leads to, and over it what stands beside the reference.
    fn reference(
        &mut self,
        object: &'a Map<String, Value>,
        reference: &'a str,
        depth: usize,
        walk: &mut Walk<'_, 'a>,
    ) -> Value {
        let as_it_is = || json!({"$ref": node::cut(reference, MAX_REFERENCE)});
        if walk.following.contains(&reference) {
            return as_it_is();
        }
        let Some(target) = target(self.root, reference) else {
            walk.findings.add(Code::BrokenReference, walk.at, leads_to_nothing(reference));
            return as_it_is();
        };
        walk.following.push(reference);
        let mut resolved = self.value(target, depth, walk);
        walk.following.pop();
        if let Value::Object(resolved) = &mut resolved {
            resolved.extend(self.members(object, depth, walk));
        }
        resolved
    }
}

/// A value without local references, no deeper and no larger than one operation's schemas.
pub(super) fn bounded(value: &Value, budget: &mut Budget) -> Value {
    let mut resolver = Resolver { root: value, budget: std::mem::take(budget) };
    resolver.next_operation();
    let resolved = resolver.resolve(&Node::root(value), &mut Findings::of("402"));
    *budget = resolver.budget;
    resolved
}

/// What a local reference leads to.
pub(super) fn target<'a>(root: &'a Value, reference: &str) -> Option<&'a Value> {
    root.pointer(&local_pointer(reference)?)
}

/// The JSON pointer (RFC 6901) of a reference into its own document, percent-decoded; `None` for one out of it, or one that
/// is longer than is followed.
///
/// ```
/// use farthing_protocol::discovery::local_pointer;
/// assert_eq!(local_pointer("#/paths/~1a%7Bb%7D").as_deref(), Some("/paths/~1a{b}"));
/// assert_eq!(local_pointer("other.json#/a"), None);
/// ```
#[must_use]
pub fn local_pointer(reference: &str) -> Option<String> {
    reference.strip_prefix('#').filter(|pointer| pointer.len() < MAX_REFERENCE).map(decoded)
}

pub(super) fn leads_to_nothing(reference: &str) -> String {
    format!("`{}` leads to nothing", printable(reference))
}

fn reference_of(object: &Map<String, Value>) -> Option<&str> {
    object.get("$ref").and_then(Value::as_str)
}

/// A pointer in a URL's fragment may be percent-encoded.
fn decoded(pointer: &str) -> String {
    let mut bytes = Vec::with_capacity(pointer.len());
    let mut rest = pointer.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex = tail.get(..2).filter(|_| *first == b'%').and_then(|two| std::str::from_utf8(two).ok());
        match hex.and_then(|two| u8::from_str_radix(two, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
