//! From YAML to rules.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use super::counts::{Counts, each, rate_limit, state_scope};
use super::expression::Expression;
use super::path::Path;
use super::values::{comparison, duration, exact, field, json, number, operator, refund, scalar, word};
use super::{Action, Condition, Hold, Increment, Rule, Scope, Tools, lint};
use crate::PolicyError;
use crate::error::{Place, printable};
use crate::json::Exact;
use crate::plan::Comparison;
use crate::read::{Fields, is_null, truth};
use crate::yaml::{Entry, Node, Value};
use crate::{Quantity, Refund};

/// The most rules together.
const MAX_RULES: usize = 10_000;
/// How long a request for approval waits where the policy does not say.
const APPROVAL_VALID: Duration = Duration::from_secs(30 * 60);
const RULE_KEYS: [&str; 9] =
    ["name", "action", "conditions", "on_deny", "state", "rate_limit", "approval_timeout", "shadow", "each"];

/// Reads `default`, `hide` and `tools` out of the policy's top level.
pub(crate) fn read(top: &mut Fields) -> Result<Option<Tools>, PolicyError> {
    let (default, hide, tools) = (top.take("default"), top.take("hide"), top.take("tools"));
    if default.is_none() && hide.is_none() && tools.is_none() {
        return Ok(None);
    }
    let default_deny = default.map(default_denies).transpose()?.unwrap_or(false);
    let hide = hide.map(hidden).transpose()?.unwrap_or_default();
    let entries = tools.map(map).transpose()?.unwrap_or_default();
    lint::hidden_rules(&hide, &entries)?;
    let counts = Counts::of(&entries)?;
    let mut tools =
        Tools { default_deny, hide_all: hide.iter().any(|name| name == "*"), hide, ..Tools::default() };
    let (mut rules, paths) = (0, RefCell::new(HashMap::new()));
    for Entry { key, at, node } in entries {
        if key == "_global" || key == "_shared" {
            return Err(at.error(format!("`{key}` is the name of a scope, and no tool's")));
        }
        let scope = if key == "*" { Scope::Global } else { Scope::Tool(key.clone()) };
        let read = Reader { scope: &scope, counts: &counts, paths: &paths }.rules(node)?;
        rules += read.len();
        if rules > MAX_RULES {
            return Err(Place::START.error(format!("there are more than {MAX_RULES} rules")));
        }
        match scope {
            Scope::Tool(tool) => drop(tools.listed.insert(tool, read)),
            Scope::Global | Scope::Shared => tools.every = read,
        }
    }
    Ok(Some(tools))
}

fn default_denies(node: Node) -> Result<bool, PolicyError> {
    let at = node.at;
    match word(node)?.as_str() {
        "allow" => Ok(false),
        "deny" => Ok(true),
        other => Err(at.error(format!("`{}` is no default: write allow or deny", printable(other)))),
    }
}

fn hidden(node: Node) -> Result<Vec<String>, PolicyError> {
    let mut seen = HashSet::new();
    let mut names = Vec::new();
    for item in list(node)? {
        let at = item.at;
        let name = word(item)?;
        if name.trim().is_empty() {
            return Err(at.error("the name of a tool is missing"));
        }
        if !seen.insert(name.clone()) {
            return Err(at.error(format!("`{}` stands in the list already", printable(&name))));
        }
        names.push(name);
    }
    Ok(names)
}

/// The entries of a map; none where nothing stands.
fn map(node: Node) -> Result<Vec<Entry>, PolicyError> {
    match node.value {
        Value::Map(entries) => Ok(entries),
        Value::Plain(text) if is_null(&text) => Ok(Vec::new()),
        _ => Err(node.at.error("expected a map of tools, each with its rules")),
    }
}

/// The items of a list; none where nothing stands: `rules: []` lists a tool without rules.
fn list(node: Node) -> Result<Vec<Node>, PolicyError> {
    match node.value {
        Value::List(items) => Ok(items),
        Value::Plain(text) if is_null(&text) => Ok(Vec::new()),
        _ => Err(node.at.error("expected a list")),
    }
}

