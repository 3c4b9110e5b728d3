use farthing_protocol::discovery::Severity;
use farthing_protocol::shortened;
use http::Method;
use serde::Serialize;

use super::merge::Merged;
use super::openapi::listed_method;
use super::{Kind, Offered, bazaar};
use crate::pricing::{Charge, Route};
use crate::{Config, Pricing};

/// How many operations are named, and by how many characters each.
const MAX_NAMED: usize = 5;
const MAX_NAME_CHARS: usize = 100;

/// Something in a configuration that keeps buyers from finding what is sold, or that its operator may not expect.
///
/// What the documents themselves lack is found by reading them (`farthing_protocol::discovery`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Notice {
    /// A stable name: `no-public-url`.
    pub code: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// The key or the route in the configuration.
    pub place: String,
    /// What is so.
    pub message: String,
    /// What would change it.
    pub advice: &'static str,
}

impl Notice {
    fn info(code: &'static str, place: &str, message: String, advice: &'static str) -> Self {
        Self { code, severity: Severity::Info, place: place.to_owned(), message, advice }
    }

    fn warning(code: &'static str, place: &str, message: String, advice: &'static str) -> Self {
        Self { severity: Severity::Warning, ..Self::info(code, place, message, advice) }
    }
}

impl Pricing {
    /// What buyers will miss or stumble over. `config` is the configuration that the prices are of.
    #[must_use]
    pub fn notices(&self, config: &Config) -> Vec<Notice> {
        let mut notices = Vec::new();
        if config.text.public_url.is_none() {
            let message =
                format!("buyers are told http://{}, which is no address for others", config.listen());
            let advice = "set `public_url` to where buyers find the gateway";
            notices.push(Notice::warning("no-public-url", "public_url", message, advice));
        }
        match &self.discovery {
            None => {
                let message = "buyers are not told beforehand what is sold".to_owned();
                let advice = "leave `discovery.enabled` out";
                notices.push(Notice::warning("discovery-off", "discovery.enabled", message, advice));
            }
            Some(discovery) => {
                if discovery.site.guidance.is_none() {
                    let message = "agents are not told how to make good use of the API".to_owned();
                    let advice = "add a few sentences as `discovery.guidance`";
                    notices.push(Notice::info("missing-guidance", "discovery.guidance", message, advice));
                }
                notices.extend(Kind::ALL.into_iter().filter_map(|kind| self.about_document(kind.path())));
                notices.extend(self.routes.iter().filter_map(about_route));
            }
        }
        notices
    }

    /// Whose file is at a document's path, where it is not ours.
    fn about_document(&self, path: &'static str) -> Option<Notice> {
        match self.document(&Method::GET, path) {
            Some(Offered::Ours(_)) => None,
            Some(Offered::Otherwise(_)) => {
                let message = format!(
                    "calls of {path} are free, so that a file of the upstream goes first where it has one"
                );
                let advice =
                    "`discovery.replace: true` serves ours; `discovery.upstream_document` merges the two";
                Some(Notice::info("upstream-first", path, message, advice))
            }
            None => {
                let route = self.route(&Method::GET, path)?;
                let message = format!("the route serves {path}, so that ours is not");
                let advice = "take the route out, unless what it serves tells the prices as well";
                Some(Notice::warning("document-route", &route.pattern.name(), message, advice))
            }
        }
    }
}

impl Merged {
    /// What of the upstream's document buyers are not told.
    pub(super) fn notice(&self) -> Option<Notice> {
        let Self { told, untold, .. } = self;
        if untold.is_empty() && *told > 0 {
            return None;
        }
        let shown = untold.iter().take(MAX_NAMED).map(|name| shortened(name, MAX_NAME_CHARS));
        let more = if untold.len() > MAX_NAMED { ", …" } else { "" };
        let names = shown.collect::<Vec<_>>().join(", ");
        let all = told + untold.len();
        let message = format!(
            "{} of {all} operations of the upstream's document are not told: {names}{more}",
            untold.len()
        );
        let place = "discovery.upstream_document";
        Some(match (told, all) {
            (_, 0) => {
                let message = "the upstream's document lists no operation".to_owned();
                Notice::warning("untold-operations", place, message, "list them under its `paths`")
            }
            (0, _) => {
                let advice =
                    "compare its `servers[0].url` and `paths` with the routes: together they make the path";
                Notice::warning("untold-operations", place, message, advice)
            }
            _ => {
                let advice = "add a route for what is to be sold; without one it is not let through";
                Notice::info("untold-operations", place, message, advice)
            }
        })
    }
}

fn about_route(route: &Route) -> Option<Notice> {
    let Charge::Paid(paid) = &route.charge else { return None };
    let about = &route.about;
    if listed_method(route).is_none() {
        let message = "OpenAPI has no word for its method: no document tells buyers of it".to_owned();
        let advice = "name one of GET, HEAD, OPTIONS, DELETE, POST, PUT and PATCH, or tell buyers otherwise";
        return Some(Notice::warning("unlisted-method", &paid.name, message, advice));
    }
    if paid.terms.cut {
        let message =
            "its `input` and `output` are too long for a 402, and told in /openapi.json only".to_owned();
        let advice = "shorten them: facilitators and indexes read them in the 402";
        return Some(Notice::warning("schema-too-long", &paid.name, message, advice));
    }
    if (about.input.is_some() || about.output.is_some()) && bazaar(&route.pattern, about).is_none() {
        let message = "facilitators do not catalogue a route for any method, or for this one".to_owned();
        let advice = "name one of GET, HEAD, DELETE, POST, PUT and PATCH";
        return Some(Notice::info("not-catalogued", &paid.name, message, advice));
    }
    None
}
