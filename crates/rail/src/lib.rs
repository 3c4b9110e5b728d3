//! A rail: one family of chains.
//!
//! What this crate is for: the two faces of a rail. A [`Payer`] holds a key, signs payments, and asks the chain what
//! became of them; a [`Settler`] verifies payments and brings them onto the chain. `farthing-rail-evm` implements
//! both for Base; Solana and Tempo are to be additions beside it.
//!
//! What implementations promise:
//! - [`Payer::sign`] does no I/O and signs exactly the terms it is given, or nothing.
//! - [`Payer::lookup`] answers from the chain; it never guesses. What it cannot tell is an error.
//! - [`Settler::settle`] writes a transaction to the [`SettlementLog`] before it leaves the machine.
//! - An answer of [`Settlement::Confirmed`] means that the payee has been paid that amount on the chain.
#![forbid(unsafe_code)]

use std::sync::Arc;

use async_trait::async_trait;
use farthing_ambient::{Entropy, Timestamp};
use farthing_money::{Asset, BaseUnits, Network};
use farthing_protocol::x402::{Reason, SupportedKind};
use farthing_protocol::{PaymentKey, Requirements};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// The buyer's face of a rail.
#[async_trait]
pub trait Payer: Send + Sync + std::fmt::Debug {
    /// The networks that it can pay on.
    fn networks(&self) -> Vec<Network>;

    /// The payer's address on a network; `None` where it cannot pay.
    fn address(&self, network: &Network) -> Option<String>;

    /// Whether these terms can be signed at all: the scheme, the transfer method, the payee's form, and that the
    /// token's signing domain in the offer is the one that the registry knows.
    ///
    /// # Errors
    /// [`RailError::Unpayable`] with the reason for people.
    fn can_pay(&self, terms: &Requirements, asset: &Asset) -> Result<(), RailError>;

    /// Gets the key ready, so that [`Self::sign`] does not wait for a person or for a key to be stretched. It may block.
    ///
    /// # Errors
    /// [`RailError::Locked`]
    fn unlock(&self) -> Result<(), RailError> {
        Ok(())
    }

    /// Signs the terms. The payment is valid from now until `now + max_timeout_seconds`.
    ///
    /// # Errors
    /// [`RailError::Unpayable`], [`RailError::NoEntropy`].
    fn sign(
        &self,
        terms: &Requirements,
        asset: &Asset,
        now: Timestamp,
        entropy: &dyn Entropy,
    ) -> Result<SignedPayment, RailError>;

    /// What the payer holds of an asset.
    ///
    /// # Errors
    /// [`RailError::Unavailable`]
    async fn balance(&self, asset: &Asset) -> Result<BaseUnits, RailError>;

    /// What became of a payment that this payer signed. `since` is when it was signed, to bound the search.
    ///
    /// # Errors
    /// [`RailError::Unavailable`] whenever the chain cannot be asked: nothing follows from it.
    async fn lookup(
        &self,
        network: &Network,
        key: &PaymentKey,
        since: Timestamp,
    ) -> Result<PaymentState, RailError>;
}

/// A payment that has been signed and not sent yet. Its debug output leaves the signature out.
#[derive(Clone)]
pub struct SignedPayment {
    /// The scheme's payload as it goes onto the wire.
    pub payload: Box<RawValue>,
    /// The payment's identity.
    pub key: PaymentKey,
    /// The payer's address.
    pub payer: String,
    /// When the signature stops being worth anything on the chain.
    pub valid_before: Timestamp,
}

impl std::fmt::Debug for SignedPayment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SignedPayment")
            .field("key", &self.key)
            .field("valid_before", &self.valid_before)
            .finish_non_exhaustive()
    }
}

/// What the chain says about a payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PaymentState {
    /// It moved the money.
    Settled {
        /// The transaction, where the search found it.
        transaction: Option<String>,
    },
    /// Its nonce was used up without a transfer: it can never move money.
    Canceled,
    /// Its nonce is unused.
    Unused {
        /// The chain's own time at that answer. Past `valid_before` the payment can never settle.
        chain_time: Timestamp,
    },
}

/// The seller's face of a rail.
#[async_trait]
pub trait Settler: Send + Sync + std::fmt::Debug {
    /// What it settles, for `/supported`, in both versions of the protocol.
    fn kinds(&self) -> Vec<SupportedKind>;

    /// The addresses that its transactions come from, by CAIP-2 network.
    fn signers(&self) -> Vec<(Network, String)>;

    /// Whether it settles this scheme on this network.
    fn supports(&self, scheme: &str, network: &Network) -> bool;

    /// Checks that a payment meets the terms and would settle now.
    ///
    /// # Errors
    /// [`VerifyError::Invalid`] with the protocol's code, [`VerifyError::Rail`] when the chain could not be asked.
    async fn verify(&self, terms: &Requirements, payload: &RawValue) -> Result<Verified, VerifyError>;

