//! `farthing policy explain`: a policy in words; a call or a payment with every rule that it meets.

use farthing_ambient::{Clock as _, SystemClock};
use farthing_ledger::Ledger;
use farthing_money::{Registry, Usd};
use farthing_policy::json::Json;
use farthing_policy::tools::{Part, Traced};
use farthing_policy::{Call, Counter, Denial, Limit, Measure, Policy, Quantity, Terms, Usage};
use serde_json::{Value, json};

use super::{path, read};
use crate::cli::ExplainArgs;
use crate::exit::{Code, Failure};
use crate::home::{self, Home};
use crate::output::{BAD, DIM, GOOD, Output, STRONG, WARN, duration};
use crate::session::open_ledger;

pub(super) async fn run(home: &Home, args: &ExplainArgs, output: Output) -> Result<(), Failure> {
    let policy = read(&path(home, args.config.as_ref()))?;
    let ledger = home.ledger().exists().then(|| open_ledger(&home.ledger())).transpose()?;
    match (&args.tool, &args.pay) {
        (Some(tool), _) => call(&policy, ledger.as_ref(), tool, args, output).await,
        (None, Some(url)) => payment(&policy, ledger.as_ref(), url, args, output).await,
        (None, None) => {
            words(&policy, output);
            Ok(())
        }
    }
}

fn words(policy: &Policy, output: Output) {
    let rules = policy.explain();
    if output.json {
        output.json(&json!({"hash": policy.hash(), "rules": rules}));
        return;
    }
    rules.iter().for_each(|rule| output.line(rule));
}

async fn call(
    policy: &Policy,
    ledger: Option<&Ledger>,
    tool: &str,
    args: &ExplainArgs,
    output: Output,
) -> Result<(), Failure> {
    let arguments = arguments(&args.arguments)?;
    let empty = Default::default();
    let arguments = arguments.as_object().unwrap_or(&empty);
    let call = Call {
        server: &args.server,
        tool,
        arguments,
        agent: args.agent.as_deref(),
        session: "explain",
        now: SystemClock.now(),
    };
    let decided = match policy.plan(&call) {
        Err(denial) => Err(denial),
        Ok(plan) => plan.decide(&counted(ledger, &plan.counters).await?).map(|_| plan.approval.is_some()),
    };
    let mut rules = Vec::new();
    for traced in policy.trace(&call) {
        rules.push(rule(&traced, ledger).await?);
    }
    if output.json {
        let denial = decided.as_ref().err();
        output.json(
            &json!({"allowed": denial.is_none(), "denial": denial, "needs_approval": decided.as_ref().ok(),
            "rules": rules.iter().map(Explained::to_json).collect::<Vec<_>>()}),
        );
        return Ok(());
    }
    verdict(decided.as_ref().copied(), output);
    rules.iter().for_each(|rule| rule.print(output));
    Ok(())
}

fn verdict(decided: Result<bool, &Denial>, output: Output) {
    match decided {
        Ok(false) => output.line(format!("{GOOD}allowed{GOOD:#}")),
        Ok(true) => output.line(format!("{WARN}needs approval{WARN:#}")),
        Err(denial) => {
            output.line(format!("{BAD}denied{BAD:#} by `{}`: {denial}", denial.rule));
            if let Some(seconds) = denial.retry_after_seconds {
                output.line(format!("  {DIM}again in{DIM:#} {}", duration(seconds)));
            }
        }
    }
}

fn arguments(text: &str) -> Result<Json, Failure> {
    let text = match text.strip_prefix('@') {
        Some(file) => home::read(file.as_ref())?,
        None => text.to_owned(),
    };
    let wrong = |why: String| Failure::new(Code::Configuration, format!("--arguments: {why}"));
    let json = Json::parse(text.as_bytes()).map_err(|error| wrong(error.to_string()))?;
    match json {
        Json::Object(_) => Ok(json),
        _ => Err(wrong("a JSON object is expected".to_owned())),
    }
}

/// What is used of counters; nothing where there is no ledger yet.
async fn counted(ledger: Option<&Ledger>, counters: &[Counter]) -> Result<Vec<Usage>, Failure> {
    let Some(ledger) = ledger else { return Ok(vec![Usage::default(); counters.len()]) };
    let limit = |counter: &Counter| {
        Limit::new("", &counter.scope, counter.window, Measure::Amount(Usd::new(u128::MAX)))
    };
    Ok(ledger.usage(counters.iter().map(limit).collect()).await?)
}

/// A rule with how its parts stand.
struct Explained {
    name: String,
    shadow: bool,
    parts: Vec<(Mark, String)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    Holds,
    Fails,
    Asks,
    Counts,
}

async fn rule(traced: &Traced, ledger: Option<&Ledger>) -> Result<Explained, Failure> {
    let mut parts = Vec::new();
    for part in &traced.parts {
        parts.push(match part {
            Part::Holds(text) => (Mark::Holds, text.clone()),
            Part::Fails(text) => (Mark::Fails, text.clone()),
            Part::Asks(text) => (Mark::Asks, text.clone()),
            Part::Counts { counter, against } => {
                let used = counted(ledger, std::slice::from_ref(counter)).await?.pop().unwrap_or_default();
                let used = Quantity::new(used.amount.get());
                (Mark::Counts, format!("{against}; it stands at {used}"))
            }
        });
    }
    Ok(Explained { name: traced.rule.clone(), shadow: traced.shadow, parts })
}

impl Explained {
    fn print(&self, output: Output) {
        let shadow = if self.shadow { format!(" {DIM}(shadow: reports only){DIM:#}") } else { String::new() };
        output.line(format!("{STRONG}{}{STRONG:#}{shadow}", self.name));
        for (mark, text) in &self.parts {
            let (style, sign) = match mark {
                Mark::Holds => (GOOD, '✓'),
                Mark::Fails => (BAD, '✗'),
                Mark::Asks => (WARN, '?'),
                Mark::Counts => (DIM, '#'),
            };
            output.line(format!("  {style}{sign}{style:#} {text}"));
        }
    }

    fn to_json(&self) -> Value {
        let parts: Vec<Value> = self
            .parts
            .iter()
            .map(|(mark, text)| {
                let mark = match mark {
                    Mark::Holds => "holds",
                    Mark::Fails => "fails",
                    Mark::Asks => "asks",
                    Mark::Counts => "counts",
                };
                json!({"is": mark, "text": text})
            })
            .collect();
        json!({"rule": self.name, "shadow": self.shadow, "parts": parts})
    }
}
