//! A request that carries a payment: what is bought, and with what.

use std::sync::Arc;

use farthing_money::{BaseUnits, Usd};
use farthing_protocol::x402::{
    FacilitatorRequest, Flow, PAYMENT_RESPONSE, PAYMENT_SIGNATURE, Payment, SettleResponse, X_PAYMENT,
    X_PAYMENT_RESPONSE, v2,
};
use farthing_protocol::{PaymentKey, Protocol, ProtocolError, Requirements};
use http::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE};
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use crate::answer::{self, Answer, Refusal};
use crate::pricing::PaidRoute;

/// A buyer's own name for one request, kept over its retries. It never goes onto a chain.
pub(crate) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// In the words of the reference.
const NO_OFFER: &str = "No matching payment requirements";

/// What only the buyer knows of his request: everything in a payment can be read off the chain once it is settled.
const SECRETS: [HeaderName; 3] = [IDEMPOTENCY_KEY, AUTHORIZATION, COOKIE];

/// What a request must repeat, besides method, path, query and body, to be the same request.
const IDENTITY: [HeaderName; 4] = [AUTHORIZATION, COOKIE, CONTENT_TYPE, IDEMPOTENCY_KEY];

/// Who paid for a request, and what: in the request's extensions for handlers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paid {
    /// The payer's address.
    pub payer: String,
    /// Base units of the asset.
    pub amount: BaseUnits,
    /// The token's address.
    pub asset: String,
    /// Where it is paid.
    pub network: farthing_money::Network,
    /// Whom it pays.
    pub pay_to: String,
    /// The payment's identity.
    pub key: PaymentKey,
}

/// A payment for the route it was sent to.
pub(crate) struct Order {
    pub(crate) route: Arc<PaidRoute>,
    pub(crate) request: FacilitatorRequest,
    pub(crate) paid: Paid,
    /// What it is worth in dollars.
    pub(crate) worth: Usd,
    /// The canonical path.
    pub(crate) path: String,
    /// The request's method, path and digest: what a claim is bound to.
    pub(crate) identity: String,
    /// The request holds what only its buyer knows: the answer may be sent again after it was delivered.
    pub(crate) named: bool,
    /// It answers no offer that is made now, and perhaps one that was made before: nothing but a call that has begun
    /// already is gone on with.
    pub(crate) late: bool,
    flow: Flow,
}

/// The payment header of a request.
pub(crate) enum Found<'a> {
    None,
    One(&'static str, &'a HeaderValue),
    /// Two payments for one request: which of them was meant nobody can say.
    Several,
}

pub(crate) fn find(headers: &HeaderMap) -> Found<'_> {
    let mut found = Found::None;
    for name in [PAYMENT_SIGNATURE, X_PAYMENT] {
        for value in headers.get_all(name) {
            if !matches!(found, Found::None) {
                return Found::Several;
            }
            found = Found::One(name, value);
        }
    }
    found
}

impl Order {
    /// Reads the payment and finds the offer that it answers. Prices change while buyers hold payments: one that answers
    /// no offer is read by the terms that it echoes.
    ///
    /// What cannot be read is answered with 400, as the specification has it. The reference answers 402, which invites
    /// a client to pay anew for a request whose fault is not the payment's amount.
    pub(crate) fn read<B>(
        route: &Arc<PaidRoute>,
        path: &str,
        request: &Request<B>,
        name: &'static str,
        value: &HeaderValue,
    ) -> Result<Self, Refusal> {
        let bad = |error: ProtocolError| {
            Box::new(answer::error(StatusCode::BAD_REQUEST, "invalid_payload", &error.to_string()))
        };
        let payment = Payment::from_header(name, value.as_bytes()).map_err(bad)?;
        let offer = route.terms.answered_by(&payment).map_err(bad)?;
        let offer = offer.map(|offer| (offer.requirements.clone(), offer.raw.to_owned()));
        let late = offer.is_none();
        let refused = || Box::new(route.terms.refused(StatusCode::PAYMENT_REQUIRED, path, NO_OFFER));
        let unread = |error| if late { refused() } else { bad(error) };
        let (terms, raw) = offer.or_else(|| echoed(&payment)).ok_or_else(refused)?;
        let key = PaymentKey::of(&terms, payment.payload()).map_err(unread)?;
        let payer = key.eip3009_parts().map(|(_, from, _)| format!("0x{}", hex::encode(from)));
        let paid = Paid {
            payer: payer.unwrap_or_default(),
            amount: terms.amount,
            asset: terms.asset.clone(),
            network: terms.network.clone(),
            pay_to: terms.pay_to.clone(),
            key,
        };
        Ok(Self {
            route: route.clone(),
            worth: route.worth(&terms),
            paid,
            path: path.to_owned(),
            identity: String::new(),
            named: SECRETS.iter().any(|name| request.headers().contains_key(name)),
            late,
            flow: Flow::of(&terms.extra).map_err(unread)?,
            request: FacilitatorRequest { requirements: terms, raw_requirements: raw, payment },
        })
    }

