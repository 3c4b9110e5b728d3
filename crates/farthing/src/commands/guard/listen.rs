//! The guard in front of a server that is reached over HTTP.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use farthing_agent::guard::http::{
    BridgeConfig, HttpError, Secret, ServeConfig, Server, SessionInfo, Target, Transport, bridge,
};
use farthing_agent::guard::{Gate, Limits, Policed};
use farthing_ambient::causes;
use tokio::runtime::Runtime;

use crate::cli::{self, GuardArgs};
use crate::exit::{Code, Failure};
use crate::output;
use crate::sellers;

/// Carries the messages until the client leaves, or a signal ends it.
pub(super) fn run(
    url: &str,
    args: &GuardArgs,
    limits: Limits,
    gate: Policed,
    runtime: &Runtime,
) -> Result<u8, Failure> {
    let target = Target::new(url, &args.server.headers).map_err(failed)?;
    let transport = match args.transport {
        None | Some(cli::Transport::Stdio) => {
            let config = BridgeConfig { limits, ..BridgeConfig::new(target) };
            let carried =
                bridge(config, Arc::new(gate), std::io::stdin(), std::io::stdout(), sellers::asked_to_stop());
            return runtime.block_on(carried).map_err(failed);
        }
        Some(cli::Transport::Http) => Transport::Http,
        Some(cli::Transport::Sse) => Transport::Sse,
    };
    let bind = SocketAddr::new(args.bind.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)), args.port.unwrap_or(0));
    let config = ServeConfig {
        transport,
        limits,
        allow_hosts: args.allow_host.clone(),
        allow_origins: args.allow_origin.clone(),
        token: token(args)?,
        ..ServeConfig::new(target, bind)
    };
    runtime.block_on(serve(config, gate)).map_err(failed)?;
    Ok(0)
}

async fn serve(config: ServeConfig, gate: Policed) -> Result<(), HttpError> {
    let path = if config.transport == Transport::Sse { "sse" } else { "mcp" };
    let gates = move |session: &SessionInfo| -> Arc<dyn Gate> {
        match &session.id {
            Some(id) => Arc::new(gate.for_session(id.clone())),
            None => Arc::new(gate.clone()),
        }
    };
    let server = Server::bind(config, Arc::new(gates)).await?;
    if let Ok(address) = server.address() {
        output::say(format_args!("the guard listens on http://{address}/{path}"));
    }
    server.run(sellers::asked_to_stop()).await;
    Ok(())
}

fn token(args: &GuardArgs) -> Result<Option<Secret>, Failure> {
    let Some(variable) = &args.token_env else { return Ok(None) };
    match std::env::var(variable) {
        Ok(token) => Ok(Some(Secret::new(token))),
        Err(_) => {
            Err(Failure::new(Code::Configuration, format!("--token-env: {variable} is not set, or not text")))
        }
    }
}

fn failed(error: HttpError) -> Failure {
    let hint = match &error {
        HttpError::NeedsToken { .. } => {
            Some("--token-env names the variable with the token that clients have to show")
        }
        _ => None,
    };
    let failure = Failure::new(Code::Configuration, causes(&error));
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}
