//! What the rules say about one another: those that can never deny anything are warned of, and those under which no
//! payment could be made are errors.
use farthing_money::Usd;

use crate::payments::{Cap, Each, Payments, Span};
use crate::windows::covering;
use crate::{Measure, Policy, PolicyError, PolicyWarning, Window};

impl Policy {
    /// Compares every section with itself and with those above it.
    pub(crate) fn compare(&mut self) -> Result<(), PolicyError> {
        let mut warnings = Vec::new();
        if let Some(root) = &self.payments {
            Stack { above: &[], own: root }.compare(&mut warnings)?;
        }
        for chain in self.agents.iter().flat_map(|agents| agents.chains()) {
            let own = chain.first().and_then(|agent| agent.payments.as_ref());
            if let (Ok(sections), Some(own)) = (self.sections(&chain), own)
                && let Some((_, above)) = sections.split_last()
            {
                Stack { above, own }.compare(&mut warnings)?;
            }
        }
        self.warnings.append(&mut warnings);
        self.warnings.sort_by_key(|warning| (warning.line, warning.column));
        Ok(())
    }
}

/// The largest that one payment can be under all these sections: their maxima, and their budgets too. None where nothing
/// says.
pub(crate) fn largest_payment(sections: &[&Payments]) -> Option<Usd> {
    let budgets = |section: &Payments| {
        let amount = |cap: &Cap| match cap.measure {
            Measure::Amount(most) if !cap.shadow => Some(most),
            _ => None,
        };
        section.caps.iter().filter_map(amount).min()
    };
    let max =
        |section: &&Payments| section.max.map(|max| max.value).into_iter().chain(budgets(section)).min();
    sections.iter().filter_map(max).min()
}

/// A section, and those above it.
struct Stack<'a> {
    above: &'a [&'a Payments],
    own: &'a Payments,
}

impl Stack<'_> {
    fn compare(&self, warnings: &mut Vec<PolicyWarning>) -> Result<(), PolicyError> {
        self.possible()?;
        let most = self.above.iter().filter_map(|section| section.max).min_by_key(|max| max.value);
        if let (Some(own), Some(most)) = (self.own.max, most)
            && own.value > most.value
        {
            let (own_value, most) = (own.value, most.value);
            warnings.push(own.at.warning(format!("the maximum {own_value} never binds: {most} holds above")));
        }
        let all: Vec<_> = self.above.iter().copied().chain([self.own]).collect();
        let largest = largest_payment(&all);
        if let (Some(approval), Some(largest)) = (self.own.approval, largest)
            && approval.above >= largest
        {
            let message = format!("no payment needs this approval: none can be above {largest}");
            warnings.push(approval.at.warning(message));
        }
        for (index, cap) in self.own.caps.iter().enumerate() {
            if let Some(message) = self.never_binds(index, cap, largest) {
                warnings.push(cap.at.warning(message));
            }
        }
        Ok(())
    }

    /// Whether any payment is possible, given what holds above.
    fn possible(&self) -> Result<(), PolicyError> {
        let least = self.above.iter().filter_map(|section| section.min).max_by_key(|min| min.value);
        let most = self.above.iter().filter_map(|section| section.max).min_by_key(|max| max.value);
        if let (Some(min), Some(most)) = (self.own.min, most)
            && min.value > most.value
        {
            let (min, most, at) = (min.value, most.value, min.at);
            return Err(
                at.error(format!("the minimum {min} is above the maximum {most} that holds above it"))
            );
        }
        let Some(least) = least else { return Ok(()) };
        let too_little = |amount: Usd| {
            let least = least.value;
            format!(
                "{amount} is below the minimum per payment {least} that holds above it: no payment would fit"
            )
        };
        if let Some(max) = self.own.max.filter(|max| max.value < least.value) {
            return Err(max.at.error(too_little(max.value)));
        }
        for cap in &self.own.caps {
            if let Measure::Amount(most) = cap.measure
                && most < least.value
            {
                return Err(cap.at.error(too_little(most)));
            }
        }
        Ok(())
    }

    /// Why a cap can never deny anything, if it cannot.
    fn never_binds(&self, index: usize, cap: &Cap, largest: Option<Usd>) -> Option<String> {
        let beside = self.own.caps.iter().enumerate().filter(|(other, _)| *other != index);
        let beside = beside.map(|(other, cap)| (other < index, true, cap));
        let above = self.above.iter().flat_map(|section| &section.caps).map(|cap| (true, false, cap));
        let binds_first = |(earlier, same_section, other): &(bool, bool, &Cap)| {
            let Some(most) = most_beside(other, cap, *same_section, largest) else { return false };
            let limit = size(cap.measure);
            // Of two that say the same the later one is superfluous, not both.
            most < limit || (most == limit && (*earlier || !mutual(cap, other, *same_section, largest)))
        };
        let (.., other) = beside.chain(above).find(binds_first)?;
        Some(format!("`{}` can never be reached: `{}` always denies before it", cap.rule, other.rule))
    }
}

/// Whether the caps imply each other.
fn mutual(a: &Cap, b: &Cap, same_section: bool, largest: Option<Usd>) -> bool {
    most_beside(a, b, same_section, largest).is_some_and(|most| most <= size(b.measure))
}

/// The most that `other` lets into one window of one scope of `cap`, in units of the latter; none where it does not say.
fn most_beside(other: &Cap, cap: &Cap, same_section: bool, largest: Option<Usd>) -> Option<u128> {
    let counted_together = match (other.each, cap.each) {
        (Each::All, _) | (Each::Host, Each::Resource) => true,
        // Whose agents are meant depends on the section.
        (Each::Agent, Each::Agent) => same_section,
        (other, each) => other == each,
    };
    if other.shadow || !counted_together {
        return None;
    }
    let windows = match (other.span, cap.span) {
        (Span::Session, Span::Session) => 1,
        (Span::Session, Span::Window(_)) => return None,
        (Span::Window(window), Span::Session) => covering(window, Window::Lifetime)?,
        (Span::Window(window), Span::Window(covered)) => covering(window, covered)?,
    };
    let each = match (other.measure, cap.measure) {
        (Measure::Amount(most), Measure::Amount(_)) => most.get(),
        (Measure::Count(most), Measure::Count(_)) => most.into(),
        (Measure::Count(most), Measure::Amount(_)) => u128::from(most).checked_mul(largest?.get())?,
        (Measure::Amount(_), Measure::Count(_)) => return None,
    };
    each.checked_mul(windows.into())
}

fn size(measure: Measure) -> u128 {
    match measure {
        Measure::Amount(most) => most.get(),
        Measure::Count(most) => most.into(),
    }
}
