use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use farthing_ambient::{Clock, Timestamp};
use farthing_money::{Asset, BaseUnits, Network};
use farthing_rail::Payer;

/// How long a chain is waited for before a payment. One that takes longer is no reason not to pay: the seller asks it
/// too.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long an answer, or none, is good enough.
const GOOD_FOR: Duration = Duration::from_secs(60);

/// What the wallet holds, as far as the chains said lately: a wallet without money is found out before it signs, and no
/// chain is asked for every payment, nor waited for again and again while it is silent.
#[derive(Debug, Default)]
pub(crate) struct Funds(Mutex<HashMap<(Network, String), Known>>);

#[derive(Debug, Clone, Copy)]
struct Known {
    asked_at: Timestamp,
    /// Less what was signed since; none when the chain was silent.
    held: Option<BaseUnits>,
}

impl Funds {
    /// What is held, when somebody said so in time. What is known is believed as long as it covers `wanted`: money may
    /// have come, and what was signed may have been given back.
    pub(crate) async fn held(
        &self,
        payer: &dyn Payer,
        asset: &Asset,
        wanted: BaseUnits,
        clock: &dyn Clock,
    ) -> Option<BaseUnits> {
        let now = clock.now();
        if let Some(known) = self.known(asset, now)
            && known.held.is_none_or(|held| held >= wanted)
        {
            return known.held;
        }
        let answer = tokio::time::timeout(PATIENCE, payer.balance(asset)).await;
        let held = match answer {
            Ok(Ok(held)) => Some(held),
            Ok(Err(error)) => {
                tracing::debug!(%error, "the balance is not known");
                None
            }
            Err(_) => None,
        };
        self.lock().insert(name(asset), Known { asked_at: now, held });
        held
    }

    /// Takes off what was signed just now.
    pub(crate) fn spend(&self, asset: &Asset, amount: BaseUnits) {
        if let Some(known) = self.lock().get_mut(&name(asset)) {
            known.held = known.held.map(|held| BaseUnits::new(held.get().saturating_sub(amount.get())));
        }
    }

    fn known(&self, asset: &Asset, now: Timestamp) -> Option<Known> {
        let known = self.lock().get(&name(asset)).copied()?;
        let end = known.asked_at.checked_add(GOOD_FOR).ok()?;
        (known.asked_at <= now && now < end).then_some(known)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(Network, String), Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn name(asset: &Asset) -> (Network, String) {
    (asset.network.clone(), asset.address.clone())
}
