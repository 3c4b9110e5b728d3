//! What is checked before a rail is asked: that somebody settles these terms, that the payment answers them, and that
//! the payee is one we settle for.

use farthing_ledger::NewSettlement;
use farthing_protocol::x402::{FacilitatorRequest, Payment, Reason, matches, v2};
use farthing_protocol::{Object, PaymentKey, ProtocolError, Requirements, StrictValue};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use crate::Limits;
use crate::answer::Refusal;
use crate::lane::Lane;

/// The rail that settles these terms, if the request passes.
pub(crate) fn lane_for<'a, L: AsRef<Lane>>(
    lanes: &'a [L],
    limits: &Limits,
    request: &FacilitatorRequest,
) -> Result<&'a L, Refusal> {
    let terms = &request.requirements;
    let lane = supporting(lanes, terms)?;
    answers(&request.payment, terms)?;
    match limits.pay_to.get(&terms.network) {
        Some(payees) if !payees.contains(&terms.network, &terms.pay_to) => Err(Refusal::new(
            Reason::InvalidPaymentRequirements,
            format!("this facilitator does not settle for payee {}", terms.pay_to.escape_debug()),
        )),
        _ => Ok(lane),
    }
}

fn supporting<'a, L: AsRef<Lane>>(lanes: &'a [L], terms: &Requirements) -> Result<&'a L, Refusal> {
    let Requirements { scheme, network, .. } = terms;
    if let Some(lane) = lanes.iter().find(|lane| lane.as_ref().settler.supports(scheme, network)) {
        return Ok(lane);
    }
    if lanes.iter().any(|lane| lane.as_ref().is_on(network)) {
        let message = format!("scheme `{}` is not settled on {network}", scheme.escape_debug());
        return Err(Refusal::new(Reason::UnsupportedScheme, message));
    }
    Err(Refusal::new(Reason::InvalidNetwork, format!("{network} is not settled here")))
}

/// Version 1 names scheme and network, version 2 echoes all the terms: neither may differ from what the seller asks.
///
/// The reference compares only scheme and network, and finds the rest in the signature. We compare every field, with
/// the reference's codes where it has one, so that nothing is settled on terms that the buyer did not see.
fn answers(payment: &Payment, terms: &Requirements) -> Result<(), Refusal> {
    let accepted = match payment {
        Payment::V1(v1) => {
            let network = v1.network.parse().ok();
            return same_rail(&v1.scheme, network.as_ref(), terms);
        }
        Payment::V2(v2) => v2::requirements(&v2.accepted).map_err(|error| unreadable(&error))?,
    };
    same_rail(&accepted.scheme, Some(&accepted.network), terms)?;
    same_terms(&accepted, terms)
}

fn same_rail(
    scheme: &str,
    network: Option<&farthing_money::Network>,
    terms: &Requirements,
) -> Result<(), Refusal> {
    let evm = terms.network.namespace() == "eip155";
    if scheme != terms.scheme {
        let reason = if evm { Reason::EVM_SCHEME } else { Reason::InvalidScheme };
        return Err(Refusal::new(reason, "the payment names another scheme than the requirements"));
    }
    if network != Some(&terms.network) {
        let reason = if evm { Reason::EVM_NETWORK_MISMATCH } else { Reason::InvalidNetwork };
        return Err(Refusal::new(reason, "the payment names another network than the requirements"));
    }
    Ok(())
}

fn same_terms(accepted: &Requirements, terms: &Requirements) -> Result<(), Refusal> {
    let network = &terms.network;
    let differs = |field: &str| format!("the accepted `{field}` is not the one in the requirements");
    if !network.same_address(&accepted.pay_to, &terms.pay_to) {
        return Err(Refusal::new(Reason::EVM_RECIPIENT_MISMATCH, differs("payTo")));
    }
    if accepted.amount != terms.amount {
        return Err(Refusal::new(Reason::EVM_VALUE_MISMATCH, differs("amount")));
    }
    let field = if !network.same_address(&accepted.asset, &terms.asset) {
        "asset"
    } else if accepted.max_timeout_seconds != terms.max_timeout_seconds {
        "maxTimeoutSeconds"
    } else if !matches(&only_extra(terms), &only_extra(accepted)) {
        "extra"
    } else {
        return Ok(());
    };
    Err(Refusal::new(Reason::InvalidPaymentRequirements, differs(field)))
}

fn only_extra(terms: &Requirements) -> Object {
    let mut object = Object::default();
    object.0.insert("extra".to_owned(), terms.extra.0.clone().into());
    object
}

fn unreadable(error: &ProtocolError) -> Refusal {
    Refusal::new(Reason::InvalidPayload, error.to_string())
}

/// The settlement that this request asks for.
pub(crate) fn settlement(request: &FacilitatorRequest) -> Result<NewSettlement, Refusal> {
    let read = || -> Result<NewSettlement, ProtocolError> {
        let terms = &request.requirements;
        Ok(NewSettlement {
            key: PaymentKey::of(terms, request.payment.payload())?,
            binding: binding(&request.payment, &request.raw_requirements)?,
            payment: request.payment.to_raw()?.get().to_owned(),
            requirements: request.raw_requirements.get().to_owned(),
            pay_to: terms.pay_to.clone(),
            network: terms.network.clone(),
            asset: terms.asset.clone(),
            amount: terms.amount,
        })
    };
    read().map_err(|error| unreadable(&error))
}

/// SHA-256 over the canonical payment and requirements. The length in front keeps the border between them.
fn binding(payment: &Payment, requirements: &RawValue) -> Result<String, ProtocolError> {
    let payment = payment.canonical()?;
    let json = |source| ProtocolError::Json { what: "`paymentRequirements`", source };
    let mut requirements: StrictValue = serde_json::from_str(requirements.get()).map_err(json)?;
    requirements.0.sort_all_objects();
    let requirements = serde_json::to_string(&requirements).map_err(json)?;
    let digest = Sha256::new()
        .chain_update((payment.len() as u64).to_be_bytes())
        .chain_update(payment)
        .chain_update(requirements)
        .finalize();
    Ok(hex::encode(digest))
}

/// The request that a recorded settlement came from.
pub(crate) fn recorded_request(record: &NewSettlement) -> Result<FacilitatorRequest, ProtocolError> {
    let raw = |what: &'static str, text: &str| {
        RawValue::from_string(text.to_owned()).map_err(|source| ProtocolError::Json { what, source })
    };
    let payment = Payment::read(&raw("the recorded payment", &record.payment)?)?;
    let requirements = raw("the recorded requirements", &record.requirements)?;
    FacilitatorRequest::read(FacilitatorRequest::to_body(&payment, &requirements)?.as_bytes())
}
