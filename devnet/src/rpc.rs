//! JSON-RPC over plain HTTP on the loopback interface: no TLS, so no TLS provider has to be chosen for a test.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use alloy_primitives::Bytes;
use bytes::Bytes as Body;
use http::{Request, header::CONTENT_TYPE};
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::Error;

/// Longer than any call that does its work; a chain that is silent this long is stuck.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(crate) struct Rpc {
    url: String,
    client: Client<HttpConnector, Full<Body>>,
    next_id: AtomicU64,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    result: Value,
    error: Option<Failure>,
}

#[derive(Deserialize)]
struct Failure {
    code: i64,
    message: String,
    #[serde(default)]
    data: Value,
}

// === impl Rpc ===

impl Rpc {
    pub(crate) fn new(port: u16) -> Self {
        Self::at(format!("http://127.0.0.1:{port}"))
    }

    pub(crate) fn at(url: String) -> Self {
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self { url, client, next_id: AtomicU64::new(1) }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Calls a method and reads its result as `T`.
    pub(crate) async fn ask<T: DeserializeOwned>(&self, method: &str, params: Value) -> Result<T, Error> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let request = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        let body = tokio::time::timeout(ANSWER_TIMEOUT, self.exchange(request.to_string()))
            .await
            .unwrap_or_else(|_| Err(format!("no answer in {ANSWER_TIMEOUT:?}").into()))
            .map_err(|error| Error::Unreachable { method: method.to_owned(), reason: chain_of(&*error) })?;
        let answer: Answer = serde_json::from_slice(&body).map_err(|error| Error::answer(method, error))?;
        match answer.error {
            Some(failure) => Err(failure.into_error(method)),
            None => serde_json::from_value(answer.result).map_err(|error| Error::answer(method, error)),
        }
    }

    /// Hands over a body and gives back the answer's, whatever they say.
    pub(crate) async fn exchange(
        &self,
        body: String,
    ) -> Result<Body, Box<dyn std::error::Error + Send + Sync>> {
        let request = Request::post(&self.url)
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(Body::from(body)))?;
        let response = self.client.request(request).await?;
        Ok(response.into_body().collect().await?.to_bytes())
    }
}

// === impl Failure ===

impl Failure {
    fn into_error(self, method: &str) -> Error {
        let data = serde_json::from_value::<Bytes>(self.data).ok();
        Error::Rpc { method: method.to_owned(), code: self.code, message: self.message, data }
    }
}

/// The error and what caused it: hyper's own words alone say little.
fn chain_of(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
