//! What an index answers: `GET /discovery/search` and `GET /discovery/resources`.

use farthing_money::{BaseUnits, Network, Registry, Usd};
use serde::Serialize;
use serde_json::Value;
use url::Url;

use super::node::{self, Findings, Node, cut};
use super::schema::Budget;
use super::{Bazaar, Finding, Input, Output};

/// The most resources that are read of one answer.
const MAX_RESOURCES: usize = 1_000;
/// The most offers that are read of one resource.
const MAX_OFFERS: usize = 50;
/// The most characters that are kept of an address, a name, and a description.
const ADDRESS: usize = 2_000;
const NAME: usize = 200;
const DESCRIPTION: usize = 1_000;

/// One answer of an index.
#[derive(Debug, Clone, PartialEq)]
pub struct Listing {
    /// What it lists, in its order.
    pub resources: Vec<Listed>,
    /// Whether the index says that there are more.
    pub partial: bool,
    /// How many there are in all, where it says so.
    pub total: Option<u64>,
    /// How many entries there were that name nothing that can be called.
    pub left_out: usize,
}

/// A resource as an index lists it. Nothing of it is certain: the live 402 has the last word.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Listed {
    /// Its address.
    pub url: String,
    /// `http` or `mcp`.
    pub kind: String,
    /// Upper case, where it is said.
    pub method: Option<String>,
    /// The tool's name, for MCP.
    pub tool: Option<String>,
    /// The service's name.
    pub name: Option<String>,
    /// For people.
    pub description: Option<String>,
    /// What it is about.
    pub tags: Vec<String>,
    /// The least that a call costs, of the offers whose token is known; of a search on one network, of the offers there.
    pub price: Option<Usd>,
    /// The ways of paying.
    pub offers: Vec<ListedOffer>,
    /// What it takes.
    pub input: Option<Input>,
    /// What it gives.
    pub output: Option<Output>,
    /// When the index saw it last: a time, or Unix seconds, as the index writes it.
    pub last_updated: Option<String>,
}

/// One way of paying, as an index lists it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ListedOffer {
    /// `exact`.
    pub scheme: Option<String>,
    /// The chain.
    pub network: Option<Network>,
    /// The token.
    pub asset: Option<String>,
    /// Base units of it.
    pub amount: Option<BaseUnits>,
    /// Who is paid.
    pub pay_to: Option<String>,
    /// What the amount is worth, if the token is known.
    pub value: Option<Usd>,
}

impl Listing {
    /// Reads an answer of either kind: a search has `resources`, a list has `items`.
    ///
    /// # Errors
    /// A [`Finding`] when it is too long, no JSON, or has neither.
    pub fn read(bytes: &[u8], registry: &Registry) -> Result<Self, Finding> {
        const ANSWER: &str = "answer";
        let mut findings = Findings::of(ANSWER);
        let value = node::json(bytes, &mut findings)?;
        let root = Node::root(&value);
        let key = ["resources", "items"].into_iter().find(|key| value.get(key).is_some_and(Value::is_array));
        let key = key.ok_or_else(|| {
            Finding::new(
                super::Code::MissingField,
                ANSWER,
                "there is no list `resources` and no list `items`",
            )
        })?;
        let entries = root.items(key, &mut findings);
        let mut budget = Budget::default();
        let listed = |entry: &Node<'_>| Listed::read(entry, registry, &mut budget, &mut findings);
        let resources: Vec<_> = entries.iter().take(MAX_RESOURCES).filter_map(listed).collect();
        Ok(Self {
            partial: value.get("partialResults") == Some(&Value::Bool(true)),
            total: value.pointer("/pagination/total").and_then(Value::as_u64),
            left_out: entries.len() - resources.len(),
            resources,
        })
    }
}

impl Listed {
    fn read(
        entry: &Node<'_>,
        registry: &Registry,
        budget: &mut Budget,
        findings: &mut Findings,
    ) -> Option<Self> {
        let mut text = |key, most| entry.text(key, most, findings);
        let url = text("resource", ADDRESS).and_then(|address| callable(&address))?;
        let kind = text("type", NAME).unwrap_or_else(|| "http".to_owned());
        let (name, description) = (text("serviceName", NAME), text("description", DESCRIPTION));
        let accepts = entry.items("accepts", findings);
        let accepts: Vec<&Value> = accepts.iter().take(MAX_OFFERS).map(|offer| offer.value).collect();
        let offers: Vec<_> = accepts.iter().map(|offer| ListedOffer::read(offer, registry)).collect();
        let in_v1 = |key: &'static str| accepts.iter().find_map(move |offer| offer.get(key));
        let described = || in_v1("description")?.as_str().filter(|text| !text.is_empty());
        let extensions = entry.value.get("extensions");
        let bazaar = extensions.and_then(|extensions| Bazaar::of_extensions_within(extensions, budget));
        let in_v1_schema = || Bazaar::of_output_schema_within(in_v1("outputSchema")?, budget);
        let bazaar = bazaar.or_else(in_v1_schema).unwrap_or_default();
        Some(Self {
            url,
            kind,
            method: bazaar.method,
            tool: bazaar.tool,
            name,
            description: description.or_else(|| described().map(|text| cut(text, DESCRIPTION))),
            tags: super::operation::names(entry, "tags", findings),
            price: offers.iter().filter_map(|offer| offer.value).min(),
            offers,
            input: Some(bazaar.input).filter(|input| !input.is_empty()),
            output: Some(bazaar.output).filter(|output| !output.is_empty()),
            last_updated: entry.get("lastUpdated").and_then(|at| written(at.value)),
        })
    }
}