/// Reads the rules of one tool.
struct Reader<'a> {
    scope: &'a Scope,
    counts: &'a Counts,
    /// The paths that rules look at, of all tools.
    paths: &'a RefCell<HashMap<String, usize>>,
}

impl Reader<'_> {
    fn rules(&self, node: Node) -> Result<Vec<Rule>, PolicyError> {
        if matches!(&node.value, Value::Plain(text) if is_null(text)) {
            return Ok(Vec::new());
        }
        let mut fields = Fields::of(node, &["rules"])?;
        let nodes = fields.take("rules").map(list).transpose()?.unwrap_or_default();
        let mut rules: Vec<Rule> = Vec::with_capacity(nodes.len());
        let mut denied = None;
        for node in nodes {
            let at = node.at;
            if let Some(by) = &denied {
                return Err(
                    at.error(format!("no call ever comes to this rule: `{by}` above denies all of them"))
                );
            }
            let rule = self.rule(node)?;
            if rule.action == Action::Deny && !rule.shadow {
                denied = Some(rule.name.clone());
            }
            rules.push(rule);
        }
        Ok(rules)
    }

    fn rule(&self, node: Node) -> Result<Rule, PolicyError> {
        let at = node.at;
        let mut fields = Fields::of(node, &RULE_KEYS)?;
        let name = word(fields.need("name", "denials and the record call the rule by it")?)?;
        if name.is_empty() {
            return Err(at.error("the rule's name is empty"));
        }
        let on_deny = fields.take("on_deny").map(word).transpose()?.filter(|text| !text.is_empty());
        let shadow = fields.take("shadow").map(truth).transpose()?.unwrap_or(false);
        let each = fields.take("each").map(|node| each(&node)).transpose()?;
        let action = action(&mut fields)?;
        if shadow && matches!(action, Action::Approve(_)) {
            return Err(at.error("a rule in shadow mode asks nobody: take shadow or require_approval away"));
        }
        if let Some(node) = fields.take("rate_limit") {
            let others = ["conditions", "state"].iter().any(|key| fields.take(key).is_some());
            if others || action != Action::Evaluate {
                return Err(at.error(
                    "a rate_limit stands alone: put conditions, state and deny into rules of their own",
                ));
            }
            return self.rate(name, on_deny, shadow, &node);
        }
        let conditions = fields.take("conditions").map(list).transpose()?.unwrap_or_default();
        let state = fields.take("state");
        if each.is_some() && state.is_none() {
            return Err(at.error(
                "`each` says how a counter counts, and this rule has none: add `state` or `rate_limit`",
            ));
        }
        fits(action, &conditions, state.as_ref(), at)?;
        lint::conditions(&conditions)?;
        let hold = state.map(|state| self.hold(state, &conditions)).transpose()?;
        let read = conditions.into_iter().map(|node| self.condition(node, action, hold.as_ref()));
        let conditions = read.collect::<Result<_, _>>()?;
        Ok(Rule { name, action, conditions, on_deny, hold, shadow })
    }

    /// A rate limit is a counter of calls that must not pass the count.
    fn rate(
        &self,
        name: String,
        on_deny: Option<String>,
        shadow: bool,
        node: &Node,
    ) -> Result<Rule, PolicyError> {
        let (count, window) = rate_limit(node)?;
        let path = format!("state.{}._rate_{}", self.scope.path(), window.name());
        let counter =
            self.counts.find(&path).ok_or_else(|| node.at.error("this counter is not known"))?.clone();
        let most = Quantity::of(exact(count)).ok_or_else(|| node.at.error("the count is too large"))?;
        let on_deny = on_deny.unwrap_or_else(|| {
            format!("Rate limit of {count} per {} reached. Try again later.", window.name())
        });
        let within = Condition::Count {
            count: counter.clone(),
            comparison: Comparison::LessOrEqual,
            value: exact(count),
        };
        let increment = Increment::Fixed(Quantity::ONE);
        let hold = Some(Hold { count: counter, increment, most, refund: Refund::default() });
        let (action, on_deny) = (Action::Evaluate, Some(on_deny));
        Ok(Rule { name, action, conditions: vec![within], on_deny, hold, shadow })
    }

    fn hold(&self, node: Node, conditions: &[Node]) -> Result<Hold, PolicyError> {
        const KEYS: [&str; 6] = ["counter", "window", "increment", "increment_from", "scope", "refund"];
        let at = node.at;
        let mut fields = Fields::of(node, &KEYS)?;
        let counter = fields.need("counter", "conditions name it as state.<tool>.<counter>")?;
        let counter_at = counter.at;
        let counter = word(counter)?;
        fields.need("window", "write minute, hour or day, or one of docs/policy.md")?;
        let scope = fields.take("scope").map(|node| state_scope(&node, self.scope)).transpose()?;
        let path = format!("state.{}.{counter}", scope.as_ref().unwrap_or(self.scope).path());
        let count =
            self.counts.find(&path).ok_or_else(|| counter_at.error("the counter's name is empty"))?.clone();
        let most = own_limit(&path, conditions)?.ok_or_else(|| {
            counter_at.error(format!(
                "nothing counts with this counter: the rule needs a condition on {path} with lt or lte"
            ))
        })?;
        let increment = increment(&mut fields, at)?;
        let refund = fields.take("refund").map(refund).transpose()?.unwrap_or_default();
        Ok(Hold { count, increment, most, refund })
    }

    fn condition(&self, node: Node, action: Action, hold: Option<&Hold>) -> Result<Condition, PolicyError> {
        if field(&node, "cel").is_some() {
            return expression(node);
        }
        let mut fields = Fields::of(node, &["path", "op", "value"])?;
        let path = fields.need("path", "write args.<name> or state.<tool>.<counter>")?;
        let (path_at, path) = (path.at, word(path)?);
        let op =
            fields.need("op", "write eq, neq, in, not_in, lt, lte, gt, gte, regex, contains or exists")?;
        let (op_at, op) = (op.at, word(op)?);
        let value = fields.need("value", "it is what the operator compares to")?;
        if path.starts_with("state.") {
            if matches!(action, Action::Approve(_)) {
                return Err(
                    path_at.error("a rule that asks for approval looks at arguments, not at counters")
                );
            }
            return self.count_condition(&path, path_at, (&op, op_at), value, hold);
        }
        let shown = printable(&format!("{path} {op} {}", json(&value)));
        let operator = operator(&op, op_at, value)?;
        let path = Path::parse(&path).map_err(|why| path_at.error(why))?;
        let path = path.numbered(&mut self.paths.borrow_mut());
        Ok(Condition::Argument { path, operator, text: shown })
    }

    fn count_condition(
        &self,
        path: &str,
        at: Place,
        (op, op_at): (&str, Place),
        value: Node,
        hold: Option<&Hold>,
    ) -> Result<Condition, PolicyError> {
        let count = self.counts.find(path).ok_or_else(|| {
            at.error(format!("no rule counts with `{}`: a rule with `state` has to", printable(path)))
        })?;
        let comparison = comparison(op)
            .ok_or_else(|| op_at.error("a counter is compared by eq, neq, lt, lte, gt or gte"))?;
        let value_at = value.at;
        let value = number(&value).ok_or_else(|| value_at.error("a counter is compared to a number"))?;
        let never = value.is_negative()
            && matches!(comparison, Comparison::Less | Comparison::LessOrEqual | Comparison::Equal);
        if never || (comparison == Comparison::Less && value == Exact::ZERO) {
            return Err(value_at
                .error("a counter is never below 0: this rule would deny every call; use action: deny"));
        }
        if hold.is_none_or(|hold| hold.count != *count) && count.each.is_some() {
            return Err(at.error("this counter counts apart, so that only its own rule can read it"));
        }
        Ok(Condition::Count { count: count.clone(), comparison, value })
    }
}

