use std::collections::{BTreeMap, HashSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use farthing_money::{Asset, Decimal, Network};
use farthing_protocol::MAX_BODY_BYTES;
use serde::{Deserialize, Deserializer, de};
use url::Url;

use crate::config_text::{ConfigError, Gwei, KeySource, PayeeAddress, by_network, endpoints, parse};
use crate::http::{ApiKey, HttpConfig, KeyHash, RateLimit, ServeLimits};
use crate::{Limits, Payees};

/// `facilitator.yaml`. Every key is described in docs/facilitator.md; unknown keys are errors.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FacilitatorConfig {
    /// Where sellers connect.
    #[serde(default = "local")]
    pub listen: SocketAddr,
    /// Whether anybody may have any payee settled for, also from other machines: whoever does pays their gas.
    #[serde(default)]
    pub open: bool,
    /// The record's file; the program's own default where there is none.
    #[serde(default)]
    pub ledger: Option<PathBuf>,
    /// The networks that are settled on.
    #[serde(deserialize_with = "by_network")]
    pub networks: BTreeMap<Network, NetworkConfig>,
    /// Tokens that are settled besides the built-in ones.
    #[serde(default)]
    pub assets: Vec<Asset>,
    /// Who may ask. With no key, anybody.
    #[serde(default)]
    pub keys: Vec<KeyConfig>,
    /// Sizes, times and rates.
    #[serde(default)]
    pub limits: LimitsConfig,
}

/// A facilitator in a gateway's process: what `facilitator.yaml` says of settling. It serves nobody else, so keys,
/// rates and addresses have no place here.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InProcessConfig {
    /// The networks that are settled on.
    #[serde(deserialize_with = "by_network")]
    pub networks: BTreeMap<Network, NetworkConfig>,
    /// Tokens that are settled besides the built-in ones.
    #[serde(default)]
    pub assets: Vec<Asset>,
    /// How much and how long.
    #[serde(default)]
    pub limits: SettlingLimits,
}

/// How much is settled at once, and how long that may take.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SettlingLimits {
    /// Settlements worked on at once.
    #[serde(deserialize_with = "count")]
    pub max_settlements: usize,
    /// How long settle waits for the chain before it answers.
    #[serde(deserialize_with = "seconds")]
    pub settle_wait_seconds: u64,
}

impl Default for SettlingLimits {
    fn default() -> Self {
        let Limits { max_settlements, settle_wait, .. } = Limits::default();
        Self { max_settlements, settle_wait_seconds: settle_wait.as_secs() }
    }
}

/// One network.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkConfig {
    /// The RPC endpoints, tried in this order; public ones where none is named.
    #[serde(default, deserialize_with = "endpoints")]
    pub rpc: Vec<Url>,
    /// Where the keys come from that send the transactions and pay their gas.
    pub signers: Vec<KeySource>,
    /// The payees that are settled for; anybody where the key is missing.
    #[serde(default)]
    pub pay_to: Option<Vec<PayeeAddress>>,
    /// Above this price of gas nothing is sent. The rail's own default where it is missing.
    #[serde(default)]
    pub max_fee_per_gas_gwei: Option<Gwei>,
    /// Factories that may be called to deploy a payer's smart wallet (ERC-6492); none where it is missing.
    #[serde(default)]
    pub wallet_factories: Vec<PayeeAddress>,
    /// How long to wait for a transaction's receipt before the answer is `settlement_pending`.
    #[serde(default)]
    pub receipt_wait_seconds: Option<u64>,
    /// How many blocks a transaction must be in before it counts as settled, its own included; 1 where it is missing.
    /// Whoever is charged waits for them.
    #[serde(default)]
    pub confirmations: Option<NonZeroU32>,
}

/// A seller's key.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyConfig {
    /// Whose it is.
    pub name: String,
    /// SHA-256 of the key, in hex.
    pub sha256: KeyHash,
    /// The payees that it may be used for; all where it is missing.
    #[serde(default)]
    pub pay_to: Option<Vec<PayeeAddress>>,
}

