use std::cmp::Reverse;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use farthing_ambient::Clock;
use farthing_policy::{CountedApart, Limit, Measure, Needs, Usage};
use farthing_protocol::PaymentKey;

use crate::marker::Marker;
use crate::op::{Answer, Op, Read, Write};
use crate::queue::Queue;
use crate::sqlite::Sqlite;
use crate::untold::Untold;
use crate::{
    BroadcastRecord, Claim, ClaimState, Claimed, JournalRow, LedgerError, NewClaim, NewPurchase,
    NewSettlement, Outcome, Purchase, PurchaseFilter, PurchaseId, Reserved, ResponseRecord, SettlementRecord,
    SettlementState, SignedRecord, Spending, SpendingBy, Started, VerifyReport,
};

/// Asks, and takes the one kind of answer that this operation has.
macro_rules! ask {
    ($ledger:expr, $op:expr, $answer:pat => $value:expr) => {
        match $ledger.queue.ask($op).await? {
            $answer => Ok($value),
            // A defect of a backend; better told than believed.
            other => Err(LedgerError::Corrupt(format!("an answer to another question: {other:?}"))),
        }
    };
}

// After the macro, which it uses.
mod guard;

/// The ledger. Cloning gives another handle to the same queue.
///
/// A method that writes returns when its change is on the disk. What was asked is done even when the caller drops the
/// future: who must know, asks again. The database is closed when the last handle is gone.
#[derive(Debug, Clone)]
pub struct Ledger {
    queue: Queue,
    file: Option<Arc<Path>>,
    marker: Arc<Marker>,
    untold: Arc<Untold>,
}

type Result<T> = std::result::Result<T, LedgerError>;

impl Ledger {
    /// Opens the ledger at `path`, making and migrating it as needed. A new file is readable to its owner only; its
    /// folder has to exist.
    ///
    /// # Errors
    /// [`LedgerError::Open`], [`LedgerError::Newer`], [`LedgerError::Database`].
    pub fn open(path: &Path, clock: Arc<dyn Clock>) -> Result<Self> {
        let ledger = Self::start(Sqlite::open(path, clock)?, path)?;
        let file = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        Ok(Self { file: Some(file.into()), ..ledger })
    }

    /// A file beside the ledger's own, named after it, for what all processes on this ledger must agree on, such as
    /// locks. `None` for a ledger that is in no file.
    #[must_use]
    pub fn beside(&self, suffix: &str) -> Option<PathBuf> {
        let mut name = self.file.as_ref()?.file_name()?.to_owned();
        name.push(suffix);
        Some(self.file.as_ref()?.with_file_name(name))
    }

    /// A ledger in memory, for tests and benchmarks.
    ///
    /// # Errors
    /// [`LedgerError::Open`], [`LedgerError::Database`].
    pub fn in_memory(clock: Arc<dyn Clock>) -> Result<Self> {
        Self::start(Sqlite::in_memory(clock)?, Path::new(":memory:"))
    }

    fn start(backend: Sqlite, path: &Path) -> Result<Self> {
        let (marker, untold) = (backend.marker(), backend.untold());
        let failed = |error: std::io::Error| LedgerError::Open {
            path: path.display().to_string(),
            why: format!("its thread cannot start: {error}"),
        };
        Ok(Self { queue: Queue::start(backend).map_err(failed)?, file: None, marker, untold })
    }

    /// Finishes what is queued and closes the file. Every handle is closed with it.
    ///
    /// # Errors
    /// None now.
    pub async fn close(&self) -> Result<()> {
        self.queue.close().await;
        Ok(())
    }

    // Buyer

    /// Takes the purchase's value from every limit and writes the purchase, or refuses: one transaction.
    ///
    /// # Errors
    /// [`LedgerError::WrongState`] when there is a purchase with this id, whatever its terms.
    pub async fn reserve(&self, purchase: NewPurchase, limits: Vec<Limit>) -> Result<Reserved> {
        self.reserve_with(purchase, Needs { limits, ..Needs::default() }).await
    }

