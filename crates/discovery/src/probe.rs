//! Asking routes what they really charge.

use farthing_protocol::discovery::{self, Code, Finding, Input, LiveOffer};
use farthing_protocol::{Challenge, MAX_BODY_BYTES, ProtocolError, x402};
use futures::StreamExt as _;
use http::header;
use serde_json::Value;
use url::Url;

use crate::ask::{Answer, NoAnswer, Question};
use crate::origin::{self, Live, Origin, Resource};
use crate::{Discovery, Site};

/// What can be asked of a route.
struct Request {
    url: Url,
    /// Whether arguments had to be made up.
    made_up: bool,
}

/// What became of one resource.
struct Probed {
    live: Live,
    findings: Vec<Finding>,
}

impl Discovery {
    /// Asks an origin's routes for their live price, and compares. Only what a document lists under GET or HEAD is asked,
    /// unless [`crate::Config::all_methods`] is set; what is priced comes first, and no more routes are asked than
    /// [`crate::Config::max_probes`].
    pub async fn probe(&self, origin: &mut Origin) {
        let config = self.config();
        let mut order: Vec<usize> = (0..origin.resources.len()).collect();
        order.sort_by_key(|&index| !origin.resources[index].is_priced());
        let (readable, other): (Vec<_>, Vec<_>) =
            order.into_iter().partition(|&index| self.may_ask(&origin.resources[index]));
        let (asked, beyond) = readable.split_at(readable.len().min(config.max_probes));
        // As in `search`: made before the stream is, so that all of it may move between threads.
        let probing: Vec<_> =
            asked.iter().map(|&index| self.probe_one(&origin.origin, &origin.resources[index])).collect();
        let probing = futures::stream::iter(probing).buffered(config.probes_at_once.max(1));
        let probed: Vec<Probed> = probing.collect().await;
        let mut done: Vec<(usize, Probed)> = asked.iter().copied().zip(probed).collect();
        let why = format!("more than {} routes", config.max_probes);
        done.extend(beyond.iter().map(|&index| (index, origin.resources[index].not_asked(&why))));
        done.extend(other.into_iter().map(|index| {
            let resource = &origin.resources[index];
            (index, resource.not_asked(&format!("{} is never sent unasked", resource.method)))
        }));
        for (index, probed) in done {
            origin.resources[index].live = Some(probed.live);
            origin.find(probed.findings);
        }
    }

    /// What only reads may be asked by anybody. What does not, and costs nothing, would be done.
    fn may_ask(&self, resource: &Resource) -> bool {
        matches!(&*resource.method, "GET" | "HEAD") || (self.config().all_methods && resource.is_priced())
    }

    async fn probe_one(&self, site: &Site, resource: &Resource) -> Probed {
        let request = request(site, resource);
        let question = Question {
            url: request.url.clone(),
            method: resource.method.parse().unwrap_or_default(),
            accept: "application/json",
            most: MAX_BODY_BYTES,
        };
        match self.asker.ask(&question).await {
            Ok(answer) => self.judge(resource, &request, &answer),
            Err(NoAnswer { code, message }) => {
                let place = format!("{} {}", resource.method, request.url);
                let finding = Finding::new(code, place, message.clone()).about(&resource.key);
                Probed { live: Live::Unknown { why: message }, findings: vec![finding] }
            }
        }
    }

    fn judge(&self, resource: &Resource, request: &Request, answer: &Answer) -> Probed {
        let (registry, status) = (&self.config().registry, answer.status.as_u16());
        let challenge = (status == 402).then(|| challenge(answer));
        let mpp = answer.headers.get_all(header::WWW_AUTHENTICATE).iter();
        let mpp = mpp.filter_map(|value| value.to_str().ok()).any(discovery::asks_for_mpp);
        let advertised = origin::advertised(Some(resource), &resource.method, &request.url, request.made_up);
        let findings = discovery::compare(
            &advertised,
            status,
            challenge.as_ref().map(Result::as_ref),
            Some(mpp),
            registry,
        );
        let offers = challenge.and_then(Result::ok).map(|challenge| challenge.offers).unwrap_or_default();
        let offers: Vec<_> = offers.iter().map(|offer| LiveOffer::of(offer, registry)).collect();
        let live = Live::Answered {
            url: request.url.clone(),
            status,
            made_up: request.made_up,
            price: offers.iter().filter_map(|offer| offer.value).min(),
            offers,
        };
        Probed { live, findings: findings.into_iter().map(|finding| finding.about(&resource.key)).collect() }
    }
}

impl Resource {
    fn not_asked(&self, why: &str) -> Probed {
        let findings = match self.is_priced() {
            true => vec![Finding::new(Code::NotProbed, &self.key, why).about(&self.key)],
            false => Vec::new(),
        };
        Probed { live: Live::Unknown { why: why.to_owned() }, findings }
    }
}

fn challenge(answer: &Answer) -> Result<Challenge, ProtocolError> {
    Challenge::read(answer.headers.get(x402::PAYMENT_REQUIRED).map(|value| value.as_bytes()), &answer.body)
}

/// The resource's address, with its required arguments: examples where the document has some, else something made up.
fn request(site: &Site, resource: &Resource) -> Request {
    let input = resource.input.as_ref();
    let path = input.and_then(|input| input.path.as_ref());
    let mut made_up = false;
    let filled = discovery::fill(&resource.path, |name| {
        let (value, invented) = argument(path, name);
        made_up |= invented;
        Some(value)
    });
    let mut url = site.at(filled.as_deref().unwrap_or(&resource.path));
    for name in required(input) {
        let (value, invented) = argument(input.and_then(|input| input.query.as_ref()), name);
        made_up |= invented;
        url.query_pairs_mut().append_pair(name, &value);
    }
    Request { url, made_up }
}

/// The names of the query's required parameters.
fn required(input: Option<&Input>) -> impl Iterator<Item = &str> {
    let query = input.and_then(|input| input.query.as_ref());
    let names = query.and_then(|query| query.get("required")).and_then(Value::as_array);
    names.into_iter().flatten().filter_map(Value::as_str)
}

/// A parameter's value, and whether it is made up.
fn argument(schema: Option<&Value>, name: &str) -> (String, bool) {
    let property = schema.and_then(|schema| schema.get("properties")?.get(name));
    let given = property.and_then(|property| {
        let first = |key: &str| property.get(key)?.get(0);
        let example = property.get("example").or_else(|| first("examples"));
        example
            .or_else(|| property.get("default"))
            .or_else(|| first("enum"))
            .or_else(|| property.get("const"))
    });
    let text = match given {
        Some(Value::String(text)) if !matches!(text.as_str(), "" | "." | "..") => Some(text.clone()),
        Some(Value::Number(number)) => Some(number.to_string()),
        Some(Value::Bool(flag)) => Some(flag.to_string()),
        _ => None,
    };
    let number = matches!(
        property.and_then(|property| property.get("type")).and_then(Value::as_str),
        Some("integer" | "number")
    );
    let invented = if number { "1" } else { "example" };
    text.map_or_else(|| (invented.to_owned(), true), |text| (text, false))
}
