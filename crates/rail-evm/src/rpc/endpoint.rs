//! One RPC endpoint: its health, its chain id, and one exchange with it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use farthing_ambient::causes;
use futures::future::try_join_all;
use reqwest::StatusCode;
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use serde_json::json;
use url::Url;

use super::wire::{self, Answer, Call, Decoded, printable};

/// The most that is read of an answer. A receipt of a full batch has about 100 KB.
const MAX_ANSWER_BYTES: usize = 8 * 1024 * 1024;

/// How long a failing endpoint is put last at most, in seconds.
const MAX_PENALTY_S: u64 = 60;

/// How long its chain id is taken to be what it was: behind an address there may be another node later.
const CHAIN_AGE_MS: u64 = 60_000;

/// Where a chain answers JSON-RPC. Its URL may hold an API key: only scheme, host and port are ever shown.
pub(crate) struct Endpoint {
    url: Url,
    shown: Arc<str>,
    /// Milliseconds of [`super::Rpc`]'s own time until which it is asked last.
    bad_until_ms: AtomicU64,
    failures: AtomicU32,
    chain: AtomicU8,
    /// When `chain` was found out, in the same time.
    checked_at_ms: AtomicU64,
    one_by_one: AtomicBool,
    /// Every call has an id of its own, so that an answer to another one is told apart.
    next_id: AtomicU64,
}

const CHAIN_UNKNOWN: u8 = 0;
const CHAIN_RIGHT: u8 = 1;
const CHAIN_WRONG: u8 = 2;

/// Why an endpoint gave no answer.
#[derive(Debug)]
pub(super) enum Fault {
    /// Nothing reached it.
    NotSent(String),
    /// It may have done what it was asked; nobody heard.
    Lost(String),
    /// It refused without doing anything.
    Refused(String),
    /// Too many requests; when to come back, if it said so.
    Limited(Option<Duration>),
    /// It is another chain.
    WrongChain(String),
}

impl Fault {
    /// Whether the endpoint may have done what it was asked.
    pub(super) fn may_have_arrived(&self) -> bool {
        matches!(self, Self::Lost(_))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSent(why) | Self::Lost(why) | Self::Refused(why) => f.write_str(why),
            Self::Limited(_) => f.write_str("too many requests"),
            Self::WrongChain(found) => write!(f, "it is the chain {found}: correct or remove this endpoint"),
        }
    }
}

impl Endpoint {
    pub(super) fn new(url: Url) -> Self {
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        Self {
            shown: format!("{}://{}{port}", url.scheme(), url.host_str().unwrap_or("?")).into(),
            url,
            bad_until_ms: AtomicU64::new(0),
            failures: AtomicU32::new(0),
            chain: AtomicU8::new(CHAIN_UNKNOWN),
            checked_at_ms: AtomicU64::new(0),
            one_by_one: AtomicBool::new(false),
            next_id: AtomicU64::new(0),
        }
    }

    /// Scheme, host and port: all of the URL that may be shown.
    pub(super) fn shown(&self) -> Arc<str> {
        self.shown.clone()
    }

    pub(super) fn is_wrong_chain(&self, now_ms: u64) -> bool {
        self.is_known_to_be(CHAIN_WRONG, now_ms)
    }

    fn is_known_to_be(&self, chain: u8, now_ms: u64) -> bool {
        let checked_at_ms = self.checked_at_ms.load(Ordering::Relaxed);
        self.chain.load(Ordering::Relaxed) == chain && now_ms < checked_at_ms.saturating_add(CHAIN_AGE_MS)
    }

    pub(super) fn is_bad(&self, now_ms: u64) -> bool {
        self.bad_until_ms.load(Ordering::Relaxed) > now_ms
    }

    pub(super) fn succeeded(&self) {
        self.failures.store(0, Ordering::Relaxed);
        self.bad_until_ms.store(0, Ordering::Relaxed);
    }

    /// Puts it last for a while, twice as long with every failure in a row. What comes back may be another node.
    pub(super) fn failed(&self, now_ms: u64) {
        let (right, unknown) = (CHAIN_RIGHT, CHAIN_UNKNOWN);
        // One that is known to be wrong stays so.
        let _ = self.chain.compare_exchange(right, unknown, Ordering::Relaxed, Ordering::Relaxed);
        let failures = self.failures.fetch_add(1, Ordering::Relaxed).min(16);
        let penalty_s = (1u64 << failures).min(MAX_PENALTY_S);
        self.bad_until_ms.store(now_ms.saturating_add(penalty_s * 1000), Ordering::Relaxed);
    }

    /// Asks, and checks the chain id along with the first question, after a failure, and now and then.
    pub(super) async fn ask(
        &self,
        http: &reqwest::Client,
        chain_id: u64,
        calls: &[Call],
        timeout: Duration,
        now_ms: u64,
    ) -> Result<Vec<Answer>, Fault> {
        let exchange = async {
            if self.is_known_to_be(CHAIN_RIGHT, now_ms) {
                return self.exchange(http, calls).await;
            }
            let mut checked = vec![Call::new("eth_chainId", json!([]))];
            checked.extend_from_slice(calls);
            let mut answers = self.exchange(http, &checked).await?;
            self.check_chain(&answers.remove(0), chain_id, now_ms)?;
            Ok(answers)
        };
        let late = || Fault::Lost(format!("no answer in {} ms", timeout.as_millis()));
        tokio::time::timeout(timeout, exchange).await.unwrap_or_else(|_| Err(late()))
    }

