//! The tokens by which callers are known, and the file that knows their digests.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use farthing_ambient::{Entropy, NoEntropy, Timestamp};
use http::header::{AUTHORIZATION, PROXY_AUTHORIZATION};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::problem::Problem;
use crate::stamp::Stamp;

/// How every token begins, so that it is known wherever it stands.
const PREFIX: &str = "fth_";
/// 256 bits in base64url, after the prefix.
const LENGTH: usize = PREFIX.len() + 43;
/// The largest file of tokens.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// The headers that a token may come in. SDKs put what they are told is the API key into one of the last three.
const CARRIERS: [HeaderName; 5] = [
    HeaderName::from_static("x-farthing-token"),
    PROXY_AUTHORIZATION,
    AUTHORIZATION,
    HeaderName::from_static("x-api-key"),
    HeaderName::from_static("api-key"),
];
/// Those that are for the proxy alone: what stands in them goes to nobody.
const OURS: [HeaderName; 2] = [HeaderName::from_static("x-farthing-token"), PROXY_AUTHORIZATION];

/// A caller's secret. It has no `Debug` that shows it.
pub struct Token(Zeroizing<String>);

impl Token {
    /// A new one, of 256 random bits.
    ///
    /// # Errors
    /// [`NoEntropy`]
    pub fn generate(entropy: &dyn Entropy) -> Result<Self, NoEntropy> {
        let mut bits = Zeroizing::new([0; 32]);
        entropy.fill(&mut *bits)?;
        Ok(Self(Zeroizing::new(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bits.as_slice())))))
    }

    /// The text that the caller shows.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// SHA-256 in hex: what is kept of it. Nobody guesses 256 bits, so nothing slower is needed.
    #[must_use]
    pub fn digest(&self) -> String {
        hex::encode(Sha256::digest(self.0.as_bytes()))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

/// A token as the file knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownToken {
    /// Names it in lists, in the record and in sessions.
    pub id: String,
    /// The agent that it stands for, by its name in the policy.
    pub agent: String,
    /// [`Token::digest`].
    pub sha256: String,
    /// When it was made.
    pub made: Timestamp,
}

/// What stands in the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tokens {
    version: u64,
    /// The tokens, in the order in which they were made.
    pub tokens: Vec<KnownToken>,
}

impl Tokens {
    /// No token.
    #[must_use]
    pub fn none() -> Self {
        Self { version: 1, tokens: Vec::new() }
    }

    /// Reads the file; where there is none, there are no tokens.
    ///
    /// # Errors
    /// [`TokenFileError`]
    pub fn load(path: &Path) -> Result<Self, TokenFileError> {
        let unreadable = |why: String| TokenFileError { path: path.to_owned(), why };
        match std::fs::metadata(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::none()),
            Err(error) => return Err(unreadable(error.to_string())),
            Ok(metadata) if metadata.len() > MAX_FILE_BYTES => {
                return Err(unreadable(format!("it has more than {MAX_FILE_BYTES} bytes")));
            }
            Ok(_) => {}
        }
        let text = std::fs::read(path).map_err(|error| unreadable(error.to_string()))?;
        let read: Self = serde_json::from_slice(&text).map_err(|error| unreadable(error.to_string()))?;
        match read.version {
            1 => Ok(read),
            other => Err(unreadable(format!("`version` is {other}; this farthing reads version 1"))),
        }
    }
}

/// Why the tokens are not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the tokens in {} cannot be read: {why}", path.display())]
pub struct TokenFileError {
    path: PathBuf,
    why: String,
}

/// The file, which may change at any time: a token that was taken out is not good for one more call.
#[derive(Debug)]
pub struct TokenFile {
    path: PathBuf,
    seen: Mutex<Seen>,
}

#[derive(Debug)]
struct Seen {
    stamp: Option<Stamp>,
    by_digest: Arc<HashMap<String, KnownToken>>,
}

impl TokenFile {
    /// Reads the file.
    ///
    /// # Errors
    /// [`TokenFileError`]
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, TokenFileError> {
        let path = path.into();
        // The stamp is of before: what is written meanwhile is read with the next look.
        let stamp = stamp(&path);
        let seen = Seen { stamp, by_digest: by_digest(Tokens::load(&path)?) };
        Ok(Self { path, seen: Mutex::new(seen) })
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.current().len()
    }

