use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use async_trait::async_trait;
use bytes::Bytes;
use farthing_protocol::MAX_BODY_BYTES;
use farthing_protocol::x402::{FacilitatorRequest, SettleResponse, SupportedResponse, VerifyResponse};
use tokio::sync::Mutex;
use url::Url;

use crate::remote_answer::{Heard, settle_answer, supported_answer, verify_answer};
use crate::remote_http::{Failure, Http, Question};
use crate::{Facilitate, FacilitatorError};

/// How to speak to somebody else's facilitator.
#[derive(Clone)]
pub struct RemoteConfig {
    /// Its address; `/verify`, `/settle` and `/supported` are appended to the path. `https`, or `http` on this machine.
    pub url: Url,
    /// Sent as `Authorization: Bearer …`.
    pub bearer: Option<String>,
    /// Sent with every request.
    pub headers: Vec<(String, String)>,
    /// Allows `http` to other machines, for a network that is trusted: payments and the key go out in the clear.
    pub allow_plain_http: bool,
    /// To connect.
    pub connect_timeout: Duration,
    /// For a whole answer to verify or supported.
    pub verify_timeout: Duration,
    /// For a whole answer to settle: longer than the facilitator waits for the chain.
    pub settle_timeout: Duration,
    /// How old a `/supported` answer gets before it is fetched again.
    pub supported_max_age: Duration,
}

impl RemoteConfig {
    /// The defaults for this address.
    #[must_use]
    pub fn new(url: Url) -> Self {
        let seconds = Duration::from_secs;
        Self {
            url,
            bearer: None,
            headers: Vec::new(),
            allow_plain_http: false,
            connect_timeout: seconds(5),
            verify_timeout: seconds(15),
            settle_timeout: seconds(75),
            supported_max_age: seconds(300),
        }
    }
}

impl fmt::Debug for RemoteConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The key and the headers are secrets, and the address's path may hold one.
        f.debug_struct("RemoteConfig").field("url", &shown(&self.url)).finish_non_exhaustive()
    }
}

/// Why a remote facilitator cannot be configured so.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RemoteConfigError {
    /// The address cannot be used.
    #[error("the facilitator's address {url} cannot be used: {why}")]
    Url {
        /// Scheme, host and port of the address.
        url: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A header cannot be sent. Its value is not shown.
    #[error(
        "the facilitator's header `{0}` cannot be sent: names are letters, digits and dashes, values visible ASCII"
    )]
    Header(String),
    /// The HTTP client cannot be made.
    #[error("the HTTP client cannot be made: {0}")]
    Client(String),
}

type Fetched = (Instant, Result<SupportedResponse, FacilitatorError>);

/// How long a failure to fetch `/supported` is remembered, so that its callers do not queue for timeouts.
const FAILURE_MAX_AGE: Duration = Duration::from_secs(5);

/// A facilitator behind HTTP.
///
/// No redirect is followed, bodies are bounded, and what does not prove that money moved is never taken for a success.
/// Connections that fail before the request is sent are tried once more. After any other error on settle, and after
/// `settlement_pending`, nobody knows whether it settled: ask again with the same request, and do not take a later "used"
/// for a failure.
pub struct HttpFacilitator {
    config: RemoteConfig,
    http: Http,
    /// Where each question goes, and what errors show of the address: made once, not for every call.
    verify: Uri,
    settle: Uri,
    supported_at: Uri,
    at: Arc<str>,
    /// The lock is held while fetching, so that one request goes out however many wait.
    supported: Mutex<Option<Fetched>>,
}

impl fmt::Debug for HttpFacilitator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HttpFacilitator").field(&self.config).finish()
    }
}

