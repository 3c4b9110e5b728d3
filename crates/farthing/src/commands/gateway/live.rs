//! `farthing gateway check --url ORIGIN`: what answers there, as buyers' software reads it.

use farthing_ambient::causes;
use farthing_discovery::{
    Code as Finds, Config, Discovery, Finding, Live, Origin, ReadState, Resource, Site,
};
use farthing_money::Registry;
use farthing_protocol::discovery::{Document, WellKnown};
use serde_json::{Value, json};

use super::report::{self, Found};
use crate::commands::discover;
use crate::exit::{Code, Failure};
use crate::output::{Output, printable};

/// Where each document is.
const DOCUMENTS: [&str; 3] = [Document::PATH, WellKnown::X402_PATH, "/llms.txt"];

pub(super) async fn check(
    url: &str,
    all_methods: bool,
    registry: Registry,
    output: Output,
) -> Result<(), Failure> {
    let site = Site::parse(url).map_err(|error| Failure::new(Code::Configuration, error))?;
    let discovery = Discovery::new(Config { all_methods, registry, ..Config::default() });
    let discovery = discovery.map_err(|error| Failure::new(Code::Unexpected, causes(&error)))?;
    let mut origin = discovery.discover(&site).await;
    reached(&origin)?;
    discovery.probe(&mut origin).await;
    let mut found = missing(&origin);
    // It stands beside the newer one, for clients that read it alone.
    origin.findings.retain(|finding| finding.code != Finds::LegacyWellKnown);
    let findings = std::mem::take(&mut origin.findings);
    found.extend(findings.into_iter().map(|finding| advised(finding, &origin)));
    let resources: Vec<&Resource> = origin.resources.iter().collect();
    report::end(to_json(&origin), &[discover::resources(&resources, true)], found, output)
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

/// What was found, with what its operator can do about a price that nobody has asked for.
fn advised(finding: Finding, origin: &Origin) -> Found {
    let about = |resource: &&Resource| finding.resource.as_ref() == Some(&resource.key);
    let resource = origin.resources.iter().find(about).filter(|_| finding.code == Finds::NotProbed);
    let Some(resource) = resource else { return finding.into() };
    let advice = match &resource.live {
        Some(Live::Answered { .. }) => {
            "add an `example` to each required parameter, in the route's `input` or the upstream's document"
        }
        _ if !matches!(&*resource.method, "GET" | "HEAD") => "`--all-methods` asks for it",
        _ => finding.advice,
    };
    Found::from(finding).with_advice(advice)
}

fn to_json(origin: &Origin) -> Value {
    json!({"origin": origin.origin, "documents": origin.documents, "resources": origin.resources})
}
