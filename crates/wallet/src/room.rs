//! Room in the budgets: whether there is any, and taking it.

use farthing_ledger::{NewPurchase, Reserved};
use farthing_policy::{Clearance, Denial, Limit, Needs, Usage};

use crate::{LocalWallet, WalletError};

impl LocalWallet {
    /// What is used of every limit that a payment is taken from, and the first that has no room for it.
    pub(crate) async fn room(
        &self,
        clearance: &Clearance,
    ) -> Result<(Vec<(Limit, Usage)>, Option<Denial>), WalletError> {
        let Clearance { limits, value, .. } = clearance;
        // There is room again when the use fits in beside the payment; where that is never, waiting is useless.
        let beside: Vec<_> = limits.iter().map(|limit| limit.beside(*value)).collect();
        let asked = beside.iter().zip(limits).map(|(beside, limit)| beside.as_ref().unwrap_or(limit).clone());
        let usage = self.ledger.usage(asked.collect()).await?.into_iter().zip(&beside);
        let usage =
            usage.map(|(usage, beside)| Usage { frees_in: beside.as_ref().and(usage.frees_in), ..usage });
        let used: Vec<_> = limits.iter().cloned().zip(usage).collect();
        // A limit in shadow mode refuses nothing.
        let mut refusing = used.iter().filter(|(limit, _)| !limit.shadow);
        let denied = refusing.find_map(|(limit, usage)| limit.admit(*usage, *value).err());
        Ok((used, denied))
    }

    /// Takes the amount from every limit. A refusal may be due to money that is only reserved, so what has expired
    /// is reconciled once before it stands.
    pub(crate) async fn reserve(
        &self,
        purchase: &NewPurchase,
        needs: &Needs,
    ) -> Result<Vec<(Limit, Usage)>, WalletError> {
        let first = self.ledger.reserve_with(purchase.clone(), needs.clone()).await?;
        let denial = match first {
            Reserved::Granted { used, .. } => return Ok(used),
            // A person has to decide: no money that comes back changes that.
            Reserved::Denied(denial) if denial.approval.is_some() => {
                return Err(WalletError::Denied(Box::new(denial)));
            }
            Reserved::Denied(denial) => denial,
        };
        if !self.reconcile_expired().await? {
            return Err(WalletError::Denied(Box::new(denial)));
        }
        match self.ledger.reserve_with(purchase.clone(), needs.clone()).await? {
            Reserved::Granted { used, .. } => Ok(used),
            Reserved::Denied(denial) => Err(WalletError::Denied(Box::new(denial))),
        }
    }
}
