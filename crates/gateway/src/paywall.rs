//! The 402, prepared once per route.

use bytes::Bytes;
use farthing_money::BaseUnits;
use farthing_protocol::x402::{self, ExactEvmPayload, Flow, Payment, Paywall, ResourceInfo};
use farthing_protocol::{ProtocolError, Requirements};
use http::header::{ACCESS_CONTROL_EXPOSE_HEADERS, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode};
use serde_json::value::RawValue;

use crate::answer::{Answer, EXPOSED, held};

/// Stands for the resource's URL in prepared texts. No URL begins so.
const URL: &str = "farthing-resource:url";
/// What an unpaid 402 says; replaced by the reason where a payment was refused.
const UNPAID: &str = r#""error":"Payment required""#;

/// The longest `PAYMENT-REQUIRED` header with extensions, in bytes, before the resource's URL is filled in. Many proxies
/// take 8 KB of headers at most, and a buyer sends all of it back with his payment beside it.
const MAX_EXTENDED_HEADER: usize = 5500;

/// A priced route's terms in every form that a request needs.
#[derive(Debug)]
pub(crate) struct Terms {
    paywall: Paywall,
    /// The route's URL; for a route with parameters, where its paths begin.
    public_url: String,
    /// For a route with one path only: header and body, ready.
    ready: Option<(HeaderValue, Bytes)>,
    v2_json: String,
    v1_body: String,
    pub(crate) flow: Flow,
    /// It has extensions that are too long for a header, and are left out.
    pub(crate) cut: bool,
}

/// One of a route's offers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Offer<'a> {
    pub(crate) requirements: &'a Requirements,
    /// Its JSON in the payment's version, for a facilitator.
    pub(crate) raw: &'a RawValue,
}

impl Offer<'_> {
    fn is_paid_by(&self, payment: &Payment) -> bool {
        serde_json::from_str::<ExactEvmPayload>(payment.payload().get()).is_ok_and(|payload| {
            let terms = self.requirements;
            terms.network.same_address(&payload.authorization.to, &terms.pay_to)
                && BaseUnits::from_digits(&payload.authorization.value).is_ok_and(|v| v == terms.amount)
        })
    }
}

impl Terms {
    /// Prepares the terms. `fixed_path` is the path of a route that has only one. Extensions are told where they are
    /// short enough for a header.
    pub(crate) fn new(
        public_url: &str,
        fixed_path: Option<&str>,
        resource: ResourceInfo,
        extensions: Option<&serde_json::Value>,
        offers: &[Requirements],
        flow: Flow,
    ) -> Result<Self, ProtocolError> {
        let mut paywall = Paywall::new(&ResourceInfo { url: URL.to_owned(), ..resource }, offers)?;
        let extended = extensions.map(|extensions| extend(&paywall, extensions)).transpose()?;
        let cut = extended.as_ref().is_some_and(|extended| extended.v2_header().len() > MAX_EXTENDED_HEADER);
        if let Some(extended) = extended.filter(|_| !cut) {
            paywall = extended;
        }
        let json: Box<RawValue> = x402::decode_header("PAYMENT-REQUIRED", paywall.v2_header().as_bytes())?;
        let mut terms = Self {
            v2_json: json.get().to_owned(),
            v1_body: paywall.v1_body(None),
            public_url: public_url.to_owned(),
            ready: None,
            paywall,
            flow,
            cut,
        };
        terms.ready = fixed_path.map(|path| terms.render(path, None)).transpose()?;
        Ok(terms)
    }

    /// The terms of every offer.
    pub(crate) fn requirements(&self) -> impl Iterator<Item = &Requirements> {
        self.paywall.offers().iter().map(|offer| &offer.requirements)
    }

    /// The offer that a payment answers. Where several do - version 1 names only scheme and network - it
    /// is the one whose payee and amount were signed.
    pub(crate) fn answered_by(&self, payment: &Payment) -> Result<Option<Offer<'_>>, ProtocolError> {
        let mut found = None;
        for offer in self.paywall.offers() {
            let echoed = match payment {
                Payment::V2(payment) => payment.accepted.get() == offer.raw_v2.get(),
                Payment::V1(_) => false,
            };
            if !echoed && !payment.answers(&offer.requirements, &offer.echo)? {
                continue;
            }
            let raw = match payment {
                Payment::V1(_) => offer.raw_v1.as_deref(),
                Payment::V2(_) => Some(&*offer.raw_v2),
            };
            let Some(raw) = raw else { continue };
            let candidate = Offer { requirements: &offer.requirements, raw };
            if echoed || candidate.is_paid_by(payment) {
                return Ok(Some(candidate));
            }
            found = found.or(Some(candidate));
        }
        Ok(found)
    }

    /// Header and body of the answer to a request without a payment.
    pub(crate) fn quote(&self, path: &str) -> Result<(HeaderValue, Bytes), ProtocolError> {
        self.ready.clone().map_or_else(|| self.render(path, None), Ok)
    }

    /// The answer to a request without a payment.
    pub(crate) fn unpaid(&self, path: &str) -> Answer {
        self.answer(StatusCode::PAYMENT_REQUIRED, path, None)
    }

    /// The answer to a payment that is not accepted: the same terms, with the reason.
    pub(crate) fn refused(&self, status: StatusCode, path: &str, error: &str) -> Answer {
        self.answer(status, path, Some(error))
    }

    fn answer(&self, status: StatusCode, path: &str, error: Option<&str>) -> Answer {
        let rendered = match error {
            None => self.quote(path),
            Some(_) => self.render(path, error),
        };
        let (header, body) = match rendered {
            Ok(rendered) => rendered,
            Err(error) => {
                // Cannot happen: a canonical path is ASCII without quotes. If it did, refusing is right.
                tracing::error!(%error, "a 402 could not be written");
                return crate::answer::error(StatusCode::INTERNAL_SERVER_ERROR, "internal", "no terms");
            }
        };
        let mut answer = Response::new(held(body));
        *answer.status_mut() = status;
        let headers = answer.headers_mut();
        headers.insert(x402::PAYMENT_REQUIRED, header);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
        answer
    }

    fn render(&self, path: &str, error: Option<&str>) -> Result<(HeaderValue, Bytes), ProtocolError> {
        let url = format!("{}{path}", self.public_url);
        let fill = |template: &str| {
            let text = template.replace(URL, &url);
            match error {
                // Cut, so that the header stays one that every server and proxy lets through.
                Some(error) => text.replacen(
                    UNPAID,
                    &format!(
                        r#""error":{}"#,
                        serde_json::Value::from(&error[..error.floor_char_boundary(256)])
                    ),
                    1,
                ),
                None => text,
            }
        };
        let raw = RawValue::from_string(fill(&self.v2_json))
            .map_err(|source| ProtocolError::Json { what: "the 402", source })?;
        let header = HeaderValue::try_from(x402::encode_header(&raw)?)
            .map_err(|error| ProtocolError::Field { field: "PAYMENT-REQUIRED", why: error.to_string() })?;
        Ok((header, Bytes::from(fill(&self.v1_body))))
    }
}

fn extend(paywall: &Paywall, extensions: &serde_json::Value) -> Result<Paywall, ProtocolError> {
    let raw = serde_json::value::to_raw_value(extensions)
        .map_err(|source| ProtocolError::Json { what: "the extensions", source })?;
    paywall.clone().with_extensions(raw)
}
