//! Asking indexes who sells what.

use std::time::Duration;

use farthing_money::{Network, Usd};
use farthing_protocol::discovery::{Listed, Listing, MAX_DOCUMENT_BYTES};
use futures::StreamExt as _;
use http::Method;
use serde::Serialize;
use url::Url;

use crate::Discovery;
use crate::ask::{Question, printable};

/// Public indexes that need no key, as x402's documentation names them (`docs/extensions/bazaar.mdx`): Coinbase's Bazaar,
/// which searches, and PayAI's, which lists.
pub const DEFAULT_INDEXES: [&str; 2] =
    ["https://api.cdp.coinbase.com/platform/v2/x402", "https://facilitator.payai.network"];

/// How many resources are asked for at once where an index only lists them, and how many times.
const PAGE: usize = 100;
const MAX_PAGES: usize = 5;
/// How much longer than one request an index may take in all.
const PATIENCE: u32 = 3;

/// What is looked for.
#[derive(Debug, Clone)]
pub struct Query {
    /// Words.
    pub text: String,
    /// At most so many results.
    pub limit: usize,
    /// Only what is known to cost no more, on [`Self::network`] where one is asked for.
    pub max_price: Option<Usd>,
    /// Only what can be paid there. Prices are those of offers there.
    pub network: Option<Network>,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Found {
    /// The results: each index's best first, in turn.
    pub results: Vec<Hit>,
    /// The indexes that were asked, in their order.
    pub indexes: Vec<AskedIndex>,
}

/// One result.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Hit {
    /// What is listed.
    #[serde(flatten)]
    pub listed: Listed,
    /// The indexes that list it.
    pub sources: Vec<String>,
}

/// One index that was asked.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AskedIndex {
    /// Its address.
    pub index: String,
    /// `search` where it searched, `list` where its list was filtered here.
    pub way: &'static str,
    /// How many results it gave.
    pub found: usize,
    /// Whether it has more than it gave.
    pub partial: bool,
    /// Why it gave none.
    pub error: Option<String>,
}

/// An index's results, or why there are none.
struct Answered {
    way: &'static str,
    listed: Vec<Listed>,
    partial: bool,
    error: Option<String>,
}

impl Discovery {
    /// Asks several indexes at once. One that fails loses nobody else's results.
    pub async fn search(&self, query: &Query, indexes: &[Url]) -> Found {
        // Futures that are made before the stream is: of a closure over references the compiler cannot tell that what it
        // makes may move between threads.
        let asking: Vec<_> = indexes.iter().map(|index| self.ask_index(query, index)).collect();
        let asking = futures::stream::iter(asking);
        let answers: Vec<Answered> = asking.buffered(self.config().origins_at_once.max(1)).collect().await;
        let mut results = Vec::new();
        let mut asked = Vec::new();
        for (index, answered) in indexes.iter().zip(answers) {
            let index = shown(index);
            let wanted: Vec<Listed> =
                answered.listed.into_iter().filter_map(|listed| query.narrowed(listed)).collect();
            let Answered { way, partial, error, .. } = answered;
            asked.push(AskedIndex { index: index.clone(), way, found: wanted.len(), partial, error });
            results.push((index, wanted));
        }
        Found { results: in_turn(results, query.limit), indexes: asked }
    }

    async fn ask_index(&self, query: &Query, index: &Url) -> Answered {
        let most: Duration = self.config().timeout * PATIENCE;
        match tokio::time::timeout(most, self.search_or_list(query, index)).await {
            Ok(answered) => answered,
            Err(_) => {
                let error = Some(format!("no answer within {} s", most.as_secs()));
                Answered { way: "search", listed: Vec::new(), partial: false, error }
            }
        }
    }

    async fn search_or_list(&self, query: &Query, index: &Url) -> Answered {
        let limit = query.limit.to_string();
        let mut search = vec![("query", query.text.as_str()), ("limit", &limit)];
        if let Some(network) = &query.network {
            search.push(("network", network.as_str()));
        }
        let no_search = match self.page(index, "search", &search).await {
            Ok(Listing { resources, partial, .. }) => {
                return Answered { way: "search", listed: resources, partial, error: None };
            }
            Err(error) => error,
        };
        match self.list(query, index).await {
            Ok((listed, partial)) => Answered { way: "list", listed, partial, error: None },
            Err(no_list) => {
                let error = Some(format!("search: {no_search}; list: {no_list}"));
                Answered { way: "list", listed: Vec::new(), partial: false, error }
            }
        }
    }

