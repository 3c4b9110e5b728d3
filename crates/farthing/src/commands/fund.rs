//! `farthing fund`.

use std::io::IsTerminal as _;

use anstyle::{Ansi256Color, Color, Style};
use farthing_money::{Asset, Network, Price};
use qrcode::QrCode;
use qrcode::render::unicode::Dense1x2;
use serde_json::json;

use crate::cli::FundArgs;
use crate::exit::{Code, Failure};
use crate::local_chain;
use crate::output::{DIM, GOOD, Output, STRONG};
use crate::session::Session;

pub(crate) async fn run(session: &Session, args: &FundArgs, output: Output) -> Result<(), Failure> {
    match args.amount {
        Some(amount) => from_local_chain(session, args.network.as_ref(), amount, output).await,
        None => show(session, args.network.as_ref(), output),
    }
}

fn show(session: &Session, only: Option<&Network>, output: Output) -> Result<(), Failure> {
    let registry = session.config().registry()?;
    let addresses = session.addresses()?;
    let wanted: Vec<_> =
        addresses.iter().filter(|(network, _)| only.is_none_or(|only| only == network)).collect();
    if wanted.is_empty() {
        return Err(no_such_network(only));
    }
    if output.json {
        let rows: Vec<_> = wanted
            .iter()
            .map(|(network, address)| {
                let usdc = registry.usdc(network).ok().map(|asset| asset.address.clone());
                json!({"network": network, "address": address, "usdc": usdc})
            })
            .collect();
        output.json(&json!({"fund": rows}));
        return Ok(());
    }
    for (network, address) in &wanted {
        output.line(format!("Send {STRONG}USDC on {}{STRONG:#} to", network.display_name()));
        output.line(format!("  {STRONG}{address}{STRONG:#}"));
        if let Ok(usdc) = registry.usdc(network) {
            output.line(format!(
                "  {DIM}the token is {} on {network}; other tokens are not seen{DIM:#}",
                usdc.address
            ));
        }
    }
    if let Some((_, address)) = wanted.first().filter(|_| std::io::stdout().is_terminal()) {
        for line in qr(address)?.lines() {
            output.line(format_args!("{QR}{line}{QR:#}"));
        }
    }
    output.note(format!(
        "{DIM}A few dollars are enough: a call costs fractions of a cent. No ETH is needed.{DIM:#}"
    ));
    Ok(())
}

/// White on black whatever the terminal's colours are: many scanners do not read a code with its colours swapped.
const QR: Style = Style::new()
    .fg_color(Some(Color::Ansi256(Ansi256Color(231))))
    .bg_color(Some(Color::Ansi256(Ansi256Color(16))));

/// The address as a QR code, drawn in the text's colour where the code is light.
fn qr(address: &str) -> Result<String, Failure> {
    let failed = |error| Failure::new(Code::Unexpected, format!("the QR code: {error}"));
    let code = QrCode::new(address).map_err(failed)?;
    Ok(code.render::<Dense1x2>().dark_color(Dense1x2::Light).light_color(Dense1x2::Dark).build())
}

async fn from_local_chain(
    session: &Session,
    network: Option<&Network>,
    amount: Price,
    output: Output,
) -> Result<(), Failure> {
    let addresses = session.addresses()?;
    let (network, address) = addresses
        .iter()
        .find(|(known, _)| network.is_none_or(|wanted| wanted == known))
        .ok_or_else(|| no_such_network(network))?;
    let registry = session.config().registry()?;
    let known = |error| Failure::new(Code::Configuration, error);
    let usdc: &Asset = registry.usdc(network).map_err(known)?;
    let units = amount
        .in_asset(usdc)
        .map_err(|error| Failure::new(Code::Configuration, format!("--amount: {error}")))?;
    let endpoints = session.endpoints(network)?;
    local_chain::give(&endpoints, usdc, address, units).await?;
    if output.json {
        output.json(
            &json!({"network": network, "address": address, "amount": units, "value": usdc.format(units)}),
        );
    } else {
        let value = usdc.format(units);
        output.line(format!(
            "{GOOD}funded{GOOD:#} {value} in {} on the local {}",
            usdc.symbol,
            network.display_name()
        ));
    }
    Ok(())
}

fn no_such_network(network: Option<&Network>) -> Failure {
    let name = network.map(ToString::to_string).unwrap_or_default();
    Failure::new(Code::Configuration, format!("the network {name} is not configured"))
        .hint("`networks` in config.yaml names the networks that may be paid on")
}
