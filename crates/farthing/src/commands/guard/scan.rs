//! `farthing guard scan`: a server's tools as a policy to be filled in.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use farthing_agent::guard::http::{ScanError, scan_http, scan_stdio};
use farthing_ambient::{Clock as _, SystemClock, causes};
use farthing_policy::Policy;
use farthing_policy::json::Json;
use serde_json::json;

use super::server_name;
use crate::cli::{ScanArgs, ServerArgs};
use crate::exit::{Code, Failure};
use crate::output::{GOOD, Output};

/// How wide a comment may become.
const WIDTH: usize = 100;

pub(super) fn run(args: &ScanArgs, output: Output) -> Result<(), Failure> {
    let runtime = super::runtime()?;
    let within = Duration::from_secs(args.timeout);
    let ServerArgs { upstream, headers, child } = &args.server;
    let tools = match upstream {
        Some(url) => runtime.block_on(scan_http(url, headers, within)),
        None => runtime.block_on(scan_stdio(child, within)),
    };
    runtime.shutdown_background();
    let mut tools = tools.map_err(failed)?;
    tools.sort_by(|a, b| name(a).cmp(name(b)));
    let text = scaffold(&tools, &server_name(&args.server))?;
    if let Some(file) = &args.output {
        write_new(file, &text)?;
    }
    match (&args.output, output.json) {
        (Some(file), true) => {
            output.json(&json!({"file": file.to_string_lossy(), "policy": null, "tools": tools.len()}));
        }
        (None, true) => output.json(&json!({"file": null, "policy": text, "tools": tools.len()})),
        (Some(file), false) => {
            output.note(format!("{GOOD}written{GOOD:#} {} with {} tools", file.display(), tools.len()));
        }
        (None, false) => output.line(text.trim_end()),
    }
    Ok(())
}

fn failed(error: ScanError) -> Failure {
    match error {
        ScanError::NoCommand => Failure::new(Code::Configuration, "no server is named")
            .hint("write its command after `--`, or its address after --upstream"),
        error => Failure::new(Code::Unreachable, causes(&error)),
    }
}

/// A policy that somebody has filled in is not written over.
fn write_new(file: &Path, text: &str) -> Result<(), Failure> {
    let broken =
        |error: std::io::Error| Failure::new(Code::Configuration, format!("{}: {error}", file.display()));
    if let Some(folder) = file.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(broken)?;
    }
    let mut new = std::fs::OpenOptions::new().write(true).create_new(true).open(file).map_err(broken)?;
    new.write_all(text.as_bytes()).map_err(broken)
}

fn name(tool: &Json) -> &str {
    tool.get("name").and_then(Json::as_str).unwrap_or_default()
}

/// The policy: every tool with what it says of itself, and no rule yet.
fn scaffold(tools: &[Json], server: &str) -> Result<String, Failure> {
    let mut text = format!(
        "# The {} tools of {}, as of {}. Every tool may be called until rules say otherwise.\n\
         # docs/policy.md explains every key; `farthing policy check` reads it again.\n\
         version: \"1\"\ndescription: {}\n\n# deny: only the tools below may be called\ndefault: allow\n\n",
        tools.len(),
        one_line(server),
        SystemClock.now().strftime("%Y-%m-%d"),
        Json::from(format!("policy for {server}")),
    );
    text.push_str(if tools.is_empty() { "tools: {}\n" } else { "tools:\n" });
    for tool in tools {
        let description = tool.get("description").and_then(Json::as_str).unwrap_or_default();
        for line in wrapped(&one_line(description)).iter().chain(&wrapped(&parameters(tool))) {
            writeln!(text, "  # {line}").ok();
        }
        writeln!(text, "  {}: {{rules: []}}", Json::from(name(tool))).ok();
    }
    text.push_str(
        "\n  # For all of them:\n  # \"*\":\n  #   rules:\n  #     - {name: pace, rate_limit: 60/60 seconds}\n  \
         #     - {name: loop, rate_limit: 5/60 minutes, each: call}\n",
    );
    // What servers say of themselves must not make it something else than it looks like.
    Policy::parse(&text).map_err(|error| Failure::new(Code::Unexpected, format!("the scaffold: {error}")))?;
    Ok(text)
}

/// `owner (string, required), repo (string)`: what is required first.
fn parameters(tool: &Json) -> String {
    let schema = tool.get("inputSchema");
    let properties = schema.and_then(|schema| schema.get("properties")).and_then(Json::as_object);
    let required =
        schema.and_then(|schema| schema.get("required")).and_then(Json::as_array).unwrap_or_default();
    let mut parameters: Vec<(bool, String)> = properties
        .into_iter()
        .flat_map(|properties| properties.iter())
        .map(|(name, property)| {
            let kind = property.get("type").and_then(Json::as_str).unwrap_or("any");
            let needed = required.iter().any(|required| required.as_str() == Some(name));
            let needed_word = if needed { ", required" } else { "" };
            (!needed, one_line(&format!("{name} ({kind}{needed_word})")))
        })
        .collect();
    parameters.sort();
    parameters.into_iter().map(|(_, text)| text).collect::<Vec<_>>().join(", ")
}

/// Text from outside in a comment: no line break and no control character ends it.
fn one_line(text: &str) -> String {
    let clean: String = text
        .chars()
        .take(2_000)
        .map(
            |c| if c.is_control() || c == '\u{2028}' || c == '\u{2029}' || c == '\u{feff}' { ' ' } else { c },
        )
        .collect();
    clean.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn wrapped(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= WIDTH => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_description_stays_a_comment() {
        let tool = Json::parse(
            br#"{"name":"a\": {rules: [{name: x, action: deny}]}\n  b","description":"x\n  evil: {rules: []}\r\u2028hide: [all]","inputSchema":{"properties":{"p\nq":{"type":"string"},"o":{}},"required":["p\nq"]}}"#,
        )
        .unwrap();
        let text = scaffold(&[tool], "server\nkill: true").unwrap();
        let policy = Policy::parse(&text).unwrap();
        assert!(!policy.hides("all") && policy.killed().is_none());
        assert_eq!(policy.explain().len(), 3, "{:?}", policy.explain());
        assert!(text.contains("# p q (string, required), o (any)"), "{text}");
    }
}
