//! What a seller asks a facilitator.

use farthing_protocol::x402::FacilitatorRequest;
use farthing_protocol::{MAX_BODY_BYTES, PaymentKey};

use crate::errors::reads_well;
use crate::wire::{self, SIGNATURE};

/// A request that is read writes itself so that it reads as the same payment and terms; its terms can be met; a known
/// key that stands twice is refused at each level that is read; a signature is in no error and no debug output.
pub(crate) fn run(input: &[u8]) {
    let request = match FacilitatorRequest::read(input) {
        Ok(request) => request,
        Err(error) => {
            reads_well(&error);
            return hides_signatures(input);
        }
    };
    assert!(input.len() <= MAX_BODY_BYTES);
    holds(&request);
    let levels: [(&[&str], &[&str]); 3] = [
        (&[], &["paymentPayload", "paymentRequirements"]),
        (&["paymentPayload"], &["x402Version", "payload", "accepted", "scheme", "network"]),
        (&["paymentRequirements"], &["scheme", "network", "asset", "payTo", "extra", "maxTimeoutSeconds"]),
    ];
    for (path, known) in levels {
        for (key, twice) in wire::with_a_key_twice(input, path) {
            // Version 2 has no scheme and network beside `accepted`.
            let known = known.contains(&key.as_str())
                && !(path == ["paymentPayload"] && is_other_versions(&request, &key));
            assert!(
                !known || FacilitatorRequest::read(twice.as_bytes()).is_err(),
                "{path:?} {key} stands twice"
            );
        }
    }
    hides_signatures(input);
}

fn is_other_versions(request: &FacilitatorRequest, key: &str) -> bool {
    match request.payment.protocol().x402_version() {
        1 => key == "accepted",
        _ => key == "scheme" || key == "network",
    }
}

fn holds(request: &FacilitatorRequest) {
    let terms = &request.requirements;
    assert!(!terms.scheme.is_empty() && !terms.asset.is_empty() && !terms.pay_to.is_empty());
    assert!(terms.max_timeout_seconds > 0);
    let body = FacilitatorRequest::to_body(&request.payment, &request.raw_requirements).unwrap();
    if body.len() <= MAX_BODY_BYTES {
        let again = FacilitatorRequest::read(body.as_bytes()).unwrap();
        assert_eq!(again.requirements, *terms);
        assert_eq!(again.payment.to_raw().unwrap().get(), request.payment.to_raw().unwrap().get());
        assert_eq!(again.raw_requirements.get(), request.raw_requirements.get());
    }
    match PaymentKey::of(terms, request.payment.payload()) {
        Ok(key) => {
            assert!(key.eip3009_parts().is_some());
            assert!(key.as_str().starts_with(terms.network.as_str()));
        }
        Err(error) => drop(reads_well(&error)),
    }
}

fn hides_signatures(input: &[u8]) {
    if let Some(json) = wire::signed(input, &["paymentPayload", "payload"]) {
        let shown = match FacilitatorRequest::read(json.as_bytes()) {
            Ok(request) => {
                let key = PaymentKey::of(&request.requirements, request.payment.payload());
                let key = key.map_err(|error| format!("{error} {error:?}"));
                format!("{request:?} {key:?}")
            }
            Err(error) => format!("{error} {error:?}"),
        };
        assert!(!shown.contains(SIGNATURE), "a signature is shown: {shown}");
    }
}