    /// Whether nobody has one.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn find(&self, token: &Token) -> Option<KnownToken> {
        self.current().get(&token.digest()).cloned()
    }

    /// What the file says now. One that cannot be read knows nobody.
    fn current(&self) -> Arc<HashMap<String, KnownToken>> {
        let now = stamp(&self.path);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.stamp != now {
            let tokens = Tokens::load(&self.path).unwrap_or_else(|error| {
                tracing::error!(%error, "no token is good");
                Tokens::none()
            });
            *seen = Seen { stamp: now, by_digest: by_digest(tokens) };
        }
        seen.by_digest.clone()
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    std::fs::metadata(path).ok().as_ref().map(Stamp::of)
}

fn by_digest(tokens: Tokens) -> Arc<HashMap<String, KnownToken>> {
    Arc::new(tokens.tokens.into_iter().map(|token| (token.sha256.clone(), token)).collect())
}

/// What a request shows.
#[derive(Debug)]
pub(super) enum Shown {
    /// Nothing.
    Nothing,
    /// Something in a header that is for the proxy alone, which is no token.
    Wrong,
    /// A token.
    Token(Token),
}

/// Takes the caller's token out of the headers, and what else is for the proxy alone: they go on without.
///
/// # Errors
/// A token stands where it would be passed on, or there are two.
pub(super) fn take(headers: &mut HeaderMap) -> Result<Shown, Problem> {
    let mut shown = match OURS.iter().any(|name| headers.contains_key(name)) {
        true => Shown::Wrong,
        false => Shown::Nothing,
    };
    let mut others = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers.iter() {
        match token_in(value) {
            None if OURS.contains(name) => {}
            None => drop(others.append(name, value.clone())),
            Some(_) if !CARRIERS.contains(name) => return Err(misplaced(name)),
            Some(token) => match &shown {
                Shown::Token(other) if other.0 != token.0 => return Err(two_tokens()),
                _ => shown = Shown::Token(token),
            },
        }
    }
    *headers = others;
    Ok(shown)
}

/// Whether a token stands in a header that a client sends to whoever it takes for the seller, and not to its proxy alone.
pub(super) fn travels(headers: &HeaderMap) -> bool {
    let carries = |name: &HeaderName| CARRIERS.contains(name) && name != PROXY_AUTHORIZATION;
    headers.iter().any(|(name, value)| carries(name) && token_in(value).is_some())
}

/// Whether a token stands in a text.
pub(super) fn is_in(text: &str) -> bool {
    find(text).is_some()
}

fn token_in(value: &HeaderValue) -> Option<Token> {
    let text = Zeroizing::new(String::from_utf8_lossy(value.as_bytes()).into_owned());
    let token = |text: &str| find(text).map(|token| Token(Zeroizing::new(token.to_owned())));
    token(&text).or_else(|| {
        // `http://x:fth_…@127.0.0.1:4020` comes so.
        let (scheme, encoded) = text.split_once(' ')?;
        let basic = scheme.eq_ignore_ascii_case("basic").then(|| STANDARD.decode(encoded.trim()).ok())??;
        let basic = Zeroizing::new(basic);
        token(std::str::from_utf8(&basic).ok()?)
    })
}

fn find(text: &str) -> Option<&str> {
    text.match_indices(PREFIX).find_map(|(at, _)| {
        let token = text.get(at..at + LENGTH)?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        token.bytes().all(plain).then_some(token)
    })
}

fn misplaced(name: &HeaderName) -> Problem {
    Problem::bad_request(
        "token_in_wrong_header",
        format!("a token stands in the header `{name}`, which is passed on"),
    )
    .hint("send it as `Authorization: Bearer fth_…`, `Proxy-Authorization` or `X-Farthing-Token`")
}

fn two_tokens() -> Problem {
    Problem::bad_request("two_tokens", "the request shows two different tokens").hint("send one")
}

#[cfg(test)]
mod tests {
    use super::*;
    use farthing_ambient::SeededEntropy;

    const A: &str = "fth_0123456789012345678901234567890123456789012";
    const B: &str = "fth_a123456789012345678901234567890123456789012";

