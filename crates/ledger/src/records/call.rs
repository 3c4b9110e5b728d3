use farthing_policy::{Denial, Refund};
use serde::{Deserialize, Serialize};

/// A call of a tool that somebody wants to make, as it is recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewCall {
    /// The call: an id that is made anew for each, a ULID.
    pub id: String,
    /// The server whose tool it is, by the name that the policy knows.
    pub server: String,
    /// Whose call, where agents have identities.
    pub agent: Option<String>,
    /// In which session of that agent.
    pub session: String,
    /// The tool.
    pub tool: String,
    /// The arguments as the record may hold them: a salted digest, or JSON without what is secret. The caller makes it.
    pub arguments: String,
    /// SHA-256 of the policy that decides.
    pub policy_hash: String,
}

/// The answer to a wish to call.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Admitted {
    /// The call may be made: what it takes is taken.
    Granted {
        /// What rules in shadow mode would have denied.
        shadowed: Vec<Denial>,
    },
    /// It may not; nothing was taken.
    Denied(Denial),
}

/// How a call that was admitted ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallOutcome {
    /// With a result.
    Answered,
    /// With a result that says `isError`.
    ToolError,
    /// With a JSON-RPC error.
    Error,
    /// The upstream refused the request: HTTP 4xx or 5xx.
    Failed,
    /// Nobody knows: a timeout, or a server that died. What was taken stays taken.
    Lost,
    /// It was never made: after it was admitted, something else stood in its way. Everything goes back that ever does.
    Withdrawn,
}

impl CallOutcome {
    /// Whether this end gives back what is refunded so.
    #[must_use]
    pub fn gives_back(self, refund: Refund) -> bool {
        match self {
            Self::Error | Self::Withdrawn => refund != Refund::Never,
            Self::ToolError | Self::Failed => refund == Refund::OnFailure,
            Self::Answered | Self::Lost => false,
        }
    }
}

/// The end of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallEnd {
    /// How it ended.
    pub outcome: CallOutcome,
}

/// What a process made of a policy file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PolicyChange {
    /// The policy with this hash is in force.
    Loaded {
        /// SHA-256 of its text, in hex.
        hash: String,
    },
    /// The file is no policy, and the one before stays in force.
    Refused {
        /// SHA-256 of the policy that stays in force.
        hash: String,
        /// What is wrong with the file.
        why: String,
    },
}

/// A decision on a call for which nothing had to be looked up or taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Noted {
    /// The call was let through.
    Allowed {
        /// What rules in shadow mode would have denied.
        shadowed: Vec<Denial>,
    },
    /// It was not.
    Denied(Denial),
}
