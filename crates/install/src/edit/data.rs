//! What is written, before it has a format.

use super::node::{Node, Shape};

/// A value to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Data {
    Text(String),
    Texts(Vec<String>),
    Flag(bool),
    Number(u32),
    Map(Vec<(String, Data)>),
}

impl Data {
    /// What stands there, as far as it could have been written from such a value.
    pub(super) fn of(node: &Node) -> Option<Self> {
        Some(match &node.shape {
            Shape::Map { pairs, .. } => {
                let pairs = pairs.iter().map(|pair| Some((pair.key.clone(), Self::of(&pair.value)?)));
                Self::Map(pairs.collect::<Option<_>>()?)
            }
            Shape::List(items) => Self::Texts(items.iter().map(text).collect::<Option<_>>()?),
            Shape::Leaf(leaf) => match leaf.as_str() {
                "true" => Self::Flag(true),
                "false" => Self::Flag(false),
                number => number.parse().map(Self::Number).ok().or_else(|| text(node).map(Self::Text))?,
            },
            Shape::Null => return None,
        })
    }

    /// `self` as the value of the last of these keys, each in the map of the one before.
    pub(super) fn under(self, keys: &[&str]) -> Self {
        keys.iter().rev().fold(self, |data, key| Self::Map(vec![((*key).to_owned(), data)]))
    }

    /// Whether this is what stands there; `leaf` gives a value's text in the tree of the format.
    pub(super) fn is(&self, node: &Node, leaf: fn(&Data) -> String) -> bool {
        match (self, &node.shape) {
            (Self::Texts(texts), Shape::List(items)) => {
                let wanted = texts.iter().map(|text| leaf(&Self::Text(text.clone())));
                wanted.eq(items.iter().map(|item| match &item.shape {
                    Shape::Leaf(text) => text.clone(),
                    _ => String::new(),
                }))
            }
            (Self::Map(wanted), Shape::Map { pairs, .. }) => {
                wanted.len() == pairs.len()
                    && wanted
                        .iter()
                        .zip(pairs)
                        .all(|((key, data), pair)| *key == pair.key && data.is(&pair.value, leaf))
            }
            (Self::Text(_) | Self::Flag(_) | Self::Number(_), Shape::Leaf(text)) => *text == leaf(self),
            _ => false,
        }
    }
}

fn text(node: &Node) -> Option<String> {
    match &node.shape {
        Shape::Leaf(leaf) => serde_json::from_str(leaf).ok(),
        _ => None,
    }
}

/// A text between double quotes, as JSON, TOML and YAML all read it.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string().replace('\u{7f}', "\\u007f")
}
