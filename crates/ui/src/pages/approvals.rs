//! What waits for a person, with its exact terms, and the person's word.

use std::sync::Arc;

use askama::Template;
use axum::Form;
use axum::extract::{Path, Query, State};
use axum::response::Redirect;
use farthing_ledger::{Approval, ApprovalFilter, ApprovalState};
use farthing_money::{BaseUnits, Registry};
use farthing_policy::json::Json;
use serde::Deserialize;

use super::{Frame, MOST_APPROVALS, Numbered, Problem, Shown, back, check, shown};
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
    waiting: Vec<View>,
    decided: Vec<View>,
}

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

/// Which one was decided just now.
#[derive(Deserialize)]
pub(crate) struct Done {
    #[serde(default)]
    done: Option<String>,
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
    Query(Done { done }): Query<Done>,
) -> Shown {
    let ledger = &shared.ledger;
    let filter = |pending| ApprovalFilter { pending, limit: Some(MOST_APPROVALS) };
    let waiting = ledger.approvals(filter(true)).await?;
    let mut decided = ledger.approvals(filter(false)).await?;
    decided.retain(|approval| approval.state != ApprovalState::Pending);
    let view = |approval: &Approval| View::of(approval, &shared.registry);
    let just_done = decided.iter().find(|approval| Some(&approval.id) == done.as_ref());
    shown(&ApprovalsPage {
        frame: Frame::around(&shared, &visitor, "approvals").await?,
        done: just_done.map(view),
        waiting: waiting.iter().map(view).collect(),
        decided: decided.iter().map(view).collect(),
    })
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
