use farthing_money::{Asset, BaseUnits, Usd};
use jiff::Timestamp;

use crate::agents::{Agent, Agents};
use crate::category::Categories;
use crate::json::{Json, Object};
use crate::payments::{Each, Facts, Payments, Target, above};
use crate::tools::{Call, Recording, Tools, Traced};
use crate::{ApprovalNeed, CallPlan, Denial, DenialCode, Limit, Needs, PolicyWarning};

/// What may be paid: read from YAML by [`Policy::parse`], asked by [`Policy::check`] before anything is signed.
#[derive(Debug, Clone)]
pub struct Policy {
    pub(crate) hash: String,
    /// None where every tool may be called.
    pub(crate) tools: Option<Tools>,
    pub(crate) recording: Recording,
    /// None where the policy allows no payments.
    pub(crate) payments: Option<Payments>,
    pub(crate) categories: Categories,
    /// None where agents have no rules of their own.
    pub(crate) agents: Option<Agents>,
    /// Why everything is stopped, if it is.
    pub(crate) kill: Option<String>,
    pub(crate) warnings: Vec<PolicyWarning>,
}

/// The exact terms that will be signed, and by whom and when. The policy looks at these, never at what somebody says
/// about them.
#[derive(Debug, Clone, Copy)]
pub struct Terms<'a> {
    /// The host that is asked, as a URL shows it: with the port where that is not the scheme's default.
    pub host: &'a str,
    /// Whom the payment pays, as the offer writes it.
    pub payee: &'a str,
    /// What is paid with, and on which network.
    pub asset: &'a Asset,
    /// How much, in base units of `asset`.
    pub amount: BaseUnits,
    /// The request's method, in capitals.
    pub method: &'a str,
    /// The URL that is paid for, with its query.
    pub resource: &'a str,
    /// `sha256:` and the digest in hex of the request's body, or of a tool's call with its arguments; none where there is
    /// none. An approval is bound to it.
    pub body: Option<&'a str>,
    /// The agent that pays; none for the wallet's owner.
    pub agent: Option<&'a str>,
    /// The session that it pays in. A payment outside of sessions is a session of its own.
    pub session: Option<&'a str>,
    /// The tool through which it pays.
    pub tool: Option<&'a str>,
    /// The price that a catalogue or the provider's own list gives, where that is known.
    pub advertised: Option<Usd>,
    /// The time.
    pub now: Timestamp,
}

/// Where a call goes, before anybody knows what it costs.
#[derive(Debug, Clone, Copy)]
pub struct Destination<'a> {
    /// The host that is asked, as in [`Terms`].
    pub host: &'a str,
    /// The request's method, in capitals.
    pub method: &'a str,
    /// The URL that is asked for, with its query.
    pub resource: &'a str,
}

/// A budget or rate that counts apart: for each host, say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CountedApart {
    /// What it says, in plain English.
    pub words: String,
    /// The limit, with what its scopes begin with in the place of one. None where they are of no use by name: sessions end, of
    /// a call that is repeated there is a digest, and new payees are counted together.
    pub limit: Option<Limit>,
}

impl CountedApart {
    /// What a scope counts for: `api.example.com`. None for one that is not this limit's.
    #[must_use]
    pub fn name<'a>(&self, scope: &'a str) -> Option<&'a str> {
        let start = &self.limit.as_ref()?.scope;
        let name = scope.strip_prefix(start.as_str()).filter(|name| !name.is_empty())?;
        // What an agent's own limits count stands below its name.
        let of_agents = Each::Agent.prefix().is_some_and(|agent| start.ends_with(agent));
        (!of_agents || !name.contains('/')).then_some(name)
    }
}

/// A payment that the policy allows, if the ledger finds room in every limit.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Clearance {
    /// What the payment is worth, exactly.
    pub value: Usd,
    /// Every budget and rate that it has to fit into, in the policy's order, those for everybody first. Reserve against
    /// all of them, or none.
    pub limits: Vec<Limit>,
    /// The approval that it needs, if it needs one.
    pub approval: Option<ApprovalNeed>,
    /// What rules in shadow mode would have denied.
    pub shadowed: Vec<Denial>,
}

impl Clearance {
    /// What the ledger has to find before the payment may be signed.
    #[must_use]
    pub fn needs(&self) -> Needs {
        Needs {
            limits: self.limits.clone(),
            approval: self.approval.clone(),
            shadowed: self.shadowed.clone(),
        }
    }
}

