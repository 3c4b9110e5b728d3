//! What the facilitator says, in the words of the protocol.

use farthing_ledger::SettlementState;
use farthing_protocol::x402::{FacilitatorRequest, Reason, SettleResponse, VerifyResponse};
use farthing_protocol::{PaymentKey, Protocol, Requirements};
use farthing_rail::VerifyError;

use crate::FacilitatorError;

/// A payment that will not be settled, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) reason: Reason,
    pub(crate) message: String,
    pub(crate) payer: Option<String>,
}

impl Refusal {
    pub(crate) fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), payer: None }
    }

    pub(crate) fn to_verify(&self) -> VerifyResponse {
        VerifyResponse {
            is_valid: false,
            invalid_reason: Some(self.reason.clone()),
            invalid_message: Some(self.message.clone()),
            payer: self.payer.clone(),
            ..VerifyResponse::default()
        }
    }

    pub(crate) fn to_settle(&self, voice: &Voice) -> SettleResponse {
        SettleResponse {
            payer: self.payer.clone().or_else(|| voice.payer.clone()),
            ..voice.failure(&self.reason, &self.message, None)
        }
    }
}

/// How one caller is answered: in the version it asked in, about the network and payer it asked about.
#[derive(Debug, Clone)]
pub(crate) struct Voice {
    version: Protocol,
    network: String,
    amount: String,
    payer: Option<String>,
}

impl Voice {
    pub(crate) fn of(request: &FacilitatorRequest, key: Option<&PaymentKey>) -> Self {
        let Requirements { network, amount, .. } = &request.requirements;
        let version = request.payment.protocol();
        let name = match version {
            Protocol::X402V1 => network.v1_name().unwrap_or(network.as_str()),
            _ => network.as_str(),
        };
        Self { version, network: name.to_owned(), amount: amount.to_string(), payer: key.and_then(payer_of) }
    }

    pub(crate) fn settled(&self, transaction: &str, payer: &str) -> SettleResponse {
        SettleResponse {
            success: true,
            payer: Some(payer.to_owned()),
            transaction: transaction.to_owned(),
            network: self.network.clone(),
            amount: (self.version == Protocol::X402V2).then(|| self.amount.clone()),
            ..SettleResponse::default()
        }
    }

    pub(crate) fn failure(
        &self,
        reason: &Reason,
        message: &str,
        transaction: Option<&str>,
    ) -> SettleResponse {
        SettleResponse {
            success: false,
            error_reason: Some(reason.clone()),
            error_message: Some(message.to_owned()),
            payer: self.payer.clone(),
            transaction: transaction.unwrap_or_default().to_owned(),
            network: self.network.clone(),
            ..SettleResponse::default()
        }
    }

    pub(crate) fn pending(&self, transaction: &str) -> SettleResponse {
        let message = "the transaction is sent and not confirmed yet; ask again with the same request";
        self.failure(&Reason::SettlementPending, message, Some(transaction))
    }

    pub(crate) fn duplicate(&self) -> SettleResponse {
        let message = "this payment is or was being settled with other terms; it is not settled again";
        self.failure(&Reason::DUPLICATE_SETTLEMENT, message, None)
    }

    /// The answer that a finished record gives; `None` for one that is not finished.
    pub(crate) fn finished(&self, state: &SettlementState) -> Option<SettleResponse> {
        match state {
            SettlementState::Confirmed { transaction, payer } => Some(self.settled(transaction, payer)),
            SettlementState::Failed { reason, message, transaction } => {
                Some(self.failure(&Reason::from(reason.as_str()), message, transaction.as_deref()))
            }
            SettlementState::Pending { .. } | SettlementState::Abandoned { .. } => None,
        }
    }
}

fn payer_of(key: &PaymentKey) -> Option<String> {
    key.eip3009_parts().map(|(_, payer, _)| format!("0x{}", hex::encode(payer)))
}

/// Splits what a rail says into an answer about the payment and a failure to answer.
pub(crate) fn invalid(error: VerifyError) -> Result<Refusal, FacilitatorError> {
    match error {
        VerifyError::Invalid { reason, message, payer } => Ok(Refusal { reason, message, payer }),
        other => Err(unreachable(other)),
    }
}

/// The facilitator in this process cannot answer, because of the chain or of the ledger.
pub(crate) fn unreachable(why: impl ToString) -> FacilitatorError {
    FacilitatorError::Unreachable { at: "in process".to_owned(), why: why.to_string() }
}
