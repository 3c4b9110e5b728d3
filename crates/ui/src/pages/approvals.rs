//! What waits for a person, with its exact terms, and the person's word.

use std::sync::Arc;

use askama::Template;
use axum::Form;
use axum::extract::{Path, Query, State};
use axum::response::Redirect;
use farthing_ledger::{Approval, ApprovalFilter, ApprovalState, Ledger, LedgerError};
use farthing_money::{BaseUnits, Registry};
use farthing_policy::json::Json;
use serde::Deserialize;

use super::{Frame, Numbered, Problem, Shown, back, check, shown};
use crate::guard::Entered;
use crate::server::Shared;
use crate::terms::{TermLine, term_lines};
use crate::words::{self, visible};

#[derive(Template)]
#[template(path = "approvals.html")]
struct ApprovalsPage {
    frame: Frame,
    /// The one that was decided just now.
    done: Option<View>,
    /// A page of what waits, the oldest first: it is over first.
    waiting: Vec<View>,
    /// Whether this page begins further down.
    is_later: bool,
    /// The last one of this page, where more wait after it.
    next: Option<String>,
    decided: Vec<View>,
    /// Whether more was decided than is shown.
    has_older: bool,
}

/// How many of them a page shows.
const PAGE: u32 = 50;

/// An approval as it is shown.
struct View {
    id: String,
    state: &'static str,
    /// What it is about in a few words; the terms say it exactly.
    title: String,
    rule: String,
    asked: String,
    /// Until when it can be decided, or the decision holds.
    until: String,
    by: String,
    terms: Vec<TermLine>,
    policy: String,
}

/// What is asked for.
#[derive(Deserialize)]
pub(crate) struct Asked {
    /// Which one was decided just now.
    #[serde(default)]
    done: Option<String>,
    /// After which one the page begins.
    #[serde(default)]
    after: Option<String>,
}

/// The form of a decision.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Decision {
    form: String,
    decision: Word,
}

/// The person's word.
#[derive(Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum Word {
    Approve,
    Deny,
}

pub(crate) async fn show(
    State(shared): State<Arc<Shared>>,
    Entered(visitor): Entered,
    Query(Asked { done, after }): Query<Asked>,
) -> Shown {
    let (is_later, ledger) = (after.is_some(), &shared.ledger);
    let waiting = ApprovalFilter { pending: Some(true), oldest_first: true, after, ..page() };
    let (waiting, more) = cut(ledger.approvals(waiting).await?);
    let decided = ApprovalFilter { pending: Some(false), ..page() };
    let (decided, has_older) = cut(ledger.approvals(decided).await?);
    let done = match done {
        Some(id) => just_done(ledger, &id).await?,
        None => None,
    };
    let view = |approval: &Approval| View::of(approval, &shared.registry);
    shown(&ApprovalsPage {
        frame: Frame::around(&shared, &visitor, "approvals").await?,
        done: done.as_ref().map(view),
        is_later,
        next: waiting.last().filter(|_| more).map(|last| last.id.clone()),
        waiting: waiting.iter().map(view).collect(),
        decided: decided.iter().map(view).collect(),
        has_older,
    })
}

/// One more than a page shows tells whether there is another.
fn page() -> ApprovalFilter {
    ApprovalFilter { limit: Some(PAGE + 1), ..ApprovalFilter::default() }
}

fn cut(mut found: Vec<Approval>) -> (Vec<Approval>, bool) {
    let most = usize::try_from(PAGE).unwrap_or(usize::MAX);
    let more = found.len() > most;
    found.truncate(most);
    (found, more)
}

/// The one that the address names; nothing where it was written by hand and there is none.
async fn just_done(ledger: &Ledger, id: &str) -> Result<Option<Approval>, Problem> {
    match ledger.approval(id).await {
        Ok(approval) => Ok(Some(approval).filter(|approval| approval.state != ApprovalState::Pending)),
        Err(LedgerError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

pub(crate) async fn decide(
    State(shared): State<Arc<Shared>>,
    Entered(visitor): Entered,
    Path(Numbered { id }): Path<Numbered>,
    Form(decision): Form<Decision>,
) -> Result<Redirect, Problem> {
    check(&visitor, &decision.form)?;
    let approve = decision.decision == Word::Approve;
    let approval = shared.ledger.approval(&id).await?;
    shared.ledger.decide_approval(&approval.id, approve, shared.person.clone()).await?;
    Ok(back(&visitor.root, &format!("/approvals?done={}", approval.id)))
}

impl View {
    fn of(approval: &Approval, registry: &Registry) -> Self {
        Self {
            id: visible(&approval.id),
            state: approval.state.as_str(),
            title: title(&approval.terms, registry),
            rule: visible(&approval.rule),
            asked: words::time(approval.created_at),
            until: words::time(approval.expires_at),
            by: approval.decided_by.as_deref().map(visible).unwrap_or_default(),
            terms: term_lines(&approval.terms),
            policy: visible(&approval.policy_hash),
        }
    }
}

/// `Pay $0.25 to api.example.com` or `Call bank/send`.
fn title(terms: &str, registry: &Registry) -> String {
    let Ok(Json::Object(terms)) = Json::parse(terms.as_bytes()) else { return "Something else".to_owned() };
    let text = |name: &str| terms.get(name).and_then(Json::as_str);
    if let (Some(server), Some(tool)) = (text("server"), text("tool")) {
        return visible(&format!("Call {server}/{tool}"));
    }
    let amount = || {
        let asset = registry.get(&text("network")?.parse().ok()?, text("asset")?).ok()?;
        Some(asset.format_units(BaseUnits::from_digits(text("amount")?).ok()?))
    };
    match (amount(), text("host")) {
        (Some(amount), Some(host)) => visible(&format!("Pay {amount} to {host}")),
        _ => "Pay what the terms say".to_owned(),
    }
}
