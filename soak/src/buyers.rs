//! The buyers in this process: the wallet library with a durable ledger each, many purchases in flight.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use farthing_ambient::{OsEntropy, SystemClock};
use farthing_ledger::{Ledger, Outcome, PurchaseFilter, PurchaseId, PurchaseState};
use farthing_money::{Network, Registry};
use farthing_policy::Policy;
use farthing_rail_evm::{ChainConfig, EvmPayer};
use farthing_wallet::{
    BodyStore, CallLimits, Client, ClientConfig, FetchError, Fetched, FetchedBody, LocalWallet,
    LocalWalletConfig, Request, Wallet, WalletError, has_answer,
};
use http::{Method, StatusCode};
use secp256k1::SecretKey;

use crate::Failure;
use crate::counts::Counts;
use crate::plan::{Call, Plan};
use crate::servers::private_folder;

/// Caps of every kind, so that each is counted, and none in the way.
pub(crate) const POLICY: &str = r#"version: 1
payments:
  max: "$1"
  budgets:
    - {name: hour, max: "$100000", per: 60 minutes}
    - {name: day, max: "$100000", per: day}
    - {name: payee, max: "$100000", per: day, each: payee}
    - {name: ever, max: "$100000", per: lifetime}
  rates:
    - {name: pace, max: 10000000, per: hour}
"#;

/// How often one call is tried at most: with the pauses between them for about two minutes.
const MOST_TRIES: u32 = 60;
const LONGEST_PAUSE: Duration = Duration::from_secs(3);

/// How often a refusal of a good payment is tried again: the seller's node may be away.
const REFUSALS: u32 = 8;
/// How often a buyer asks again for an answer that broke off.
const BROKEN_OFF: u32 = 8;

/// A buyer.
#[derive(Debug)]
pub(crate) struct Buyer {
    pub(crate) name: String,
    pub(crate) address: String,
    pub(crate) home: PathBuf,
    pub(crate) wallet: Arc<LocalWallet>,
    ledger: Ledger,
    client: Client,
}

/// How a call ended for its buyer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// Paid and answered.
    Answered,
    /// Nothing was asked for.
    Free,
    /// The API failed, and the buyer has left it at that: not charged.
    NotCharged,
    /// Paid first, as the route says, and answered with 4xx.
    PaidRefusal,
    /// The buyer gave up with his payment still out.
    GaveUp,
    /// What must not happen; the counts name it.
    Odd,
}

/// What to do after one try.
enum Next {
    End(End),
    /// Once more, with this payment where there is one.
    Again(Option<PurchaseId>),
    /// Once more, unless that was tried often enough.
    Retry(Option<PurchaseId>, u32, End),
}

impl Buyer {
    pub(crate) fn new(number: usize, plan: Plan, folder: &Path, rpc: &[String]) -> Result<Self, Failure> {
        let name = format!("buyer-{}", number + 1);
        let home = folder.join(&name);
        private_folder(&home)?;
        let secret = SecretKey::from_byte_array(plan.key(u64::try_from(number)?))?;
        let endpoints = rpc.iter().map(|url| url.parse()).collect::<Result<Vec<_>, _>>()?;
        let chain = ChainConfig::new(Network::BASE_SEPOLIA, endpoints);
        let payer = EvmPayer::new(secret, &[chain], &(Arc::new(OsEntropy) as _))?;
        let address = farthing_rail_address(&payer)?;
        let ledger = Ledger::open(&home.join("ledger.db"), Arc::new(SystemClock))?;
        let wallet = Arc::new(LocalWallet::new(LocalWalletConfig {
            payers: vec![Arc::new(payer)],
            registry: Registry::builtin(),
            policy: Policy::parse(POLICY)?.into(),
            ledger: ledger.clone(),
            preference: Vec::new(),
            clock: Arc::new(SystemClock),
            entropy: Arc::new(OsEntropy),
        }));
        let bodies = BodyStore::new(&home, 1 << 20);
        let client = Client::new(wallet.clone(), ClientConfig { bodies, ..ClientConfig::default() })?;
        Ok(Self { name, address, home, wallet, ledger, client })
    }

    /// Makes a call, as often as it takes; `purchase`: the one that was made for it before.
    pub(crate) async fn make(
        &self,
        call: &Call,
        request: &Request,
        purchase: Option<PurchaseId>,
        seen: &Counts,
    ) -> End {
        let limits = CallLimits { protocol: Some(call.protocol), ..CallLimits::default() };
        let mut purchase = purchase;
        let mut last = End::GaveUp;
        for tries in 1..=MOST_TRIES {
            let made = match &purchase {
                None => self.client.fetch(request.clone(), limits.clone()).await,
                Some(id) => self.client.resume(request.clone(), id).await,
            };
            match judge(call, made, seen) {
                Next::End(end) => return end,
                Next::Again(id) => purchase = id.or(purchase),
                Next::Retry(_, most, end) if tries > most => return end,
                Next::Retry(id, _, end) => (purchase, last) = (id.or(purchase), end),
            }
            tokio::time::sleep(pause(tries)).await;
        }
        last
    }