    /// As [`Self::reserve`], and uses up the approval that the purchase needs, where it needs one and the limits have
    /// room. Where there is none, one is asked for, and the purchase denied.
    ///
    /// # Errors
    /// As [`Self::reserve`].
    pub async fn reserve_with(&self, purchase: NewPurchase, needs: Needs) -> Result<Reserved> {
        let op = Op::Write(Write::Reserve { purchase: Box::new(purchase), needs: Box::new(needs) });
        ask!(self, op, Answer::Reserved(reserved) => reserved)
    }

    /// Writes what was signed. Once only: a purchase has one payment.
    ///
    /// # Errors
    /// [`LedgerError::NotFound`]; [`LedgerError::WrongState`] unless it is reserved; [`LedgerError::Frozen`]. What was
    /// signed must not leave the machine then.
    pub async fn signed(&self, id: &PurchaseId, signed: SignedRecord) -> Result<()> {
        ask!(self, Op::Write(Write::Signed { id: id.clone(), signed }), Answer::Done => ())
    }

    /// Writes what came back: once, after signing. The same response again is accepted.
    ///
    /// # Errors
    /// [`LedgerError::NotFound`]; [`LedgerError::WrongState`] when it is not signed, known not to be paid, or has
    /// another response.
    pub async fn responded(&self, id: &PurchaseId, response: ResponseRecord) -> Result<()> {
        ask!(self, Op::Write(Write::Responded { id: id.clone(), response }), Answer::Done => ())
    }

    /// Ends a purchase: spends, releases or keeps its reservation. The same outcome again is accepted; the first
    /// wording stays.
    ///
    /// # Errors
    /// [`LedgerError::NotFound`]; [`LedgerError::WrongState`] for another outcome after `Paid` or `NotPaid`, and for
    /// anything but `NotPaid` when nothing was signed.
    pub async fn finish(&self, id: &PurchaseId, outcome: Outcome) -> Result<()> {
        ask!(self, Op::Write(Write::Finish { id: id.clone(), outcome }), Answer::Done => ())
    }

    /// Gives back a reservation for which nothing was signed. Unlike [`Self::finish`] it does nothing to a purchase
    /// that was signed in the meantime, by whichever process.
    ///
    /// # Errors
    /// [`LedgerError::NotFound`]; [`LedgerError::WrongState`] once something was signed.
    pub async fn release_unsigned(&self, id: &PurchaseId, why: String) -> Result<()> {
        ask!(self, Op::Write(Write::ReleaseUnsigned { id: id.clone(), why }), Answer::Done => ())
    }

    /// One purchase.
    ///
    /// # Errors
    /// [`LedgerError::NotFound`]
    pub async fn purchase(&self, id: &PurchaseId) -> Result<Purchase> {
        ask!(self, Op::Read(Read::Purchase(id.clone())), Answer::Purchase(purchase) => *purchase)
    }

    /// The journal's row by which a purchase last changed: its hash chains the whole record of the purchase.
    ///
    /// # Errors
    /// [`LedgerError::NotFound`]; [`LedgerError::Corrupt`] when the journal has no such row.
    pub async fn purchase_row(&self, id: &PurchaseId) -> Result<JournalRow> {
        let rows = ask!(self, Op::Read(Read::PurchaseRow(id.clone())), Answer::Journal(rows) => rows)?;
        rows.into_iter()
            .next()
            .ok_or_else(|| LedgerError::Corrupt(format!("the journal has no row of purchase {id}")))
    }

    /// Purchases, newest first.
    ///
    /// # Errors
    /// [`LedgerError::NotFound`] where [`PurchaseFilter::before`] names no purchase; [`LedgerError::Database`],
    /// [`LedgerError::Corrupt`].
    pub async fn purchases(&self, filter: PurchaseFilter) -> Result<Vec<Purchase>> {
        ask!(self, Op::Read(Read::Purchases(filter)), Answer::Purchases(purchases) => purchases)
    }

