//! `farthing discover`.

use std::sync::Mutex;
use std::time::Duration;

use farthing_discovery::{
    Code as Found, Config, Discovery, Finding, Guidance, Origin, ReadState, Resource, Severity, Site,
};
use farthing_http::Reach;
use serde_json::json;

use super::described::arguments;
use crate::cli::DiscoverArgs;
use crate::exit::{Code, Failure};
use crate::output::{BAD, DIM, GOOD, Output, STRONG, WARN, printable, table};
use crate::progress;
use crate::session::Session;

/// How many findings of one kind are shown.
const SHOWN_OF_A_KIND: usize = 4;
/// How many lines of guidance are shown.
const GUIDANCE_LINES: usize = 40;
/// The most characters of a summary in the table.
const SUMMARY: usize = 60;

pub(crate) async fn run(session: &Session, args: &DiscoverArgs, output: Output) -> Result<(), Failure> {
    let sites = args.origins.iter().map(|origin| Site::parse(origin)).collect::<Result<Vec<_>, _>>();
    let mut sites = sites.map_err(|error| Failure::new(Code::Configuration, error))?;
    let mut seen = std::collections::HashSet::new();
    sites.retain(|site| seen.insert(site.clone()));
    let discovery = discovery(session, args.timeout)?;
    let doing = Mutex::new(format!("asking {}", counted(sites.len(), "origin")));
    let told = |step: farthing_discovery::Step<'_>| {
        let text =
            format!("asked {} of {}, last {}", step.done, step.of, printable(&step.origin.to_string()));
        *doing.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = text;
    };
    let shown = || doing.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
    let origins = progress::shown(output, shown, discovery.discover_all(&sites, args.live, &told)).await;
    let ending = verdict(&origins);
    if output.json {
        return output.json_ending(json!({"origins": origins}), ending);
    }
    for origin in &origins {
        print(origin, args, output);
    }
    ending
}

/// What a person asks for may be anywhere.
pub(super) fn discovery(session: &Session, timeout_seconds: u64) -> Result<Discovery, Failure> {
    let config = Config {
        reach: Reach::anywhere(),
        registry: session.config().registry()?,
        timeout: Duration::from_secs(timeout_seconds),
        ..Config::default()
    };
    Discovery::new(config).map_err(|error| Failure::new(Code::Unexpected, error))
}

/// An error when nothing at all was described.
fn verdict(origins: &[Origin]) -> Result<(), Failure> {
    if origins.iter().any(|origin| !origin.resources.is_empty() || is_described(origin)) {
        return Ok(());
    }
    let unreachable = origins
        .iter()
        .flat_map(|origin| &origin.findings)
        .find(|finding| matches!(finding.code, Found::Unreachable | Found::OutOfReach));
    let names: Vec<String> = origins.iter().map(|origin| origin.origin.to_string()).collect();
    let names = names.join(", ");
    Err(match unreachable {
        Some(finding) => Failure::new(Code::Unreachable, format!("{names}: {}", finding.message)),
        None => Failure::new(Code::SellerError, format!("{names}: no document says what is sold there"))
            .hint("`farthing check URL` asks a single route for its price"),
    })
}

fn is_described(origin: &Origin) -> bool {
    origin.documents.iter().any(|read| read.state == ReadState::Read)
}

fn print(origin: &Origin, args: &DiscoverArgs, output: Output) {
    let name = origin.title.as_deref().map(|title| format!("  {}", printable(title))).unwrap_or_default();
    output.line(format!("{STRONG}{}{STRONG:#}{name}", origin.origin));
    let read = origin.documents.iter().filter(|read| read.state == ReadState::Read);
    let read: Vec<String> = read.map(|read| printable(&read.document)).collect();
    if !read.is_empty() {
        output.line(format!("{DIM}read{DIM:#} {}", read.join(", ")));
    }
    let shown: Vec<&Resource> =
        origin.resources.iter().filter(|resource| args.all || resource.is_priced()).collect();
    if !shown.is_empty() {
        output.line(resources(&shown, args.live));
    }
    let hidden = origin.resources.len() - shown.len();
    if hidden > 0 {
        output.note(format!("{DIM}{} without a price; --all shows them{DIM:#}", counted(hidden, "resource")));
    }
    if args.all {
        shown.iter().for_each(|resource| print_arguments(resource, output));
        origin.guidance.iter().for_each(|guidance| print_guidance(guidance, output));
    } else if !origin.guidance.is_empty() {
        output.note(format!("{DIM}there is guidance for agents; --all shows it{DIM:#}"));
    }
    print_findings(&origin.findings, args.all, output);
    output.line("");
}

