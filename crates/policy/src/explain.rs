use std::fmt::Display;

use crate::policy::{Cap, Each, Listed};
use crate::{Measure, Policy, Window};

impl Policy {
    /// The policy in plain English, one rule per line.
    #[must_use]
    pub fn explain(&self) -> Vec<String> {
        let rules = &self.payments;
        let mut lines = Vec::new();
        lines.push(match (rules.min, rules.max) {
            (Some(min), Some(max)) => format!("Each payment: at least {min}, at most {max}."),
            (None, Some(max)) => format!("Each payment: at most {max}."),
            (Some(min), None) => format!("Each payment: at least {min}, with no maximum."),
            (None, None) => "Each payment: no minimum and no maximum.".to_owned(),
        });
        if rules.caps.is_empty() {
            lines.push("No budget: payments may add up without end.".to_owned());
        }
        lines.extend(rules.caps.iter().map(cap));
        lists(&mut lines, "Hosts", &rules.hosts);
        lists(&mut lines, "Payees", &rules.payees);
        lists(&mut lines, "Networks", &rules.networks);
        lists(&mut lines, "Assets", &rules.assets);
        lines
    }
}

fn cap(cap: &Cap) -> String {
    let most = match cap.measure {
        Measure::Amount(most) => format!("Budget `{}`: at most {most}", cap.name),
        Measure::Count(1) => format!("Rate `{}`: at most 1 payment", cap.name),
        Measure::Count(most) => format!("Rate `{}`: at most {most} payments", cap.name),
    };
    let window = match cap.window {
        Window::Rolling(_) => format!("in any {}", cap.window),
        Window::Calendar(period) => format!("per calendar {} (UTC)", period.as_str()),
        Window::Lifetime => "ever".to_owned(),
    };
    let each = match cap.each {
        Each::All => "",
        Each::Host => ", counted for each host",
        Each::Payee => ", counted for each payee",
    };
    format!("{most} {window}{each}.")
}

fn lists<T: Display>(lines: &mut Vec<String>, subject: &str, listed: &Listed<T>) {
    let join = |entries: &[T]| entries.iter().map(T::to_string).collect::<Vec<_>>().join(", ");
    if let Some(allow) = &listed.allow {
        lines.push(format!("{subject}: only {}.", join(allow)));
    }
    if !listed.deny.is_empty() {
        lines.push(format!("{subject}: never {}.", join(&listed.deny)));
    }
}
