//! The tools: what they are called, what they take and give, what they do to the world.

use std::sync::{Arc, LazyLock};

use rmcp::handler::server::tool::{schema_for_input, schema_for_output};
use rmcp::model::{JsonObject, Tool, ToolAnnotations};
use rmcp::schemars::transform::{RecursiveTransform, Transform as _};
use rmcp::schemars::{JsonSchema, Schema};
use serde_json::{Map, Value, json};

use super::input::{CallArgs, DiscoverArgs, HistoryArgs, NoArgs, PurchaseArgs, SearchArgs};
use super::listed::{Discovered, Searched};
use super::output::{Balances, Budgets, Called, Checked, Fund, History};
use super::trouble::Trouble;

/// What a tool does to the world.
#[derive(Clone, Copy)]
enum Effect {
    /// It looks at the wallet.
    LooksInside,
    /// It asks somebody else, and changes nothing.
    LooksOutside,
    /// It asks for what is paid already, and keeps it.
    Fetches,
    /// It spends money.
    Spends,
}

/// All tools, made once.
pub(super) fn all() -> &'static [Tool] {
    static TOOLS: LazyLock<Vec<Tool>> = LazyLock::new(make);
    &TOOLS
}

fn make() -> Vec<Tool> {
    [looking(), buying(), books()].concat()
}

fn looking() -> Vec<Tool> {
    vec![
        tool::<SearchArgs, Searched>(
            "search",
            "Search for APIs",
            "Find paid APIs by what they do, in the indexes that the wallet's owner has configured. Gives addresses and prices, \
             as listed.",
            Effect::LooksOutside,
        ),
        tool::<DiscoverArgs, Discovered>(
            "discover",
            "Discover a provider",
            "List what a provider sells: routes with prices, from its own documents. With `path`, one route with the schemas \
             of what it takes and gives.",
            Effect::LooksOutside,
        ),
        tool::<CallArgs, Checked>(
            "check",
            "Check the price",
            "Ask what one request would cost: what the provider's documents say, the live price and offers, what the \
             wallet's policy would say, and what is left of its budgets. Never pays. Only GET and HEAD, read-only tools of \
             MCP servers, and what the documents say is priced are asked for their live price: the rest might do something.",
            Effect::LooksOutside,
        ),
    ]
}

fn buying() -> Vec<Tool> {
    vec![
        tool::<CallArgs, Called>(
            "pay",
            "Call and pay",
            "Make one HTTP request and pay for it from the wallet if the server asks (402), within the wallet's policy. \
             Free requests are made too. Gives status, body and receipt. Long and binary bodies are saved to a file that \
             is named. If the outcome is unknown, do not call it again: use fetch_again with the purchase's id.",
            Effect::Spends,
        ),
        tool::<PurchaseArgs, Called>(
            "fetch_again",
            "Get a paid answer again",
            "Give the body of an earlier purchase again, by the purchase's id: from disk, else from the seller with the same \
             payment. Never pays anew. If the call had a body that is asked for, give the same again.",
            Effect::Fetches,
        ),
    ]
}

fn books() -> Vec<Tool> {
    vec![
        tool::<NoArgs, Balances>(
            "balance",
            "Balance",
            "What the wallet holds, network by network. Asks the chains.",
            Effect::LooksOutside,
        ),
        tool::<NoArgs, Budgets>(
            "budget",
            "Budget",
            "What may still be spent: every budget and rate, what is left of it, and when there is more. Only a person can \
             change them.",
            Effect::LooksInside,
        ),
        tool::<HistoryArgs, History>(
            "history",
            "Purchases",
            "What was bought, newest first, with state, price and transaction.",
            Effect::LooksInside,
        ),
        tool::<NoArgs, Fund>(
            "fund",
            "Add funds",
            "Where a person can send USDC to fund the wallet.",
            Effect::LooksInside,
        ),
    ]
}

fn tool<I: JsonSchema + 'static, O: JsonSchema + 'static>(
    name: &'static str,
    title: &'static str,
    description: &'static str,
    effect: Effect,
) -> Tool {
    let input = schema_for_input::<I>().unwrap_or_default();
    let output = or_trouble(&schema_for_output::<O>());
    Tool::new(name, description, Arc::new(portable((*input).clone())))
        .with_title(title)
        .with_raw_output_schema(Arc::new(portable(output)))
        .with_annotations(annotations(title, effect))
}

