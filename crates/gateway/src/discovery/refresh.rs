//! Fetching the upstream's own document, again and again.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use farthing_ambient::causes;
use farthing_protocol::discovery::{MAX_DOCUMENT_BYTES, Severity};
use http::header::{ACCEPT, HOST};
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use super::{DocumentError, Notice, UpstreamDocument};
use crate::config::Source;
use crate::{Config, GatewayError, SharedPricing};

/// How long one try may take, all in all.
const TIMEOUT: Duration = Duration::from_secs(10);
/// When it is tried again after it failed: the upstream may be starting, too.
const RETRY: Duration = Duration::from_secs(10);

/// Reads the document that `discovery.upstream_document` names; none where it names none.
///
/// # Errors
/// [`GatewayError::Config`], [`GatewayError::Tls`], and [`GatewayError::Document`] when it cannot be had or is none.
pub async fn upstream_document(config: &Config) -> Result<Option<UpstreamDocument>, GatewayError> {
    match Follower::new(config)? {
        Some(follower) => Ok(Some(follower.read().await?)),
        None => Ok(None),
    }
}

/// Keeps the documents in step with the upstream's.
#[derive(Debug)]
pub(crate) struct Follower {
    source: Source,
    every: Duration,
    client: Client<HttpsConnector<HttpConnector>, Empty<Bytes>>,
}

impl Follower {
    pub(crate) fn new(config: &Config) -> Result<Option<Self>, GatewayError> {
        let Some((source, every)) = config.document_source()? else { return Ok(None) };
        let tls = matches!(&source, Source::Url(url) if url.scheme() == "https");
        let connector = farthing_http::connector(tls, false, config.limits().connect)
            .map_err(|error| GatewayError::Tls(error.to_string()))?;
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Ok(Some(Self { source, every, client }))
    }

    /// Reads it every so often, until it is dropped. One that cannot be used changes nothing.
    pub(crate) async fn run(self, pricing: SharedPricing) {
        let mut told = None;
        loop {
            let described = self.describe(&pricing).await;
            let pause = if described.is_err() { self.every.min(RETRY) } else { self.every };
            let said = match described {
                Ok(notice) => notice.map(|notice| (notice.severity, notice.message)),
                Err(error) => {
                    let message = format!(
                        "the upstream's document is not used; the last good one, or none, is: {error}"
                    );
                    Some((Severity::Error, message))
                }
            };
            if said != told {
                match &said {
                    Some((Severity::Info, message)) => tracing::info!("{message}"),
                    Some((_, message)) => tracing::warn!("{message}"),
                    None => {}
                }
            }
            told = said;
            tokio::time::sleep(pause).await;
        }
    }

    /// Reads it once, and merges it. Gives what is not told of it.
    async fn describe(&self, pricing: &SharedPricing) -> Result<Option<Notice>, DocumentError> {
        let document = self.read().await?;
        let pricing = pricing.clone();
        // Some documents are large; who asks for a price meanwhile does not wait for them.
        let described = tokio::task::spawn_blocking(move || pricing.describe_with(document)).await;
        described.map_err(|error| DocumentError::Unreachable(error.to_string()))
    }

    async fn read(&self) -> Result<UpstreamDocument, DocumentError> {
        let json = match &self.source {
            Source::Url(url) => {
                let fetched = tokio::time::timeout(TIMEOUT, self.fetch(url)).await;
                let late =
                    |_| DocumentError::Unreachable(format!("no answer within {} s", TIMEOUT.as_secs()));
                fetched.map_err(late)??
            }
            Source::File(path) => read_file(path).await?,
        };
        let parsed = tokio::task::spawn_blocking(move || UpstreamDocument::parse(&json)).await;
        parsed.unwrap_or_else(|error| Err(DocumentError::Unreachable(error.to_string())))
    }

    /// Redirects are not followed: they would lead elsewhere than the operator said.
    async fn fetch(&self, url: &url::Url) -> Result<Bytes, DocumentError> {
        let failed = |why: String| DocumentError::Unreachable(why);
        let uri: Uri = url.as_str().parse().map_err(|error| failed(format!("{error}")))?;
        let host = uri.authority().map(ToString::to_string).unwrap_or_default();
        let request = Request::get(uri).header(ACCEPT, "application/json").header(HOST, host);
        let request = request.body(Empty::new()).map_err(|error| failed(error.to_string()))?;
        let answer = self.client.request(request).await.map_err(|error| failed(causes(&error)))?;
        if answer.status() != StatusCode::OK {
            return Err(failed(format!("the answer was {}", answer.status())));
        }
        match Limited::new(answer.into_body(), MAX_DOCUMENT_BYTES).collect().await {
            Ok(body) => Ok(body.to_bytes()),
            Err(error) if error.is::<http_body_util::LengthLimitError>() => Err(DocumentError::TooLarge),
            Err(error) => Err(failed(error.to_string())),
        }
    }
}

async fn read_file(path: &Path) -> Result<Bytes, DocumentError> {
    let failed = |error: std::io::Error| DocumentError::Unreachable(format!("{}: {error}", path.display()));
    let metadata = tokio::fs::metadata(path).await.map_err(failed)?;
    if metadata.len() > MAX_DOCUMENT_BYTES as u64 {
        return Err(DocumentError::TooLarge);
    }
    tokio::fs::read(path).await.map(Bytes::from).map_err(failed)
}
