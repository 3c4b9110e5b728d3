//! Payments that pass through the guard: read from what is signed, judged by the policy's `payments:`, and reserved like
//! the wallet's own; and offers in answers, which are taken out when the guard would not let their payment pass.
//!
//! What can't be judged is refused: unknown assets, other schemes than `exact` over EIP-3009, signatures of smart
//! wallets, sessions. Only under Intercept's words, and without a `payments:` section, nothing here is looked at.

mod answer;
mod host;
mod mpp;
mod purchase;
mod receipt;
mod x402;

use std::sync::Arc;

use farthing_ambient::Timestamp;
use farthing_money::{Asset, BaseUnits, Network, Registry};
use farthing_policy::json::Json;
use farthing_policy::{Clearance, Denial, DenialCode, Policy, Terms};
use farthing_protocol::{MAX_BODY_BYTES, PaymentKey};
use serde_json::value::RawValue;

pub(super) use answer::{Sifted, may_ask};
pub use host::payment_host;
pub(super) use purchase::Cleared;
pub(super) use receipt::outcome;

use super::{Policed, Words};
use crate::guard::message::{MPP_CREDENTIAL, X402_PAYMENT};

/// How the rules are called that are the guard's own.
const RULE: &str = "(payment)";
/// The method under which payments for tools are judged and recorded: a call is a request that may change something.
const METHOD: &str = "POST";

/// When a signature expires that never does: the last second that the ledger can hold.
const NEVER: Timestamp = Timestamp::constant(253_402_207_200, 0);

/// What is paid, and to whom: in a payment as signed, in an offer as asked for.
#[derive(Debug, Clone, PartialEq)]
struct Price {
    asset: Arc<Asset>,
    amount: BaseUnits,
    payee: String,
}

/// A payment that comes with a call. Its signature is not in it.
#[derive(Debug)]
struct Carried {
    price: Price,
    protocol: &'static str,
    scheme: &'static str,
    /// Where it stood in `_meta`.
    place: &'static str,
    key: PaymentKey,
    payer: String,
    valid_before: Timestamp,
}

/// A denial of what can't be judged.
fn unclear(why: impl std::fmt::Display) -> Denial {
    let message = format!("the guard can't judge this payment: {why}");
    Denial::new(DenialCode::PaymentsNotAllowed, RULE, message)
}

/// The payment that comes with a call, if one does.
fn carried(meta: Option<&Json>, registry: &Registry) -> Result<Option<Carried>, Denial> {
    let found = |key| meta.and_then(|meta| meta.get(key)).filter(|payment| **payment != Json::Null);
    match (found(X402_PAYMENT), found(MPP_CREDENTIAL)) {
        (None, None) => Ok(None),
        (Some(payment), None) => x402::carried(payment, registry).map(Some),
        (None, Some(credential)) => mpp::carried(credential, registry).map(Some),
        (Some(_), Some(_)) => Err(unclear("the call carries two; send one")),
    }
}

fn known<'a>(registry: &'a Registry, network: &Network, address: &str) -> Result<&'a Arc<Asset>, Denial> {
    registry.get(network, address).map_err(|error| {
        let message = format!("{error}; who trusts it can add it to `assets` in config.yaml");
        Denial::new(DenialCode::AssetNotAllowed, RULE, message)
    })
}

/// The same JSON for the readers of the protocol's crate.
fn raw(json: &Json) -> Result<Box<RawValue>, Denial> {
    let text = json.to_string();
    if text.len() > MAX_BODY_BYTES {
        return Err(unclear(format_args!("it is larger than {MAX_BODY_BYTES} bytes")));
    }
    RawValue::from_string(text).map_err(|_| unclear("it is no JSON"))
}

/// Refuses keys that are not looked at, as the server may look at them.
fn only_keys(json: &Json, what: &str, keys: &[&str]) -> Result<(), Denial> {
    let object = json.as_object().ok_or_else(|| unclear(format_args!("{what} is no object")))?;
    match object.iter().find(|(key, _)| !keys.contains(key)) {
        Some((key, _)) => Err(unclear(format_args!("{what} has the key {key:?}, which it does not know"))),
        None => Ok(()),
    }
}

impl Policed {
    /// Whether payments are looked at. Who runs Intercept's policies as they are expects that they pass, as there.
    pub(super) fn judges_payments(&self, policy: &Policy) -> bool {
        policy.has_payments() || self.0.words != Words::Intercept
    }

    /// Whether the policy allows a payment for a tool, budgets aside. `call` is the digest of what is called with it, where
    /// that is known: an approval is bound to it.
    fn check(
        &self,
        policy: &Policy,
        price: &Price,
        tool: &str,
        call: Option<&str>,
    ) -> Result<Clearance, Denial> {
        let config = &*self.0;
        let body = call.map(|digest| format!("sha256:{digest}"));
        let terms = Terms {
            host: &config.host,
            payee: &price.payee,
            asset: &price.asset,
            amount: price.amount,
            method: METHOD,
            resource: &host::resource(&config.host, tool),
            body: body.as_deref(),
            agent: config.agent.as_deref(),
            session: Some(&config.session),
            tool: Some(tool),
            advertised: None,
            now: config.clock.now(),
        };
        policy.check(&terms).map_err(|denial| match denial.code {
            DenialCode::PaymentsNotAllowed if !policy.has_payments() => {
                let message = "payments are not allowed here: the policy has no `payments:`; add that section, \
                               with what may be paid, to allow them";
                Denial { message: message.to_owned(), ..denial }
            }
            _ => denial,
        })
    }
}
