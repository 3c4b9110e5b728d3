//! `farthing gateway check --url ORIGIN`: what answers there, as buyers' software reads it.

use std::time::Duration;

use farthing_ambient::causes;
use farthing_discovery::{Config, Discovery, Live, Origin, ReadState, Resource, Site};
use farthing_protocol::discovery::{Code as Finds, Document, Finding, LiveOffer, WellKnown, fill};
use farthing_protocol::{Challenge, MAX_BODY_BYTES, x402};
use http::Method;
use serde_json::{Value, json};

use super::report::{self, Found};
use crate::exit::{Code, Failure};
use crate::output::{DIM, Output, printable};

/// How long one call may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Where each document is.
const DOCUMENTS: [&str; 3] = [Document::PATH, WellKnown::X402_PATH, "/llms.txt"];

pub(super) async fn check(url: &str, all_methods: bool, output: Output) -> Result<(), Failure> {
    let site = Site::parse(url).map_err(|error| Failure::new(Code::Configuration, error))?;
    let discovery = Discovery::new(Config::default());
    let discovery = discovery.map_err(|error| Failure::new(Code::Unexpected, causes(&error)))?;
    let mut origin = discovery.discover(&site).await;
    reached(&origin)?;
    discovery.probe(&mut origin).await;
    let mut found = Vec::new();
    if all_methods {
        found.extend(ask_the_rest(&discovery, &mut origin).await?.into_iter().map(Found::from));
    }
    found.extend(missing(&origin));
    // It stands beside the newer one, for clients that read it alone.
    origin.findings.retain(|finding| finding.code != Finds::LegacyWellKnown);
    found.extend(origin.findings.drain(..).map(Found::from));
    let lines: Vec<String> = origin.resources.iter().map(line).collect();
    report::end(to_json(&origin), &lines, found, output)
}

/// An origin that does not answer at all has nothing wrong with it that could be told.
fn reached(origin: &Origin) -> Result<(), Failure> {
    let silent = origin.documents.iter().all(|document| document.state != ReadState::Read);
    match origin.findings.iter().find(|finding| finding.code == Finds::Unreachable) {
        Some(finding) if silent => {
            let message = format!("{} does not answer: {}", origin.origin, printable(&finding.message));
            Err(Failure::new(Code::Unreachable, message)
                .hint("is the gateway running, and is this its address?"))
        }
        _ => Ok(()),
    }
}

/// What a gateway of ours would have told.
fn missing(origin: &Origin) -> Vec<Found> {
    let read = |path: &str| {
        origin.documents.iter().any(|document| document.document == path && document.state == ReadState::Read)
    };
    let absent = DOCUMENTS.into_iter().filter(|path| !read(path)).map(|path| {
        let advice = "leave `discovery` switched on, and let no route take its path";
        Found::warning("missing-document", path, format!("there is no {path}"), advice)
    });
    let silent = origin.guidance.is_empty().then(|| {
        let message = "agents are not told how to make good use of the API".to_owned();
        Found::info(
            "missing-guidance",
            "discovery.guidance",
            message,
            "add a few sentences as `discovery.guidance`",
        )
    });
    absent.chain(silent).collect()
}

// === calls that discovery does not make unasked ===

/// Asks the calls for their price that change something when they are served.
async fn ask_the_rest(discovery: &Discovery, origin: &mut Origin) -> Result<Vec<Finding>, Failure> {
    let http = client().map_err(|error| Failure::new(Code::Unexpected, causes(&error)))?;
    let asked =
        |resource: &Resource| resource.is_priced() && matches!(resource.live, Some(Live::Unknown { .. }));
    let mut found = Vec::new();
    for at in 0..origin.resources.len() {
        if asked(&origin.resources[at]) {
            let (live, findings) = ask(discovery, origin, &origin.resources[at], &http).await;
            let key = origin.resources[at].key.clone();
            origin.findings.retain(|finding| {
                finding.code != Finds::NotProbed || finding.resource.as_deref() != Some(&*key)
            });
            origin.resources[at].live = Some(live);
            found.extend(findings);
        }
    }
    Ok(found)
}

fn client() -> reqwest::Result<reqwest::Client> {
    let builder = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).referer(false);
    builder.timeout(TIMEOUT).build()
}

async fn ask(
    discovery: &Discovery,
    origin: &Origin,
    resource: &Resource,
    http: &reqwest::Client,
) -> (Live, Vec<Finding>) {
    let path = fill(&resource.path, |_| Some("example".to_owned())).unwrap_or_else(|| resource.path.clone());
    let url = origin.origin.at(&path);
    let method: Method = resource.method.parse().unwrap_or_default();
    let (status, challenge) = match answered(http.request(method, url.clone())).await {
        Ok(answered) => answered,
        Err(error) => {
            let why = causes(&error.without_url());
            let finding = Finding::new(Finds::Unreachable, &resource.key, why.clone()).about(&resource.key);
            return (Live::Unknown { why }, vec![finding]);
        }
    };
    let registry = &discovery.config().registry;
    let challenge = (status == 402).then_some(challenge);
    let findings = origin.judge(&resource.method, &url, status, challenge.as_ref().map(Result::as_ref), None, registry);
    let offers = challenge.and_then(Result::ok).map(|challenge| challenge.offers).unwrap_or_default();
    let offers: Vec<_> = offers.iter().map(|offer| LiveOffer::of(offer, registry)).collect();
    let price = offers.iter().filter_map(|offer| offer.value).min();
    (Live::Answered { url, status, made_up: true, offers, price }, findings)
}

type Answered = (u16, Result<Challenge, farthing_protocol::ProtocolError>);

async fn answered(request: reqwest::RequestBuilder) -> reqwest::Result<Answered> {
    let mut answer = request.send().await?;
    let header = answer.headers().get(x402::PAYMENT_REQUIRED).cloned();
    let mut body = Vec::new();
    while let Some(piece) = answer.chunk().await? {
        body.extend_from_slice(&piece);
        if body.len() > MAX_BODY_BYTES {
            break;
        }
    }
    let challenge = Challenge::read(header.as_ref().map(|header| header.as_bytes()), &body);
    Ok((answer.status().as_u16(), challenge))
}

// === what was seen ===

fn line(resource: &Resource) -> String {
    let price = resource.price.as_ref().map_or_else(|| "free".to_owned(), ToString::to_string);
    let live = match &resource.live {
        Some(Live::Answered { status, price: Some(price), .. }) => format!("{status}, {price}"),
        Some(Live::Answered { status, .. }) => status.to_string(),
        Some(Live::Unknown { why }) => format!("not asked: {why}"),
        None => "not asked".to_owned(),
    };
    let name = printable(&format!("{} {}", resource.method, resource.path));
    format!("{name}  {price}  {DIM}{}{DIM:#}", printable(&live))
}

fn to_json(origin: &Origin) -> Value {
    json!({"origin": origin.origin, "documents": origin.documents, "resources": origin.resources})
}
