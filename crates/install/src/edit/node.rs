//! What the three formats have in common: a tree in which each part knows its place in the text.

use std::ops::Range;

/// A value and where it stands.
#[derive(Debug)]
pub(super) struct Node {
    /// Its bytes; of a block, from its first part to its last.
    pub(super) span: Range<usize>,
    pub(super) shape: Shape,
}

#[derive(Debug)]
pub(super) enum Shape {
    Map {
        pairs: Vec<Pair>,
        style: Style,
    },
    List(Vec<Node>),
    /// No value: `null`, or nothing at all in YAML.
    Null,
    /// Anything else, as a text that is the same for the same value.
    Leaf(String),
}

/// How a map is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// A line or more for each pair: YAML's blocks, TOML's tables.
    Block,
    /// Between braces.
    Braces,
    /// TOML's `a.b = 1`: the map has no text of its own.
    Dotted,
}

#[derive(Debug)]
pub(super) struct Pair {
    pub(super) key: String,
    pub(super) key_span: Range<usize>,
    pub(super) value: Node,
}

impl Node {
    pub(super) fn empty(at: usize) -> Self {
        Self { span: at..at, shape: Shape::Map { pairs: Vec::new(), style: Style::Block } }
    }

    /// The pairs of a map; none of anything else.
    pub(super) fn pairs(&self) -> &[Pair] {
        match &self.shape {
            Shape::Map { pairs, .. } => pairs,
            _ => &[],
        }
    }

    pub(super) fn style(&self) -> Option<Style> {
        match &self.shape {
            Shape::Map { style, .. } => Some(*style),
            _ => None,
        }
    }

    /// What a map can be put into: a map, or nothing yet.
    pub(super) fn holds_pairs(&self) -> bool {
        matches!(self.shape, Shape::Map { .. } | Shape::Null)
    }
}

/// What a text says, without where it says so.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Content {
    Map(Vec<(String, Content)>),
    List(Vec<Content>),
    Null,
    Leaf(String),
}

impl Content {
    pub(super) fn of(node: &Node) -> Self {
        match &node.shape {
            Shape::Map { pairs, .. } => {
                Self::Map(pairs.iter().map(|pair| (pair.key.clone(), Self::of(&pair.value))).collect())
            }
            Shape::List(items) => Self::List(items.iter().map(Self::of).collect()),
            Shape::Null => Self::Null,
            Shape::Leaf(text) => Self::Leaf(text.clone()),
        }
    }

    /// Everything but the entry `name` at `path`, and the maps on that path that hold nothing else: what no edit may
    /// change.
    pub(super) fn besides(node: &Node, path: &[&str], name: &str) -> Self {
        let (on_path, rest) = path.split_first().map_or((name, None), |(first, rest)| (*first, Some(rest)));
        if !node.holds_pairs() {
            return Self::of(node);
        }
        let pairs = node.pairs().iter().filter_map(|pair| {
            let content = match rest {
                _ if pair.key != on_path => Self::of(&pair.value),
                None => return None,
                Some(rest) => Self::besides(&pair.value, rest, name),
            };
            let emptied = pair.key == on_path && content == Self::Map(Vec::new());
            (!emptied).then(|| (pair.key.clone(), content))
        });
        Self::Map(pairs.collect())
    }
}