    pub(crate) fn key(&self) -> &PaymentKey {
        &self.paid.key
    }

    pub(crate) fn is_upfront(&self) -> bool {
        self.flow == Flow::Upfront
    }

    /// Binds the order to the request with this body. An upfront route streams its body: there it does not count.
    pub(crate) fn bind<B>(&mut self, request: &Request<B>, body: Option<&[u8]>) {
        let mut digest = Sha256::new();
        let mut part = |bytes: &[u8]| {
            digest.update((bytes.len() as u64).to_be_bytes());
            digest.update(bytes);
        };
        part(request.uri().query().unwrap_or("").as_bytes());
        part(body.unwrap_or_default());
        for name in [PAYMENT_SIGNATURE, X_PAYMENT] {
            request.headers().get_all(name).iter().for_each(|value| part(value.as_bytes()));
        }
        for name in &IDENTITY {
            part(name.as_str().as_bytes());
            request.headers().get_all(name).iter().for_each(|value| part(value.as_bytes()));
        }
        let digest = hex::encode(digest.finalize());
        self.identity = format!("{} {} sha256:{digest}", request.method(), self.path);
    }

    /// The name of the header that tells the buyer about the settlement.
    pub(crate) fn response_header(&self) -> &'static str {
        match self.request.payment.protocol() {
            Protocol::X402V1 => X_PAYMENT_RESPONSE,
            _ => PAYMENT_RESPONSE,
        }
    }

    /// The network in the words of the payment's version.
    pub(crate) fn network_name(&self) -> &str {
        let network = &self.paid.network;
        match self.request.payment.protocol() {
            Protocol::X402V1 => network.v1_name().unwrap_or(network.as_str()),
            _ => network.as_str(),
        }
    }

    /// A settlement known from the record.
    pub(crate) fn settled_by(&self, transaction: &str) -> SettleResponse {
        SettleResponse {
            success: true,
            payer: Some(self.paid.payer.clone()),
            transaction: transaction.to_owned(),
            network: self.network_name().to_owned(),
            ..SettleResponse::default()
        }
    }

    /// The terms again, with the reason why this payment is not accepted.
    pub(crate) fn refused(&self, status: StatusCode, reason: &str) -> Answer {
        self.route.terms.refused(status, &self.path, reason)
    }

    /// The terms as they are now, for a payment that answers none of them.
    pub(crate) fn unanswered(&self) -> Answer {
        self.refused(StatusCode::PAYMENT_REQUIRED, NO_OFFER)
    }

    /// Nobody may be asked to pay again here: the payment was good, and was used.
    pub(crate) fn duplicate(&self, why: &str) -> Answer {
        answer::error(StatusCode::CONFLICT, "duplicate_settlement", why)
    }

    /// The buyer has enough going on. Nothing was charged: the same payment is good later.
    pub(crate) fn too_exposed(&self) -> Answer {
        let why = "too many calls of this payer are not settled yet; nothing was charged: \
                   send the same request with the same payment again when some are";
        answer::try_again(StatusCode::TOO_MANY_REQUESTS, "payer_limit", why)
    }

    pub(crate) fn in_progress(&self) -> Answer {
        let why = "this payment is being served; send the same request again if its answer does not arrive";
        answer::try_again(StatusCode::CONFLICT, "payment_in_progress", why)
    }
}

/// The terms that a payment says it accepted. Version 1 says nothing of them.
fn echoed(payment: &Payment) -> Option<(Requirements, Box<RawValue>)> {
    match payment {
        Payment::V1(_) => None,
        Payment::V2(payment) => Some((v2::requirements(&payment.accepted).ok()?, payment.accepted.clone())),
    }
}
