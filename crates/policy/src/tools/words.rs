//! The section in plain English.

use super::{Action, Each, Increment, Rule, Tools};

impl Tools {
    /// One line for each rule.
    pub(crate) fn explain(&self) -> Vec<String> {
        let mut lines = vec![match self.default_deny {
            true => "Tools: only those that are listed; each rule has to hold.".to_owned(),
            false => "Tools: all of them, where each rule holds.".to_owned(),
        }];
        if self.hide_all {
            lines.push("All tools are hidden.".to_owned());
        } else if !self.hide.is_empty() {
            lines.push(format!("Hidden: {}.", self.hide.join(", ")));
        }
        let mut names: Vec<&String> = self.listed.keys().collect();
        names.sort();
        for name in names {
            let rules = self.listed.get(name).map(Vec::as_slice).unwrap_or_default();
            if rules.is_empty() {
                lines.push(format!("{name}: without rules of its own."));
            }
            lines.extend(rules.iter().map(|rule| format!("{name}: {}", rule.explain())));
        }
        lines.extend(self.every.iter().map(|rule| format!("every tool: {}", rule.explain())));
        lines
    }
}

impl Rule {
    fn explain(&self) -> String {
        let conditions: Vec<String> = self
            .conditions
            .iter()
            .filter(|_| self.hold.is_none() || self.conditions.len() > 1)
            .map(|condition| condition.to_string())
            .collect();
        let mut parts = match self.action {
            Action::Deny => vec!["never".to_owned()],
            Action::Approve(_) if conditions.is_empty() => vec!["a person has to approve it".to_owned()],
            Action::Approve(_) => {
                vec![format!("a person has to approve it where {}", conditions.join(" and "))]
            }
            Action::Evaluate if conditions.is_empty() => Vec::new(),
            Action::Evaluate => vec![conditions.join(" and ")],
        };
        parts.extend(self.counted());
        let shadow = if self.shadow { " (shadow: reports only)" } else { "" };
        format!("`{}`: {}{shadow}.", self.name, parts.join("; "))
    }

    /// What the rule counts.
    fn counted(&self) -> Option<String> {
        let hold = self.hold.as_ref()?;
        let what = match &hold.increment {
            Increment::Fixed(_) => "calls".to_owned(),
            Increment::From(path) => format!("of {path}"),
        };
        let apart = match &hold.count.each {
            None => String::new(),
            Some(Each::Agent) => ", for each agent".to_owned(),
            Some(Each::Session) => ", for each session".to_owned(),
            Some(Each::Call) => ", for each same call".to_owned(),
            Some(Each::Argument(path)) => format!(", for each {path}"),
        };
        Some(format!("at most {} {what} {}{apart}", hold.most, hold.count.window.per()))
    }
}
