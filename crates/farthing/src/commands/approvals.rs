//! `farthing approvals`: what waits for a person, and the person's word. No agent's tool leads here.

use farthing_ledger::{Approval, ApprovalFilter, ApprovalState, Ledger, LedgerError};
use farthing_policy::json::Json;
use serde_json::json;

use super::freeze::person;
use crate::cli::ApprovalsCommand;
use crate::exit::{Code, Failure};
use crate::home::Home;
use crate::output::{BAD, DIM, GOOD, Output, STRONG, WARN, printable, table, time};
use crate::session::existing_ledger;

pub(crate) async fn run(home: &Home, command: &ApprovalsCommand, output: Output) -> Result<(), Failure> {
    let ledger = existing_ledger(&home.ledger())?;
    let done = match command {
        ApprovalsCommand::List { all } => list(&ledger, *all, output).await,
        ApprovalsCommand::Show { id } => show(&ledger.approval(id).await.map_err(missing)?, output),
        ApprovalsCommand::Approve { id } => decide(&ledger, id, true, output).await,
        ApprovalsCommand::Deny { id } => decide(&ledger, id, false, output).await,
    };
    ledger.close().await?;
    done
}

async fn list(ledger: &Ledger, all: bool, output: Output) -> Result<(), Failure> {
    let approvals = ledger.approvals(ApprovalFilter { pending: !all, limit: Some(200) }).await?;
    if output.json {
        output.json(&json!({"approvals": approvals}));
        return Ok(());
    }
    if approvals.is_empty() {
        output.note("nothing waits for approval");
        return Ok(());
    }
    let rows: Vec<Vec<String>> = approvals
        .iter()
        .map(|approval| {
            vec![
                approval.id.clone(),
                time(approval.created_at),
                time(approval.expires_at),
                approval.state.as_str().to_owned(),
                printable(&approval.rule),
                shortened(&approval.terms),
            ]
        })
        .collect();
    output.line(table(&["APPROVAL", "ASKED (UTC)", "GOOD UNTIL (UTC)", "STATE", "RULE", "TERMS"], &rows));
    Ok(())
}

/// The beginning of the terms; `show` has them whole.
fn shortened(terms: &str) -> String {
    let terms = printable(terms);
    match terms.char_indices().nth(100) {
        Some((end, _)) => format!("{}…", &terms[..end]),
        None => terms,
    }
}

fn show(approval: &Approval, output: Output) -> Result<(), Failure> {
    if output.json {
        output.json(&json!(approval));
        return Ok(());
    }
    let style = match approval.state {
        ApprovalState::Pending => WARN,
        ApprovalState::Approved | ApprovalState::Used => GOOD,
        ApprovalState::Denied => BAD,
        ApprovalState::Expired => DIM,
    };
    let Approval { id, rule, terms, state, .. } = approval;
    output.line(format!("{STRONG}{id}{STRONG:#} {style}{}{style:#}", state.as_str()));
    let mut lines = vec![
        ("rule", printable(rule)),
        ("asked", format!("{} UTC", time(approval.created_at))),
        ("good until", format!("{} UTC", time(approval.expires_at))),
        ("policy", approval.policy_hash.clone()),
    ];
    lines.extend(approval.decided_by.as_ref().map(|by| ("decided by", printable(by))));
    lines.extend(approval.used_by.as_ref().map(|by| ("used by", by.clone())));
    for (name, value) in lines {
        output.line(format!("  {DIM}{name:<10}{DIM:#} {value}"));
    }
    output.line(format!("  {DIM}terms{DIM:#}"));
    output.line(pretty(terms));
    Ok(())
}

/// The terms, one part a line, every digit as it is, and nothing in it that a terminal would obey.
fn pretty(terms: &str) -> String {
    let Ok(json) = Json::parse(terms.as_bytes()) else { return format!("    {}", printable(terms)) };
    let mut lines = Vec::new();
    lines_of(&json, "", 2, &mut lines);
    lines.join("\n")
}

fn lines_of(json: &Json, name: &str, depth: usize, lines: &mut Vec<String>) {
    let indent = "  ".repeat(depth);
    match json {
        Json::Object(object) if !object.is_empty() => {
            lines.push(format!("{indent}{name}"));
            object
                .iter()
                .for_each(|(key, value)| lines_of(value, &format!("{}:", escaped(key)), depth + 1, lines));
        }
        Json::Array(items) if !items.is_empty() => {
            lines.push(format!("{indent}{name}"));
            items.iter().for_each(|item| lines_of(item, "-", depth + 1, lines));
        }
        value => lines.push(format!("{indent}{name} {}", escaped(&value.to_string()))),
    }
}

/// Text from outside, whole, with what does not print written out.
fn escaped(text: &str) -> String {
    text.chars()
        .flat_map(|c| if matches!(c, '"' | '\'' | '\\') { vec![c] } else { c.escape_debug().collect() })
        .collect()
}

async fn decide(ledger: &Ledger, id: &str, approve: bool, output: Output) -> Result<(), Failure> {
    let approval = ledger.approval(id).await.map_err(missing)?;
    ledger.decide_approval(id, approve, person()).await.map_err(missing)?;
    let decided = ledger.approval(id).await?;
    if output.json {
        output.json(&json!(decided));
        return Ok(());
    }
    let terms = printable(&approval.terms);
    match approve {
        true => output
            .line(format!("{GOOD}approved{GOOD:#}, once, until {} UTC: {terms}", time(decided.expires_at))),
        false => output.line(format!("{BAD}denied{BAD:#}, until {} UTC: {terms}", time(decided.expires_at))),
    }
    Ok(())
}

fn missing(error: LedgerError) -> Failure {
    match error {
        LedgerError::NotFound { .. } | LedgerError::WrongState { .. } => {
            Failure::new(Code::Configuration, error).hint("`farthing approvals list --all` lists them")
        }
        error => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_are_shown_whole_and_harmless() {
        let text = pretty(
            "{\"arguments\":{\"cents\":100000000000000000000001,\"to\":\"a\u{202e}b\",\"list\":[1,{\"x\":null}]},\"tool\":\"pay\"}",
        );
        assert!(
            text.contains("cents: 100000000000000000000001") && text.contains("to: \"a\\u{202e}b\""),
            "{text}"
        );
        assert!(text.contains("tool: \"pay\"") && text.contains("x: null"), "{text}");
    }
}
