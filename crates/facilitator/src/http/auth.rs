use std::fmt;

use ::http::{HeaderMap, header};
use serde::{Deserialize, Deserializer, de};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use crate::Payees;

/// A key that a seller shows as `Authorization: Bearer …`. Only its hash is known here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// Whose it is: for logs, and to take one key back without touching the others.
    pub name: String,
    /// SHA-256 of the key.
    pub sha256: KeyHash,
    /// The payees that it may be used for; `None` for all.
    pub pay_to: Option<Payees>,
}

/// SHA-256 of a bearer key. Keys are random and long, so that a plain hash keeps them.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct KeyHash([u8; 32]);

impl KeyHash {
    /// The hash of this key.
    #[must_use]
    pub fn of(key: &str) -> Self {
        Self(Sha256::digest(key.as_bytes()).into())
    }

    /// Reads 64 hexadecimal digits.
    ///
    /// # Errors
    /// What is wrong, for people.
    pub fn from_hex(text: &str) -> Result<Self, &'static str> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(
            |_| "not a SHA-256: expected 64 hexadecimal digits, as `printf %s \"$KEY\" | sha256sum` prints",
        )?;
        Ok(Self(bytes))
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyHash")
    }
}

impl<'de> Deserialize<'de> for KeyHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_hex(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

/// Whom a request comes from, as far as keys tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Caller {
    /// There are no keys here.
    Anybody,
    /// The holder of this key: its place in the list.
    Key(usize),
    /// There are keys, and this is none of them.
    Stranger,
}

/// The keys that open this facilitator.
#[derive(Debug)]
pub(super) struct Keys(Vec<ApiKey>);

impl Keys {
    pub(super) fn new(keys: Vec<ApiKey>) -> Self {
        Self(keys)
    }

    pub(super) fn caller(&self, headers: &HeaderMap) -> Caller {
        if self.0.is_empty() {
            return Caller::Anybody;
        }
        let Some(shown) = bearer(headers) else { return Caller::Stranger };
        let shown = KeyHash::of(shown);
        let mut found = Caller::Stranger;
        // Every key is compared, in constant time, so that the time tells nothing about which one is near.
        for (place, key) in self.0.iter().enumerate() {
            let same: Choice = key.sha256.0.ct_eq(&shown.0);
            if same.into() {
                found = Caller::Key(place);
            }
        }
        found
    }

    pub(super) fn get(&self, place: usize) -> Option<&ApiKey> {
        self.0.get(place)
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut all = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (all.next(), all.next()) else { return None };
    let (scheme, key) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(key.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str, secret: &str) -> ApiKey {
        ApiKey { name: name.into(), sha256: KeyHash::of(secret), pay_to: None }
    }

    fn shown(value: &str) -> HeaderMap {
        [(header::AUTHORIZATION, value.parse().unwrap())].into_iter().collect()
    }

    #[test]
    fn old_and_new_keys_work_side_by_side() {
        let keys = Keys::new(vec![key("old", "a"), key("new", "b")]);
        assert_eq!(keys.caller(&shown("Bearer a")), Caller::Key(0));
        assert_eq!(keys.caller(&shown("bearer b")), Caller::Key(1));
        for wrong in ["Bearer c", "Bearer", "Bearer ", "Basic a", "a"] {
            assert_eq!(keys.caller(&shown(wrong)), Caller::Stranger, "{wrong}");
        }
        assert_eq!(keys.caller(&HeaderMap::new()), Caller::Stranger);
    }

    #[test]
    fn two_authorizations_are_none() {
        let mut headers = shown("Bearer a");
        headers.append(header::AUTHORIZATION, "Bearer b".parse().unwrap());
        assert_eq!(Keys::new(vec![key("k", "a")]).caller(&headers), Caller::Stranger);
    }

    #[test]
    fn hashes_are_read_and_never_shown() {
        let hash = KeyHash::of("abc");
        let text = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(KeyHash::from_hex(text).unwrap(), hash);
        assert!(KeyHash::from_hex("abc").is_err());
        assert!(!format!("{:?}", key("k", "abc")).contains("ba78"));
    }
}
