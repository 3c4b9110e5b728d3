//! The durable record of money: purchases and their reservations, claims, settlements, and the journal of them all.
//!
//! What this crate is for: everything that must be true after a crash is written here before it is acted on. A buyer
//! reserves, then signs, then ends a purchase; a seller claims a payment before serving; a facilitator writes a
//! transaction before sending it. A guard asks it before it lets a call of a tool through that counters limit.
//!
//! What it promises:
//! - What a method returned is on the disk (SQLite, WAL, `synchronous=FULL`), and what it refused left no trace but
//!   the journal's row of a denied reservation. Callers that wait at the same time share one commit.
//! - Budgets hold over tasks, processes, restarts and clock steps: a reservation is checked and written in one
//!   transaction, and the recorded time never goes back. (A clock that was far ahead therefore keeps windows closed
//!   until the real time has caught up.)
//! - One purchase has one payment; one payment has one claim and one settlement, however many ask at once.
//! - Counters of calls hold likewise. What a call gives back when it ends, it gives back once, and to the windows in
//!   which it was taken.
//! - An approval is good for the exact terms and the policy that asked for it, once. While everything is frozen no
//!   reservation is made, no signature recorded and no call admitted, in no process; what was begun can end.
//! - Every change of money or right is a row of an append-only journal, chained by SHA-256, from which every record
//!   and every budget can be rebuilt; [`Ledger::verify`] does so and names what does not fit. The journal holds digests
//!   in the place of signatures, offers and raw transactions.
//!
//! [`Ledger::note`] alone returns before its row is on the disk: such rows tell of decisions that needed nothing from the
//! ledger, and a crash loses at most the last 100 ms of them. [`Ledger::close`] writes what is left.
//!
//! What budgets count: an amount counts from its reservation on, and is given back only when the purchase is known not
//! to be paid, to exactly the windows in which it was reserved. A count (a rate) is never given back: rates limit
//! attempts. Calendar windows are exact, in UTC. Rolling windows count in full what was used within one second
//! (minute, hour), one minute (day) or one hour (week, 30 days) before their old end: never less than the true use.
//!
//! ```
//! use farthing_ambient::TestClock;
//! use farthing_ledger::{ClaimState, Claimed, Ledger, NewClaim};
//! use farthing_money::{BaseUnits, Network};
//! use farthing_protocol::PaymentKey;
//! use std::sync::Arc;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), farthing_ledger::LedgerError> {
//! let ledger = Ledger::in_memory(Arc::new(TestClock::at_unix_second(1_700_000_000)))?;
//! let claim = NewClaim {
//!     key: PaymentKey::eip3009(&Network::BASE, [1; 20], [2; 20], [3; 32]),
//!     route: "GET /weather".into(),
//!     request: "GET /weather".into(),
//!     payer: "0x0202".into(),
//!     pay_to: "0x0404".into(),
//!     network: Network::BASE,
//!     asset: "0x0101".into(),
//!     amount: BaseUnits::new(2500),
//! };
//! let Claimed::Granted { seq } = ledger.claim(claim.clone()).await? else { panic!("nobody had it") };
//! assert!(matches!(ledger.claim(claim.clone()).await?, Claimed::Duplicate(_)));
//! ledger.move_claim(&claim.key, seq, ClaimState::Settled { transaction: "0xabc".into() }).await?;
//! assert!(ledger.verify().await?.problems.is_empty());
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

mod api;
mod error;
mod lazy;
mod marker;
mod op;
mod queue;
mod records;
mod rules;
mod sqlite;
mod untold;
mod window;

pub use api::Ledger;
pub use error::LedgerError;
pub use records::*;
pub use window::window_begin;
