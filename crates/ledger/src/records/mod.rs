//! What is recorded, and the answers to those who record it.

mod claim;
mod purchase;
mod report;
mod settlement;

pub use claim::{Claim, ClaimState, Claimed, NewClaim};
pub use purchase::{
    NewPurchase, Outcome, Purchase, PurchaseFilter, PurchaseId, PurchaseState, Reserved, ResponseRecord,
    SignedRecord,
};
pub use report::VerifyReport;
pub use settlement::{BroadcastRecord, NewSettlement, SettlementRecord, SettlementState, Started};
