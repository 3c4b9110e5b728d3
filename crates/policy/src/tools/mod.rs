//! The `tools:` section: what tools may be called, with which arguments, how often.
//!
//! It reads Intercept's YAML (version "1") and means what it means: hidden tools first, then the default, then the
//! tool's own rules in their order, then those under `"*"`; the first that does not hold denies. Only when all hold,
//! the counters are taken. What is ours is beside it: exact numbers, CEL, further windows, counters per value or across
//! servers, shadow mode, approvals.

mod compat;
mod counts;
mod expression;
mod lint;
mod operator;
mod parse;
mod path;
mod recording;
mod trace;
mod values;
mod words;

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use sha2::{Digest, Sha256};

pub use compat::{denial_text, validation_errors};
pub(crate) use parse::read;
pub(crate) use recording::{Recording, recording};
pub use trace::{Part, Traced};

use crate::error::printable;
use crate::json::{Exact, Json, Object};
use crate::plan::{Comparison, Step, Test};
use crate::{ApprovalNeed, CallPlan, Charge, Counter, Denial, DenialCode, Quantity, Refund, Window};
use expression::{Expression, Scene};
use operator::{Found, Operator};
use path::Path;

/// The most bytes of a call that a person is asked to approve.
const MAX_TERMS: usize = 32 * 1024;

/// A call of a tool, as it will be forwarded.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// The server's name: counters of two servers are apart.
    pub server: &'a str,
    /// The tool's name, exactly.
    pub tool: &'a str,
    /// Its arguments.
    pub arguments: &'a Object,
    /// Who calls; none for the owner.
    pub agent: Option<&'a str>,
    /// In which session.
    pub session: &'a str,
    /// The time: agents expire.
    pub now: Timestamp,
}

/// The section.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tools {
    default_deny: bool,
    hide_all: bool,
    hide: Vec<String>,
    listed: HashMap<String, Vec<Rule>>,
    every: Vec<Rule>,
}

#[derive(Debug, Clone)]
struct Rule {
    name: String,
    action: Action,
    conditions: Vec<Condition>,
    on_deny: Option<String>,
    hold: Option<Hold>,
    shadow: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    /// Every condition has to hold.
    Evaluate,
    /// Never.
    Deny,
    /// Where every condition holds, a person has to approve.
    Approve(Duration),
}

#[derive(Debug, Clone)]
enum Condition {
    Argument { path: Path, operator: Operator, text: String },
    Count { count: Arc<Count>, comparison: Comparison, value: Exact },
    Expression(Arc<Expression>),
}

/// A counter of the policy: what it is called, and whose calls it counts together.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Count {
    name: String,
    scope: Scope,
    window: CountWindow,
    each: Option<Each>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Scope {
    /// The calls of one tool.
    Tool(String),
    /// All calls to one server.
    Global,
    /// All calls to all servers whose policies name it.
    Shared,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CountWindow {
    Timed(Window),
    /// As long as the session lasts.
    Session,
}

/// What is counted apart.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Each {
    Agent,
    Session,
    /// The same tool with the same arguments.
    Call,
    Argument(Path),
}

/// What a rule takes from its counter.
#[derive(Debug, Clone)]
struct Hold {
    count: Arc<Count>,
    increment: Increment,
    most: Quantity,
    refund: Refund,
}

#[derive(Debug, Clone)]
enum Increment {
    Fixed(Quantity),
    From(Path),
}

impl Tools {
    /// Whether the tool is not even shown.
    pub(crate) fn hides(&self, tool: &str) -> bool {
        self.hide_all || self.hide.iter().any(|hidden| hidden == tool)
    }

