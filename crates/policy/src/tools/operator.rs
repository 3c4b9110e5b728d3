//! Operators: what a condition compares, and how.
//!
//! They mean what Intercept's mean, with exact numbers in the place of its floats: `eq` compares numbers by value and
//! everything else by its text; an order holds between numbers only; what is missing or of the wrong kind holds nothing.

use regex::Regex;

use crate::json::{Exact, Json};
use crate::plan::Comparison;

/// An operator with what it compares to.
#[derive(Debug, Clone)]
pub(crate) enum Operator {
    Equals { value: Json, negated: bool },
    OneOf { values: Vec<Json>, negated: bool },
    Order { comparison: Comparison, value: Exact },
    Matches(Regex),
    Contains(Json),
    Exists(bool),
}

/// What stands at a path of a call. It is looked up once, however many rules look there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Found<'a> {
    value: Option<&'a Json>,
    number: Option<Exact>,
}

impl<'a> Found<'a> {
    /// Nothing stands there.
    pub(crate) const NOTHING: Self = Self { value: None, number: None };

    /// None: nothing stands there.
    pub(crate) fn of(value: Option<&'a Json>) -> Self {
        Self { value, number: value.and_then(number) }
    }
}

impl Operator {
    /// Whether it may hold for what stands at a path: also where nothing stands there, or what cannot be compared.
    pub(crate) fn may_hold(&self, found: &Found<'_>) -> bool {
        let comparable = match (self, found.value) {
            (Self::Exists(_), _) => true,
            (_, None) => false,
            (Self::Order { .. }, Some(_)) => found.number.is_some(),
            (Self::Matches(_), Some(value)) => value.as_str().is_some(),
            (_, Some(value)) => *value != Json::Null,
        };
        !comparable || self.holds(found)
    }

    /// Whether it holds for what stands at a path.
    pub(crate) fn holds(&self, found: &Found<'_>) -> bool {
        match (self, found.value) {
            (Self::Exists(wanted), found) => found.is_some_and(|value| *value != Json::Null) == *wanted,
            (Self::Order { comparison, value }, _) => {
                found.number.is_some_and(|number| comparison.holds(number, *value))
            }
            (_, None) => false,
            (Self::Equals { value, negated }, Some(found)) => equals(found, value) != *negated,
            (Self::OneOf { values, negated }, Some(found)) => {
                values.iter().any(|value| equals(found, value)) != *negated
            }
            (Self::Matches(pattern), Some(found)) => {
                found.as_str().is_some_and(|text| pattern.is_match(text))
            }
            (Self::Contains(part), Some(found)) => contains(found, part),
        }
    }
}

/// The exact value of a number.
fn number(json: &Json) -> Option<Exact> {
    if let Json::Number(number) = json { number.exact() } else { None }
}

/// Numbers by value; lists and objects by their parts; everything else by its text, so that `25` is `"25"`.
fn equals(a: &Json, b: &Json) -> bool {
    match (a, b) {
        (Json::Number(x), Json::Number(y)) => match (x.exact(), y.exact()) {
            (Some(x), Some(y)) => x == y,
            _ => x == y,
        },
        (Json::Array(x), Json::Array(y)) => x.len() == y.len() && x.iter().zip(y).all(|(a, b)| equals(a, b)),
        (Json::Object(x), Json::Object(y)) => {
            x.len() == y.len() && x.iter().all(|(key, a)| y.get(key).is_some_and(|b| equals(a, b)))
        }
        _ => text(a).is_some_and(|a| text(b).is_some_and(|b| a == b)),
    }
}

/// A scalar as text: `25`, `true`, `<nil>` for null, as Intercept writes them. A number has one text for one value.
fn text(json: &Json) -> Option<String> {
    Some(match json {
        Json::Null => "<nil>".to_owned(),
        Json::Bool(truth) => truth.to_string(),
        Json::Number(number) => number.exact().map_or_else(|| number.to_string(), |exact| exact.to_string()),
        Json::String(text) => text.clone(),
        Json::Array(_) | Json::Object(_) => return None,
    })
}

/// A part of a text, or an element of a list.
fn contains(whole: &Json, part: &Json) -> bool {
    match (whole, part) {
        (Json::String(whole), Json::String(part)) => whole.contains(part.as_str()),
        (Json::Array(items), part) => items.iter().any(|item| equals(item, part)),
        _ => false,
    }
}
