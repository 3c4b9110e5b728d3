//! `farthing policy simulate`: what happened, decided again by another policy. The same engine decides, over a ledger in
//! memory whose clock shows the time of each call.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use farthing_ambient::{Clock as _, TestClock, Timestamp};
use farthing_ledger::{
    Admitted, JournalRow, Ledger, NewCall, Purchase, PurchaseFilter, PurchaseState, Reserved,
};
use farthing_money::Registry;
use farthing_policy::json::{Json, Object};
use farthing_policy::{Call, Denial, DenialCode, Policy, Terms};
use serde_json::{Value, json};
use url::Url;

use super::read;
use crate::cli::SimulateArgs;
use crate::commands::audit::pages;
use crate::exit::{Code, Failure};
use crate::home::{self, Home};
use crate::output::{BAD, DIM, GOOD, Output, STRONG, WARN, printable, time};
use crate::session::open_ledger;

pub(super) async fn run(home: &Home, args: &SimulateArgs, output: Output) -> Result<(), Failure> {
    let policy = read(&args.file)?;
    let since = args.since.as_deref().map(moment).transpose()?.unwrap_or(Timestamp::UNIX_EPOCH);
    let mut past = match &args.calls {
        Some(file) => calls_of(file)?,
        None => recorded(home).await?,
    };
    past.retain(|event| event.at >= since);
    past.sort_by_key(|event| event.at);
    let first = past.first().map_or(Timestamp::UNIX_EPOCH, |event| event.at);
    let clock = Arc::new(TestClock::at_unix_second(first.as_second()));
    let replay = Replay {
        policy: &policy,
        ledger: Ledger::in_memory(clock.clone())?,
        clock,
        registry: Registry::builtin(),
    };
    let mut results = Vec::with_capacity(past.len());
    for event in past {
        let decided = replay.decide(&event).await?;
        results.push((event, decided));
    }
    report(&results, output);
    Ok(())
}

/// `2026-11-01`, or a time with its zone.
fn moment(text: &str) -> Result<Timestamp, Failure> {
    let whole = if text.contains('T') { text.to_owned() } else { format!("{text}T00:00:00Z") };
    whole
        .parse()
        .map_err(|_| Failure::new(Code::Configuration, format!("--since: `{}` is no time", printable(text))))
}

/// Something that happened.
struct Event {
    at: Timestamp,
    /// Whether it was let through then; none where nobody asked.
    was: Option<bool>,
    what: What,
}

enum What {
    Payment(Box<Purchase>),
    /// Its arguments; none where only their digest was recorded.
    Call {
        server: String,
        tool: String,
        agent: Option<String>,
        session: String,
        arguments: Option<Object>,
    },
}

/// What the other policy says.
enum Decided {
    Allowed,
    Approval,
    Denied(Denial),
    /// It cannot be judged, and why.
    Unknown(&'static str),
}

struct Replay<'a> {
    policy: &'a Policy,
    ledger: Ledger,
    clock: Arc<TestClock>,
    registry: Registry,
}

