//! What a decision needs from the ledger.
//!
//! The policy decides what it can from the call or the terms alone. What depends on what was used, on approvals and on
//! whether everything is frozen is known to the ledger only, so it comes back as [`Needs`] (payments) or a [`CallPlan`]
//! (calls of tools), which the ledger looks up, decides by and takes in one transaction.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::json::Exact;
use crate::{Denial, DenialCode, Limit, Quantity, Usage, Window};

/// What a payment needs from the ledger: room in every limit, and perhaps somebody's approval.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Needs {
    /// Every budget and rate that it has to fit into, in the policy's order.
    pub limits: Vec<Limit>,
    /// The approval that it needs, if it needs one.
    pub approval: Option<ApprovalNeed>,
    /// What rules in shadow mode would have denied before the ledger was asked: recorded with the rest.
    pub shadowed: Vec<Denial>,
}

/// An approval that a payment or a call needs: bound to exactly these terms and to the policy that asked for it, good
/// for one use, until it expires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApprovalNeed {
    /// The rule that asks for it.
    pub rule: String,
    /// The exact terms, as one canonical JSON object: what a person is shown, and what the approval is bound to.
    pub terms: String,
    /// How long a request for approval, and then the approval, is good for.
    pub valid: Duration,
}

/// A count that the ledger keeps: what is used of a scope over a window.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Counter {
    /// Whose use is counted.
    pub scope: String,
    /// Over which time.
    pub window: Window,
}

/// What a call takes from a counter when it is allowed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Charge {
    /// The counter.
    pub counter: Counter,
    /// How much.
    pub amount: Quantity,
    /// When it is given back.
    pub refund: Refund,
}

/// When a call that was forwarded gives back what it took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refund {
    /// Never: a limit on attempts.
    Never,
    /// When the server answered with a JSON-RPC error, as Intercept does.
    #[default]
    OnError,
    /// Also when the tool's result says `isError`, or the upstream refused the request (HTTP 4xx or 5xx). What nobody
    /// knows the end of, a timeout or a dead server, stays taken.
    OnFailure,
}

/// What a call of a tool needs from the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CallPlan {
    /// The counters to look up, for [`CallPlan::decide`].
    pub counters: Vec<Counter>,
    /// What is taken when the call is allowed.
    pub charges: Vec<Charge>,
    /// The approval that it needs once everything else allows it.
    pub approval: Option<ApprovalNeed>,
    pub(crate) steps: Vec<Step>,
}

/// One step of a decision, in the order of the rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) rule: String,
    pub(crate) shadow: bool,
    pub(crate) test: Test,
    /// What to say when it does not hold.
    pub(crate) message: String,
    /// Whether the policy's author wrote that.
    pub(crate) authored: bool,
}

/// What a step looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Test {
    /// A rule that does not hold whatever the counters say.
    Denied(DenialCode),
    /// A counter, as it is before the call, compared with a number.
    Compare { counter: usize, comparison: Comparison, with: Exact },
    /// A counter with the call's amount in it must not pass `most`.
    Within { counter: usize, amount: Quantity, most: Quantity },
}

/// An order between two numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl CallPlan {
    /// Whether the call is allowed, given what is used of each of [`CallPlan::counters`]; what rules in shadow mode would
    /// have denied comes along.
    ///
    /// # Errors
    /// The [`Denial`] of the first rule that does not hold.
    pub fn decide(&self, used: &[Usage]) -> Result<Vec<Denial>, Denial> {
        let mut shadowed = Vec::new();
        for step in &self.steps {
            match step.holds(used) {
                Ok(()) => {}
                Err(denial) if step.shadow => shadowed.push(denial),
                Err(denial) => return Err(denial),
            }
        }
        Ok(shadowed)
    }

    /// The plan with one more limit: the call takes `charge`, and must leave its counter at `most` or below.
    #[must_use]
    pub fn with_limit(mut self, rule: impl Into<String>, charge: Charge, most: Quantity) -> Self {
        let rule = rule.into();
        let message = format!("the limit of rule `{rule}` is used up");
        let counter = self.counter(&charge.counter);
        let test = Test::Within { counter, amount: charge.amount, most };
        self.steps.push(Step { rule, shadow: false, test, message, authored: false });
        self.charges.push(charge);
        self
    }

    /// The place of a counter among those that are looked up.
    pub(crate) fn counter(&mut self, counter: &Counter) -> usize {
        let known = self.counters.iter().position(|known| known == counter);
        known.unwrap_or_else(|| {
            self.counters.push(counter.clone());
            self.counters.len() - 1
        })
    }

    /// Whether nothing has to be looked up or taken: [`CallPlan::decide`] is the whole decision then.
    #[must_use]
    pub fn is_free(&self) -> bool {
        self.counters.is_empty() && self.charges.is_empty() && self.approval.is_none()
    }
}

impl Step {
    fn holds(&self, used: &[Usage]) -> Result<(), Denial> {
        let usage = |counter: usize| used.get(counter).copied().unwrap_or_default();
        let count = |counter: usize| Quantity::new(usage(counter).amount.get());
        let deny = |code| {
            let denial = Denial::new(code, self.rule.clone(), self.message.clone());
            Denial { authored: self.authored, ..denial }
        };
        match self.test {
            Test::Denied(code) => Err(deny(code)),
            Test::Compare { counter, comparison, with } => {
                if comparison.holds(count(counter).exact(), with) {
                    return Ok(());
                }
                let seconds = usage(counter).retry_after_seconds();
                Err(Denial {
                    used: Some(count(counter).to_string()),
                    limit: Some(with.to_string()),
                    retry_after_seconds: seconds,
                    ..deny(DenialCode::ConditionFailed)
                })
            }
            Test::Within { counter, amount, most } => {
                let before = count(counter);
                if before.plus(amount).is_some_and(|after| after <= most) {
                    return Ok(());
                }
                let seconds = usage(counter).retry_after_seconds();
                Err(Denial {
                    limit: Some(most.to_string()),
                    used: Some(before.to_string()),
                    remaining: Some(most.less(before).to_string()),
                    // What never fits is not worth waiting for.
                    retry_after_seconds: seconds.filter(|_| amount <= most),
                    ..deny(DenialCode::RateExceeded)
                })
            }
        }
    }
}

impl Comparison {
    pub(crate) fn holds(self, a: Exact, b: Exact) -> bool {
        match self {
            Self::Equal => a == b,
            Self::NotEqual => a != b,
            Self::Less => a < b,
            Self::LessOrEqual => a <= b,
            Self::Greater => a > b,
            Self::GreaterOrEqual => a >= b,
        }
    }
}
