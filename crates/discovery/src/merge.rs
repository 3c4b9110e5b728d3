//! Several documents' words on one origin, as one.

use std::collections::BTreeMap;

use farthing_protocol::discovery::{
    AdvertisedProtocol, AuthMode, Code, Document, Finding, Operation, WellKnown, WellKnownResource,
};

use crate::{Guidance, Origin, Resource, Site};

/// The method of a legacy entry that names none.
const LEGACY_METHOD: &str = "POST";

impl Origin {
    pub(crate) fn unknown(site: &Site) -> Self {
        Self {
            origin: site.clone(),
            title: None,
            version: None,
            description: None,
            contact: None,
            categories: Vec::new(),
            guidance: Vec::new(),
            unverified_ownership_proofs: Vec::new(),
            resources: Vec::new(),
            documents: Vec::new(),
            findings: Vec::new(),
        }
    }

    /// The canonical document: it is taken in first, and has the last word on what it names.
    pub(crate) fn take_document(&mut self, document: Document) {
        self.title = document.title;
        self.version = document.version;
        self.description = document.description;
        self.contact = document.contact;
        self.categories = document.categories;
        self.unverified_ownership_proofs = document.ownership_proofs;
        self.guidance.extend(document.guidance.map(|text| Guidance {
            from: format!("{}#/info/x-guidance", Document::PATH),
            text,
            cut: false,
        }));
        let origin = self.origin.to_string();
        self.resources = document.operations.into_iter().map(|read| resource(read, &origin)).collect();
        self.find(document.findings);
    }

    /// A legacy document: it adds what the canonical one does not name.
    pub(crate) fn take_well_known(
        &mut self,
        read: WellKnown,
        document: &'static str,
        protocol: &'static str,
    ) {
        self.title = self.title.take().or(read.title);
        self.guidance.extend(read.instructions.map(|text| Guidance {
            from: document.to_owned(),
            text,
            cut: false,
        }));
        self.unverified_ownership_proofs.extend(read.ownership_proofs);
        self.find(read.findings);
        for entry in read.resources {
            self.take_entry(entry, protocol);
        }
    }

    fn take_entry(&mut self, entry: WellKnownResource, protocol: &'static str) {
        let same = |known: &&mut Resource| {
            known.path == entry.path && entry.method.as_ref().is_none_or(|method| *method == known.method)
        };
        let known: Vec<&mut Resource> = self.resources.iter_mut().filter(same).collect();
        if known.is_empty() {
            let origin = self.origin.to_string();
            return self.resources.push(legacy(entry, protocol, &origin));
        }
        let free = known.iter().all(|known| known.auth.is_some_and(|auth| !auth.is_paid()));
        let key = known.first().map(|known| known.key.clone()).unwrap_or_default();
        for known in known {
            add_to(known, &entry);
        }
        if free {
            let message = format!("it lists what {} says is not paid for", Document::PATH);
            self.find([Finding::new(Code::FreeButPriced, entry.place, message).about(&key)]);
        }
    }
}

fn resource(read: Operation, origin: &str) -> Resource {
    let mut provenance = BTreeMap::new();
    let mut from = |fact: &'static str, known: bool| {
        if known {
            provenance.insert(fact, read.place.clone());
        }
    };
    from("resource", true);
    from("summary", read.summary.is_some() || read.description.is_some());
    from("auth", read.auth.is_some());
    from("price", read.price.is_some() || !read.offers.is_empty());
    from("protocols", !read.protocols.is_empty());
    from("input", read.input.is_some());
    from("output", read.output.is_some());
    Resource {
        key: read.key(origin),
        method: read.method,
        path: read.path,
        summary: read.summary,
        description: read.description,
        tags: read.tags,
        auth: read.auth,
        price: read.price,
        offers: read.offers,
        protocols: read.protocols,
        input: read.input,
        output: read.output,
        provenance,
        live: None,
    }
}

/// What a legacy document lists is sold: that is what it is for.
fn legacy(entry: WellKnownResource, protocol: &str, origin: &str) -> Resource {
    let method = entry.method.unwrap_or_else(|| LEGACY_METHOD.to_owned());
    let facts = ["resource", "auth", "protocols"].map(|fact| (fact, entry.place.clone()));
    let mut provenance: BTreeMap<_, _> = facts.into();
    if entry.price.is_some() {
        provenance.insert("price", entry.place);
    }
    Resource {
        key: format!("{origin} {method} {}", entry.path),
        method,
        path: entry.path,
        summary: entry.description,
        description: None,
        tags: Vec::new(),
        auth: Some(AuthMode::Paid),
        price: entry.price,
        offers: entry.offers,
        protocols: vec![AdvertisedProtocol { name: protocol.to_owned(), method: None, intent: None }],
        input: None,
        output: None,
        provenance,
        live: None,
    }
}

/// Only what is not known yet.
fn add_to(known: &mut Resource, entry: &WellKnownResource) {
    if known.price.is_none() && known.offers.is_empty() && entry.price.is_some() {
        known.price.clone_from(&entry.price);
        known.offers.clone_from(&entry.offers);
        known.provenance.insert("price", entry.place.clone());
    }
    if known.summary.is_none() && known.description.is_none() && entry.description.is_some() {
        known.summary.clone_from(&entry.description);
        known.provenance.insert("summary", entry.place.clone());
    }
}
