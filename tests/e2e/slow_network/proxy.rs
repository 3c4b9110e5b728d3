//! A network that fails on purpose: it stands before a server and passes one request per connection on.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// What goes wrong. All but `Slow` and `Dead` meet only requests that carry a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// Every answer waits, and then comes in drops.
    Slow {
        wait: Duration,
        drop_bytes: usize,
        every: Duration,
    },
    /// The connection is reset before the server hears anything.
    Reset,
    /// The server answers, and nobody hears it.
    LosesAnswer,
    /// The server hears nothing, and the connection stays open.
    HalfOpen,
    /// The answer ends so many bytes before its end.
    CutsOff(usize),
    /// The same, and the connection stays open.
    Stalls(usize),
    /// No request gets anywhere, and every connection stays open.
    Dead,
}

#[derive(Clone)]
pub(crate) struct Proxy {
    pub(crate) url: String,
    fault: Arc<Mutex<Fault>>,
    /// Told of every request that carries a payment.
    paid: Arc<Notify>,
}

impl Proxy {
    /// A proxy before the server at this address.
    pub(crate) async fn before(url: &str) -> Self {
        let target = url.trim_start_matches("http://").trim_end_matches('/').to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            fault: Arc::new(Mutex::new(Fault::None)),
            paid: Arc::new(Notify::new()),
        };
        let shared = proxy.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (proxy, target) = (shared.clone(), target.clone());
                tokio::spawn(async move { proxy.pass(client, &target).await });
            }
        });
        proxy
    }

    pub(crate) fn does(&self, fault: Fault) {
        *self.fault.lock().unwrap() = fault;
    }

    pub(crate) fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    /// Completes once a payment has come by.
    pub(crate) async fn payment(&self) {
        self.paid.notified().await;
    }

    async fn pass(&self, mut client: TcpStream, target: &str) {
        let Some(request) = read_request(&mut client).await else { return };
        let paid = String::from_utf8_lossy(&request).to_ascii_lowercase().contains("\r\npayment-signature:");
        if paid {
            self.paid.notify_one();
        }
        let fault = match *self.fault.lock().unwrap() {
            fault @ (Fault::Slow { .. } | Fault::Dead) => fault,
            fault if paid => fault,
            _ => Fault::None,
        };
        match fault {
            Fault::Reset => {
                // Closed without a goodbye: the kernel sends a reset.
                client.set_zero_linger().unwrap();
                return;
            }
            Fault::HalfOpen | Fault::Dead => return std::future::pending().await,
            _ => {}
        }
        let answer = ask(target, &request).await;
        deliver(client, &answer, fault).await;
    }
}

async fn deliver(mut client: TcpStream, answer: &[u8], fault: Fault) {
    match fault {
        Fault::LosesAnswer => {}
        Fault::CutsOff(bytes) => drop(client.write_all(&answer[..answer.len() - bytes]).await),
        Fault::Stalls(bytes) => {
            client.write_all(&answer[..answer.len() - bytes]).await.ok();
            std::future::pending::<()>().await;
        }
        Fault::Slow { wait, drop_bytes, every } => {
            tokio::time::sleep(wait).await;
            for drop in answer.chunks(drop_bytes) {
                client.write_all(drop).await.ok();
                tokio::time::sleep(every).await;
            }
        }
        _ => drop(client.write_all(answer).await),
    }
    client.shutdown().await.ok();
}

/// A request's head and body, with the connection to be closed after it.
async fn read_request(client: &mut TcpStream) -> Option<Vec<u8>> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(client.read_u8().await.ok()?);
    }
    let head = String::from_utf8_lossy(&request).to_ascii_lowercase();
    let length = head.split("\r\n").find_map(|line| line.strip_prefix("content-length:"));
    let mut body = vec![0; length.map_or(0, |length| length.trim().parse().unwrap())];
    client.read_exact(&mut body).await.ok()?;
    request.truncate(request.len() - 2);
    request.extend_from_slice(b"connection: close\r\n\r\n");
    request.extend_from_slice(&body);
    Some(request)
}

async fn ask(target: &str, request: &[u8]) -> Vec<u8> {
    let mut server = TcpStream::connect(target).await.unwrap();
    server.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    server.read_to_end(&mut answer).await.ok();
    answer
}