    /// Purchases that are paid and not answered as they should be.
    pub(crate) async fn owed(&self) -> Result<Vec<(PurchaseId, String)>, Failure> {
        let all = self.ledger.purchases(PurchaseFilter::default()).await?;
        let owed = all.into_iter().filter(|purchase| {
            // A 404 on the upfront route was paid for.
            let refused =
                purchase.response.as_ref().is_some_and(|answer| (400..500).contains(&answer.status));
            purchase.state == PurchaseState::Paid && !refused && !has_answer(purchase)
        });
        Ok(owed.map(|purchase| (purchase.terms.id, purchase.terms.url)).collect())
    }

    /// Asks the chain about everything that is open; returns how much still is.
    pub(crate) async fn reconcile(&self) -> Result<usize, Failure> {
        Ok(self.wallet.reconcile().await?.iter().filter(|one| one.outcome.is_err()).count())
    }

    /// Closes the ledger's file.
    pub(crate) async fn close(&self) -> Result<(), Failure> {
        Ok(self.ledger.close().await?)
    }

    pub(crate) fn ledger_file(&self) -> PathBuf {
        self.home.join("ledger.db")
    }
}

fn farthing_rail_address(payer: &EvmPayer) -> Result<String, Failure> {
    use farthing_rail::Payer as _;
    payer.address(&Network::BASE_SEPOLIA).ok_or_else(|| "a payer without an address".into())
}

/// The request of a call at a gateway.
pub(crate) fn request(plan: Plan, call: &Call, gateway: &str) -> Result<Request, Failure> {
    let method: Method = call.route.method.parse()?;
    let mut request = Request::new(method, &format!("{gateway}{}", call.path()))?;
    request.body = plan.question(call).into();
    Ok(request)
}

fn pause(tries: u32) -> Duration {
    (Duration::from_millis(100) * 2u32.saturating_pow(tries.min(8))).min(LONGEST_PAUSE)
}

fn judge(call: &Call, made: Result<Fetched, FetchError>, seen: &Counts) -> Next {
    match made {
        Ok(fetched) => judge_answer(call, &fetched, seen),
        Err(FetchError::Lost { purchase, .. }) => {
            seen.add("no answer");
            Next::Again(Some(purchase))
        }
        Err(FetchError::Unanswered { .. } | FetchError::TimedOut { .. }) => {
            seen.add("not connected");
            Next::Again(None)
        }
        // The ledger says what became of it.
        Err(FetchError::Wallet(WalletError::NotResumable { .. })) => Next::End(End::GaveUp),
        Err(error) => {
            seen.add(&format!("odd: {error}"));
            Next::End(End::Odd)
        }
    }
}

fn judge_answer(call: &Call, fetched: &Fetched, seen: &Counts) -> Next {
    let status = fetched.status;
    seen.add(status.as_str());
    let Some(paid) = &fetched.payment else {
        if call.route.price.is_none() {
            return Next::End(End::Free);
        }
        seen.add(&format!("odd: {status} for a priced call without payment"));
        return Next::End(End::Odd);
    };
    let id = Some(paid.purchase.terms.id.clone());
    let is_paid = matches!(paid.outcome, Outcome::Paid { .. });
    let broke_off = matches!(fetched.body, FetchedBody::Kept { cut_off: Some(_), .. });
    match status {
        // The same payment buys the whole: what is kept, or, on the upfront route, another try.
        _ if status.is_success() && is_paid && broke_off => Next::Retry(id, BROKEN_OFF, End::Answered),
        _ if status.is_success() && is_paid => Next::End(End::Answered),
        _ if status.is_success() => {
            seen.add("odd: an answer without a settlement");
            Next::End(End::Odd)
        }
        // Served in vain, and paid first.
        _ if is_paid && status.is_client_error() => Next::End(End::PaidRefusal),
        _ if is_paid => Next::Again(id),
        StatusCode::NOT_FOUND => Next::End(End::NotCharged),
        StatusCode::CONFLICT | StatusCode::SERVICE_UNAVAILABLE => Next::Again(id),
        StatusCode::PAYMENT_REQUIRED => Next::Retry(id, REFUSALS, End::GaveUp),
        // The settlement is not known yet: the answer waits.
        _ if paid.settlement.is_some() => Next::Again(id),
        _ => Next::Retry(id, call.patience, End::NotCharged),
    }
}