/// Sizes, times and rates.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// Requests per minute of one key, or of one address without a key.
    pub requests_per_minute: NonZeroU32,
    /// Requests at once of one key or address.
    pub burst: NonZeroU32,
    /// The largest body.
    #[serde(deserialize_with = "body_bytes")]
    pub max_body_bytes: usize,
    /// Requests answered at once.
    #[serde(deserialize_with = "count")]
    pub max_in_flight: usize,
    /// Open connections.
    #[serde(deserialize_with = "count")]
    pub max_connections: usize,
    /// Settlements worked on at once.
    #[serde(deserialize_with = "count")]
    pub max_settlements: usize,
    /// How long settle waits for the chain before it answers.
    #[serde(deserialize_with = "seconds")]
    pub settle_wait_seconds: u64,
    /// How long a request may take.
    #[serde(deserialize_with = "seconds")]
    pub request_timeout_seconds: u64,
    /// How long a shutdown waits for requests, and again for settlements.
    #[serde(deserialize_with = "seconds")]
    pub shutdown_seconds: u64,
    /// Whether `/metrics` needs no key.
    pub public_metrics: bool,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        let (rate, http) = (RateLimit::default(), HttpConfig::default());
        let (limits, serve) = (Limits::default(), ServeLimits::default());
        Self {
            requests_per_minute: rate.per_minute,
            burst: rate.burst,
            max_body_bytes: http.max_body_bytes,
            max_in_flight: http.max_in_flight,
            max_connections: serve.max_connections,
            max_settlements: limits.max_settlements,
            settle_wait_seconds: limits.settle_wait.as_secs(),
            request_timeout_seconds: http.request_timeout.as_secs(),
            shutdown_seconds: serve.drain_timeout.as_secs(),
            public_metrics: http.public_metrics,
        }
    }
}

/// The most blocks that a settlement may be made to wait for.
const MAX_CONFIRMATIONS: u32 = 64;

fn local() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 4021).into()
}

fn body_bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    let bytes = usize::deserialize(deserializer)?;
    let fits = (1024..=MAX_BODY_BYTES).contains(&bytes);
    fits.then_some(bytes)
        .ok_or_else(|| de::Error::custom(format_args!("{bytes} is not from 1024 to {MAX_BODY_BYTES}")))
}

/// Of what there must be one, and of which nobody has a million.
fn count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    let count = usize::deserialize(deserializer)?;
    let fits = (1..=1_000_000).contains(&count);
    fits.then_some(count).ok_or_else(|| de::Error::custom(format_args!("{count} is not from 1 to 1000000")))
}

/// A time that a person may have meant: up to a day. No sum with a clock can overflow.
fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let seconds = u64::deserialize(deserializer)?;
    let fits = (1..=86_400).contains(&seconds);
    fits.then_some(seconds)
        .ok_or_else(|| de::Error::custom(format_args!("{seconds} seconds are not from 1 to 86400")))
}

impl FacilitatorConfig {
    /// Reads the file's text; `file` names it in errors.
    ///
    /// # Errors
    /// [`ConfigError`] with line and column.
    pub fn parse(file: &str, text: &str) -> Result<Self, ConfigError> {
        let config: Self = parse(file, text)?;
        config.check().map_err(|message| ConfigError::whole(file, message))?;
        Ok(config)
    }

    /// What no single key shows to be wrong. [`Self::parse`] asks it; who changes the configuration afterwards does too.
    ///
    /// # Errors
    /// What is wrong, for people.
    pub fn check(&self) -> Result<(), String> {
        let LimitsConfig { settle_wait_seconds, request_timeout_seconds, .. } = self.limits;
        check_networks(&self.networks, settle_wait_seconds)?;
        if settle_wait_seconds >= request_timeout_seconds {
            return Err("`limits.settle_wait_seconds` must be less than `request_timeout_seconds`".to_owned());
        }
        let (mut names, mut hashes) = (HashSet::new(), HashSet::new());
        if let Some(key) =
            self.keys.iter().find(|key| !names.insert(&key.name) || !hashes.insert(&key.sha256))
        {
            return Err(format!("`keys`: `{}` stands twice", key.name.escape_debug()));
        }
        self.check_openness()
    }

