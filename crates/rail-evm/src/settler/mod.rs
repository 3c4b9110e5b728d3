mod chain;
mod config;
mod flight;
mod job;
mod landed;
mod lane;
mod node;
mod outcome;
mod payment;
mod progress;
mod resume;
mod revert;
mod transaction;
mod watch;

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use farthing_ambient::{Clock, Entropy};
use farthing_money::Network;
use farthing_protocol::x402::{Reason, SupportedKind};
use farthing_protocol::{Object, Requirements};
use farthing_rail::{Broadcast, RailError, Settlement, SettlementLog, Settler, Verified, VerifyError};
use serde_json::value::RawValue;
use tokio::sync::{mpsc, watch as channel};
use tokio::time::Instant;

use chain::{Caps, Chain, Facts, Route};
pub use config::SettlerConfig;
use job::{Job, RecordRequest, Recorder};
use lane::{Command, Lane, Limits};
use payment::{Payment, invalid};
use progress::{InFlight, Joined, Progress, Refusal, Ticket};

use crate::ChainConfig;
use crate::key::Key;
use crate::rpc::Rpc;
use crate::token::tokens_of;

/// Verifies and settles `exact` payments over EIP-3009.
///
/// Its lanes run as tasks of the Tokio runtime in which the first payment is settled, and end after the settler is
/// dropped and the last caller has its answer.
pub struct EvmSettler {
    networks: Vec<Lanes>,
    clock: Arc<dyn Clock>,
    limits: Limits,
    receipt_wait: Duration,
    in_flight: InFlight,
    /// Where transactions are written down that no caller waits for any more.
    log: StandingLog,
}

/// A log for as long as the settler lives, once it has been given one.
type StandingLog = Arc<OnceLock<Arc<dyn SettlementLog>>>;

/// A network and its signers' lanes.
struct Lanes {
    chain: Arc<Chain>,
    lanes: Vec<LaneHandle>,
    turn: AtomicUsize,
}

struct LaneHandle {
    key: Arc<Key>,
    commands: OnceLock<mpsc::Sender<Command>>,
}

impl EvmSettler {
    /// A settler with this configuration. Nothing is asked of any chain yet.
    ///
    /// # Errors
    /// [`RailError::Configuration`] for a network that is no EVM chain or has no endpoint, and without a signer.
    pub fn new(
        config: &SettlerConfig,
        clock: Arc<dyn Clock>,
        entropy: &Arc<dyn Entropy>,
    ) -> Result<Self, RailError> {
        let keys: Vec<Arc<Key>> = config.signers.iter().map(|secret| Arc::new(Key::new(*secret))).collect();
        if keys.is_empty() {
            return Err(RailError::Configuration("settling needs at least one signer's key".to_owned()));
        }
        let networks = config.chains.iter().map(|chain| lanes_of(chain, config, &keys, entropy));
        Ok(Self {
            networks: networks.collect::<Result<_, _>>()?,
            clock,
            limits: limits_of(config),
            receipt_wait: config.receipt_wait,
            in_flight: InFlight::default(),
            log: StandingLog::default(),
        })
    }

    fn lanes(&self, network: &Network) -> Option<&Lanes> {
        self.networks.iter().find(|lanes| lanes.chain.rpc.network == *network)
    }

    fn lanes_or_invalid(&self, network: &Network) -> Result<&Lanes, VerifyError> {
        self.lanes(network)
            .ok_or_else(|| invalid(Reason::InvalidNetwork, format!("{network} is not settled here"), None))
    }