    /// The purchases that the filter selects, added up: what is settled and what is reserved kept apart.
    ///
    /// # Errors
    /// As [`Self::purchases`].
    pub async fn spending(&self, filter: PurchaseFilter, by: SpendingBy) -> Result<Spending> {
        ask!(self, Op::Read(Read::Spending { filter, by }), Answer::Spending(spending) => spending)
    }

    /// What is used of each limit now, in the order of the limits. Nothing where a limit for first uses does not apply.
    ///
    /// # Errors
    /// [`LedgerError::Database`], [`LedgerError::Corrupt`].
    pub async fn usage(&self, limits: Vec<Limit>) -> Result<Vec<Usage>> {
        ask!(self, Op::Read(Read::Usage(limits)), Answer::Usage(usage) => usage)
    }

    /// The limits, each with what is used of it now.
    ///
    /// # Errors
    /// As [`Self::usage`].
    pub async fn used(&self, limits: Vec<Limit>) -> Result<Vec<(Limit, Usage)>> {
        let usage = self.usage(limits.clone()).await?;
        Ok(limits.into_iter().zip(usage).collect())
    }

    /// What is used now of a limit that counts apart, in each of its scopes where something is: the most first. Nothing of one
    /// that has no names. Of very many scopes (10,000) the rest is left out, whatever is used there.
    ///
    /// # Errors
    /// As [`Self::usage`].
    pub async fn used_apart(&self, apart: &CountedApart) -> Result<Vec<(Limit, Usage)>> {
        let Some(limit) = &apart.limit else { return Ok(Vec::new()) };
        let start = limit.scope.clone();
        let scopes = ask!(self, Op::Read(Read::Scopes(start)), Answer::Scopes(scopes) => scopes)?;
        let named = scopes.into_iter().filter(|scope| apart.name(scope).is_some());
        let mut used = self.used(named.map(|scope| Limit { scope, ..limit.clone() }).collect()).await?;
        let counted = |used: &Usage| match limit.measure {
            Measure::Amount(_) => used.amount.get(),
            Measure::Count(_) => used.count.into(),
        };
        used.retain(|(_, used)| counted(used) > 0);
        used.sort_by_key(|(_, used)| Reverse(counted(used)));
        Ok(used)
    }

    // Seller

    /// Takes a payment, atomically and once. A released claim may be taken again.
    ///
    /// # Errors
    /// [`LedgerError::Database`]: nobody may serve.
    pub async fn claim(&self, claim: NewClaim) -> Result<Claimed> {
        ask!(self, Op::Write(Write::Claim(Box::new(claim))), Answer::Claimed(claimed) => claimed)
    }

    /// Moves a claim on that stands as its caller last wrote or saw it, at the journal's row `seen`; its new row. `None`:
    /// somebody else has moved it since. So of all who believe a claim to be theirs, one alone goes on with it.
    ///
    /// # Errors
    /// [`LedgerError::NotFound`]; [`LedgerError::WrongState`] when it is released, settled or failed, or for
    /// [`ClaimState::Taken`].
    pub async fn move_claim(&self, key: &PaymentKey, seen: i64, state: ClaimState) -> Result<Option<i64>> {
        self.move_claim_with(key, seen, state, None).await
    }

    /// As [`Self::move_claim`], and names the answer that belongs to the claim from now on ([`Claim::answer`]), where
    /// one is given.
    ///
    /// # Errors
    /// As [`Self::move_claim`].
    pub async fn move_claim_with(
        &self,
        key: &PaymentKey,
        seen: i64,
        state: ClaimState,
        answer: Option<i64>,
    ) -> Result<Option<i64>> {
        let op = Op::Write(Write::MoveClaim { key: key.clone(), seen, state, answer });
        ask!(self, op, Answer::Moved(row) => row)
    }

    /// How a claim stands; `None`: nobody ever took the payment.
    ///
    /// # Errors
    /// [`LedgerError::Database`], [`LedgerError::Corrupt`].
    pub async fn find_claim(&self, key: &PaymentKey) -> Result<Option<Claim>> {
        ask!(self, Op::Read(Read::Claim(key.clone())), Answer::Claim(claim) => claim.map(|claim| *claim))
    }