    /// An open facilitator pays everybody's gas: that has to be meant.
    fn check_openness(&self) -> Result<(), String> {
        let anybody = self.keys.is_empty() && self.networks.values().any(|network| network.pay_to.is_none());
        if self.open || !anybody || self.listen.ip().is_loopback() {
            return Ok(());
        }
        Err(format!(
            "`listen: {}` is reached from other machines, and anybody could have any payee settled for, at the cost of \
             your signer's gas: add `keys`, or `pay_to` to every network, or say `open: true`",
            self.listen
        ))
    }

    /// For [`Facilitator::new`](crate::Facilitator::new).
    #[must_use]
    pub fn limits(&self) -> Limits {
        let LimitsConfig { max_settlements, settle_wait_seconds, .. } = self.limits;
        limits(&self.networks, SettlingLimits { max_settlements, settle_wait_seconds })
    }

    /// For [`router`](crate::http::router).
    #[must_use]
    pub fn http(&self) -> HttpConfig {
        let LimitsConfig { requests_per_minute, burst, .. } = self.limits;
        let key = |key: &KeyConfig| ApiKey {
            name: key.name.clone(),
            sha256: key.sha256.clone(),
            pay_to: key.pay_to.as_deref().map(payees),
        };
        HttpConfig {
            keys: self.keys.iter().map(key).collect(),
            rate_limit: Some(RateLimit { per_minute: requests_per_minute, burst }),
            max_body_bytes: self.limits.max_body_bytes,
            request_timeout: Duration::from_secs(self.limits.request_timeout_seconds),
            max_in_flight: self.limits.max_in_flight,
            public_metrics: self.limits.public_metrics,
        }
    }

    /// For [`serve`](crate::http::serve).
    #[must_use]
    pub fn serve_limits(&self) -> ServeLimits {
        ServeLimits {
            max_connections: self.limits.max_connections,
            drain_timeout: Duration::from_secs(self.limits.shutdown_seconds),
            ..ServeLimits::default()
        }
    }
}

impl InProcessConfig {
    /// What no single key shows to be wrong. Who reads the configuration asks it.
    ///
    /// # Errors
    /// What is wrong, for people.
    pub fn check(&self) -> Result<(), String> {
        check_networks(&self.networks, self.limits.settle_wait_seconds)
    }

    /// For [`Facilitator::new`](crate::Facilitator::new).
    #[must_use]
    pub fn limits(&self) -> Limits {
        limits(&self.networks, self.limits)
    }
}

fn check_networks(networks: &BTreeMap<Network, NetworkConfig>, settle_wait: u64) -> Result<(), String> {
    if networks.is_empty() {
        return Err("`networks` is empty: nothing could be settled".to_owned());
    }
    networks.iter().try_for_each(|(network, config)| config.check(network, settle_wait))
}

fn limits(networks: &BTreeMap<Network, NetworkConfig>, settling: SettlingLimits) -> Limits {
    let listed = |(network, config): (&Network, &NetworkConfig)| {
        config.pay_to.as_ref().map(|list| (network.clone(), payees(list)))
    };
    Limits {
        pay_to: networks.iter().filter_map(listed).collect(),
        settle_wait: Duration::from_secs(settling.settle_wait_seconds),
        max_settlements: settling.max_settlements,
        ..Limits::default()
    }
}

