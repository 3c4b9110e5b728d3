use farthing_ambient::Timestamp;
use serde::{Deserialize, Serialize};

/// A request for a person's approval, and what became of it. It is bound to exactly its terms and to the policy that
/// asked for it, and good for one use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// Its id: `a` and the journal's row that made it.
    pub id: String,
    /// The rule that asks for it.
    pub rule: String,
    /// The exact terms: one canonical JSON object.
    pub terms: String,
    /// SHA-256 of the terms, in hex.
    pub terms_hash: String,
    /// SHA-256 of the policy.
    pub policy_hash: String,
    /// How it stands now.
    pub state: ApprovalState,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// Until when it can be decided; once decided, until when the decision holds.
    pub expires_at: Timestamp,
    /// When it was decided.
    pub decided_at: Option<Timestamp>,
    /// Who decided.
    pub decided_by: Option<String>,
    /// The purchase or the call that it was used for.
    pub used_by: Option<String>,
}

/// How an approval stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApprovalState {
    /// It waits for a person.
    Pending,
    /// It may be used, once.
    Approved,
    /// The same again is denied without being asked about.
    Denied,
    /// It was used.
    Used,
    /// Nobody decided, or nobody used it, in time; or a refusal is over.
    Expired,
}

impl ApprovalState {
    /// The state's name, as it stands in records.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Denied => "denied",
            Self::Used => "used",
            Self::Expired => "expired",
        }
    }
}

/// Which approvals to list, in which order.
#[derive(Debug, Clone, Default)]
pub struct ApprovalFilter {
    /// Only those that wait for a person now; with `false` only those that do not: decided, used, or over.
    pub pending: Option<bool>,
    /// Oldest first, not newest first.
    pub oldest_first: bool,
    /// Only those that come after this one in that order: the next page.
    pub after: Option<String>,
    /// At most so many; all where `None`.
    pub limit: Option<u32>,
}