impl Policy {
    /// Whether a payment on these terms is allowed, and what the ledger must reserve for it.
    ///
    /// # Errors
    /// The [`Denial`] of the first rule that does not hold, in this order: `kill`, the agent, whether payments are allowed
    /// at all; then hosts, payees, networks, assets, resources, categories and hours; then minimum, maximum and the
    /// advertised price. Each in the policy's own section first, then in those of the agent's parents, then in the
    /// agent's.
    pub fn check(&self, terms: &Terms<'_>) -> Result<Clearance, Denial> {
        self.check_capped(terms, None)
    }

    /// [`Policy::check`], with one more maximum that the caller brings, such as `fetch --max-amount`. It can only
    /// tighten: the policy's own maximum holds beside it.
    ///
    /// # Errors
    /// As [`Policy::check`]; above `most` with the rule `--max-amount`.
    pub fn check_capped(&self, terms: &Terms<'_>, most: Option<Usd>) -> Result<Clearance, Denial> {
        self.alive()?;
        let chain = self.chain(terms.agent)?;
        chain.iter().try_for_each(|agent| agent.admit(terms.now))?;
        let sections = self.sections(&chain)?;
        let facts = self.facts(terms, &chain)?;
        let mut shadowed = Vec::new();
        sections.iter().try_for_each(|section| section.admit_parties(&facts, &mut shadowed))?;
        let value = terms.asset.value(terms.amount).map_err(|error| {
            Denial::new(DenialCode::AboveMaximum, "payments.max", format!("no maximum allows this: {error}"))
        })?;
        sections.iter().try_for_each(|section| section.admit_value(&facts, value, &mut shadowed))?;
        above(value, most, "--max-amount")?;
        let limits = sections.iter().flat_map(|section| section.limits(Some(&facts))).collect();
        let approval = self.approval(&sections, &facts, value);
        Ok(Clearance { value, limits, approval, shadowed })
    }

    /// The first approval that is asked for, good for the shortest of the times.
    fn approval(&self, sections: &[&Payments], facts: &Facts<'_>, value: Usd) -> Option<ApprovalNeed> {
        let asked: Vec<_> =
            sections.iter().filter_map(|section| section.approval_for(facts, value)).collect();
        let valid = asked.iter().map(|need| need.valid).min()?;
        asked.into_iter().next().map(|need| ApprovalNeed { valid, ..need })
    }

    /// Whether an agent may call an address at all, whatever it costs: for a proxy, which must not even ask for a price
    /// elsewhere. The lists of hosts, resources and categories decide, of all sections that hold for the agent.
    ///
    /// # Errors
    /// The [`Denial`] of `kill:`, of the agent, of a policy without payments, or of a list.
    pub fn admit_destination(
        &self,
        going: &Destination<'_>,
        agent: Option<&str>,
        now: Timestamp,
    ) -> Result<(), Denial> {
        self.alive()?;
        let chain = self.chain(agent)?;
        chain.iter().try_for_each(|agent| agent.admit(now))?;
        let target = Target::of(self, going)?;
        self.sections(&chain)?.iter().try_for_each(|section| section.admit_target(&target))
    }

    /// Whether an agent may call a tool, as far as `kill:` and `agents:` say; the rules for the tool itself stand beside.
    ///
    /// # Errors
    /// The [`Denial`]: everything is stopped, the agent is unknown or expired, or the tool is not on its list or on one
    /// above it.
    pub fn agent_may_call(&self, agent: Option<&str>, tool: &str, now: Timestamp) -> Result<(), Denial> {
        self.alive()?;
        let chain = self.chain(agent)?;
        chain.iter().try_for_each(|agent| agent.admit(now))?;
        chain.iter().try_for_each(|agent| agent.admit_tool(tool))
    }

    /// Whether somebody may call themselves so: one of `agents:`, or anybody where there is no such section.
    #[must_use]
    pub fn knows_agent(&self, name: &str) -> bool {
        self.chain(Some(name)).is_ok()
    }

    /// Why everything is stopped by `kill:`; none where nothing is.
    #[must_use]
    pub fn killed(&self) -> Option<&str> {
        self.kill.as_deref()
    }

    /// What in the policy has no effect, or not the one that somebody may expect.
    #[must_use]
    pub fn warnings(&self) -> &[PolicyWarning] {
        &self.warnings
    }

    /// The budgets and rates that count all payments together: what can be shown when there is no payment.
    #[must_use]
    pub fn limits(&self) -> Vec<Limit> {
        self.limits_of(None)
    }

    /// As [`Policy::limits`], with those that count all of an agent's payments, and all of each agent's above it. Empty
    /// for an agent that is not known.
    #[must_use]
    pub fn limits_of(&self, agent: Option<&str>) -> Vec<Limit> {
        let sections = self.chain(agent).and_then(|chain| self.sections(&chain)).unwrap_or_default();
        sections.iter().flat_map(|section| section.limits(None)).collect()
    }

