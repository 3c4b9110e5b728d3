//! What goes over the wire, watched and altered between the payer and the network.

use std::sync::{Arc, Mutex, PoisonError};

use http::{Extensions, HeaderMap, HeaderValue};
use reqwest::{Request, Response};
use reqwest_middleware::{Middleware, Next, Result};
use serde_json::{Value, json};

/// Every request as it went out.
#[derive(Clone, Default)]
pub(crate) struct Sent(Arc<Mutex<Vec<Value>>>);

/// Takes version 2's header away from a server of both versions.
pub(crate) struct Version1Only;

// === impl Sent ===

impl Sent {
    /// What was said, with what was sent.
    pub(crate) fn added_to(&self, mut said: Value) -> Value {
        let sent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        said["sent"] = json!(*sent);
        said
    }
}

#[async_trait::async_trait]
impl Middleware for Sent {
    async fn handle(&self, request: Request, more: &mut Extensions, next: Next<'_>) -> Result<Response> {
        let body = request.body().and_then(|body| body.as_bytes()).map(String::from_utf8_lossy);
        let line = json!({
            "method": request.method().as_str(), "headers": headers(request.headers()), "body": body,
        });
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        next.run(request, more).await
    }
}

// === impl Version1Only ===

#[async_trait::async_trait]
impl Middleware for Version1Only {
    async fn handle(&self, request: Request, more: &mut Extensions, next: Next<'_>) -> Result<Response> {
        let mut response = next.run(request, more).await?;
        response.headers_mut().remove("payment-required");
        Ok(response)
    }
}

/// By name, as text.
pub(crate) fn headers(map: &HeaderMap) -> Value {
    let text = |value: &HeaderValue| Value::from(String::from_utf8_lossy(value.as_bytes()));
    map.iter().map(|(name, value)| (name.to_string(), text(value))).collect()
}
