//! Budgets, rates, and the other rules that count.
use std::collections::HashSet;

use farthing_money::Usd;

use super::read::Reading;
use super::{Facts, Payments};
use crate::error::{Place, printable};
use crate::read::{Fields, count, dollars, items, name, text, truth, window};
use crate::yaml::{Node, Value};
use crate::{Limit, Measure, PolicyError, Window};

/// The most budgets and rates together in a section: each costs every payment time in the ledger.
const MAX_CAPS: usize = 100;

/// A budget, a rate, or another rule that counts.
#[derive(Debug, Clone)]
pub(crate) struct Cap {
    pub(crate) at: Place,
    /// What denials call it.
    pub(crate) rule: String,
    pub(crate) measure: Measure,
    pub(crate) span: Span,
    pub(crate) each: Each,
    pub(crate) shadow: bool,
}

/// Over which time a cap counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Span {
    Window(Window),
    /// As long as the agent's session; a payment outside of sessions is a session of its own.
    Session,
}

/// Whose use a cap counts together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Each {
    All,
    Agent,
    Host,
    Payee,
    Resource,
    Network,
    Category,
    Tool,
    /// The same method and address, with its query: what an agent in a circle repeats.
    Same,
    /// All payments to payees that were never paid before.
    NewPayee,
}

/// The choices of `each:` by their names in a policy.
const EACH: [(&str, Each); 8] = [
    ("all", Each::All),
    ("agent", Each::Agent),
    ("host", Each::Host),
    ("payee", Each::Payee),
    ("resource", Each::Resource),
    ("network", Each::Network),
    ("category", Each::Category),
    ("tool", Each::Tool),
];

impl Cap {
    /// The limits that it puts on a payment, or on none in particular. A cap per session gives none outside of a
    /// session: [`Cap::alone`] holds then.
    pub(crate) fn limits(&self, section: &Payments, facts: Option<&Facts<'_>>) -> Vec<Limit> {
        let (window, session) = match self.span {
            Span::Window(window) => (window, String::new()),
            Span::Session => match facts.and_then(Facts::session) {
                Some(session) => (Window::Lifetime, format!("session:{session}/")),
                None => return Vec::new(),
            },
        };
        let agent = beneath(section.agent.as_deref());
        let scopes = match (self.each, facts) {
            (Each::All, _) => vec!["all".to_owned()],
            (each, Some(facts)) => facts.scopes(each, section.agent.as_deref()),
            (_, None) => Vec::new(),
        };
        let limit = |scope: String| {
            let first_use_of = (self.each == Each::NewPayee).then(|| facts.map(Facts::payee_scope)).flatten();
            let scope = format!("{agent}{session}{scope}");
            let limit = Limit::new(&self.rule, scope, window, self.measure);
            Limit { shadow: self.shadow, first_use_of, ..limit }
        };
        scopes.into_iter().map(limit).collect()
    }

    /// Its limit, with what all its scopes begin with in the place of one, where they say by name what they count for.
    pub(crate) fn limit_of_each(&self, owner: Option<&str>) -> Option<Limit> {
        let Span::Window(window) = self.span else { return None };
        let scope = format!("{}{}", beneath(owner), self.each.prefix()?);
        Some(Limit { shadow: self.shadow, ..Limit::new(&self.rule, scope, window, self.measure) })
    }

    /// The limit that holds for a payment outside of sessions by itself.
    pub(crate) fn alone(&self) -> Option<Limit> {
        (self.span == Span::Session)
            .then(|| Limit::new(&self.rule, "session", Window::Lifetime, self.measure))
    }
}

/// What the scopes of an agent's own section begin with.
fn beneath(owner: Option<&str>) -> String {
    owner.map_or(String::new(), |agent| format!("agent:{agent}/"))
}

impl Each {
    /// What the scopes begin with that go on with a name.
    pub(crate) fn prefix(self) -> Option<&'static str> {
        match self {
            Self::All | Self::Same | Self::NewPayee => None,
            Self::Agent => Some("agent:"),
            Self::Host => Some("host:"),
            Self::Payee => Some("payee:"),
            Self::Resource => Some("resource:"),
            Self::Network => Some("network:"),
            Self::Category => Some("category:"),
            Self::Tool => Some("by-tool:"),
        }
    }

    /// Its name in a policy, and in plain English.
    pub(crate) fn name(self) -> Option<&'static str> {
        EACH.iter().find(|(_, each)| *each == self).map(|(name, _)| *name)
    }
}

