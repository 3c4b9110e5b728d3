//! A payment that comes with a call, as the ledger's purchase.

use farthing_ledger::{
    LedgerError, NewPurchase, Outcome, Purchase, PurchaseId, PurchaseState, Reserved, SignedRecord,
};
use farthing_policy::json::{Json, Object};
use farthing_policy::{Clearance, Denial, Needs, Policy};
use farthing_protocol::PaymentKey;
use sha2::{Digest, Sha256};
use ulid::Ulid;

use super::{Carried, METHOD, Price, carried, host, unclear};
use crate::guard::message::object;
use crate::guard::policed::{Policed, Stopped};
use crate::guard::{Call, Client};

/// A payment that the policy allows, if the ledger finds room for it.
pub(in crate::guard::policed) struct Cleared {
    purchase: NewPurchase,
    signed: SignedRecord,
    needs: Needs,
}

impl Cleared {
    /// The purchase.
    pub(in crate::guard::policed) fn id(&self) -> &PurchaseId {
        &self.purchase.id
    }
}

impl Policed {
    /// The payment that comes with a call, if one does and the policy allows it.
    pub(in crate::guard::policed) fn cleared(
        &self,
        policy: &Policy,
        call: &Call<'_>,
        arguments: &Object,
    ) -> Result<Option<Cleared>, Denial> {
        if !self.judges_payments(policy) {
            return Ok(None);
        }
        let Some(carried) = carried(call.meta, &self.0.registry)? else { return Ok(None) };
        let digest = self.digest(call.tool, arguments);
        let clearance = self.check(policy, &carried.price, call.tool, Some(&digest))?;
        if !clearance.shadowed.is_empty() {
            tracing::info!(shadowed = ?clearance.shadowed, "rules in shadow mode would deny this payment");
        }
        let purchase = self.purchase(policy, call.tool, (&carried, &clearance), digest);
        let signed = SignedRecord {
            header_name: carried.place.to_owned(),
            // Nothing is ever sent again from here, so nobody who reads the record gets a payment.
            header_value: String::new(),
            key: carried.key,
            valid_before: carried.valid_before,
        };
        Ok(Some(Cleared { purchase, signed, needs: clearance.needs() }))
    }

    /// What makes a call the same call: salted, so that nobody can try out arguments with the record alone.
    fn digest(&self, tool: &str, arguments: &Object) -> String {
        let arguments = arguments.canonical().to_vec();
        let digest = Sha256::new().chain_update(&self.0.salt).chain_update(tool).chain_update(arguments);
        hex::encode(digest.finalize())
    }

    fn purchase(
        &self,
        policy: &Policy,
        tool: &str,
        (carried, clearance): (&Carried, &Clearance),
        request_digest: String,
    ) -> NewPurchase {
        let Price { asset, amount, payee } = &carried.price;
        let offer = object([
            ("scheme", Json::from(carried.scheme)),
            ("network", Json::from(asset.network.as_str())),
            ("asset", Json::from(asset.address.as_str())),
            ("amount", Json::from(amount.to_string())),
            ("payTo", Json::from(payee.as_str())),
        ]);
        NewPurchase {
            id: id_of(&carried.key),
            method: METHOD.to_owned(),
            url: host::resource(&self.0.host, tool),
            request_digest,
            protocol: carried.protocol.to_owned(),
            scheme: carried.scheme.to_owned(),
            network: asset.network.clone(),
            asset: asset.address.clone(),
            amount: *amount,
            value: clearance.value,
            pay_to: payee.clone(),
            payer: carried.payer.clone(),
            offer: offer.to_string(),
            policy_hash: policy.hash().to_owned(),
            agent: self.0.agent.clone(),
            session: Some(self.0.session.clone()),
        }
    }

