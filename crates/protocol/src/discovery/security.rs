//! What a call needs besides its arguments.

use serde::Serialize;
use serde_json::Value;

use super::Code;
use super::node::{Findings, Node};
use crate::error::printable;

/// The most alternatives, and schemes of one, that are looked at.
const MAX_SCHEMES: usize = 20;

/// Which credentials a call takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum AuthMode {
    /// Payment.
    #[serde(rename = "paid")]
    Paid,
    /// Payment, and a key that has to be had beforehand.
    #[serde(rename = "apiKey+paid")]
    ApiKeyAndPaid,
    /// A key.
    #[serde(rename = "apiKey")]
    ApiKey,
    /// A wallet's signature: sign-in-with-x.
    #[serde(rename = "siwx")]
    Siwx,
    /// Nothing.
    #[serde(rename = "unprotected")]
    Unprotected,
}

impl AuthMode {
    /// The name in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Paid => "paid",
            Self::ApiKeyAndPaid => "apiKey+paid",
            Self::ApiKey => "apiKey",
            Self::Siwx => "siwx",
            Self::Unprotected => "unprotected",
        }
    }

    /// Whether it is paid for.
    #[must_use]
    pub fn is_paid(self) -> bool {
        matches!(self, Self::Paid | Self::ApiKeyAndPaid)
    }
}

/// What one scheme asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Key,
    Siwx,
}

/// The mode of an operation. The entries of `security` are alternatives: a key is needed when each of them has one.
pub(super) fn auth_mode(
    root: &Node<'_>,
    operation: &Node<'_>,
    paid: bool,
    findings: &mut Findings,
) -> Option<AuthMode> {
    let holder = if operation.value.get("security").is_some() { operation } else { root };
    let entries = holder.items("security", findings);
    let alternatives: Vec<Vec<Scheme>> =
        entries.iter().take(MAX_SCHEMES).map(|entry| schemes(root, entry, findings)).collect();
    let said = holder.value.get("security").is_some();
    let every = |scheme| !alternatives.is_empty() && alternatives.iter().all(|all| all.contains(&scheme));
    let nothing = said && (alternatives.is_empty() || alternatives.iter().any(Vec::is_empty));
    match (paid, every(Scheme::Key)) {
        (true, true) => Some(AuthMode::ApiKeyAndPaid),
        (true, false) => Some(AuthMode::Paid),
        (false, _) if nothing => Some(AuthMode::Unprotected),
        (false, true) => Some(AuthMode::ApiKey),
        (false, false) if said => Some(AuthMode::Siwx),
        (false, false) => None,
    }
}

fn schemes(root: &Node<'_>, entry: &Node<'_>, findings: &mut Findings) -> Vec<Scheme> {
    let defined = root.value.pointer("/components/securitySchemes");
    let scheme = |(name, node): (&str, Node<'_>)| {
        let definition = defined.and_then(|schemes| schemes.get(name));
        if definition.is_none() {
            let message = format!("`{}` is not defined", printable(name));
            findings.add(Code::UndefinedSecurityScheme, &node.at, message);
        }
        let kind = definition.and_then(|scheme| scheme.get("x-agentcash-auth-kind")).and_then(Value::as_str);
        if kind == Some("siwx") || name == "siwx" { Scheme::Siwx } else { Scheme::Key }
    };
    entry.entries().take(MAX_SCHEMES).map(scheme).collect()
}
