//! `farthing approvals`: what waits for a person, and the person's word. No agent's tool leads here.

use farthing_ledger::{Approval, ApprovalFilter, ApprovalState, Ledger, LedgerError};
use farthing_ui::{TermLine, term_lines};
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
    let lines = term_lines(terms).into_iter().map(|TermLine { depth, name, value }| {
        let name = if name.is_empty() { "-".to_owned() } else { format!("{name}:") };
        format!("{}{name} {}", "  ".repeat(depth + 2), value.unwrap_or_default()).trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
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