    /// The token that is taken, and what is left of the headers.
    fn taken(list: &[(&str, &str)]) -> Result<(Option<String>, Vec<String>), &'static str> {
        let mut headers = HeaderMap::new();
        for (name, value) in list {
            headers.append(HeaderName::try_from(*name).unwrap(), value.parse().unwrap());
        }
        let shown = match take(&mut headers).map_err(|problem| problem.code)? {
            Shown::Nothing => None,
            Shown::Wrong => Some("wrong".to_owned()),
            Shown::Token(token) => Some(token.reveal().to_owned()),
        };
        Ok((shown, headers.keys().map(ToString::to_string).collect()))
    }

    #[test]
    fn a_token_is_taken_from_where_sdks_put_it_and_goes_no_further() {
        let bearer = format!("Bearer {A}");
        let basic = format!("Basic {}", STANDARD.encode(format!("x:{A}")));
        for (name, value) in [
            ("authorization", bearer.as_str()),
            ("authorization", &basic),
            ("proxy-authorization", &bearer),
            ("proxy-authorization", &basic),
            ("x-farthing-token", A),
            ("x-api-key", A),
            ("api-key", A),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(HeaderName::try_from(name).unwrap(), value.parse().unwrap());
            assert_eq!(travels(&headers), name != "proxy-authorization", "{name}");
            let both = [(name, value), ("accept", "*/*")];
            assert_eq!(taken(&both), Ok((Some(A.to_owned()), vec!["accept".to_owned()])), "{name}: {value}");
        }
    }

    #[test]
    fn what_is_the_sellers_stays() {
        let own = ("authorization", "Bearer sk-1");
        assert_eq!(taken(&[own]), Ok((None, vec!["authorization".to_owned()])));
        let both = [own, ("proxy-authorization", &format!("Bearer {A}"))];
        assert_eq!(taken(&both), Ok((Some(A.to_owned()), vec!["authorization".to_owned()])));
        // Too short for a token, or only something like it.
        assert_eq!(taken(&[("x-api-key", "fth_short")]), Ok((None, vec!["x-api-key".to_owned()])));
    }

    #[test]
    fn a_token_that_would_be_passed_on_is_refused() {
        assert_eq!(taken(&[("x-other", A)]), Err("token_in_wrong_header"));
        assert_eq!(taken(&[("cookie", &format!("a=b; t={A}"))]), Err("token_in_wrong_header"));
        assert_eq!(taken(&[("x-farthing-token", A), ("x-api-key", B)]), Err("two_tokens"));
        assert_eq!(taken(&[("x-farthing-token", A), ("x-api-key", A)]), Ok((Some(A.to_owned()), vec![])));
    }

    #[test]
    fn what_is_for_the_proxy_alone_goes_nowhere_even_when_it_is_wrong() {
        for list in [[("proxy-authorization", "Bearer other")], [("x-farthing-token", "secret")]] {
            assert_eq!(taken(&list), Ok((Some("wrong".to_owned()), vec![])));
        }
    }

    #[test]
    fn the_file_knows_digests_and_changes_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.json");
        let file = TokenFile::open(&path).unwrap();
        let token = Token::generate(&SeededEntropy::new(1)).unwrap();
        assert_eq!((token.reveal().len(), file.find(&token), file.is_empty()), (LENGTH, None, true));
        let known = KnownToken {
            id: "a1".to_owned(),
            agent: "researcher".to_owned(),
            sha256: token.digest(),
            made: Timestamp::UNIX_EPOCH,
        };
        let mut tokens = Tokens::none();
        tokens.tokens.push(known.clone());
        let text = serde_json::to_string(&tokens).unwrap();
        assert!(!text.contains(token.reveal()) && !format!("{token:?}").contains(token.reveal()));
        std::fs::write(&path, text).unwrap();
        assert_eq!(file.find(&token), Some(known));
        std::fs::write(&path, "{}").unwrap();
        assert_eq!(file.find(&token), None, "a file that cannot be read knows nobody");
        let error = TokenFile::open(&path).unwrap_err().to_string();
        assert!(error.contains("tokens.json") && error.contains("line 1 column 2"), "{error}");
    }
}
