use crate::error::printable;
use crate::{Object, ProtocolError};

/// In which order a seller serves and settles (`extra.paymentFlow`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum Flow {
    /// Verify, serve, settle: a call that failed costs nothing. The default.
    #[default]
    Authorization,
    /// Settle, serve.
    Upfront,
    /// Settle a ceiling, serve, settle the rest.
    Escrow,
}

impl Flow {
    /// The flow's name on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Authorization => "authorization",
            Self::Upfront => "upfront",
            Self::Escrow => "escrow",
        }
    }

    /// The flow that an offer's `extra` names.
    ///
    /// # Errors
    /// [`ProtocolError::Field`] for one that is not known: a client must skip such an offer.
    pub fn of(extra: &Object) -> Result<Self, ProtocolError> {
        let Some(named) = extra.0.get("paymentFlow").filter(|value| !value.is_null()) else {
            return Ok(Self::default());
        };
        [Self::Authorization, Self::Upfront, Self::Escrow]
            .into_iter()
            .find(|flow| named.as_str() == Some(flow.as_str()))
            .ok_or_else(|| ProtocolError::Field {
                field: "extra.paymentFlow",
                why: format!("`{}` is not known", printable(&named.to_string())),
            })
    }
}