    /// What the call needs from the ledger, or the denial that needs nothing from it.
    pub(crate) fn plan(&self, call: &Call<'_>) -> Result<CallPlan, Denial> {
        let tool = call.tool;
        if self.hides(tool) {
            let message = format!("Tool {} is hidden by policy", quoted(tool));
            return Err(Denial::new(DenialCode::ToolHidden, "(hidden)", message));
        }
        let listed = self.listed.get(tool);
        if self.default_deny && listed.is_none() {
            let message = format!("Tool {} is not permitted by policy", quoted(tool));
            return Err(Denial::new(DenialCode::ToolNotAllowed, "(default deny)", message));
        }
        let rules = || listed.into_iter().flatten().chain(&self.every);
        let mut planning = Planning::of(call);
        let allowed = rules().all(|rule| planning.judge(rule)) && rules().all(|rule| planning.take(rule));
        if allowed {
            return Ok(planning.plan);
        }
        planning.denied()
    }
}

/// A plan in the making.
struct Planning<'a> {
    call: &'a Call<'a>,
    plan: CallPlan,
    /// What stands at each of the policy's paths, as far as it was looked for.
    found: Vec<Option<Result<Found<'a>, String>>>,
}

impl<'a> Planning<'a> {
    fn of(call: &'a Call<'a>) -> Self {
        Self { call, plan: CallPlan::default(), found: Vec::new() }
    }

