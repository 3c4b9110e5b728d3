//! Every rule that a call meets, and how it stands: for `farthing policy explain`.

use std::fmt;

use super::{Action, Call, Condition, Planning, Rule, Tools, quoted};
use crate::Counter;
use crate::plan::{Comparison, Test};

/// A rule that a call meets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Traced {
    /// The rule's name.
    pub rule: String,
    /// Whether it only reports.
    pub shadow: bool,
    /// Its parts, in their order.
    pub parts: Vec<Part>,
}

/// A condition, or what the rule does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// It holds.
    Holds(String),
    /// It does not, and why.
    Fails(String),
    /// A person is asked.
    Asks(String),
    /// It depends on a counter: which, what is taken from it, and what it is held against, in words.
    Counts {
        /// The counter.
        counter: Counter,
        /// What it is held against.
        against: String,
    },
}

impl Tools {
    /// Every rule that the call meets, whether or not one before it denies.
    pub(crate) fn trace(&self, call: &Call<'_>) -> Vec<Traced> {
        let whole = |rule: &str, part| Traced { rule: rule.to_owned(), shadow: false, parts: vec![part] };
        if self.hides(call.tool) {
            return vec![whole("(hidden)", Part::Fails(format!("{} is hidden", quoted(call.tool))))];
        }
        let listed = self.listed.get(call.tool);
        if self.default_deny && listed.is_none() {
            let part = Part::Fails(format!("{} is not listed under `tools`", quoted(call.tool)));
            return vec![whole("(default deny)", part)];
        }
        listed.into_iter().flatten().chain(&self.every).map(|rule| rule.trace(call)).collect()
    }
}

impl Rule {
    fn trace(&self, call: &Call<'_>) -> Traced {
        let mut parts = Vec::new();
        match self.action {
            Action::Deny => parts.push(Part::Fails(self.message("this tool may not be called"))),
            Action::Approve(_) => {
                let mut planning = Planning::of(call);
                planning.judge(self);
                let asks = planning.plan.approval.is_some();
                let words = if asks { "a person has to approve it" } else { "no approval is needed" };
                parts.push(if asks { Part::Asks(words.to_owned()) } else { Part::Holds(words.to_owned()) });
            }
            Action::Evaluate => {
                parts.extend(self.conditions.iter().map(|condition| self.part(call, condition)))
            }
        }
        if self.hold.is_some() {
            parts.extend(self.taken(call));
        }
        Traced { rule: self.name.clone(), shadow: self.shadow, parts }
    }

    fn part(&self, call: &Call<'_>, condition: &Condition) -> Part {
        let mut planning = Planning::of(call);
        let text = condition.to_string();
        match planning.look(self, condition) {
            Err((_, why)) => Part::Fails(why),
            Ok(()) => match planning.plan.counters.pop() {
                Some(counter) => Part::Counts { counter, against: text },
                None => Part::Holds(text),
            },
        }
    }

    fn taken(&self, call: &Call<'_>) -> Option<Part> {
        let mut planning = Planning::of(call);
        planning.take(self);
        let step = planning.plan.steps.pop()?;
        match step.test {
            Test::Within { amount, most, .. } => {
                let counter = planning.plan.counters.pop()?;
                Some(Part::Counts { counter, against: format!("takes {amount}, and may come to {most}") })
            }
            _ => Some(Part::Fails(step.message)),
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Argument { text, .. } => f.write_str(text),
            Self::Expression(expression) => write!(f, "`{expression}`"),
            Self::Count { count, comparison, value } => {
                write!(f, "state.{}.{} {} {value}", count.scope.path(), count.name, comparison.as_str())
            }
        }
    }
}

impl Comparison {
    /// As a policy writes it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "eq",
            Self::NotEqual => "neq",
            Self::Less => "lt",
            Self::LessOrEqual => "lte",
            Self::Greater => "gt",
            Self::GreaterOrEqual => "gte",
        }
    }
}
