//! `agents:`: who may pay and call what, each under its parent.
use std::collections::{HashMap, HashSet};

use jiff::Timestamp;

use crate::category::Categories;
use crate::error::{Place, printable};
use crate::payments::{Payments, Placed, Reading};
use crate::read::{Fields, entries, named, text};
use crate::yaml::Node;
use crate::{Denial, DenialCode, PolicyError, PolicyWarning};

/// How deep agents may stand under one another: each level's limits cost every payment time in the ledger.
const MAX_DEPTH: usize = 8;

/// The agents, in the policy's order.
#[derive(Debug, Clone)]
pub(crate) struct Agents(Vec<Agent>);

/// An agent.
#[derive(Debug, Clone)]
pub(crate) struct Agent {
    pub(crate) name: String,
    at: Place,
    /// The place of its parent among the agents.
    parent: Option<usize>,
    pub(crate) expires: Option<Placed<Timestamp>>,
    /// Its own rules, beside those of everybody above it.
    pub(crate) payments: Option<Payments>,
    /// The tools that it may call; none for all that its parent may.
    pub(crate) tools: Option<Vec<String>>,
    tool_places: Vec<Place>,
}

impl Agents {
    /// Reads the section. `payable` says whether the policy allows payments at all.
    pub(crate) fn read(
        node: Node,
        categories: &Categories,
        payable: bool,
        warnings: &mut Vec<PolicyWarning>,
    ) -> Result<Self, PolicyError> {
        let mut agents = Vec::new();
        let mut parents = Vec::new();
        for (name, at, node) in named(node, "agents, such as {researcher: {payments: {max: \"$0.05\"}}}")? {
            let mut fields = Fields::of(node, &["parent", "expires", "payments", "tools"])?;
            parents.push(fields.take("parent"));
            let expires = fields.take("expires").map(timestamp).transpose()?;
            let payments = fields.take("payments");
            if let Some(node) = payments.as_ref().filter(|_| !payable) {
                return Err(node.at.error("the policy has no `payments:` at its top, so no agent may pay"));
            }
            let reading = Reading { agent: Some(&name), categories };
            let payments = payments.map(|node| reading.section(node, warnings)).transpose()?;
            let tools = fields.take("tools");
            let tool_places = tools.as_ref().map(Node::item_places).unwrap_or_default();
            let tools = tools.map(|node| entries(node, tool)).transpose()?;
            agents.push(Agent { name, at, parent: None, expires, payments, tools, tool_places });
        }
        let mut agents = Self(agents);
        agents.link(parents)?;
        agents.compare(warnings);
        Ok(agents)
    }

    fn link(&mut self, parents: Vec<Option<Node>>) -> Result<(), PolicyError> {
        let names: HashMap<String, usize> =
            self.0.iter().enumerate().map(|(index, agent)| (agent.name.clone(), index)).collect();
        let mut places = HashMap::new();
        for (index, parent) in parents.into_iter().enumerate() {
            let Some(node) = parent else { continue };
            let at = node.at;
            let parent = text(node)?;
            let Some(above) = names.get(&parent) else {
                return Err(at.error(format!("there is no agent `{}` in this policy", printable(&parent))));
            };
            places.insert(index, at);
            if let Some(agent) = self.0.get_mut(index) {
                agent.parent = Some(*above);
            }
        }
        for (index, agent) in self.0.iter().enumerate() {
            // More steps than there are agents lead round a circle.
            let depth = self.upwards(index).take(self.0.len() + 1).count();
            let at = places.get(&index).copied().unwrap_or(agent.at);
            if depth > self.0.len() {
                return Err(
                    at.error(format!("`{}` stands under itself: parents go round in a circle", agent.name))
                );
            }
            if depth > MAX_DEPTH {
                return Err(at.error(format!("more than {MAX_DEPTH} agents stand under one another here")));
            }
        }
        Ok(())
    }

