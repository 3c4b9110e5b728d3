//! A seller that speaks HTTP by hand, so that it can be late, break off, or never come to an end.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use farthing_devnet::accounts::PAYEE;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Heard {
    head: String,
    pub(crate) body: Vec<u8>,
}

impl Heard {
    /// `GET /path`.
    pub(crate) fn line(&self) -> &str {
        self.head.split(" HTTP/").next().unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// What comes for a request.
pub(crate) enum Reply {
    /// Status, headers and body.
    Says(&'static str, Vec<(&'static str, String)>, Vec<u8>),
    /// The same, but when the test gives the word.
    When(Arc<Notify>, Box<Self>),
    /// Nothing: the connection breaks.
    Breaks,
    /// A body of this media type that never ends: these bytes again and again.
    Drips(&'static str, &'static str),
}

impl Reply {
    pub(crate) fn json(value: &Value) -> Self {
        Self::Says(
            "200 OK",
            vec![("content-type", "application/json".to_owned())],
            value.to_string().into_bytes(),
        )
    }

    /// What says that a payment was settled, with a body.
    pub(crate) fn paid(body: &str) -> Self {
        let header = ("payment-response", BASE64.encode(settled().to_string()));
        Self::Says("200 OK", vec![header], body.as_bytes().to_vec())
    }

    /// A 402 for a tenth of a cent.
    pub(crate) fn asks() -> Self {
        let required = required();
        let header = ("payment-required", BASE64.encode(required.to_string()));
        Self::Says("402 Payment Required", vec![header], Vec::new())
    }
}

/// What is asked for: a tenth of a cent.
pub(crate) fn required() -> Value {
    json!({"x402Version": 2, "error": "Payment required", "resource": {"url": "http://a.example/"},
        "accepts": [{"scheme": "exact", "network": "eip155:84532", "amount": "1000", "payTo": PAYEE.address.to_string(),
            "asset": "0x036CbD53842c5426634e7929541eC2318f3dCF7e", "maxTimeoutSeconds": 60,
            "extra": {"name": "USDC", "version": "2"}}]})
}

/// A seller's word that it was paid. Nobody checks it: it only costs the buyer.
pub(crate) fn settled() -> Value {
    json!({"success": true, "transaction": "0xabc", "network": "eip155:84532"})
}

/// The seller, as long as the test runs.
pub(crate) struct Rough {
    pub(crate) host: String,
    heard: Arc<Mutex<Vec<Heard>>>,
}

impl Rough {
    pub(crate) async fn start(answer: impl Fn(&Heard) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let (heard, answer) = (Arc::<Mutex<Vec<Heard>>>::default(), Arc::new(answer));
        let log = heard.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, log.clone(), answer.clone()));
            }
        });
        Self { host, heard }
    }

    pub(crate) fn at(&self, path: &str) -> String {
        format!("http://{}{path}", self.host)
    }

    /// What came, without the documents that buyers look for.
    pub(crate) fn heard(&self) -> Vec<Heard> {
        let is_document =
            |heard: &Heard| heard.line().contains("/.well-known/") || heard.line().ends_with("/openapi.json");
        self.heard.lock().unwrap().iter().filter(|heard| !is_document(heard)).cloned().collect()
    }

    /// The payments that came over HTTP.
    pub(crate) fn payments(&self) -> Vec<String> {
        self.heard().iter().filter_map(|heard| heard.header("payment-signature").map(str::to_owned)).collect()
    }
}

async fn serve(
    mut stream: TcpStream,
    log: Arc<Mutex<Vec<Heard>>>,
    answer: Arc<impl Fn(&Heard) -> Reply + Send + Sync + 'static>,
) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = stream.read_u8().await else { return };
        head.push(byte);
    }
    let mut heard = Heard { head: String::from_utf8(head).unwrap(), body: Vec::new() };
    let length = heard.header("content-length").map_or(0, |length| length.parse().unwrap());
    heard.body = vec![0; length];
    if stream.read_exact(&mut heard.body).await.is_err() {
        return;
    }
    log.lock().unwrap().push(heard.clone());
    let mut reply = answer(&heard);
    while let Reply::When(word, then) = reply {
        word.notified().await;
        reply = *then;
    }
    write(stream, reply).await;
}

/// Whoever has left is told nothing.
async fn write(mut stream: TcpStream, reply: Reply) {
    match reply {
        Reply::Says(status, headers, body) => {
            let mut head =
                format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n", body.len());
            for (name, value) in headers {
                head.push_str(&format!("{name}: {value}\r\n"));
            }
            let written = stream.write_all(&[head.as_bytes(), b"\r\n", &body].concat()).await;
            drop((written, stream.shutdown().await));
        }
        Reply::Drips(kind, drop_of_it) => {
            let head = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: {kind}\r\n\r\n");
            let mut written = stream.write_all(format!("{head}{drop_of_it}").as_bytes()).await;
            while written.is_ok() {
                tokio::time::sleep(Duration::from_millis(200)).await;
                written = stream.write_all(drop_of_it.as_bytes()).await;
            }
        }
        Reply::Breaks | Reply::When(..) => {}
    }
}

/// An MCP server by hand. `answer` is the result, or the reply in its place, for each call of a tool.
pub(crate) async fn mcp_server(
    read_only: bool,
    answer: impl Fn(&Value) -> Result<Value, Reply> + Send + Sync + 'static,
) -> Rough {
    Rough::start(move |heard| {
        let message = heard.json();
        let id = &message["id"];
        let result = match message["method"].as_str().unwrap_or_default() {
            "initialize" => json!({"protocolVersion": "2025-11-25", "capabilities": {"tools": {}},
                "serverInfo": {"name": "rough", "version": "1"}}),
            "tools/list" => json!({"tools": [{"name": "forecast", "inputSchema": {"type": "object"},
                "annotations": {"readOnlyHint": read_only}}]}),
            "tools/call" => match answer(&message["params"]) {
                Ok(result) => result,
                Err(reply) => return in_its_place(id, reply),
            },
            _ if message.get("id").is_none() => return Reply::Says("202 Accepted", Vec::new(), Vec::new()),
            _ => {
                let error = json!({"code": -32601, "message": "no such method"});
                return Reply::json(&json!({"jsonrpc": "2.0", "id": id, "error": error}));
            }
        };
        Reply::json(&json!({"jsonrpc": "2.0", "id": id, "result": result}))
    })
    .await
}

/// A JSON answer is an error of the protocol; everything else comes as it is.
fn in_its_place(id: &Value, reply: Reply) -> Reply {
    let Reply::Says(status, headers, body) = reply else { return reply };
    match serde_json::from_slice::<Value>(&body) {
        Ok(error) => Reply::json(&json!({"jsonrpc": "2.0", "id": id, "error": error})),
        Err(_) => Reply::Says(status, headers, body),
    }
}

/// The payments that came in calls of tools.
pub(crate) fn tool_payments(server: &Rough) -> Vec<Value> {
    let calls = server.heard().into_iter().map(|heard| heard.json());
    calls.filter_map(|call| call["params"]["_meta"].get("x402/payment").cloned()).collect()
}

/// What a tool gives that asks for payment.
pub(crate) fn asks_for_payment() -> Value {
    json!({"isError": true, "content": [{"type": "text", "text": required().to_string()}]})
}
