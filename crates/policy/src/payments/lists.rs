//! Allow lists and deny lists.
use std::collections::HashSet;
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

/// An entry of a list, as it relates to others. Lists are long: they are compared by looking entries up.
pub(crate) trait Pattern: Eq + Hash + Clone + Display {
    /// Every other entry that covers all that this one covers.
    fn wider(&self) -> Vec<Self> {
        Vec::new()
    }

    /// The entry without what two that have something in common may differ in beside one covering the other; none where
    /// entries that differ may always have something in common.
    fn comparable(&self) -> Option<Self> {
        Some(self.clone())
    }
}

impl Pattern for Payee {}

impl Pattern for Network {}

impl Pattern for AssetPattern {
    /// Which symbol an address has is not known here.
    fn comparable(&self) -> Option<Self> {
        None
    }
}

impl Pattern for HostPattern {
    fn wider(&self) -> Vec<Self> {
        self.wider()
    }

    fn comparable(&self) -> Option<Self> {
        Some(self.at_any_port())
    }
}

impl Pattern for ResourcePattern {
    fn wider(&self) -> Vec<Self> {
        self.wider()
    }

    fn comparable(&self) -> Option<Self> {
        Some(self.by_any_method())
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
    let all: HashSet<&T> = entries.iter().collect();
    for (entry, place) in entries.iter().zip(places) {
        if let Some(wider) = entry.wider().iter().find(|wider| all.contains(wider)) {
            warnings.push(place.warning(format!("`{entry}` adds nothing: `{wider}` covers it")));
        }
    }
}

/// Which entries have nothing in common with any of a list.
fn apart<T: Pattern>(list: &[T]) -> impl Fn(&T) -> bool {
    let list: Vec<_> = list.iter().filter_map(Pattern::comparable).collect();
    let above: HashSet<T> = list.iter().flat_map(Pattern::wider).collect();
    let all: HashSet<T> = list.into_iter().collect();
    move |entry| {
        let Some(entry) = entry.comparable() else { return false };
        let covered = all.contains(&entry) || entry.wider().iter().any(|wider| all.contains(wider));
        !covered && !above.contains(&entry)
    }
}

/// What an allow list and the deny list beside it say about each other.
fn compare<T: Pattern>(
    allow: &Entries<T>,
    deny: &Entries<T>,
    shadow: bool,
    warnings: &mut Vec<PolicyWarning>,
) -> Result<(), PolicyError> {
    let all: HashSet<&T> = deny.entries.iter().collect();
    let denied =
        |entry: &T| [entry.clone()].into_iter().chain(entry.wider()).find(|wider| all.contains(wider));
    let in_vain: Vec<_> = allow.iter().filter_map(|(entry, at)| Some((entry, at, denied(entry)?))).collect();
    if !shadow && in_vain.len() == allow.entries.len() {
        return Err(allow.at.error("every entry is denied below: no payment would ever be allowed"));
    }
    for (entry, at, deny) in in_vain {
        warnings.push(at.warning(format!("`{entry}` is allowed in vain: `{deny}` is denied")));
    }
    let apart = apart(&allow.entries);
    for (entry, at) in deny.iter().filter(|(entry, _)| apart(entry)) {
        warnings.push(at.warning(format!("`{entry}` is denied in vain: it is not on the allow list")));
    }
    Ok(())
}
