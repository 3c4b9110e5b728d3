//! What of a call stands in the record.

use farthing_policy::Policy;
use farthing_policy::json::Object;
use sha2::{Digest, Sha256};

/// The arguments as the policy wants them recorded: a salted digest of their canonical form, or themselves without what
/// the policy names.
pub(super) fn arguments(policy: &Policy, arguments: &Object, salt: &[u8]) -> String {
    if let Some(kept) = policy.recorded(arguments) {
        return kept.to_string();
    }
    let canonical = arguments.canonical().to_vec();
    let digest = Sha256::new().chain_update(salt).chain_update(canonical).finalize();
    format!("sha256:{}", hex::encode(digest))
}
