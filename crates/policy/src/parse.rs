use std::collections::HashSet;
use std::hash::Hash;

use farthing_money::Usd;
use sha2::{Digest, Sha256};

use crate::error::{Place, printable};
use crate::host::HostPattern;
use crate::policy::{Cap, Each, Listed, Payments};
use crate::read::{Fields, count, dollars, entries, items, name, text, window};
use crate::subject::{AssetPattern, Payee};
use crate::tools;
use crate::yaml::{self, Node, Value};
use crate::{Measure, Policy, PolicyError};

/// The most budgets and rates together: each costs every payment time in the ledger.
const MAX_CAPS: usize = 100;

impl Policy {
    /// The largest text that is read, in bytes.
    pub const MAX_BYTES: usize = 256 * 1024;

    /// Reads a policy. The crate's documentation shows the language.
    ///
    /// # Errors
    /// [`PolicyError`], with the place, for anything that is not certainly meant: unknown or repeated keys, amounts
    /// without quotes, empty lists, names given twice, and rules under which no payment could ever be made.
    pub fn parse(yaml: &str) -> Result<Self, PolicyError> {
        if yaml.len() > Self::MAX_BYTES {
            return Err(Place::START.error(format!("the policy has more than {} bytes", Self::MAX_BYTES)));
        }
        const KEYS: [&str; 7] = ["version", "description", "default", "hide", "tools", "payments", "audit"];
        let mut top = Fields::of(yaml::parse(yaml)?, &KEYS)?;
        version(top.need("version", "write `version: 1`")?)?;
        // For people; whatever stands there is text.
        top.take("description");
        let tools = tools::read(&mut top)?;
        let payments = match (top.take("payments"), &tools) {
            (Some(node), _) => payments(node)?,
            (None, Some(_)) => Payments::nothing(),
            (None, None) => {
                payments(top.need("payments", "write what may be paid, or `tools:`, what may be called")?)?
            }
        };
        let recording = top.take("audit").map(tools::recording).transpose()?.unwrap_or_default();
        Ok(Self { hash: hex::encode(Sha256::digest(yaml)), payments, tools, recording })
    }

    /// The policy that `farthing init` writes: small caps, every choice explained in comments.
    #[must_use]
    pub const fn starter() -> &'static str {
        include_str!("starter.yaml")
    }
}

fn version(node: Node) -> Result<(), PolicyError> {
    match &node.value {
        Value::Plain(text) | Value::Quoted(text) if text == "1" => Ok(()),
        _ => Err(node.at.error("this farthing reads policies of version 1")),
    }
}

fn payments(node: Node) -> Result<Payments, PolicyError> {
    const KEYS: [&str; 8] = ["min", "max", "budgets", "rates", "hosts", "payees", "networks", "assets"];
    let mut fields = Fields::of(node, &KEYS)?;
    let max =
        fields.need("max", "write the most that may be paid at once, such as \"$0.10\", or `max: none`")?;
    let max = maximum(max)?;
    let min = fields.take("min").map(|node| minimum(node, max)).transpose()?;
    let mut caps = Caps { least: min, names: HashSet::new(), caps: Vec::new() };
    caps.read(fields.take("budgets"), Caps::budget)?;
    caps.read(fields.take("rates"), Caps::rate)?;
    Ok(Payments {
        min,
        max,
        caps: caps.caps,
        hosts: listed("hosts", fields.take("hosts"), HostPattern::parse)?,
        payees: listed("payees", fields.take("payees"), Payee::parse)?,
        networks: listed("networks", fields.take("networks"), |text| {
            text.parse().map_err(|error| format!("{error}"))
        })?,
        assets: listed("assets", fields.take("assets"), AssetPattern::parse)?,
    })
}

/// The most per payment; `none` must be written to have none.
fn maximum(node: Node) -> Result<Option<Usd>, PolicyError> {
    let at = node.at;
    if matches!(&node.value, Value::Plain(text) if text == "none") {
        return Ok(None);
    }
    match dollars(node)? {
        Usd::ZERO => Err(at.error("a maximum of $0 would never allow a payment")),
        max => Ok(Some(max)),
    }
}

fn minimum(node: Node, max: Option<Usd>) -> Result<Usd, PolicyError> {
    let at = node.at;
    let min = dollars(node)?;
    match max {
        Some(max) if min > max => Err(at.error(format!(
            "the minimum {min} is above the maximum {max}: no payment would ever be allowed"
        ))),
        _ => Ok(min),
    }
}

/// Budgets and rates as they are read.
struct Caps {
    least: Option<Usd>,
    names: HashSet<String>,
    caps: Vec<Cap>,
}

impl Caps {
    fn read(
        &mut self,
        list: Option<Node>,
        measure: fn(&Self, Node) -> Result<Measure, PolicyError>,
    ) -> Result<(), PolicyError> {
        let Some(list) = list else { return Ok(()) };
        for node in items(list)? {
            let at = node.at;
            let mut fields = Fields::of(node, &["name", "max", "per", "each"])?;
            let name = self.unused(fields.need("name", "denials call the rule by it")?)?;
            let max = fields.need("max", "write the most that fits into the window")?;
            let measure = measure(self, max)?;
            let window = window(fields.need("per", "write the window, such as day or \"24 hours\"")?)?;
            let each = fields.take("each").map_or(Ok(Each::All), each)?;
            if self.caps.len() == MAX_CAPS {
                return Err(at.error(format!("there are more than {MAX_CAPS} budgets and rates")));
            }
            self.caps.push(Cap { name, measure, window, each });
        }
        Ok(())
    }

    fn unused(&mut self, node: Node) -> Result<String, PolicyError> {
        let at = node.at;
        let name = name(node)?;
        if self.names.insert(name.clone()) {
            return Ok(name);
        }
        Err(at.error(format!("a rule named `{name}` stands above already")))
    }

    fn budget(&self, node: Node) -> Result<Measure, PolicyError> {
        let at = node.at;
        let max = dollars(node)?;
        if max == Usd::ZERO {
            return Err(at.error("a budget of $0 would never allow a payment"));
        }
        match self.least {
            Some(min) if max < min => Err(at.error(format!(
                "the budget {max} is below the minimum per payment {min}: it would never allow a payment"
            ))),
            _ => Ok(Measure::Amount(max)),
        }
    }

    fn rate(&self, node: Node) -> Result<Measure, PolicyError> {
        count(node).map(Measure::Count)
    }
}

fn each(node: Node) -> Result<Each, PolicyError> {
    let at = node.at;
    match text(node)?.as_str() {
        "host" => Ok(Each::Host),
        "payee" => Ok(Each::Payee),
        other => Err(at.error(format!("`{}` is not counted apart: write host or payee", printable(other)))),
    }
}

fn listed<T: Eq + Hash + Clone>(
    section: &'static str,
    node: Option<Node>,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<Listed<T>, PolicyError> {
    let Some(node) = node else { return Ok(Listed { section, allow: None, deny: Vec::new() }) };
    let at = node.at;
    let mut fields = Fields::of(node, &["allow", "deny"])?;
    let allow = fields.take("allow").map(|node| entries(node, &parse)).transpose()?;
    let deny = fields.take("deny").map(|node| entries(node, &parse)).transpose()?;
    if allow.is_none() && deny.is_none() {
        return Err(at.error(format!("`{section}` needs an allow list or a deny list")));
    }
    Ok(Listed { section, allow, deny: deny.unwrap_or_default() })
}
