//! What a person sees before money leaves, and says yes to.

use farthing_policy::Denial;
use farthing_wallet::Appraisal;

use super::super::person::{is_there, yes};
use super::plan::Plan;
use super::settle::Way;
use crate::cli::SendArgs;
use crate::exit::{Code, Failure};
use crate::output::{BAD, DIM, STRONG, WARN, say};

/// Asks a person, unless what the policy allows shall go without a question.
pub(super) fn ask(
    plan: &Plan,
    appraisal: &Appraisal,
    beyond: Option<&Denial>,
    way: &Way,
    args: &SendArgs,
) -> Result<(), Failure> {
    if args.yes {
        return Ok(());
    }
    if !is_there() {
        let what = "this asks before it sends, and nobody is at a terminal";
        return Err(Failure::new(Code::Configuration, what)
            .hint("nothing was sent; --yes sends what the policy allows without a question"));
    }
    for line in lines(plan, appraisal, beyond, way) {
        say(line);
    }
    if yes("Send it?")? { Ok(()) } else { Err(declined()) }
}

fn declined() -> Failure {
    Failure::new(Code::Refused, "it was not sent: you did not say yes")
}

fn lines(plan: &Plan, appraisal: &Appraisal, beyond: Option<&Denial>, way: &Way) -> Vec<String> {
    let Plan { asset, amount, held, to, from, .. } = plan;
    let network = asset.network.display_name();
    let left = held.map(|held| asset.format(held.checked_sub(*amount).unwrap_or_default()));
    let left = left.map_or_else(|| "the chain does not say".to_owned(), |left| format!("{left} is left"));
    let line = |name: &str, what: String| format!("{DIM}{name:<10}{DIM:#} {what}");
    let mut lines = vec![
        line(
            "send",
            format!(
                "{STRONG}{}{STRONG:#} {} on {STRONG}{network}{STRONG:#}",
                asset.format(*amount),
                asset.symbol
            ),
        ),
        line("to", format!("{STRONG}{to}{STRONG:#}")),
        line("from", format!("{from}, where {left}")),
        line("settled by", way.words()),
    ];
    lines.extend(appraisal.used.iter().map(|(limit, used)| {
        line("budget", format!("{}: {} left before it", limit.rule, limit.remaining(*used)))
    }));
    if let Some(denial) = beyond {
        lines.push(format!("{BAD}beyond{BAD:#}     {WARN}the policy refuses it{WARN:#}: {denial}"));
    }
    lines
}
