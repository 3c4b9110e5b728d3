//! JSON-RPC to a chain through several endpoints.
//!
//! A small client over `reqwest` instead of alloy's provider: it needs batches to one endpoint, knowledge of whether a
//! request may have arrived, and one chain-id check per endpoint, which alloy's transport layers do not give together.

mod endpoint;
mod wire;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use farthing_ambient::{Entropy, is_this_machine};
use farthing_money::Network;
use farthing_rail::RailError;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use endpoint::{Endpoint, Fault};
pub(crate) use wire::{Answer, Call, NodeError, printable};
#[cfg(any(test, fuzzing))]
pub(crate) use wire::{Decoded, decode};

use crate::ChainConfig;

/// How often all endpoints are gone through while they limit the rate.
const MAX_ROUNDS: u32 = 5;

/// How long an endpoint's own wish to wait is honoured at most.
const MAX_WAIT: Duration = Duration::from_secs(4);

/// Once nothing but failures came back, this is waited before the one other try.
const FIRST_WAIT: Duration = Duration::from_millis(100);

/// A chain's endpoints.
pub(crate) struct Rpc {
    pub(crate) network: Network,
    pub(crate) chain_id: u64,
    endpoints: Vec<Endpoint>,
    http: reqwest::Client,
    timeout: Duration,
    entropy: Arc<dyn Entropy>,
    started: Instant,
}

/// The answers of one endpoint.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) answers: Vec<Answer>,
    /// An endpoint that was asked before may have done it too.
    pub(crate) doubtful: bool,
    /// Whose answers they are, as it may be shown.
    at: Arc<str>,
}

/// No endpoint answered.
#[derive(Debug)]
pub(crate) struct Silence {
    /// What each endpoint said, without secrets.
    pub(crate) why: String,
    /// An endpoint may have done what it was asked all the same.
    pub(crate) doubtful: bool,
}

impl Rpc {
    pub(crate) fn new(config: &ChainConfig, entropy: Arc<dyn Entropy>) -> Result<Self, RailError> {
        let chain_id = config.network.evm_chain_id().ok_or_else(|| {
            RailError::Configuration(format!(
                "{} is not an EVM network: use eip155:<chain id>",
                config.network
            ))
        })?;
        if config.endpoints.is_empty() {
            return Err(RailError::Configuration(format!(
                "{} has no RPC endpoint: give at least one",
                config.network
            )));
        }
        let unusable = |why| RailError::Configuration(format!("no HTTP client: {why}"));
        let mut builder = farthing_http::caller().map_err(|why| unusable(why.to_string()))?;
        if config.endpoints.iter().all(is_this_machine) {
            // What is meant for a node of this machine must not leave it through a proxy of the environment.
            builder = builder.no_proxy();
        }
        let http = builder
            .connect_timeout(config.connect_timeout)
            .tcp_nodelay(true)
            .user_agent("farthing")
            .build()
            .map_err(|why| unusable(why.without_url().to_string()))?;
        Ok(Self {
            network: config.network.clone(),
            chain_id,
            endpoints: config.endpoints.iter().cloned().map(Endpoint::new).collect(),
            http,
            timeout: config.request_timeout,
            entropy,
            started: Instant::now(),
        })
    }

