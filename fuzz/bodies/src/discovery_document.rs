//! What an origin or an index says is sold.

use std::fmt::Debug;

use farthing_money::Registry;
use farthing_protocol::discovery::{
    AuthMode, Bazaar, Document, Finding, Listing, MAX_FINDINGS, MAX_OPERATIONS, WellKnown, matches, normal,
};
use serde_json::{Value, json};

use crate::errors::reads_well;

const ORIGIN: &str = "https://api.example.com";
/// References multiply: what is told may be longer than what was read, and no longer than this.
const MAX_TOLD_BYTES: usize = 32 << 20;

/// The input is read as a document of each kind, as an index's answer, and as a 402's extensions. Each is refused with a
/// finding, or read: the same every time, bounded whatever its references lead to, with findings that are safe to print;
/// what has a price is sold; a path is in its one form, and its own template.
pub(crate) fn run(input: &[u8]) {
    let registry = Registry::builtin();
    if let Some(document) = read(|| Document::read(input, ORIGIN, &registry)) {
        assert!(document.operations.len() <= MAX_OPERATIONS);
        findings(&document.findings);
        is_bounded(&json!(document));
        for operation in &document.operations {
            let priced = operation.price.is_some() || !operation.offers.is_empty();
            assert!(!priced || operation.auth.is_some_and(AuthMode::is_paid), "{operation:?}");
            is_normal(&operation.path);
        }
    }
    let legacy =
        [read(|| WellKnown::read_x402(input, ORIGIN)), read(|| WellKnown::read_mpp(input, &registry))];
    for document in legacy.into_iter().flatten() {
        findings(&document.findings);
        document.resources.iter().for_each(|resource| is_normal(&resource.path));
    }
    if let Some(listing) = read(|| Listing::read(input, &registry)) {
        is_bounded(&json!(listing.resources));
    }
    if let Ok(value) = serde_json::from_slice::<Value>(input) {
        let bazaar = [Bazaar::of_extensions(&value), Bazaar::of_output_schema(&value)];
        bazaar.iter().flatten().for_each(|read| is_bounded(&json!(read)));
    }
}

/// Reads twice.
fn read<T: PartialEq + Debug>(read: impl Fn() -> Result<T, Finding>) -> Option<T> {
    let (first, second) = (read(), read());
    assert_eq!(first, second);
    first.map_err(|finding| findings(std::slice::from_ref(&finding))).ok()
}

fn findings(found: &[Finding]) {
    assert!(found.len() <= MAX_FINDINGS, "{}", found.len());
    for finding in found {
        reads_well(&finding.message);
        assert!(finding.place.len() < 10_000, "{}", finding.place.len());
    }
}

fn is_bounded(told: &Value) {
    let bytes = told.to_string().len();
    assert!(bytes <= MAX_TOLD_BYTES, "{bytes} bytes are told");
}

fn is_normal(path: &str) {
    assert_eq!(normal(path), path);
    assert!(path.contains('{') || matches(path, path), "{path}");
}
