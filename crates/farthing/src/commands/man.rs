//! `farthing man` and `farthing completions`: what is made of the arguments.

use std::path::Path;

use clap::CommandFactory as _;
use serde_json::json;

use crate::cli::Cli;
use crate::exit::{Code, Failure};
use crate::output::{GOOD, Output, printable};

/// Prints the completions. Into memory first: `clap_complete` panics when it cannot write.
pub(crate) fn completions(shell: clap_complete::Shell, output: Output) {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "farthing", &mut script);
    let script = String::from_utf8_lossy(&script);
    match output.json {
        true => output.json(&json!({"shell": shell.to_string(), "script": script})),
        false => output.line(script.trim_end()),
    }
}

/// Prints the first page, or writes them all.
pub(crate) fn run(folder: Option<&Path>, output: Output) -> Result<(), Failure> {
    let Some(folder) = folder else {
        let mut page = Vec::new();
        let rendered = clap_mangen::Man::new(Cli::command()).render(&mut page);
        rendered.map_err(|error| Failure::new(Code::Unexpected, error))?;
        let page = String::from_utf8_lossy(&page);
        match output.json {
            true => output.json(&json!({"folder": null, "page": page})),
            false => output.line(page.trim_end()),
        }
        return Ok(());
    };
    let failed = |error: std::io::Error| {
        Failure::new(Code::Configuration, format!("{}: {error}", folder.display()))
            .hint("name a folder that you may write to")
    };
    std::fs::create_dir_all(folder).map_err(failed)?;
    clap_mangen::generate_to(Cli::command(), folder).map_err(failed)?;
    let shown = folder.to_string_lossy();
    if output.json {
        output.json(&json!({"folder": shown, "page": null}));
    } else {
        output.line(format!("{GOOD}wrote{GOOD:#} the manual pages to {}", printable(&shown)));
    }
    Ok(())
}
