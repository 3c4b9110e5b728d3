//! `categories:`: which hosts belong together.
use crate::error::printable;
use crate::host::{HostName, HostPattern};
use crate::payments::Pattern;
use crate::read::{entries, named};
use crate::yaml::Node;
use crate::{PolicyError, PolicyWarning};

/// The most categories: a budget for each costs every payment time in the ledger for each that its host is in.
const MAX_CATEGORIES: usize = 100;

/// The categories by name, in the policy's order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Categories(Vec<(String, Vec<HostPattern>)>);

/// An entry in a list of categories.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Category(pub(crate) String);

impl Categories {
    pub(crate) fn read(node: Option<Node>, warnings: &mut Vec<PolicyWarning>) -> Result<Self, PolicyError> {
        let Some(node) = node else { return Ok(Self::default()) };
        let mut categories = Vec::new();
        for (name, at, hosts) in named(node, "categories, such as {search: [\"api.example.com\"]}")? {
            if categories.len() == MAX_CATEGORIES {
                return Err(at.error(format!("there are more than {MAX_CATEGORIES} categories")));
            }
            let places = hosts.item_places();
            let hosts = entries(hosts, HostPattern::parse)?;
            crate::payments::covered_entries(&hosts, &places, warnings);
            categories.push((name, hosts));
        }
        Ok(Self(categories))
    }

    /// Every category that the host belongs to.
    pub(crate) fn of(&self, host: &HostName) -> Vec<&str> {
        let belongs = |hosts: &Vec<HostPattern>| hosts.iter().any(|entry| entry.covers(host));
        self.0.iter().filter(|(_, hosts)| belongs(hosts)).map(|(name, _)| name.as_str()).collect()
    }

    /// The category of this name, if the policy defines it.
    pub(crate) fn parse(&self, name: &str) -> Result<Category, String> {
        if self.0.iter().any(|(known, _)| known == name) {
            return Ok(Category(name.to_owned()));
        }
        Err(format!("the category `{}` is not defined in `categories:`", printable(name)))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &(String, Vec<HostPattern>)> {
        self.0.iter()
    }
}

impl std::fmt::Display for Category {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl Pattern for Category {
    /// A host may be in two.
    fn comparable(&self) -> Option<Self> {
        None
    }
}
