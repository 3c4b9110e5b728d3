//! What a person sees before money leaves, and says yes to.

use std::io::{BufRead as _, IsTerminal as _};

use farthing_policy::Denial;
use farthing_wallet::Appraisal;

use super::plan::Plan;
use super::settle::Way;
use crate::cli::SendArgs;
use crate::exit::{Code, Failure};
use crate::output::{BAD, DIM, STRONG, WARN, say};

/// The longest answer to a question that is read.
const LONGEST_ANSWER: u64 = 1024;

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
    if !is_person() {
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

/// Whether somebody is there to be asked, and sees what is asked.
pub(crate) fn is_person() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
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

/// Asks, and takes nothing but a yes for one.
pub(crate) fn yes(question: &str) -> Result<bool, Failure> {
    say_in_line(format_args!("{question} [y/N] "));
    let mut answer = String::new();
    let mut stdin = std::io::Read::take(std::io::stdin().lock(), LONGEST_ANSWER);
    stdin
        .read_line(&mut answer)
        .map_err(|error| Failure::new(Code::Configuration, format!("stdin: {error}")))?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

fn say_in_line(text: std::fmt::Arguments<'_>) {
    use std::io::Write as _;
    let mut stderr = anstream::stderr();
    write!(stderr, "{text}").and_then(|()| stderr.flush()).ok();
}