    /// The way into a lane, which is started when it is first needed.
    fn commands<'a>(&self, chain: &Arc<Chain>, lane: &'a LaneHandle) -> &'a mpsc::Sender<Command> {
        lane.commands.get_or_init(|| {
            let (sender, commands) = mpsc::channel(self.limits.max_waiting.max(1));
            let (key, clock, log) = (lane.key.clone(), self.clock.clone(), self.log.clone());
            tokio::spawn(Lane::new(chain.clone(), key, clock, self.limits.clone(), log, commands).run());
            sender
        })
    }

    /// Verifies with the chain and hands the payment to a lane.
    async fn start(
        &self,
        lanes: &Lanes,
        mut payment: Payment,
        ticket: Ticket,
        log: &dyn SettlementLog,
    ) -> Result<mpsc::Receiver<RecordRequest>, VerifyError> {
        let route = match lanes.chain.check(&mut payment).await {
            Ok(route) => route,
            Err(error) => {
                ticket.done(Err(Refusal::of(&error, &lanes.chain.rpc.network)));
                return Err(error);
            }
        };
        let (recorder, requests) = Recorder::of(log);
        let queued = Instant::now();
        let job = Job {
            payment,
            route,
            ticket,
            recorder: Some(recorder),
            queued,
            // Who waits for company is not late for that.
            send_by: queued + self.receipt_wait.max(2 * self.limits.gather),
            retried: false,
        };
        let turn = lanes.turn.fetch_add(1, Ordering::Relaxed) % lanes.lanes.len();
        match self.commands(&lanes.chain, &lanes.lanes[turn]).try_send(Command::Pay(Box::new(job))) {
            Ok(()) => Ok(requests),
            Err(mpsc::error::TrySendError::Full(Command::Pay(job))) => {
                let busy =
                    node::unavailable(&lanes.chain, "busy: too many payments are waiting; nothing was sent");
                job.ticket.done(Err(busy.clone()));
                Err(busy.into())
            }
            Err(_) => Err(node::unavailable(&lanes.chain, "the settler has stopped").into()),
        }
    }
}

fn limits_of(config: &SettlerConfig) -> Limits {
    Limits {
        max_in_flight: config.max_in_flight.max(1),
        batch_size: config.batch_size.max(1),
        gather: config.gather,
        max_waiting: config.max_waiting.max(1),
        stuck_after: config.stuck_after,
        reorg_watch: config.reorg_watch,
    }
}

fn lanes_of(
    chain: &ChainConfig,
    config: &SettlerConfig,
    keys: &[Arc<Key>],
    entropy: &Arc<dyn Entropy>,
) -> Result<Lanes, RailError> {
    let sender = keys.first().map(|key| key.address).unwrap_or_default();
    let chain = Chain {
        rpc: Rpc::new(chain, entropy.clone())?,
        tokens: tokens_of(config.assets.iter(), &chain.network).into_iter().map(Arc::new).collect(),
        caps: Caps {
            plain_gas: config.plain_gas_cap,
            wallet_gas: config.wallet_gas_cap,
            deployment_gas: config.deployment_gas_cap,
            max_fee_per_gas_wei: config.max_fee_per_gas_wei,
            factories: config.factories.clone(),
        },
        log_range: chain.log_range_blocks,
        block_time: chain.block_time,
        confirmations: config.confirmations.max(1),
        sender,
        plain: Facts::plain_accounts(),
        sound: Facts::sound_tokens(),
    };
    let lane = |key: &Arc<Key>| LaneHandle { key: key.clone(), commands: OnceLock::new() };
    Ok(Lanes { chain: Arc::new(chain), lanes: keys.iter().map(lane).collect(), turn: AtomicUsize::new(0) })
}

#[async_trait]
impl Settler for EvmSettler {
    fn kinds(&self) -> Vec<SupportedKind> {
        let kind = |x402_version, network: &str| SupportedKind {
            x402_version,
            scheme: "exact".to_owned(),
            network: network.to_owned(),
            extra: Object::default(),
        };
        let networks = || self.networks.iter().map(|lanes| &lanes.chain.rpc.network);
        let v2 = networks().map(|network| kind(2, network.as_str()));
        let v1 = networks().filter_map(|network| network.v1_name()).map(|name| kind(1, name));
        v2.chain(v1).collect()
    }

    fn signers(&self) -> Vec<(Network, String)> {
        let of = |lanes: &Lanes| {
            let network = lanes.chain.rpc.network.clone();
            let each =
                lanes.lanes.iter().map(move |lane| (network.clone(), lane.key.address.to_checksum(None)));
            each.collect::<Vec<_>>()
        };
        self.networks.iter().flat_map(of).collect()
    }

    fn supports(&self, scheme: &str, network: &Network) -> bool {
        scheme == "exact" && self.lanes(network).is_some()
    }

