use farthing_money::{Asset, BaseUnits, Network, Usd};

use crate::host::{HostName, HostPattern};
use crate::json::{Json, Object};
use crate::subject::{AssetPattern, Payee};
use crate::tools::{Call, Recording, Tools, Traced};
use crate::{CallPlan, Denial, DenialCode, Limit, Measure, Window};

/// What may be paid: read from YAML by [`Policy::parse`], asked by [`Policy::check`] before anything is signed.
#[derive(Debug, Clone)]
pub struct Policy {
    pub(crate) hash: String,
    pub(crate) payments: Payments,
    pub(crate) tools: Option<Tools>,
    pub(crate) recording: Recording,
}

/// The exact terms that will be signed. The policy looks at these, never at what somebody says about them.
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
    /// The URL that is paid for.
    pub resource: &'a str,
}

/// A payment that the policy allows, if the ledger finds room in every limit.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Clearance {
    /// What the payment is worth, exactly.
    pub value: Usd,
    /// Every budget and rate that it has to fit into, in the policy's order. Reserve against all of them, or none.
    pub limits: Vec<Limit>,
}

/// The `payments:` section.
#[derive(Debug, Clone)]
pub(crate) struct Payments {
    pub(crate) min: Option<Usd>,
    pub(crate) max: Option<Usd>,
    pub(crate) caps: Vec<Cap>,
    pub(crate) hosts: Listed<HostPattern>,
    pub(crate) payees: Listed<Payee>,
    pub(crate) networks: Listed<Network>,
    pub(crate) assets: Listed<AssetPattern>,
}

/// A budget or a rate.
#[derive(Debug, Clone)]
pub(crate) struct Cap {
    pub(crate) name: String,
    pub(crate) measure: Measure,
    pub(crate) window: Window,
    pub(crate) each: Each,
}

/// Whose use a cap counts together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Each {
    All,
    Host,
    Payee,
}

/// An allow list and a deny list. Deny beats allow; without an allow list everything is allowed that is not denied.
#[derive(Debug, Clone)]
pub(crate) struct Listed<T> {
    /// Where it stands: `hosts`.
    pub(crate) section: &'static str,
    pub(crate) allow: Option<Vec<T>>,
    pub(crate) deny: Vec<T>,
}

/// Host and payee in the form in which they are compared and counted.
struct Parties {
    host: HostName,
    payee: Payee,
}

impl Policy {
    /// Whether a payment on these terms is allowed, and what the ledger must reserve for it.
    ///
    /// # Errors
    /// The [`Denial`] of the first rule that does not hold, in this order: hosts, payees, networks, assets, minimum,
    /// maximum.
    pub fn check(&self, terms: &Terms<'_>) -> Result<Clearance, Denial> {
        self.check_capped(terms, None)
    }

    /// [`Policy::check`], with one more maximum that the caller brings, such as `fetch --max-amount`. It can only
    /// tighten: the policy's own maximum holds beside it.
    ///
    /// # Errors
    /// As [`Policy::check`]; above `most` with the rule `--max-amount`.
    pub fn check_capped(&self, terms: &Terms<'_>, most: Option<Usd>) -> Result<Clearance, Denial> {
        let rules = &self.payments;
        let parties = Parties::of(terms)?;
        let asset = terms.asset;
        rules.hosts.admit(DenialCode::HostNotAllowed, &parties.host, |entry| entry.covers(&parties.host))?;
        rules.payees.admit(DenialCode::PayeeNotAllowed, &parties.payee, |entry| *entry == parties.payee)?;
        rules
            .networks
            .admit(DenialCode::NetworkNotAllowed, &asset.network, |entry| *entry == asset.network)?;
        let asset_name = format_args!("{} on {}", asset.symbol, asset.network.display_name());
        rules.assets.admit(DenialCode::AssetNotAllowed, asset_name, |entry| entry.covers(asset))?;
        let value = rules.value(terms)?;
        above(value, most, "--max-amount")?;
        Ok(Clearance { value, limits: rules.limits(Some(&parties)) })
    }

    /// The budgets and rates that count all payments together: what can be shown when there is no payment.
    #[must_use]
    pub fn limits(&self) -> Vec<Limit> {
        self.payments.limits(None)
    }

    /// The budgets and rates that apply to a payment on these terms, allowed or not.
    #[must_use]
    pub fn limits_for(&self, terms: &Terms<'_>) -> Vec<Limit> {
        self.payments.limits(Parties::of(terms).ok().as_ref())
    }

