//! `farthing policy bound`: the most that can be spent, proved.

use farthing_money::{Price, Usd};
use farthing_policy::{Bound, Period, Policy, Window};
use serde_json::json;

use super::meant;
use crate::cli::BoundArgs;
use crate::exit::{Code, Failure};
use crate::home::Home;
use crate::output::{DIM, Output, STRONG, WARN};

/// The windows by name. They roll: the most in ANY stretch of that length.
const WINDOWS: [(&str, Window); 6] = [
    ("minute", Window::Rolling(Period::Minute)),
    ("hour", Window::Rolling(Period::Hour)),
    ("day", Window::Rolling(Period::Day)),
    ("week", Window::Rolling(Period::Week)),
    ("month", Window::Rolling(Period::Month)),
    ("lifetime", Window::Lifetime),
];

pub(super) fn run(home: &Home, args: &BoundArgs, output: Output) -> Result<(), Failure> {
    let policy = meant(home, args.file.as_ref())?;
    let windows: Vec<_> = match args.per.as_deref() {
        None => WINDOWS.to_vec(),
        Some(wanted) => vec![window(wanted)?],
    };
    let bounds: Vec<_> =
        windows.iter().map(|(name, window)| (*name, policy.bound(*window, args.agent.as_deref()))).collect();
    let ending = match &args.most {
        Some(most) => within(&bounds, most, &policy),
        None => Ok(()),
    };
    if output.json {
        let bounds: Vec<_> = bounds
            .iter()
            .map(|(name, bound)| {
                json!({"per": name, "most": bound.most.map(|most| most.to_string()), "proof": bound.proof, "example": bound.example})
            })
            .collect();
        return output.json_ending(json!({"bounds": bounds, "agent": args.agent}), ending);
    }
    bounds.iter().for_each(|(name, bound)| print(name, bound, windows.len() == 1, output));
    ending
}

fn window(wanted: &str) -> Result<(&'static str, Window), Failure> {
    WINDOWS.into_iter().find(|(name, _)| *name == wanted).ok_or_else(|| {
        let names = WINDOWS.map(|(name, _)| name).join(", ");
        Failure::new(Code::Configuration, format!("--per is one of {names}"))
    })
}

/// One line for each window; for a single one also why, and how.
fn print(name: &str, bound: &Bound, whole: bool, output: Output) {
    let most = match bound.most {
        Some(most) => format!("at most {STRONG}{most}{STRONG:#}"),
        None => format!("{WARN}no bound{WARN:#}"),
    };
    let stretch = if name == "lifetime" { "ever".to_owned() } else { format!("in any {name}") };
    output.line(format!("{DIM}{stretch:<13}{DIM:#} {most}"));
    if !whole {
        return;
    }
    bound.proof.iter().for_each(|line| output.line(format!("  {line}")));
    output.line(format!("  {DIM}for example{DIM:#}"));
    bound.example.iter().for_each(|line| output.line(format!("    {line}")));
}

/// Whether no path exceeds `most`.
fn within(bounds: &[(&str, Bound)], most: &Price, policy: &Policy) -> Result<(), Failure> {
    let most: Usd =
        most.in_dollars().map_err(|error| Failure::new(Code::Configuration, format!("--most: {error}")))?;
    for (name, bound) in bounds {
        let exceeded = match bound.most {
            Some(possible) if possible <= most => continue,
            Some(possible) => possible.to_string(),
            None => "an amount without a bound".to_owned(),
        };
        let example = bound.example.join("; ");
        let what = format!("{exceeded} can be spent in a {name}, more than {most}: {example}");
        return Err(Failure::new(Code::Refused, what).hint(format!("policy {}", policy.hash())));
    }
    Ok(())
}