impl NetworkConfig {
    fn check(&self, network: &Network, settle_wait: u64) -> Result<(), String> {
        if network.evm_chain_id().is_none() {
            return Err(format!("`networks`: {network} cannot be settled on; EVM networks can"));
        }
        if self.signers.is_empty() {
            return Err(format!(
                "`networks`: {network} has no `signers`: nobody could send its transactions"
            ));
        }
        if let Some(blocks) = self.confirmations.filter(|blocks| blocks.get() > MAX_CONFIRMATIONS) {
            return Err(format!(
                "`networks`: {network} has `confirmations: {blocks}`, more than anybody waits for: at most \
                 {MAX_CONFIRMATIONS}"
            ));
        }
        if let Some(seconds) = self.receipt_wait_seconds.filter(|seconds| *seconds >= settle_wait) {
            return Err(format!(
                "`networks`: {network} has `receipt_wait_seconds: {seconds}`, and `limits.settle_wait_seconds` gives up \
                 after {settle_wait}: make that longer"
            ));
        }
        Ok(())
    }

    /// [`Self::max_fee_per_gas_gwei`] in wei.
    #[must_use]
    pub fn max_fee_per_gas_wei(&self) -> Option<u128> {
        self.max_fee_per_gas_gwei.map(Gwei::wei)
    }
}

fn payees(addresses: &[PayeeAddress]) -> Payees {
    Payees::new(addresses.iter().map(|address| address.as_str().to_owned()).collect())
}

