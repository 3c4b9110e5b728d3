//! The part of the ledger that stands between agents and what they want: calls of tools, the freeze, approvals, and
//! the journal to be read.

use std::sync::Arc;

use farthing_policy::{CallPlan, Counter, Limit, Usage};

use super::{Ledger, Result};
use crate::op::{Answer, Op, Read, Write};
use crate::{
    Admitted, Approval, ApprovalFilter, CallEnd, CallOutcome, Frozen, JournalRow, LedgerError, NewCall,
    Noted, PolicyChange,
};

impl Ledger {
    // Calls of tools

    /// Decides by what is used, and takes what the call takes: one transaction. A freeze denies first; what else is
    /// denied names its rule; an approval that the plan needs is used up after everything else has allowed the call.
    ///
    /// A call whose charges may be given back is remembered until [`Self::end_call`].
    ///
    /// # Errors
    /// [`LedgerError::WrongState`] when a call with this id was admitted and has not ended;
    /// [`LedgerError::Database`]: the call must not be made.
    pub async fn admit(&self, call: NewCall, plan: Arc<CallPlan>) -> Result<Admitted> {
        let op = Op::Write(Write::Admit { call: Box::new(call), plan });
        ask!(self, op, Answer::Admitted(admitted) => admitted)
    }

    /// Ends a call, and gives back to the windows in which it was taken what its outcome gives back. Only the first end
    /// of a call does so, in whichever process. An end that is [`CallOutcome::Answered`] is queued like [`Self::note`];
    /// every other is on the disk when this returns.
    ///
    /// # Errors
    /// [`LedgerError::Database`], [`LedgerError::Corrupt`]: nothing was given back.
    pub async fn end_call(&self, id: String, end: CallEnd) -> Result<()> {
        let write = Write::EndCall { id, end };
        match end.outcome {
            CallOutcome::Answered => self.queue.leave(write).await,
            _ => self.queue.ask(Op::Write(write)).await.map(drop),
        }
    }

    /// As [`Ledger::usage`], for a thread that may wait. It must not be called from async code.
    ///
    /// # Errors
    /// As [`Ledger::usage`].
    pub fn usage_blocking(&self, limits: Vec<Limit>) -> Result<Vec<Usage>> {
        match self.queue.ask_blocking(Op::Read(Read::Usage(limits)))? {
            Answer::Usage(usage) => Ok(usage),
            other => Err(LedgerError::Corrupt(format!("an answer to another question: {other:?}"))),
        }
    }

    /// What is used of each counter of calls now, in the order of the counters.
    ///
    /// # Errors
    /// [`LedgerError::Database`], [`LedgerError::Corrupt`].
    pub async fn counters(&self, counters: Vec<Counter>) -> Result<Vec<Usage>> {
        ask!(self, Op::Read(Read::Counters(counters)), Answer::Usage(usage) => usage)
    }

    /// Journals a decision that needed nothing from the ledger. It returns when the row is queued, before everything
    /// that is asked later: it is on the disk with the next commit, within 100 ms, or at [`Self::close`]. Only when 512
    /// wait already, this one waits for a commit.
    ///
    /// # Errors
    /// [`LedgerError::Closed`]; when it had to wait, as [`Self::admit`].
    pub async fn note(&self, call: NewCall, decision: Noted) -> Result<()> {
        self.queue.leave(Write::Note { call: Box::new(call), decision: Box::new(decision) }).await
    }

    /// As [`Self::note`], without waiting: when too many are queued, the write comes back, for [`Self::note`].
    ///
    /// # Errors
    /// [`LedgerError::Closed`]
    pub fn try_note(&self, call: NewCall, decision: Noted) -> Result<Option<(NewCall, Noted)>> {
        match self.queue.push(Write::Note { call: Box::new(call), decision: Box::new(decision) })? {
            Some(Write::Note { call, decision }) => Ok(Some((*call, *decision))),
            _ => Ok(None),
        }
    }

    // The freeze

    /// Stops everything that spends: from now on every reservation and every call is denied, and no signature is
    /// recorded, in every process. What was frozen already stays frozen for its first reason.
    ///
    /// # Errors
    /// [`LedgerError::Database`]: nothing is frozen.
    pub async fn freeze(&self, why: String, by: String) -> Result<()> {
        ask!(self, Op::Write(Write::Freeze { why, by }), Answer::Done => ())
    }

