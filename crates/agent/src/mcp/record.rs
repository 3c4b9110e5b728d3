//! What the journal says of a call of a tool.

use farthing_ambient::{Clock, Entropy, NoEntropy};
use farthing_ledger::{NewCall, Noted};
use farthing_policy::{Denial, DenialCode};
use sha2::{Digest as _, Sha256};
use ulid::Ulid;

use super::desk::Desk;
use super::trouble::{Code, Trouble};

/// The server's name in records: that of its tools in a policy's rules for servers.
const SERVER: &str = "farthing";

/// A new id.
pub(crate) fn id(clock: &dyn Clock, entropy: &dyn Entropy) -> Result<String, NoEntropy> {
    let mut random = [0; 16];
    entropy.fill(&mut random)?;
    let ms = u64::try_from(clock.now().as_millisecond()).unwrap_or_default();
    Ok(Ulid::from_parts(ms, u128::from_be_bytes(random)).to_string())
}

/// SHA-256 over the arguments, which only this wallet could make.
pub(super) fn digest(desk: &Desk, arguments: &str) -> String {
    hex::encode(Sha256::new().chain_update(&desk.config.salt).chain_update(arguments).finalize())
}

/// Writes down who called which tool and what became of it. It is not waited for: what moves money has rows of its own.
pub(super) async fn note(desk: &Desk, tool: &str, arguments: &str, refused: Option<&Trouble>) {
    let config = &desk.config;
    let id = match id(&*config.clock, &*config.entropy) {
        Ok(id) => id,
        Err(error) => return tracing::warn!(%error, tool, "a call was not recorded"),
    };
    let call = NewCall {
        id,
        server: SERVER.to_owned(),
        agent: config.agent.clone(),
        session: config.session.clone(),
        tool: tool.to_owned(),
        arguments: format!("sha256:{}", digest(desk, arguments)),
        policy_hash: config.policy.current().hash().to_owned(),
    };
    let noted = refused.and_then(denial).map_or(Noted::Allowed { shadowed: Vec::new() }, Noted::Denied);
    if let Err(error) = config.ledger.note(call, noted).await {
        tracing::warn!(%error, tool, "a call was not recorded");
    }
}

/// What was refused, and not only went wrong.
fn denial(trouble: &Trouble) -> Option<Denial> {
    if let Some(denial) = &trouble.denial {
        return Some((**denial).clone());
    }
    let (code, rule) = match trouble.code {
        Code::OutOfReach => (DenialCode::HostNotAllowed, "out-of-reach"),
        Code::Unpayable => (DenialCode::PaymentsNotAllowed, "unpayable"),
        Code::BadArguments => (DenialCode::BadArguments, "arguments"),
        _ => return None,
    };
    Some(Denial::new(code, rule, trouble.message.clone()))
}
