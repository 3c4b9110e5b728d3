//! A list of checks: each with a headline and its time, the first failure ends it, a summary at the end.

use std::time::{Duration, Instant};

use crate::invocation::Failure;
use crate::workspace::{say, say_headline};

/// How a check that did not fail ended.
pub(crate) enum Outcome {
    /// All of it was checked.
    Passed,
    /// A part could not be checked here. It is told again beside the summary, so that nobody overlooks it.
    PassedExcept(String),
}

/// One check.
pub(crate) struct Check {
    /// Its name in headline and summary, and for `--only`: one word.
    pub(crate) name: &'static str,
    /// What it does.
    pub(crate) run: Box<dyn Fn() -> Result<Outcome, Failure>>,
}

impl Check {
    /// A check.
    pub(crate) fn new(name: &'static str, run: impl Fn() -> Result<Outcome, Failure> + 'static) -> Self {
        Self { name, run: Box::new(run) }
    }
}

struct Line {
    name: &'static str,
    took: Duration,
    verdict: &'static str,
}

/// Runs the checks in order and ends with the plain line `N passed, N failed`.
///
/// # Errors
/// The first check that fails. Those after it do not run.
pub(crate) fn all(checks: &[Check]) -> Result<(), Failure> {
    let started = Instant::now();
    let (mut lines, mut notices) = (Vec::new(), Vec::new());
    let mut failure = None;
    for (index, check) in checks.iter().enumerate() {
        say_headline(&format!("== {}/{} {}", index + 1, checks.len(), check.name));
        let began = Instant::now();
        let outcome = (check.run)();
        let took = began.elapsed();
        let verdict = match outcome {
            Ok(Outcome::Passed) => "ok",
            Ok(Outcome::PassedExcept(what)) => {
                notices.push(what);
                "in part"
            }
            Err(why) => {
                failure = Some(why);
                "FAILED"
            }
        };
        say(&format!("-- {}: {verdict}, {}", check.name, seconds(took)));
        lines.push(Line { name: check.name, took, verdict });
        if failure.is_some() {
            break;
        }
    }
    summarise(&lines, &notices, failure.as_ref(), checks.len(), started.elapsed());
    failure.map_or(Ok(()), |_| Err(Failure::already_told()))
}

fn summarise(lines: &[Line], notices: &[String], failure: Option<&Failure>, planned: usize, took: Duration) {
    say_headline(&format!("== Summary, {}", seconds(took)));
    for line in lines {
        say(&format!("  {:<13} {:>9}  {}", line.name, seconds(line.took), line.verdict));
    }
    for notice in notices {
        say(&format!("\nNOT CHECKED: {notice}"));
    }
    if let (Some(failure), Some(last)) = (failure, lines.last()) {
        say(&format!("\nFAILED: {}: {failure}", last.name));
        let whole_check = || format!("cargo xtask test --only {}", last.name);
        say(&format!("Again:  {}", failure.repeat().map_or_else(whole_check, str::to_owned)));
        say(&format!("{} checks after it were not run.", planned - lines.len()));
    }
    let failed = usize::from(failure.is_some());
    say(&format!("\n{} passed, {failed} failed", lines.len() - failed));
}

fn seconds(took: Duration) -> String {
    format!("{}.{} s", took.as_secs(), took.subsec_millis() / 100)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::rc::Rc;

    #[test]
    fn the_first_failure_ends_the_run() {
        let ran = Rc::new(Cell::new(0));
        let count = |fails: bool| {
            let ran = Rc::clone(&ran);
            Check::new("count", move || {
                ran.set(ran.get() + 1);
                if fails { Err(Failure::new("no")) } else { Ok(Outcome::Passed) }
            })
        };
        assert!(all(&[count(false), count(true), count(false)]).is_err());
        assert_eq!(ran.get(), 2);
    }

    #[test]
    fn a_part_that_could_not_be_checked_is_no_failure() {
        let check = Check::new("part", || Ok(Outcome::PassedExcept("the network is down".to_owned())));
        assert!(all(&[check]).is_ok());
    }

    #[test]
    fn times_are_printed_in_tenths() {
        assert_eq!(seconds(Duration::from_millis(61_280)), "61.2 s");
    }
}
