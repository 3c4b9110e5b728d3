//! `config.yaml`: which networks, which endpoints, how the keys are unlocked.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use farthing_keystore::Unlock;
use farthing_money::{Asset, Network, Registry};
use serde::{Deserialize, Deserializer};
use url::Url;

use crate::exit::{Code, Failure};
use crate::home;
use crate::output::printable;
use crate::webhook::ApprovalsConfig;

/// What `init` writes.
pub(crate) const STARTER: &str = include_str!("starter-config.yaml");

/// The whole file. Every key is optional; unknown keys are errors.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The file format's version.
    #[serde(default = "one", deserialize_with = "number")]
    version: u64,
    /// Networks that may be paid on; Base and Base Sepolia where none is named.
    #[serde(default)]
    networks: BTreeMap<Network, NetworkConfig>,
    /// Which network to prefer among offers of the same price.
    #[serde(default)]
    pub(crate) prefer: Vec<Network>,
    /// Further assets that are believed to be worth a dollar a unit.
    #[serde(default)]
    assets: Vec<Asset>,
    /// Hosts that are paid over plain http although they are not this machine.
    #[serde(default)]
    pub(crate) plain_http_hosts: Vec<String>,
    /// Hosts that agents may call although they are on this machine or in a private network.
    #[serde(default)]
    pub(crate) private_hosts: Vec<String>,
    /// The indexes that `search` asks.
    indexes: Option<Vec<String>>,
    /// How many seconds an answer may take to begin.
    #[serde(default, deserialize_with = "number")]
    timeout_seconds: Option<u64>,
    /// The longest paid body that is kept.
    #[serde(default, deserialize_with = "number")]
    max_body_bytes: Option<u64>,
    /// Where the passphrase comes from when FARTHING_PASSPHRASE is not set.
    pub(crate) unlock: Option<Unlock>,
    /// Who is told that an approval waits.
    pub(crate) approvals: Option<ApprovalsConfig>,
    /// Who brings transfers onto the chain; the wallet itself, out of its own ETH, where nobody is named.
    pub(crate) facilitator: Option<FacilitatorAt>,
}

/// A facilitator of somebody else's.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FacilitatorAt {
    /// Its address.
    pub(crate) url: Url,
    /// The environment variable that holds the key by which it knows us.
    pub(crate) bearer_env: Option<String>,
}

/// One network.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NetworkConfig {
    /// The endpoints, tried in this order; public ones where none is named.
    #[serde(default)]
    pub(crate) rpc: Vec<String>,
}

fn one() -> u64 {
    1
}

/// A number that is written as one. A text in its place is a mistake, and mistakes are not guessed at.
fn number<'de, T: From<u64>, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected a whole number, without quotes")]
    enum Number {
        Whole(u64),
    }
    Number::deserialize(deserializer).map(|Number::Whole(number)| number.into())
}

impl Config {
    /// Reads the file; the defaults where there is none.
    pub(crate) fn load(path: &Path) -> Result<Self, Failure> {
        let text = home::read_or(path, STARTER)?;
        Self::parse(&text).map_err(|why| {
            Failure::new(Code::Configuration, format!("{}:{why}", path.display()))
                .hint("docs/wallet.md explains every key")
        })
    }

    /// The error begins with its place, as far as it has one: it follows the file's name and a colon.
    fn parse(text: &str) -> Result<Self, String> {
        let options = serde_saphyr::options! { with_snippet: false, no_schema: true };
        let mut field = String::new();
        let read = serde_saphyr::with_deserializer_from_str_with_options(text, options, |yaml| {
            serde_path_to_error::deserialize(yaml).map_err(|error| {
                field = error.path().to_string();
                error.into_inner()
            })
        });
        let config: Self = read.map_err(|error| with_place(&error, &field))?;
        config.check().map_err(|why| format!(" {why}"))?;
        Ok(config)
    }

    fn check(&self) -> Result<(), String> {
        if self.version != 1 {
            return Err(format!("`version` is {}; this farthing reads version 1", self.version));
        }
        if self.timeout_seconds.is_some_and(|seconds| !(1..=3600).contains(&seconds)) {
            return Err("`timeout_seconds` must be from 1 to 3600".to_owned());
        }
        if matches!(&self.unlock, Some(Unlock::Command(command)) if command.is_empty()) {
            return Err("`unlock.command` is empty; name a program and its arguments".to_owned());
        }
        self.approvals.as_ref().map_or(Ok(()), ApprovalsConfig::check)?;
        for (network, config) in &self.networks {
            crate::session::chain(network, &config.rpc).map_err(|failure| failure.message)?;
        }
        self.registry().map_err(|failure| failure.message)?;
        self.indexes().map_err(|failure| failure.message)?;
        Ok(())
    }

    /// The known assets: the built-in ones and the user's.
    pub(crate) fn registry(&self) -> Result<Registry, Failure> {
        let mut registry = Registry::builtin();
        for asset in &self.assets {
            let refused = |error| Failure::new(Code::Configuration, format!("`assets`: {error}"));
            registry.add(asset.clone()).map_err(refused)?;
        }
        Ok(registry)
    }

