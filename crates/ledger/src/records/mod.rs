//! What is recorded, and the answers to those who record it.

mod approval;
mod call;
mod claim;
mod freeze;
mod purchase;
mod report;
mod row;
mod settlement;
mod spending;

pub use approval::{Approval, ApprovalFilter, ApprovalState};
pub use call::{Admitted, CallEnd, CallOutcome, NewCall, Noted, PolicyChange};
pub use claim::{Claim, ClaimState, Claimed, NewClaim};
pub use freeze::Frozen;
pub use purchase::{
    NewPurchase, Outcome, Purchase, PurchaseFilter, PurchaseId, PurchaseState, Reserved, ResponseRecord,
    SignedRecord,
};
pub use report::VerifyReport;
pub use row::JournalRow;
pub use settlement::{BroadcastRecord, NewSettlement, SettlementRecord, SettlementState, Started};
pub use spending::{Spending, SpendingBy, Spent, Tally};
