//! A server that answers as the test says, request by request.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, State};
use axum::response::Response;
use futures::StreamExt as _;
use http::{HeaderMap, Method, Uri};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

/// How long anything may take that must happen.
pub(crate) const SOON: Duration = Duration::from_secs(20);

pub(crate) struct Upstream {
    pub(crate) url: String,
    asked: mpsc::UnboundedReceiver<Asked>,
    kept: VecDeque<Asked>,
}

/// A request that waits for the test's answer.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
    reply: oneshot::Sender<Response>,
}

/// A stream of events in the test's hand.
pub(crate) struct Events(mpsc::UnboundedSender<Result<Bytes, std::io::Error>>);

impl Upstream {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/mcp", listener.local_addr().unwrap());
        let (ask, asked) = mpsc::unbounded_channel();
        let router = Router::new().fallback(take).layer(DefaultBodyLimit::disable()).with_state(ask);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, asked, kept: VecDeque::new() }
    }

    /// The next request with this method and this text in its body; others wait.
    pub(crate) async fn expect(&mut self, method: Method, text: &str) -> Asked {
        let fits = |asked: &Asked| asked.method == method && asked.body.contains(text);
        if let Some(place) = self.kept.iter().position(fits) {
            return self.kept.remove(place).unwrap();
        }
        loop {
            let asked = timeout(SOON, self.asked.recv()).await;
            let asked = asked.unwrap_or_else(|_| panic!("no {method} with {text}; kept: {:?}", self.kept));
            let asked = asked.unwrap();
            if fits(&asked) {
                return asked;
            }
            self.kept.push_back(asked);
        }
    }

    pub(crate) async fn post(&mut self, text: &str) -> Asked {
        self.expect(Method::POST, text).await
    }

    pub(crate) async fn get(&mut self) -> Asked {
        self.expect(Method::GET, "").await
    }

    /// What has come and was not expected.
    pub(crate) fn rest(&mut self) -> Vec<String> {
        while let Ok(asked) = self.asked.try_recv() {
            self.kept.push_back(asked);
        }
        self.kept.drain(..).map(|asked| format!("{} {}", asked.method, asked.body)).collect()
    }
}

async fn take(
    State(ask): State<mpsc::UnboundedSender<Asked>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: String,
) -> Result<Response, Infallible> {
    let (reply, answer) = oneshot::channel();
    let path = uri.to_string();
    ask.send(Asked { method, path, headers, body, reply }).unwrap();
    match answer.await {
        Ok(answer) => Ok(answer),
        Err(_) => std::future::pending().await,
    }
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    fn answer(self, status: u16, headers: &[(&str, &str)], body: Body) {
        let mut answer = Response::builder().status(status);
        for (name, value) in headers {
            answer = answer.header(*name, *value);
        }
        let _ = self.reply.send(answer.body(body).unwrap());
    }

    pub(crate) fn status(self, status: u16) {
        self.answer(status, &[], Body::empty());
    }

    pub(crate) fn refuse(self, status: u16, headers: &[(&str, &str)], body: &str) {
        self.answer(status, headers, Body::from(body.to_owned()));
    }

    pub(crate) fn json(self, body: &str) {
        self.json_with(&[], body);
    }

    pub(crate) fn json_with(self, headers: &[(&str, &str)], body: &str) {
        let all = [&[("content-type", "application/json; charset=utf-8")], headers].concat();
        self.answer(200, &all, Body::from(body.to_owned()));
    }

    pub(crate) fn events(self) -> Events {
        let (to, from) = mpsc::unbounded_channel();
        let pieces =
            futures::stream::unfold(from, |mut from| async { from.recv().await.map(|piece| (piece, from)) });
        self.answer(200, &[("content-type", "text/event-stream")], Body::from_stream(pieces.boxed()));
        Events(to)
    }
}

impl Events {
    /// Whether somebody still reads.
    pub(crate) fn raw(&self, text: &str) -> bool {
        self.0.send(Ok(text.to_owned().into())).is_ok()
    }

    pub(crate) fn data(&self, data: &str) {
        self.raw(&format!("data: {data}\n\n"));
    }

    pub(crate) fn with_id(&self, id: &str, data: &str) {
        self.raw(&format!("event: message\nid: {id}\ndata: {data}\n\n"));
    }

    /// Breaks the connection.
    pub(crate) fn breaks(self) {
        self.0.send(Err(std::io::Error::other("broken"))).unwrap();
    }

    /// Completes when nobody reads any more.
    pub(crate) async fn left(&self) {
        timeout(SOON, self.0.closed()).await.unwrap();
    }
}
