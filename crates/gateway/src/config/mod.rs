//! `gateway.yaml`.

mod accept;
mod discovery;
mod units;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use farthing_facilitator::InProcessConfig;
use farthing_money::{Asset, Price, Registry, Usd};
use serde::{Deserialize, Deserializer, de};
use serde_saphyr::{Location, Spanned};

pub(crate) use accept::Accept;
pub(crate) use discovery::{ContactText, DiscoveryText, Source};
use units::{Size, Time};

use crate::{ConfigError, PayerLimits};

/// The largest `gateway.yaml` that is read, in bytes.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// For an answer's headers and what is recorded about it, in bytes.
pub(crate) const ROOM_BESIDE_BODY: usize = 64_000;

/// `gateway.yaml`, read and checked.
///
/// Every key is described in docs/gateway.md. Unknown keys are errors.
#[derive(Debug, Clone)]
pub struct Config {
    /// The file it came from.
    pub(crate) file: String,
    pub(crate) text: Text,
    default_responses_dir: Option<PathBuf>,
}

/// The file's keys as they stand in it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Text {
    #[serde(default = "default_listen")]
    pub(crate) listen: SocketAddr,
    #[serde(default)]
    pub(crate) admin: Option<SocketAddr>,
    pub(crate) upstream: Option<Spanned<String>>,
    pub(crate) public_url: Option<Spanned<String>>,
    #[serde(default)]
    pub(crate) trust_forwarded: bool,
    #[serde(default)]
    ledger: Option<PathBuf>,
    pub(crate) facilitator: Option<Spanned<FacilitatorSection>>,
    pub(crate) pay_to: Option<Spanned<String>>,
    #[serde(default)]
    pub(crate) accepts: Vec<Spanned<Accept>>,
    #[serde(default)]
    pub(crate) assets: Vec<Spanned<Asset>>,
    pub(crate) routes: Spanned<Vec<RouteText>>,
    #[serde(default)]
    pub(crate) unmatched: Unmatched,
    #[serde(default)]
    pub(crate) timeouts: Timeouts,
    #[serde(default)]
    pub(crate) limits: LimitsText,
    #[serde(default)]
    pub(crate) responses: ResponsesText,
    #[serde(default)]
    pub(crate) discovery: DiscoveryText,
}

/// One route as it stands in the file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RouteText {
    #[serde(rename = "match")]
    pub(crate) pattern: Spanned<String>,
    pub(crate) price: Option<Spanned<Price>>,
    #[serde(default)]
    pub(crate) free: bool,
    #[serde(default)]
    pub(crate) flow: FlowText,
    pub(crate) accepts: Option<Vec<Spanned<Accept>>>,
    pub(crate) pay_to: Option<Spanned<String>>,
    pub(crate) summary: Option<Spanned<String>>,
    pub(crate) description: Option<String>,
    pub(crate) mime_type: Option<String>,
    #[serde(default)]
    pub(crate) tags: Vec<Spanned<String>>,
    /// A JSON Schema: of the body, or of the query where the method has none.
    pub(crate) input: Option<Spanned<serde_json::Value>>,
    /// A JSON Schema of the answer's body.
    pub(crate) output: Option<Spanned<serde_json::Value>>,
    timeout: Option<Time>,
}

impl RouteText {
    pub(crate) fn timeout(&self) -> Option<Duration> {
        self.timeout.map(|time| time.0)
    }
}

/// What happens to a request that no route matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Unmatched {
    /// It is answered with 404 and never reaches the upstream. The default: a forgotten route gives nothing away.
    #[default]
    Refuse,
    /// It passes without payment.
    Free,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FlowText {
    #[default]
    Authorization,
    Upfront,
}

/// Who verifies and settles.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FacilitatorSection {
    /// A facilitator behind HTTP.
    #[serde(default, deserialize_with = "address")]
    pub url: Option<url::Url>,
    /// The environment variable that holds its bearer key.
    pub bearer_env: Option<String>,
    /// A facilitator in this process. Who builds the gateway builds it.
    pub in_process: Option<InProcessConfig>,
}

