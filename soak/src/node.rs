//! Between everybody and the chain: a node that breaks connections, limits, hangs and is away at times.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::Failure;
use crate::counts::Counts;
use crate::dice::Dice;
use crate::wire::{self, Reply, Request};

/// How many addresses the node has: clients go from a failing one to the next.
const ADDRESSES: usize = 2;

/// The node, with its faults.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) urls: Vec<String>,
    proxy: Arc<Proxy>,
}

#[derive(Debug)]
struct Proxy {
    chain_url: String,
    http: reqwest::Client,
    dice: Dice,
    asked: AtomicU64,
    away: AtomicBool,
    faults: Counts,
}

/// What happens to one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    /// The connection breaks before the request gets anywhere.
    Reset,
    /// The node does what it is asked, and the connection breaks before it says so.
    LostAnswer,
    /// 429.
    Limited,
    /// 503.
    Unavailable,
    /// The node does what it is asked and does not say so.
    Timeout,
    Delay,
}

/// Of a thousand requests.
const ODDS: [(u64, Fault); 7] = [
    (955, Fault::None),
    (8, Fault::Reset),
    (8, Fault::LostAnswer),
    (8, Fault::Limited),
    (8, Fault::Unavailable),
    (1, Fault::Timeout),
    (12, Fault::Delay),
];

impl Node {
    pub(crate) async fn start(chain_url: &str, dice: Dice) -> Result<Self, Failure> {
        let proxy = Arc::new(Proxy {
            chain_url: chain_url.to_owned(),
            http: reqwest::Client::builder().no_proxy().tls_certs_only([]).build()?,
            dice,
            asked: AtomicU64::new(0),
            away: AtomicBool::new(false),
            faults: Counts::default(),
        });
        let mut urls = Vec::new();
        for _ in 0..ADDRESSES {
            urls.push(proxy.listen().await?);
        }
        Ok(Self { urls, proxy })
    }

    /// Takes the whole node off the network, or back.
    pub(crate) fn set_away(&self, away: bool) {
        self.proxy.away.store(away, Ordering::Relaxed);
    }

    /// How often it failed, and how.
    pub(crate) fn faults(&self) -> &Counts {
        &self.proxy.faults
    }

    /// How many requests it got.
    pub(crate) fn asked(&self) -> u64 {
        self.proxy.asked.load(Ordering::Relaxed)
    }
}

impl Proxy {
    async fn listen(self: &Arc<Self>) -> io::Result<String> {
        let proxy = self.clone();
        let address = wire::serve(move |request| proxy.clone().handle(request)).await?;
        Ok(format!("http://{address}"))
    }

    async fn handle(self: Arc<Self>, request: Request) -> Reply {
        let number = self.asked.fetch_add(1, Ordering::Relaxed);
        if self.away.load(Ordering::Relaxed) {
            self.faults.add("node: away");
            return Reply::Reset;
        }
        let fault = self.dice.pick(&ODDS, "node", &[number]).unwrap_or(Fault::None);
        if let Some(name) = name(fault) {
            self.faults.add(name);
        }
        match fault {
            Fault::Reset => return Reply::Reset,
            Fault::Limited => return Reply::Answer { status: 429, retry_after: Some(1), body: Vec::new() },
            Fault::Unavailable => return Reply::of(503, "upstream connect error"),
            Fault::Delay => {
                let ms = 50 + self.dice.below(700, "delay", &[number]);
                tokio::time::sleep(Duration::from_millis(ms)).await;
            }
            Fault::None | Fault::LostAnswer | Fault::Timeout => {}
        }
        let answer = self.forward(request).await;
        match fault {
            Fault::LostAnswer => Reply::Reset,
            Fault::Timeout => Reply::Silence,
            // The chain itself does not answer: as a broken connection, which is what it is.
            _ => answer.unwrap_or(Reply::Reset),
        }
    }

    async fn forward(&self, request: Request) -> Result<Reply, reqwest::Error> {
        let asked = self.http.post(&self.chain_url).header("content-type", "application/json");
        let answer = asked.body(request.body).send().await?;
        let status = answer.status().as_u16();
        Ok(Reply::of(status, answer.bytes().await?))
    }
}

fn name(fault: Fault) -> Option<&'static str> {
    Some(match fault {
        Fault::None => return None,
        Fault::Reset => "node: reset",
        Fault::LostAnswer => "node: answer lost",
        Fault::Limited => "node: 429",
        Fault::Unavailable => "node: 503",
        Fault::Timeout => "node: no answer",
        Fault::Delay => "node: slow",
    })
}