impl HttpFacilitator {
    /// A client; nothing is sent yet.
    ///
    /// # Errors
    /// [`RemoteConfigError`]
    pub fn new(config: RemoteConfig) -> Result<Self, RemoteConfigError> {
        check_url(&config)?;
        let tls = config.url.scheme() == "https";
        let http = Http::new(headers(&config)?, tls, config.connect_timeout);
        let http = http.map_err(|error| RemoteConfigError::Client(error.to_string()))?;
        let at = |path| endpoint(&config.url, path);
        let (verify, settle, supported_at) = (at("verify")?, at("settle")?, at("supported")?);
        let at = shown(&config.url).into();
        Ok(Self { config, http, verify, settle, supported_at, at, supported: Mutex::new(None) })
    }

    fn at(&self) -> String {
        self.at.as_ref().to_owned()
    }

    /// Sends, once more where `again` allows, and reads a bounded answer.
    async fn exchange(
        &self,
        asked: Question<'_>,
        again: impl Fn(&Failure) -> bool,
    ) -> Result<Heard, FacilitatorError> {
        let answer = match self.http.ask(&asked).await {
            Err(failure) if again(&failure) => self.http.ask(&asked).await,
            answer => answer,
        };
        match answer {
            Ok((status, body)) => Ok(Heard { at: self.at.clone(), status, body }),
            Err(Failure::TooLarge) => {
                let why = format!("more than {MAX_BODY_BYTES} bytes");
                Err(FacilitatorError::BadAnswer { at: self.at(), why })
            }
            Err(Failure::Late) => {
                Err(FacilitatorError::Unreachable { at: self.at(), why: "it took too long".to_owned() })
            }
            Err(Failure::Unconnected(why) | Failure::Broken(why)) => {
                Err(FacilitatorError::Unreachable { at: self.at(), why })
            }
        }
    }

    fn body(&self, request: &FacilitatorRequest) -> Result<Bytes, FacilitatorError> {
        FacilitatorRequest::to_body(&request.payment, &request.raw_requirements)
            .map(Bytes::from)
            .map_err(|error| FacilitatorError::BadAnswer { at: self.at(), why: error.to_string() })
    }

    async fn fetch_supported(&self) -> Result<SupportedResponse, FacilitatorError> {
        let asked = Question { uri: &self.supported_at, within: self.config.verify_timeout, body: None };
        supported_answer(&self.exchange(asked, |_| true).await?)
    }
}

#[async_trait]
impl Facilitate for HttpFacilitator {
    async fn verify(&self, request: &FacilitatorRequest) -> Result<VerifyResponse, FacilitatorError> {
        let body = Some(self.body(request)?);
        let asked = Question { uri: &self.verify, within: self.config.verify_timeout, body };
        // Asking twice does nothing twice. A timeout is not asked again: the buyer is waiting.
        let heard = self.exchange(asked, is_quick).await?;
        verify_answer(&heard)
    }

    async fn settle(&self, request: &FacilitatorRequest) -> Result<SettleResponse, FacilitatorError> {
        let body = Some(self.body(request)?);
        let asked = Question { uri: &self.settle, within: self.config.settle_timeout, body };
        // What may have arrived may have been settled: whether to ask again is for the caller, who keeps in mind that
        // it was asked before.
        let heard = self.exchange(asked, |failure| matches!(failure, Failure::Unconnected(_))).await?;
        settle_answer(&heard, request)
    }

    async fn supported(&self) -> Result<SupportedResponse, FacilitatorError> {
        let mut kept = self.supported.lock().await;
        if let Some((fetched, answer)) = kept.as_ref() {
            let max_age = if answer.is_ok() { self.config.supported_max_age } else { FAILURE_MAX_AGE };
            if fetched.elapsed() < max_age {
                return answer.clone();
            }
        }
        let answer = self.fetch_supported().await;
        *kept = Some((Instant::now(), answer.clone()));
        answer
    }
}

/// Whether there is time to ask again: the buyer is waiting.
fn is_quick(failure: &Failure) -> bool {
    !matches!(failure, Failure::Late)
}

