//! Bringing a signed transfer onto the chain, and finding out whether it got there.

use std::fs::{File, TryLockError};
use std::sync::Arc;
use std::time::Duration;

use farthing_ambient::{Entropy, OsEntropy, SystemClock, causes};
use farthing_facilitator::{Facilitate, Facilitator, HttpFacilitator, Limits, RemoteConfig};
use farthing_keystore::Keys;
use farthing_ledger::{Outcome, Purchase};
use farthing_money::Network;
use farthing_protocol::x402::SettleResponse;
use farthing_rail::{Payer, PaymentState, RailError};
use farthing_rail_evm::{EvmSettler, SettlerConfig, gas_money};
use farthing_wallet::{Authorization, Transfer};
use url::Url;

use crate::cli::SendArgs;
use crate::draw;
use crate::exit::{Code, Failure};
use crate::session::Session;

/// How often the chain is asked for what a facilitator says it did, and the pauses between.
const ASKED: u32 = 8;
const PAUSE: Duration = Duration::from_millis(750);

/// Who brings it onto the chain.
#[derive(Debug, Clone)]
pub(super) enum Way {
    /// This wallet, which pays the gas.
    Direct,
    /// A facilitator.
    Via(Box<RemoteConfig>),
}

impl Way {
    /// The way that was asked for, else the configured one.
    pub(super) fn of(session: &Session, args: &SendArgs) -> Result<Self, Failure> {
        if let Some(url) = &args.via {
            return Ok(Self::Via(Box::new(RemoteConfig::new(url.clone()))));
        }
        let Some(known) = session.config().facilitator.as_ref().filter(|_| !args.direct) else {
            return Ok(Self::Direct);
        };
        let bearer = known.bearer_env.as_ref().map(|name| {
            std::env::var(name).map_err(|_| {
                Failure::new(Code::Configuration, format!("`facilitator.bearer_env`: {name} is not set"))
            })
        });
        Ok(Self::Via(Box::new(RemoteConfig {
            bearer: bearer.transpose()?,
            ..RemoteConfig::new(known.url.clone())
        })))
    }

    /// The way in words.
    pub(super) fn words(&self) -> String {
        match self {
            Self::Direct => "this wallet, which pays the gas out of its ETH".to_owned(),
            Self::Via(remote) => format!("the facilitator at {}", host(&remote.url)),
        }
    }

    /// Its name in `--json` output.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Direct => "direct".to_owned(),
            Self::Via(remote) => host(&remote.url),
        }
    }

    /// Whether it can be gone at all, asked before anything is signed.
    pub(super) async fn check(
        &self,
        session: &Session,
        network: &Network,
        from: &str,
    ) -> Result<(), Failure> {
        if let Self::Via(remote) = self {
            return settles(remote, network).await;
        }
        let entropy: Arc<dyn Entropy> = Arc::new(OsEntropy);
        let money = gas_money(&session.chain(network)?, from, &entropy).await;
        let money = money.map_err(|error| Failure::new(Code::Unreachable, error).hint("nothing was sent"))?;
        if money.is_enough() {
            return Ok(());
        }
        let what = format!(
            "{from} holds {} wei for gas on {} and may need {}",
            money.held,
            network.display_name(),
            money.transfer
        );
        Err(Failure::new(Code::Unpayable, what)
            .hint("nothing was sent; send it a little ETH, or let a facilitator pay the gas: --via URL"))
    }
}

/// Whether there is a facilitator, and one that settles on this network.
async fn settles(remote: &RemoteConfig, network: &Network) -> Result<(), Failure> {
    let facilitator = HttpFacilitator::new(remote.clone()).map_err(unusable)?;
    let supported = facilitator.supported().await;
    let supported = supported
        .map_err(|error| Failure::new(Code::Unreachable, causes(&error)).hint("nothing was sent"))?;
    let kinds = &supported.kinds;
    if kinds.iter().any(|kind| {
        kind.x402_version == 2 && kind.scheme == Transfer::SCHEME && kind.network == network.as_str()
    }) {
        return Ok(());
    }
    let what =
        format!("the facilitator at {} settles nothing on {}", host(&remote.url), network.display_name());
    Err(Failure::new(Code::Unpayable, what)
        .hint("nothing was sent; --via names another one, --direct pays the gas out of the wallet's ETH"))
}

/// Scheme, host and port: some facilitators have a key in their address's path.
fn host(url: &Url) -> String {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{}{port}", url.scheme(), url.host_str().unwrap_or("?"))
}

fn unusable(error: impl std::fmt::Display) -> Failure {
    Failure::new(Code::Configuration, error)
}

/// Somebody at work on transfers.
pub(super) struct Settling {
    facilitator: Arc<dyn Facilitate>,
    /// Held while this wallet's own account sends transactions: two processes would take the same nonces.
    _alone: Option<File>,
}