fn annotations(title: &str, effect: Effect) -> ToolAnnotations {
    let hints = ToolAnnotations::with_title(title);
    match effect {
        Effect::LooksInside => hints.read_only(true).open_world(false),
        Effect::LooksOutside => hints.read_only(true).open_world(true),
        // It writes a file, and asking twice changes nothing more.
        Effect::Fetches => hints.read_only(false).destructive(false).idempotent(true).open_world(true),
        // Money that is spent does not come back.
        Effect::Spends => hints.read_only(false).destructive(true).idempotent(false).open_world(true),
    }
}

/// A schema that the result of a tool fits, and what is said when there is none: clients hold both against it.
fn or_trouble(output: &JsonObject) -> JsonObject {
    let mut schema = output.clone();
    let required = schema.remove("required").unwrap_or_else(|| json!([]));
    let trouble = schema_for_output::<Trouble>();
    let mut trouble = (*trouble).clone();
    trouble.remove("$schema");
    let definitions = trouble.remove("$defs");
    insert_all(&mut schema, "$defs", definitions);
    insert_all(&mut schema, "properties", Some(json!({"error": trouble})));
    schema.insert("anyOf".to_owned(), json!([{"required": required}, {"required": ["error"]}]));
    schema
}

/// The same in what every client takes: some know no lists of types, and some complain about formats that are Rust's.
fn portable(schema: JsonObject) -> JsonObject {
    let mut schema = Schema::from(schema);
    RecursiveTransform(plain).transform(&mut schema);
    schema.as_object().cloned().unwrap_or_default()
}

fn plain(schema: &mut Schema) {
    let rusts = |format: &Value| format.as_str().is_some_and(|format| format.starts_with("uint"));
    if schema.get("format").is_some_and(rusts) {
        schema.remove("format");
    }
    // What there is not is left out; nothing is ever null.
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|kind| kind != "null");
        if let [one] = &types[..] {
            let one = one.clone();
            schema.insert("type".to_owned(), one);
        }
    }
    if let Some(Value::Array(ways)) = schema.get_mut("anyOf") {
        ways.retain(|way| way.get("type") != Some(&json!("null")));
        if let [Value::Object(one)] = &ways[..] {
            let one = one.clone();
            schema.remove("anyOf");
            one.into_iter().for_each(|(key, value)| drop(schema.insert(key, value)));
        }
    }
}

/// Adds to the object that stands under a key.
fn insert_all(schema: &mut Map<String, Value>, key: &str, more: Option<Value>) {
    let Some(Value::Object(more)) = more else { return };
    let entry = schema.entry(key).or_insert_with(|| json!({}));
    if let Value::Object(known) = entry {
        known.extend(more);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_spends_says_so() {
        for tool in all() {
            let hints = tool.annotations.as_ref().unwrap();
            assert_eq!(
                hints.read_only_hint == Some(false),
                ["pay", "fetch_again"].contains(&&*tool.name),
                "{}",
                tool.name
            );
            assert_eq!(hints.destructive_hint == Some(true), tool.name == "pay", "{}", tool.name);
        }
    }

    #[test]
    fn every_schema_is_an_object_that_refuses_what_it_does_not_know() {
        for tool in all() {
            let input = &tool.input_schema;
            assert_eq!(input.get("type"), Some(&json!("object")), "{}", tool.name);
            assert_eq!(input.get("additionalProperties"), Some(&json!(false)), "{}", tool.name);
            let output = tool.output_schema.as_ref().unwrap();
            assert_eq!(output.get("type"), Some(&json!("object")), "{}", tool.name);
            assert!(output.get("properties").and_then(|all| all.get("error")).is_some(), "{}", tool.name);
        }
    }

    #[test]
    fn no_schema_says_what_only_some_clients_take() {
        for tool in all() {
            let schemas = json!([tool.input_schema, tool.output_schema]).to_string();
            for word in ["\"null\"", "\"format\"", "\"type\":["] {
                assert!(!schemas.contains(word), "{}: {word} in {schemas}", tool.name);
            }
        }
    }
}
