//! How the values of `facilitator.yaml` are written, and how errors in it read.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use farthing_money::{Decimal, Network};
use serde::de::{self, DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use url::Url;
use zeroize::Zeroizing;

use crate::config::gwei_to_wei;

/// The largest configuration and the largest key file that is read, in bytes.
const MAX_BYTES: usize = 1024 * 1024;

/// What is wrong with a configuration, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The file.
    pub file: String,
    /// Line and column, from 1; `None` when the whole is wrong and no single place.
    pub place: Option<(u64, u64)>,
    /// What is wrong, and what to do.
    pub message: String,
}

impl ConfigError {
    pub(crate) fn whole(file: &str, message: impl Into<String>) -> Self {
        Self { file: file.to_owned(), place: None, message: message.into() }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            Some((line, column)) => write!(f, "{}:{line}:{column}: {}", self.file, self.message),
            None => write!(f, "{}: {}", self.file, self.message),
        }
    }
}

impl std::error::Error for ConfigError {}

pub(crate) fn parse<T: DeserializeOwned>(file: &str, text: &str) -> Result<T, ConfigError> {
    if text.len() > MAX_BYTES {
        return Err(ConfigError::whole(file, format!("more than {MAX_BYTES} bytes")));
    }
    let options = serde_saphyr::options! { with_snippet: false };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let error = error.without_snippet();
        let place = error.location().map(|at| (at.line(), at.column()));
        let message = error.to_string();
        let message = message.lines().next().unwrap_or_default();
        // The parser ends its messages with the place, which stands in front here.
        let message = message.rsplit_once(" at line ").map_or(message, |(message, _)| message);
        ConfigError { file: file.to_owned(), place, message: on_one_line(message) }
    })
}

/// What the file says may be repeated, but not at any length, and not what moves a terminal's cursor.
fn on_one_line(message: &str) -> String {
    let escaped = |c: char| if c.is_control() { c.escape_debug().to_string() } else { c.to_string() };
    message.chars().take(1000).map(escaped).collect()
}

/// Where a signer's private key comes from: `env: NAME` or `file: PATH`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "KeySourceText")]
pub enum KeySource {
    /// An environment variable.
    Env(String),
    /// A file that only its owner may read.
    File(PathBuf),
}

/// Untagged, because such an error repeats nothing: people write the key itself here.
#[derive(Deserialize)]
#[serde(
    untagged,
    deny_unknown_fields,
    expecting = "expected `env: NAME` or `file: PATH`: a key itself never stands in a configuration"
)]
enum KeySourceText {
    Env { env: String },
    File { file: PathBuf },
}

impl TryFrom<KeySourceText> for KeySource {
    type Error = &'static str;

    fn try_from(text: KeySourceText) -> Result<Self, Self::Error> {
        match text {
            KeySourceText::Env { env } if is_variable(&env) => Ok(Self::Env(env)),
            KeySourceText::Env { .. } => Err(
                "`env` takes the name of an environment variable (letters, digits and _), not the key itself",
            ),
            KeySourceText::File { file } => Ok(Self::File(file)),
        }
    }
}

/// Whether it can be a variable's name, and is not as long as a key.
fn is_variable(name: &str) -> bool {
    name.len() < 64
        && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// Reads addresses that may hold keys: an error repeats none of them.
pub(crate) fn endpoints<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Url>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    let read = |text: &String| {
        let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        url.ok_or_else(|| de::Error::custom("an `rpc` is no http or https address"))
    };
    texts.iter().map(read).collect()
}

impl KeySource {
    /// The key's text, without white space around it.
    ///
    /// # Errors
    /// [`ConfigError`] naming the source, never the key.
    pub fn read(&self) -> Result<Zeroizing<String>, ConfigError> {
        let text = match self {
            Self::Env(name) => Zeroizing::new(std::env::var(name).map_err(|_| {
                let message = "the environment variable of a signer's key is not set, or not text";
                ConfigError::whole(name, message)
            })?),
            Self::File(path) => read_private(path)?,
        };
        Ok(Zeroizing::new(text.trim().to_owned()))
    }
}

fn read_private(path: &std::path::Path) -> Result<Zeroizing<String>, ConfigError> {
    let failed = |message: String| ConfigError::whole(&path.display().to_string(), message);
    let cannot = |error: std::io::Error| failed(format!("a signer's key cannot be read: {error}"));
    let metadata = std::fs::metadata(path).map_err(cannot)?;
    if !usize::try_from(metadata.len()).is_ok_and(|bytes| bytes <= MAX_BYTES) {
        return Err(failed("this is too large for a key".to_owned()));
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = metadata.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            let message =
                format!("others may read this key (mode {mode:o}): chmod 600 it, and use another key");
            return Err(failed(message));
        }
    }
    std::fs::read_to_string(path).map(Zeroizing::new).map_err(cannot)
}

/// An EVM address.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct PayeeAddress(String);

impl PayeeAddress {
    /// Its text, as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for PayeeAddress {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let digits = text.strip_prefix("0x").unwrap_or_default();
        if digits.len() == 40 && digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Ok(Self(text));
        }
        Err(format!("`{}` is no address: expected 0x and 40 hexadecimal digits", text.escape_debug()))
    }
}

/// A price of gas, written in gwei as a decimal number in quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gwei(u128);

impl Gwei {
    /// The price in wei.
    #[must_use]
    pub fn wei(self) -> u128 {
        self.0
    }
}

impl<'de> Deserialize<'de> for Gwei {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Gwei;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a decimal number in quotes, or an integer")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Gwei, E> {
                let decimal: Decimal = text.parse().map_err(E::custom)?;
                gwei_to_wei(decimal).map(Gwei).map_err(E::custom)
            }
            fn visit_u64<E: de::Error>(self, gwei: u64) -> Result<Gwei, E> {
                self.visit_str(&gwei.to_string())
            }
            fn visit_f64<E: de::Error>(self, _: f64) -> Result<Gwei, E> {
                Err(E::custom("write this number in quotes: a float cannot hold it exactly"))
            }
        }
        deserializer.deserialize_any(Text)
    }
}

/// Reads a map by network, in which one network may not stand under two names.
pub(crate) fn by_network<'de, D, T>(deserializer: D) -> Result<BTreeMap<Network, T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    struct Networks<T>(std::marker::PhantomData<T>);
    impl<'de, T: Deserialize<'de>> Visitor<'de> for Networks<T> {
        type Value = BTreeMap<Network, T>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("networks by name")
        }
        fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
            let mut map = BTreeMap::new();
            while let Some(network) = access.next_key::<Network>()? {
                if map.contains_key(&network) {
                    return Err(de::Error::custom(format_args!("{network} stands twice")));
                }
                map.insert(network, access.next_value()?);
            }
            Ok(map)
        }
    }
    deserializer.deserialize_map(Networks(std::marker::PhantomData))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn key_files_are_private() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        std::fs::write(&path, "0xabc\n").unwrap();
        let source = KeySource::File(path.clone());
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).unwrap();
        let error = source.read().unwrap_err().to_string();
        assert!(error.contains("chmod 600") && !error.contains("abc"), "{error}");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
        assert_eq!(source.read().unwrap().as_str(), "0xabc");
    }

    #[test]
    fn a_missing_variable_is_named() {
        let error = KeySource::Env("FARTHING_NO_SUCH_KEY".into()).read().unwrap_err();
        assert!(error.to_string().contains("FARTHING_NO_SUCH_KEY"));
    }
}
