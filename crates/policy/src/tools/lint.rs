//! Rules that can never do what they say.

use std::collections::HashMap;

use super::values::{field, number, scalar};
use crate::PolicyError;
use crate::error::printable;
use crate::json::Exact;
use crate::yaml::{Entry, Node};

/// Refuses rules for tools that nobody can call.
pub(super) fn hidden_rules(hide: &[String], tools: &[Entry]) -> Result<(), PolicyError> {
    let hides = |name: &str| hide.iter().any(|hidden| hidden == name);
    let all = hides("*");
    match tools.iter().find(|entry| all || hides(&entry.key)) {
        Some(Entry { key, at, .. }) => Err(at.error(format!(
            "no call ever comes to these rules: `{}` is hidden",
            if all { "*".to_owned() } else { printable(key) }
        ))),
        None => Ok(()),
    }
}

/// What the conditions of one rule demand of one path.
#[derive(Default)]
struct Demands {
    absent: bool,
    present: bool,
    least: Option<Exact>,
    most: Option<Exact>,
}

impl Demands {
    fn add(&mut self, op: &str, value: &Node) {
        let bound = number(value);
        match (op, bound) {
            ("exists", _) if scalar(value) == Some("false") => self.absent = true,
            ("gt" | "gte", Some(bound)) => {
                self.least = Some(self.least.map_or(bound, |least| least.max(bound)))
            }
            ("lt" | "lte", Some(bound)) => self.most = Some(self.most.map_or(bound, |most| most.min(bound))),
            ("eq", Some(bound)) => {
                self.least = Some(self.least.map_or(bound, |least| least.max(bound)));
                self.most = Some(self.most.map_or(bound, |most| most.min(bound)));
            }
            _ => {}
        }
        // `exists: false` alone holds for what is missing.
        self.present |= !(op == "exists" && scalar(value) == Some("false"));
    }

    fn exclude_each_other(&self) -> bool {
        let empty = self.least.is_some_and(|least| self.most.is_some_and(|most| least > most));
        empty || (self.absent && self.present)
    }
}

/// Refuses conditions of one rule of which not all can hold.
pub(super) fn conditions(conditions: &[Node]) -> Result<(), PolicyError> {
    let mut demands: HashMap<&str, Demands> = HashMap::new();
    for condition in conditions {
        let (Some(path), Some(op), Some(value)) = (
            field(condition, "path").and_then(scalar),
            field(condition, "op").and_then(scalar),
            field(condition, "value"),
        ) else {
            continue;
        };
        let demand = demands.entry(path).or_default();
        demand.add(op, value);
        if demand.exclude_each_other() {
            return Err(condition.at.error(format!(
                "this condition and one above it exclude each other: nothing at `{}` ever fits both",
                printable(path)
            )));
        }
    }
    Ok(())
}
