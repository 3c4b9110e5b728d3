//! Intercept's words, for `farthing guard --compat intercept`: what it says of a policy that is wrong, and what an agent
//! reads when a call is denied. The rules behind them are ours in any case.

use std::collections::HashMap;

use super::counts::rule_nodes;
use super::quoted;
use super::values::{field, json, scalar};
use crate::json::Json;
use crate::read::is_null;
use crate::yaml::{self, Node, Value};
use crate::{Denial, DenialCode, Policy};

const OPERATORS: [&str; 11] =
    ["eq", "neq", "in", "not_in", "lt", "lte", "gt", "gte", "regex", "contains", "exists"];
const WINDOWS: [&str; 3] = ["minute", "hour", "day"];

/// What Intercept tells an agent about a denial, with its prefix.
#[must_use]
pub fn denial_text(denial: &Denial) -> String {
    let why = match denial.code {
        _ if denial.authored => denial.message.clone(),
        DenialCode::DeniedByRule | DenialCode::ConditionFailed => {
            format!("Denied by rule {}", quoted(&denial.rule))
        }
        DenialCode::RateExceeded => format!("Rate limit exceeded for {}", denial.rule),
        DenialCode::BadArguments => "Internal policy error".to_owned(),
        _ => denial.message.clone(),
    };
    format!("[INTERCEPT POLICY DENIED] {why}")
}

/// What Intercept finds wrong in a policy, all of it, in its order and words. What only we refuse comes after that, from
/// [`Policy::parse`], in ours.
#[must_use]
pub fn validation_errors(text: &str) -> Vec<String> {
    match yaml::parse(text) {
        Ok(root) => {
            let mut errors = Errors::default();
            errors.policy(&root);
            if errors.0.is_empty() {
                errors.0.extend(Policy::parse(text).err().map(|error| error.to_string()));
            }
            errors.0
        }
        Err(error) => vec![format!("parsing config file: yaml: {error}")],
    }
}

#[derive(Default)]
struct Errors(Vec<String>);

/// One rule, with the shorthand already written out where that is possible.
struct Written<'a> {
    prefix: String,
    action: &'a str,
    conditions: Vec<&'a Node>,
    state: Option<&'a Node>,
    rate_limit: Option<&'a str>,
}

impl Errors {
    fn add(&mut self, error: String) {
        self.0.push(error);
    }

    fn policy(&mut self, root: &Node) {
        let version = text_of(root, "version");
        if version != "1" {
            self.add(format!("version must be \"1\", got {}", quoted(version)));
        }
        let default = text_of(root, "default");
        if !matches!(default, "" | "allow" | "deny") {
            self.add(format!("default must be \"allow\" or \"deny\", got {}", quoted(default)));
        }
        self.hide(field(root, "hide"));
        let mut tools = match field(root, "tools").map(|tools| &tools.value) {
            Some(Value::Map(entries)) => entries.iter().collect::<Vec<_>>(),
            _ => Vec::new(),
        };
        tools.sort_by(|a, b| a.key.cmp(&b.key));
        for tool in &tools {
            self.duplicates(&tool.key, &tool.node);
            for (index, rule) in rule_nodes(&tool.node).iter().enumerate() {
                self.rule(&format!("tools.{}.rules[{index}]", tool.key), rule, root);
            }
        }
    }

    fn hide(&mut self, hide: Option<&Node>) {
        let mut seen = Vec::new();
        for (index, item) in hide.map(items).unwrap_or_default().iter().enumerate() {
            let name = scalar(item).unwrap_or_default();
            if name.trim().is_empty() {
                self.add(format!("hide[{index}]: entry must not be empty"));
            } else if seen.contains(&name) {
                self.add(format!("hide: duplicate entry {}", quoted(name)));
            } else {
                seen.push(name);
            }
        }
    }

    fn duplicates(&mut self, tool: &str, node: &Node) {
        let mut seen: HashMap<String, usize> = HashMap::new();
        for (index, rule) in rule_nodes(node).iter().enumerate() {
            let Some(counter) = counter_of(rule) else { continue };
            match seen.get(&counter) {
                Some(before) => self.add(format!(
                    "tools.{tool}.rules[{index}]: duplicate state counter {} (also used by rules[{before}])",
                    quoted(&counter)
                )),
                None => drop(seen.insert(counter, index)),
            }
        }
    }

