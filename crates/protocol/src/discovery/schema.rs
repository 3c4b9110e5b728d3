//! Schemas without references.

use serde_json::{Map, Value, json};

use super::Code;
use super::node::{Findings, Node};
use crate::error::printable;

/// How deep a resolved schema may be.
const MAX_DEPTH: usize = 32;
/// How many bytes the schemas of one operation may have, about: more than an agent can use.
const OPERATION_BYTES: usize = 64 << 10;
/// How many bytes the schemas of a whole document may have. References multiply: a document of a few lines can describe
/// a schema of many gigabytes.
const DOCUMENT_BYTES: usize = 4 << 20;

/// Puts in the place of each local `$ref` what it leads to. One that leads back to where it stands stays as it is.
#[derive(Debug)]
pub(super) struct Resolver<'a> {
    root: &'a Value,
    /// What is left for the operation.
    left: usize,
    /// What is left for all operations after it.
    reserve: usize,
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
        Self { root, left: 0, reserve: DOCUMENT_BYTES }
    }

    /// Begins the next operation.
    pub(super) fn next_operation(&mut self) {
        self.reserve += self.left;
        self.left = OPERATION_BYTES.min(self.reserve);
        self.reserve -= self.left;
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
        let (Some(depth), true) = (depth.checked_sub(1), self.take(value)) else {
            walk.cut = true;
            return json!({});
        };
        match value {
            Value::Array(items) => {
                items.iter().map(|item| self.value(item, depth, walk)).collect::<Vec<_>>().into()
            }
            Value::Object(object) => match object.get("$ref").and_then(Value::as_str) {
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
        let as_it_is = || json!({"$ref": reference});
        if walk.following.contains(&reference) {
            return as_it_is();
        }
        let target = reference.strip_prefix('#').and_then(|pointer| self.root.pointer(&decoded(pointer)));
        let Some(target) = target else {
            let message = format!("`{}` leads to nothing", printable(reference));
            walk.findings.add(Code::BrokenReference, walk.at, message);
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

    /// Takes what this value needs by itself; false when there is too little left.
    fn take(&mut self, value: &Value) -> bool {
        let bytes = match value {
            Value::String(text) => 2 + text.len(),
            Value::Array(items) => 2 + 4 * items.len(),
            // Too many keys to be counted are too many.
            Value::Object(object) if object.len() > self.left => object.len(),
            Value::Object(object) => 2 + object.keys().map(|key| 4 + key.len()).sum::<usize>(),
            _ => 8,
        };
        let enough = bytes <= self.left;
        self.left -= bytes.min(self.left);
        enough
    }
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
