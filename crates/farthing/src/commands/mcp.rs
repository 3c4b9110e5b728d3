//! `farthing mcp`.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use farthing_agent::guard::PolicyFile;
use farthing_agent::mcp::{Desk, DeskConfig, Funding, HttpConfig, serve_http, serve_stdio};
use farthing_ambient::{Entropy as _, OsEntropy, SystemClock};
use farthing_discovery::{self as discovery, Discovery};
use farthing_policy::Policy;
use farthing_wallet::LocalWallet;
use serde_json::json;
use tokio::runtime::Handle;
use zeroize::Zeroizing;

use crate::agents;
use crate::cli::McpArgs;
use crate::exit::{Code, Failure};
use crate::home;
use crate::output::{DIM, Output, STRONG};
use crate::sellers::asked_to_stop;
use crate::session::Session;

/// How long calls may take whose payments are out when the client has left.
const LEAVING: Duration = Duration::from_secs(90);
/// The shortest token that is taken.
const MIN_TOKEN_CHARS: usize = 16;

pub(crate) async fn run(session: &Session, args: &McpArgs, output: Output) -> Result<(), Failure> {
    let policy =
        PolicyFile::open_or(&session.home().policy(), Policy::starter()).map_err(agents::no_policy)?;
    let policy = Arc::new(policy);
    let wallet = Arc::new(session.wallet_under(policy.current())?);
    let desk = desk(session, args, policy.clone(), wallet.clone())?;
    let ledger = session.ledger()?;
    let following = agents::follow(policy, ledger, "farthing".to_owned(), |policy| wallet.set_policy(policy));
    let serving = async {
        match args.listen {
            None => {
                tokio::select! {
                    served = serve_stdio(desk.clone()) => served.map_err(|error| Failure::new(Code::Unexpected, error)),
                    () = asked_to_stop() => Ok(()),
                }
            }
            Some(address) => listen(desk.clone(), address, args.token_file.as_deref(), output).await,
        }
    };
    let served = tokio::select! {
        served = serving => served,
        () = following => Ok(()),
    };
    desk.close(LEAVING).await?;
    served
}

fn desk(
    session: &Session,
    args: &McpArgs,
    policy: Arc<PolicyFile>,
    wallet: Arc<LocalWallet>,
) -> Result<Arc<Desk>, Failure> {
    let ledger = session.ledger()?;
    let tell = agents::notify(session.config(), &ledger, &Handle::current())?;
    Ok(Desk::new(DeskConfig {
        client: session.agents_client(wallet.clone(), None)?,
        wallet,
        discovery: discovery(session)?,
        indexes: session.config().indexes()?,
        policy,
        salt: agents::salt(&ledger)?,
        ledger,
        bodies: session.bodies(),
        agent: args.agent.clone(),
        session: args.session.clone().map_or_else(agents::new_session, Ok)?,
        funding: funding(session)?,
        notify: tell
            .map(|tell| Arc::new(move |approval: &farthing_policy::PendingApproval| tell(&approval.id)) as _),
        clock: Arc::new(SystemClock),
        entropy: Arc::new(OsEntropy),
    }))
}

fn discovery(session: &Session) -> Result<Discovery, Failure> {
    let config = discovery::Config {
        reach: session.agents_reach(),
        registry: session.config().registry()?,
        ..discovery::Config::default()
    };
    Discovery::new(config).map_err(|error| Failure::new(Code::Unexpected, error))
}

fn funding(session: &Session) -> Result<Vec<Funding>, Failure> {
    let registry = session.config().registry()?;
    let addresses = session.addresses()?.into_iter();
    Ok(addresses
        .map(|(network, address)| {
            let usdc = registry.usdc(&network).ok().map(|asset| asset.address.clone());
            Funding { network, address, usdc }
        })
        .collect())
}

async fn listen(
    desk: Arc<Desk>,
    address: SocketAddr,
    token_file: Option<&Path>,
    output: Output,
) -> Result<(), Failure> {
    if !address.ip().is_loopback() {
        return Err(Failure::new(
            Code::Configuration,
            format!("--listen {address}: that is not this machine alone"),
        )
        .hint("the server pays out of your wallet for who shows its token; name 127.0.0.1 or [::1]"));
    }
    let token = match token_file {
        Some(file) => read_token(file)?,
        None => new_token()?,
    };
    let config = HttpConfig { listen: address, token: token.clone(), grace: LEAVING };
    let server = serve_http(desk, config).await.map_err(|error| Failure::new(Code::Configuration, error))?;
    let address = server.address().map_err(|error| Failure::new(Code::Unexpected, error))?;
    let url = format!("http://{address}/mcp");
    let shown = token_file.is_none().then_some(token.as_str());
    if output.json {
        output.json(&json!({"url": url, "token": shown}));
    } else {
        output.line(format!("{DIM}listening at{DIM:#}  {STRONG}{url}{STRONG:#}"));
        if let Some(token) = shown {
            output.line(format!("{DIM}token{DIM:#}         {token}"));
        }
    }
    server.run(asked_to_stop()).await;
    Ok(())
}

fn read_token(file: &Path) -> Result<Zeroizing<String>, Failure> {
    others_stay_out(file)?;
    let token = Zeroizing::new(home::read(file)?.trim().to_owned());
    let plain = token.chars().all(|c| c.is_ascii_graphic());
    if token.len() < MIN_TOKEN_CHARS || !plain {
        let why =
            format!("{}: a token has at least {MIN_TOKEN_CHARS} characters, without spaces", file.display());
        return Err(Failure::new(Code::Configuration, why));
    }
    Ok(token)
}

/// Who knows the token spends the wallet's money.
#[cfg(unix)]
fn others_stay_out(file: &Path) -> Result<(), Failure> {
    use std::os::unix::fs::PermissionsExt as _;
    // A file that cannot be looked at cannot be read either, which says why.
    let mode = std::fs::metadata(file).map_or(0, |metadata| metadata.permissions().mode() & 0o777);
    if mode & 0o077 == 0 {
        return Ok(());
    }
    let why = format!("{}: others may read or change this file (mode {mode:o})", file.display());
    Err(Failure::new(Code::Configuration, why)
        .hint(format!("chmod 600 {}, and write a new token into it", file.display())))
}

#[cfg(not(unix))]
fn others_stay_out(_: &Path) -> Result<(), Failure> {
    Ok(())
}

fn new_token() -> Result<Zeroizing<String>, Failure> {
    let mut random = Zeroizing::new([0; 32]);
    OsEntropy.fill(&mut *random).map_err(|error| Failure::new(Code::Unexpected, error))?;
    Ok(Zeroizing::new(random.iter().map(|byte| format!("{byte:02x}")).collect()))
}
