//! `farthing policy explain`: a policy in words; a call or a payment with every rule that it meets.

use farthing_ambient::{Clock as _, SystemClock};
use farthing_ledger::Ledger;
use farthing_money::{Registry, Usd};
use farthing_policy::json::Json;
use farthing_policy::tools::{Part, Traced};
use farthing_policy::{Call, Clearance, Counter, Denial, Limit, Policy, Quantity, Terms, Usage};
use farthing_wallet::Request;
use serde_json::{Value, json};

use super::meant;
use crate::cli::ExplainArgs;
use crate::exit::{Code, Failure};
use crate::home::{self, Home};
use crate::output::{BAD, DIM, GOOD, Output, STRONG, WARN, duration};
use crate::session::open_ledger;

pub(super) async fn run(home: &Home, args: &ExplainArgs, output: Output) -> Result<(), Failure> {
    let policy = meant(home, args.config.as_ref())?;
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
        output.json(&json!({
            "hash": policy.hash(), "allowed": denial.is_none(), "denial": denial, "needs_approval": decided.as_ref().ok(),
            "rules": rules.iter().map(Explained::to_json).collect::<Vec<_>>(),
        }));
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
    Ok(ledger.counters(counters.to_vec()).await?)
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

async fn payment(
    policy: &Policy,
    ledger: Option<&Ledger>,
    url: &str,
    args: &ExplainArgs,
    output: Output,
) -> Result<(), Failure> {
    let wrong = |why: String| Failure::new(Code::Configuration, why);
    let request = Request::get(url).map_err(|error| wrong(error.to_string()))?;
    let registry = Registry::builtin();
    let asset = registry.usdc(&args.network).map_err(|error| wrong(error.to_string()))?;
    let price = args.amount.as_ref().ok_or_else(|| wrong("--amount is missing".to_owned()))?;
    let amount = price.in_asset(asset).map_err(|error| wrong(format!("--amount: {error}")))?;
    let (host, resource) = (request.host(), request.recorded_url());
    let terms = Terms {
        host: &host,
        payee: args.payee.as_deref().unwrap_or_default(),
        asset,
        amount,
        method: &args.method,
        resource: &resource,
        body: None,
        agent: args.agent.as_deref(),
        session: None,
        tool: None,
        advertised: None,
        now: SystemClock.now(),
    };
    let value = asset.value(amount).unwrap_or_default();
    let room = room(policy, ledger, &terms, value).await?;
    say(policy, policy.check(&terms).as_ref(), value, &room, output);
    Ok(())
}

/// Every limit that applies to the payment, and whether it fits.
async fn room(
    policy: &Policy,
    ledger: Option<&Ledger>,
    terms: &Terms<'_>,
    value: Usd,
) -> Result<Vec<Room>, Failure> {
    let limits = policy.limits_for(terms);
    let used = match ledger {
        Some(ledger) => ledger.usage(limits.clone()).await?,
        None => vec![Usage::default(); limits.len()],
    };
    let room = |(limit, used): (Limit, Usage)| Room {
        left: limit.remaining(used),
        denial: limit.admit(used, value).err(),
        limit,
    };
    Ok(limits.into_iter().zip(used).map(room).collect())
}

/// What the rules say, then the first limit without room.
fn say(policy: &Policy, checked: Result<&Clearance, &Denial>, value: Usd, room: &[Room], output: Output) {
    let full = room.iter().filter(|room| !room.limit.shadow).find_map(|room| room.denial.as_ref());
    let decided = checked.and_then(|clearance| full.map_or(Ok(clearance), Err));
    let asks = decided.map(|clearance| clearance.approval.is_some());
    if output.json {
        let limits: Vec<Value> = room.iter().map(Room::to_json).collect();
        output.json(&json!({"hash": policy.hash(), "allowed": asks.is_ok(), "denial": asks.err(),
            "value": value.to_string(), "limits": limits, "needs_approval": asks.ok()}));
        return;
    }
    verdict(asks, output);
    room.iter().for_each(|room| room.print(output));
}

/// A limit, and whether the payment fits into it.
struct Room {
    limit: Limit,
    left: String,
    denial: Option<Denial>,
}

impl Room {
    fn print(&self, output: Output) {
        let (style, sign) = if self.denial.is_some() { (BAD, '✗') } else { (GOOD, '✓') };
        let Limit { rule, window, .. } = &self.limit;
        output.line(format!(
            "  {style}{sign}{style:#} {STRONG}{rule}{STRONG:#} {} left {DIM}({window}){DIM:#}",
            self.left
        ));
    }

    fn to_json(&self) -> Value {
        let Limit { rule, scope, window, shadow, .. } = &self.limit;
        json!({"rule": rule, "scope": scope, "window": window.to_string(), "remaining": self.left, "shadow": shadow,
            "fits": self.denial.is_none()})
    }
}
