//! `farthing balance`.

use farthing_wallet::{Balance, Wallet as _};
use serde_json::{Value, json};

use super::check::budgets_json;
use crate::exit::{Code, Failure};
use crate::output::{DIM, Output, STRONG, WARN};
use crate::progress::shown;
use crate::session::Session;

pub(crate) async fn run(session: &Session, output: Output) -> Result<(), Failure> {
    let wallet = session.wallet()?;
    let asking = || "asking the chains what the wallet holds".to_owned();
    let balances = shown(output, asking, wallet.balances()).await;
    let budgets = wallet.budgets().await?;
    let failed: Vec<&String> = balances.iter().filter_map(|held| held.amount.as_ref().err()).collect();
    let ending = match failed.first() {
        Some(why) if failed.len() == balances.len() => Err(Failure::new(Code::Unreachable, why)),
        Some(why) => {
            output.warn(why);
            Ok(())
        }
        None => Ok(()),
    };
    if output.json {
        return output
            .json_ending(json!({"balances": to_json(&balances), "budgets": budgets_json(&budgets)}), ending);
    }
    for held in &balances {
        let amount = match &held.amount {
            Ok(amount) => format!("{STRONG}{:>12}{STRONG:#}", held.asset.format(*amount)),
            Err(_) => format!("{WARN}{:>12}{WARN:#}", "?"),
        };
        let network = held.asset.network.display_name();
        output.line(format!("{amount}  {} on {network:<13} {DIM}{}{DIM:#}", held.asset.symbol, held.address));
    }
    for (limit, used) in &budgets {
        output.line(format!(
            "{DIM}budget{DIM:#}  {}: {} left, {}",
            limit.rule,
            limit.remaining(*used),
            limit.window
        ));
    }
    ending
}

/// What is held, asset by asset; the reason where a chain did not say.
pub(crate) fn to_json(balances: &[Balance]) -> Vec<Value> {
    let row = |held: &Balance| {
        let amount = held.amount.as_ref();
        json!({"network": held.asset.network, "symbol": held.asset.symbol, "asset": held.asset.address,
            "address": held.address, "amount": amount.ok(), "error": amount.err(),
            "value": amount.ok().map(|amount| held.asset.format(*amount))})
    };
    balances.iter().map(row).collect()
}
