//! The agent's side of a paid call.
//!
//! What this crate is for: [`Wallet`] holds the caps, the ledger and the keys and decides what gets signed;
//! [`Client`] speaks HTTP and asks the wallet when a seller answers 402. They meet in one object-safe trait, so that
//! the wallet can later live in a daemon of another user that alone holds keys and policy.
//!
//! What it promises (DESIGN.md, "The life of a purchase" and "Invariants"):
//! - nothing is signed without a policy decision on exactly the signed terms and a durable reservation;
//! - what was signed is in the ledger before it leaves the machine, and a retry sends the same bytes;
//! - one purchase pays at most once: there is no fallback to another offer after signing;
//! - a paid request follows no redirect, and goes to the very URL that asked;
//! - what is ambiguous stays reserved until [`Wallet::reconcile`] has asked the chain;
//! - a paid body is kept, whole or cut off, whatever its type, also when it is passed on while it comes and its reader
//!   leaves ([`Client::pass`]).
//!
//! ```no_run
//! # async fn example(wallet: std::sync::Arc<dyn farthing_wallet::Wallet>) -> Result<(), Box<dyn std::error::Error>> {
//! use farthing_wallet::{CallLimits, Client, ClientConfig, Request};
//!
//! let client = Client::new(wallet, ClientConfig::default())?;
//! let request = Request::get("https://api.example.com/weather")?;
//! let fetched = client.fetch(request, CallLimits { max_amount: Some("$0.01".parse()?), ..CallLimits::default() }).await?;
//! println!("{} {:?}", fetched.status, fetched.payment.map(|paid| paid.purchase));
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

mod appraise;
mod body;
mod carry;
mod client;
mod error;
mod fault;
mod funds;
mod local;
mod pass;
mod pay;
mod progress;
mod reconcile;
mod request;
mod room;
mod transfer;
mod wallet;

pub use appraise::{Appraisal, Shortage, Verdict};
pub use body::{BodyStore, CutOff, Draft, KeptBody, has_answer};
pub use carry::Carrier;
pub use client::{Client, ClientConfig, Fetched, FetchedBody, PaidCall, Probe};
pub use error::{FetchError, WalletError};
pub use fault::{Fault, FaultKind, Money};
pub use local::{LocalWallet, LocalWalletConfig};
pub use pass::{PaidBody, Passed, PassedBody};
pub use progress::{Observer, Step};
pub use request::Request;
pub use transfer::Transfer;
pub use wallet::{Authorization, Balance, CallLimits, PurchaseResult, Reconciled, StillOpen, Wallet};
