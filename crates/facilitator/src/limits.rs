use std::collections::BTreeMap;
use std::time::Duration;

use farthing_money::Network;

/// What a [`Facilitator`](crate::Facilitator) does at most, and for whom.
#[derive(Debug, Clone)]
pub struct Limits {
    /// The payees that are settled for, by network. A network that is not named settles for anybody.
    pub pay_to: BTreeMap<Network, Payees>,
    /// How long a caller of settle waits for an answer. The settlement itself goes on after it.
    pub settle_wait: Duration,
    /// Settlements worked on at once; more are refused until some are done.
    pub max_settlements: usize,
    /// Pending settlements asked about at once, in the background.
    pub max_watched: usize,
    /// The shortest and the longest time between two questions about one pending settlement. It doubles from the one
    /// to the other.
    pub watch_every: (Duration, Duration),
    /// After this time a settlement that was begun and for which no transaction was ever written is taken to belong
    /// to a process that died. It must be longer than verifying takes with every endpoint timing out.
    pub unsent_lease: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            pay_to: BTreeMap::new(),
            settle_wait: Duration::from_secs(45),
            max_settlements: 1024,
            max_watched: 16,
            watch_every: (Duration::from_secs(1), Duration::from_secs(30)),
            unsent_lease: Duration::from_secs(120),
        }
    }
}

/// A list of payees, as their addresses are written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Payees(Vec<String>);

impl Payees {
    /// These addresses and no others. An empty list is nobody.
    #[must_use]
    pub fn new(addresses: Vec<String>) -> Self {
        Self(addresses)
    }

    /// Whether the address is on the list. EVM addresses compare without case.
    #[must_use]
    pub fn contains(&self, network: &Network, address: &str) -> bool {
        self.0.iter().any(|listed| network.same_address(listed, address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payees_compare_as_their_network_does() {
        let list = Payees::new(vec!["0xAbCd".into()]);
        assert!(list.contains(&Network::BASE, "0xabcd"));
        assert!(!list.contains(&Network::SOLANA, "0xabcd"));
        assert!(!Payees::default().contains(&Network::BASE, "0xabcd"));
    }
}
