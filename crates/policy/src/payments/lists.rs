//! Allow lists and deny lists.
use std::fmt::Display;
use std::hash::Hash;

use farthing_money::Network;

use crate::error::Place;
use crate::host::HostPattern;
use crate::read::{Fields, entries, truth};
use crate::resource::ResourcePattern;
use crate::subject::{AssetPattern, Payee};
use crate::yaml::Node;
use crate::{Denial, DenialCode, PolicyError, PolicyWarning};

/// An allow list and a deny list. Deny beats allow; without an allow list everything is allowed that is not denied.
#[derive(Debug, Clone)]
pub(crate) struct Listed<T> {
    /// How it is called: `payments.hosts`.
    pub(crate) rule: String,
    pub(crate) allow: Option<Vec<T>>,
    pub(crate) deny: Vec<T>,
    /// Reported, not refused.
    pub(crate) shadow: bool,
}

/// An entry of a list, as it relates to others.
pub(crate) trait Pattern: Eq + Hash + Clone + Display {
    /// Whether it covers all that `other` covers.
    fn covers_entry(&self, other: &Self) -> bool {
        self == other
    }

    /// Whether there may be something that both cover.
    fn overlaps(&self, other: &Self) -> bool {
        self.covers_entry(other) || other.covers_entry(self)
    }
}

impl Pattern for Payee {}

impl Pattern for Network {}

impl Pattern for AssetPattern {
    /// Which symbol an address has is not known here.
    fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Symbol(_), Self::Symbol(_)) | (Self::Exact { .. }, Self::Exact { .. }) => self == other,
            _ => true,
        }
    }
}

impl Pattern for HostPattern {
    fn covers_entry(&self, other: &Self) -> bool {
        self.covers_entry(other)
    }

    fn overlaps(&self, other: &Self) -> bool {
        self.overlaps(other)
    }
}

impl Pattern for ResourcePattern {
    fn covers_entry(&self, other: &Self) -> bool {
        self.covers_entry(other)
    }

    fn overlaps(&self, other: &Self) -> bool {
        self.overlaps(other)
    }
}

impl<T: Pattern> Listed<T> {
    /// Reads `{allow: […], deny: […], shadow: true}`; where there is nothing, everything is allowed.
    pub(super) fn read(
        rule: String,
        node: Option<Node>,
        warnings: &mut Vec<PolicyWarning>,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Self, PolicyError> {
        let Some(node) = node else { return Ok(Self { rule, allow: None, deny: Vec::new(), shadow: false }) };
        let at = node.at;
        let mut fields = Fields::of(node, &["allow", "deny", "shadow"])?;
        let allow = fields.take("allow").map(|node| Entries::read(node, &parse)).transpose()?;
        let deny = fields.take("deny").map(|node| Entries::read(node, &parse)).transpose()?;
        let shadow = fields.take("shadow").map_or(Ok(false), truth)?;
        if allow.is_none() && deny.is_none() {
            let section = rule.rsplit('.').next().unwrap_or_default();
            return Err(at.error(format!("`{section}` needs an allow list or a deny list")));
        }
        for list in [&allow, &deny].into_iter().flatten() {
            covered_entries(&list.entries, &list.places, warnings);
        }
        if let (Some(allow), Some(deny)) = (&allow, &deny) {
            compare(allow, deny, shadow, warnings)?;
        }
        let (allow, deny) = (allow.map(|list| list.entries), deny.map(|list| list.entries));
        Ok(Self { rule, allow, deny: deny.unwrap_or_default(), shadow })
    }

    /// Denies what the deny list has, and what the allow list lacks.
    pub(super) fn admit(
        &self,
        code: DenialCode,
        subject: impl Display,
        covers: impl Fn(&T) -> bool,
    ) -> Result<(), Denial> {
        let section = self.rule.rsplit('.').next().unwrap_or_default();
        if self.deny.iter().any(&covers) {
            let message = format!("{subject} is on the policy's deny list of {section}");
            return Err(Denial::new(code, format!("{}.deny", self.rule), message));
        }
        if self.allow.as_ref().is_some_and(|allow| !allow.iter().any(&covers)) {
            let message = format!("{subject} is not on the policy's allow list of {section}");
            return Err(Denial::new(code, format!("{}.allow", self.rule), message));
        }
        Ok(())
    }

    /// Whether it says anything.
    pub(super) fn is_open(&self) -> bool {
        self.allow.is_none() && self.deny.is_empty()
    }
}

/// A list with its entries' places.
struct Entries<T> {
    at: Place,
    entries: Vec<T>,
    places: Vec<Place>,
}

impl<T: Pattern> Entries<T> {
    fn read(node: Node, parse: impl Fn(&str) -> Result<T, String>) -> Result<Self, PolicyError> {
        let (at, places) = (node.at, node.item_places());
        Ok(Self { at, entries: entries(node, parse)?, places })
    }

    fn iter(&self) -> impl Iterator<Item = (&T, Place)> {
        self.entries.iter().zip(self.places.iter().copied())
    }
}

/// Warns of entries that another one of the list covers.
pub(crate) fn covered_entries<T: Pattern>(
    entries: &[T],
    places: &[Place],
    warnings: &mut Vec<PolicyWarning>,
) {
    for (index, (entry, place)) in entries.iter().zip(places).enumerate() {
        let others = entries.iter().enumerate().filter(|(other, _)| *other != index).map(|(_, other)| other);
        if let Some(wider) = others.into_iter().find(|other| other.covers_entry(entry)) {
            warnings.push(place.warning(format!("`{entry}` adds nothing: `{wider}` covers it")));
        }
    }
}

/// What an allow list and the deny list beside it say about each other.
fn compare<T: Pattern>(
    allow: &Entries<T>,
    deny: &Entries<T>,
    shadow: bool,
    warnings: &mut Vec<PolicyWarning>,
) -> Result<(), PolicyError> {
    let denied = |entry: &T| deny.entries.iter().find(|deny| deny.covers_entry(entry));
    if !shadow && allow.entries.iter().all(|entry| denied(entry).is_some()) {
        return Err(allow.at.error("every entry is denied below: no payment would ever be allowed"));
    }
    for (entry, place) in allow.iter() {
        if let Some(deny) = denied(entry) {
            warnings.push(place.warning(format!("`{entry}` is allowed in vain: `{deny}` is denied")));
        }
    }
    for (entry, place) in deny.iter() {
        if !allow.entries.iter().any(|allow| allow.overlaps(entry)) {
            warnings.push(place.warning(format!("`{entry}` is denied in vain: it is not on the allow list")));
        }
    }
    Ok(())
}