    /// An index's list, a few pages of it, filtered and ordered here.
    async fn list(&self, query: &Query, index: &Url) -> Result<(Vec<Listed>, bool), String> {
        let (mut all, mut partial) = (Vec::new(), true);
        for page in 0..MAX_PAGES {
            let (limit, offset) = (PAGE.to_string(), (page * PAGE).to_string());
            let listing = self.page(index, "resources", &[("limit", &limit), ("offset", &offset)]).await;
            let listing = match listing {
                Ok(listing) => listing,
                Err(error) if page == 0 => return Err(error),
                Err(_) => break,
            };
            let full = listing.resources.len() + listing.left_out >= PAGE;
            let end = listing.total.is_some_and(|total| total <= ((page + 1) * PAGE) as u64);
            all.extend(listing.resources);
            if !full || end {
                partial = false;
                break;
            }
        }
        Ok((query.best_of(all), partial))
    }

    async fn page(&self, index: &Url, what: &str, query: &[(&str, &str)]) -> Result<Listing, String> {
        let mut url = index.clone();
        url.set_path(&format!("{}/discovery/{what}", index.path().trim_end_matches('/')));
        url.query_pairs_mut().clear().extend_pairs(query);
        let question =
            Question { url, method: Method::GET, accept: "application/json", most: MAX_DOCUMENT_BYTES + 1 };
        let answer = self.asker.ask(&question).await.map_err(|none| none.message)?;
        if !answer.status.is_success() {
            return Err(format!("it answered {}", answer.status));
        }
        Listing::read(&answer.body, &self.config().registry).map_err(|finding| finding.message)
    }
}

impl Query {
    /// A result, if one of its offers is within all limits at once: with the least price of those on the network that is
    /// asked for. What costs nobody knows what is not known to cost little.
    fn narrowed(&self, mut listed: Listed) -> Option<Listed> {
        if let Some(network) = &self.network {
            let mut there =
                listed.offers.iter().filter(|offer| offer.network.as_ref() == Some(network)).peekable();
            there.peek()?;
            listed.price = there.filter_map(|offer| offer.value).min();
        }
        let cheap = self.max_price.is_none_or(|max| listed.price.is_some_and(|price| price <= max));
        cheap.then_some(listed)
    }

    /// Those in which every word occurs, the best first.
    fn best_of(&self, all: Vec<Listed>) -> Vec<Listed> {
        let text = self.text.to_lowercase();
        let words: Vec<&str> = text.split_whitespace().collect();
        let mut scored: Vec<(usize, Listed)> =
            all.into_iter().filter_map(|listed| Some((score(&listed, &words)?, listed))).collect();
        scored.sort_by_key(|(score, _)| std::cmp::Reverse(*score));
        scored.into_iter().map(|(_, listed)| listed).collect()
    }
}

/// How well a result fits: a word in the name or a tag counts more than one in the description, and that more than one
/// in the address. `None` when a word is nowhere.
fn score(listed: &Listed, words: &[&str]) -> Option<usize> {
    let lower = |text: &Option<String>| text.as_deref().unwrap_or_default().to_lowercase();
    let names =
        format!("{} {} {}", lower(&listed.name), lower(&listed.tool), listed.tags.join(" ").to_lowercase());
    let (description, url) = (lower(&listed.description), listed.url.to_lowercase());
    let of = |word: &&str| {
        let score = 4 * usize::from(names.contains(*word))
            + 2 * usize::from(description.contains(*word))
            + usize::from(url.contains(*word));
        (score > 0).then_some(score)
    };
    words.iter().map(of).sum()
}

/// Each index's first, then each one's second; what several list stands once.
fn in_turn(results: Vec<(String, Vec<Listed>)>, limit: usize) -> Vec<Hit> {
    let longest = results.iter().map(|(_, listed)| listed.len()).max().unwrap_or(0);
    let mut hits: Vec<Hit> = Vec::new();
    for rank in 0..longest {
        for (index, listed) in &results {
            let Some(listed) = listed.get(rank) else { continue };
            match hits.iter_mut().find(|hit| same(&hit.listed, listed)) {
                Some(hit) if hit.sources.contains(index) => {}
                Some(hit) => hit.sources.push(index.clone()),
                None => hits.push(Hit { listed: listed.clone(), sources: vec![index.clone()] }),
            }
        }
    }
    hits.truncate(limit);
    hits
}

fn same(a: &Listed, b: &Listed) -> bool {
    let methods = a.method.as_ref().zip(b.method.as_ref());
    a.url == b.url && a.tool == b.tool && methods.is_none_or(|(a, b)| a == b)
}

/// An index's address without what may be a key in it.
fn shown(index: &Url) -> String {
    let mut url = index.clone();
    url.set_query(None);
    url.set_fragment(None);
    printable(url.as_str().trim_end_matches('/'))
}