/// Budgets and rates as they are read.
pub(super) struct Caps<'a> {
    pub(super) reading: &'a Reading<'a>,
    /// The least that a payment may be.
    pub(super) least: Option<Usd>,
    pub(super) names: HashSet<String>,
    pub(super) caps: Vec<Cap>,
}

impl Caps<'_> {
    pub(super) fn read(
        &mut self,
        list: Option<Node>,
        measure: fn(&Self, Node) -> Result<Measure, PolicyError>,
    ) -> Result<(), PolicyError> {
        let Some(list) = list else { return Ok(()) };
        for node in items(list)? {
            let at = node.at;
            let mut fields = Fields::of(node, &["name", "max", "per", "each", "shadow"])?;
            let name = self.unused(fields.need("name", "denials call the rule by it")?)?;
            let max = fields.need("max", "write the most that fits into the window")?;
            let measure = measure(self, max)?;
            let span = span(fields.need("per", "write the window, such as day or \"24 hours\"")?)?;
            let each = fields.take("each").map_or(Ok(Each::All), |node| self.each(node))?;
            let shadow = fields.take("shadow").map_or(Ok(false), truth)?;
            if self.caps.len() == MAX_CAPS {
                return Err(at.error(format!("there are more than {MAX_CAPS} budgets and rates")));
            }
            let rule = match self.reading.agent {
                Some(agent) => format!("agents.{agent}.{name}"),
                None => name,
            };
            self.caps.push(Cap { at, rule, measure, span, each, shadow });
        }
        Ok(())
    }

    /// A rule that counts and has no name of its own: `new_payees`, `loops`.
    pub(super) fn single(&mut self, key: &str, node: Option<Node>, each: Each) -> Result<(), PolicyError> {
        let Some(node) = node else { return Ok(()) };
        let at = node.at;
        let mut fields = Fields::of(node, &["max", "per", "shadow"])?;
        let measure = Measure::Count(count(fields.need("max", "write the most that fits into the window")?)?);
        let span = span(fields.need("per", "write the window, such as day or \"60 seconds\"")?)?;
        let shadow = fields.take("shadow").map_or(Ok(false), truth)?;
        let rule = self.reading.rule(key);
        self.caps.push(Cap { at, rule, measure, span, each, shadow });
        Ok(())
    }

    fn unused(&mut self, node: Node) -> Result<String, PolicyError> {
        let at = node.at;
        let name = name(node)?;
        if self.names.insert(name.clone()) {
            return Ok(name);
        }
        Err(at.error(format!("a rule named `{name}` stands above already")))
    }

    pub(super) fn budget(&self, node: Node) -> Result<Measure, PolicyError> {
        let at = node.at;
        let max = dollars(node)?;
        if max == Usd::ZERO {
            return Err(at.error("a budget of $0 would never allow a payment"));
        }
        match self.least {
            Some(min) if max < min => Err(at.error(format!(
                "the budget {max} is below the minimum per payment {min}: it would never allow a payment"
            ))),
            _ => Ok(Measure::Amount(max)),
        }
    }

    pub(super) fn rate(&self, node: Node) -> Result<Measure, PolicyError> {
        count(node).map(Measure::Count)
    }

    fn each(&self, node: Node) -> Result<Each, PolicyError> {
        let at = node.at;
        let wanted = text(node)?;
        match EACH.iter().find(|(name, _)| *name == wanted) {
            Some((_, Each::Category)) if self.reading.categories.is_empty() => {
                Err(at.error("no category is defined: write `categories:` at the top of the policy"))
            }
            Some((_, each)) => Ok(*each),
            None => Err(at.error(format!(
                "`{}` is not counted apart: write {}",
                printable(&wanted),
                EACH.map(|(name, _)| name).join(", ")
            ))),
        }
    }
}

fn span(node: Node) -> Result<Span, PolicyError> {
    match &node.value {
        Value::Plain(text) | Value::Quoted(text) if text == "session" => Ok(Span::Session),
        _ => window(node).map(Span::Window).map_err(|mut error| {
            if error.message.ends_with("or lifetime") {
                error.message.push_str("; or session");
            }
            error
        }),
    }
}
