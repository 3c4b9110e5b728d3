//! docs/json.md, as the shapes that stand there.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

const PAGE: &str = include_str!("../../../docs/json.md");

/// What the page says of one object.
#[derive(Default)]
pub(super) struct Section {
    /// Alternatives.
    pub(super) examples: Vec<Value>,
    /// The keys that may be null.
    nullable: BTreeSet<String>,
    /// The keys that may be missing.
    optional: BTreeSet<String>,
}

impl Section {
    fn read(text: &str) -> Self {
        let examples = text.split("```json\n").skip(1).map(|rest| rest.split("```").next().unwrap());
        let examples =
            examples.map(|one| serde_json::from_str(one).unwrap_or_else(|error| panic!("{error}: {one}")));
        Self {
            examples: examples.collect(),
            nullable: names(text, "May be null:"),
            optional: names(text, "Only where it applies:"),
        }
    }
}

/// The names in code between these words and the end of the sentence.
fn names(text: &str, words: &str) -> BTreeSet<String> {
    let sentences = text.split(words).skip(1).filter_map(|rest| rest.split(['.', ':']).next());
    sentences.flat_map(|one| one.split('`').skip(1).step_by(2)).map(str::to_owned).collect()
}

/// The page, and which of its lists were seen with something in them.
pub(super) struct Page {
    pub(super) sections: BTreeMap<String, Section>,
    pub(super) filled: BTreeSet<String>,
}

impl Page {
    pub(super) fn read() -> Self {
        let sections = PAGE.split("\n### `").skip(1).map(|section| {
            let (name, rest) = section.split_once('`').unwrap();
            (name.to_owned(), Section::read(rest))
        });
        Self { sections: sections.collect(), filled: BTreeSet::new() }
    }

    /// Whether a value has the shape of one of the section's examples: the same keys, the same types, and nothing where
    /// there is nothing.
    pub(super) fn compare(&mut self, name: &str, found: &Value) -> Result<(), String> {
        let examples = self.sections[name].examples.clone();
        assert!(!examples.is_empty(), "{name} has no example");
        let tried: Vec<_> =
            examples.iter().map(|example| self.has_shape(name, name, example, found)).collect();
        if tried.iter().any(Result::is_ok) {
            return Ok(());
        }
        Err(tried.into_iter().filter_map(Result::err).collect::<Vec<_>>().join("\n or "))
    }

    fn has_shape(&mut self, name: &str, place: &str, example: &Value, found: &Value) -> Result<(), String> {
        match (example, found) {
            (Value::String(any), _) if any == "<any>" => Ok(()),
            (Value::String(other), _) if other.starts_with('<') && self.sections.contains_key(other) => {
                self.compare(other, found).map_err(|why| format!("{place}: {why}"))
            }
            (Value::Object(example), Value::Object(found)) => self.has_keys(name, place, example, found),
            (Value::Array(example), Value::Array(found)) => {
                for value in found {
                    let first = example.first().ok_or_else(|| format!("{place} is not empty: {value}"))?;
                    self.has_shape(name, &format!("{place}[]"), first, value)?;
                    self.filled.insert(place.to_owned());
                }
                Ok(())
            }
            (Value::Null, Value::Null)
            | (Value::Bool(_), Value::Bool(_))
            | (Value::Number(_), Value::Number(_))
            | (Value::String(_), Value::String(_)) => Ok(()),
            _ => Err(format!("{place} is {found}, in docs/json.md {example}")),
        }
    }

    fn has_keys(
        &mut self,
        name: &str,
        place: &str,
        example: &Map<String, Value>,
        found: &Map<String, Value>,
    ) -> Result<(), String> {
        let section = &self.sections[name];
        let (nullable, optional) = (section.nullable.clone(), section.optional.clone());
        let missing = example.keys().find(|key| !found.contains_key(*key) && !optional.contains(*key));
        if let Some(key) = missing {
            return Err(format!("{place} has no `{key}`"));
        }
        for (key, value) in found {
            let place = format!("{place}.{key}");
            let Some(example) = example.get(key) else {
                return Err(format!("{place} is not in docs/json.md"));
            };
            if !(value.is_null() && nullable.contains(key)) {
                self.has_shape(name, &place, example, value)?;
            }
        }
        Ok(())
    }

    /// The lists of the page that have something in them.
    pub(super) fn lists(&self) -> BTreeSet<String> {
        fn add(place: &str, value: &Value, lists: &mut BTreeSet<String>) {
            match value {
                Value::Array(values) if !values.is_empty() => {
                    lists.insert(place.to_owned());
                    values.iter().for_each(|value| add(&format!("{place}[]"), value, lists));
                }
                Value::Object(object) => {
                    object.iter().for_each(|(key, value)| add(&format!("{place}.{key}"), value, lists));
                }
                _ => {}
            }
        }
        let mut lists = BTreeSet::new();
        for (name, section) in &self.sections {
            section.examples.iter().for_each(|example| add(name, example, &mut lists));
        }
        lists
    }
}
