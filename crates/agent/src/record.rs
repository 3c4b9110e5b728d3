//! What the journal says of calls, from whichever side they come.

use std::sync::Arc;

use farthing_ambient::{Clock, Entropy, NoEntropy};
use farthing_ledger::{Ledger, NewCall, Noted};
use farthing_policy::Denial;
use ulid::Ulid;

use crate::guard::PolicyFile;

/// What our own tools are called by in records, and in a policy's rules for servers.
const SERVER: &str = "farthing";

/// A new id.
pub(crate) fn id(clock: &dyn Clock, entropy: &dyn Entropy) -> Result<String, NoEntropy> {
    let mut random = [0; 16];
    entropy.fill(&mut random)?;
    let ms = u64::try_from(clock.now().as_millisecond()).unwrap_or_default();
    Ok(Ulid::from_parts(ms, u128::from_be_bytes(random)).to_string())
}

/// Where calls are written down.
#[derive(Clone)]
pub(crate) struct Record {
    pub(crate) ledger: Ledger,
    pub(crate) policy: Arc<PolicyFile>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
}

/// One call.
pub(crate) struct Called<'a> {
    /// Whose it is; none for the wallet's owner, and for who is not known.
    pub(crate) agent: Option<&'a str>,
    pub(crate) session: &'a str,
    pub(crate) tool: &'a str,
    /// As the record may hold them.
    pub(crate) arguments: String,
}

impl Record {
    /// Writes down who called what, and why it was refused. It is not waited for: what moves money has rows of its own.
    pub(crate) async fn note(&self, called: Called<'_>, refused: Option<Denial>) {
        let Called { agent, session, tool, arguments } = called;
        let id = match id(&*self.clock, &*self.entropy) {
            Ok(id) => id,
            Err(error) => return tracing::warn!(%error, tool, "a call was not recorded"),
        };
        let call = NewCall {
            id,
            server: SERVER.to_owned(),
            agent: agent.map(str::to_owned),
            session: session.to_owned(),
            tool: tool.to_owned(),
            arguments,
            policy_hash: self.policy.current().hash().to_owned(),
        };
        let noted = refused.map_or(Noted::Allowed { shadowed: Vec::new() }, Noted::Denied);
        if let Err(error) = self.ledger.note(call, noted).await {
            tracing::warn!(%error, tool, "a call was not recorded");
        }
    }
}