    /// Verifies again, brings the payment onto the chain and waits for it, for a bounded time.
    ///
    /// Every transaction is written to `log` before it is sent. [`Settlement::Pending`] means that it is out and may
    /// still confirm. An error means that nothing was sent.
    ///
    /// # Errors
    /// [`VerifyError`], as [`Self::verify`].
    async fn settle(
        &self,
        terms: &Requirements,
        payload: &RawValue,
        log: &dyn SettlementLog,
    ) -> Result<Settlement, VerifyError>;

    /// Takes up transactions that an earlier process sent: sends them again where the chain does not have them, and
    /// keeps their nonces from being used twice. To be called before the first [`Self::settle`].
    ///
    /// `log` is for what is sent when no caller of [`Self::settle`] is there to write it down: the replacement of a
    /// transaction that is stuck.
    ///
    /// # Errors
    /// [`RailError::Unavailable`]
    async fn resume(&self, sent: Vec<Broadcast>, log: Arc<dyn SettlementLog>) -> Result<(), RailError>;

    /// What became of a payment, asked of the chain and, for a known transaction, of its receipt.
    ///
    /// # Errors
    /// [`RailError::Unavailable`]
    async fn outcome(
        &self,
        terms: &Requirements,
        payload: &RawValue,
        sent: &[Broadcast],
    ) -> Result<Settlement, RailError>;
}

/// A payment that passed every check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The payment's identity.
    pub key: PaymentKey,
    /// The address whose signature was checked.
    pub payer: String,
    /// When the payment expires on the chain.
    pub valid_before: Timestamp,
}

/// A payment's way onto the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settlement {
    /// The payee was paid.
    Confirmed {
        /// The transaction.
        transaction: String,
        /// The payer.
        payer: String,
        /// What was paid.
        amount: BaseUnits,
    },
    /// The chain refused it, for good.
    Failed {
        /// The protocol's code.
        reason: Reason,
        /// For people.
        message: String,
        /// The transaction that reverted, if one was sent.
        transaction: Option<String>,
    },
    /// Sent, and not seen confirmed in time.
    Pending {
        /// The transaction.
        transaction: String,
        /// The payer.
        payer: String,
    },
}

/// A signed transaction on its way out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Broadcast {
    /// The chain.
    pub network: Network,
    /// The sending address.
    pub signer: String,
    /// The sender's nonce.
    pub nonce: u64,
    /// The transaction's hash.
    pub transaction: String,
    /// The signed transaction, in hex: sending it again does nothing new.
    pub raw: String,
    /// The payments in it.
    pub payments: Vec<PaymentKey>,
}

/// Where a [`Settler`] writes down what it is about to send.
#[async_trait]
pub trait SettlementLog: Send + Sync {
    /// Records the transaction durably. It is sent only after this returned `Ok`.
    ///
    /// # Errors
    /// [`RailError::NotRecorded`]: the transaction must not be sent.
    async fn record(&self, broadcast: &Broadcast) -> Result<(), RailError>;
}

/// Why a rail could not do what it was asked.
///
/// Whoever tells of it sorts every kind, so a new one is to be noticed there: it is not `non_exhaustive`.
#[derive(Debug, thiserror::Error)]
pub enum RailError {
    /// The terms cannot be paid by this rail, now or later.
    #[error("{0}")]
    Unpayable(String),
    /// The chain could not be asked. Trying again may help.
    #[error("{network} cannot be reached: {why}")]
    Unavailable {
        /// The chain.
        network: Network,
        /// What each endpoint said.
        why: String,
    },
    /// The chain's answer makes no sense.
    #[error("{network} gave an answer that makes no sense: {why}")]
    Nonsense {
        /// The chain.
        network: Network,
        /// What is wrong with it.
        why: String,
    },
    /// The key is encrypted and could not be unlocked.
    #[error("the wallet cannot be unlocked: {0}")]
    Locked(String),
    /// There is no randomness for a nonce.
    #[error(transparent)]
    NoEntropy(#[from] farthing_ambient::NoEntropy),
    /// The record of a transaction could not be written.
    #[error("the transaction was not sent, because it could not be recorded: {0}")]
    NotRecorded(String),
    /// The configuration cannot work.
    #[error("{0}")]
    Configuration(String),
}

/// Why a payment was not verified.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The payment does not meet the terms, or would not settle.
    #[error("{reason}: {message}")]
    Invalid {
        /// The protocol's code.
        reason: Reason,
        /// For people.
        message: String,
        /// The payer, as far as it is known.
        payer: Option<String>,
    },
    /// The chain could not be asked.
    #[error(transparent)]
    Rail(#[from] RailError),
}
