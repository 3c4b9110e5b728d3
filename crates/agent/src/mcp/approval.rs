//! Asking a person whether a payment may be made.
//!
//! The question goes to whoever sits in front of the client, by MCP's elicitation: as a request of ours up to revision
//! 2025-11-25, as an answer that asks for input since 2026-07-28. Where the client shows no questions, the agent is told
//! which command a person can run. The agent itself has no way to answer.

use std::sync::Arc;

use farthing_money::Registry;
use farthing_policy::{Denial, PendingApproval};
use rmcp::model::{
    BooleanSchema, ElicitRequest, ElicitRequestParams, ElicitResult, ElicitationAction, ElicitationSchema,
    InputRequest, InputRequiredResult, PrimitiveSchemaDefinition, ProtocolVersion,
};
use rmcp::service::RequestContext;
use rmcp::{RoleServer, ServiceError};
use serde_json::Value;

use super::desk::{Asked, Desk};
use super::record::digest;
use super::trouble::Trouble;

/// Who is recorded as the one who decided.
const BY: &str = "the client's user (elicitation)";
/// The question's name among the inputs, and that of its only field.
const APPROVE: &str = "approve";

/// What came of asking.
pub(super) enum Asking {
    /// The person has decided: the same call again goes through, once, or is told of their no.
    Decided,
    /// Nobody decided: the agent is told what is needed.
    Undecided(Trouble),
    /// The client has to put the question, and call again with the answer.
    Question(InputRequiredResult),
}

/// Asks, if the client can.
pub(super) async fn ask(
    desk: &Arc<Desk>,
    context: &RequestContext<RoleServer>,
    arguments: &str,
    trouble: Trouble,
) -> Asking {
    let can_ask = context.client_capabilities().and_then(|can| can.elicitation);
    let can_ask = can_ask.is_some_and(|can| can.form.is_some() || can.url.is_none());
    let Some((denial, pending)) = needed(&trouble).filter(|_| can_ask) else {
        return Asking::Undecided(trouble);
    };
    let question = match desk.config.ledger.approval(&pending.id).await {
        Ok(approval) => question(&denial.rule, &in_words(desk, &approval.terms)),
        Err(error) => return Asking::Undecided(error.into()),
    };
    let modern = context.protocol_version().is_some_and(|version| version >= ProtocolVersion::V_2026_07_28);
    if modern {
        let asked = Asked { approval: pending.id.clone(), arguments: digest(desk, arguments) };
        return match desk.ask(asked) {
            Ok(handle) => Asking::Question(required(question, handle)),
            Err(trouble) => Asking::Undecided(trouble),
        };
    }
    // Who has left answers no more.
    let asked = context.ct.run_until_cancelled(context.peer.create_elicitation(question)).await;
    match asked.unwrap_or(Err(ServiceError::TransportClosed)) {
        Ok(answer) if decide(desk, &pending.id, &answer).await => Asking::Decided,
        Ok(_) => Asking::Undecided(trouble),
        Err(error) => {
            // It waits on, for `farthing approvals`.
            tracing::info!(%error, approval = pending.id, "nobody answered the question for approval");
            Asking::Undecided(trouble)
        }
    }
}

/// Takes the answer that a client brings back with the same call. What was not asked, or was asked for another call,
/// decides nothing. True where the user closed the question: they are not asked once more.
pub(super) async fn take(desk: &Desk, handle: &str, answer: Option<&Value>, arguments: &str) -> bool {
    let Some(asked) = desk.answered(handle) else { return false };
    if asked.arguments != digest(desk, arguments) {
        tracing::warn!(approval = asked.approval, "the answer to a question came with another call");
        return false;
    }
    match answer.and_then(|answer| serde_json::from_value::<ElicitResult>(answer.clone()).ok()) {
        Some(answer) => !decide(desk, &asked.approval, &answer).await,
        None => false,
    }
}

/// The answer among those that a client brings back.
pub(super) fn answer(inputs: &rmcp::model::InputResponses) -> Option<&Value> {
    inputs.get(APPROVE)
}

fn needed(trouble: &Trouble) -> Option<(&Denial, &PendingApproval)> {
    let denial = trouble.denial.as_deref()?;
    Some((denial, denial.approval.as_ref()?))
}

/// Writes the person's decision down; false where there is none.
async fn decide(desk: &Desk, id: &str, answer: &ElicitResult) -> bool {
    let Some(approve) = decision(answer) else { return false };
    match desk.config.ledger.decide_approval(id, approve, BY.to_owned()).await {
        Ok(()) => true,
        Err(error) => {
            tracing::warn!(%error, approval = id, "the decision could not be written");
            false
        }
    }
}

/// What the person said; none when they closed the question.
fn decision(answer: &ElicitResult) -> Option<bool> {
    match answer.action {
        ElicitationAction::Accept => {
            Some(answer.content.as_ref().and_then(|content| content.get(APPROVE)) == Some(&true.into()))
        }
        ElicitationAction::Decline => Some(false),
        _ => None,
    }
}

/// The terms for a person: the amount in dollars before the terms themselves, as they are recorded.
fn in_words(desk: &Desk, terms: &str) -> String {
    dollars(&desk.config.discovery.config().registry, terms)
        .map_or_else(|| terms.to_owned(), |price| format!("{price}\n{terms}"))
}

/// `$0.01 in USDC on Base`; none where the token is not a known one.
fn dollars(registry: &Registry, terms: &str) -> Option<String> {
    let terms: Value = serde_json::from_str(terms).ok()?;
    let text = |key: &str| terms.get(key)?.as_str();
    let asset = registry.get(&text("network")?.parse().ok()?, text("asset")?).ok()?;
    let price = asset.format(text("amount")?.parse().ok()?);
    Some(format!("{price} in {} on {}", asset.symbol, asset.network.display_name()))
}

/// The question, with the exact terms that a yes is good for.
fn question(rule: &str, terms: &str) -> ElicitRequestParams {
    let approve = BooleanSchema::new()
        .title("Approve")
        .description("Yes, make exactly this payment, once")
        .with_default(false);
    let properties = [(APPROVE.to_owned(), PrimitiveSchemaDefinition::Boolean(approve))].into();
    ElicitRequestParams::FormElicitationParams {
        meta: None,
        message: format!(
            "The wallet's rule `{rule}` asks for your approval, for this payment alone:\n{terms}"
        ),
        requested_schema: ElicitationSchema::new(properties).with_required(vec![APPROVE.to_owned()]),
    }
}

fn required(question: ElicitRequestParams, handle: String) -> InputRequiredResult {
    let request = InputRequest::Elicitation(ElicitRequest::new(question));
    InputRequiredResult::new(Some([(APPROVE.to_owned(), request)].into()), Some(handle))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_a_clear_yes_approves() {
        for (answer, said) in [
            (json!({"action": "accept", "content": {"approve": true}}), Some(true)),
            (json!({"action": "accept", "content": {"approve": false}}), Some(false)),
            (json!({"action": "accept", "content": {"approve": "true"}}), Some(false)),
            (json!({"action": "accept"}), Some(false)),
            (json!({"action": "decline"}), Some(false)),
            (json!({"action": "cancel"}), None),
        ] {
            assert_eq!(decision(&serde_json::from_value(answer.clone()).unwrap()), said, "{answer}");
        }
    }
}
