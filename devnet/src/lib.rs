//! Local chains with USDC on them, for Farthing's tests, its demo and work by hand.
//!
//! [`Base::builder`] starts an anvil that plays Base or Base Sepolia: same chain id, a token of ours with USDC's whole
//! payment interface at USDC's real address, Multicall3 at its canonical one, and ten accounts with ETH and publicly
//! known keys, each with one job ([`accounts`]). Production code never depends on this crate.
//!
//! What it promises:
//!
//! - **Ready when it says so.** `start` returns after the chain has answered with the right chain id and the contracts
//!   are in place.
//! - **Nothing stays behind.** The chain stops, by its process id, on [`Base::stop`], when the handle is dropped, and
//!   also when the process that started it dies in any way, SIGKILL included. What it put on the disk goes with it.
//! - **No clashes.** The chain chooses its own free port unless told otherwise, so any number of them run side by side.
//! - **Nothing is reached over the network** after the crate is built.
//!
//! ```no_run
//! use farthing_devnet::{Base, accounts::{BUYER, PAYEE}};
//!
//! # async fn example() -> Result<(), farthing_devnet::Error> {
//! let chain = Base::builder().chain_id(farthing_devnet::BASE_SEPOLIA).start().await?;
//! chain.mint(BUYER.address, 5_000_000).await?; // 5 USDC
//! println!("USDC is {} at {}", chain.usdc(), chain.rpc_url());
//! // … let the code under test pay …
//! assert_eq!(chain.balance_of(PAYEE.address).await?.to_string(), "2500");
//! chain.stop().await;
//! # Ok(())
//! # }
//! ```

#![forbid(unsafe_code)]

pub mod abi;
pub mod accounts;
mod base;
pub mod contracts;
mod error;
pub mod faulty;
mod process;
mod receipt;
mod rpc;

pub use accounts::Account;
pub use base::{BASE, BASE_SEPOLIA, Base, Builder, MULTICALL3};
pub use contracts::Contract;
pub use error::Error;
pub use receipt::{Log, Receipt};