    /// Asks one endpoint after the other until one answers; all calls are answered by the same one. One that lacks what
    /// another may have is believed only when no other answers.
    pub(crate) async fn ask(&self, calls: &[Call]) -> Result<Reply, Silence> {
        let deadline = Instant::now() + self.timeout * 3;
        let (mut notes, mut doubtful, mut round, mut lacking) = (Vec::new(), false, 0, None);
        loop {
            let mut limited = None;
            for endpoint in self.in_order() {
                let left = deadline.saturating_duration_since(Instant::now()).min(self.timeout);
                if left.is_zero() {
                    break;
                }
                let asked = endpoint.ask(&self.http, self.chain_id, calls, left, self.now_ms());
                let fault = match asked.await {
                    Ok(mut answers) => {
                        endpoint.succeeded();
                        let at = endpoint.shown();
                        for error in answers.iter_mut().filter_map(|one| one.as_mut().err()) {
                            error.at = Some(at.clone());
                        }
                        if !answers
                            .iter()
                            .any(|answer| answer.as_ref().is_err_and(NodeError::is_this_nodes_own))
                        {
                            return Ok(Reply { answers, doubtful, at });
                        }
                        lacking = Some((answers, at));
                        continue;
                    }
                    Err(fault) => fault,
                };
                endpoint.failed(self.now_ms());
                doubtful |= fault.may_have_arrived();
                if let Fault::Limited(after) = &fault {
                    limited = Some(after.unwrap_or_default().max(limited.unwrap_or_default()));
                }
                note(&mut notes, format!("{}: {fault}", endpoint.shown()));
            }
            if let Some((answers, at)) = lacking {
                return Ok(Reply { answers, doubtful, at });
            }
            round += 1;
            let rounds = if limited.is_some() { MAX_ROUNDS } else { 2 };
            let wait = self.backoff(round, limited.unwrap_or_default());
            if round >= rounds || Instant::now() + wait >= deadline {
                return Err(Silence { why: notes.join("; "), doubtful });
            }
            tokio::time::sleep(wait).await;
        }
    }

    /// Asks for one thing.
    pub(crate) async fn get<T: DeserializeOwned>(&self, call: Call) -> Result<T, RailError> {
        let method = call.method;
        let mut reply = self.ask(&[call]).await.map_err(|silence| self.unavailable(silence))?;
        self.read(method, &reply.answers.remove(0)).map_err(|error| match error {
            RailError::Nonsense { network, why } => {
                RailError::Nonsense { network, why: format!("{}: {why}", reply.at) }
            }
            other => other,
        })
    }

    /// Asks for several things of one endpoint.
    pub(crate) async fn get_all(&self, calls: &[Call]) -> Result<Vec<Answer>, RailError> {
        Ok(self.ask(calls).await.map_err(|silence| self.unavailable(silence))?.answers)
    }

    /// Reads one answer; a node's refusal is [`RailError::Unavailable`].
    pub(crate) fn read<T: DeserializeOwned>(&self, method: &str, answer: &Answer) -> Result<T, RailError> {
        let raw = answer.as_ref().map_err(|error| self.refused(method, error))?;
        serde_json::from_str(raw.get()).map_err(|error| self.nonsense(method, &error.to_string()))
    }

    pub(crate) fn refused(&self, method: &str, error: &NodeError) -> RailError {
        RailError::Unavailable { network: self.network.clone(), why: format!("{method}: {error}") }
    }

    pub(crate) fn nonsense(&self, what: &str, why: &str) -> RailError {
        RailError::Nonsense { network: self.network.clone(), why: format!("{what}: {}", printable(why)) }
    }

    pub(crate) fn unavailable(&self, silence: Silence) -> RailError {
        RailError::Unavailable { network: self.network.clone(), why: silence.why }
    }

    /// The endpoints worth asking: those of this chain, failing ones last.
    fn in_order(&self) -> impl Iterator<Item = &Endpoint> {
        let now_ms = self.now_ms();
        let right = move || self.endpoints.iter().filter(move |endpoint| !endpoint.is_wrong_chain(now_ms));
        let good = right().filter(move |endpoint| !endpoint.is_bad(now_ms));
        // If all were excluded, they say once more why.
        let wrong = self.endpoints.iter().filter(move |_| right().next().is_none());
        good.chain(right().filter(move |endpoint| endpoint.is_bad(now_ms))).chain(wrong)
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Doubles with every round, varied by up to a half, and no shorter than the endpoint wished within bounds.
    fn backoff(&self, round: u32, wished: Duration) -> Duration {
        let full = FIRST_WAIT * 2u32.saturating_pow(round.min(6));
        let mut byte = [0];
        // Without randomness everybody waits equally long, which is no reason to fail.
        let _ = self.entropy.fill(&mut byte);
        let varied = full - full * u32::from(byte[0]) / 512;
        varied.max(wished).min(MAX_WAIT)
    }
}

impl fmt::Debug for Rpc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rpc({} through {:?})", self.network, self.endpoints)
    }
}

/// Every reason once, and not too many of them.
fn note(notes: &mut Vec<String>, text: String) {
    if notes.len() < 16 && !notes.contains(&text) {
        notes.push(text);
    }
}
