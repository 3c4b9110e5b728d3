//! What the sellers' servers share: settlers, a facilitator in this process, signals.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use farthing_ambient::{Clock, Entropy, OsEntropy, SystemClock, causes};
use farthing_facilitator::{Facilitator, KeySource, Limits, NetworkConfig};
use farthing_keystore::EvmKey;
use farthing_ledger::Ledger;
use farthing_money::{Asset, Network, Registry};
use farthing_rail::Settler;
use farthing_rail_evm::{EvmSettler, SettlerConfig};

use crate::exit::{Code, Failure};
use crate::home::Home;
use crate::session::{self, ledger_in, open_ledger};

/// A facilitator that settles on these networks, with everything that an earlier process left taken up.
pub(crate) async fn facilitator(
    networks: &BTreeMap<Network, NetworkConfig>,
    assets: &[Asset],
    ledger: Ledger,
    limits: Limits,
) -> Result<Arc<Facilitator>, Failure> {
    let registry = registry(assets)?;
    let settlers = networks.iter().map(|(network, config)| settler(network, config, &registry));
    let settlers = settlers.collect::<Result<Vec<_>, _>>()?;
    let facilitator = Facilitator::new(settlers, ledger, clock(), limits);
    if let Err(error) = facilitator.resume().await {
        // It is tried again before the first settlement on that chain; the other chains work meanwhile.
        tracing::warn!(error = causes(&error), "what an earlier process sent is not taken up yet");
    }
    Ok(facilitator)
}

/// One settler per network: limits and signers differ by network.
fn settler(
    network: &Network,
    config: &NetworkConfig,
    registry: &Registry,
) -> Result<Arc<dyn Settler>, Failure> {
    let refused = |error: String| Failure::new(Code::Configuration, format!("{network}: {error}"));
    let rpc: Vec<String> = config.rpc.iter().map(ToString::to_string).collect();
    let chain = session::chain(network, &rpc)?;
    let signers = config.signers.iter().map(|source| signer(source).map_err(&refused));
    let signers = signers.collect::<Result<Vec<_>, _>>()?;
    let first = signers.first().ok_or_else(|| refused("there is no signer".to_owned()))?;
    let mut settler = SettlerConfig::new(vec![chain], *first.secret_key());
    settler.signers = signers.iter().map(|key| *key.secret_key()).collect();
    settler.assets = registry.clone();
    if let Some(wei) = config.max_fee_per_gas_wei() {
        settler.max_fee_per_gas_wei = wei;
    }
    if let Some(seconds) = config.receipt_wait_seconds {
        settler.receipt_wait = std::time::Duration::from_secs(seconds);
    }
    if let Some(blocks) = config.confirmations {
        settler.confirmations = blocks.get().into();
    }
    for factory in &config.wallet_factories {
        let address =
            factory.as_str().parse().map_err(|_| refused("a wallet factory is no address".to_owned()))?;
        settler.factories.push(address);
    }
    let entropy: Arc<dyn Entropy> = Arc::new(OsEntropy);
    let settler = EvmSettler::new(&settler, clock(), &entropy).map_err(|error| refused(error.to_string()))?;
    Ok(Arc::new(settler))
}

fn signer(source: &KeySource) -> Result<EvmKey, String> {
    let text = source.read().map_err(|error| error.to_string())?;
    EvmKey::from_hex(&text).map_err(|error| format!("a signer's key: {error}"))
}

fn registry(assets: &[Asset]) -> Result<Registry, Failure> {
    let mut registry = Registry::builtin();
    for asset in assets {
        registry
            .add(asset.clone())
            .map_err(|error| Failure::new(Code::Configuration, format!("`assets`: {error}")))?;
    }
    Ok(registry)
}

pub(crate) fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock)
}

/// The server's ledger: where the configuration says, else in the wallet's folder under the server's own name.
pub(crate) fn ledger(home: &Home, configured: Option<&Path>, name: &str) -> Result<Ledger, Failure> {
    configured.map_or_else(|| ledger_in(home.folder(), name), open_ledger)
}

/// Completes at Ctrl-C or SIGTERM.
pub(crate) async fn asked_to_stop() {
    let interrupt = async {
        let _ = tokio::signal::ctrl_c().await;
    };
    #[cfg(unix)]
    {
        let Ok(mut terminate) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
        else {
            return interrupt.await;
        };
        tokio::select! {
            () = interrupt => {}
            _ = terminate.recv() => {}
        }
    }
    #[cfg(not(unix))]
    interrupt.await;
    tracing::info!("stopping: what has begun is finished first");
}