/// Reads an address that may hold a password: the error does not repeat it.
fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<url::Url>, D::Error> {
    let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
    let url = url::Url::parse(&text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    url.map(Some).ok_or_else(|| de::Error::custom("`url` is no http or https address"))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Timeouts {
    upstream: Time,
    connect: Time,
    settle: Time,
    request_body: Time,
    shutdown: Time,
}

impl Default for Timeouts {
    fn default() -> Self {
        let seconds = |seconds| Time(Duration::from_secs(seconds));
        Self {
            upstream: seconds(30),
            connect: seconds(5),
            settle: seconds(30),
            request_body: seconds(30),
            shutdown: seconds(60),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct LimitsText {
    request_body: Size,
    response_buffer: Size,
    buffered: Size,
    connections: usize,
    payer_calls: usize,
    payer_unsettled: Usd,
}

impl Default for LimitsText {
    fn default() -> Self {
        Self {
            request_body: Size(10_000_000),
            response_buffer: Size(10_000_000),
            buffered: Size(256_000_000),
            connections: 4096,
            payer_calls: 256,
            // 100 dollars.
            payer_unsettled: Usd::new(100 * 10_u128.pow(18)),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ResponsesText {
    pub(crate) dir: Option<PathBuf>,
    keep: Time,
    max: Size,
}

impl Default for ResponsesText {
    fn default() -> Self {
        Self { dir: None, keep: Time(Duration::from_secs(600)), max: Size(256_000_000) }
    }
}

/// How long the gateway waits, and how much it holds. The defaults are those of `gateway.yaml`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// For a handler's answer: the head, and for buffered answers the body.
    pub upstream: Duration,
    /// For a connection to the upstream.
    pub connect: Duration,
    /// For a settlement to be known.
    pub settle: Duration,
    /// For a paid request's body to arrive.
    pub request_body: Duration,
    /// For open calls at shutdown.
    pub shutdown: Duration,
    /// The largest request body, in bytes.
    pub request_body_bytes: usize,
    /// The largest answer that is held back until it is paid, in bytes.
    pub response_buffer_bytes: usize,
    /// The most bytes of request bodies and answers that calls hold at once, all together. What a store of answers copies
    /// on its way to the disk comes on top.
    pub buffered_bytes: usize,
    /// The most connections at once.
    pub connections: usize,
    /// What one payer may have unsettled.
    pub payer: PayerLimits,
}

impl Default for Limits {
    fn default() -> Self {
        Self::new(&Timeouts::default(), &LimitsText::default())
    }
}

impl Limits {
    fn new(timeouts: &Timeouts, limits: &LimitsText) -> Self {
        Self {
            upstream: timeouts.upstream.0,
            connect: timeouts.connect.0,
            settle: timeouts.settle.0,
            request_body: timeouts.request_body.0,
            shutdown: timeouts.shutdown.0,
            request_body_bytes: limits.request_body.0,
            response_buffer_bytes: limits.response_buffer.0,
            buffered_bytes: limits.buffered.0,
            connections: limits.connections.max(1),
            payer: PayerLimits { calls: limits.payer_calls, unsettled: limits.payer_unsettled },
        }
    }
}

fn default_listen() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 4020))
}

impl Config {
    /// Reads a file.
    ///
    /// # Errors
    /// [`ConfigError`] with the place.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let file = path.display().to_string();
        let failed = |message: String| ConfigError { file: file.clone(), line: 0, column: 0, message };
        let size = std::fs::metadata(path).map_err(|error| failed(format!("cannot be read: {error}")))?.len();
        if size > MAX_FILE_BYTES {
            return Err(failed(format!("has {size} bytes; at most {MAX_FILE_BYTES} are read")));
        }
        let text =
            std::fs::read_to_string(path).map_err(|error| failed(format!("cannot be read: {error}")))?;
        Self::parse(&file, &text)
    }

    /// Reads text; `file` names it in errors. The routes are checked when [`crate::Pricing`] is made of it.
    ///
    /// # Errors
    /// [`ConfigError`] with the place.
    pub fn parse(file: &str, text: &str) -> Result<Self, ConfigError> {
        let options = serde_saphyr::options! { with_snippet: false };
        let text = serde_saphyr::from_str_with_options(text, options).map_err(|error| {
            let error = error.without_snippet();
            let location = error.location();
            let place = location.as_ref().map_or((0, 0), |at| (at.line(), at.column()));
            ConfigError {
                file: file.to_owned(),
                line: place.0,
                column: place.1,
                message: without_place(&error.to_string()),
            }
        })?;
        let config = Self { file: file.to_owned(), text, default_responses_dir: None };
        config.check_limits()?;
        config.check_discovery()?;
        Ok(config)
    }

    /// What is let in one by one must have room at least once.
    fn check_limits(&self) -> Result<(), ConfigError> {
        let Limits { request_body_bytes, response_buffer_bytes, buffered_bytes, payer, .. } = self.limits();
        let message = if buffered_bytes < request_body_bytes.max(response_buffer_bytes) {
            "`limits.buffered` is for all bodies together: it must be as large as `request_body` and `response_buffer`"
        } else if response_buffer_bytes.saturating_add(ROOM_BESIDE_BODY) > self.text.responses.max.0 {
            "`limits.response_buffer` is for answers that could not be kept, and so never be sold: `responses.max` must \
             be larger by 64 KB"
        } else if payer.calls == 0 {
            "`limits.payer_calls` must be at least 1"
        } else {
            return Ok(());
        };
        Err(ConfigError { file: self.file.clone(), line: 0, column: 0, message: message.to_owned() })
    }

    /// Where buyers connect.
    #[must_use]
    pub fn listen(&self) -> SocketAddr {
        self.text.listen
    }

    /// Where `/healthz` and `/metrics` are answered.
    #[must_use]
    pub fn admin(&self) -> Option<SocketAddr> {
        self.text.admin
    }

    /// Who verifies and settles.
    ///
    /// # Errors
    /// [`ConfigError`] unless exactly one facilitator is named, and usable.
    pub fn facilitator(&self) -> Result<&FacilitatorSection, ConfigError> {
        let which = "write `facilitator: {url: https://…}` or `facilitator: {in_process: {networks: …}}`";
        let Some(Spanned { value: section, referenced: at, .. }) = &self.text.facilitator else {
            return Err(ConfigError { file: self.file.clone(), line: 0, column: 0, message: which.into() });
        };
        match (&section.url, &section.in_process) {
            (Some(_), None) => Ok(section),
            (None, Some(_)) if section.bearer_env.is_some() => {
                Err(self.error(*at, "`bearer_env` belongs to a facilitator behind a `url`"))
            }
            (None, Some(own)) => own.check().map(|()| section).map_err(|why| self.error(*at, why)),
            _ => Err(self.error(*at, which)),
        }
    }

    /// Where requests go.
    ///
    /// # Errors
    /// [`ConfigError`] when it is missing, or is not scheme, host and port alone.
    pub fn upstream(&self) -> Result<url::Url, ConfigError> {
        match &self.text.upstream {
            Some(text) => self.origin(text),
            None => Err(ConfigError {
                file: self.file.clone(),
                line: 0,
                column: 0,
                message: "`upstream` is missing: where does your API listen? Such as http://127.0.0.1:8080"
                    .into(),
            }),
        }
    }

    /// Where buyers find the gateway, without a slash at the end. Never taken from a request, as `Host` is the
    /// buyer's word.
    ///
    /// # Errors
    /// [`ConfigError`] when it is not scheme, host and port alone.
    pub fn public_url(&self) -> Result<String, ConfigError> {
        match &self.text.public_url {
            Some(text) => Ok(self.origin(text)?.as_str().trim_end_matches('/').to_owned()),
            None => Ok(format!("http://{}", self.text.listen)),
        }
    }

    /// The assets that it knows: the built-in ones and its own.
    ///
    /// # Errors
    /// [`ConfigError`] for an asset that cannot be added.
    pub fn registry(&self) -> Result<Registry, ConfigError> {
        let mut registry = Registry::builtin();
        for asset in &self.text.assets {
            let added = registry.add(asset.value.clone());
            added.map_err(|error| self.error(asset.referenced, error.to_string()))?;
        }
        Ok(registry)
    }

    /// Whether this configuration differs from the other only in what can change while it runs.
    pub(crate) fn same_besides_prices(&self, other: &Self) -> bool {
        let fixed = |config: &Self| {
            let text = &config.text;
            let upstream = text.upstream.as_ref().map(|upstream| upstream.value.clone());
            // The facilitator's keys have no order of their own; their text form is compared.
            let facilitator = format!("{:?}", text.facilitator.as_ref().map(|section| &section.value));
            let files = (text.ledger.clone(), text.responses.clone());
            // Whether it can be named was found out when the file was read.
            let document = config.document_source().ok();
            (text.listen, text.admin, upstream, text.trust_forwarded, facilitator, files, document)
        };
        fixed(self) == fixed(other) && self.limits() == other.limits()
    }

    fn origin(&self, text: &Spanned<String>) -> Result<url::Url, ConfigError> {
        let url = url::Url::parse(&text.value)
            .map_err(|error| self.error(text.referenced, format!("is not a URL: {error}")))?;
        let alone = url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none();
        if matches!(url.scheme(), "http" | "https") && alone && url.has_host() {
            return Ok(url);
        }
        Err(self.error(text.referenced, "must be scheme, host and port alone, as in https://api.example.com"))
    }

    /// The times and sizes.
    #[must_use]
    pub fn limits(&self) -> Limits {
        Limits::new(&self.text.timeouts, &self.text.limits)
    }

    /// The record's file, relative to this one; none: who builds the gateway has a place of his own for it.
    #[must_use]
    pub fn ledger(&self) -> Option<PathBuf> {
        self.text.ledger.as_deref().map(|path| self.beside(path))
    }

    /// Where answers are kept that a buyer may still come back for; none keeps them in memory. Relative to the file.
    #[must_use]
    pub fn responses_dir(&self) -> Option<PathBuf> {
        let dir = self.text.responses.dir.as_deref().map(|dir| self.beside(dir));
        dir.or_else(|| self.default_responses_dir.clone())
    }

    fn beside(&self, path: &Path) -> PathBuf {
        Path::new(&self.file).parent().map_or_else(|| path.to_owned(), |parent| parent.join(path))
    }

    /// Keeps answers in this folder where the file names none. It should belong to the ledger: what is kept is found by
    /// the ledger's rows, and gateways that share both find each other's.
    #[must_use]
    pub fn or_responses_dir(mut self, dir: PathBuf) -> Self {
        self.default_responses_dir = Some(dir);
        self
    }

    /// How long such answers are kept, and how many bytes of them.
    #[must_use]
    pub fn responses_bounds(&self) -> (Duration, usize) {
        (self.text.responses.keep.0, self.text.responses.max.0)
    }

    /// An error at a place of this file.
    pub(crate) fn error(&self, at: Location, message: impl Into<String>) -> ConfigError {
        let message = on_one_line(&message.into());
        ConfigError { file: self.file.clone(), line: at.line(), column: at.column(), message }
    }
}

/// The parser ends its messages with the place, which [`ConfigError`] says already.
fn without_place(message: &str) -> String {
    let message = message.lines().next().unwrap_or(message);
    on_one_line(message.rsplit_once(" at line ").map_or(message, |(message, _)| message))
}

/// What the file says may be repeated, but not at any length, and not what moves a terminal's cursor.
fn on_one_line(message: &str) -> String {
    let escaped = |c: char| if c.is_control() { c.escape_debug().to_string() } else { c.to_string() };
    message.chars().take(1000).map(escaped).collect()
}
