use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use farthing_protocol::x402::{Reason, SettleResponse, VerifyResponse};
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::FacilitatorError;

/// From a check without any RPC to a settlement that waits for its block, in seconds.
const BUCKETS: [f64; 12] = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 45.0];

/// What a facilitator counts. The registry is its own: nothing is global, and nothing is sent anywhere.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Mutex<Registry>>,
    verifies: Family<Answered, Counter>,
    settles: Family<Answered, Counter>,
    verify_seconds: Histogram,
    settle_seconds: Histogram,
    refused: Family<Refused, Counter>,
    pending: Gauge,
    in_flight: Gauge,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    result: Outcome,
    reason: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
#[expect(non_camel_case_types, reason = "the variants are the values of the label `result`")]
enum Outcome {
    valid,
    invalid,
    settled,
    pending,
    failed,
    error,
}

/// A request that was turned away before the facilitator saw it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Refused {
    why: &'static str,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let seconds = || Histogram::new(BUCKETS);
        let metrics = Self {
            registry: Arc::default(),
            verifies: Family::default(),
            settles: Family::default(),
            verify_seconds: seconds(),
            settle_seconds: seconds(),
            refused: Family::default(),
            pending: Gauge::default(),
            in_flight: Gauge::default(),
        };
        metrics.register();
        metrics
    }

    fn register(&self) {
        let mut registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        let registry = registry.sub_registry_with_prefix("farthing_facilitator");
        registry.register("verifies", "Answers to verify, by result and reason", self.verifies.clone());
        registry.register("settles", "Answers to settle, by result and reason", self.settles.clone());
        registry.register("verify_seconds", "Time to verify", self.verify_seconds.clone());
        registry.register("settle_seconds", "Time until settle answers", self.settle_seconds.clone());
        registry.register("refused", "Requests turned away unread", self.refused.clone());
        registry.register("pending_settlements", "Sent and not known confirmed", self.pending.clone());
        registry.register("in_flight_settlements", "Being worked on now", self.in_flight.clone());
    }

    /// Everything counted so far, as OpenMetrics text.
    ///
    /// # Errors
    /// [`fmt::Error`], never seen: the text goes into memory.
    pub fn encode(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry.lock().unwrap_or_else(PoisonError::into_inner))?;
        Ok(text)
    }

    pub(crate) fn verified(&self, answer: &Result<VerifyResponse, FacilitatorError>, took: Duration) {
        let (result, reason) = match answer {
            Ok(response) if response.is_valid => (Outcome::valid, None),
            Ok(response) => (Outcome::invalid, response.invalid_reason.as_ref()),
            Err(_) => (Outcome::error, None),
        };
        self.verifies.get_or_create(&Answered { result, reason: label(reason) }).inc();
        self.verify_seconds.observe(took.as_secs_f64());
    }

    pub(crate) fn settled(&self, answer: &Result<SettleResponse, FacilitatorError>, took: Duration) {
        let (result, reason) = match answer {
            Ok(response) if response.success => (Outcome::settled, None),
            Ok(response) if response.error_reason == Some(Reason::SettlementPending) => {
                (Outcome::pending, None)
            }
            Ok(response) => (Outcome::failed, response.error_reason.as_ref()),
            Err(_) => (Outcome::error, None),
        };
        self.settles.get_or_create(&Answered { result, reason: label(reason) }).inc();
        self.settle_seconds.observe(took.as_secs_f64());
    }

    pub(crate) fn refused(&self, why: &'static str) {
        self.refused.get_or_create(&Refused { why }).inc();
    }

    pub(crate) fn set_open(&self, pending: usize, in_flight: usize) {
        self.pending.set(i64::try_from(pending).unwrap_or(i64::MAX));
        self.in_flight.set(i64::try_from(in_flight).unwrap_or(i64::MAX));
    }
}

/// Only codes of the protocol become labels: others could be made up, and each would be a time series.
fn label(reason: Option<&Reason>) -> String {
    match reason {
        None => String::new(),
        Some(Reason::Other(_)) if !reason.is_some_and(|r| Reason::REFERENCE.contains(r)) => {
            "other".to_owned()
        }
        Some(known) => known.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_by_result_and_known_reason() {
        let metrics = Metrics::new();
        let answer = |reason: &str| {
            Ok(VerifyResponse { invalid_reason: Some(Reason::from(reason)), ..VerifyResponse::default() })
        };
        metrics.verified(&answer("invalid_exact_evm_signature"), Duration::from_millis(3));
        metrics.verified(&answer("made_up_1"), Duration::from_millis(3));
        metrics.verified(&answer("made_up_2"), Duration::from_millis(3));
        let text = metrics.encode().unwrap();
        let line = |labels: &str, n: u8| format!("farthing_facilitator_verifies_total{{{labels}}} {n}\n");
        assert!(
            text.contains(&line(r#"result="invalid",reason="invalid_exact_evm_signature""#, 1)),
            "{text}"
        );
        assert!(text.contains(&line(r#"result="invalid",reason="other""#, 2)), "{text}");
        assert!(text.contains("farthing_facilitator_verify_seconds_count 3\n"), "{text}");
    }
}