    /// Takes the amount from every budget, after a person has approved it where one has to, and writes that it is
    /// signed. The call must not be made before.
    pub(in crate::guard::policed) async fn reserve(
        &self,
        payment: &Cleared,
        client: &Client,
    ) -> Result<(), Stopped> {
        let Cleared { purchase, needs, .. } = payment;
        let mut asked = false;
        loop {
            let denial = match self.0.ledger.reserve_with(purchase.clone(), needs.clone()).await {
                Ok(Reserved::Granted { .. }) => return self.signed(payment).await,
                Ok(Reserved::Denied(denial)) => denial,
                // The same payment came before: it is one purchase, with one reservation.
                Err(LedgerError::WrongState { .. }) => return self.again(payment).await,
                Err(error) => return Err(Stopped::Broken(error)),
            };
            if asked || !self.consented(&denial, needs.approval.as_ref(), client).await {
                return Err(Stopped::Denied(denial));
            }
            asked = true;
        }
    }

    async fn signed(&self, payment: &Cleared) -> Result<(), Stopped> {
        let id = payment.id();
        match self.0.ledger.signed(id, payment.signed.clone()).await {
            Ok(()) => Ok(()),
            // The same payment may have come twice at once.
            Err(LedgerError::WrongState { .. }) => self.is_out(payment).await,
            Err(error) => {
                let why = format!("the guard did not let it pass: {error}");
                if let Err(error) = self.0.ledger.release_unsigned(id, why).await {
                    // Still reserved, and `reconcile` releases it.
                    tracing::warn!(purchase = %id, %error, "the reservation could not be released");
                }
                Err(match error {
                    LedgerError::Frozen(frozen) => Stopped::Denied(frozen.denial()),
                    error => Stopped::Broken(error),
                })
            }
        }
    }

    /// The payment is known. It may go out again as what it was: an authorization with the same nonce over another
    /// amount is not what was reserved.
    async fn again(&self, payment: &Cleared) -> Result<(), Stopped> {
        let known = self.0.ledger.purchase(payment.id()).await.map_err(Stopped::Broken)?;
        if !is_same(&known, &payment.purchase) {
            let why = "its nonce belongs to another payment, or to one for another call; sign a new one";
            return Err(Stopped::Denied(unclear(why)));
        }
        match known.state {
            PurchaseState::Reserved => self.signed(payment).await,
            _ => self.is_out(payment).await,
        }
    }

    async fn is_out(&self, payment: &Cleared) -> Result<(), Stopped> {
        let known = self.0.ledger.purchase(payment.id()).await.map_err(Stopped::Broken)?;
        match known.state {
            PurchaseState::Signed | PurchaseState::Unknown | PurchaseState::Paid => Ok(()),
            PurchaseState::Reserved | PurchaseState::NotPaid => {
                Err(Stopped::Denied(unclear("it is over, and was not paid; sign a new one")))
            }
        }
    }

    /// Writes how a payment ended.
    pub(in crate::guard::policed) fn finish(&self, id: PurchaseId, outcome: Outcome) {
        let ledger = self.0.ledger.clone();
        self.spawn(async move {
            match ledger.finish(&id, outcome.clone()).await {
                Ok(()) => {}
                // It was known before what became of it, and that stands.
                Err(LedgerError::WrongState { state, .. }) => {
                    tracing::debug!(purchase = %id, state, ?outcome, "a payment has ended already");
                }
                // It stays reserved: a budget that is too tight, never one that is too loose.
                Err(error) => {
                    tracing::error!(purchase = %id, %error, "the end of a payment was not recorded")
                }
            }
        });
    }
}

fn is_same(known: &Purchase, now: &NewPurchase) -> bool {
    let NewPurchase { url, network, asset, amount, pay_to, agent, .. } = &known.terms;
    (url, network, asset, amount, agent) == (&now.url, &now.network, &now.asset, &now.amount, &now.agent)
        && pay_to == &now.pay_to
}

/// The purchase of a payment, the same for every time it comes.
fn id_of(key: &PaymentKey) -> PurchaseId {
    let digest = Sha256::digest(format!("guarded payment/{key}"));
    let mut id = [0; 16];
    id.copy_from_slice(digest.get(..16).unwrap_or(&[0; 16]));
    PurchaseId(Ulid::from_bytes(id).to_string())
}
