//! What can be asked of a ledger's database, and the answers. A second database answers the same questions.

use std::sync::Arc;

use farthing_policy::{CallPlan, Counter, Limit, Needs, Usage};
use farthing_protocol::PaymentKey;

use crate::{
    Admitted, Approval, ApprovalFilter, BroadcastRecord, CallEnd, Claim, ClaimState, Claimed, Frozen,
    JournalRow, NewCall, NewClaim, NewPurchase, NewSettlement, Noted, Outcome, PolicyChange, Purchase,
    PurchaseFilter, PurchaseId, Reserved, ResponseRecord, SettlementRecord, SettlementState, SignedRecord,
    Spending, SpendingBy, Started, VerifyReport,
};

/// Something to be done in a transaction. It has no `Debug`, because it carries signatures.
pub(crate) enum Op {
    /// Changes the record; committed together with others.
    Write(Write),
    /// Changes nothing.
    Read(Read),
}

pub(crate) enum Write {
    Reserve {
        purchase: Box<NewPurchase>,
        needs: Box<Needs>,
    },
    Signed {
        id: PurchaseId,
        signed: SignedRecord,
    },
    Responded {
        id: PurchaseId,
        response: ResponseRecord,
    },
    Finish {
        id: PurchaseId,
        outcome: Outcome,
    },
    ReleaseUnsigned {
        id: PurchaseId,
        why: String,
    },
    Claim(Box<NewClaim>),
    MoveClaim {
        key: PaymentKey,
        seen: i64,
        state: ClaimState,
        answer: Option<i64>,
    },
    BeginSettlement(Box<NewSettlement>),
    Broadcast(Box<BroadcastRecord>),
    UpdateSettlement {
        key: PaymentKey,
        state: SettlementState,
    },
    Admit {
        call: Box<NewCall>,
        plan: Arc<CallPlan>,
    },
    EndCall {
        id: String,
        end: CallEnd,
    },
    Note {
        call: Box<NewCall>,
        decision: Box<Noted>,
    },
    Freeze {
        why: String,
        by: String,
    },
    Thaw {
        by: String,
    },
    /// Takes the freeze's marker away, if it stands for nothing.
    Unmark,
    Decide {
        id: String,
        approve: bool,
        by: String,
    },
    PolicyRead {
        server: String,
        change: PolicyChange,
    },
}

impl Write {
    /// Whether it can be refused after it has written something.
    pub(crate) fn may_refuse_halfway(&self) -> bool {
        match self {
            // The budgets of many scopes; many payments in one transaction.
            Self::Reserve { .. }
            | Self::Finish { .. }
            | Self::ReleaseUnsigned { .. }
            | Self::Broadcast(_) => true,
            Self::Signed { .. }
            | Self::Responded { .. }
            | Self::Claim(_)
            | Self::MoveClaim { .. }
            | Self::BeginSettlement(_)
            | Self::UpdateSettlement { .. }
            | Self::Admit { .. }
            | Self::EndCall { .. }
            | Self::Note { .. }
            | Self::Freeze { .. }
            | Self::Thaw { .. }
            | Self::Unmark
            | Self::Decide { .. }
            | Self::PolicyRead { .. } => false,
        }
    }
}

pub(crate) enum Read {
    Purchase(PurchaseId),
    PurchaseRow(PurchaseId),
    Purchases(PurchaseFilter),
    Spending { filter: PurchaseFilter, by: SpendingBy },
    Usage(Vec<Limit>),
    Scopes(String),
    Claim(PaymentKey),
    OpenClaims,
    Settlement(PaymentKey),
    PendingSettlements,
    OpenBroadcasts,
    Frozen,
    Approval(String),
    Approvals(ApprovalFilter),
    CountPending,
    Journal { after: i64, limit: u32 },
    JournalEnd,
    Counters(Vec<Counter>),
    Verify { head: Option<String> },
}

/// The answer to an [`Op`]; each has one kind of answer.
#[derive(Debug)]
pub(crate) enum Answer {
    Done,
    Reserved(Reserved),
    Purchase(Box<Purchase>),
    Purchases(Vec<Purchase>),
    Spending(Spending),
    Usage(Vec<Usage>),
    Scopes(Vec<String>),
    Claimed(Claimed),
    /// A claim's new row, if it moved.
    Moved(Option<i64>),
    Claim(Option<Box<Claim>>),
    Claims(Vec<Claim>),
    Started(Started),
    Settlement(Option<SettlementRecord>),
    Settlements(Vec<SettlementRecord>),
    Broadcasts(Vec<BroadcastRecord>),
    Admitted(Admitted),
    Frozen(Option<Frozen>),
    Approval(Box<Approval>),
    Approvals(Vec<Approval>),
    Count(i64),
    Journal(Vec<JournalRow>),
    JournalEnd(i64),
    Report(VerifyReport),
}
