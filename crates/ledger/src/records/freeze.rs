use std::fmt;

use farthing_ambient::Timestamp;
use farthing_policy::{Denial, DenialCode};
use serde::{Deserialize, Serialize};

/// Everything that spends is stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frozen {
    /// Since when.
    pub since: Timestamp,
    /// Why.
    pub why: String,
    /// Who did it.
    pub by: String,
}

impl Frozen {
    /// What whoever wants to spend is told.
    #[must_use]
    pub fn denial(&self) -> Denial {
        Denial::new(DenialCode::Frozen, "freeze", self.to_string())
    }
}

impl fmt::Display for Frozen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "everything is frozen since {} by {}: {}", self.since, self.by, self.why)
    }
}
