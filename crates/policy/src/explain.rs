use std::fmt::Display;
use std::time::Duration;

use crate::agents::{Agent, Agents};
use crate::bound::window_name;
use crate::payments::{Cap, Each, Listed, Payments, Span};
use crate::tools::Tools;
use crate::{CountedApart, Measure, Policy};

impl Policy {
    /// The policy in plain English, one rule per line.
    #[must_use]
    pub fn explain(&self) -> Vec<String> {
        let mut lines = Vec::new();
        lines.extend(self.kill.iter().map(|why| format!("Everything is stopped: {why}.")));
        lines.extend(self.tools.iter().flat_map(Tools::explain));
        match &self.payments {
            Some(rules) => section(&mut lines, rules),
            None => lines.push("No payments.".to_owned()),
        }
        for (name, hosts) in self.categories.iter() {
            lines.push(format!("Category `{name}`: {}.", join(hosts)));
        }
        if let Some(agents) = &self.agents {
            lines.push(
                "Only the agents named here, each under its own rules and all of those above.".to_owned(),
            );
            agents.iter().for_each(|one| agent(&mut lines, one, agents));
        }
        lines
    }
}

fn section(lines: &mut Vec<String>, rules: &Payments) {
    let (min, max) = (rules.min.map(|min| min.value), rules.max.map(|max| max.value));
    match (min, max) {
        (Some(min), Some(max)) => lines.push(format!("Each payment: at least {min}, at most {max}.")),
        (None, Some(max)) => lines.push(format!("Each payment: at most {max}.")),
        // What holds above an agent holds for it as well.
        (Some(min), None) if rules.agent.is_some() => lines.push(format!("Each payment: at least {min}.")),
        (None, None) if rules.agent.is_some() => {}
        (Some(min), None) => lines.push(format!("Each payment: at least {min}, with no maximum.")),
        (None, None) => lines.push("Each payment: no minimum and no maximum.".to_owned()),
    }
    if rules.agent.is_none() && rules.caps.is_empty() {
        lines.push("No budget: payments may add up without end.".to_owned());
    }
    lines.extend(rules.caps.iter().map(cap));
    if let Some(approval) = rules.approval {
        let valid = length(approval.valid);
        lines.push(format!("Above {}: a person has to approve, within {valid}.", approval.above));
    }
    if let Some(factor) = rules.over_advertised {
        lines.push(format!("Never more than {factor} times the advertised price, where that is known."));
    }
    if !rules.hours.is_empty() {
        let hours: Vec<_> = rules.hours.iter().map(ToString::to_string).collect();
        lines.push(format!("Only at these times: {}.", hours.join("; ")));
    }
    lists(lines, "Hosts", &rules.hosts);
    lists(lines, "Payees", &rules.payees);
    lists(lines, "Networks", &rules.networks);
    lists(lines, "Assets", &rules.assets);
    lists(lines, "Resources", &rules.resources);
    lists(lines, "Categories", &rules.categories);
}

impl Payments {
    /// Its caps that are not counted for all payments together.
    pub(crate) fn counted_apart(&self) -> Vec<CountedApart> {
        let whose = self.agent.as_ref().map_or(String::new(), |agent| format!("Agent `{agent}`: "));
        let apart = self.caps.iter().filter(|one| one.limits(self, None).is_empty());
        let told = |one: &Cap| CountedApart {
            words: format!("{whose}{}", cap(one)),
            limit: one.limit_of_each(self.agent.as_deref()),
        };
        apart.map(told).collect()
    }
}

fn agent(lines: &mut Vec<String>, agent: &Agent, agents: &Agents) {
    let name = match agent.parent(agents) {
        Some(parent) => format!("Agent `{}`, under `{parent}`", agent.name),
        None => format!("Agent `{}`", agent.name),
    };
    let mut own = Vec::new();
    own.extend(agent.expires.map(|expires| format!("Until {}.", expires.value)));
    own.extend(agent.tools.as_ref().map(|tools| format!("Tools: only {}.", tools.join(", "))));
    if let Some(rules) = &agent.payments {
        section(&mut own, rules);
    }
    if own.is_empty() {
        own.push("no rules of its own.".to_owned());
    }
    lines.extend(own.into_iter().map(|line| format!("{name}: {line}")));
}

fn cap(cap: &Cap) -> String {
    let name = cap.rule.rsplit('.').next().unwrap_or_default();
    let payments = |most: u64| if most == 1 { "1 payment".to_owned() } else { format!("{most} payments") };
    let most = match (cap.measure, cap.each) {
        (Measure::Amount(most), _) => format!("Budget `{name}`: at most {most}"),
        (Measure::Count(most), Each::NewPayee) => format!("New payees: at most {}", payments(most)),
        (Measure::Count(most), Each::Same) => format!("The same call: at most {}", payments(most)),
        (Measure::Count(most), _) => format!("Rate `{name}`: at most {}", payments(most)),
    };
    let window = match cap.span {
        Span::Window(window) => window_name(window),
        Span::Session => "per session".to_owned(),
    };
    let each = match cap.each.name() {
        None | Some("all") => String::new(),
        Some(each) => format!(", counted for each {each}"),
    };
    format!("{most} {window}{each}{}.", shadow(cap.shadow))
}

fn lists<T: Display>(lines: &mut Vec<String>, subject: &str, listed: &Listed<T>) {
    let shadow = shadow(listed.shadow);
    if let Some(allow) = &listed.allow {
        lines.push(format!("{subject}: only {}{shadow}.", join(allow)));
    }
    if !listed.deny.is_empty() {
        lines.push(format!("{subject}: never {}{shadow}.", join(&listed.deny)));
    }
}

fn shadow(shadow: bool) -> &'static str {
    if shadow { " (reported, not refused)" } else { "" }
}

fn join<T: Display>(entries: &[T]) -> String {
    entries.iter().map(T::to_string).collect::<Vec<_>>().join(", ")
}

/// A length of time in the largest unit that it is a whole number of.
fn length(time: Duration) -> String {
    let seconds = time.as_secs();
    let units = [("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1)];
    let whole = units.into_iter().find(|(_, unit)| seconds.is_multiple_of(*unit));
    let (name, count) = whole.map_or(("second", seconds), |(name, unit)| (name, seconds / unit));
    format!("{count} {name}{}", if count == 1 { "" } else { "s" })
}
