//! What the wallet holds, may spend and has bought.

use farthing_ledger::PurchaseFilter;

use super::answer::Answer;
use super::desk::Desk;
use super::input::HistoryArgs;
use super::output::{Address, Balances, Bought, Budgets, Fund, Held, History};
use super::trouble::{Code, Trouble};

const HOW: &str = "Ask your human to send USDC, on one of these networks and to the address beside it; a few dollars \
are enough, as a call costs fractions of a cent. No other coin is needed. Other tokens are not seen.";

pub(super) async fn balance(desk: &Desk) -> Answer {
    let balances = desk.config.wallet.balances().await;
    let held = balances.into_iter().map(|held| {
        let amount = held.amount.as_ref().ok();
        Held {
            network: held.asset.network.to_string(),
            symbol: held.asset.symbol.clone(),
            address: held.address,
            value: amount.map(|amount| held.asset.format(*amount)),
            amount: amount.map(ToString::to_string),
            error: held.amount.err(),
        }
    });
    Answer::new(&Balances { balances: held.collect() })
}

pub(super) async fn budget(desk: &Desk) -> Result<Answer, Trouble> {
    let config = &desk.config;
    let frozen = config.ledger.frozen().await?.map(|frozen| frozen.to_string());
    let killed = config.policy.current().killed().map(str::to_owned);
    Ok(Answer::new(&Budgets {
        budgets: desk.budgets().await?,
        frozen: frozen.or(killed),
        agent: config.agent.clone(),
    }))
}

pub(super) async fn history(desk: &Desk, args: &HistoryArgs) -> Result<Answer, Trouble> {
    let limit = args.limit.unwrap_or(20);
    if !(1..=100).contains(&limit) {
        return Err(Trouble::unpaid(Code::BadArguments, "`limit`: from 1 to 100"));
    }
    let filter = PurchaseFilter {
        unresolved: args.unresolved,
        limit: Some(limit.into()),
        ..PurchaseFilter::default()
    };
    let purchases = desk.purchases(filter).await?;
    Ok(Answer::new(&History { purchases: purchases.iter().map(Bought::of).collect() }))
}

pub(super) fn fund(desk: &Desk) -> Answer {
    let addresses = desk.config.funding.iter().map(|funding| Address {
        name: funding.network.display_name().to_owned(),
        network: funding.network.to_string(),
        address: funding.address.clone(),
        usdc: funding.usdc.clone(),
    });
    Answer::new(&Fund { addresses: addresses.collect(), how: HOW.to_owned() })
}