    /// As [`Policy::limits`], with those of every agent: all that can be shown when there is no payment.
    #[must_use]
    pub fn limits_of_everybody(&self) -> Vec<Limit> {
        self.every_section().flat_map(|section| section.limits(None)).collect()
    }

    /// The budgets and rates that [`Policy::limits_of_everybody`] leaves out: what they have counted depends on the payment,
    /// as they count apart for each host, payee or session.
    #[must_use]
    pub fn counted_apart(&self) -> Vec<CountedApart> {
        self.every_section().flat_map(Payments::counted_apart).collect()
    }

    /// The policy's own section, then the agents'.
    fn every_section(&self) -> impl Iterator<Item = &Payments> {
        let agents = self.agents.iter().flat_map(Agents::iter).filter_map(|agent| agent.payments.as_ref());
        self.payments.iter().chain(agents)
    }

    /// The budgets and rates that apply to a payment on these terms, allowed or not.
    #[must_use]
    pub fn limits_for(&self, terms: &Terms<'_>) -> Vec<Limit> {
        let Ok(chain) = self.chain(terms.agent) else { return Vec::new() };
        let sections = self.sections(&chain).unwrap_or_default();
        let facts = self.facts(terms, &chain).ok();
        sections.iter().flat_map(|section| section.limits(facts.as_ref())).collect()
    }

    /// What a call of a tool needs from the ledger. Without a `tools:` section every call is allowed.
    ///
    /// # Errors
    /// The [`Denial`] of `kill:`, of the agent, or of a rule that needs nothing from the ledger, when none before it does.
    pub fn plan(&self, call: &Call<'_>) -> Result<CallPlan, Denial> {
        self.agent_may_call(call.agent, call.tool, call.now)?;
        self.tools.as_ref().map_or_else(|| Ok(CallPlan::default()), |tools| tools.plan(call))
    }

    /// Every rule of the `tools:` section that a call meets, and how it stands.
    #[must_use]
    pub fn trace(&self, call: &Call<'_>) -> Vec<Traced> {
        self.tools.as_ref().map(|tools| tools.trace(call)).unwrap_or_default()
    }

    /// Whether there is a `payments:` section. Without one [`Policy::check`] denies every payment.
    #[must_use]
    pub fn has_payments(&self) -> bool {
        self.payments.is_some()
    }

    /// Whether a tool is hidden from those who list the tools.
    #[must_use]
    pub fn hides(&self, tool: &str) -> bool {
        self.tools.as_ref().is_some_and(|tools| tools.hides(tool))
    }

    /// The arguments of a call as they may stand in the record, without what `audit:` takes out; none where only their
    /// digest may.
    #[must_use]
    pub fn recorded(&self, arguments: &Object) -> Option<Json> {
        self.recording.of(arguments)
    }

    /// SHA-256 of the text, in hex: the ledger keeps it with every purchase that the policy allowed.
    #[must_use]
    pub fn hash(&self) -> &str {
        &self.hash
    }

    fn alive(&self) -> Result<(), Denial> {
        let Some(why) = &self.kill else { return Ok(()) };
        Err(Denial::new(DenialCode::Frozen, Denial::KILL, format!("the policy stops everything: {why}")))
    }

    /// The agent and those above it, from the bottom up; nobody for the owner, and where agents have no rules.
    pub(crate) fn chain(&self, agent: Option<&str>) -> Result<Vec<&Agent>, Denial> {
        let (Some(agents), Some(name)) = (&self.agents, agent) else { return Ok(Vec::new()) };
        agents.chain(name).ok_or_else(|| {
            let message = format!("the policy knows no agent `{}`", crate::error::printable(name));
            Denial::new(DenialCode::UnknownAgent, "agents", message)
        })
    }

    /// The sections that hold for an agent: the policy's own first, then from the top down.
    pub(crate) fn sections<'a>(&'a self, chain: &[&'a Agent]) -> Result<Vec<&'a Payments>, Denial> {
        let root = self.payments.as_ref().ok_or_else(|| {
            let message = "the policy allows no payments: it has no `payments:`";
            Denial::new(DenialCode::PaymentsNotAllowed, "payments", message)
        })?;
        let own = chain.iter().rev().filter_map(|agent| agent.payments.as_ref());
        Ok(std::iter::once(root).chain(own).collect())
    }

    /// `chain`: that of the agent in the terms.
    fn facts<'a>(&'a self, terms: &'a Terms<'a>, chain: &[&'a Agent]) -> Result<Facts<'a>, Denial> {
        let agents = match &self.agents {
            Some(_) => chain.iter().map(|agent| agent.name.as_str()).collect(),
            None => terms.agent.into_iter().collect(),
        };
        Facts::of(self, terms, agents)
    }
}
