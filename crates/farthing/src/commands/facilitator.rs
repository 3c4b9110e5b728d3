//! `farthing facilitator`.

use farthing_ambient::causes;
use farthing_facilitator::{Facilitate as _, FacilitatorConfig, http};
use serde_json::json;

use crate::cli::FacilitatorArgs;
use crate::exit::{Code, Failure};
use crate::home::{self, Home};
use crate::output::{GOOD, Output};
use crate::sellers;

/// The ledger's file in the wallet's folder.
const LEDGER: &str = "facilitator.db";

pub(crate) async fn run(home: &Home, args: &FacilitatorArgs, output: Output) -> Result<(), Failure> {
    let mut config = read(args)?;
    if let Some(listen) = args.listen {
        config.listen = listen;
        config
            .check()
            .map_err(|why| Failure::new(Code::Configuration, format!("--listen {listen}: {why}")))?;
    }
    if args.check {
        let networks: Vec<String> = config.networks.keys().map(ToString::to_string).collect();
        match output.json {
            true => output.json(&json!({"valid": true, "listen": config.listen, "networks": networks})),
            false => output.line(format!("{GOOD}valid{GOOD:#}: settles on {}", networks.join(", "))),
        }
        return Ok(());
    }
    let ledger = sellers::ledger(home, config.ledger.as_deref(), LEDGER)?;
    let facilitator =
        sellers::facilitator(&config.networks, &config.assets, ledger.clone(), config.limits()).await?;
    let failed = |error: std::io::Error| {
        Failure::new(Code::Configuration, format!("listening on {}: {error}", config.listen))
    };
    let listener = tokio::net::TcpListener::bind(config.listen).await.map_err(failed)?;
    let supported = facilitator.supported().await.map_err(|error| Failure::new(Code::Unexpected, error))?;
    tracing::info!(listen = %config.listen, kinds = supported.kinds.len(), signers = ?supported.signers, "the facilitator is ready");
    let router = http::router(facilitator.clone(), config.http());
    let left =
        http::serve(listener, router, facilitator, config.serve_limits(), sellers::asked_to_stop()).await;
    if left > 0 {
        tracing::warn!(left, "settlements are still on their way; the next start takes them up");
    }
    ledger.close().await?;
    Ok(())
}

fn read(args: &FacilitatorArgs) -> Result<FacilitatorConfig, Failure> {
    let text = home::read(&args.config)
        .map_err(|failure| failure.hint("docs/facilitator.md has one to begin with"))?;
    FacilitatorConfig::parse(&args.config.display().to_string(), &text).map_err(|error| {
        Failure::new(Code::Configuration, causes(&error)).hint("docs/facilitator.md explains every key")
    })
}
