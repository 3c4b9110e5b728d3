//! The identifiers by which requests and answers find each other.

use farthing_policy::json::{Exact, Json, Number};

/// The identifier of a request, or a progress token: by value, so that `1` answers `1.0`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Id {
    /// A number that can be held exactly.
    Exact(Exact),
    /// A number beyond that, as it was written.
    Number(Number),
    /// A text.
    Text(String),
}

impl Id {
    /// The identifier that this value is; none for what is neither text nor number.
    pub(super) fn of(json: &Json) -> Option<Self> {
        match json {
            Json::String(text) => Some(Self::Text(text.clone())),
            Json::Number(number) => {
                Some(number.exact().map_or_else(|| Self::Number(number.clone()), Self::Exact))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_number_are_one_identifier_and_a_text_is_another() {
        let id = |text: &str| Id::of(&Json::parse(text.as_bytes()).unwrap());
        assert_eq!(id("1"), id("1.0"));
        assert_eq!(id("1"), id("10e-1"));
        assert_ne!(id("1"), id("\"1\""));
        assert_ne!(id("9007199254740993"), id("9007199254740992"));
        assert_eq!(id("1e5000"), id("1e5000"));
        assert_eq!(id("null"), None);
        assert_eq!(id("[1]"), None);
    }
}
