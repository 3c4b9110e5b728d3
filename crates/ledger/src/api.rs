use std::path::Path;
use std::sync::Arc;

use farthing_ambient::Clock;
use farthing_policy::{Limit, Usage};
use farthing_protocol::PaymentKey;

use crate::{
    BroadcastRecord, Claim, ClaimState, Claimed, LedgerError, NewClaim, NewPurchase, NewSettlement, Outcome,
    Purchase, PurchaseFilter, PurchaseId, Reserved, ResponseRecord, SettlementRecord, SettlementState,
    SignedRecord, Started, VerifyReport,
};

/// The ledger. Cloning gives another handle to the same queue.
#[derive(Debug, Clone)]
pub struct Ledger {}

type Result<T> = std::result::Result<T, LedgerError>;

impl Ledger {
    /// Opens the ledger at `path`, making and migrating it as needed.
    pub fn open(path: &Path, clock: Arc<dyn Clock>) -> Result<Self> {
        todo!()
    }
    /// A ledger in memory, for tests and benchmarks.
    pub fn in_memory(clock: Arc<dyn Clock>) -> Result<Self> {
        todo!()
    }
    /// Finishes what is queued and closes the file.
    pub async fn close(&self) -> Result<()> {
        todo!()
    }

    // Buyer
    /// Takes the purchase's value from every limit and writes the purchase, or refuses: one transaction.
    pub async fn reserve(&self, purchase: NewPurchase, limits: Vec<Limit>) -> Result<Reserved> {
        todo!()
    }
    /// Writes what was signed. Once only: a purchase has one payment.
    pub async fn signed(&self, id: &PurchaseId, signed: SignedRecord) -> Result<()> {
        todo!()
    }
    /// Writes what came back.
    pub async fn responded(&self, id: &PurchaseId, response: ResponseRecord) -> Result<()> {
        todo!()
    }
    /// Ends a purchase: spends, releases or keeps its reservation.
    pub async fn finish(&self, id: &PurchaseId, outcome: Outcome) -> Result<()> {
        todo!()
    }
    /// One purchase.
    pub async fn purchase(&self, id: &PurchaseId) -> Result<Purchase> {
        todo!()
    }
    /// Purchases, newest first.
    pub async fn purchases(&self, filter: PurchaseFilter) -> Result<Vec<Purchase>> {
        todo!()
    }
    /// What is used of each limit now.
    pub async fn usage(&self, limits: Vec<Limit>) -> Result<Vec<Usage>> {
        todo!()
    }

    // Seller
    /// Takes a payment, atomically and once.
    pub async fn claim(&self, claim: NewClaim) -> Result<Claimed> {
        todo!()
    }
    /// Moves a claim on.
    pub async fn update_claim(&self, key: &PaymentKey, state: ClaimState) -> Result<()> {
        todo!()
    }
    /// Claims that are taken or settling: what a restarted gateway has to look after.
    pub async fn open_claims(&self) -> Result<Vec<Claim>> {
        todo!()
    }

    // Facilitator
    /// Begins a settlement, atomically and once; an abandoned one may begin again.
    pub async fn begin_settlement(&self, settlement: NewSettlement) -> Result<Started> {
        todo!()
    }
    /// Writes a transaction that is about to be sent, and the pending transaction of each payment in it.
    pub async fn broadcast(&self, record: BroadcastRecord) -> Result<()> {
        todo!()
    }
    /// Moves a settlement on.
    pub async fn update_settlement(&self, key: &PaymentKey, state: SettlementState) -> Result<()> {
        todo!()
    }
    /// One settlement, if it is known.
    pub async fn settlement(&self, key: &PaymentKey) -> Result<Option<SettlementRecord>> {
        todo!()
    }
    /// Settlements that are pending.
    pub async fn pending_settlements(&self) -> Result<Vec<SettlementRecord>> {
        todo!()
    }
    /// The transactions that were written for pending settlements.
    pub async fn open_broadcasts(&self) -> Result<Vec<BroadcastRecord>> {
        todo!()
    }

    // Audit
    /// Recomputes the journal's chain and compares every record with it.
    pub async fn verify(&self) -> Result<VerifyReport> {
        todo!()
    }
}