/// A web address without credentials in it.
fn callable(address: &str) -> Option<String> {
    let url = Url::parse(address).ok()?;
    let plain =
        matches!(url.scheme(), "http" | "https") && url.username().is_empty() && url.password().is_none();
    plain.then(|| url.into())
}

fn written(time: &Value) -> Option<String> {
    match time {
        Value::String(text) => Some(cut(text, 40)),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

impl ListedOffer {
    /// Versions 1 and 2 name the amount differently. What cannot be read is left out: it is only a list.
    fn read(offer: &Value, registry: &Registry) -> Self {
        let text = |key: &str| offer.get(key).and_then(Value::as_str).map(|text| cut(text, NAME));
        let network = text("network").and_then(|network| network.parse::<Network>().ok());
        let amount = text("amount").or_else(|| text("maxAmountRequired"));
        let amount = amount.and_then(|amount| BaseUnits::from_digits(&amount).ok());
        let asset = text("asset");
        let known = network.as_ref().zip(asset.as_ref());
        let known = known.and_then(|(network, asset)| registry.get(network, asset).ok());
        let value = known.zip(amount).and_then(|(asset, amount)| asset.value(amount).ok());
        Self { scheme: text("scheme"), network, asset, amount, pay_to: text("payTo"), value }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn both_answers_and_both_versions_are_read() {
        let usdc = "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913";
        let v1 = json!({"scheme": "exact", "network": "base", "maxAmountRequired": "1000", "asset": usdc,
            "description": "In v1", "outputSchema": {"input": {"type": "http", "method": "POST"}}});
        let v2 = json!({"scheme": "exact", "network": "eip155:8453", "amount": "2500", "asset": usdc});
        let entry = json!({"resource": "https://a.example/x", "type": "http", "x402Version": 2,
            "accepts": [v2, v1], "lastUpdated": 1703123456, "tags": ["weather", 7]});
        for key in ["resources", "items"] {
            let answer = json!({"x402Version": 2, key: [entry, {"resource": "javascript:alert(1)"}, 7],
                "partialResults": true, "pagination": {"total": 9}});
            let listing = Listing::read(answer.to_string().as_bytes(), &Registry::builtin()).unwrap();
            assert_eq!((listing.partial, listing.total, listing.left_out), (true, Some(9), 2));
            let [listed] = listing.resources.as_slice() else { panic!("{listing:?}") };
            assert_eq!(listed.price.unwrap().to_string(), "$0.001");
            assert_eq!(listed.method.as_deref(), Some("POST"));
            assert_eq!(listed.description.as_deref(), Some("In v1"));
            assert_eq!(listed.last_updated.as_deref(), Some("1703123456"));
            assert_eq!(listed.tags, ["weather"]);
        }
    }

    #[test]
    fn prices_of_unknown_tokens_and_broken_amounts_are_no_prices() {
        let offer = |amount: Value, asset: &str| json!({"network": "base", "amount": amount, "asset": asset});
        let usdc = "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913";
        let offers = [
            offer(json!("1"), "0x0000000000000000000000000000000000000001"),
            offer(json!("1e3"), usdc),
            offer(json!("-1"), usdc),
            offer(json!(0.5), usdc),
            offer(json!("9".repeat(80)), usdc),
        ];
        let answer = json!({"items": [{"resource": "https://a.example/", "accepts": offers}]});
        let listing = Listing::read(answer.to_string().as_bytes(), &Registry::builtin()).unwrap();
        assert_eq!(listing.resources[0].price, None);
        assert_eq!(listing.resources[0].offers.len(), 5);
    }

    #[test]
    fn something_else_is_no_answer() {
        for text in ["", "{}", "[]", "<html>", r#"{"items": {}}"#] {
            assert!(Listing::read(text.as_bytes(), &Registry::builtin()).is_err(), "{text}");
        }
    }
}