    /// Ends the freeze, if there is one.
    ///
    /// # Errors
    /// [`LedgerError::Database`]: it may still be frozen; or the marker could not be removed, which costs time only.
    pub async fn thaw(&self, by: String) -> Result<()> {
        self.queue.ask(Op::Write(Write::Thaw { by })).await?;
        // In a transaction of its own: the marker goes once the thaw is on the disk.
        ask!(self, Op::Write(Write::Unmark), Answer::Done => ())
    }

    /// Whether everything is frozen.
    ///
    /// # Errors
    /// [`LedgerError::Database`], [`LedgerError::Corrupt`].
    pub async fn frozen(&self) -> Result<Option<Frozen>> {
        ask!(self, Op::Read(Read::Frozen), Answer::Frozen(frozen) => frozen)
    }

    /// Whether everything may be frozen, by one look at the file system: false only when nothing is. For decisions that
    /// need nothing else from the ledger; who hears true asks [`Self::admit`].
    #[must_use]
    pub fn maybe_frozen(&self) -> bool {
        self.marker.is_there()
    }

    // Approvals

    /// Approvals, as the filter says.
    ///
    /// # Errors
    /// [`LedgerError::NotFound`] where the filter names one that is not there; [`LedgerError::Database`],
    /// [`LedgerError::Corrupt`].
    pub async fn approvals(&self, filter: ApprovalFilter) -> Result<Vec<Approval>> {
        ask!(self, Op::Read(Read::Approvals(filter)), Answer::Approvals(approvals) => approvals)
    }

    /// How many approvals wait for a person now.
    ///
    /// # Errors
    /// [`LedgerError::Database`], [`LedgerError::Corrupt`].
    pub async fn pending_approvals(&self) -> Result<u64> {
        let count = ask!(self, Op::Read(Read::CountPending), Answer::Count(count) => count);
        count.map(|count| u64::try_from(count).unwrap_or_default())
    }

    /// Whether this process asked for an approval and has told nobody of it yet: once.
    #[must_use]
    pub fn take_untold(&self, id: &str) -> bool {
        self.untold.take(id)
    }

    /// One approval.
    ///
    /// # Errors
    /// [`LedgerError::NotFound`]
    pub async fn approval(&self, id: &str) -> Result<Approval> {
        ask!(self, Op::Read(Read::Approval(id.to_owned())), Answer::Approval(approval) => *approval)
    }

    /// Writes a person's decision. It holds for as long again as the request for it did.
    ///
    /// # Errors
    /// [`LedgerError::NotFound`]; [`LedgerError::WrongState`] unless it is pending: its state is `expired` when nobody
    /// decided in time.
    pub async fn decide_approval(&self, id: &str, approve: bool, by: String) -> Result<()> {
        let op = Op::Write(Write::Decide { id: id.to_owned(), approve, by });
        ask!(self, op, Answer::Done => ())
    }

    // The journal

    /// Journals that a process put a policy in force, or refused to. Queued like [`Self::note`].
    ///
    /// # Errors
    /// As [`Self::note`].
    pub async fn policy_read(&self, server: String, change: PolicyChange) -> Result<()> {
        self.queue.leave(Write::PolicyRead { server, change }).await
    }

    /// The number of the journal's last row; 0 for an empty one.
    ///
    /// # Errors
    /// [`LedgerError::Database`]
    pub async fn journal_end(&self) -> Result<i64> {
        ask!(self, Op::Read(Read::JournalEnd), Answer::JournalEnd(row) => row)
    }

    /// The journal's rows after the row `after`, oldest first and at most `limit`: what `farthing audit` shows. Nothing
    /// is verified.
    ///
    /// # Errors
    /// [`LedgerError::Database`], [`LedgerError::Corrupt`].
    pub async fn journal(&self, after: i64, limit: u32) -> Result<Vec<JournalRow>> {
        ask!(self, Op::Read(Read::Journal { after, limit }), Answer::Journal(rows) => rows)
    }
}
