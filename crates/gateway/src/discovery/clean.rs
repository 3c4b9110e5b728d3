//! What others may know of an upstream's document.

use std::collections::BTreeSet;

use farthing_protocol::discovery::local_pointer;
use serde_json::{Map, Value, json};

/// What leads around the gateway, or names what is not let through, wherever it stands: the upstream's own addresses, and
/// calls that follow others.
const PRIVATE: [&str; 4] = ["server", "servers", "links", "$id"];
/// The extensions that are for buyers. Others tell proxies and code generators where the upstream is and how it is reached.
const FOR_BUYERS: [&str; 6] =
    ["x-agentcash-auth-kind", "x-agentcash-provenance", "x-discovery", "x-guidance", "x-logo", "x-tagGroups"];
/// How deep it may be: no deeper than it may come, so that what stands in the place of references stops somewhere.
const MAX_DEPTH: usize = 48;
/// How many bytes may be put in the place of references, about. References multiply.
const INLINED_BYTES: usize = 1 << 20;
/// How many parts a reference has, at least, that leads to a part of an operation: `paths`, a path, a method, what it has.
const PARTS_OF_AN_OPERATION: usize = 4;

/// What the keys of an object are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keys {
    /// OpenAPI's and JSON Schema's words.
    Words,
    /// The paths.
    Paths,
    /// The words of a path.
    PathWords,
    /// Names that the author chose, for objects of such words.
    Names,
    /// Names, and extensions beside them.
    NamesAndExtensions,
    /// Whatever the author's data have: examples, defaults.
    Data,
}

/// The document without addresses and extensions that are nobody's business, and without references to anything but
/// components: what a reference leads to elsewhere in the document stands in its place, and one out of the document is left
/// out, as buyers could not follow it.
pub(super) fn cleaned(document: Map<String, Value>) -> Map<String, Value> {
    let root = Value::Object(document);
    let mut cleaner = Cleaner { root: &root, following: Vec::new(), left: INLINED_BYTES };
    match cleaner.value(&root, Keys::Words, MAX_DEPTH) {
        Value::Object(cleaned) => cleaned,
        _ => Map::new(),
    }
}

struct Cleaner<'a> {
    root: &'a Value,
    /// The pointers of the references that are being followed.
    following: Vec<String>,
    /// What is left for what stands in the place of references.
    left: usize,
}

impl<'a> Cleaner<'a> {
    fn value(&mut self, value: &'a Value, keys: Keys, depth: usize) -> Value {
        let (Some(depth), true) = (depth.checked_sub(1), self.take(value)) else { return json!({}) };
        match value {
            Value::Array(items) => {
                items.iter().map(|item| self.value(item, keys, depth)).collect::<Vec<_>>().into()
            }
            Value::Object(map) if keys == Keys::Data => {
                map.iter().map(|(key, value)| (key.clone(), self.value(value, keys, depth))).collect()
            }
            Value::Object(map) => self.object(map, keys, depth),
            plain => plain.clone(),
        }
    }

    fn object(&mut self, map: &'a Map<String, Value>, keys: Keys, depth: usize) -> Value {
        let reference = map.get("$ref").and_then(Value::as_str);
        let referred = reference.and_then(|reference| self.referred(reference, keys, depth));
        let mut object = referred.unwrap_or_default();
        for (key, value) in map.iter().filter(|(key, value)| *key != "$ref" || !value.is_string()) {
            if is_told(key, keys) {
                let cleaned = match &**key {
                    "discriminator" if keys == Keys::Words => self.discriminator(value, depth),
                    _ => self.value(value, keys_under(key, value, keys), depth),
                };
                object.insert(key.clone(), cleaned);
            }
        }
        object.into()
    }

    /// What a reference is replaced by: itself, where it leads to a component.
    fn referred(&mut self, reference: &str, keys: Keys, depth: usize) -> Option<Map<String, Value>> {
        let pointer = local_pointer(reference)?;
        if pointer.starts_with("/components/") {
            return Some(Map::from_iter([("$ref".to_owned(), json!(reference))]));
        }
        // A whole operation is told where its own route tells it.
        let of_a_part = pointer.split('/').skip(1).count() >= PARTS_OF_AN_OPERATION;
        if self.following.contains(&pointer) || !(of_a_part || keys == Keys::PathWords) {
            return None;
        }
        let target = self.root.pointer(&pointer)?;
        self.following.push(pointer);
        let cleaned = self.value(target, keys, depth);
        self.following.pop();
        match cleaned {
            Value::Object(cleaned) => Some(cleaned),
            _ => None,
        }
    }

