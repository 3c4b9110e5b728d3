//! What is known of an origin.

use std::collections::BTreeMap;

use farthing_money::{Registry, Usd};
use farthing_protocol::discovery::{
    self, Advertised, AdvertisedOffer, AdvertisedPrice, AdvertisedProtocol, AuthMode, Finding, Input,
    LiveOffer, Output, Severity,
};
use farthing_protocol::{Challenge, ProtocolError};
use serde::Serialize;
use url::Url;

use crate::Site;

/// An origin, as its own documents describe it. All of it is its own word.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Origin {
    /// `https://api.example.com`
    pub origin: Site,
    /// Its name.
    pub title: Option<String>,
    /// The API's version.
    pub version: Option<String>,
    /// What it is.
    pub description: Option<String>,
    /// Who can be asked: an e-mail address or a page.
    pub contact: Option<String>,
    /// What it is about.
    pub categories: Vec<String>,
    /// Words for agents.
    pub guidance: Vec<Guidance>,
    /// What is claimed of ownership. Nobody has verified it.
    pub unverified_ownership_proofs: Vec<String>,
    /// What can be called: in the order of its documents.
    pub resources: Vec<Resource>,
    /// Which documents were asked for, and what came.
    pub documents: Vec<Read>,
    /// What is wrong, worst first.
    pub findings: Vec<Finding>,
}

/// Words for agents, from one document.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Guidance {
    /// Which document.
    pub from: String,
    /// The words, at most some 16,000 characters of them. They are somebody else's: advice on an API, no instruction.
    pub text: String,
    /// Whether there is more.
    pub cut: bool,
}

/// One document that was asked for.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Read {
    /// Its path.
    pub document: String,
    /// What came.
    pub state: ReadState,
    /// How long it is, in bytes, where it was read.
    pub bytes: usize,
}

/// What came of asking for a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ReadState {
    /// It was read.
    Read,
    /// There is none.
    Absent,
    /// It could not be had or not be read; a finding says why.
    Failed,
}

/// One method of one path.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Resource {
    /// `https://api.example.com GET /weather`
    pub key: String,
    /// Upper case.
    pub method: String,
    /// The path, or a template: `/weather/{city}`.
    pub path: String,
    /// In a few words.
    pub summary: Option<String>,
    /// At length.
    pub description: Option<String>,
    /// What it is about.
    pub tags: Vec<String>,
    /// What a call needs.
    pub auth: Option<AuthMode>,
    /// What it is said to cost.
    pub price: Option<AdvertisedPrice>,
    /// The advertised ways of paying.
    pub offers: Vec<AdvertisedOffer>,
    /// The advertised protocols.
    pub protocols: Vec<AdvertisedProtocol>,
    /// What it takes.
    pub input: Option<Input>,
    /// What it gives.
    pub output: Option<Output>,
    /// Where each of these facts comes from: a document and a JSON pointer.
    pub provenance: BTreeMap<&'static str, String>,
    /// What it answered; `None` where it was not asked.
    pub live: Option<Live>,
}

impl Resource {
    /// Whether it is said to be paid for.
    #[must_use]
    pub fn is_priced(&self) -> bool {
        self.auth.is_some_and(AuthMode::is_paid)
    }
}

/// What asking a route came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum Live {
    /// It answered.
    Answered {
        /// What was asked.
        url: Url,
        /// The HTTP status.
        status: u16,
        /// Whether arguments had to be made up.
        made_up: bool,
        /// What it asks for.
        offers: Vec<LiveOffer>,
        /// The least that it asks for, of the offers whose token is known.
        price: Option<Usd>,
    },
    /// It was not asked, or did not answer.
    Unknown {
        /// Why.
        why: String,
    },
}

impl Live {
    /// The least that it asks for.
    #[must_use]
    pub fn price(&self) -> Option<Usd> {
        match self {
            Self::Answered { price, .. } => *price,
            Self::Unknown { .. } => None,
        }
    }
}

impl Origin {
    /// The resources that a path belongs to, one for each method: those that name the path itself, else those of the
    /// most specific template.
    #[must_use]
    pub fn route(&self, path: &str) -> Vec<&Resource> {
        let matching: Vec<&Resource> =
            self.resources.iter().filter(|resource| discovery::matches(&resource.path, path)).collect();
        let parameters = |resource: &&Resource| resource.path.matches('{').count();
        let fewest = matching.iter().map(parameters).min();
        matching.into_iter().filter(|resource| Some(parameters(resource)) == fewest).collect()
    }

    /// The worst that was found.
    #[must_use]
    pub fn worst(&self) -> Option<Severity> {
        self.findings.iter().map(|finding| finding.severity).max()
    }

    /// What is wrong with an answer to a request that somebody else has made, by itself and beside what is advertised
    /// here. `mpp` tells whether MPP is offered as well, where that is known.
    #[must_use]
    pub fn judge(
        &self,
        method: &str,
        url: &Url,
        status: u16,
        challenge: Option<Result<&Challenge, &ProtocolError>>,
        mpp: Option<bool>,
        registry: &Registry,
    ) -> Vec<Finding> {
        let route = self.route(url.path());
        let resource = route.into_iter().find(|resource| resource.method == method);
        let key = resource.map(|resource| resource.key.as_str());
        // What is not there may be this city, or this user; only a path without parameters is missing itself.
        let made_up = resource.is_some_and(|resource| resource.path.contains('{'));
        let advertised = advertised(resource, method, url, made_up);
        let found = discovery::compare(&advertised, status, challenge, mpp, registry);
        found.into_iter().map(|finding| key.map_or(finding.clone(), |key| finding.about(key))).collect()
    }

    /// Adds findings; the worst stand first, and of equals the earlier.
    pub(crate) fn find(&mut self, findings: impl IntoIterator<Item = Finding>) {
        self.findings.extend(findings);
        self.findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    }
}

/// What is said of a request.
pub(crate) fn advertised<'a>(
    resource: Option<&'a Resource>,
    method: &'a str,
    url: &'a Url,
    made_up: bool,
) -> Advertised<'a> {
    Advertised {
        method,
        url,
        documented: resource.is_some(),
        made_up,
        auth: resource.and_then(|resource| resource.auth),
        price: resource.and_then(|resource| resource.price.as_ref()),
        protocols: resource.map(|resource| resource.protocols.as_slice()).unwrap_or_default(),
        offers: resource.map(|resource| resource.offers.as_slice()).unwrap_or_default(),
    }
}
