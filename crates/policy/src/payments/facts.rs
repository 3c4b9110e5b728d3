//! What a payment is about, in the form in which it is compared and counted.
use std::fmt::Display;

use sha2::{Digest, Sha256};

use super::Each;
use crate::host::HostName;
use crate::json::{Json, Object};
use crate::resource::Resource;
use crate::subject::Payee;
use crate::{Denial, DenialCode, Destination, Policy, Terms};

/// What stands in a scope for a payment that has no agent, no tool or no category: such payments count together.
const NOBODY: &str = "-";

/// The longest text from outside that stands in a scope as it is.
const MAX_SCOPE: usize = 200;

/// Where a call goes, read once.
pub(crate) struct Target<'a> {
    pub(super) host: HostName,
    pub(super) method: &'a str,
    /// The address, or why it cannot be compared.
    pub(super) resource: Result<Resource, String>,
    /// Every category of the host.
    pub(super) categories: Vec<&'a str>,
}

impl<'a> Target<'a> {
    pub(crate) fn of(policy: &'a Policy, going: &Destination<'a>) -> Result<Self, Denial> {
        let host = HostName::parse(going.host)
            .map_err(|why| Denial::new(DenialCode::HostNotAllowed, "payments.hosts", why))?;
        let categories = policy.categories.of(&host);
        let resource = Resource::called(going.method, going.resource);
        Ok(Self { host, method: going.method, resource, categories })
    }
}

/// The terms, with everything in them read once.
pub(crate) struct Facts<'a> {
    pub(super) terms: &'a Terms<'a>,
    pub(super) target: Target<'a>,
    pub(super) payee: Payee,
    /// The agent and those above it, from the bottom up.
    agents: Vec<&'a str>,
}

impl<'a> Facts<'a> {
    /// Reads the terms of a payment by the first of `agents`, which stands under the others.
    pub(crate) fn of(policy: &'a Policy, terms: &'a Terms<'a>, agents: Vec<&'a str>) -> Result<Self, Denial> {
        let going = Destination { host: terms.host, method: terms.method, resource: terms.resource };
        let target = Target::of(policy, &going)?;
        let network = &terms.asset.network;
        let payee = Payee::of_offer(network, terms.payee).ok_or_else(|| {
            let payee = crate::error::printable(terms.payee);
            let message = format!("`{payee}` is not an address on {}", network.display_name());
            Denial::new(DenialCode::PayeeNotAllowed, "payments.payees", message)
        })?;
        Ok(Self { terms, target, payee, agents })
    }

    /// The scopes in which a cap of this kind counts the payment, in the section of `owner`.
    pub(super) fn scopes(&self, each: Each, owner: Option<&str>) -> Vec<String> {
        let start = each.prefix().unwrap_or_default();
        let named = |name: &dyn Display| format!("{start}{name}");
        let one = |name: &dyn Display| vec![named(name)];
        match each {
            Each::All => one(&"all"),
            // Without the port, or a seller with many ports would have many budgets.
            Each::Host => one(&self.target.host.name),
            Each::Payee => vec![self.payee_scope()],
            Each::Network => one(&self.terms.asset.network),
            Each::Resource => one(&short(&self.named_resource())),
            Each::Tool => one(&self.terms.tool.map_or(NOBODY.to_owned(), word)),
            Each::Same => one(&format!("same:{}", digest(&self.repeated()))),
            Each::NewPayee => one(&"new-payees"),
            Each::Agent => self.below(owner).iter().map(|agent| named(agent)).collect(),
            Each::Category if self.target.categories.is_empty() => one(&NOBODY),
            Each::Category => self.target.categories.iter().map(|name| named(name)).collect(),
        }
    }

    /// The agents for whom `each: agent` counts in the section of `owner`: those below it, so that what an agent gives
    /// to others counts as its own. When the owner pays itself, there is nobody.
    fn below(&self, owner: Option<&str>) -> Vec<String> {
        let below = self.agents.iter().take_while(|agent| Some(**agent) != owner);
        let names: Vec<_> = below.map(|agent| word(agent)).collect();
        if names.is_empty() { vec![NOBODY.to_owned()] } else { names }
    }

    /// The scope of the payee.
    pub(super) fn payee_scope(&self) -> String {
        self.payee.scope()
    }

    /// The session as it stands in scopes.
    pub(super) fn session(&self) -> Option<String> {
        self.terms.session.map(word)
    }

    /// Method and address without the query: `GET https://api.example.com/v1`.
    fn named_resource(&self) -> String {
        match &self.target.resource {
            Ok(resource) => format!("{} {resource}", self.terms.method.to_ascii_uppercase()),
            Err(_) => self.repeated(),
        }
    }

    /// What makes a call the same as another one: method and address with the query.
    fn repeated(&self) -> String {
        format!("{} {}", self.terms.method.to_ascii_uppercase(), self.terms.resource)
    }

    /// The exact terms as one canonical JSON object: what an approval is bound to.
    pub(super) fn approval_terms(&self) -> String {
        let text = |text: String| Json::String(text);
        let mut terms = Object::default();
        terms.set("agent", self.terms.agent.map_or(Json::Null, |agent| text(agent.to_owned())));
        terms.set("amount", text(self.terms.amount.to_string()));
        terms.set("asset", text(self.terms.asset.address.clone()));
        if let Some(body) = self.terms.body {
            terms.set("body", text(body.to_owned()));
        }
        terms.set("host", text(self.target.host.to_string()));
        terms.set("network", text(self.terms.asset.network.to_string()));
        terms.set("payee", text(self.payee.to_string()));
        terms.set("resource", text(self.repeated()));
        terms.canonical().to_string()
    }
}

/// A name from outside as it stands in a scope: itself where it is a plain word, else its digest, so that no name can
/// look like another scope, and none is endless.
fn word(name: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    let own = (1..=MAX_SCOPE).contains(&name.len()) && name.bytes().all(plain) && name != NOBODY;
    if own { name.to_owned() } else { format!("sha256:{}", digest(name)) }
}

/// A text as it stands in a scope: itself, or its digest where it is long.
fn short(text: &str) -> String {
    if text.len() <= MAX_SCOPE { text.to_owned() } else { format!("sha256:{}", digest(text)) }
}

fn digest(text: &str) -> String {
    hex::encode(Sha256::digest(text))
}
