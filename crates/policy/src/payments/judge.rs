//! Holds a payment against one section's rules.
use farthing_money::Usd;

use super::{Cap, Facts, Payments, Target};
use crate::{ApprovalNeed, Denial, DenialCode, Limit, Usage};

/// What the rules in shadow mode would have denied.
pub(crate) type Shadowed = Vec<Denial>;

impl Payments {
    /// Whether the parties are allowed: hosts, payees, networks, assets, resources, categories; and whether now is a time
    /// for payments.
    pub(crate) fn admit_parties(&self, facts: &Facts<'_>, shadowed: &mut Shadowed) -> Result<(), Denial> {
        let asset = facts.terms.asset;
        let (payee, network) = (&facts.payee, &asset.network);
        let asset_name = format_args!("{} on {}", asset.symbol, network.display_name());
        let judged = [
            (self.hosts.shadow, self.admit_host(&facts.target)),
            (
                self.payees.shadow,
                self.payees.admit(DenialCode::PayeeNotAllowed, payee, |entry| entry == payee),
            ),
            (
                self.networks.shadow,
                self.networks.admit(DenialCode::NetworkNotAllowed, network, |entry| entry == network),
            ),
            (
                self.assets.shadow,
                self.assets.admit(DenialCode::AssetNotAllowed, asset_name, |entry| entry.covers(asset)),
            ),
            (self.resources.shadow, self.admit_resource(&facts.target)),
            (self.categories.shadow, self.admit_category(&facts.target)),
            (false, self.admit_time(facts)),
        ];
        judged.into_iter().try_for_each(|(shadow, judged)| unless(shadow, judged, shadowed))
    }

    /// Whether a call may go there at all, free or not: hosts, resources, categories.
    pub(crate) fn admit_target(&self, target: &Target<'_>) -> Result<(), Denial> {
        let judged = [
            (self.hosts.shadow, self.admit_host(target)),
            (self.resources.shadow, self.admit_resource(target)),
            (self.categories.shadow, self.admit_category(target)),
        ];
        // Nothing is recorded of a call that costs nothing.
        judged.into_iter().try_for_each(|(shadow, judged)| unless(shadow, judged, &mut Vec::new()))
    }

    fn admit_host(&self, target: &Target<'_>) -> Result<(), Denial> {
        let host = &target.host;
        self.hosts.admit(DenialCode::HostNotAllowed, host, |entry| entry.covers(host))
    }

    fn admit_resource(&self, target: &Target<'_>) -> Result<(), Denial> {
        if self.resources.is_open() {
            return Ok(());
        }
        match &target.resource {
            Ok(resource) => {
                let method = target.method;
                self.resources.admit(
                    DenialCode::ResourceNotAllowed,
                    format_args!("{} {resource}", crate::error::printable(method)),
                    |entry| entry.covers(method, resource),
                )
            }
            Err(why) => Err(Denial::new(DenialCode::ResourceNotAllowed, &self.resources.rule, why)),
        }
    }

    fn admit_category(&self, target: &Target<'_>) -> Result<(), Denial> {
        let subject = match target.categories.as_slice() {
            [] => format!("{} (in no category)", target.host),
            of => format!("{} ({})", target.host, of.join(", ")),
        };
        let covers = |entry: &super::Category| target.categories.contains(&entry.0.as_str());
        self.categories.admit(DenialCode::CategoryNotAllowed, subject, covers)
    }

    fn admit_time(&self, facts: &Facts<'_>) -> Result<(), Denial> {
        let now = facts.terms.now;
        if self.hours.is_empty() || self.hours.iter().any(|hours| hours.cover(now)) {
            return Ok(());
        }
        let hours: Vec<_> = self.hours.iter().map(ToString::to_string).collect();
        let message = format!("now is outside of the hours for payments: {}", hours.join("; "));
        let opening = self.hours.iter().filter_map(|hours| hours.next_opening(now)).min();
        let wait = opening.and_then(|opening| {
            let wait = opening.duration_since(now);
            u64::try_from(wait.as_secs()).ok()?.checked_add(u64::from(wait.subsec_nanos() > 0))
        });
        let denial = Denial::new(DenialCode::OutsideHours, self.rule("hours"), message);
        Err(Denial { retry_after_seconds: wait, ..denial })
    }

    /// Whether the value is allowed: minimum, maximum, the advertised price, and what holds for a session that is this
    /// payment alone.
    pub(crate) fn admit_value(
        &self,
        facts: &Facts<'_>,
        value: Usd,
        shadowed: &mut Shadowed,
    ) -> Result<(), Denial> {
        if let Some(min) = self.min.map(|min| min.value).filter(|min| value < *min) {
            let message = format!("{value} is below the least that may be paid at once, {min}");
            let denial = Denial::new(DenialCode::BelowMinimum, self.rule("min"), message);
            return Err(Denial { limit: Some(min.to_string()), ..denial });
        }
        above(value, self.max.map(|max| max.value), &self.rule("max"))?;
        self.admit_advertised(facts, value)?;
        if facts.session().is_some() {
            return Ok(());
        }
        let alone = |cap: &Cap| {
            let fits = cap.alone().map_or(Ok(()), |limit| limit.admit(Usage::default(), value).map(drop));
            unless(cap.shadow, fits, shadowed)
        };
        self.caps.iter().try_for_each(alone)
    }

    fn admit_advertised(&self, facts: &Facts<'_>, value: Usd) -> Result<(), Denial> {
        let (Some(factor), Some(advertised)) = (self.over_advertised, facts.terms.advertised) else {
            return Ok(());
        };
        if factor.allows(value, advertised) {
            return Ok(());
        }
        let message = format!("{value} is more than {factor} times the advertised price, {advertised}");
        let denial = Denial::new(DenialCode::AboveAdvertised, self.rule("max_over_advertised"), message);
        Err(Denial { limit: Some(format!("{factor} x {advertised}")), ..denial })
    }

    /// Every limit that the section puts on a payment, or on none in particular.
    pub(crate) fn limits<'a>(&'a self, facts: Option<&'a Facts<'a>>) -> impl Iterator<Item = Limit> + 'a {
        self.caps.iter().flat_map(move |cap| cap.limits(self, facts))
    }

    /// The approval that a payment of `value` needs.
    pub(crate) fn approval_for(&self, facts: &Facts<'_>, value: Usd) -> Option<ApprovalNeed> {
        let approval = self.approval.filter(|approval| value > approval.above)?;
        let (rule, terms) = (self.rule("approve_above"), facts.approval_terms());
        Some(ApprovalNeed { rule, terms, valid: approval.valid })
    }
}

/// Lets a denial by a rule in shadow mode be nothing but a note.
fn unless(shadow: bool, judged: Result<(), Denial>, shadowed: &mut Shadowed) -> Result<(), Denial> {
    match judged {
        Err(denial) if shadow => shadowed.push(denial),
        judged => return judged,
    }
    Ok(())
}

/// Denies a value above a maximum.
pub(crate) fn above(value: Usd, max: Option<Usd>, rule: &str) -> Result<(), Denial> {
    let Some(max) = max.filter(|max| value > *max) else { return Ok(()) };
    let message = format!("{value} is above the most that may be paid at once, {max} (`{rule}`)");
    Err(Denial { limit: Some(max.to_string()), ..Denial::new(DenialCode::AboveMaximum, rule, message) })
}
