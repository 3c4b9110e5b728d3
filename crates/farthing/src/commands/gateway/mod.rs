//! `farthing gateway`.

mod check;
mod live;
mod report;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use farthing_ambient::causes;
use farthing_facilitator::{Facilitate, Facilitator, HttpFacilitator, RemoteConfig};
use farthing_gateway::{Config, FacilitatorSection, Gateway, GatewayError, Pricing};
use farthing_ledger::Ledger;
use farthing_money::Registry;
use tokio::net::TcpListener;

use crate::cli::{GatewayArgs, GatewayCheckArgs, GatewayCommand};
use crate::exit::{Code, Failure};
use crate::home::Home;
use crate::output::Output;
use crate::sellers;

/// The ledger's file in the wallet's folder: the gateway's claims, and its own facilitator's settlements.
const LEDGER: &str = "gateway.db";

pub(crate) async fn run(home: &Home, args: &GatewayArgs, output: Output) -> Result<(), Failure> {
    match &args.command {
        Some(GatewayCommand::Check(GatewayCheckArgs { url: Some(url), all_methods })) => {
            live::check(url, *all_methods, registry(args.config.as_deref())?, output).await
        }
        Some(GatewayCommand::Check(_)) => check::check(Offer::read(args.config())?, output).await,
        None if args.check => check::check(Offer::read(args.config())?, output).await,
        None => serve(home, args).await,
    }
}

/// The tokens whose worth is known: those of the configuration as well, where one is given.
fn registry(config: Option<&Path>) -> Result<Registry, Failure> {
    match config {
        Some(path) => Config::load(path).and_then(|config| config.registry()).map_err(refused),
        None => Ok(Registry::builtin()),
    }
}

/// A configuration that a gateway can run with.
struct Offer {
    config: Config,
    pricing: Pricing,
    facilitator: FacilitatorSection,
}

impl Offer {
    /// Finds everything that would keep a gateway from starting.
    fn read(path: &Path) -> Result<Self, Failure> {
        let config = Config::load(path).map_err(refused)?;
        let pricing = Pricing::new(&config).map_err(refused)?;
        config.upstream().map_err(refused)?;
        let facilitator = config.facilitator().map_err(refused)?.clone();
        settles_what_is_priced(&pricing, &facilitator)?;
        Ok(Self { config, pricing, facilitator })
    }
}

async fn serve(home: &Home, args: &GatewayArgs) -> Result<(), Failure> {
    let Offer { config, pricing, facilitator } = Offer::read(args.config())?;
    let ledger = sellers::ledger(home, config.ledger().as_deref(), LEDGER)?;
    let config = match ledger.beside(".answers") {
        Some(dir) => config.or_responses_dir(dir),
        None => config,
    };
    let backend = backend(&facilitator, &ledger).await?;
    let listener = bind(args.listen.unwrap_or(config.listen())).await?;
    let admin = match config.admin() {
        Some(address) => Some(bind(address).await?),
        None => None,
    };
    let gateway =
        Gateway::new(config, backend.facilitate.clone(), ledger.clone(), sellers::clock()).map_err(broken)?;
    for price in pricing.describe() {
        tracing::info!("{price}");
    }
    if let Ok(address) = listener.local_addr() {
        tracing::info!(listen = %address, "the gateway is ready");
    }
    let served = gateway.serve(listener, admin, Some(args.config()), sellers::asked_to_stop()).await;
    backend.drain().await;
    ledger.close().await?;
    served.map_err(broken)
}

/// A facilitator of its own that does not settle on a priced network would refuse every payment there.
fn settles_what_is_priced(pricing: &Pricing, facilitator: &FacilitatorSection) -> Result<(), Failure> {
    let Some(own) = &facilitator.in_process else { return Ok(()) };
    match pricing.requirements().find(|terms| !own.networks.contains_key(&terms.network)) {
        None => Ok(()),
        Some(terms) => Err(Failure::new(
            Code::Configuration,
            format!("{} is priced, and `facilitator.in_process.networks` does not name it", terms.network),
        )
        .hint("add it there, with a signer, or take it out of `accepts`")),
    }
}

/// Who verifies and settles for the gateway.
struct Backend {
    facilitate: Arc<dyn Facilitate>,
    /// The one in this process, which has to finish what it has begun.
    own: Option<Arc<Facilitator>>,
}

impl Backend {
    async fn drain(&self) {
        const AT_MOST: std::time::Duration = std::time::Duration::from_secs(60);
        let Some(own) = &self.own else { return };
        let left = own.drain(AT_MOST).await;
        if left > 0 {
            tracing::warn!(left, "settlements are still on their way; the next start takes them up");
        }
    }
}

async fn backend(section: &FacilitatorSection, ledger: &Ledger) -> Result<Backend, Failure> {
    if let Some(own) = &section.in_process {
        let facilitator =
            sellers::facilitator(&own.networks, &own.assets, ledger.clone(), own.limits()).await?;
        return Ok(Backend { facilitate: facilitator.clone(), own: Some(facilitator) });
    }
    let url = section
        .url
        .clone()
        .ok_or_else(|| Failure::new(Code::Configuration, "no facilitator is configured"))?;
    let mut remote = RemoteConfig::new(url);
    remote.bearer = section.bearer_env.as_deref().map(bearer).transpose()?;
    let remote = HttpFacilitator::new(remote);
    let remote = remote
        .map_err(|error| Failure::new(Code::Configuration, format!("`facilitator`: {}", causes(&error))))?;
    Ok(Backend { facilitate: Arc::new(remote), own: None })
}

fn bearer(variable: &str) -> Result<String, Failure> {
    let missing =
        |_| Failure::new(Code::Configuration, format!("`bearer_env`: {variable} is not set, or not text"));
    std::env::var(variable).map_err(missing)
}

async fn bind(address: SocketAddr) -> Result<TcpListener, Failure> {
    let failed = |error: std::io::Error| {
        Failure::new(Code::Configuration, format!("listening on {address}: {error}"))
            .hint("`listen` in the configuration, or --listen, names another address")
    };
    TcpListener::bind(address).await.map_err(failed)
}

fn refused(error: farthing_gateway::ConfigError) -> Failure {
    Failure::new(Code::Configuration, causes(&error)).hint("docs/gateway.md explains every key")
}

fn broken(error: GatewayError) -> Failure {
    match error {
        GatewayError::Config(error) => refused(error),
        error => Failure::new(Code::Unexpected, causes(&error)),
    }
}
