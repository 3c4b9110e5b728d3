//! Asking a person through the client (MCP's elicitation).

use farthing_ledger::Ledger;
use farthing_policy::ApprovalNeed;
use farthing_policy::json::Json;

use crate::guard::Client;
use crate::guard::message::object;

/// Who is recorded as the one who decided.
const BY: &str = "the client's user (elicitation)";

/// Whether the person in front of the client approves, which is then written.
pub(super) async fn person(ledger: &Ledger, client: &Client, id: &str, need: &ApprovalNeed) -> bool {
    let answer = match client.ask("elicitation/create", question(need)).await {
        Ok(answer) => answer,
        Err(error) => {
            // It waits on, for `farthing approvals`.
            tracing::info!(%error, approval = id, "nobody answered the question for approval");
            return false;
        }
    };
    let Some(approve) = decision(&answer) else { return false };
    match ledger.decide_approval(id, approve, BY.to_owned()).await {
        Ok(()) => approve,
        Err(error) => {
            tracing::warn!(%error, approval = id, "the decision could not be written");
            false
        }
    }
}

/// What the person said; none when they closed the question.
fn decision(answer: &Json) -> Option<bool> {
    match answer.get("action")?.as_str()? {
        "accept" => {
            Some(answer.get("content").and_then(|content| content.get("approve")) == Some(&Json::Bool(true)))
        }
        "decline" => Some(false),
        _ => None,
    }
}

fn question(need: &ApprovalNeed) -> Json {
    let message = format!(
        "The policy's rule `{}` asks for your approval, for this call alone:\n{}",
        need.rule, need.terms
    );
    let approve = object([
        ("type", Json::from("boolean")),
        ("title", Json::from("Approve")),
        ("description", Json::from("Yes, make exactly this call, once")),
        ("default", Json::from(false)),
    ]);
    let schema = object([
        ("type", Json::from("object")),
        ("properties", object([("approve", approve)])),
        ("required", Json::Array(vec![Json::from("approve")])),
    ]);
    object([("message", Json::from(message)), ("requestedSchema", schema)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clear_yes_approves() {
        for (answer, said) in [
            (r#"{"action":"accept","content":{"approve":true}}"#, Some(true)),
            (r#"{"action":"accept","content":{"approve":false}}"#, Some(false)),
            (r#"{"action":"accept","content":{"approve":"true"}}"#, Some(false)),
            (r#"{"action":"accept"}"#, Some(false)),
            (r#"{"action":"decline"}"#, Some(false)),
            (r#"{"action":"cancel"}"#, None),
            (r#"{"content":{"approve":true}}"#, None),
            ("[]", None),
        ] {
            assert_eq!(decision(&Json::parse(answer.as_bytes()).unwrap()), said, "{answer}");
        }
    }
}
