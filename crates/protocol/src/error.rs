use farthing_money::MoneyError;

/// Why something from the wire could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// Longer than is ever decoded.
    #[error("{what} has {bytes} bytes; at most {limit} are read")]
    TooLarge {
        /// Which part of the message.
        what: &'static str,
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// Not base64.
    #[error("{what} is not base64")]
    Base64 {
        /// Which part of the message.
        what: &'static str,
    },
    /// Not the JSON that was expected there.
    #[error("{what} is not valid: {source}")]
    Json {
        /// Which part of the message.
        what: &'static str,
        /// Where and why.
        #[source]
        source: serde_json::Error,
    },
    /// A version that this crate does not speak.
    #[error("x402 version {0} is not supported; 1 and 2 are")]
    Version(u64),
    /// A field holds a value that means nothing.
    #[error("`{field}` is not valid: {why}")]
    Field {
        /// The field's name on the wire.
        field: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// A field holds an amount or network that cannot be used.
    #[error("`{field}` is not valid: {source}")]
    Money {
        /// The field's name on the wire.
        field: &'static str,
        /// What is wrong with it.
        #[source]
        source: MoneyError,
    },
    /// A 402 that carries no offer in any protocol spoken here.
    #[error(
        "the answer asks for payment but carries no offer: neither a PAYMENT-REQUIRED header nor an x402 body"
    )]
    NoOffers,
}

impl ProtocolError {
    pub(crate) fn json(what: &'static str) -> impl FnOnce(serde_json::Error) -> Self {
        move |source| Self::Json { what, source }
    }

    pub(crate) fn money(field: &'static str) -> impl FnOnce(MoneyError) -> Self {
        move |source| Self::Money { field, source }
    }
}
