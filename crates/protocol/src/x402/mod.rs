//! x402, versions 1 and 2 (x402-foundation/x402, `specs/`, commit 0dcf5e9b).

mod facilitator;
mod flow;
mod header;
mod matching;
mod payload;
mod payment_identifier;
mod paywall;
mod reason;
pub mod v1;
pub mod v2;

pub use facilitator::{FacilitatorRequest, SettleResponse, SupportedKind, SupportedResponse, VerifyResponse};
pub use flow::Flow;
pub use header::{
    EXTENSION_RESPONSES, HEADERS, PAYMENT_REQUIRED, PAYMENT_RESPONSE, PAYMENT_SIGNATURE,
    SETTLEMENT_OVERRIDES, SIGN_IN_WITH_X, X_PAYMENT, X_PAYMENT_RESPONSE, decode_header, encode_header,
};
pub use matching::{altered_extension, matches};
pub use payload::{Authorization, ExactEvmPayload, Payment};
pub use payment_identifier::{PaymentId, PaymentIdentifier};
pub use paywall::{Paywall, ServerOffer};
pub use reason::Reason;
pub use v2::ResourceInfo;
