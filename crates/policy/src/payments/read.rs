//! Reads a `payments:` section.
use std::collections::HashSet;

use farthing_money::Usd;

use super::caps::{Caps, Each};
use super::{Cap, Factor, Listed, Payments, Placed, amounts};
use crate::category::Categories;
use crate::host::HostPattern;
use crate::hours::Hours;
use crate::read::Fields;
use crate::resource::ResourcePattern;
use crate::subject::{AssetPattern, Payee};
use crate::yaml::Node;
use crate::{PolicyError, PolicyWarning};

const KEYS: [&str; 16] = [
    "min",
    "max",
    "budgets",
    "rates",
    "hosts",
    "payees",
    "networks",
    "assets",
    "resources",
    "categories",
    "approve_above",
    "approval_valid",
    "max_over_advertised",
    "hours",
    "new_payees",
    "loops",
];

/// What a section is read with.
pub(crate) struct Reading<'a> {
    /// Whose section it is.
    pub(crate) agent: Option<&'a str>,
    pub(crate) categories: &'a Categories,
}

impl Reading<'_> {
    pub(super) fn rule(&self, key: &str) -> String {
        super::rule(self.agent, key)
    }

    /// Reads the section. Only the policy's own must say what its maximum is: an agent's may leave that to it.
    pub(crate) fn section(
        &self,
        node: Node,
        warnings: &mut Vec<PolicyWarning>,
    ) -> Result<Payments, PolicyError> {
        let mut fields = Fields::of(node, &KEYS)?;
        let max = self.maximum(&mut fields)?;
        let most = max.map(|max| max.value);
        let min = fields.take("min").map(|node| amounts::minimum(node, most)).transpose()?;
        let caps = self.caps(&mut fields, min.map(|min| min.value))?;
        let approval = amounts::approval(fields.take("approve_above"), fields.take("approval_valid"))?;
        let over_advertised = fields.take("max_over_advertised").map(Factor::read).transpose()?;
        let hours = fields.take("hours").map_or(Ok(Vec::new()), |node| Hours::read(node, warnings))?;
        let agent = self.agent.map(str::to_owned);
        let networks = |text: &str| text.parse().map_err(|error| format!("{error}"));
        let (resources, known) = (ResourcePattern::parse, |text: &str| self.categories.parse(text));
        Ok(Payments {
            agent,
            min,
            max,
            caps,
            hosts: Listed::read(self.rule("hosts"), fields.take("hosts"), warnings, HostPattern::parse)?,
            payees: Listed::read(self.rule("payees"), fields.take("payees"), warnings, Payee::parse)?,
            networks: Listed::read(self.rule("networks"), fields.take("networks"), warnings, networks)?,
            assets: Listed::read(self.rule("assets"), fields.take("assets"), warnings, AssetPattern::parse)?,
            resources: Listed::read(self.rule("resources"), fields.take("resources"), warnings, resources)?,
            categories: Listed::read(self.rule("categories"), fields.take("categories"), warnings, known)?,
            approval,
            over_advertised,
            hours,
        })
    }

    fn maximum(&self, fields: &mut Fields) -> Result<Option<Placed<Usd>>, PolicyError> {
        const HINT: &str = "write the most that may be paid at once, such as \"$0.10\", or `max: none`";
        let max = match self.agent {
            None => Some(fields.need("max", HINT)?),
            Some(_) => fields.take("max"),
        };
        Ok(max.map(amounts::maximum).transpose()?.flatten())
    }

    /// All that counts. `least` is the least that a payment may be.
    fn caps(&self, fields: &mut Fields, least: Option<Usd>) -> Result<Vec<Cap>, PolicyError> {
        let mut caps = Caps { reading: self, least, names: HashSet::new(), caps: Vec::new() };
        caps.read(fields.take("budgets"), Caps::budget)?;
        caps.read(fields.take("rates"), Caps::rate)?;
        caps.single("new_payees", fields.take("new_payees"), Each::NewPayee)?;
        caps.single("loops", fields.take("loops"), Each::Same)?;
        Ok(caps.caps)
    }
}