impl Settling {
    /// Whoever settles this way. `keys` are asked for where this wallet's account has to sign transactions.
    pub(super) async fn begin(
        session: &Session,
        way: &Way,
        network: &Network,
        keys: impl FnOnce() -> Result<Keys, Failure>,
    ) -> Result<Self, Failure> {
        if let Way::Via(remote) = way {
            let facilitator = HttpFacilitator::new((**remote).clone()).map_err(unusable)?;
            return Ok(Self { facilitator: Arc::new(facilitator), _alone: None });
        }
        let alone = alone(session)?;
        let mut config = SettlerConfig::new(vec![session.chain(network)?], *keys()?.evm().secret_key());
        config.assets = session.config().registry()?;
        // Nothing else is going to come that could share the transaction.
        config.gather = Duration::ZERO;
        let entropy: Arc<dyn Entropy> = Arc::new(OsEntropy);
        let settler = EvmSettler::new(&config, Arc::new(SystemClock), &entropy).map_err(unusable)?;
        let facilitator = Facilitator::new(
            vec![Arc::new(settler)],
            session.ledger()?,
            Arc::new(SystemClock),
            Limits::default(),
        );
        let resumed = facilitator.resume().await;
        resumed.map_err(|error| Failure::new(Code::Unreachable, error).hint("nothing was sent"))?;
        Ok(Self { facilitator, _alone: Some(alone) })
    }

    /// Brings it onto the chain. What the chain says afterwards counts; nobody's word does, unless the chain is silent.
    pub(super) async fn settle(&self, authorization: &Authorization, payer: &dyn Payer) -> Outcome {
        let answer = match Transfer::to_settle(authorization) {
            Ok(request) => self.facilitator.settle(&request).await.map_err(|error| causes(&error)),
            Err(error) => Err(causes(&error)),
        };
        let success = answer.as_ref().is_ok_and(|answer| answer.success);
        match on_chain(&authorization.purchase, payer, if success { ASKED } else { 1 }).await {
            Seen::Ended(outcome) => outcome,
            Seen::Unused if success => Outcome::Unknown {
                why: "whoever settles says that it did, but the chain does not show it yet".to_owned(),
            },
            Seen::Unused | Seen::Nothing => judge(&authorization.purchase, answer),
        }
    }
}

/// Takes the place of the one process that sends from this wallet's account.
fn alone(session: &Session) -> Result<File, Failure> {
    let path = session.home().folder().join("send.lock");
    let failed =
        |error: std::io::Error| Failure::new(Code::Unexpected, format!("{}: {error}", path.display()));
    let mut options = File::options();
    options.create(true).truncate(false).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err(Failure::new(Code::Unexpected, "another `farthing send` is at work with this wallet")
                .hint("nothing was sent; wait until it has ended"))
        }
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

/// What the chain says of a transfer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// How it ended.
    Ended(Outcome),
    /// It was not there whenever the chain answered; it may still come.
    Unused,
    /// The chain is silent.
    Nothing,
}

impl Seen {
    /// What is known after another question. Once the chain has said that there is none, its silence afterwards does not
    /// take that back.
    fn and(self, said: Result<PaymentState, RailError>) -> Self {
        match said {
            Ok(PaymentState::Settled { transaction }) => Self::Ended(Outcome::Paid { transaction }),
            Ok(PaymentState::Canceled) => {
                Self::Ended(Outcome::NotPaid { why: "it was canceled on the chain".to_owned() })
            }
            Ok(PaymentState::Unused { .. }) => Self::Unused,
            Err(error) => {
                tracing::debug!(%error, "the chain does not say");
                self
            }
        }
    }
}

/// Asks the chain until it shows how the transfer ended, at most so often.
pub(super) async fn on_chain(purchase: &Purchase, payer: &dyn Payer, tries: u32) -> Seen {
    let Some(signed) = &purchase.signed else { return Seen::Nothing };
    let mut seen = Seen::Nothing;
    for attempt in 0..tries {
        if attempt > 0 {
            tokio::time::sleep(PAUSE).await;
        }
        let said = payer.lookup(&purchase.terms.network, &signed.key, purchase.created_at).await;
        seen = seen.and(said);
        if matches!(seen, Seen::Ended(_)) {
            break;
        }
    }
    seen
}

/// How it stands when the chain does not say.
fn judge(purchase: &Purchase, answer: Result<SettleResponse, String>) -> Outcome {
    let answer = match answer {
        Ok(answer) => answer,
        Err(why) => return Outcome::Unknown { why },
    };
    let here = answer.network.parse::<Network>().is_ok_and(|network| network == purchase.terms.network);
    if answer.success && here && !answer.transaction.is_empty() {
        return Outcome::Paid { transaction: Some(answer.transaction) };
    }
    let why = match (answer.pending_transaction(), &answer.error_message, &answer.error_reason) {
        (Some(transaction), ..) => format!("it is on its way, in transaction {transaction}"),
        (None, Some(message), _) => format!("it was not settled: {message}"),
        (None, None, Some(reason)) => format!("it was not settled: {}", reason.as_str()),
        (None, None, None) => "nobody says whether it was settled".to_owned(),
    };
    Outcome::Unknown { why: draw::cut(&why, 300) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use farthing_ambient::Timestamp;

    #[test]
    fn silence_takes_nothing_back_that_the_chain_has_said() {
        let unused = || Ok(PaymentState::Unused { chain_time: Timestamp::UNIX_EPOCH });
        let silent = || Err(RailError::Unavailable { network: Network::BASE, why: "silent".to_owned() });
        let paid = || Ok(PaymentState::Settled { transaction: None });
        assert_eq!(Seen::Nothing.and(silent()), Seen::Nothing);
        assert_eq!(Seen::Nothing.and(silent()).and(unused()).and(silent()), Seen::Unused);
        let ended = Seen::Ended(Outcome::Paid { transaction: None });
        assert_eq!(Seen::Nothing.and(unused()).and(silent()).and(paid()), ended);
    }
}