fn endpoint(base: &Url, path: &str) -> Result<Uri, RemoteConfigError> {
    let mut url = base.clone();
    url.set_path(&format!("{}/{path}", base.path().trim_end_matches('/')));
    url.as_str().parse().map_err(|_| RemoteConfigError::Url { url: shown(base), why: "it is no URI" })
}

/// Scheme, host and port: all that errors and logs show of an address, as some facilitators have a key in its path.
fn shown(url: &Url) -> String {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{}{port}", url.scheme(), url.host_str().unwrap_or("?"))
}

fn check_url(config: &RemoteConfig) -> Result<(), RemoteConfigError> {
    let url = &config.url;
    let local = farthing_ambient::is_this_machine(url);
    let why = if !url.username().is_empty() || url.password().is_some() {
        "it holds a name or a password; give a bearer key instead"
    } else if url.query().is_some() || url.fragment().is_some() {
        "it has a query or a fragment"
    } else if url.scheme() == "https" || (url.scheme() == "http" && (local || config.allow_plain_http)) {
        return Ok(());
    } else {
        "it must be https, or http on this machine"
    };
    Err(RemoteConfigError::Url { url: shown(url), why })
}

fn headers(config: &RemoteConfig) -> Result<HeaderMap, RemoteConfigError> {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(
        header::USER_AGENT,
        HeaderValue::from_static(concat!("farthing/", env!("CARGO_PKG_VERSION"))),
    );
    let bearer = config.bearer.iter().map(|key| ("authorization".to_owned(), format!("Bearer {key}")));
    for (name, value) in config.headers.iter().cloned().chain(bearer) {
        let bad = || RemoteConfigError::Header(name.escape_debug().to_string());
        let parsed: HeaderName = name.parse().map_err(|_| bad())?;
        let mut value = HeaderValue::from_str(&value).map_err(|_| bad())?;
        value.set_sensitive(true);
        headers.insert(parsed, value);
    }
    Ok(headers)
}

/// Whether the status is one of a refusal to this caller, whatever the payment.
pub(crate) fn is_refusal(status: StatusCode) -> bool {
    matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(url: &str) -> Result<HttpFacilitator, RemoteConfigError> {
        HttpFacilitator::new(RemoteConfig::new(url.parse().unwrap()))
    }

    #[test]
    fn only_https_or_this_machine() {
        for url in [
            "https://f.example",
            "https://f.example/x/y/",
            "http://127.0.0.1:1",
            "http://[::1]",
            "http://localhost:9",
        ] {
            assert!(made(url).is_ok(), "{url}");
        }
        for url in [
            "http://f.example",
            "http://10.0.0.1",
            "ftp://f.example",
            "https://u:p@f.example",
            "https://f.example/?k=1",
            "http://f.example/hush",
        ] {
            let message = made(url).unwrap_err().to_string();
            assert!(!["u:p", "k=1", "hush"].iter().any(|secret| message.contains(secret)), "{message}");
        }
    }

    #[test]
    fn the_path_is_kept() {
        let at = |base: &str| endpoint(&base.parse().unwrap(), "verify").unwrap().to_string();
        assert_eq!(at("https://f.example"), "https://f.example/verify");
        assert_eq!(at("https://f.example/platform/v2/x402/"), "https://f.example/platform/v2/x402/verify");
    }

    #[test]
    fn keys_are_not_shown() {
        let mut config = RemoteConfig::new("https://f.example:8443/hush/x402".parse().unwrap());
        config.bearer = Some("hush".into());
        config.headers = vec![("x-key".into(), "hush".into())];
        let shown = format!("{:?}", HttpFacilitator::new(config.clone()).unwrap());
        assert!(shown.contains("https://f.example:8443") && !shown.contains("hush"), "{shown}");
        config.headers = vec![("x-key".into(), "hush\n".into())];
        assert!(!HttpFacilitator::new(config).unwrap_err().to_string().contains("hush"));
    }
}
