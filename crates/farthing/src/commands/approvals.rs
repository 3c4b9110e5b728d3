//! `farthing approvals`: what waits for a person, and the person's word. No agent's tool leads here.

use farthing_ledger::{Approval, ApprovalFilter, ApprovalState, Ledger, LedgerError};
use farthing_ui::{TermLine, term_lines};
use serde_json::json;

use super::freeze::person;
use crate::cli::ApprovalsCommand;
use crate::draw;
use crate::exit::{Code, Failure};
use crate::home::Home;
use crate::output::{BAD, DIM, GOOD, Output, STRONG, WARN, printable, table, time};
use crate::session::existing_ledger;

/// How many are listed where nothing is said and everything is meant.
const USUAL: u32 = 200;
/// How much of the terms a line shows.
const TERMS: usize = 100;

pub(crate) async fn run(home: &Home, command: &ApprovalsCommand, output: Output) -> Result<(), Failure> {
    let ledger = existing_ledger(&home.ledger())?;
    let done = match command {
        ApprovalsCommand::List { all, limit } => list(&ledger, *all, *limit, output).await,
        ApprovalsCommand::Show { id } => show(&ledger.approval(id).await.map_err(missing)?, output),
        ApprovalsCommand::Approve { id } => decide(&ledger, id, true, output).await,
        ApprovalsCommand::Deny { id } => decide(&ledger, id, false, output).await,
    };
    ledger.close().await?;
    done
}

async fn list(ledger: &Ledger, all: bool, limit: Option<u32>, output: Output) -> Result<(), Failure> {
    let limit = limit.or(all.then_some(USUAL));
    // One more than asked for tells whether there are more.
    let one_more = limit.map(|limit| limit.saturating_add(1));
    let pending = (!all).then_some(true);
    let filter = ApprovalFilter { pending, limit: one_more, ..ApprovalFilter::default() };
    let mut approvals = ledger.approvals(filter).await?;
    let most = limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
    let more = approvals.len() > most;
    approvals.truncate(most);
    if output.json {
        output.json(&json!({"approvals": approvals, "more": more}));
        return Ok(());
    }
    if approvals.is_empty() && !more {
        output.note("nothing waits for approval");
        return Ok(());
    }
    let rows: Vec<Vec<String>> = approvals.iter().map(row).collect();
    output.line(table(&["APPROVAL", "ASKED (UTC)", "GOOD UNTIL (UTC)", "STATE", "RULE", "TERMS"], &rows));
    if more {
        output.note(format!("{DIM}there are older ones: -n lists more{DIM:#}"));
    }
    Ok(())
}

fn row(approval: &Approval) -> Vec<String> {
    vec![
        approval.id.clone(),
        time(approval.created_at),
        time(approval.expires_at),
        approval.state.as_str().to_owned(),
        printable(&approval.rule),
        // Their beginning; `show` has them whole.
        draw::cut(&printable(&approval.terms), TERMS),
    ]
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
