//! A server that answers as it is told, and remembers what it was asked.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Request, Response};
use farthing_discovery::{Config, Discovery, Finding, Origin, Site};
use farthing_protocol::x402;
use serde_json::{Value, json};

pub(crate) const USDC: &str = "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913";

/// One answer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// The body comes in pieces, this long apart.
    pub(crate) drip: Option<Duration>,
}

impl Answer {
    pub(crate) fn json(value: &Value) -> Self {
        Self::of(200, value.to_string()).with("content-type", "application/json")
    }

    pub(crate) fn of(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, body: body.into(), ..Self::default() }
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn to(status: u16, location: &str) -> Self {
        Self::of(status, "").with("location", location)
    }

    /// A 402 of x402 version 2 that asks for this many units of USDC.
    pub(crate) fn priced(units: &str, url: &str) -> Self {
        let offer = json!({"scheme": "exact", "network": "eip155:8453", "amount": units, "asset": USDC,
            "payTo": "0x209693Bc6afc0C5328bA36FaF03C514EF312287C", "maxTimeoutSeconds": 60,
            "extra": {"name": "USD Coin", "version": "2"}});
        let bazaar = json!({"info": {"input": {"type": "http", "method": "GET"}}, "schema": {}});
        let required = json!({"x402Version": 2, "resource": {"url": url}, "accepts": [offer],
            "extensions": {"bazaar": bazaar}});
        Self::of(402, "{}").with("payment-required", &x402::encode_header(&required).unwrap())
    }

    fn response(self) -> Response<Body> {
        let mut response = Response::builder().status(self.status);
        for (name, value) in &self.headers {
            response = response.header(name, value);
        }
        let body = match self.drip {
            None => Body::from(self.body),
            Some(pause) => {
                Body::from_stream(futures::stream::unfold(self.body, move |mut rest| async move {
                    tokio::time::sleep(pause).await;
                    let piece: Vec<u8> = rest.drain(..rest.len().min(1)).collect();
                    (!piece.is_empty()).then_some((Ok::<_, std::convert::Infallible>(piece), rest))
                }))
            }
        };
        response.body(body).unwrap()
    }
}

/// What was asked: method, path with query, headers.
pub(crate) type Asked = (String, String, HeaderMap);

#[derive(Debug, Clone, Default)]
struct Shared {
    answers: Arc<Mutex<BTreeMap<String, Answer>>>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

/// A server on this machine. What it has no answer for is 404.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) url: String,
    shared: Shared,
}

impl Server {
    pub(crate) async fn start() -> Self {
        let shared = Shared::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(answer).with_state(shared.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, shared }
    }

    /// A server with an OpenAPI document of these paths.
    pub(crate) async fn describing(paths: &Value) -> Self {
        let server = Self::start().await;
        server.put("/openapi.json", Answer::json(&document(paths)));
        server
    }

    pub(crate) fn put(&self, path: &str, answer: Answer) {
        self.shared.answers.lock().unwrap().insert(path.to_owned(), answer);
    }

    pub(crate) fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.shared.asked.lock().unwrap().clone()
    }

    pub(crate) fn paths(&self) -> Vec<String> {
        self.asked().into_iter().map(|(method, path, _)| format!("{method} {path}")).collect()
    }

    pub(crate) fn site(&self) -> Site {
        Site::parse(&self.url).unwrap()
    }

    pub(crate) async fn discovered(&self) -> Origin {
        discovery().discover(&self.site()).await
    }

    pub(crate) async fn probed(&self) -> Origin {
        let mut origin = self.discovered().await;
        discovery().probe(&mut origin).await;
        origin
    }
}

async fn answer(State(shared): State<Shared>, request: Request<Body>) -> Response<Body> {
    let (path, query) = (request.uri().path().to_owned(), request.uri().to_string());
    shared.asked.lock().unwrap().push((
        request.method().to_string(),
        query.clone(),
        request.headers().clone(),
    ));
    let answers = shared.answers.lock().unwrap();
    let found = answers.get(&query).or_else(|| answers.get(&path)).cloned();
    found.unwrap_or_else(|| Answer::of(404, "")).response()
}

/// An address at which nobody listens, and which nobody else gets while this is kept: it is bound, and never listened on.
pub(crate) fn nobody() -> tokio::net::TcpSocket {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    socket
}

/// A discovery that waits for so long at most.
pub(crate) fn waiting(timeout: Duration) -> Discovery {
    Discovery::new(Config { timeout, ..Config::default() }).unwrap()
}

/// A discovery that waits for no more than a test can.
pub(crate) fn discovery() -> Discovery {
    waiting(Duration::from_secs(15))
}

pub(crate) fn document(paths: &Value) -> Value {
    json!({"openapi": "3.1.0", "info": {"title": "Weather", "version": "1", "contact": {"email": "a@a.example"}},
        "paths": paths})
}

/// An operation without fault, at this price.
pub(crate) fn sold(amount: &str) -> Value {
    let price = json!({"mode": "fixed", "amount": amount, "currency": "USD"});
    json!({"summary": "Sold", "parameters": [], "x-payment-info": {"price": price, "protocols": [{"x402": {}}]},
        "responses": {"200": {"content": {"application/json": {"example": {}}}}, "402": {}}})
}

pub(crate) fn free() -> Value {
    json!({"summary": "Free", "security": []})
}

pub(crate) fn codes(findings: &[Finding]) -> Vec<&'static str> {
    findings.iter().map(|finding| finding.code.as_str()).collect()
}
