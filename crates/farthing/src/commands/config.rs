//! `farthing config show`.

use serde_json::json;

use crate::exit::Failure;
use crate::output::{DIM, Output, STRONG};
use crate::session::Session;

pub(crate) fn show(session: &Session, output: Output) -> Result<(), Failure> {
    let home = session.home();
    let policy = session.policy()?;
    let files = [
        ("config", home.config()),
        ("policy", home.policy()),
        ("keys", session.key_file()),
        ("ledger", home.ledger()),
    ];
    let networks = session.config().networks();
    if output.json {
        let files: serde_json::Map<_, _> = files
            .iter()
            .map(|(name, path)| {
                ((*name).to_owned(), json!({"path": path.to_string_lossy(), "exists": path.exists()}))
            })
            .collect();
        let networks: Vec<_> = networks
            .keys()
            .map(|network| json!({"network": network, "endpoints": session.endpoint_names(network).unwrap_or_default()}))
            .collect();
        output.json(&json!({"home": home.folder().to_string_lossy(), "files": files, "networks": networks,
            "policy": {"hash": policy.hash(), "rules": policy.explain()}}));
        return Ok(());
    }
    output.line(format!("{STRONG}{}{STRONG:#}", home.folder().display()));
    for (name, path) in &files {
        let missing = match *name {
            _ if path.exists() => "",
            "keys" | "ledger" => " (not there)",
            _ => " (not there; defaults apply)",
        };
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        output.line(format!("  {DIM}{name:<8}{DIM:#} {file}{DIM}{missing}{DIM:#}"));
    }
    output.line(format!("{STRONG}networks{STRONG:#}"));
    for network in networks.keys() {
        let endpoints = session.endpoint_names(network)?.join(", ");
        output.line(format!("  {DIM}{:<13}{DIM:#} {endpoints}", network.display_name()));
    }
    output.line(format!("{STRONG}policy{STRONG:#} {DIM}{}{DIM:#}", policy.hash()));
    for rule in policy.explain() {
        output.line(format!("  {rule}"));
    }
    Ok(())
}
