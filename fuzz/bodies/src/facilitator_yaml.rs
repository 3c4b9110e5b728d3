//! `facilitator.yaml`.

use std::collections::BTreeMap;
use std::time::Duration;

use farthing_facilitator::{FacilitatorConfig, Limits, NetworkConfig};
use farthing_money::Network;

use crate::errors::{lies_in, reads_well};

/// A text is refused with a place in it, where a single place is wrong, or means the same every time. What is taken has
/// a network and a signer for each, prices of gas that are not zero, bounds that are finite, and is not open to all by
/// mistake.
pub(crate) fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    match FacilitatorConfig::parse("f.yaml", text) {
        Ok(config) => {
            let again = FacilitatorConfig::parse("f.yaml", text).unwrap();
            assert_eq!(format!("{again:?}"), format!("{config:?}"));
            holds(&config);
        }
        Err(error) => {
            assert!(reads_well(&error).starts_with("f.yaml:"), "{error}");
            if let Some((line, column)) = error.place {
                lies_in(text, line, column);
            }
        }
    }
}

fn holds(config: &FacilitatorConfig) {
    config.check().unwrap();
    settle(&config.networks, &config.limits());
    let (limits, http, serve) = (config.limits(), config.http(), config.serve_limits());
    assert!(limits.settle_wait < http.request_timeout);
    assert!((1024..=farthing_protocol::MAX_BODY_BYTES).contains(&http.max_body_bytes));
    assert!(http.max_in_flight > 0 && serve.max_connections > 0, "nothing would be served");
    // What is added to a clock must not overflow it.
    let day = Duration::from_secs(86_400);
    assert!(http.request_timeout <= day && serve.drain_timeout <= day, "{:?}", config.limits);
    let restricted =
        !http.keys.is_empty() || config.networks.values().all(|network| network.pay_to.is_some());
    assert!(restricted || config.open || config.listen.ip().is_loopback());
}

/// What is said of settling, also in a gateway's configuration.
pub(crate) fn settle(networks: &BTreeMap<Network, NetworkConfig>, limits: &Limits) {
    assert!(
        !networks.is_empty()
            && limits.max_settlements > 0
            && limits.settle_wait <= Duration::from_secs(86_400)
    );
    for (network, settings) in networks {
        assert!(network.evm_chain_id().is_some() && !settings.signers.is_empty());
        assert!(settings.rpc.iter().all(|url| matches!(url.scheme(), "http" | "https") && url.has_host()));
        assert!(settings.max_fee_per_gas_wei().is_none_or(|wei| wei > 0));
        assert!(settings.receipt_wait_seconds.is_none_or(|seconds| seconds < limits.settle_wait.as_secs()));
    }
}