/// `{cel: "args.amount < 100"}`
fn expression(node: Node) -> Result<Condition, PolicyError> {
    let cel = Fields::of(node, &["cel"])?.need("cel", "write an expression")?;
    let at = cel.at;
    let expression = Expression::parse(&word(cel)?).map_err(|why| at.error(why))?;
    Ok(Condition::Expression(Arc::new(expression)))
}

fn action(fields: &mut Fields) -> Result<Action, PolicyError> {
    let timeout = fields.take("approval_timeout");
    let Some(node) = fields.take("action") else {
        return match timeout {
            Some(node) => Err(node.at.error("approval_timeout belongs to action: require_approval")),
            None => Ok(Action::Evaluate),
        };
    };
    let at = node.at;
    let action = word(node)?;
    match (action.as_str(), timeout) {
        ("require_approval", timeout) => {
            Ok(Action::Approve(timeout.map(duration).transpose()?.unwrap_or(APPROVAL_VALID)))
        }
        ("evaluate" | "deny", Some(node)) => {
            Err(node.at.error("approval_timeout belongs to action: require_approval"))
        }
        ("evaluate", None) => Ok(Action::Evaluate),
        ("deny", None) => Ok(Action::Deny),
        (other, _) => Err(at
            .error(format!("`{}` is no action: write evaluate, deny or require_approval", printable(other)))),
    }
}

