//! In how many scopes a cap can count at most.
use std::collections::HashSet;

use farthing_money::Network;

use crate::Policy;
use crate::payments::{Each, Listed, Payments};
use crate::subject::AssetPattern;

impl Policy {
    /// How many scopes of this kind the payments of an agent and those below it can count in together; none where nothing
    /// limits them. Every payment counts in at least one of them.
    pub(super) fn scopes(
        &self,
        sections: &[&Payments],
        section: &Payments,
        each: Each,
        agent: Option<&str>,
    ) -> Option<u64> {
        let least = |count: &dyn Fn(&Payments) -> Option<usize>| {
            let least = sections.iter().filter_map(|section| count(section)).min();
            least.and_then(|least| u64::try_from(least).ok())
        };
        match each {
            Each::All => Some(1),
            Each::Agent => self.agent_scopes(section, agent),
            Each::Host => least(&|section| self.hosts(section)),
            Each::Payee => least(&|section| allowed(&section.payees).map(<[_]>::len)),
            Each::Network => least(&networks),
            Each::Resource => least(&|section| {
                let allow = allowed(&section.resources)?;
                allow.iter().all(|entry| entry.is_exact()).then_some(allow.len())
            }),
            Each::Category => {
                // Hosts of no category count together.
                let all = u64::try_from(self.categories.iter().count() + 1).ok();
                least(&|section| allowed(&section.categories).map(<[_]>::len)).or(all)
            }
            // A new payee, or a call that was not made before, is always to be had; so is another tool.
            Each::Tool | Each::Same | Each::NewPayee => None,
        }
    }

    /// An agent below the section's owner counts in one scope with all below it. For the owner itself, there is one for each
    /// agent right below it, and one for what it pays itself.
    fn agent_scopes(&self, section: &Payments, agent: Option<&str>) -> Option<u64> {
        if agent.is_some() && agent != section.agent.as_deref() {
            return Some(1);
        }
        let below = self.agents.as_ref()?.right_below(section.agent.as_deref()).count();
        u64::try_from(below + 1).ok()
    }

    /// How many hosts a section allows: its lists of hosts and of categories each say.
    fn hosts(&self, section: &Payments) -> Option<usize> {
        let hosts = allowed(&section.hosts)
            .and_then(|allow| allow.iter().map(|entry| entry.only_name()).collect::<Option<HashSet<_>>>());
        let categories = allowed(&section.categories).and_then(|allow| {
            let listed =
                self.categories.iter().filter(|(name, _)| allow.iter().any(|entry| entry.0 == *name));
            listed.flat_map(|(_, hosts)| hosts).map(|entry| entry.only_name()).collect::<Option<HashSet<_>>>()
        });
        [hosts, categories].into_iter().flatten().map(|names| names.len()).min()
    }
}

/// What is counted apart, in words.
pub(super) fn counted(each: Each) -> &'static str {
    match each {
        Each::All => "everything",
        Each::Agent => "agents",
        Each::Host => "hosts",
        Each::Payee => "payees",
        Each::Resource => "resources",
        Each::Network => "networks",
        Each::Category => "categories",
        Each::Tool => "tools",
        Each::Same => "calls that differ",
        Each::NewPayee => "new payees",
    }
}

fn networks(section: &Payments) -> Option<usize> {
    let listed = allowed(&section.networks).map(<[_]>::len);
    let by_asset = allowed(&section.assets).and_then(|allow| {
        allow.iter().map(network_of).collect::<Option<HashSet<_>>>().map(|networks| networks.len())
    });
    [listed, by_asset].into_iter().flatten().min()
}

fn network_of(entry: &AssetPattern) -> Option<&Network> {
    match entry {
        AssetPattern::Exact { network, .. } => Some(network),
        AssetPattern::Symbol(_) => None,
    }
}

/// The allow list, where it refuses what is not on it.
fn allowed<T>(list: &Listed<T>) -> Option<&[T]> {
    list.allow.as_deref().filter(|_| !list.shadow)
}
