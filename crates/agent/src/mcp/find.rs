//! Who sells what, by the word of indexes and of providers themselves.

use farthing_discovery::{Hit, Origin, Query, Resource, Site};

use super::answer::Answer;
use super::desk::Desk;
use super::input::{DiscoverArgs, SearchArgs, dollars};
use super::output::{Api, Discovered, FoundApi, IndexAsked, Searched};
use super::trouble::{Code, Trouble};

/// The most routes that are listed at once.
const MOST_RESOURCES: usize = 100;
/// How many characters of a description are shown in a list.
const DESCRIPTION_CHARS: usize = 300;

pub(super) async fn search(desk: &Desk, args: &SearchArgs) -> Result<Answer, Trouble> {
    let limit = args.limit.unwrap_or(10);
    let bad = |why: &str| Err(Trouble::unpaid(Code::BadArguments, why));
    if !(1..=50).contains(&limit) {
        return bad("`limit`: from 1 to 50");
    }
    if args.query.trim().is_empty() {
        return bad("`query` is empty");
    }
    let query = Query {
        text: args.query.trim().to_owned(),
        limit: limit.into(),
        max_price: dollars(args.max_price.as_deref(), "max_price")?,
        network: None,
    };
    let found = desk.config.discovery.search(&query, &desk.config.indexes).await;
    let silent = !found.indexes.is_empty() && found.indexes.iter().all(|asked| asked.error.is_some());
    if silent {
        let why = found.indexes.iter().filter_map(|asked| asked.error.clone()).collect::<Vec<_>>().join("; ");
        return Err(Trouble::unpaid(Code::Unreachable, format!("no index answered: {why}"))
            .hint("if you know a provider's site, use `discover` on it"));
    }
    let indexes =
        found.indexes.into_iter().map(|asked| IndexAsked { index: asked.index, error: asked.error });
    Ok(Answer::new(&Searched {
        results: found.results.iter().map(FoundApi::of).collect(),
        indexes: indexes.collect(),
    }))
}

pub(super) async fn discover(desk: &Desk, args: &DiscoverArgs) -> Result<Answer, Trouble> {
    let site =
        Site::parse(&args.origin).map_err(|error| Trouble::unpaid(Code::BadArguments, error.to_string()))?;
    let discovery = &desk.config.discovery;
    discovery
        .config()
        .reach
        .check(&site.at("/"))
        .map_err(|error| Trouble::from(farthing_wallet::FetchError::from(error)))?;
    let mut origin = discovery.discover(&site).await;
    let findings =
        origin.findings.iter().map(|finding| format!("{}: {}", finding.place, finding.message)).collect();
    if let Some(path) = &args.path {
        let route: Vec<String> =
            origin.route(path).into_iter().map(|resource| resource.key.clone()).collect();
        origin.resources.retain(|resource| route.contains(&resource.key));
        if origin.resources.is_empty() {
            return Err(Trouble::unpaid(Code::NotFound, format!("{} describes no path {path}", args.origin))
                .hint("leave `path` out to see every route; `check` asks an address itself"));
        }
    }
    Ok(Answer::new(&Discovered::of(origin, args.path.is_some(), findings)))
}

impl FoundApi {
    fn of(hit: &Hit) -> Self {
        let listed = &hit.listed;
        Self {
            url: listed.url.clone(),
            method: listed.method.clone(),
            name: listed.name.clone(),
            description: listed.description.as_deref().map(cut),
            price: listed.price.map(|price| price.to_string()),
            networks: listed
                .offers
                .iter()
                .filter_map(|offer| offer.network.as_ref())
                .map(ToString::to_string)
                .collect(),
            sources: hit.sources.clone(),
        }
    }
}

impl Discovered {
    fn of(origin: Origin, with_schemas: bool, findings: Vec<String>) -> Self {
        let all = origin.resources.len();
        let apis: Vec<Api> = origin
            .resources
            .iter()
            .take(MOST_RESOURCES)
            .map(|resource| Api::of(resource, with_schemas))
            .collect();
        Self {
            origin: origin.origin.to_string(),
            title: origin.title,
            description: origin.description.as_deref().map(cut),
            guidance: origin.guidance.into_iter().map(|guidance| guidance.text).collect(),
            left_out: all.saturating_sub(apis.len()),
            resources: apis,
            findings,
        }
    }
}

impl Api {
    fn of(resource: &Resource, with_schemas: bool) -> Self {
        let text = resource.summary.as_ref().or(resource.description.as_ref());
        let json = |schema: Option<serde_json::Value>| schema.filter(|_| with_schemas);
        Self {
            method: resource.method.clone(),
            path: resource.path.clone(),
            summary: text.map(|text| cut(text)),
            price: resource.price.as_ref().map(ToString::to_string),
            needs: resource
                .auth
                .and_then(|auth| serde_json::to_value(auth).ok())
                .and_then(|auth| auth.as_str().map(str::to_owned)),
            protocols: resource.protocols.iter().map(|protocol| protocol.name.clone()).collect(),
            input: json(resource.input.as_ref().and_then(|input| serde_json::to_value(input).ok())),
            output: json(resource.output.as_ref().and_then(|output| serde_json::to_value(output).ok())),
        }
    }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(DESCRIPTION_CHARS) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or(text)),
        None => text.to_owned(),
    }
}