impl Replay<'_> {
    async fn decide(&self, event: &Event) -> Result<Decided, Failure> {
        let ahead = event.at.duration_since(self.clock.now());
        self.clock.advance(Duration::try_from(ahead).unwrap_or_default());
        match &event.what {
            What::Payment(purchase) => self.payment(purchase, event.at).await,
            What::Call { server, tool, agent, session, arguments } => {
                let Some(arguments) = arguments else {
                    return Ok(Decided::Unknown(
                        "its arguments were not recorded (`audit: {arguments: redacted}` keeps them)",
                    ));
                };
                let agent = agent.as_deref();
                self.call(&Call { server, tool, arguments, agent, session, now: event.at }).await
            }
        }
    }

    async fn payment(&self, purchase: &Purchase, now: Timestamp) -> Result<Decided, Failure> {
        let terms = &purchase.terms;
        let Ok(asset) = self.registry.get(&terms.network, &terms.asset) else {
            return Ok(Decided::Unknown("its asset is not known here"));
        };
        let url = Url::parse(&terms.url).map_err(|error| Failure::new(Code::Damaged, error))?;
        let host = match url.port() {
            Some(port) => format!("{}:{port}", url.host_str().unwrap_or_default()),
            None => url.host_str().unwrap_or_default().to_owned(),
        };
        let clearance = match self.policy.check(&Terms {
            host: &host,
            payee: &terms.pay_to,
            asset,
            amount: terms.amount,
            method: &terms.method,
            resource: &terms.url,
            body: None,
            agent: terms.agent.as_deref(),
            session: terms.session.as_deref(),
            tool: None,
            advertised: None,
            now,
        }) {
            Ok(clearance) => clearance,
            Err(denial) => return Ok(Decided::Denied(denial)),
        };
        // A person would have been asked; what is asked here is what would have happened then.
        match self.ledger.reserve(terms.clone(), clearance.limits).await? {
            Reserved::Denied(denial) => Ok(Decided::Denied(denial)),
            Reserved::Granted { .. } => {
                if purchase.state == PurchaseState::NotPaid {
                    self.ledger.release_unsigned(&terms.id, "it was not paid".to_owned()).await?;
                }
                Ok(if clearance.approval.is_some() { Decided::Approval } else { Decided::Allowed })
            }
        }
    }

    async fn call(&self, call: &Call<'_>) -> Result<Decided, Failure> {
        let mut plan = match self.policy.plan(call) {
            Ok(plan) => plan,
            Err(denial) => return Ok(Decided::Denied(denial)),
        };
        let asks = plan.approval.take().is_some();
        // What is given back later is not known here.
        plan.charges.iter_mut().for_each(|charge| charge.refund = farthing_policy::Refund::Never);
        let record = NewCall {
            id: String::new(),
            server: call.server.to_owned(),
            agent: call.agent.map(str::to_owned),
            session: call.session.to_owned(),
            tool: call.tool.to_owned(),
            arguments: String::new(),
            policy_hash: self.policy.hash().to_owned(),
        };
        Ok(match self.ledger.admit(record, Arc::new(plan)).await? {
            Admitted::Denied(denial) => Decided::Denied(denial),
            Admitted::Granted { .. } if asks => Decided::Approval,
            Admitted::Granted { .. } => Decided::Allowed,
        })
    }
}

/// What the wallet's ledger has: payments, and calls that were guarded.
async fn recorded(home: &Home) -> Result<Vec<Event>, Failure> {
    if !home.ledger().exists() {
        return Err(Failure::new(
            Code::Configuration,
            format!("there is no ledger at {}", home.ledger().display()),
        )
        .hint("--calls names a file of calls"));
    }
    let ledger = open_ledger(&home.ledger())?;
    let payments = ledger.purchases(PurchaseFilter::default()).await?;
    let mut events: Vec<Event> = payments
        .into_iter()
        .map(|purchase| Event {
            at: purchase.created_at,
            was: Some(true),
            what: What::Payment(Box::new(purchase)),
        })
        .collect();
    pages(&ledger, 0, async |rows| {
        events.extend(rows.iter().filter_map(recorded_call));
        Ok(())
    })
    .await?;
    ledger.close().await?;
    Ok(events)
}

/// A call that the journal has, let through or denied.
fn recorded_call(row: &JournalRow) -> Option<Event> {
    let was = match row.kind.as_str() {
        "call" => true,
        "call_denied" => false,
        _ => return None,
    };
    let body = Json::parse(row.body.as_bytes()).ok()?;
    let text = |key: &str| body.get(key).and_then(Json::as_str).map(str::to_owned);
    let arguments = text("arguments").and_then(|text| match Json::parse(text.as_bytes()) {
        Ok(Json::Object(arguments)) => Some(arguments),
        _ => None,
    });
    let (server, tool, session) = (text("server")?, text("tool")?, text("session").unwrap_or_default());
    let what = What::Call { server, tool, agent: text("agent"), session, arguments };
    Some(Event { at: row.at, was: Some(was), what })
}

