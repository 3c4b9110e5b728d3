//! `farthing config show`.

use std::path::PathBuf;

use farthing_policy::Policy;
use serde_json::{Map, Value, json};

use crate::exit::Failure;
use crate::output::{DIM, Output, STRONG};
use crate::session::Session;

/// The wallet's files, by the names that they have here.
type Files = [(&'static str, PathBuf); 4];

pub(crate) fn show(session: &Session, output: Output) -> Result<(), Failure> {
    let (home, policy) = (session.home(), session.policy()?);
    let files = [
        ("config", home.config()),
        ("policy", home.policy()),
        ("keys", session.key_file()),
        ("ledger", home.ledger()),
    ];
    if output.json {
        output.json(&to_json(session, &files, &policy));
        return Ok(());
    }
    output.line(format!("{STRONG}{}{STRONG:#}", home.folder().display()));
    print_files(&files, output);
    print_networks(session, output)?;
    output.line(format!("{STRONG}policy{STRONG:#} {DIM}{}{DIM:#}", policy.hash()));
    policy.explain().iter().for_each(|rule| output.line(format!("  {rule}")));
    Ok(())
}

fn to_json(session: &Session, files: &Files, policy: &Policy) -> Value {
    let file = |(name, path): &(&str, PathBuf)| {
        ((*name).to_owned(), json!({"path": path.to_string_lossy(), "exists": path.exists()}))
    };
    let networks = session.config().networks();
    let networks = networks.keys().map(|network| {
        json!({"network": network, "endpoints": session.endpoint_names(network).unwrap_or_default()})
    });
    json!({
        "home": session.home().folder().to_string_lossy(), "files": files.iter().map(file).collect::<Map<_, _>>(),
        "networks": networks.collect::<Vec<_>>(), "policy": {"hash": policy.hash(), "rules": policy.explain()},
    })
}

fn print_files(files: &Files, output: Output) {
    for (name, path) in files {
        let missing = match *name {
            _ if path.exists() => "",
            "keys" | "ledger" => " (not there)",
            _ => " (not there; defaults apply)",
        };
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        output.line(format!("  {DIM}{name:<8}{DIM:#} {file}{DIM}{missing}{DIM:#}"));
    }
}

fn print_networks(session: &Session, output: Output) -> Result<(), Failure> {
    output.line(format!("{STRONG}networks{STRONG:#}"));
    for network in session.config().networks().keys() {
        let endpoints = session.endpoint_names(network)?.join(", ");
        output.line(format!("  {DIM}{:<13}{DIM:#} {endpoints}", network.display_name()));
    }
    Ok(())
}
