//! The two documents that repeat OpenAPI's in other words: `/.well-known/x402` and `/llms.txt`.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::openapi::{METHODS, name};
use super::{Kind, Site};

/// The longest line about one operation, in characters.
const MAX_LINE_CHARS: usize = 400;

/// One operation of a document.
struct Operation<'a> {
    method: String,
    template: &'a str,
    of: &'a Value,
}

impl Operation<'_> {
    /// The prices of its offers; none where it is free.
    fn prices(&self) -> Option<Vec<&str>> {
        let offers = self.of.get("x-payment-info")?.get("offers")?.as_array()?;
        Some(offers.iter().filter_map(|offer| offer["description"].as_str()).collect())
    }

    fn summary(&self) -> &str {
        let said = |key| self.of.get(key).and_then(Value::as_str);
        let said = said("summary").or_else(|| said("description")).unwrap_or("");
        // What has no words of its own is called by its name.
        if said == name(&self.method, self.template) { "" } else { said }
    }
}

fn operations(document: &Map<String, Value>) -> Vec<Operation<'_>> {
    let paths = document.get("paths").and_then(Value::as_object).into_iter().flatten();
    paths
        .flat_map(|(template, item)| {
            METHODS.iter().filter_map(move |method| {
                Some(Operation { method: method.to_ascii_uppercase(), template, of: item.get(method)? })
            })
        })
        .collect()
}

/// `/.well-known/x402`: what costs something.
pub(super) fn x402(site: &Site, document: &Map<String, Value>) -> Value {
    let priced = operations(document).into_iter().filter(|operation| operation.prices().is_some());
    let resources: Vec<String> =
        priced.map(|operation| format!("{} {}", operation.method, site.url_of(operation.template))).collect();
    let mut told = json!({ "version": 1, "resources": resources });
    if let Some(guidance) = &site.guidance {
        told["instructions"] = json!(guidance);
    }
    told
}

/// `/llms.txt` (<https://llmstxt.org>): what is sold, and how to pay, for readers of text.
pub(super) fn llms(site: &Site, document: &Map<String, Value>) -> String {
    let info = |key: &str| document.get("info").and_then(|info| info.get(key)?.as_str());
    let mut text = format!("# {}\n", on_one_line(info("title").unwrap_or_default()));
    if let Some(description) = info("description") {
        section(&mut text, &format!("> {}", on_one_line(description)));
    }
    if let Some(guidance) = info("x-guidance") {
        section(&mut text, guidance.trim());
    }
    let (priced, free): (Vec<_>, Vec<_>) =
        operations(document).into_iter().partition(|operation| operation.prices().is_some());
    list(&mut text, "Priced calls", site, &priced);
    list(&mut text, "Free calls", site, &free);
    if !priced.is_empty() {
        section(&mut text, HOW_TO_PAY);
    }
    section(&mut text, "## More");
    // Writing into a string does not fail.
    let _ = write!(
        text,
        "\n- [OpenAPI]({}): every call with its schemas and prices\n",
        site.url_of(Kind::OpenApi.path())
    );
    text
}

const HOW_TO_PAY: &str = "\
## How to pay

Each priced call is paid by itself, in stablecoins, over x402 (https://x402.org): no account, no key. Send the request \
without a payment; the answer is 402 and names the price in the header PAYMENT-REQUIRED (version 2) and in the body \
(version 1). Sign one of the offers, and send the same request again with the payment in the header PAYMENT-SIGNATURE \
(version 2) or X-PAYMENT (version 1). What the 402 says counts. A call that fails is not charged, unless its offer says \
`paymentFlow: upfront`.";

fn section(text: &mut String, section: &str) {
    text.push('\n');
    text.push_str(section);
    text.push('\n');
}

fn list(text: &mut String, title: &str, site: &Site, operations: &[Operation<'_>]) {
    if operations.is_empty() {
        return;
    }
    section(text, &format!("## {title}"));
    text.push('\n');
    for operation in operations {
        let price = operation.prices().map(|prices| format!("{}. ", prices.join(" or "))).unwrap_or_default();
        let Operation { method, template, .. } = operation;
        let line = format!(
            "- [{method} {template}]({}): {price}{}",
            site.url_of(template),
            on_one_line(operation.summary())
        );
        let _ = writeln!(text, "{}", line.trim_end_matches([':', ' ']));
    }
}

/// What others wrote must not become a heading or a list of its own.
fn on_one_line(text: &str) -> String {
    let plain = text.chars().take(MAX_LINE_CHARS).map(|c| if c.is_control() { ' ' } else { c });
    plain.collect::<String>().split_whitespace().collect::<Vec<_>>().join(" ")
}
