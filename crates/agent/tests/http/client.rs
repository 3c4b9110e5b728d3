//! A client of a guard that listens.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use farthing_agent::guard::http::{HttpError, ServeConfig, Server, SessionInfo, Target};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::support::{Ends, GREETING, INITIALIZE, INITIALIZED, Told};
use crate::upstream::{SOON, Upstream};

/// A guard that listens in front of a server.
pub(crate) struct Served {
    pub(crate) address: SocketAddr,
    pub(crate) ends: Ends,
    pub(crate) gate: Arc<Told>,
    pub(crate) infos: Arc<Mutex<Vec<SessionInfo>>>,
    stop: oneshot::Sender<()>,
    running: JoinHandle<()>,
    client: Client<HttpConnector, Full<Bytes>>,
}

/// What a client got.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    body: Incoming,
    read: Vec<u8>,
    events: VecDeque<String>,
}

impl Served {
    pub(crate) async fn start(upstream: &Upstream, change: impl FnOnce(&mut ServeConfig)) -> Self {
        Self::try_start(upstream, change).await.unwrap()
    }

    pub(crate) async fn try_start(
        upstream: &Upstream,
        change: impl FnOnce(&mut ServeConfig),
    ) -> Result<Self, HttpError> {
        let target = Target::new(&upstream.url, [""; 0])?;
        let mut config = ServeConfig::new(target, ([127, 0, 0, 1], 0).into());
        change(&mut config);
        let (gate, ends) = Told::new();
        let infos = Arc::new(Mutex::new(Vec::new()));
        let (ours, theirs) = (infos.clone(), gate.clone());
        let gates = move |info: &SessionInfo| -> Arc<dyn farthing_agent::guard::Gate> {
            ours.lock().unwrap().push(info.clone());
            theirs.clone()
        };
        let server = Server::bind(config, Arc::new(gates)).await?;
        let address = server.address().unwrap();
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(server.run(async { drop(stopped.await) }));
        let client = Client::builder(TokioExecutor::new()).build_http();
        Ok(Self { address, ends, gate, infos, stop, running, client })
    }

    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let uri = format!("http://127.0.0.1:{}{path}", self.address.port());
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::from(body.to_owned()))).unwrap();
        let asked = timeout(SOON, self.client.request(request)).await;
        let (head, body) = asked.expect("no answer").unwrap().into_parts();
        Answer { status: head.status, headers: head.headers, body, read: Vec::new(), events: VecDeque::new() }
    }

    /// As an MCP client posts; with these headers as well.
    pub(crate) async fn post(&self, headers: &[(&str, &str)], body: &str) -> Answer {
        let usual = [("accept", "application/json, text/event-stream"), ("content-type", "application/json")];
        self.ask(Method::POST, "/mcp", &[&usual, headers].concat(), body).await
    }

    pub(crate) async fn get(&self, headers: &[(&str, &str)]) -> Answer {
        self.ask(Method::GET, "/mcp", &[&[("accept", "text/event-stream")], headers].concat(), "").await
    }

    /// Begins a session, in which the server is known by a name of its own; gives ours.
    pub(crate) async fn begin(&self, upstream: &mut Upstream, headers: &[(&str, &str)]) -> String {
        let serve = async {
            upstream.post("initialize").await.json_with(&[("mcp-session-id", "theirs")], GREETING);
        };
        let (answer, ()) = tokio::join!(self.post(headers, INITIALIZE), serve);
        assert_eq!(answer.status, 200);
        let id = answer.header("mcp-session-id").unwrap().to_owned();
        assert_eq!(answer.text().await, GREETING);
        let headers = [&[("mcp-session-id", id.as_str())], headers].concat();
        let serve = async { upstream.post("initialized").await.status(202) };
        let (answer, ()) = tokio::join!(self.post(&headers, INITIALIZED), serve);
        assert_eq!((answer.status.as_u16(), answer.text().await.as_str()), (202, ""));
        id
    }

    /// Shuts the guard down, and waits for it.
    pub(crate) async fn end(self) {
        self.stop.send(()).unwrap();
        timeout(SOON, self.running).await.expect("the guard hangs").unwrap();
    }
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(crate) async fn text(self) -> String {
        let read = timeout(SOON, self.body.collect()).await.expect("it does not end").unwrap();
        String::from_utf8(read.to_bytes().to_vec()).unwrap()
    }

    /// The next event as it was written, without its end; none at the end of the stream.
    pub(crate) async fn event(&mut self) -> Option<String> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Some(event);
            }
            let frame = timeout(SOON, self.body.frame()).await.expect("no event came")?;
            self.read.extend_from_slice(&frame.unwrap().into_data().unwrap());
            while let Some(end) = self.read.windows(2).position(|part| part == b"\n\n") {
                let event: Vec<_> = self.read.drain(..end + 2).collect();
                self.events.push_back(String::from_utf8(event[..end].to_vec()).unwrap());
            }
        }
    }

    pub(crate) async fn data(&mut self) -> Option<String> {
        self.event().await.map(|event| event.split_once("data: ").unwrap().1.to_owned())
    }
}
