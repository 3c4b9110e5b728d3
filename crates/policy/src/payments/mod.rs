//! `payments:`: the rules for payments, at the top of a policy and in each agent's section.
mod amounts;
mod caps;
mod facts;
mod judge;
mod lists;
mod read;

use std::time::Duration;

use farthing_money::{Network, Usd};

use crate::category::Category;
use crate::error::Place;
use crate::host::HostPattern;
use crate::hours::Hours;
use crate::resource::ResourcePattern;
use crate::subject::{AssetPattern, Payee};

pub(crate) use amounts::Factor;
pub(crate) use caps::{Cap, Each, Span};
pub(crate) use facts::{Facts, Target};
pub(crate) use judge::above;
pub(crate) use lists::{Listed, Pattern, covered_entries};
pub(crate) use read::Reading;

/// A `payments:` section.
#[derive(Debug, Clone)]
pub(crate) struct Payments {
    /// Whose section it is; none for the policy's own, which hold for everybody.
    pub(crate) agent: Option<String>,
    pub(crate) min: Option<Placed<Usd>>,
    pub(crate) max: Option<Placed<Usd>>,
    pub(crate) caps: Vec<Cap>,
    pub(crate) hosts: Listed<HostPattern>,
    pub(crate) payees: Listed<Payee>,
    pub(crate) networks: Listed<Network>,
    pub(crate) assets: Listed<AssetPattern>,
    pub(crate) resources: Listed<ResourcePattern>,
    pub(crate) categories: Listed<Category>,
    pub(crate) approval: Option<Approval>,
    pub(crate) over_advertised: Option<Factor>,
    /// Payments are allowed in any of them; at every time where there are none.
    pub(crate) hours: Vec<Hours>,
}

/// A value with its place in the text, for what is found out about it later.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Placed<T> {
    pub(crate) at: Place,
    pub(crate) value: T,
}

/// From which amount on a person has to approve a payment, and for how long that is good.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Approval {
    pub(crate) at: Place,
    pub(crate) above: Usd,
    pub(crate) valid: Duration,
}

impl Payments {
    /// How a rule without a name of its own is called: `payments.max`, `agents.team.payments.max`.
    pub(crate) fn rule(&self, key: &str) -> String {
        rule(self.agent.as_deref(), key)
    }
}

fn rule(agent: Option<&str>, key: &str) -> String {
    match agent {
        None => format!("payments.{key}"),
        Some(agent) => format!("agents.{agent}.payments.{key}"),
    }
}