    /// Claims that are taken or settling, oldest first: what a restarted gateway has to look after.
    ///
    /// # Errors
    /// [`LedgerError::Database`], [`LedgerError::Corrupt`].
    pub async fn open_claims(&self) -> Result<Vec<Claim>> {
        ask!(self, Op::Read(Read::OpenClaims), Answer::Claims(claims) => claims)
    }

    // Facilitator

    /// Begins a settlement, atomically and once; an abandoned one may begin again.
    ///
    /// # Errors
    /// [`LedgerError::Database`]: nobody may settle.
    pub async fn begin_settlement(&self, settlement: NewSettlement) -> Result<Started> {
        let op = Op::Write(Write::BeginSettlement(Box::new(settlement)));
        ask!(self, op, Answer::Started(started) => started)
    }

    /// Writes a transaction that is about to be sent, and the pending transaction of each payment in it that is
    /// pending. The same transaction again is accepted.
    ///
    /// # Errors
    /// [`LedgerError::NotFound`] when a payment was never begun; [`LedgerError::WrongState`] when one is abandoned,
    /// or the hash is known with another content. The transaction must not be sent then.
    pub async fn broadcast(&self, record: BroadcastRecord) -> Result<()> {
        ask!(self, Op::Write(Write::Broadcast(Box::new(record))), Answer::Done => ())
    }

    /// Moves a settlement on. The state that it has already is accepted.
    ///
    /// # Errors
    /// [`LedgerError::NotFound`]; [`LedgerError::WrongState`] unless it is pending.
    pub async fn update_settlement(&self, key: &PaymentKey, state: SettlementState) -> Result<()> {
        ask!(self, Op::Write(Write::UpdateSettlement { key: key.clone(), state }), Answer::Done => ())
    }

    /// One settlement, if it is known.
    ///
    /// # Errors
    /// [`LedgerError::Database`], [`LedgerError::Corrupt`].
    pub async fn settlement(&self, key: &PaymentKey) -> Result<Option<SettlementRecord>> {
        ask!(self, Op::Read(Read::Settlement(key.clone())), Answer::Settlement(settlement) => settlement)
    }

    /// Settlements that are pending, oldest first.
    ///
    /// # Errors
    /// [`LedgerError::Database`], [`LedgerError::Corrupt`].
    pub async fn pending_settlements(&self) -> Result<Vec<SettlementRecord>> {
        ask!(self, Op::Read(Read::PendingSettlements), Answer::Settlements(settlements) => settlements)
    }

    /// The transactions that were written for settlements that are pending, oldest first.
    ///
    /// # Errors
    /// [`LedgerError::Database`], [`LedgerError::Corrupt`].
    pub async fn open_broadcasts(&self) -> Result<Vec<BroadcastRecord>> {
        ask!(self, Op::Read(Read::OpenBroadcasts), Answer::Broadcasts(broadcasts) => broadcasts)
    }

    // Audit

    /// Recomputes the journal's chain and compares every record and every budget with it. It reads the whole file, and
    /// keeps this process's other operations waiting meanwhile; other processes go on.
    ///
    /// # Errors
    /// [`LedgerError::Database`] when the file cannot be read at all; what does not fit is in the report.
    pub async fn verify(&self) -> Result<VerifyReport> {
        ask!(self, Op::Read(Read::Verify { head: None }), Answer::Report(report) => report)
    }

    /// The same, and looks for an earlier [`VerifyReport::head`]: a journal that only grew since has a row with that
    /// hash, and one that was cut off or written anew has none. An empty ledger's head is found in every ledger.
    ///
    /// # Errors
    /// As [`verify`](Self::verify).
    pub async fn verify_since(&self, head: &str) -> Result<VerifyReport> {
        let question = Read::Verify { head: Some(head.to_owned()) };
        ask!(self, Op::Read(question), Answer::Report(report) => report)
    }
}