    /// A discriminator's mapping leads to schemas as references do, or names them.
    fn discriminator(&mut self, value: &'a Value, depth: usize) -> Value {
        let mut discriminator = self.value(value, Keys::Data, depth);
        let schemas = self.root.pointer("/components/schemas");
        if let Some(Value::Object(mapping)) = discriminator.get_mut("mapping") {
            mapping.retain(|_, to| {
                let to = to.as_str().unwrap_or_default();
                to.starts_with("#/components/") || schemas.is_some_and(|schemas| schemas.get(to).is_some())
            });
        }
        discriminator
    }

    /// Whether there is room for this value by itself.
    fn take(&mut self, value: &Value) -> bool {
        if self.following.is_empty() {
            return true;
        }
        let bytes = match value {
            Value::String(text) => 8 + text.len(),
            Value::Object(map) => 8 + map.keys().map(|key| 8 + key.len()).sum::<usize>(),
            _ => 8,
        };
        let enough = bytes <= self.left;
        self.left -= bytes.min(self.left);
        enough
    }
}

fn is_told(key: &str, keys: Keys) -> bool {
    let extension = key.starts_with("x-") && !FOR_BUYERS.contains(&key);
    match keys {
        Keys::Words | Keys::PathWords => !extension && !PRIVATE.contains(&key),
        Keys::Paths | Keys::NamesAndExtensions => !extension,
        Keys::Names | Keys::Data => true,
    }
}

/// What the keys are of what stands under this key.
fn keys_under(key: &str, value: &Value, keys: Keys) -> Keys {
    match (keys, key) {
        (Keys::Paths, _) => Keys::PathWords,
        (Keys::Names | Keys::NamesAndExtensions, _) => Keys::Words,
        (_, "paths") => Keys::Paths,
        (_, "example" | "default" | "const" | "enum" | "value") => Keys::Data,
        // A schema's are data, others have names; so with parameters, of an operation and of components.
        (_, "examples") if value.is_array() => Keys::Data,
        (_, "parameters") if value.is_array() => Keys::Words,
        (_, "responses" | "callbacks") => Keys::NamesAndExtensions,
        (
            _,
            "$defs" | "content" | "definitions" | "dependentSchemas" | "encoding" | "examples" | "headers"
            | "parameters" | "pathItems" | "patternProperties" | "properties" | "requestBodies" | "schemas"
            | "scopes" | "security" | "securitySchemes",
        ) => Keys::Names,
        (_, extension) if extension.starts_with("x-") => Keys::Data,
        _ => Keys::Words,
    }
}

/// Takes out every reference that leads to nothing: some readers give up the whole document for one. Parameters of which
/// nothing else is known go with it.
pub(super) fn without_dangling(document: Map<String, Value>) -> Map<String, Value> {
    let mut root = Value::Object(document);
    let mut dangling = BTreeSet::new();
    collect_dangling(&root, &root, &mut dangling);
    if !dangling.is_empty() {
        take_out(&mut root, &dangling);
    }
    for item in root.get_mut("paths").and_then(Value::as_object_mut).into_iter().flat_map(Map::values_mut) {
        keep_named_parameters(item);
        item.as_object_mut().into_iter().flat_map(Map::values_mut).for_each(keep_named_parameters);
    }
    match root {
        Value::Object(document) => document,
        _ => Map::new(),
    }
}

fn keep_named_parameters(holder: &mut Value) {
    let named = |parameter: &Value| ["name", "$ref"].iter().any(|key| parameter.get(key).is_some());
    if let Some(Value::Array(parameters)) = holder.get_mut("parameters") {
        parameters.retain(named);
    }
}

fn collect_dangling(value: &Value, root: &Value, dangling: &mut BTreeSet<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect_dangling(item, root, dangling)),
        Value::Object(map) => {
            if let Some(Value::String(reference)) = map.get("$ref")
                && local_pointer(reference).is_none_or(|pointer| root.pointer(&pointer).is_none())
            {
                dangling.insert(reference.clone());
            }
            map.values().for_each(|value| collect_dangling(value, root, dangling));
        }
        _ => {}
    }
}

fn take_out(value: &mut Value, dangling: &BTreeSet<String>) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| take_out(item, dangling)),
        Value::Object(map) => {
            map.retain(|key, value| {
                key != "$ref" || !value.as_str().is_some_and(|reference| dangling.contains(reference))
            });
            map.values_mut().for_each(|value| take_out(value, dangling));
        }
        _ => {}
    }
}
