//! `farthing proxy`.

mod tokens;

use std::sync::Arc;
use std::time::Duration;

use farthing_agent::guard::PolicyFile;
use farthing_agent::proxy::{Anonymous, Notify, Proxy, ProxyConfig, ProxyError, TokenFile};
use farthing_ambient::{OsEntropy, SystemClock, causes};
use farthing_ledger::Ledger;
use farthing_policy::{PendingApproval, Policy};
use serde_json::json;
use tokio::runtime::Handle;

use crate::agents;
use crate::cli::{ProxyArgs, ProxyCommand};
use crate::exit::{Code, Failure};
use crate::output::{DIM, Output, STRONG};
use crate::sellers::asked_to_stop;
use crate::session::Session;

/// How long calls may take that are open at the end, and then the rests of paid answers.
const GRACE: Duration = Duration::from_secs(45);

pub(crate) async fn run(session: &Session, args: &ProxyArgs, output: Output) -> Result<(), Failure> {
    match &args.command {
        Some(ProxyCommand::Tokens(command)) => tokens::run(session, command, output),
        None => serve(session, args, output).await,
    }
}

async fn serve(session: &Session, args: &ProxyArgs, output: Output) -> Result<(), Failure> {
    let policy =
        PolicyFile::open_or(&session.home().policy(), Policy::starter()).map_err(agents::no_policy)?;
    let policy = Arc::new(policy);
    let wallet = Arc::new(session.wallet_under(policy.current())?);
    let ledger = session.ledger()?;
    let tokens = tokens(session, args)?;
    let config = ProxyConfig {
        bind: args.listen,
        client: session.agents_client(wallet.clone(), Some(args.timeout))?,
        policy: policy.clone(),
        ledger: ledger.clone(),
        tokens,
        anonymous: args.without_token.then(|| Anonymous { agent: args.agent.clone() }),
        allow_hosts: args.allow_host.clone(),
        max_request_bytes: args.max_body as usize,
        grace: GRACE,
        run: agents::new_session()?,
        notify: notify(session, &ledger)?,
        clock: Arc::new(SystemClock),
        entropy: Arc::new(OsEntropy),
    };
    let proxy = Proxy::bind(config).await.map_err(refused)?;
    announce(&proxy, output)?;
    let following =
        agents::follow(policy, ledger.clone(), "farthing".to_owned(), |policy| wallet.set_policy(policy));
    tokio::select! {
        () = proxy.run(asked_to_stop()) => {}
        () = following => {}
    }
    ledger.close().await?;
    Ok(())
}

/// Nobody could call where nobody has a token.
fn tokens(session: &Session, args: &ProxyArgs) -> Result<TokenFile, Failure> {
    let tokens = TokenFile::open(session.home().proxy_tokens())
        .map_err(|error| Failure::new(Code::Configuration, error))?;
    if tokens.is_empty() && !args.without_token {
        return Err(Failure::new(Code::Configuration, "nobody could call: there is no token").hint(
            "`farthing proxy tokens add AGENT` makes one; --without-token serves every program of this machine",
        ));
    }
    Ok(tokens)
}

fn notify(session: &Session, ledger: &Ledger) -> Result<Option<Notify>, Failure> {
    let tell = agents::notify(session.config(), ledger, &Handle::current())?;
    Ok(tell.map(|tell| Arc::new(move |approval: &PendingApproval| tell(&approval.id)) as Notify))
}

fn announce(proxy: &Proxy, output: Output) -> Result<(), Failure> {
    let address = proxy.address().map_err(|error| Failure::new(Code::Unexpected, error))?;
    let url = format!("http://{address}");
    if output.json {
        output.json(&json!({"url": url}));
        return Ok(());
    }
    output.line(format!("{DIM}listening at{DIM:#}  {STRONG}{url}{STRONG:#}"));
    output.note(format!("{DIM}call{DIM:#}          {url}/https://api.example.com/path"));
    Ok(())
}

fn refused(error: ProxyError) -> Failure {
    let hint = match &error {
        ProxyError::NeedsTokens { .. } => "leave --without-token out, or listen at 127.0.0.1",
        ProxyError::NamesNeedTokens => "leave --without-token out, or --allow-host",
        _ => "--listen names another address",
    };
    Failure::new(Code::Configuration, causes(&error)).hint(hint)
}
