//! How much a policy lets be spent at most, without trying it.
//!
//! Every budget says: not more than so much in such a window. The least sum of windows that together cover a stretch of
//! time is therefore a bound for what can be spent in it, and there is a schedule of payments that reaches it (sums over
//! intervals have no gap between the cheapest cover and the dearest schedule). Where a stretch lies in the calendar makes
//! a difference, so the worst place is taken.
mod cover;
mod schedule;
mod scopes;

use farthing_money::Usd;

use crate::compare::largest_payment;
use crate::payments::{Cap, Each, Payments, Span};
use crate::{Measure, Policy, Window};

pub(crate) use schedule::window_name;

use cover::Cover;

/// The most that a policy lets be spent, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bound {
    /// The most; none where nothing bounds it. Never below what is possible.
    pub most: Option<Usd>,
    /// Which rules bind, in words; or why none does.
    pub proof: Vec<String>,
    /// A schedule of payments that spends so much, or that has no end.
    pub example: Vec<String>,
}

/// A budget over everything that is looked at, or what comes to the same.
#[derive(Debug, Clone)]
struct Budget {
    window: Window,
    /// In units of [`Usd`].
    most: u128,
    /// The rule, and how it comes to so much.
    why: String,
}

impl Policy {
    /// The most that can be spent in any stretch of time as long as `window`, wherever it begins; in one calendar window for
    /// a calendar one. By an agent and those below it, or for none by everybody together.
    ///
    /// Safe to rely on: what is denied only at some hours, in shadow mode, or until somebody approves counts as allowed.
    /// Rates count with the largest payment. A budget for each host counts once for each host that an allow list names,
    /// and bounds nothing where the list has a star; with payees, networks, categories and agents it is the same.
    #[must_use]
    pub fn bound(&self, window: Window, agent: Option<&str>) -> Bound {
        if let Some(why) = &self.kill {
            return Bound::nothing(format!("The policy stops everything: {why}."));
        }
        let sections = match self.chain(agent).and_then(|chain| self.sections(&chain)) {
            Ok(sections) => sections,
            Err(denial) => return Bound::nothing(format!("Nothing can be paid: {denial}.")),
        };
        let largest = largest_payment(&sections);
        let mut budgets = Vec::new();
        let mut without_end = Vec::new();
        for (section, cap) in
            sections.iter().flat_map(|section| section.caps.iter().map(move |cap| (section, cap)))
        {
            match self.budget(&sections, section, cap, agent, largest) {
                Ok(budget) => budgets.push(budget),
                Err(why) => without_end.push(why),
            }
        }
        match cover::dearest(&budgets, window) {
            Some(cover) => Bound::reached(&budgets, &cover, largest),
            None => Bound::endless(without_end, &budgets, window, largest),
        }
    }

    /// A cap as a budget over everything, or why it bounds nothing.
    fn budget(
        &self,
        sections: &[&Payments],
        section: &Payments,
        cap: &Cap,
        agent: Option<&str>,
        largest: Option<Usd>,
    ) -> Result<Budget, String> {
        let rule = &cap.rule;
        if cap.shadow {
            return Err(format!("`{rule}` is in shadow mode."));
        }
        if cap.each == Each::NewPayee {
            return Err(format!("`{rule}` limits payees that are new, not what the others are paid."));
        }
        let Span::Window(window) = cap.span else {
            return Err(format!("`{rule}` counts each session apart, and there may be any number of them."));
        };
        let times = self.scopes(sections, section, cap.each, agent).ok_or_else(|| {
            format!("`{rule}` counts {} apart, and their number has no limit.", scopes::counted(cap.each))
        })?;
        let each = match (cap.measure, largest) {
            (Measure::Amount(most), _) => Some(most.get()),
            (Measure::Count(most), Some(largest)) => largest.get().checked_mul(most.into()),
            (Measure::Count(_), None) => {
                return Err(format!(
                    "`{rule}` limits how many payments there are, and nothing how large they are."
                ));
            }
        };
        let most = each.and_then(|each| each.checked_mul(times.into()));
        let most = most.ok_or_else(|| format!("`{rule}` allows more than can be counted."))?;
        let each = match (cap.measure, largest) {
            (Measure::Count(count), Some(largest)) => format!("{count} payments of at most {largest}"),
            (measure, _) => format!("at most {}", amount_of(measure)),
        };
        let times = if times == 1 { String::new() } else { format!(", {times} times") };
        let window_name = window_name(window);
        Ok(Budget { window, most, why: format!("`{rule}`: {each} {window_name}{times}") })
    }
}

impl Bound {
    fn nothing(why: String) -> Self {
        Self { most: Some(Usd::ZERO), proof: vec![why], example: Vec::new() }
    }

    fn reached(budgets: &[Budget], cover: &Cover, largest: Option<Usd>) -> Self {
        let mut proof = Vec::new();
        for (index, budget) in budgets.iter().enumerate() {
            match cover.used(index) {
                0 => {}
                1 => proof.push(format!("{}; 1 window: {}.", budget.why, Usd::new(budget.most))),
                windows => {
                    proof.push(format!("{}; {windows} windows, {} each.", budget.why, Usd::new(budget.most)))
                }
            }
        }
        let example = schedule::reaching(cover, largest);
        Self { most: Some(Usd::new(cover.total)), proof, example }
    }

    fn endless(mut proof: Vec<String>, budgets: &[Budget], window: Window, largest: Option<Usd>) -> Self {
        if proof.is_empty() && budgets.is_empty() {
            proof.push("There is no budget and no rate.".to_owned());
        } else if window == Window::Lifetime {
            proof.extend(budgets.iter().map(|budget| format!("{}; it begins anew without end.", budget.why)));
        }
        let example = match largest {
            Some(largest) => format!("Payments of {largest} again and again: no rule ever ends them."),
            None => "One payment of any size: no rule limits it.".to_owned(),
        };
        Self { most: None, proof, example: vec![example] }
    }
}

fn amount_of(measure: Measure) -> String {
    match measure {
        Measure::Amount(most) => most.to_string(),
        Measure::Count(most) => format!("{most} payments"),
    }
}
