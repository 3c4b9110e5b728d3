//! `farthing search`.

use farthing_discovery::{Found, Hit, Query};
use serde_json::json;

use super::discover::discovery;
use crate::cli::SearchArgs;
use crate::config::index;
use crate::exit::{Code, Failure};
use crate::output::{DIM, Output, printable, table};
use crate::progress;
use crate::session::Session;

/// The most characters of a description in the table.
const DESCRIPTION: usize = 60;

pub(crate) async fn run(session: &Session, args: &SearchArgs, output: Output) -> Result<(), Failure> {
    let given = args.index.iter().map(|text| index(text, "--index"));
    let indexes = match args.index.is_empty() {
        true => session.config().indexes()?,
        false => given.collect::<Result<Vec<_>, _>>()?,
    };
    if indexes.is_empty() {
        return Err(Failure::new(Code::Configuration, "there is no index to ask")
            .hint("name one with --index, or under `indexes` in config.yaml"));
    }
    let max_price = args.max_price.map(|price| price.in_dollars()).transpose();
    let query = Query {
        text: args.query.join(" "),
        limit: args.limit.into(),
        max_price: max_price
            .map_err(|error| Failure::new(Code::Configuration, format!("--max-price: {error}")))?,
        network: args.network.clone(),
    };
    let discovery = discovery(session, args.timeout)?;
    let doing = || "asking the indexes".to_owned();
    let found = progress::shown(output, doing, discovery.search(&query, &indexes)).await;
    let ending = verdict(&found);
    if output.json {
        return output.json_ending(json!(found), ending);
    }
    print(&found, output);
    ending
}

/// An error when no index answered.
fn verdict(found: &Found) -> Result<(), Failure> {
    let errors: Vec<String> = found
        .indexes
        .iter()
        .filter_map(|asked| Some(format!("{}: {}", asked.index, printable(asked.error.as_deref()?))))
        .collect();
    match errors.len() == found.indexes.len() {
        true => Err(Failure::new(Code::Unreachable, format!("no index answered: {}", errors.join("; ")))),
        false => Ok(()),
    }
}

fn print(found: &Found, output: Output) {
    if !found.results.is_empty() {
        let rows: Vec<Vec<String>> = found.results.iter().map(row).collect();
        output.line(table(&["PRICE", "METHOD", "ADDRESS", "DESCRIPTION"], &rows));
    } else if found.indexes.iter().any(|asked| asked.error.is_none()) {
        output.note("nothing was found");
    }
    for asked in &found.indexes {
        match &asked.error {
            Some(error) => output.warn(format_args!("{} gave nothing: {}", asked.index, printable(error))),
            None => {
                let more = if asked.partial { ", and has more" } else { "" };
                output.note(format!("{DIM}{} of {}{more}{DIM:#}", asked.found, asked.index));
            }
        }
    }
}

fn row(hit: &Hit) -> Vec<String> {
    let listed = &hit.listed;
    let what =
        listed.name.iter().chain(&listed.description).map(String::as_str).collect::<Vec<_>>().join(": ");
    let what = printable(&what);
    let cut =
        what.char_indices().nth(DESCRIPTION).map_or(what.clone(), |(end, _)| format!("{}…", &what[..end]));
    let method = listed.method.as_deref().unwrap_or(if listed.kind == "mcp" { "MCP" } else { "?" });
    vec![
        listed.price.map_or_else(|| "?".to_owned(), |price| price.to_string()),
        printable(method),
        printable(&listed.url),
        cut,
    ]
}