/// Whether the parts of a rule belong together.
fn fits(action: Action, conditions: &[Node], state: Option<&Node>, at: Place) -> Result<(), PolicyError> {
    match action {
        Action::Deny if !conditions.is_empty() => Err(at.error("a rule that denies has no conditions")),
        Action::Evaluate if conditions.is_empty() => Err(at.error("a rule needs at least one condition")),
        Action::Deny | Action::Approve(_) if state.is_some() => {
            Err(at.error("only a rule with action: evaluate counts: put `state` into a rule of its own"))
        }
        _ => Ok(()),
    }
}

/// The most that the rule's own conditions let the counter become.
fn own_limit(path: &str, conditions: &[Node]) -> Result<Option<Quantity>, PolicyError> {
    let mut least: Option<Quantity> = None;
    for condition in conditions {
        if field(condition, "path").and_then(scalar) != Some(path) {
            continue;
        }
        let (Some(op), Some(value)) = (field(condition, "op").and_then(scalar), field(condition, "value"))
        else {
            continue;
        };
        let most = number(value).and_then(Quantity::of);
        let most = match (op, most) {
            ("lte", Some(most)) => most,
            // What stays below n, counted in units of 10^-18.
            ("lt", Some(most)) => most.less(Quantity::new(1)),
            ("lt" | "lte", None) => {
                return Err(value.at.error("this is no number that a counter can come to"));
            }
            _ => continue,
        };
        least = Some(least.map_or(most, |least| least.min(most)));
    }
    Ok(least)
}

fn increment(fields: &mut Fields, at: Place) -> Result<Increment, PolicyError> {
    let fixed = fields.take("increment");
    let Some(from) = fields.take("increment_from") else {
        let Some(fixed) = fixed else { return Ok(Increment::Fixed(Quantity::ONE)) };
        let amount = number(&fixed).and_then(Quantity::of);
        let amount = amount.ok_or_else(|| fixed.at.error("an increment is a number of at least 0"))?;
        // Intercept takes 0 for nothing written.
        return Ok(Increment::Fixed(if amount == Quantity::default() { Quantity::ONE } else { amount }));
    };
    if fixed.is_some() {
        return Err(at.error("increment and increment_from exclude each other"));
    }
    let from_at = from.at;
    Path::parse(&word(from)?).map(Increment::From).map_err(|why| from_at.error(why))
}