    fn rule(&mut self, prefix: &str, rule: &Node, root: &Node) {
        let written = Written::of(prefix, rule);
        if let Some(limit) = written.rate_limit {
            return self.rate_limit(&written, limit);
        }
        if text_of(rule, "name").is_empty() {
            self.add(format!("{prefix}: rule must have a name"));
        }
        let action = written.action;
        // Later versions of Intercept know this one.
        if !matches!(action, "evaluate" | "deny" | "require_approval") {
            self.add(format!("{prefix}: action must be \"evaluate\" or \"deny\", got {}", quoted(action)));
        }
        if action == "deny" && !written.conditions.is_empty() {
            self.add(format!("{prefix}: deny rules must not have conditions"));
        }
        if action == "evaluate" && written.conditions.is_empty() && field(rule, "rate_limit").is_none() {
            self.add(format!("{prefix}: evaluate rules must have at least one condition"));
        }
        for (index, condition) in written.conditions.iter().enumerate() {
            self.condition(&format!("{prefix}.conditions[{index}]"), condition);
        }
        if let Some(state) = written.state {
            self.state(prefix, state);
        }
        for condition in &written.conditions {
            self.reference(prefix, text_of(condition, "path"), root);
        }
    }

    /// A shorthand that could not be written out.
    fn rate_limit(&mut self, rule: &Written<'_>, limit: &str) {
        let prefix = &rule.prefix;
        if let Err(why) = parse_rate_limit(limit) {
            self.add(format!("{prefix}: {why}"));
        }
        if !rule.conditions.is_empty() || rule.state.is_some() {
            self.add(format!(
                "{prefix}: rate_limit cannot be combined with conditions or state; use separate rules or the full syntax instead"
            ));
        }
        if rule.action == "deny" {
            self.add(format!("{prefix}: rate_limit cannot be used with action \"deny\""));
        }
    }

    fn condition(&mut self, prefix: &str, condition: &Node) {
        // Ours alone; [`Policy::parse`] reads it.
        if field(condition, "cel").is_some() {
            return;
        }
        let (path, op) = (text_of(condition, "path"), text_of(condition, "op"));
        if !path.starts_with("args.") && !path.starts_with("state.") && !path.starts_with("args[") {
            self.add(format!("{prefix}: path must start with \"args.\" or \"state.\", got {}", quoted(path)));
        }
        if !OPERATORS.contains(&op) {
            self.add(format!("{prefix}: unknown operator {}", quoted(op)));
        }
        let value = field(condition, "value").map_or(Json::Null, json);
        let wrong = match (op, &value) {
            ("in" | "not_in", Json::Array(_)) | ("lt" | "lte" | "gt" | "gte", Json::Number(_)) => None,
            ("in" | "not_in", _) => Some("list"),
            ("lt" | "lte" | "gt" | "gte", _) => Some("numeric"),
            ("exists", Json::Bool(_)) => None,
            ("exists", _) => Some("boolean"),
            _ => None,
        };
        if let Some(wanted) = wrong {
            self.add(format!("{prefix}: operator {} requires a {wanted} value", quoted(op)));
        }
        if op == "regex" {
            self.regex(prefix, &value);
        }
    }

    fn regex(&mut self, prefix: &str, value: &Json) {
        let Some(pattern) = value.as_str() else {
            return self.add(format!("{prefix}: regex value must be a string"));
        };
        if let Err(error) = regex::Regex::new(pattern) {
            let why = error.to_string();
            let why = why.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
            self.add(format!("{prefix}: invalid regex {}: error parsing regexp: {why}", quoted(pattern)));
        }
    }