    /// Warns of what an agent's parents do not let it have.
    fn compare(&self, warnings: &mut Vec<PolicyWarning>) {
        let set =
            |agent: &Agent| agent.tools.as_ref().map(|tools| tools.iter().cloned().collect::<HashSet<_>>());
        let tools: HashMap<&str, HashSet<String>> =
            self.0.iter().filter_map(|agent| Some((agent.name.as_str(), set(agent)?))).collect();
        for chain in self.chains() {
            let Some((agent, above)) = chain.split_first() else { continue };
            if let Some(own) = agent.expires
                && let Some(sooner) =
                    above.iter().find(|parent| parent.expires.is_some_and(|p| p.value < own.value))
            {
                warnings.push(own.at.warning(format!("`{}`, above it, expires sooner", sooner.name)));
            }
            let lacks =
                |parent: &Agent, tool| tools.get(parent.name.as_str()).is_some_and(|set| !set.contains(tool));
            for (tool, at) in agent.tools.iter().flatten().zip(&agent.tool_places) {
                if let Some(parent) = above.iter().find(|parent| lacks(parent, tool)) {
                    let tool = printable(tool);
                    warnings.push(at.warning(format!("`{}`, above it, may not call `{tool}`", parent.name)));
                }
            }
        }
    }

    /// Every agent with those above it, from the bottom up.
    pub(crate) fn chains(&self) -> impl Iterator<Item = Vec<&Agent>> {
        (0..self.0.len()).map(|index| self.upwards(index).collect())
    }

    /// The agent at `index`, and those above it.
    fn upwards(&self, index: usize) -> impl Iterator<Item = &Agent> {
        let first = self.0.get(index);
        std::iter::successors(first, |agent| agent.parent.and_then(|parent| self.0.get(parent)))
    }

    /// The agent of this name and those above it, from the bottom up.
    pub(crate) fn chain(&self, name: &str) -> Option<Vec<&Agent>> {
        let index = self.0.iter().position(|agent| agent.name == name)?;
        Some(self.upwards(index).collect())
    }

    /// The names of the agents right below one, or below nobody.
    pub(crate) fn right_below<'a>(&'a self, parent: Option<&'a str>) -> impl Iterator<Item = &'a str> {
        let name_of = |index: usize| self.0.get(index).map(|agent| agent.name.as_str());
        let below = move |agent: &&Agent| agent.parent.and_then(name_of) == parent;
        self.0.iter().filter(below).map(|agent| agent.name.as_str())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Agent> {
        self.0.iter()
    }
}

impl Agent {
    /// Denies an agent whose time is over.
    pub(crate) fn admit(&self, now: Timestamp) -> Result<(), Denial> {
        match self.expires {
            Some(expires) if now >= expires.value => {
                let message = format!("the agent `{}` expired at {}", self.name, expires.value);
                Err(Denial::new(DenialCode::AgentExpired, format!("agents.{}.expires", self.name), message))
            }
            _ => Ok(()),
        }
    }

    /// Denies a tool that is not on the agent's list.
    pub(crate) fn admit_tool(&self, tool: &str) -> Result<(), Denial> {
        if self.lists(tool) {
            return Ok(());
        }
        let message = format!("the agent `{}` may not call `{}`", self.name, printable(tool));
        Err(Denial::new(DenialCode::ToolNotAllowed, format!("agents.{}.tools", self.name), message))
    }

    fn lists(&self, tool: &str) -> bool {
        self.tools.as_ref().is_none_or(|tools| tools.iter().any(|listed| listed == tool))
    }

    /// The name of the agent right above it.
    pub(crate) fn parent<'a>(&self, agents: &'a Agents) -> Option<&'a str> {
        agents.0.get(self.parent?).map(|parent| parent.name.as_str())
    }
}

fn tool(text: &str) -> Result<String, String> {
    if text.is_empty() || text == "*" {
        return Err(
            "write the tool's exact name; without a list, an agent may call all that its parent may".into()
        );
    }
    Ok(text.to_owned())
}

fn timestamp(node: Node) -> Result<Placed<Timestamp>, PolicyError> {
    let at = node.at;
    let wanted = text(node)?;
    let parsed = wanted.parse().map_err(|_| {
        at.error(format!("`{}` is not a time: write it as \"2026-12-31T00:00:00Z\"", printable(&wanted)))
    });
    Ok(Placed { at, value: parsed? })
}