    async fn verify(&self, terms: &Requirements, payload: &RawValue) -> Result<Verified, VerifyError> {
        let chain = &self.lanes_or_invalid(&terms.network)?.chain;
        let mut payment = Payment::check(terms, payload, &chain.tokens, self.clock.now())?;
        let _route: Route = chain.check(&mut payment).await?;
        Ok(Verified { payer: payment.payer(), valid_before: payment.valid_before(), key: payment.key })
    }

    async fn settle(
        &self,
        terms: &Requirements,
        payload: &RawValue,
        log: &dyn SettlementLog,
    ) -> Result<Settlement, VerifyError> {
        let deadline = Instant::now() + self.receipt_wait;
        let lanes = self.lanes_or_invalid(&terms.network)?;
        let payment = Payment::check(terms, payload, &lanes.chain.tokens, self.clock.now())?;
        let payer = payment.payer();
        let joined = self.in_flight.join(&payment.key, &payment.authorization, Some(&payment.signature));
        let (progress, requests) = match joined {
            Joined::First(ticket, progress) => {
                (progress, Some(self.start(lanes, payment, ticket, log).await?))
            }
            Joined::Other(progress) => (progress, None),
            Joined::Different => {
                let message = "another payment with this nonce is being settled";
                let payer = Some(payment.authorization.from);
                return Err(invalid(Reason::EVM_NONCE_ALREADY_USED, message, payer));
            }
        };
        let end = wait(progress, requests, log, deadline).await;
        end.map_or_else(
            |refusal| Err(refusal.map_or_else(|| given_up(&lanes.chain), VerifyError::from)),
            |end| {
                Ok(end.unwrap_or_else(|transaction| Settlement::Pending {
                    transaction: transaction.to_string(),
                    payer,
                }))
            },
        )
    }

    async fn resume(&self, sent: Vec<Broadcast>, log: Arc<dyn SettlementLog>) -> Result<(), RailError> {
        // Another call after one that failed brings the same log.
        let _ = self.log.set(log);
        resume::resume(self, sent).await
    }

    async fn outcome(
        &self,
        terms: &Requirements,
        payload: &RawValue,
        sent: &[Broadcast],
    ) -> Result<Settlement, RailError> {
        outcome::outcome(self, terms, payload, sent).await
    }
}

fn given_up(chain: &Chain) -> VerifyError {
    node::unavailable(chain, "whoever settled this payment gave up before anything was sent: try again")
        .into()
}

type End = Result<Settlement, alloy_primitives::B256>;

/// Waits for the end, and meanwhile writes down what the lane is about to send. A transaction that is out at the
/// deadline is the answer then; before that there is nothing to wait for but the lane, which always answers.
async fn wait(
    mut progress: channel::Receiver<Progress>,
    mut requests: Option<mpsc::Receiver<RecordRequest>>,
    log: &dyn SettlementLog,
    deadline: Instant,
) -> Result<End, Option<Refusal>> {
    loop {
        let state = progress.borrow_and_update().clone();
        let is_sent = match state {
            Progress::Done(Ok(end)) => return Ok(Ok(end)),
            Progress::Done(Err(refusal)) => return Err(Some(refusal)),
            Progress::Sent(transaction) if deadline <= Instant::now() => return Ok(Err(transaction)),
            Progress::Sent(_) => true,
            Progress::Waiting => false,
        };
        tokio::select! {
            changed = progress.changed() => if changed.is_err() && !is_ended(&progress) {
                return match &*progress.borrow() {
                    Progress::Sent(transaction) => Ok(Err(*transaction)),
                    _ => Err(None),
                };
            },
            Some(request) = next(&mut requests) => request.serve(log).await,
            () = tokio::time::sleep_until(deadline), if is_sent => {}
        }
    }
}

fn is_ended(progress: &channel::Receiver<Progress>) -> bool {
    matches!(&*progress.borrow(), Progress::Done(_))
}

async fn next(requests: &mut Option<mpsc::Receiver<RecordRequest>>) -> Option<RecordRequest> {
    match requests {
        Some(requests) => requests.recv().await,
        None => None,
    }
}

impl std::fmt::Debug for EvmSettler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "EvmSettler({:?})", self.signers())
    }
}
