use async_trait::async_trait;
use farthing_protocol::x402::{FacilitatorRequest, SettleResponse, SupportedResponse, VerifyResponse};

/// What a seller needs of a facilitator, whether it lives in the same process or behind HTTP.
///
/// A payment that is invalid is an answer, not an error. An error means that the facilitator could not answer.
#[async_trait]
pub trait Facilitate: Send + Sync + std::fmt::Debug {
    /// Whether the payment would settle now.
    ///
    /// # Errors
    /// [`FacilitatorError`]
    async fn verify(&self, request: &FacilitatorRequest) -> Result<VerifyResponse, FacilitatorError>;

    /// Settles the payment. The same request again is answered from the record. `settlement_pending` with a
    /// transaction means: sent, not yet seen confirmed; ask again with the same request.
    ///
    /// # Errors
    /// [`FacilitatorError`]: nobody knows whether it settled; ask again with the same request.
    async fn settle(&self, request: &FacilitatorRequest) -> Result<SettleResponse, FacilitatorError>;

    /// What it settles.
    ///
    /// # Errors
    /// [`FacilitatorError`]
    async fn supported(&self) -> Result<SupportedResponse, FacilitatorError>;
}

/// Why a facilitator could not answer.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum FacilitatorError {
    /// It cannot be reached, or took too long.
    #[error("the facilitator at {at} cannot be reached: {why}")]
    Unreachable {
        /// Its address, or `in process`.
        at: String,
        /// What happened.
        why: String,
    },
    /// Its answer is not one.
    #[error("the facilitator at {at} gave an answer that makes no sense: {why}")]
    BadAnswer {
        /// Its address.
        at: String,
        /// What is wrong with it.
        why: String,
    },
    /// It refuses this seller: a bearer key is missing or wrong, or a limit is reached.
    #[error("the facilitator at {at} refused: {why}")]
    Refused {
        /// Its address.
        at: String,
        /// What it said.
        why: String,
    },
}
