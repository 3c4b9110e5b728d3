use std::time::Duration;

use farthing_money::Network;
use url::Url;

/// A network and how it is reached.
#[derive(Clone)]
pub struct ChainConfig {
    /// The network, in the `eip155` namespace.
    pub network: Network,
    /// Its JSON-RPC endpoints, the preferred one first. A URL may hold an API key: it is never shown.
    pub endpoints: Vec<Url>,
    /// How long one request to one endpoint may take. All endpoints together get three times as long.
    pub request_timeout: Duration,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How long the chain takes for a block; it sets how often receipts are asked for.
    pub block_time: Duration,
    /// How many blocks one search for logs may span. Public endpoints allow 10,000.
    pub log_range_blocks: u64,
}

/// Public endpoints that ask for no key, for Base. Good for a first payment; a seller wants one of its own.
const BASE: [&str; 3] =
    ["https://mainnet.base.org", "https://base-rpc.publicnode.com", "https://base.drpc.org"];

/// The same for Base Sepolia.
const BASE_SEPOLIA: [&str; 3] =
    ["https://sepolia.base.org", "https://base-sepolia-rpc.publicnode.com", "https://base-sepolia.drpc.org"];

impl ChainConfig {
    /// A network at these endpoints, with defaults made for Base: requests of 5 s, connecting in 2 s, blocks of 2 s.
    #[must_use]
    pub fn new(network: Network, endpoints: Vec<Url>) -> Self {
        Self {
            network,
            endpoints,
            request_timeout: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(2),
            block_time: Duration::from_secs(2),
            log_range_blocks: 10_000,
        }
    }

    /// A network at its well-known public endpoints; `None` where none are known.
    #[must_use]
    pub fn public(network: &Network) -> Option<Self> {
        let urls = match network.evm_chain_id()? {
            8453 => BASE,
            84532 => BASE_SEPOLIA,
            _ => return None,
        };
        Some(Self::new(network.clone(), urls.iter().filter_map(|url| url.parse().ok()).collect()))
    }
}

impl std::fmt::Debug for ChainConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let hosts: Vec<_> = self.endpoints.iter().map(|url| url.host_str().unwrap_or("?")).collect();
        f.debug_struct("ChainConfig")
            .field("network", &self.network)
            .field("hosts", &hosts)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_public_endpoint_is_a_url() {
        for network in [Network::BASE, Network::BASE_SEPOLIA] {
            assert_eq!(ChainConfig::public(&network).unwrap().endpoints.len(), 3);
        }
        assert!(ChainConfig::public(&Network::evm(1)).is_none());
    }

    #[test]
    fn keys_in_urls_are_not_shown() {
        let config =
            ChainConfig::new(Network::BASE, vec!["https://a.example/v2/SECRET?key=SECRET".parse().unwrap()]);
        assert!(!format!("{config:?}").contains("SECRET"));
    }
}
