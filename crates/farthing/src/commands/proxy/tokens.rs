//! `farthing proxy tokens`: who may call.

use std::fs::File;
use std::path::Path;

use farthing_agent::proxy::{KnownToken, Token, Tokens};
use farthing_ambient::{Clock as _, Entropy as _, OsEntropy, SystemClock, causes};
use farthing_keystore::{private_file, replace_private_file};
use serde_json::json;

use crate::agents::check_known;
use crate::cli::TokensCommand;
use crate::exit::{Code, Failure};
use crate::output::{GOOD, Output, STRONG, printable, table, time};
use crate::session::Session;

pub(super) fn run(session: &Session, command: &TokensCommand, output: Output) -> Result<(), Failure> {
    let path = session.home().proxy_tokens();
    match command {
        TokensCommand::Add { agent } => add(session, &path, agent, output),
        TokensCommand::List => {
            list(&load(&path)?, output);
            Ok(())
        }
        TokensCommand::Remove { id } => remove(&path, id, output),
    }
}

fn load(path: &Path) -> Result<Tokens, Failure> {
    Tokens::load(path).map_err(|error| Failure::new(Code::Configuration, error))
}

/// Waits until nobody else changes the file, and keeps everybody else waiting: what two write at once, one loses.
fn alone(path: &Path) -> Result<File, Failure> {
    let lock = path.with_extension("lock");
    let failed = |error| Failure::new(Code::Configuration, format!("{}: {error}", lock.display()));
    let mut options = File::options();
    options.create(true).truncate(false).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(&lock).map_err(failed)?;
    file.lock().map_err(failed)?;
    Ok(file)
}

fn add(session: &Session, path: &Path, agent: &str, output: Output) -> Result<(), Failure> {
    check_known(&session.policy()?, agent)?;
    let _alone = alone(path)?;
    let mut known = load(path)?;
    let no_entropy = |error| Failure::new(Code::Unexpected, error);
    let token = Token::generate(&OsEntropy).map_err(no_entropy)?;
    let mut random = [0; 4];
    OsEntropy.fill(&mut random).map_err(no_entropy)?;
    let id = format!("{:08x}", u32::from_be_bytes(random));
    known.tokens.push(KnownToken {
        id: id.clone(),
        agent: agent.to_owned(),
        sha256: token.digest(),
        made: SystemClock.now(),
    });
    write(path, &known)?;
    if output.json {
        output.json(&json!({"id": id, "agent": agent, "token": token.reveal()}));
        return Ok(());
    }
    output.note(format!("{GOOD}made{GOOD:#} token {id} for `{}`; it is shown this once:", printable(agent)));
    output.line(token.reveal());
    Ok(())
}

fn list(known: &Tokens, output: Output) {
    if output.json {
        let tokens: Vec<_> = known
            .tokens
            .iter()
            .map(|token| json!({"id": token.id, "agent": token.agent, "made": token.made}))
            .collect();
        return output.json(&json!({"tokens": tokens}));
    }
    if known.tokens.is_empty() {
        return output.note("there is no token; `farthing proxy tokens add AGENT` makes one");
    }
    let row = |token: &KnownToken| vec![printable(&token.id), printable(&token.agent), time(token.made)];
    let rows: Vec<_> = known.tokens.iter().map(row).collect();
    output.line(table(&["ID", "AGENT", "MADE (UTC)"], &rows));
}

fn remove(path: &Path, id: &str, output: Output) -> Result<(), Failure> {
    let _alone = alone(path)?;
    let mut known = load(path)?;
    let before = known.tokens.len();
    known.tokens.retain(|token| token.id != id);
    if known.tokens.len() == before {
        return Err(Failure::new(Code::Configuration, format!("there is no token `{}`", printable(id)))
            .hint("`farthing proxy tokens list` shows them"));
    }
    write(path, &known)?;
    if output.json {
        output.json(&json!({"removed": id}));
    } else {
        output.note(format!("{STRONG}{id}{STRONG:#} is not good any more"));
    }
    Ok(())
}

fn write(path: &Path, known: &Tokens) -> Result<(), Failure> {
    let text = serde_json::to_vec_pretty(known).map_err(|error| Failure::new(Code::Unexpected, error))?;
    let written = match path.exists() {
        true => replace_private_file(path, &text, &OsEntropy),
        false => private_file(path, &text, &OsEntropy),
    };
    written.map_err(|error| Failure::new(Code::Configuration, causes(&error)))
}