/// A gwei has 10^9 wei.
pub(crate) fn gwei_to_wei(gwei: Decimal) -> Result<u128, String> {
    gwei.scaled(9)
        .map_err(|error| error.to_string())?
        .filter(|wei| *wei > 0)
        .ok_or_else(|| "a price of gas in gwei has at most 9 decimals and is not zero".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAYEE: &str = "0x209693Bc6afc0C5328bA36FaF03C514EF312287C";

    fn yaml(rest: &str) -> Result<FacilitatorConfig, ConfigError> {
        let networks = "networks:\n  base-sepolia:\n    signers: [{env: SIGNER}]\n";
        FacilitatorConfig::parse("f.yaml", &format!("{networks}{rest}"))
    }

    #[test]
    fn the_least_that_works() {
        let config = yaml("").unwrap();
        assert_eq!(config.listen.to_string(), "127.0.0.1:4021");
        assert!(config.networks[&Network::BASE_SEPOLIA].rpc.is_empty() && config.limits().pay_to.is_empty());
        assert!(config.http().keys.is_empty());
    }

    #[test]
    fn everything() {
        let hash = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let text = format!(
            "listen: 0.0.0.0:80\nledger: /var/lib/f.db\nnetworks:\n  eip155:8453:\n    rpc: [https://rpc.example/key]\n    \
             signers: [{{env: A}}, {{file: /run/b}}]\n    pay_to: ['{PAYEE}']\n    max_fee_per_gas_gwei: '0.5'\n    \
             wallet_factories: ['{PAYEE}']\n    receipt_wait_seconds: 20\n    confirmations: 3\nkeys:\n  - name: shop\n    sha256: {hash}\n    \
             pay_to: ['{PAYEE}']\nlimits:\n  requests_per_minute: 60\n  max_body_bytes: 20000\n"
        );
        let config = FacilitatorConfig::parse("f.yaml", &text).unwrap();
        assert_eq!(config.networks[&Network::BASE].max_fee_per_gas_wei(), Some(500_000_000));
        assert!(config.limits().pay_to[&Network::BASE].contains(&Network::BASE, &PAYEE.to_lowercase()));
        assert_eq!(config.http().keys[0].sha256, KeyHash::of("abc"));
        assert_eq!(config.http().max_body_bytes, 20_000);
    }

    #[test]
    fn errors_name_the_place() {
        let cases = [
            ("listenn: 1\n", "f.yaml:4:1: ", "listenn"),
            ("limits:\n  burst: 0\n", "f.yaml:5:", "0"),
            ("limits:\n  max_body_bytes: 9999999\n", "f.yaml:5:", "262144"),
            ("limits:\n  max_settlements: 0\n", "f.yaml:5:", "from 1 to"),
            ("limits:\n  request_timeout_seconds: 18446744073709551615\n", "f.yaml:5:", "86400"),
            ("keys:\n  - name: a\n    sha256: abc\n", "f.yaml:6:", "SHA-256"),
            ("limits:\n  settle_wait_seconds: 60\n", "f.yaml: ", "settle_wait_seconds"),
            ("listen: 0.0.0.0:4021\n", "f.yaml: ", "open: true"),
        ];
        for (text, place, word) in cases {
            let message = yaml(text).unwrap_err().to_string();
            assert!(message.starts_with(place) && message.contains(word), "{text:?}: {message}");
        }
    }

    #[test]
    fn networks_are_checked() {
        let network = |name: &str, body: &str| {
            let text = format!("networks:\n  base: {{signers: [{{env: A}}]}}\n  {name}: {body}\n");
            FacilitatorConfig::parse("f.yaml", &text).unwrap_err().to_string()
        };
        let signer = "{signers: [{env: A}]}";
        assert!(network("eip155:8453", signer).contains("twice"), "one network under two names");
        assert!(network("solana", signer).contains("EVM"));
        assert!(network("bse", signer).contains("f.yaml:3:"), "{}", network("bse", signer));
        assert!(network("base-sepolia", "{signers: []}").contains("signers"));
        assert!(network("base-sepolia", "{}").contains("signers"));
        for bad in ["0", "65"] {
            let body = format!("{{signers: [{{env: A}}], confirmations: {bad}}}");
            assert!(network("base-sepolia", &body).contains("f.yaml"), "{bad}");
        }
        let patient = network("base-sepolia", "{signers: [{env: A}], receipt_wait_seconds: 45}");
        assert!(patient.contains("settle_wait_seconds"), "{patient}");
        for bad in ["0.0000000001", "-1", "1e9", "0"] {
            let body = format!("{{signers: [{{env: A}}], max_fee_per_gas_gwei: '{bad}'}}");
            assert!(network("base-sepolia", &body).contains("f.yaml:3:"), "{bad}");
        }
        let float = "{signers: [{env: A}], max_fee_per_gas_gwei: 0.5}";
        assert!(network("base-sepolia", float).contains("quotes"), "{}", network("base-sepolia", float));
    }

    /// Found by fuzz/targets/config_secrets.rs: the parser's errors repeat what they cannot read, and people write a
    /// key where its source belongs.
    #[test]
    fn no_error_repeats_an_endpoint_or_a_key() {
        let key = "5ec4e7c0ffee".repeat(6);
        for network in [
            format!("{{signers: [{{env: A}}], rpc: [\"{key}\"]}}"),
            format!("{{signers: [{{env: A}}], rpc: [\"ftp://rpc.example/{key}\"]}}"),
            format!("{{signers: [{{env: A}}], rpc: {key}}}"),
            format!("{{signers: [0x{key}]}}"),
            format!("{{signers: 0x{key}}}"),
            format!("{{signers: [{{env: 0x{key}}}]}}"),
            format!("{{signers: [{{env: e{key}}}]}}"),
            format!("{{signers: [{{key: {key}}}]}}"),
            format!("{{signers: [{{{key}: }}]}}"),
        ] {
            let text = format!("networks:\n  base: {network}\n");
            let error = FacilitatorConfig::parse("f.yaml", &text).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("5ec4e7c0ffee"), "{error}");
            assert!(error.to_string().starts_with("f.yaml:2:"), "{error}");
        }
    }

    #[test]
    fn the_guides_examples_work() {
        let guide = include_str!("../../../docs/facilitator.md");
        let examples: Vec<_> =
            guide.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
        assert_eq!(examples.len(), 2);
        for example in examples {
            FacilitatorConfig::parse("docs/facilitator.md", example).unwrap();
        }
        let defaults = |limits: LimitsConfig| format!("{limits:?}");
        let shown = FacilitatorConfig::parse(
            "f",
            guide.split("```yaml\n").nth(2).unwrap().split("```").next().unwrap(),
        );
        assert_eq!(
            defaults(shown.unwrap().limits),
            defaults(LimitsConfig::default()),
            "the guide shows the defaults"
        );
    }

    #[test]
    fn open_when_it_is_meant() {
        assert!(yaml("listen: 0.0.0.0:4021\nopen: true\n").is_ok());
    }
}