/// A file of calls, one JSON object a line.
fn calls_of(path: &Path) -> Result<Vec<Event>, Failure> {
    let text = home::read(path)?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(number, line)| {
            event_of(line).map_err(|why| {
                Failure::new(Code::Configuration, format!("{}:{}: {why}", path.display(), number + 1))
            })
        })
        .collect()
}

fn event_of(line: &str) -> Result<Event, String> {
    let json = Json::parse(line.as_bytes()).map_err(|error| error.to_string())?;
    let text = |key: &str| json.get(key).and_then(Json::as_str).map(str::to_owned);
    let at = match text("at") {
        Some(at) => at.parse().map_err(|_| "`at` is no time, such as 2026-11-26T10:00:00Z".to_owned())?,
        None => Timestamp::UNIX_EPOCH,
    };
    let arguments = match json.get("arguments") {
        Some(Json::Object(arguments)) => arguments.clone(),
        None => Object::default(),
        Some(_) => return Err("`arguments` is no object".to_owned()),
    };
    let tool = text("tool").ok_or("`tool` is missing")?;
    let server = text("server").unwrap_or_else(|| "server".to_owned());
    let session = text("session").unwrap_or_default();
    let what = What::Call { server, tool, agent: text("agent"), session, arguments: Some(arguments) };
    Ok(Event { at, was: None, what })
}

fn report(results: &[(Event, Decided)], output: Output) {
    let count = |wanted: fn(&Decided) -> bool| results.iter().filter(|(_, decided)| wanted(decided)).count();
    let allowed = count(|decided| matches!(decided, Decided::Allowed));
    let approval = count(|decided| matches!(decided, Decided::Approval));
    let denied = count(|decided| matches!(decided, Decided::Denied(_)));
    let unknown = count(|decided| matches!(decided, Decided::Unknown(_)));
    let changed: Vec<&(Event, Decided)> =
        results.iter().filter(|(event, decided)| differs(event, decided)).collect();
    if output.json {
        let changed: Vec<Value> = changed.iter().map(|(event, decided)| to_json(event, decided)).collect();
        output.json(&json!({"replayed": results.len(), "allowed": allowed, "need_approval": approval, "denied": denied,
            "not_judged": unknown, "changed": changed}));
        return;
    }
    for (event, decided) in &changed {
        output.line(format!("{DIM}{}{DIM:#} {} {}", time(event.at), said(decided), printable(&name(event))));
    }
    output.line(format!(
        "{STRONG}{}{STRONG:#} replayed: {allowed} allowed, {approval} would need approval, {denied} denied, {unknown} not judged; {} changed",
        results.len(),
        changed.len()
    ));
}

/// Whether the other policy would have had it otherwise. Where nobody asked then, what is not allowed is told.
fn differs(event: &Event, decided: &Decided) -> bool {
    match decided {
        Decided::Allowed => event.was == Some(false),
        Decided::Denied(denial) => event.was != Some(false) && denial.code != DenialCode::ApprovalRequired,
        Decided::Approval => true,
        Decided::Unknown(_) => false,
    }
}

fn said(decided: &Decided) -> String {
    match decided {
        Decided::Allowed => format!("{GOOD}allowed{GOOD:#}"),
        Decided::Approval => format!("{WARN}needs approval{WARN:#}"),
        Decided::Denied(denial) => format!("{BAD}denied{BAD:#} by `{}`:", printable(&denial.rule)),
        Decided::Unknown(why) => format!("{DIM}not judged{DIM:#}: {why}"),
    }
}

fn name(event: &Event) -> String {
    match &event.what {
        What::Payment(purchase) => {
            format!("{} {} {}", purchase.terms.value, purchase.terms.method, purchase.terms.url)
        }
        What::Call { server, tool, .. } => format!("{server}/{tool}"),
    }
}

fn to_json(event: &Event, decided: &Decided) -> Value {
    let (now, denial) = match decided {
        Decided::Allowed => ("allowed", None),
        Decided::Approval => ("needs_approval", None),
        Decided::Denied(denial) => ("denied", Some(denial)),
        Decided::Unknown(_) => ("not_judged", None),
    };
    json!({"at": event.at, "what": name(event), "was_allowed": event.was, "now": now, "denial": denial})
}
