//! Money on a development chain of this machine: anvil's own cheat, which no real chain has.

use std::time::Duration;

use farthing_ambient::{causes, is_this_machine};
use farthing_money::{Asset, BaseUnits};
use serde_json::{Value, json};
use url::Url;

use crate::exit::{Code, Failure};

/// Adds `amount` to what `address` holds of `asset`, on an anvil that listens on loopback.
pub(crate) async fn give(
    endpoints: &[Url],
    asset: &Asset,
    address: &str,
    amount: BaseUnits,
) -> Result<(), Failure> {
    let local = endpoints.iter().find(|url| is_this_machine(url)).ok_or_else(not_local)?;
    let version = call(local, "web3_clientVersion", json!([])).await?;
    if !version.as_str().is_some_and(|version| version.starts_with("anvil")) {
        return Err(not_local());
    }
    let held = balance(local, asset, address).await?;
    let total = held.checked_add(amount).map_err(|error| Failure::new(Code::Configuration, error))?;
    call(local, "anvil_dealERC20", json!([address, asset.address, format!("0x{:x}", total.get())])).await?;
    if balance(local, asset, address).await? != total {
        return Err(Failure::new(Code::Unexpected, "the local chain did not change the balance"));
    }
    Ok(())
}

fn not_local() -> Failure {
    Failure::new(Code::Configuration, "--amount works on a local development chain only (anvil on loopback)")
        .hint("`farthing fund` without --amount shows where to send USDC; `cargo xtask devnet` starts a local chain")
}

async fn balance(endpoint: &Url, asset: &Asset, address: &str) -> Result<BaseUnits, Failure> {
    // balanceOf(address)
    let data = format!("0x70a08231{:0>64}", address.trim_start_matches("0x").to_ascii_lowercase());
    let word = call(endpoint, "eth_call", json!([{"to": asset.address, "data": data}, "latest"])).await?;
    let digits = word.as_str().unwrap_or_default().trim_start_matches("0x");
    let value = u128::from_str_radix(digits.trim_start_matches('0'), 16);
    match (digits.len(), value) {
        (64, Ok(value)) => Ok(BaseUnits::new(value)),
        (64, Err(_)) if digits.bytes().all(|b| b == b'0') => Ok(BaseUnits::ZERO),
        _ => Err(Failure::new(Code::Unexpected, format!("{} is no token on the local chain", asset.address))),
    }
}

async fn call(endpoint: &Url, method: &str, params: Value) -> Result<Value, Failure> {
    let failed = |error: reqwest::Error| {
        Failure::new(Code::Unreachable, format!("the local chain does not answer: {}", error.without_url()))
    };
    let client = farthing_http::caller().map_err(|error| Failure::new(Code::Unexpected, causes(&error)))?;
    let client = client.timeout(Duration::from_secs(10)).build().map_err(failed)?;
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
    let mut answer: Value = client
        .post(endpoint.clone())
        .json(&body)
        .send()
        .await
        .map_err(failed)?
        .json()
        .await
        .map_err(failed)?;
    match answer.get("error") {
        Some(error) => {
            Err(Failure::new(Code::Unexpected, format!("the local chain refused {method}: {error}")))
        }
        None => Ok(answer["result"].take()),
    }
}