    fn check_chain(&self, answer: &Answer, expected: u64, now_ms: u64) -> Result<(), Fault> {
        let raw = answer.as_ref().map_err(|error| Fault::Lost(format!("eth_chainId: {error}")))?;
        self.checked_at_ms.store(now_ms, Ordering::Relaxed);
        let found: Option<alloy_primitives::U64> = serde_json::from_str(raw.get()).ok();
        if found == Some(alloy_primitives::U64::from(expected)) {
            self.chain.store(CHAIN_RIGHT, Ordering::Relaxed);
            return Ok(());
        }
        self.chain.store(CHAIN_WRONG, Ordering::Relaxed);
        let found = found.map_or_else(|| printable(raw.get()), |id| id.to_string());
        Err(Fault::WrongChain(format!("{found} instead of {expected}")))
    }

    async fn exchange(&self, http: &reqwest::Client, calls: &[Call]) -> Result<Vec<Answer>, Fault> {
        if calls.len() > 1 && self.one_by_one.load(Ordering::Relaxed) {
            return self.singly(http, calls).await;
        }
        match self.post(http, calls).await? {
            Decoded::Answers(answers) => limited(answers),
            Decoded::Refused(error) if error.is_limit() => Err(Fault::Limited(None)),
            Decoded::Refused(_) => {
                // Some public endpoints take no batches.
                self.one_by_one.store(true, Ordering::Relaxed);
                self.singly(http, calls).await
            }
            Decoded::Mixed(why) => {
                // It may do better when it is asked again, one by one; whether it did anything now is not known.
                self.one_by_one.store(true, Ordering::Relaxed);
                Err(Fault::Lost(format!("not an answer in JSON-RPC: {why}")))
            }
        }
    }

    async fn singly(&self, http: &reqwest::Client, calls: &[Call]) -> Result<Vec<Answer>, Fault> {
        let each = calls.iter().map(|call| self.post(http, std::slice::from_ref(call)));
        let mut answers = Vec::with_capacity(calls.len());
        for decoded in try_join_all(each).await? {
            match decoded {
                Decoded::Answers(one) => answers.extend(one),
                Decoded::Refused(error) => answers.push(Err(error)),
                Decoded::Mixed(why) => return Err(Fault::Lost(format!("not an answer in JSON-RPC: {why}"))),
            }
        }
        limited(answers)
    }

    async fn post(&self, http: &reqwest::Client, calls: &[Call]) -> Result<Decoded, Fault> {
        let first_id = self.next_id.fetch_add(calls.len() as u64, Ordering::Relaxed);
        let body = wire::encode(calls, first_id).map_err(|error| Fault::NotSent(error.to_string()))?;
        let request = http.post(self.url.clone()).header(CONTENT_TYPE, "application/json").body(body);
        let response = request.send().await.map_err(transport)?;
        let status = response.status();
        if status == StatusCode::TOO_MANY_REQUESTS {
            return Err(Fault::Limited(retry_after(&response)));
        }
        let body = read(response).await?;
        // Some nodes put a JSON-RPC error under a status of 400 or 500.
        match wire::decode(&body, calls.len(), first_id) {
            Ok(decoded) => Ok(decoded),
            Err(_) if status.is_client_error() => Err(Fault::Refused(format!("HTTP status {status}"))),
            Err(_) if !status.is_success() => Err(Fault::Lost(format!("HTTP status {status}"))),
            Err(why) => Err(Fault::Lost(format!("not an answer in JSON-RPC: {}", printable(&why)))),
        }
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown())
    }
}

/// A limit on one of several calls is a limit on all: half an answer helps nobody.
fn limited(answers: Vec<Answer>) -> Result<Vec<Answer>, Fault> {
    let is_limited = answers.iter().any(|answer| answer.as_ref().is_err_and(|error| error.is_limit()));
    if is_limited { Err(Fault::Limited(None)) } else { Ok(answers) }
}

/// What happened to the connection, without the URL, which may hold a key.
fn transport(error: reqwest::Error) -> Fault {
    let connecting = error.is_connect() || error.is_builder();
    let why = printable(&causes(&error.without_url()));
    if connecting { Fault::NotSent(why) } else { Fault::Lost(why) }
}

fn retry_after(response: &reqwest::Response) -> Option<Duration> {
    let seconds = response.headers().get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

async fn read(mut response: reqwest::Response) -> Result<Vec<u8>, Fault> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(transport)? {
        if body.len() + chunk.len() > MAX_ANSWER_BYTES {
            return Err(Fault::Lost(format!("an answer of more than {MAX_ANSWER_BYTES} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_scheme_host_and_port_are_shown() {
        let endpoint = Endpoint::new("https://user:pass@base.example/v2/KEY?token=KEY".parse().unwrap());
        assert_eq!(format!("{endpoint:?} {}", endpoint.shown()), "https://base.example https://base.example");
        let local = Endpoint::new("http://127.0.0.1:8545/KEY".parse().unwrap());
        assert_eq!(&*local.shown(), "http://127.0.0.1:8545");
    }

    #[test]
    fn a_failing_endpoint_is_put_last_for_longer_each_time() {
        let endpoint = Endpoint::new("http://a.example".parse().unwrap());
        endpoint.failed(0);
        assert!(endpoint.is_bad(999) && !endpoint.is_bad(1000));
        endpoint.failed(0);
        assert!(endpoint.is_bad(1999));
        for _ in 0..100 {
            endpoint.failed(0);
        }
        assert!(endpoint.is_bad(59_999) && !endpoint.is_bad(60_000));
        endpoint.succeeded();
        assert!(!endpoint.is_bad(0));
    }
}