/// What a call takes.
fn print_arguments(resource: &Resource, output: Output) {
    let lines = resource.input.as_ref().map(arguments).unwrap_or_default();
    if !lines.is_empty() {
        let call = format!("{} {}", resource.method, printable(&resource.path));
        output.line(format!("{DIM}takes{DIM:#} {call}  {}", lines.join("; ")));
    }
}

/// Words for agents, as they are but for what a terminal would obey.
fn print_guidance(guidance: &Guidance, output: Output) {
    output.line(format!("{DIM}guidance of{DIM:#} {}", printable(&guidance.from)));
    let mut lines = guidance.text.lines().filter(|line| !line.trim().is_empty());
    lines.by_ref().take(GUIDANCE_LINES).for_each(|line| output.line(format!("  {}", printable(line))));
    if guidance.cut || lines.next().is_some() {
        output.line(format!("  {DIM}and more; --json has it{DIM:#}"));
    }
}

/// A table of resources, with their live price where they were asked for it.
pub(super) fn resources(shown: &[&Resource], live: bool) -> String {
    let mut head = vec!["METHOD", "PATH", "PRICE"];
    head.extend(live.then_some("LIVE"));
    head.extend(["PROTOCOLS", "SUMMARY"]);
    let rows: Vec<Vec<String>> = shown
        .iter()
        .map(|resource| {
            let mut row = vec![resource.method.clone(), printable(&resource.path), price(resource)];
            row.extend(live.then(|| live_price(resource)));
            row.extend([protocols(resource), summary(resource)]);
            row
        })
        .collect();
    table(&head, &rows)
}

/// `$0.02`, or what is known instead.
pub(super) fn price(resource: &Resource) -> String {
    match &resource.price {
        Some(price) => printable(&price.to_string()),
        None if resource.is_priced() => "?".to_owned(),
        None => resource.auth.map_or("-", |auth| auth.as_str()).to_owned(),
    }
}

fn live_price(resource: &Resource) -> String {
    use farthing_discovery::Live;
    match &resource.live {
        Some(Live::Answered { price: Some(price), .. }) => price.to_string(),
        Some(Live::Answered { status: 402, .. }) => "?".to_owned(),
        Some(Live::Answered { status, .. }) => status.to_string(),
        Some(Live::Unknown { .. }) | None => "-".to_owned(),
    }
}

pub(super) fn protocols(resource: &Resource) -> String {
    let mut names: Vec<String> =
        resource.protocols.iter().map(|protocol| printable(&protocol.name)).collect();
    names.dedup();
    names.join(", ")
}

pub(super) fn summary(resource: &Resource) -> String {
    let text = resource.summary.as_ref().or(resource.description.as_ref());
    let text = text.map(|text| printable(text)).unwrap_or_default();
    match text.char_indices().nth(SUMMARY) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// Findings by kind, worst first; those that are only worth knowing where all are wanted.
pub(super) fn print_findings(findings: &[Finding], all: bool, output: Output) {
    let mut codes: Vec<Found> = Vec::new();
    for finding in findings.iter().filter(|finding| all || finding.severity > Severity::Info) {
        if !codes.contains(&finding.code) {
            codes.push(finding.code);
        }
    }
    for code in codes {
        let of_kind: Vec<&Finding> = findings.iter().filter(|finding| finding.code == code).collect();
        print_kind(code, &of_kind, output);
    }
    let hidden = findings.iter().filter(|finding| finding.severity == Severity::Info).count();
    if !all && hidden > 0 {
        output.note(format!("{DIM}{} worth knowing; --all shows them{DIM:#}", counted(hidden, "finding")));
    }
}

fn print_kind(code: Found, findings: &[&Finding], output: Output) {
    let style = match code.severity() {
        Severity::Error => BAD,
        Severity::Warning => WARN,
        Severity::Info => DIM,
    };
    let times = if findings.len() > 1 { format!(" ({} times)", findings.len()) } else { String::new() };
    output.line(format!("{style}{}{style:#} {code}{times}: {}", code.severity(), code.meaning()));
    for finding in findings.iter().take(SHOWN_OF_A_KIND) {
        output.line(format!("  {}: {}", printable(&finding.place), printable(&finding.message)));
    }
    if findings.len() > SHOWN_OF_A_KIND {
        output.line(format!("  {DIM}and {} more; --json lists all{DIM:#}", findings.len() - SHOWN_OF_A_KIND));
    }
    output.line(format!("  {GOOD}→{GOOD:#} {}", code.advice()));
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
