//! The counters that a policy declares.

use std::collections::HashMap;
use std::sync::Arc;

use super::values::{field, scalar};
use super::{Count, CountWindow, Each, Path, Scope};
use crate::PolicyError;
use crate::Window;
use crate::error::{Place, printable};
use crate::read::window;
use crate::yaml::{Entry, Node, Value};

/// Every counter that a rule of some tool counts with, found before the rules are read: a rule may name the counters of
/// another tool.
pub(super) struct Counts(HashMap<String, Arc<Count>>);

impl Counts {
    pub(super) fn of(entries: &[Entry]) -> Result<Self, PolicyError> {
        let mut counts = Self(HashMap::new());
        for Entry { key, node, .. } in entries {
            let scope = if key == "*" { Scope::Global } else { Scope::Tool(key.clone()) };
            for rule in rule_nodes(node) {
                if let Some((count, at)) = declared(&scope, rule)? {
                    counts.add(count, at)?;
                }
            }
        }
        Ok(counts)
    }

    fn add(&mut self, count: Count, at: Place) -> Result<(), PolicyError> {
        let name = format!("{}.{}", count.scope.path(), count.name);
        // A counter that several servers or tools share is declared by each of them, alike.
        if let Some(known) = self.0.get(&name) {
            if count.scope == Scope::Shared && **known == count {
                return Ok(());
            }
            return Err(at.error(format!("a rule above counts with `{}` already", printable(&count.name))));
        }
        self.0.insert(name, Arc::new(count));
        Ok(())
    }

    /// The counter that `state.<scope>.<counter>` names. Names of tools may have dots.
    pub(super) fn find(&self, path: &str) -> Option<&Arc<Count>> {
        let name = path.strip_prefix("state.")?;
        self.0.get(name)
    }
}

impl Scope {
    /// How `state.<scope>.<counter>` names it.
    pub(super) fn path(&self) -> &str {
        match self {
            Self::Tool(tool) => tool,
            Self::Global => "_global",
            Self::Shared => "_shared",
        }
    }
}

/// The rules under a tool, as far as they are a list.
pub(super) fn rule_nodes(tool: &Node) -> &[Node] {
    match field(tool, "rules").map(|rules| &rules.value) {
        Some(Value::List(rules)) => rules,
        _ => &[],
    }
}

/// The counter that a rule declares with `state` or `rate_limit`.
fn declared(scope: &Scope, rule: &Node) -> Result<Option<(Count, Place)>, PolicyError> {
    let each = field(rule, "each").map(each).transpose()?;
    if let Some(node) = field(rule, "rate_limit") {
        let (_, window) = rate_limit(node)?;
        let name = format!("_rate_{}", window.name());
        return Ok(Some((Count { name, scope: scope.clone(), window, each }, node.at)));
    }
    let Some(state) = field(rule, "state") else { return Ok(None) };
    let (Some(counter), Some(period)) = (field(state, "counter"), field(state, "window")) else {
        return Ok(None);
    };
    let name = scalar(counter).unwrap_or_default().to_owned();
    let window = count_window(period)?;
    let scope = match field(state, "scope") {
        Some(node) => state_scope(node, scope)?,
        None => scope.clone(),
    };
    Ok(Some((Count { name, scope, window, each }, counter.at)))
}

pub(super) fn state_scope(node: &Node, tool: &Scope) -> Result<Scope, PolicyError> {
    match scalar(node) {
        Some("tool") => Ok(tool.clone()),
        Some("global") => Ok(Scope::Global),
        Some("shared") => Ok(Scope::Shared),
        _ => Err(node.at.error("a counter's scope is tool, global (this server) or shared (all servers)")),
    }
}

pub(super) fn each(node: &Node) -> Result<Each, PolicyError> {
    let text = scalar(node).unwrap_or_default();
    match text {
        "agent" => Ok(Each::Agent),
        "session" => Ok(Each::Session),
        "call" => Ok(Each::Call),
        _ => Path::parse(text).map(Each::Argument).map_err(|_| {
            node.at.error("calls are counted apart by agent, session, call (the same arguments), or an argument: args.x")
        }),
    }
}

fn count_window(node: &Node) -> Result<CountWindow, PolicyError> {
    if scalar(node) == Some("session") {
        return Ok(CountWindow::Session);
    }
    window(node.clone()).map(CountWindow::Timed)
}

impl CountWindow {
    pub(super) fn name(self) -> String {
        match self {
            Self::Session => "session".to_owned(),
            Self::Timed(Window::Calendar(period)) => period.as_str().to_owned(),
            Self::Timed(window) => window.to_string(),
        }
    }
}

/// `5/hour`, `5/60 minutes`.
pub(super) fn rate_limit(node: &Node) -> Result<(u64, CountWindow), PolicyError> {
    let bad = |why: &str| node.at.error(why);
    let (count, period) = scalar(node)
        .and_then(|text| text.split_once('/'))
        .ok_or_else(|| bad("a rate limit is a count and a window, such as 5/hour"))?;
    let plain = !count.is_empty() && count.bytes().all(|b| b.is_ascii_digit());
    let count = count.parse().ok().filter(|count| plain && *count > 0);
    let count = count.ok_or_else(|| bad("the count of a rate limit is a whole number above 0"))?;
    let period = Node { at: node.at, value: Value::Quoted(period.to_owned()) };
    Ok((count, count_window(&period)?))
}
