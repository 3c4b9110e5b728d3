//! discovery.json: what `@agentcash/discovery` reads of a document, and what `@x402/extensions` writes into a 402.

use farthing_money::{Decimal, Registry};
use farthing_protocol::discovery::{Bazaar, Document, Input, Operation, PriceMode};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::common::{Differences, table};

const FILE: &str = include_str!("../../../../tests/golden/discovery.json");
const ORIGIN: &str = "https://api.example.com";

#[derive(Deserialize)]
struct Case {
    name: String,
    document: Value,
    found: bool,
    guidance: Option<String>,
    #[serde(rename = "ownershipProofs", default)]
    ownership_proofs: Vec<String>,
    endpoints: Vec<Endpoint>,
    warnings: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Endpoint {
    resource_key: String,
    auth_mode: Option<String>,
    price: Option<String>,
    #[serde(default)]
    protocols: Vec<String>,
    input_schema: Option<Value>,
    output_schema: Option<Value>,
}

fn cases() -> impl Iterator<Item = (Case, Document)> {
    table::<Case>(FILE, "documents").into_iter().map(|case| {
        let read = Document::read(case.document.to_string().as_bytes(), ORIGIN, &Registry::builtin());
        let document = read.unwrap_or_else(|finding| panic!("{}: {finding:?}", case.name));
        (case, document)
    })
}

/// Both lists of operations by their keys.
fn pairs<'a>(case: &'a Case, document: &'a Document) -> Vec<(&'a Endpoint, &'a Operation)> {
    let of = |endpoint: &Endpoint| {
        document.operations.iter().find(|operation| operation.key(ORIGIN) == endpoint.resource_key)
    };
    case.endpoints.iter().filter_map(|endpoint| Some((endpoint, of(endpoint)?))).collect()
}

#[test]
fn the_same_resources_are_found() {
    let differences = Differences(&[
        ("a relative server", "OpenAPI allows it: the path is a prefix"),
        ("no title", "what is missing of the head costs no operation"),
        ("one bad operation among good ones", "it costs no other"),
    ]);
    for (case, document) in cases() {
        let theirs: Vec<&str> = case.endpoints.iter().map(|endpoint| &*endpoint.resource_key).collect();
        let ours: Vec<String> = document.operations.iter().map(|operation| operation.key(ORIGIN)).collect();
        differences.check(&case.name, ours == theirs, (&ours, &theirs));
        assert!(case.found || theirs.is_empty(), "{}", case.name);
        assert_eq!(document.guidance, case.guidance, "{}", case.name);
        assert_eq!(document.ownership_proofs, case.ownership_proofs, "{}", case.name);
    }
}

#[test]
fn auth_modes_are_the_same() {
    let differences = Differences(&[
        ("a bearer key", "a bearer token is a key like any other"),
        ("a key or nothing", "the entries of `security` are alternatives: one of them needs no key"),
    ]);
    for (case, document) in cases() {
        for (theirs, ours) in pairs(&case, &document) {
            let ours = ours.auth.map(|auth| auth.as_str().to_owned());
            differences.check(&case.name, ours == theirs.auth_mode, (&ours, &theirs.auth_mode));
        }
    }
}

/// A price in the reference's words.
fn in_their_words(operation: &Operation) -> Option<String> {
    let price = operation.price.as_ref()?;
    let currency = &price.currency;
    match (price.mode, price.min, price.max) {
        (PriceMode::Fixed, Some(amount), _) => Some(format!("{amount} {currency}")),
        (_, Some(min), Some(max)) => Some(format!("{min}-{max} {currency}")),
        (_, Some(min), None) => Some(format!("from {min} {currency}")),
        (_, None, Some(max)) => Some(format!("up to {max} {currency}")),
        _ => None,
    }
}

