//! The payments that are being settled: each once, however many ask for it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use alloy_primitives::B256;
use farthing_money::Network;
use farthing_protocol::PaymentKey;
use farthing_protocol::x402::Reason;
use farthing_rail::{RailError, Settlement, VerifyError};
use tokio::sync::watch;

use super::payment::Signature;
use crate::eip3009::Authorization;

/// How far a payment has come.
#[derive(Debug, Clone)]
pub(super) enum Progress {
    /// Nothing was sent.
    Waiting,
    /// This transaction is out, or may be.
    Sent(B256),
    /// It ended.
    Done(Result<Settlement, Refusal>),
}

/// Why nothing was sent. As [`VerifyError`], but can be told to several.
#[derive(Debug, Clone)]
pub(super) enum Refusal {
    Invalid { reason: Reason, message: String, payer: Option<String> },
    Unavailable { network: Network, why: String },
    NotRecorded(String),
}

impl Refusal {
    /// The same, of an error.
    pub(super) fn of(error: &VerifyError, network: &Network) -> Self {
        match error {
            VerifyError::Invalid { reason, message, payer } => {
                Self::Invalid { reason: reason.clone(), message: message.clone(), payer: payer.clone() }
            }
            other => Self::Unavailable { network: network.clone(), why: other.to_string() },
        }
    }
}

impl From<Refusal> for VerifyError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Invalid { reason, message, payer } => Self::Invalid { reason, message, payer },
            Refusal::Unavailable { network, why } => Self::Rail(RailError::Unavailable { network, why }),
            Refusal::NotRecorded(why) => Self::Rail(RailError::NotRecorded(why)),
        }
    }
}

/// Every payment between the first wish to settle it and its end.
#[derive(Debug, Clone, Default)]
pub(super) struct InFlight(Arc<Mutex<HashMap<PaymentKey, Known>>>);

#[derive(Debug)]
struct Known {
    progress: watch::Receiver<Progress>,
    authorization: Authorization,
    /// `None` for one that was taken over from an earlier process.
    signature: Option<Signature>,
}

/// The answer to a wish to settle.
pub(super) enum Joined {
    /// This caller settles it.
    First(Ticket, watch::Receiver<Progress>),
    /// It is being settled: wait for the same end.
    Other(watch::Receiver<Progress>),
    /// Another payment with the same nonce is being settled.
    Different,
}

/// The right to settle one payment. While it lives, nobody else settles that payment.
#[derive(Debug)]
pub(super) struct Ticket {
    key: PaymentKey,
    progress: watch::Sender<Progress>,
    in_flight: InFlight,
}

impl InFlight {
    /// Takes the payment, or joins whoever has it.
    pub(super) fn join(
        &self,
        key: &PaymentKey,
        authorization: &Authorization,
        signature: Option<&Signature>,
    ) -> Joined {
        match self.lock().entry(key.clone()) {
            Entry::Occupied(entry) => {
                let known = entry.get();
                let same_signature = known.signature.is_none() || known.signature.as_ref() == signature;
                if known.authorization == *authorization && same_signature {
                    Joined::Other(known.progress.clone())
                } else {
                    Joined::Different
                }
            }
            Entry::Vacant(entry) => {
                let (sender, progress) = watch::channel(Progress::Waiting);
                entry.insert(Known {
                    progress: progress.clone(),
                    authorization: authorization.clone(),
                    signature: signature.cloned(),
                });
                let ticket = Ticket { key: key.clone(), progress: sender, in_flight: self.clone() };
                Joined::First(ticket, progress)
            }
        }
    }

    /// Never held across an await.
    fn lock(&self) -> MutexGuard<'_, HashMap<PaymentKey, Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ticket {
    pub(super) fn key(&self) -> &PaymentKey {
        &self.key
    }

    /// Tells that this transaction is about to go out.
    pub(super) fn sent(&self, transaction: B256) {
        self.progress.send_replace(Progress::Sent(transaction));
    }

    /// Tells the end.
    pub(super) fn done(self, end: Result<Settlement, Refusal>) {
        self.progress.send_replace(Progress::Done(end));
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.in_flight.lock().remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::{Address, U256};

    fn authorization(to: u8) -> Authorization {
        Authorization {
            from: Address::repeat_byte(1),
            to: Address::repeat_byte(to),
            value: U256::from(1),
            valid_after: U256::ZERO,
            valid_before: U256::from(9),
            nonce: B256::repeat_byte(3),
        }
    }

    #[test]
    fn one_settles_and_the_same_join() {
        let (all, key) = (InFlight::default(), PaymentKey::from_record("k".into()));
        let signature = Signature::Own([1; 65]);
        let first = all.join(&key, &authorization(2), Some(&signature));
        let Joined::First(ticket, progress) = first else { panic!("not the first") };
        assert!(matches!(all.join(&key, &authorization(2), Some(&signature)), Joined::Other(_)));
        let elsewhere = all.join(&key, &authorization(4), Some(&signature));
        assert!(matches!(elsewhere, Joined::Different), "another payee under the same nonce");
        let forged = all.join(&key, &authorization(2), Some(&Signature::Own([2; 65])));
        assert!(matches!(forged, Joined::Different), "another signature");

        ticket.done(Err(Refusal::NotRecorded("disk full".into())));
        assert!(matches!(&*progress.borrow(), Progress::Done(Err(_))), "the end is heard after it");
        assert!(matches!(all.join(&key, &authorization(2), Some(&signature)), Joined::First(..)));
    }

    #[test]
    fn a_dropped_ticket_frees_the_payment() {
        let (all, key) = (InFlight::default(), PaymentKey::from_record("k".into()));
        drop(all.join(&key, &authorization(2), None));
        assert!(matches!(all.join(&key, &authorization(2), None), Joined::First(..)));
    }
}
