//! What a remote facilitator's HTTP answer means. It fails closed: a success has to prove itself.

use std::sync::Arc;

use ::http::StatusCode;
use bytes::Bytes;
use farthing_money::{BaseUnits, Network};
use farthing_protocol::x402::{
    FacilitatorRequest, Reason, SettleResponse, SupportedResponse, VerifyResponse,
};
use serde::de::DeserializeOwned;

use crate::FacilitatorError;
use crate::remote::is_refusal;

/// Longer than any chain's transaction identifier.
const MAX_TRANSACTION_BYTES: usize = 256;

/// An answer as it came.
pub(crate) struct Heard {
    pub(crate) at: Arc<str>,
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
}

impl Heard {
    /// Reads an answer. A refusal of this seller is none, whatever its body says: taken for a verdict on the payment it
    /// would make every buyer sign anew.
    fn read<T: DeserializeOwned>(&self) -> Result<T, FacilitatorError> {
        if is_refusal(self.status) {
            return Err(self.status_error());
        }
        serde_json::from_slice(&self.body).map_err(|error| match self.status.is_success() {
            true => self.bad(error.to_string()),
            false => self.status_error(),
        })
    }

    fn bad(&self, why: impl Into<String>) -> FacilitatorError {
        FacilitatorError::BadAnswer { at: self.at.as_ref().to_owned(), why: why.into() }
    }

    fn unreachable(&self, why: impl Into<String>) -> FacilitatorError {
        FacilitatorError::Unreachable { at: self.at.as_ref().to_owned(), why: why.into() }
    }

    fn status_error(&self) -> FacilitatorError {
        let why = format!("HTTP status {}{}", self.status, self.excerpt());
        match self.status {
            status if is_refusal(status) => {
                FacilitatorError::Refused { at: self.at.as_ref().to_owned(), why }
            }
            status if status.is_server_error() => self.unreachable(why),
            _ => self.bad(why),
        }
    }

    /// The beginning of the body, with nothing in it that moves a terminal's cursor.
    fn excerpt(&self) -> String {
        let text = String::from_utf8_lossy(&self.body);
        let start: String = text.chars().take(200).collect();
        if start.is_empty() { String::new() } else { format!(": {}", start.escape_debug()) }
    }
}

/// Another 4xx that carries an answer is one, as with the reference; a 5xx says nothing about the payment.
pub(crate) fn verify_answer(heard: &Heard) -> Result<VerifyResponse, FacilitatorError> {
    let answer: VerifyResponse = heard.read()?;
    if heard.status.is_success() && answer.is_valid && answer.invalid_reason.is_some() {
        return Err(heard.bad("valid, with a reason why not"));
    }
    if heard.status.is_success() || (heard.status.is_client_error() && !answer.is_valid) {
        return Ok(answer);
    }
    Err(heard.status_error())
}

/// Success must name a transaction, on the right network, and no other amount than asked.
pub(crate) fn settle_answer(
    heard: &Heard,
    request: &FacilitatorRequest,
) -> Result<SettleResponse, FacilitatorError> {
    let answer: SettleResponse = heard.read()?;
    if answer.error_reason == Some(Reason::SettlementPending) && !answer.success {
        return pending(heard, answer);
    }
    if heard.status.is_client_error() && !answer.success {
        return Ok(answer);
    }
    if !heard.status.is_success() {
        return Err(heard.status_error());
    }
    if answer.success {
        proves_payment(heard, &answer, request)?;
    }
    Ok(answer)
}

fn pending(heard: &Heard, answer: SettleResponse) -> Result<SettleResponse, FacilitatorError> {
    if is_transaction(&answer.transaction) {
        return Ok(answer);
    }
    Err(heard.unreachable("the settlement is pending, without a transaction"))
}

fn proves_payment(
    heard: &Heard,
    answer: &SettleResponse,
    request: &FacilitatorRequest,
) -> Result<(), FacilitatorError> {
    let terms = &request.requirements;
    if answer.error_reason.is_some() {
        return Err(heard.bad("settled, with a reason why not"));
    }
    if !is_transaction(&answer.transaction) {
        return Err(heard.bad("settled, without a transaction"));
    }
    if !answer.network.parse::<Network>().is_ok_and(|network| network == terms.network) {
        return Err(heard.bad(format!("settled on another network than {}", terms.network)));
    }
    let paid = answer.amount.as_deref().filter(|amount| !amount.is_empty());
    match paid.map(BaseUnits::from_digits) {
        None => Ok(()),
        Some(Ok(amount)) if amount == terms.amount => Ok(()),
        Some(_) => Err(heard.bad(format!("settled another amount than {}", terms.amount))),
    }
}

fn is_transaction(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_TRANSACTION_BYTES && text.bytes().all(|b| b.is_ascii_graphic())
}

pub(crate) fn supported_answer(heard: &Heard) -> Result<SupportedResponse, FacilitatorError> {
    if !heard.status.is_success() {
        return Err(heard.status_error());
    }
    heard.read()
}