    #[inline]
    fn find(&mut self, path: &Path) -> Result<&Found<'a>, &String> {
        if self.found.len() <= path.slot() {
            self.found.resize(path.slot() + 1, None);
        }
        let call = self.call;
        let look = || path.find(call.arguments).map(Found::of);
        match self.found.get_mut(path.slot()) {
            Some(found) => found.get_or_insert_with(look).as_ref(),
            None => Ok(&Found::NOTHING),
        }
    }

    /// Whether the rules after this one matter.
    fn judge(&mut self, rule: &Rule) -> bool {
        match rule.action {
            Action::Deny => self.refuse(rule, DenialCode::DeniedByRule, "this tool may not be called"),
            Action::Approve(valid) => self.approve(rule, valid),
            // A rule's own limit is held when its amount is taken, with the amount in it.
            Action::Evaluate => rule
                .conditions
                .iter()
                .filter(|condition| rule.hold.is_none() || !rule.is_own_limit(condition))
                .all(|condition| self.plainly_holds(condition) || self.condition(rule, condition)),
        }
    }

    /// Whether it is about an argument and holds: what most conditions are and do, without the words for when they do not.
    #[inline]
    fn plainly_holds(&mut self, condition: &Condition) -> bool {
        let Condition::Argument { path, operator, .. } = condition else { return false };
        self.find(path).is_ok_and(|found| operator.holds(found))
    }

    fn condition(&mut self, rule: &Rule, condition: &Condition) -> bool {
        match self.look(rule, condition) {
            Ok(()) => true,
            Err((code, why)) => self.refuse(rule, code, &why),
        }
    }

    /// What can be said of a condition now; a counter's becomes a step of the plan.
    fn look(&mut self, rule: &Rule, condition: &Condition) -> Result<(), (DenialCode, String)> {
        let fails = |why| Err((DenialCode::ConditionFailed, why));
        match condition {
            Condition::Argument { path, operator, text } => match self.find(path) {
                Ok(found) if operator.holds(found) => Ok(()),
                Ok(_) => fails(format!("{text} does not hold")),
                Err(why) => fails(why.clone()),
            },
            Condition::Count { count, comparison, value } => {
                let counter = self.counter(count).map_err(|why| (DenialCode::BadArguments, why))?;
                let counter = self.plan.counter(&counter);
                let why = format!("the counter `{}` has come to its end", count.name);
                let message = rule.message(&why);
                let test = Test::Compare { counter, comparison: *comparison, with: *value };
                self.step(rule, test, message);
                Ok(())
            }
            Condition::Expression(expression) => match expression.holds(&self.scene()) {
                Ok(true) => Ok(()),
                Ok(false) => fails(format!("`{}` is false", printable(&expression.to_string()))),
                Err(why) => fails(format!("`{}` has no value: {why}", printable(&expression.to_string()))),
            },
        }
    }

    fn scene(&self) -> Scene<'_> {
        let Call { tool, arguments, agent, session, .. } = *self.call;
        Scene { tool, arguments, agent, session }
    }

    /// A rule that asks for approval does so where all of its conditions hold, or where nobody can say whether they do.
    fn approve(&mut self, rule: &Rule, valid: Duration) -> bool {
        let asks = rule.conditions.iter().all(|condition| match condition {
            Condition::Argument { path, operator, .. } => {
                self.find(path).map_or(true, |found| operator.may_hold(found))
            }
            Condition::Expression(expression) => expression.holds(&self.scene()).unwrap_or(true),
            Condition::Count { .. } => true,
        });
        if !asks || self.plan.approval.is_some() {
            return true;
        }
        let terms = self.terms();
        if terms.len() > MAX_TERMS {
            return self.refuse(
                rule,
                DenialCode::BadArguments,
                "this is more than a person can be asked to approve",
            );
        }
        self.plan.approval = Some(ApprovalNeed { rule: rule.name.clone(), terms, valid });
        true
    }

    /// What is approved: exactly this call, in canonical JSON.
    fn terms(&self) -> String {
        let Call { server, tool, arguments, agent, .. } = *self.call;
        let terms: Object = [
            ("agent".to_owned(), agent.map_or(Json::Null, Json::from)),
            ("arguments".to_owned(), arguments.canonical()),
            ("server".to_owned(), Json::from(server)),
            ("tool".to_owned(), Json::from(tool)),
        ]
        .into_iter()
        .collect();
        terms.canonical().to_string()
    }

    /// Takes what the rule holds.
    #[inline]
    fn take(&mut self, rule: &Rule) -> bool {
        rule.hold.as_ref().is_none_or(|hold| self.take_of(rule, hold))
    }

    fn take_of(&mut self, rule: &Rule, hold: &Hold) -> bool {
        let taken =
            hold.amount(self.call.arguments).and_then(|amount| Ok((amount, self.counter(&hold.count)?)));
        let (amount, counter) = match taken {
            Ok(taken) => taken,
            Err(why) => return self.refuse(rule, DenialCode::BadArguments, &why),
        };
        let place = self.plan.counter(&counter);
        let message = rule.message(&format!("at most {} {}", hold.most, hold.count.window.per()));
        // Two rules may count with one shared counter: the second finds what the first takes.
        let before =
            self.plan.charges.iter().filter(|charge| charge.counter == counter).map(|charge| charge.amount);
        let Some(together) = before.chain([amount]).try_fold(Quantity::default(), Quantity::plus) else {
            return self.refuse(rule, DenialCode::BadArguments, "together this is too large to be counted");
        };
        self.step(rule, Test::Within { counter: place, amount: together, most: hold.most }, message);
        self.plan.charges.push(Charge { counter, amount, refund: hold.refund });
        true
    }

    /// The ledger's counter for this call.
    fn counter(&self, count: &Count) -> Result<Counter, String> {
        let Call { server, session, .. } = *self.call;
        let mut scope = match &count.scope {
            Scope::Tool(tool) => format!("tool:{}/{}/{}", part(server), part(tool), part(&count.name)),
            Scope::Global => format!("tool:{}/_global/{}", part(server), part(&count.name)),
            Scope::Shared => format!("tool:_shared/{}", part(&count.name)),
        };
        if let Some(each) = &count.each {
            scope = format!("{scope}/each:{}", self.value(each)?);
        }
        Ok(match count.window {
            CountWindow::Timed(window) => Counter { scope, window },
            CountWindow::Session => {
                Counter { scope: format!("{scope}/session:{session}"), window: Window::Lifetime }
            }
        })
    }

    /// The value by which a counter counts apart, in a form of bounded length that gives nothing away.
    fn value(&self, each: &Each) -> Result<String, String> {
        let Call { tool, arguments, agent, session, .. } = *self.call;
        let value = match each {
            Each::Agent => agent.unwrap_or_default().to_owned(),
            Each::Session => session.to_owned(),
            Each::Call => {
                if !arguments.is_exact() {
                    return Err("an argument has a number with too many digits".to_owned());
                }
                format!("{tool} {}", arguments.canonical())
            }
            Each::Argument(path) => match path.find(arguments)? {
                Some(value) => value.canonical().to_string(),
                None => return Err(format!("{path} is missing, and calls are counted by it")),
            },
        };
        Ok(hex::encode(&Sha256::digest(value)[..16]))
    }

    fn step(&mut self, rule: &Rule, test: Test, message: String) {
        let authored = rule.on_deny.is_some();
        self.plan.steps.push(Step { rule: rule.name.clone(), shadow: rule.shadow, test, message, authored });
    }

    /// Adds a denial. Whether the rules after it matter: they do in shadow mode.
    fn refuse(&mut self, rule: &Rule, code: DenialCode, why: &str) -> bool {
        self.step(rule, Test::Denied(code), rule.message(why));
        rule.shadow
    }

    /// A denial that waits for no counter is one at once.
    fn denied(self) -> Result<CallPlan, Denial> {
        let mut plan = self.plan;
        if plan.counters.is_empty() {
            plan.decide(&[])?;
        }
        // Nothing is taken, and nobody is asked, for what is denied anyway.
        plan.charges.clear();
        plan.approval = None;
        Ok(plan)
    }
}

