//! The policy: whether it is one, what it does not do, and whether anything bounds what it lets be spent.

use farthing_policy::{Period, Policy, Window};

use super::Check;
use crate::session::Session;

pub(super) fn look(session: &Session) -> Vec<Check> {
    let policy = match session.policy() {
        Ok(policy) => policy,
        Err(failure) => return vec![Check::of("policy", failure)],
    };
    let file = session.home().policy();
    let mut checks: Vec<_> = policy
        .warnings()
        .iter()
        .map(|warning| {
            Check::warn("policy", warning.in_file(file.display()), "`farthing policy check` says more")
        })
        .collect();
    checks.extend(policy.killed().map(|why| {
        Check::warn(
            "policy",
            format!("it stops everything: {why}"),
            "take `kill` out of policy.yaml to go on",
        )
    }));
    checks.push(bounds(&policy));
    checks
}

/// What the budgets prove. One for each day is what saves a wallet from a bad day.
fn bounds(policy: &Policy) -> Check {
    if !policy.has_payments() {
        return Check::ok("policy", "it lets nothing be paid");
    }
    let most = |window| policy.bound(window, None).most;
    let (day, ever) = (most(Window::Rolling(Period::Day)), most(Window::Lifetime));
    match (day, ever) {
        (None, _) => Check::warn(
            "policy",
            "nothing bounds what is spent in a day",
            "add a budget, such as {name: day, max: \"$5.00\", per: 24 hours}; `farthing policy bound` proves it",
        ),
        (Some(day), Some(ever)) if day == ever => Check::warn(
            "policy",
            format!("at most {ever} ever, and all of it in one day"),
            "a budget for each day, such as {name: day, max: \"$5.00\", per: 24 hours}, bounds a bad day",
        ),
        (Some(day), ever) => {
            let ever = ever.map_or_else(|| "no bound for all time".to_owned(), |ever| format!("{ever} ever"));
            Check::ok("policy", format!("at most {day} in any day, {ever}"))
        }
    }
}