/// Without zeros at the end of an amount.
fn plain(price: &str) -> String {
    let word = |word: &str| {
        let amounts =
            word.split('-').map(|amount| amount.parse::<Decimal>().map(|amount| amount.to_string()));
        amounts.collect::<Result<Vec<_>, _>>().map_or_else(|_| word.to_owned(), |amounts| amounts.join("-"))
    };
    price.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

#[test]
fn prices_are_the_same() {
    const NO_NUMBER: &str = "an amount is a decimal number in plain digits";
    const OFFERS: &str = "mpp-specs' list of offers is read";
    const OPEN: &str = "nothing is known of its price: that is not from 0 to 0";
    let differences = Differences(&[
        ("fixed with an exponent", NO_NUMBER),
        ("fixed and negative", NO_NUMBER),
        ("fixed and no number", NO_NUMBER),
        ("fixed with eighty digits", "more than there is of any money"),
        ("dynamic and reversed", "no price is between these"),
        ("an unknown mode", "an amount is there, and it is said that the mode is not known"),
        ("no protocols", "the price is there all the same"),
        ("flat quote", "no minimum is no minimum of 0"),
        ("flat quote without a maximum", OPEN),
        ("one offer in short, open", OPEN),
        ("one session in short", "the price of a unit is the least that is paid"),
        ("a list of one", OFFERS),
        ("a list of two prices", OFFERS),
        ("cents", OFFERS),
    ]);
    for (case, document) in cases() {
        for (theirs, ours) in pairs(&case, &document) {
            let (ours, theirs) = (in_their_words(ours), theirs.price.as_deref().map(plain));
            differences.check(&case.name, ours == theirs, (&ours, &theirs));
        }
    }
}

#[test]
fn protocols_are_the_same() {
    const PRICE: &str = "a price that cannot be read does not take the protocols along";
    const OFFERS: &str = "mpp-specs' list of offers is read";
    let differences = Differences(&[
        ("fixed without an amount", PRICE),
        ("fixed as a number", PRICE),
        ("an unknown mode", PRICE),
        ("a list of one", OFFERS),
        ("a list of two prices", OFFERS),
        ("cents", OFFERS),
        ("an unknown token", OFFERS),
    ]);
    for (case, document) in cases() {
        for (theirs, ours) in pairs(&case, &document) {
            let ours: Vec<&str> = ours.protocols.iter().map(|protocol| &*protocol.name).collect();
            differences.check(&case.name, ours == theirs.protocols, (&ours, &theirs.protocols));
        }
    }
}

/// The reference gives a body's schema alone, or the body's and a list of parameters as they stand.
fn input_in_their_words(input: &Input, theirs: &Value) -> Value {
    let Some(parameters) = theirs.get("parameters") else {
        return input.body.clone().unwrap_or_default();
    };
    let mut said = json!({"parameters": parameters});
    if let Some(body) = &input.body {
        said["requestBody"] = body.clone();
    }
    for parameter in parameters.as_array().unwrap() {
        let schema = if parameter["in"] == "path" { &input.path } else { &input.query };
        let property = &schema.as_ref().unwrap()["properties"][parameter["name"].as_str().unwrap()];
        assert_eq!(property["type"], parameter["schema"]["type"]);
        assert_eq!(property["description"], parameter["description"]);
    }
    said
}

#[test]
fn schemas_are_the_same() {
    let differences =
        Differences(&[("a server's prefix", "the reference does not find again what it lists there")]);
    let mut compared = 0;
    for (case, document) in cases() {
        for (theirs, ours) in pairs(&case, &document) {
            if let (Some(theirs), Some(input)) = (&theirs.input_schema, &ours.input) {
                assert_eq!(&input_in_their_words(input, theirs), theirs, "{}", case.name);
                compared += 1;
            }
            if let Some(theirs) = &theirs.output_schema {
                let ours = ours.output.as_ref().and_then(|output| output.schema.as_ref());
                assert_eq!(ours, Some(theirs), "{}", case.name);
                compared += 1;
            }
        }
        let prefix = case.endpoints.iter().any(|endpoint| endpoint.resource_key.contains("/v1/"));
        differences.check(&case.name, !prefix, &case.name);
    }
    assert_eq!(compared, 5);
}

/// The reference's codes beside ours.
const CODES: [(&str, &str); 8] = [
    ("OPENAPI_CONTACT_MISSING", "missing-contact"),
    ("L2_NO_PAID_ROUTES", "no-priced-operations"),
    ("L2_AUTH_MODE_MISSING", "missing-auth"),
    ("L2_PRICE_MISSING_ON_PAID", "missing-price"),
    ("L2_DYNAMIC_PRICE_INCOMPLETE", "price-without-max"),
    ("L2_PROTOCOLS_MISSING_ON_PAID", "missing-protocols"),
    ("L2_PAYMENT_INFO_LEGACY", "legacy-payment-info"),
    ("L2_MPP_MALFORMED", "malformed-protocol"),
];

#[test]
fn what_the_reference_warns_of_is_found() {
    const SHORT: &str = "mpp-specs says that the short form is as good as the list";
    let differences = Differences(&[
        ("fixed without an amount", "a price that cannot be read does not take the protocols along"),
        ("fixed as a number", "it is told what is wrong with the price, not that there is none"),
        ("an unknown mode", "it is told what is wrong with the price, not that there is none"),
        ("no protocols", "the price is there all the same"),
        ("one offer in short", SHORT),
        ("one offer in short, open", SHORT),
        ("one session in short", SHORT),
        ("a bearer key", "a bearer token is a key like any other"),
        ("a list of one", "mpp-specs' list of offers is read"),
        ("a list of two prices", "mpp-specs' list of offers is read"),
        ("cents", "mpp-specs' list of offers is read"),
        ("an unknown token", "mpp-specs' list of offers is read"),
    ]);
    for (case, document) in cases() {
        let codes: Vec<&str> = document.findings.iter().map(|finding| finding.code.as_str()).collect();
        let missed: Vec<_> = CODES
            .iter()
            .filter(|(theirs, ours)| case.warnings.iter().any(|code| code == theirs) && !codes.contains(ours))
            .collect();
        differences.check(&case.name, missed.is_empty(), (&missed, &codes));
    }
}

/// And what it says nothing of.
#[test]
fn what_the_reference_misses_is_found() {
    for (name, code) in [
        ("fixed with an exponent", "malformed-price"),
        ("fixed and negative", "malformed-price"),
        ("fixed with eighty digits", "malformed-price"),
        ("dynamic without a maximum", "price-without-max"),
        ("dynamic and reversed", "reversed-range"),
        ("price and offers that disagree", "prices-disagree"),
        ("guidance and proofs", "unverified-ownership"),
        ("an unknown token", "unknown-currency"),
        ("fixed in euro", "unknown-currency"),
        ("an unknown protocol", "unknown-protocol"),
    ] {
        let (_, document) = cases().find(|(case, _)| case.name == name).unwrap();
        let found = document.findings.iter().any(|finding| finding.code.as_str() == code);
        assert!(found, "{name}: {:?}", document.findings);
    }
    let (_, document) = cases().find(|(case, _)| case.name == "price and offers that agree").unwrap();
    let odd = document.findings.iter().find(|finding| finding.code.as_str().contains("price"));
    assert!(odd.is_none(), "{odd:?}");
}

#[derive(Deserialize)]
struct Declared {
    name: String,
    declared: Value,
    extensions: Value,
}

#[test]
fn a_402s_bazaar_extension_is_read() {
    for Declared { name, declared, extensions } in table::<Declared>(FILE, "bazaar") {
        let read = Bazaar::of_extensions(&extensions).unwrap_or_else(|| panic!("{name}"));
        assert_eq!(read.tool.as_deref(), declared["toolName"].as_str(), "{name}");
        assert_eq!(read.kind, if read.tool.is_some() { "mcp" } else { "http" }, "{name}");
        let said = declared.pointer("/inputSchema/properties");
        let input = &read.input;
        let schema = if input.body.is_some() { &input.body } else { &input.query };
        let properties = schema.as_ref().and_then(|schema| schema.get("properties"));
        assert_eq!(properties.filter(|all| *all != &json!({})), said, "{name}");
        assert_eq!(input.body_type.as_deref(), declared["bodyType"].as_str(), "{name}");
        assert_eq!(read.output.example.as_ref(), declared.pointer("/output/example"), "{name}");
        let path = input.path.as_ref().and_then(|schema| schema.get("properties"));
        assert_eq!(path, declared.pointer("/pathParamsSchema/properties"), "{name}");
    }
}
