//! Transactions: fees, signing, replacing, reading back.

use alloy_consensus::transaction::SignableTransaction;
use alloy_consensus::{TxEip1559, TxEnvelope};
use alloy_eips::eip2718::{Decodable2718, Encodable2718};
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256, hex, keccak256};

use crate::key::Key;

/// What a transaction offers for gas, in wei per unit (EIP-1559).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fees {
    pub(super) max_fee: u128,
    pub(super) tip: u128,
}

/// The least tip that is offered: 0.001 gwei, what Base's own tools offer.
const MIN_TIP: u128 = 1_000_000;

impl Fees {
    /// Room for the base fee to double, within the cap; `None` when the cap is below the base fee.
    pub(super) fn suggested(base: u128, tip: u128, cap: u128) -> Option<Self> {
        let tip = tip.max(MIN_TIP);
        let max_fee = base.saturating_mul(2).saturating_add(tip).min(cap);
        (base <= cap && max_fee > 0).then_some(Self { max_fee, tip: tip.min(max_fee) })
    }

    /// What nodes accept in place of these fees: both at least an eighth more, or what is suggested now if that is
    /// more; `None` when the cap leaves no room.
    pub(super) fn bumped(self, now: Self, cap: u128) -> Option<Self> {
        let more = |fee: u128| fee.saturating_add(fee / 8).saturating_add(1);
        let max_fee = more(self.max_fee).max(now.max_fee);
        let max_fee = if more(self.max_fee) <= cap { max_fee.min(cap) } else { return None };
        let tip = more(self.tip).max(now.tip).min(max_fee);
        (tip >= more(self.tip)).then_some(Self { max_fee, tip })
    }
}

/// A signed transaction.
#[derive(Debug, Clone)]
pub(super) struct Signed {
    pub(super) hash: B256,
    pub(super) raw: Bytes,
    pub(super) fees: Fees,
}

/// An unsigned transaction: one call.
pub(super) fn unsigned(chain_id: u64, nonce: u64, to: Address, input: Bytes, gas_limit: u64) -> TxEip1559 {
    TxEip1559 {
        chain_id,
        nonce,
        gas_limit,
        to: TxKind::Call(to),
        value: U256::ZERO,
        input,
        ..TxEip1559::default()
    }
}

/// Signs it at these fees.
pub(super) fn sign(key: &Key, transaction: &TxEip1559, fees: Fees) -> Signed {
    let mut transaction = transaction.clone();
    transaction.max_fee_per_gas = fees.max_fee;
    transaction.max_priority_fee_per_gas = fees.tip;
    let bytes = key.sign(&transaction.signature_hash());
    let number = |at: usize| U256::from_be_slice(&bytes[at..at + 32]);
    let signature = Signature::new(number(0), number(32), bytes[64] == 28);
    let envelope = TxEnvelope::Eip1559(transaction.into_signed(signature));
    Signed { hash: *envelope.tx_hash(), raw: envelope.encoded_2718().into(), fees }
}

/// Reads a transaction of ours back from its record; `None` for what is not one.
pub(super) fn read(raw: &str) -> Option<(TxEip1559, Signed)> {
    let raw: Bytes = hex::decode(raw).ok()?.into();
    let TxEnvelope::Eip1559(signed) = TxEnvelope::decode_2718_exact(&raw).ok()? else { return None };
    let transaction = signed.tx().clone();
    let fees = Fees { max_fee: transaction.max_fee_per_gas, tip: transaction.max_priority_fee_per_gas };
    Some((transaction, Signed { hash: keccak256(&raw), raw, fees }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GWEI: u128 = 1_000_000_000;

    #[test]
    fn fees_leave_room_and_keep_the_cap() {
        assert_eq!(
            Fees::suggested(GWEI, 2 * MIN_TIP, 5 * GWEI),
            Some(Fees { max_fee: 2_002_000_000, tip: 2 * MIN_TIP })
        );
        assert_eq!(Fees::suggested(GWEI, 0, GWEI), Some(Fees { max_fee: GWEI, tip: MIN_TIP }));
        assert_eq!(Fees::suggested(GWEI + 1, 0, GWEI), None);
        assert_eq!(Fees::suggested(0, 0, 0), None);
    }

    #[test]
    fn what_is_signed_reads_back() {
        let key = Key::new(secp256k1::SecretKey::from_byte_array([7; 32]).unwrap());
        let template = unsigned(8453, 9, Address::repeat_byte(5), Bytes::from_static(&[1, 2, 3]), 100_000);
        let signed = sign(&key, &template, Fees { max_fee: 20, tip: 10 });
        let (read, again) = read(&signed.raw.to_string()).unwrap();
        assert_eq!((read.nonce, &read.input, again.fees), (9, &template.input, signed.fees));
        assert_eq!(again.hash, signed.hash);
        assert!(super::read("0x02").is_none() && super::read("no hex").is_none());
    }

    proptest! {
        #[test]
        fn a_bump_is_an_eighth_in_both_and_within_the_cap(
            max_fee in 1u128..1 << 60, tip in 0u128..1 << 60, base in 0u128..1 << 60, cap in 1u128..1 << 62,
        ) {
            let old = Fees { max_fee, tip: tip.min(max_fee) };
            let now = Fees::suggested(base, tip, cap).unwrap_or(old);
            if let Some(new) = old.bumped(now, cap) {
                prop_assert!(new.max_fee * 8 >= old.max_fee * 9 && new.max_fee > old.max_fee);
                prop_assert!(new.tip * 8 >= old.tip * 9 && new.tip > old.tip);
                prop_assert!(new.max_fee <= cap && new.tip <= new.max_fee);
            } else {
                prop_assert!(old.max_fee + old.max_fee / 8 + 1 > cap || old.tip + old.tip / 8 + 1 > cap.min(new_max(old, now, cap)));
            }
        }
    }

    fn new_max(old: Fees, now: Fees, cap: u128) -> u128 {
        (old.max_fee + old.max_fee / 8 + 1).max(now.max_fee).min(cap)
    }
}