    /// What a call of a tool needs from the ledger. Without a `tools:` section every call is allowed.
    ///
    /// # Errors
    /// The [`Denial`] of a rule that needs nothing from the ledger, when none before it does.
    pub fn plan(&self, call: &Call<'_>) -> Result<CallPlan, Denial> {
        self.tools.as_ref().map_or_else(|| Ok(CallPlan::default()), |tools| tools.plan(call))
    }

    /// Every rule of the `tools:` section that a call meets, and how it stands.
    #[must_use]
    pub fn trace(&self, call: &Call<'_>) -> Vec<Traced> {
        self.tools.as_ref().map(|tools| tools.trace(call)).unwrap_or_default()
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
}

impl Payments {
    pub(crate) fn nothing() -> Self {
        let nothing = Usd::ZERO;
        Self {
            min: None,
            max: Some(nothing),
            caps: Vec::new(),
            hosts: Listed { section: "hosts", allow: None, deny: Vec::new() },
            payees: Listed { section: "payees", allow: None, deny: Vec::new() },
            networks: Listed { section: "networks", allow: None, deny: Vec::new() },
            assets: Listed { section: "assets", allow: None, deny: Vec::new() },
        }
    }

    /// The payment's value, if it lies between minimum and maximum.
    fn value(&self, terms: &Terms<'_>) -> Result<Usd, Denial> {
        let value = terms.asset.value(terms.amount).map_err(|error| {
            Denial::new(DenialCode::AboveMaximum, "payments.max", format!("no maximum allows this: {error}"))
        })?;
        if let Some(min) = self.min.filter(|min| value < *min) {
            let message = format!("{value} is below the least that may be paid at once, {min}");
            let denial = Denial::new(DenialCode::BelowMinimum, "payments.min", message);
            return Err(Denial { limit: Some(min.to_string()), ..denial });
        }
        above(value, self.max, "payments.max")?;
        Ok(value)
    }

    fn limits(&self, parties: Option<&Parties>) -> Vec<Limit> {
        let scoped = |cap: &Cap| {
            let scope = match (cap.each, parties) {
                (Each::All, _) => "all".to_owned(),
                // Without the port, or a seller with many ports would have many budgets.
                (Each::Host, Some(parties)) => format!("host:{}", parties.host.name),
                (Each::Payee, Some(parties)) => parties.payee.scope(),
                (Each::Host | Each::Payee, None) => return None,
            };
            Some(Limit::new(&cap.name, scope, cap.window, cap.measure))
        };
        self.caps.iter().filter_map(scoped).collect()
    }
}

impl Parties {
    fn of(terms: &Terms<'_>) -> Result<Self, Denial> {
        let host = HostName::parse(terms.host)
            .map_err(|why| Denial::new(DenialCode::HostNotAllowed, "payments.hosts", why))?;
        let network = &terms.asset.network;
        let payee = Payee::of_offer(network, terms.payee).ok_or_else(|| {
            let payee = crate::error::printable(terms.payee);
            let message = format!("`{payee}` is not an address on {}", network.display_name());
            Denial::new(DenialCode::PayeeNotAllowed, "payments.payees", message)
        })?;
        Ok(Self { host, payee })
    }
}

impl<T> Listed<T> {
    /// Denies what the deny list has, and what the allow list lacks.
    fn admit(
        &self,
        code: DenialCode,
        subject: impl std::fmt::Display,
        covers: impl Fn(&T) -> bool,
    ) -> Result<(), Denial> {
        let section = self.section;
        if self.deny.iter().any(&covers) {
            let rule = format!("payments.{section}.deny");
            return Err(Denial::new(
                code,
                rule,
                format!("{subject} is on the policy's deny list of {section}"),
            ));
        }
        if self.allow.as_ref().is_some_and(|allow| !allow.iter().any(&covers)) {
            let rule = format!("payments.{section}.allow");
            let message = format!("{subject} is not on the policy's allow list of {section}");
            return Err(Denial::new(code, rule, message));
        }
        Ok(())
    }
}

/// Denies a value above a maximum.
fn above(value: Usd, max: Option<Usd>, rule: &str) -> Result<(), Denial> {
    let Some(max) = max.filter(|max| value > *max) else { return Ok(()) };
    let message = format!("{value} is above the most that may be paid at once, {max} (`{rule}`)");
    Err(Denial { limit: Some(max.to_string()), ..Denial::new(DenialCode::AboveMaximum, rule, message) })
}
