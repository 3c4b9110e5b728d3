use std::sync::{Arc, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use farthing_ambient::{Clock, Entropy, fault};
use farthing_ledger::{
    Ledger, LedgerError, NewPurchase, Outcome, Purchase, PurchaseFilter, PurchaseId, PurchaseState,
    SignedRecord,
};
use farthing_money::{Asset, BaseUnits, Network, Registry};
use farthing_policy::{Clearance, Limit, Policy, Usage};
use farthing_protocol::x402::{Payment, PaymentId};
use farthing_protocol::{Challenge, Offer};
use farthing_rail::{Payer, SignedPayment};
use futures::future::join_all;
use sha2::{Digest as _, Sha256};
use ulid::Ulid;

use crate::appraise::Appraiser;
use crate::funds::Funds;
use crate::{
    Appraisal, Authorization, Balance, CallLimits, PurchaseResult, Reconciled, Request, Verdict, Wallet,
    WalletError, has_answer,
};

/// How long somebody who asked for the balance waits for a chain.
const CHAIN_PATIENCE: Duration = Duration::from_secs(8);

/// What a [`LocalWallet`] is made of.
#[derive(Debug)]
pub struct LocalWalletConfig {
    /// The keys, one per family of chains.
    pub payers: Vec<Arc<dyn Payer>>,
    /// The known assets.
    pub registry: Registry,
    /// The caps; [`LocalWallet::set_policy`] replaces them.
    pub policy: Arc<Policy>,
    /// The record.
    pub ledger: Ledger,
    /// The user's order of networks, for offers of the same price.
    pub preference: Vec<Network>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The randomness.
    pub entropy: Arc<dyn Entropy>,
}

/// A wallet in this process.
#[derive(Debug)]
pub struct LocalWallet {
    pub(crate) payers: Vec<Arc<dyn Payer>>,
    registry: Registry,
    policy: RwLock<Arc<Policy>>,
    pub(crate) ledger: Ledger,
    preference: Vec<Network>,
    pub(crate) clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    funds: Funds,
}

impl LocalWallet {
    /// Puts a wallet together.
    #[must_use]
    pub fn new(config: LocalWalletConfig) -> Self {
        let LocalWalletConfig { payers, registry, policy, ledger, preference, clock, entropy } = config;
        let (policy, funds) = (RwLock::new(policy), Funds::default());
        Self { payers, registry, policy, ledger, preference, clock, entropy, funds }
    }

    /// Replaces the policy, for the decisions from now on.
    pub fn set_policy(&self, policy: Arc<Policy>) {
        *self.policy.write().unwrap_or_else(std::sync::PoisonError::into_inner) = policy;
    }

    fn policy(&self) -> Arc<Policy> {
        self.policy.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    pub(crate) fn payer(&self, network: &Network) -> Result<&Arc<dyn Payer>, WalletError> {
        self.payers
            .iter()
            .find(|payer| payer.address(network).is_some())
            .ok_or_else(|| WalletError::NoPayer(network.clone()))
    }

    /// What the wallet holds, asset by asset, as far as the chains say so within this time. All are asked at once.
    pub async fn balances_within(&self, patience: Duration) -> Vec<Balance> {
        let held = self.registry.iter().filter_map(|asset| {
            let payer = self.payer(&asset.network).ok()?;
            Some(async move {
                let answer = tokio::time::timeout(patience, payer.balance(asset)).await;
                let silent = |_| format!("{} did not answer within {patience:?}", asset.network);
                let amount = answer.map_err(silent).and_then(|said| said.map_err(|error| error.to_string()));
                let address = payer.address(&asset.network).unwrap_or_default();
                Balance { asset: asset.clone(), address, amount }
            })
        });
        join_all(held).await
    }

    async fn choose(
        &self,
        policy: &Policy,
        request: &Request,
        challenge: &Challenge,
        limits: &CallLimits,
    ) -> Appraisal {
        let Self { payers, registry, preference, .. } = self;
        let now = self.clock.now();
        let appraiser = Appraiser { payers, registry, policy, preference, limits, now };
        let mut appraisal = appraiser.appraise(request, challenge);
        // Every round takes an asset's offers out, so it ends.
        while let Some(chosen) = appraisal.chosen {
            let ties = appraiser.ties(&appraisal);
            let chosen = self.best_funded(&appraisal, &ties).await.unwrap_or(chosen);
            appraisal.chosen = Some(chosen);
            let Some((asset, held)) = self.held(&appraisal, chosen).await else { break };
            appraisal.hold(&asset, held);
            if matches!(appraisal.offers.get(chosen), Some((_, Verdict::Payable { .. }))) {
                break;
            }
            appraisal.chosen = appraiser.cheapest(&appraisal.offers);
        }
        appraisal
    }

    /// Of equally good offers the first on the network where the wallet holds most. A chain that does not answer soon
    /// counts as empty.
    async fn best_funded(&self, appraisal: &Appraisal, ties: &[usize]) -> Option<usize> {
        let held = ties.iter().map(|index| async move {
            let (asset, held) = self.held(appraisal, *index).await?;
            asset.value(held).ok()
        });
        let held = join_all(held).await;
        let most = held.iter().flatten().max()?;
        ties.iter().zip(&held).find(|(_, value)| value.as_ref() == Some(most)).map(|(index, _)| *index)
    }

    /// What the wallet holds of a payable offer's asset, when the chain says so soon.
    async fn held(&self, appraisal: &Appraisal, index: usize) -> Option<(Arc<Asset>, BaseUnits)> {
        let (offer, Verdict::Payable { asset, .. }) = appraisal.offers.get(index)? else { return None };
        let payer = self.payer(&asset.network).ok()?;
        let held = self.funds.held(&**payer, asset, offer.requirements.amount, &*self.clock).await?;
        Some((asset.clone(), held))
    }

    fn new_purchase(
        &self,
        request: &Request,
        offer: &Offer,
        choice: &Choice<'_>,
    ) -> Result<NewPurchase, WalletError> {
        let terms = &offer.requirements;
        let payer = self.payer(&terms.network)?;
        Ok(NewPurchase {
            id: self.new_id()?,
            method: request.method.to_string(),
            url: request.recorded_url(),
            request_digest: request.digest(),
            protocol: offer.protocol.as_str().to_owned(),
            scheme: terms.scheme.clone(),
            network: terms.network.clone(),
            asset: choice.asset.address.clone(),
            amount: terms.amount,
            value: choice.clearance.value,
            pay_to: terms.pay_to.clone(),
            payer: payer.address(&terms.network).unwrap_or_default(),
            offer: offer.raw.get().to_owned(),
            policy_hash: choice.policy_hash.to_owned(),
            agent: choice.limits.agent.clone(),
            session: choice.limits.session.clone(),
        })
    }

    fn new_id(&self) -> Result<PurchaseId, WalletError> {
        let mut random = [0; 16];
        self.entropy.fill(&mut random).map_err(farthing_rail::RailError::from)?;
        let ms = u64::try_from(self.clock.now().as_millisecond()).unwrap_or_default();
        Ok(PurchaseId(Ulid::from_parts(ms, u128::from_be_bytes(random)).to_string()))
    }

    fn sign(&self, offer: &Offer, asset: &Asset) -> Result<SignedPayment, WalletError> {
        let terms = &offer.requirements;
        Ok(self.payer(&terms.network)?.sign(terms, asset, self.clock.now(), &*self.entropy)?)
    }

    /// Signs, and writes what was signed before anybody else sees it.
    async fn sign_and_record(
        &self,
        challenge: &Challenge,
        offer: &Offer,
        asset: &Asset,
        purchase: &NewPurchase,
    ) -> Result<SignedRecord, WalletError> {
        let signed = self.sign(offer, asset)?;
        let payment =
            Payment::answer(challenge, offer, signed.payload)?.identified(&identifier(&purchase.id)?);
        let (header_name, header_value) = payment.to_header()?;
        let record = SignedRecord {
            key: signed.key,
            header_name: header_name.to_owned(),
            header_value,
            valid_before: signed.valid_before,
        };
        fault::point("wallet.signed");
        self.ledger.signed(&purchase.id, record.clone()).await?;
        fault::point("wallet.recorded");
        Ok(record)
    }

    async fn release_unsigned(&self, id: &PurchaseId, error: &WalletError) {
        let why = format!("nothing was signed: {error}");
        if let Err(error) = self.ledger.release_unsigned(id, why).await {
            // Still reserved, and `reconcile` releases it: nothing is lost but room in the budget.
            tracing::warn!(purchase = %id, %error, "the reservation could not be released");
        }
    }

    /// Ends a purchase, unless `reconcile` did so while the seller was at work. What the chain said then stands.
    async fn finish(&self, id: &PurchaseId, outcome: Outcome) -> Result<Outcome, WalletError> {
        let error = match self.ledger.finish(id, outcome.clone()).await {
            Ok(()) => return Ok(outcome),
            Err(error @ LedgerError::WrongState { .. }) => error,
            Err(error) => return Err(error.into()),
        };
        match self.ledger.purchase(id).await?.outcome {
            Some(known @ (Outcome::Paid { .. } | Outcome::NotPaid { .. })) => {
                if matches!(outcome, Outcome::Paid { .. }) {
                    tracing::warn!(purchase = %id, ?outcome, ?known, "the seller contradicts the chain");
                }
                Ok(known)
            }
            _ => Err(error.into()),
        }
    }

    fn authorization(
        &self,
        purchase: Purchase,
        used: Vec<(Limit, Usage)>,
    ) -> Result<Authorization, WalletError> {
        let refused = |why| not_resumable(&purchase, why);
        let signed =
            purchase.signed.as_ref().ok_or_else(|| refused("nothing was signed for it".to_owned()))?;
        let asset = self.registry.get(&purchase.terms.network, &purchase.terms.asset);
        let asset = asset.map_err(|error| refused(error.to_string()))?.clone();
        let (header_name, header_value) = (signed.header_name.clone(), signed.header_value.clone());
        Ok(Authorization { purchase, asset, header_name, header_value, used })
    }
}

/// Why a purchase cannot be gone on with.
fn not_resumable(purchase: &Purchase, why: String) -> WalletError {
    WalletError::NotResumable { id: purchase.terms.id.clone(), state: purchase.state, why }
}

/// The offer that is going to be paid, with what the decision rests on.
struct Choice<'a> {
    asset: &'a Arc<Asset>,
    clearance: &'a Clearance,
    policy_hash: &'a str,
    limits: &'a CallLimits,
}

/// The id that a seller may ask for. Facilitators see it, so it does not give the purchase's own away, which serves as
/// idempotency key.
fn identifier(id: &PurchaseId) -> Result<PaymentId, WalletError> {
    let digest = hex::encode(Sha256::digest(format!("payment-identifier/{id}")));
    Ok(PaymentId::try_from(format!("pay_{}", digest.get(..32).unwrap_or(&digest)))?)
}

#[async_trait]
impl Wallet for LocalWallet {
    async fn appraise(
        &self,
        request: &Request,
        challenge: &Challenge,
        limits: &CallLimits,
    ) -> Result<Appraisal, WalletError> {
        let policy = self.policy();
        let mut appraisal = self.choose(&policy, request, challenge, limits).await;
        let Some((_, Verdict::Payable { clearance, .. })) =
            appraisal.chosen.and_then(|i| appraisal.offers.get(i))
        else {
            return Ok(appraisal);
        };
        let (mut used, mut denied) = self.room(clearance).await?;
        // As `authorize` would: what has expired is given back before it stands in the way, and a freeze denies before
        // any limit does.
        if denied.is_some() && self.reconcile_expired().await? {
            (used, denied) = self.room(clearance).await?;
        }
        let frozen = self.ledger.frozen().await?.map(|frozen| frozen.denial());
        (appraisal.used, appraisal.denied) = (used, frozen.or(denied));
        Ok(appraisal)
    }

    async fn authorize(
        &self,
        request: &Request,
        challenge: &Challenge,
        limits: &CallLimits,
    ) -> Result<Authorization, WalletError> {
        let policy = self.policy();
        let appraisal = self.choose(&policy, request, challenge, limits).await;
        let Some((offer, Verdict::Payable { asset, clearance })) =
            appraisal.chosen.and_then(|i| appraisal.offers.get(i))
        else {
            return Err(match (appraisal.shortage(), appraisal.only_denial()) {
                (Some(shortage), _) => WalletError::Short(shortage),
                (None, Some(denial)) => WalletError::Denied(Box::new(denial.clone())),
                (None, None) => WalletError::NoPayableOffer(appraisal.reasons()),
            });
        };
        let choice = Choice { asset, clearance, policy_hash: policy.hash(), limits };
        let purchase = self.new_purchase(request, offer, &choice)?;
        // Before the reservation: a person may take a while to unlock it, the seller's time runs from the signature,
        // and what is reserved and unsigned for long is given back.
        self.payer(&offer.requirements.network)?.unlock()?;
        fault::point("wallet.decided");
        let used = self.reserve(&purchase, &clearance.needs()).await?;
        fault::point("wallet.reserved");
        if let Err(error) = self.sign_and_record(challenge, offer, asset, &purchase).await {
            self.release_unsigned(&purchase.id, &error).await;
            return Err(error);
        }
        self.funds.spend(asset, offer.requirements.amount);
        let signed = self.ledger.purchase(&purchase.id).await?;
        if signed.state != PurchaseState::Signed {
            // Somebody else ended it between two steps of ours: it has no reservation any more.
            return Err(not_resumable(&signed, "it was released while it was being signed".to_owned()));
        }
        self.authorization(signed, used)
    }

    async fn resume(&self, request: &Request, id: &PurchaseId) -> Result<Authorization, WalletError> {
        let purchase = self.ledger.purchase(id).await?;
        let refused = |why: &str| Err(not_resumable(&purchase, why.to_owned()));
        if purchase.terms.request_digest != request.digest() {
            return refused("it was made for another request: method, address or body differ (-X, -d)");
        }
        match purchase.state {
            PurchaseState::Signed | PurchaseState::Unknown => self.authorization(purchase, Vec::new()),
            PurchaseState::Paid if !has_answer(&purchase) => self.authorization(purchase, Vec::new()),
            PurchaseState::Reserved => refused("nothing was signed for it"),
            PurchaseState::Paid => refused("it is paid and answered; `farthing receipt` shows it"),
            PurchaseState::NotPaid => refused("it is over, and was not paid"),
        }
    }

    async fn record(&self, id: &PurchaseId, result: PurchaseResult) -> Result<Outcome, WalletError> {
        if let Some(response) = result.response {
            match self.ledger.responded(id, response).await {
                // It has another answer, or was released: how it stands is still to be said.
                Err(error @ LedgerError::WrongState { .. }) => {
                    tracing::warn!(%error, "this answer is kept, but stands in no receipt");
                }
                written => written?,
            }
            fault::point("wallet.responded");
        }
        let outcome = self.finish(id, result.outcome).await?;
        fault::point("wallet.finished");
        Ok(outcome)
    }

    async fn reconcile(&self) -> Result<Vec<Reconciled>, WalletError> {
        self.reconcile_all().await
    }

    async fn balances(&self) -> Vec<Balance> {
        self.balances_within(CHAIN_PATIENCE).await
    }

    async fn budgets(&self) -> Result<Vec<(Limit, Usage)>, WalletError> {
        Ok(self.ledger.used(self.policy().limits()).await?)
    }

    async fn purchase(&self, id: &PurchaseId) -> Result<Purchase, WalletError> {
        Ok(self.ledger.purchase(id).await?)
    }

    async fn purchases(&self, filter: PurchaseFilter) -> Result<Vec<Purchase>, WalletError> {
        Ok(self.ledger.purchases(filter).await?)
    }
}
