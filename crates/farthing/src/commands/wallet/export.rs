//! `farthing wallet export`.

use std::io::IsTerminal as _;
use std::path::Path;

use farthing_ambient::causes;
use farthing_keystore::{Keys, Phrase};
use serde_json::json;
use zeroize::Zeroizing;

use crate::cli::ExportArgs;
use crate::commands::person::{is_there, typed_unlock, yes};
use crate::exit::{Code, Failure};
use crate::output::{DIM, GOOD, Output, WARN, printable};
use crate::session::Session;

/// What is given out.
struct Secret {
    what: &'static str,
    text: Zeroizing<String>,
}

pub(super) fn run(session: &Session, args: &ExportArgs, output: Output) -> Result<(), Failure> {
    let keystore = session.keystore()?;
    match &args.to_file {
        Some(file) => {
            let keys = if args.unattended { session.unlock(&keystore)? } else { typed_unlock(&keystore)? };
            write(&secret(&keys, args), file, output)
        }
        None => {
            ask(output)?;
            show(&secret(&typed_unlock(&keystore)?, args), output);
            Ok(())
        }
    }
}

fn secret(keys: &Keys, args: &ExportArgs) -> Secret {
    match keys.phrase().filter(|_| !args.key).map(Phrase::words) {
        Some(text) => Secret { what: "phrase", text },
        None => Secret { what: "key", text: keys.evm_hex() },
    }
}

/// Only a person sees it, and on a terminal: what goes into a pipe ends up in a log.
fn ask(output: Output) -> Result<(), Failure> {
    if output.json || !is_there() || !std::io::stdout().is_terminal() {
        let what = "the key is shown on a terminal only, and to somebody who types the passphrase";
        return Err(
            Failure::new(Code::Configuration, what).hint("--to-file FILE writes it to a file of yours")
        );
    }
    output.warn("whoever sees it has the money: cameras, screen sharing, and shells that log included");
    if yes("Show it?")? {
        return Ok(());
    }
    Err(Failure::new(Code::Refused, "it was not shown: you did not say yes"))
}

fn show(secret: &Secret, output: Output) {
    output.line(secret.text.as_str());
    output.note(format!(
        "{WARN}Clear the screen{WARN:#} when you have written it down. {DIM}This is the {}.{DIM:#}",
        secret.what
    ));
}

fn write(secret: &Secret, file: &Path, output: Output) -> Result<(), Failure> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(secret.text.len() + 1));
    bytes.extend_from_slice(secret.text.as_bytes());
    bytes.push(b'\n');
    let written = farthing_keystore::secret_file(file, &bytes);
    written.map_err(|error| {
        Failure::new(Code::Configuration, causes(&error)).hint("name a file that is not there yet")
    })?;
    let shown = file.to_string_lossy();
    if output.json {
        output.json(&json!({"exported": secret.what, "file": shown}));
    } else {
        output.line(format!("{GOOD}wrote{GOOD:#} the {} to {}", secret.what, printable(&shown)));
    }
    Ok(())
}