    /// The indexes that are asked: the user's, or public ones that need no key.
    pub(crate) fn indexes(&self) -> Result<Vec<Url>, Failure> {
        let public = || farthing_discovery::DEFAULT_INDEXES.map(str::to_owned).to_vec();
        let texts = self.indexes.clone().unwrap_or_else(public);
        texts.iter().map(|text| index(text, "`indexes`")).collect()
    }

    /// The networks that may be paid on, each with its endpoints.
    pub(crate) fn networks(&self) -> BTreeMap<Network, NetworkConfig> {
        if !self.networks.is_empty() {
            return self.networks.clone();
        }
        [Network::BASE, Network::BASE_SEPOLIA].map(|network| (network, NetworkConfig::default())).into()
    }

    pub(crate) fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout_seconds.unwrap_or(60))
    }

    pub(crate) fn max_body_bytes(&self) -> u64 {
        self.max_body_bytes.unwrap_or(1 << 30)
    }
}

/// An index's address. `place` says where it was given.
pub(crate) fn index(text: &str, place: &str) -> Result<Url, Failure> {
    let url = text.parse::<Url>().ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    let message = || format!("{place}: `{}` is no http or https address", printable(text));
    url.ok_or_else(|| Failure::new(Code::Configuration, message()))
}

/// "3:10: `timeout_seconds`: what is wrong", as an editor reads it.
fn with_place(error: &serde_saphyr::Error, field: &str) -> String {
    let error = error.without_snippet();
    let text = error.to_string();
    let message = text.lines().next().unwrap_or_default();
    // The parser ends its messages with the place, which stands in front here.
    let message = message.rsplit_once(" at line ").map_or(message, |(message, _)| message);
    // The whole file's path is a point.
    let field = if matches!(field, "" | ".") { String::new() } else { format!("`{field}`: ") };
    match error.location() {
        Some(at) => format!("{}:{}: {field}{message}", at.line(), at.column()),
        None => format!(" {field}{message}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_starter_is_valid() {
        let config = Config::parse(STARTER).unwrap();
        assert_eq!(config.networks().len(), 2);
    }

    /// The examples of docs/wallet.md: a policy, a way to unlock, a configuration, in this order.
    #[test]
    fn the_guides_examples_are_good() {
        let guide = include_str!("../../../docs/wallet.md");
        let address = format!("0x{}", "11".repeat(20));
        let examples: Vec<String> = guide
            .split("```yaml\n")
            .skip(1)
            .filter_map(|rest| rest.split("```").next())
            .map(|example| example.replace("https://…", "https://rpc.example").replace("0x…", &address))
            .collect();
        let [policy, unlock, config] = examples.as_slice() else { panic!("{} examples", examples.len()) };
        farthing_policy::Policy::parse(policy).unwrap();
        Config::parse(&format!("version: 1\n{unlock}")).unwrap();
        Config::parse(config).unwrap();
    }

    #[test]
    fn mistakes_are_named_with_their_place() {
        for (text, word) in [
            ("networkz: {}", "networkz"),
            ("version: 2", "version"),
            ("timeout_seconds: 0", "timeout_seconds"),
            ("timeout_seconds: soon", "1:18: "),
            ("prefer: [base]\ntimeout_seconds: \"60\"", "2:18: `timeout_seconds`"),
            ("timeout_seconds: 1.5", "1:18: `timeout_seconds`"),
            ("timeout_seconds: -1", "1:18: `timeout_seconds`"),
            ("timeout_seconds: [60]", "1:18: `timeout_seconds`"),
            ("timeout_seconds: true", "1:18: `timeout_seconds`"),
            ("timeout_seconds:", "timeout_seconds"),
            ("version: '1'", "1:10: `version`"),
            ("max_body_bytes: '1024'", "1:17: `max_body_bytes`"),
            ("unlock: {fd: '3'}", "1:14: `unlock.fd`"),
            ("plain_http_hosts: [10.5]", "1:20: `plain_http_hosts[0]`"),
            ("plain_http_hosts: [yes]", "1:20: "),
            ("networks:\n  base:\n    rpc: [8545]", "3:11: `networks.base.rpc[0]`"),
            ("networks:\n  base:\n    rpc: http://127.0.0.1", "3:10: `networks.base.rpc`"),
            (
                "assets: [{network: base, address: \"0x11\", symbol: X, decimals: \"6\"}]",
                "`assets[0].decimals`",
            ),
            ("networks:\n  base: {rpcs: []}", "2:10: "),
            ("networks: {base: {rpc: [\"not an address\"]}}", "no http or https"),
            ("networks: {mars: {}}", "mars"),
            ("unlock: {command: []}", "unlock.command"),
            ("indexes: [\"ftp://a.example\"]", "`indexes`"),
            ("indexes: https://a.example", "1:10: `indexes`"),
            ("approvals: {webhook: \"http://a.example\", secret_env: X}", "no https address"),
            ("approvals: {webhook: \"https://a.example\"}", "secret_env"),
            ("prefer: [base]\nprefer: [base]", "prefer"),
        ] {
            let error = Config::parse(text).unwrap_err();
            assert!(error.contains(word), "{text}: {error}");
        }
    }

    #[test]
    fn an_asset_cannot_redefine_usdc() {
        let text = r#"assets: [{network: base, address: "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913", symbol: USDC, decimals: 8}]"#;
        assert!(Config::parse(text).unwrap_err().contains("already registered"));
    }
}
