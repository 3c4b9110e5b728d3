//! What the journal says of a call of a tool.

use sha2::{Digest as _, Sha256};

use super::desk::Desk;
use super::trouble::Trouble;
use crate::record::{Called, Record};

/// SHA-256 over the arguments, which only this wallet could make.
pub(super) fn digest(desk: &Desk, arguments: &str) -> String {
    hex::encode(Sha256::new().chain_update(&desk.config.salt).chain_update(arguments).finalize())
}

/// Writes down who called which tool and what became of it.
pub(super) async fn note(desk: &Desk, tool: &str, arguments: &str, refused: Option<&Trouble>) {
    let config = &desk.config;
    let called = Called {
        agent: config.agent.as_deref(),
        session: &config.session,
        tool,
        arguments: format!("sha256:{}", digest(desk, arguments)),
    };
    let record = Record {
        ledger: config.ledger.clone(),
        policy: config.policy.clone(),
        clock: config.clock.clone(),
        entropy: config.entropy.clone(),
    };
    record.note(called, refused.and_then(|trouble| trouble.refusal.as_deref().cloned())).await;
}