    fn state(&mut self, prefix: &str, state: &Node) {
        if text_of(state, "counter").is_empty() {
            self.add(format!("{prefix}.state: counter must not be empty"));
        }
        let window = text_of(state, "window");
        // The further windows are ours, and no mistake.
        let ours = yaml_window(window);
        if !WINDOWS.contains(&window) && !ours {
            self.add(format!(
                "{prefix}.state: window must be \"minute\", \"hour\", or \"day\", got {}",
                quoted(window)
            ));
        }
        let from = text_of(state, "increment_from");
        if !from.is_empty() && !from.starts_with("args.") && !from.starts_with("args[") {
            self.add(format!(
                "{prefix}.state: increment_from must start with \"args.\", got {}",
                quoted(from)
            ));
        }
    }

    /// A condition on a counter needs a rule that counts with it.
    fn reference(&mut self, prefix: &str, path: &str, root: &Node) {
        let Some(name) = path.strip_prefix("state.").filter(|name| name.contains('.')) else { return };
        if !counts_with(root, name) {
            self.add(format!(
                "{prefix}: condition references state.{name} but no matching state block found"
            ));
        }
    }
}

impl<'a> Written<'a> {
    fn of(prefix: &str, rule: &'a Node) -> Self {
        let conditions = field(rule, "conditions").map(items).unwrap_or_default().iter().collect::<Vec<_>>();
        let state = field(rule, "state").filter(|state| matches!(state.value, Value::Map(_)));
        let action = Some(text_of(rule, "action")).filter(|action| !action.is_empty()).unwrap_or("evaluate");
        let limit = Some(text_of(rule, "rate_limit")).filter(|limit| !limit.is_empty());
        let good = |limit: &&str| {
            parse_rate_limit(limit).is_ok() && conditions.is_empty() && state.is_none() && action != "deny"
        };
        let rate_limit = limit.filter(|limit| !good(limit));
        Self { prefix: prefix.to_owned(), action, conditions, state, rate_limit }
    }
}

/// The name of the counter that a rule counts with.
fn counter_of(rule: &Node) -> Option<String> {
    let limit = text_of(rule, "rate_limit");
    if let Ok(window) = parse_rate_limit(limit) {
        return Some(format!("_rate_{window}"));
    }
    field(rule, "state").map(|state| text_of(state, "counter").to_owned())
}

/// Whether a rule counts with what `state.<name>` names. Names of tools may have dots, which Intercept cannot tell.
fn counts_with(root: &Node, name: &str) -> bool {
    let Some(Value::Map(tools)) = field(root, "tools").map(|tools| &tools.value) else { return false };
    tools.iter().any(|tool| {
        rule_nodes(&tool.node).iter().any(|rule| {
            let scope = match field(rule, "state").map(|state| text_of(state, "scope")) {
                Some("global") => "_global",
                Some("shared") => "_shared",
                _ if tool.key == "*" => "_global",
                _ => &tool.key,
            };
            counter_of(rule).is_some_and(|counter| name == format!("{scope}.{counter}"))
        })
    })
}

/// The window of a rate limit, or what is wrong with it.
fn parse_rate_limit(text: &str) -> Result<&str, String> {
    let Some((count, window)) = text.split_once('/') else {
        return Err(format!(
            "rate_limit must be in the format \"N/window\" (e.g. \"5/hour\"), got {}",
            quoted(text)
        ));
    };
    if !count.parse::<i64>().is_ok_and(|count| count > 0) {
        return Err(format!("rate_limit count must be a positive integer, got {}", quoted(count)));
    }
    if WINDOWS.contains(&window) || yaml_window(window) {
        return Ok(window);
    }
    Err(format!("rate_limit window must be \"minute\", \"hour\", or \"day\", got {}", quoted(window)))
}

/// Whether it is one of the windows that only we have.
fn yaml_window(window: &str) -> bool {
    ["week", "month", "session", "lifetime"].contains(&window)
        || ["60 seconds", "60 minutes", "24 hours", "7 days", "30 days"].contains(&window)
}

fn items(node: &Node) -> &[Node] {
    if let Value::List(items) = &node.value { items } else { &[] }
}

/// The text under a key; empty where nothing stands.
fn text_of<'a>(node: &'a Node, key: &str) -> &'a str {
    match field(node, key).map(|node| &node.value) {
        Some(Value::Quoted(text)) => text,
        Some(Value::Plain(text)) if !is_null(text) => text,
        _ => "",
    }
}