impl Rule {
    /// Whether the condition is what bounds the rule's own counter.
    fn is_own_limit(&self, condition: &Condition) -> bool {
        let Condition::Count { count, comparison, .. } = condition else { return false };
        matches!(comparison, Comparison::Less | Comparison::LessOrEqual)
            && self.hold.as_ref().is_some_and(|hold| hold.count == *count)
    }

    /// What the policy's author says, else what happened.
    fn message(&self, why: &str) -> String {
        self.on_deny.clone().unwrap_or_else(|| format!("{why} (rule `{}`)", printable(&self.name)))
    }
}

impl Hold {
    fn amount(&self, arguments: &Object) -> Result<Quantity, String> {
        let path = match &self.increment {
            Increment::Fixed(amount) => return Ok(*amount),
            Increment::From(path) => path,
        };
        let exact = match path.find(arguments)? {
            Some(Json::Number(number)) => number.exact(),
            // Amounts are often decimal strings.
            Some(Json::String(text)) => Exact::parse(text),
            Some(_) => None,
            None => return Err(format!("{path} is missing, and is what is counted")),
        };
        let amount = exact.ok_or_else(|| format!("{path} is no number, and is what is counted"))?;
        if amount.is_negative() {
            return Err(format!("{path} is negative: nothing is ever given back that way"));
        }
        Quantity::of(amount)
            .ok_or_else(|| format!("{path} is too large, or too finely divided, to be counted"))
    }
}

impl CountWindow {
    /// `per day`, `in any 60 minutes`, `per session`.
    fn per(self) -> String {
        match self {
            Self::Session => "per session".to_owned(),
            Self::Timed(Window::Calendar(period)) => format!("per {}", period.as_str()),
            Self::Timed(window @ Window::Rolling(_)) => format!("in any {window}"),
            Self::Timed(Window::Lifetime) => "ever".to_owned(),
        }
    }
}

/// A name as one part of a counter's: those of servers, tools and counters may have slashes, and two counters must not
/// become one by where they stand.
fn part(name: &str) -> Cow<'_, str> {
    if !name.contains(['%', '/']) {
        return Cow::Borrowed(name);
    }
    Cow::Owned(name.replace('%', "%25").replace('/', "%2F"))
}

/// A name in quotes, as Go's `%q` writes it.
fn quoted(name: &str) -> String {
    Json::from(name).to_string()
}
