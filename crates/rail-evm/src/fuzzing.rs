//! What the fuzz target `rpc_answer` does with its input (fuzz/README.md). It is here because nothing that it looks at is
//! public; it exists for cargo-fuzz (`cfg(fuzzing)`) and for the test below, which replays the kept corpus.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a body fails by panicking: that is what a fuzzer and a test look for"
)]

use alloy_primitives::{Address, B256, Bytes, U64, U128, U256, hex};
use alloy_sol_types::SolEvent;
use serde::de::DeserializeOwned;

use crate::abi::{Multicall3, Token as Abi};
use crate::eip3009::Authorization;
use crate::rpc::{Answer, Decoded, NodeError, decode, printable};
use crate::token::{Effect, Log, Receipt, read_state, returned};

const TOKEN: Address = Address::repeat_byte(0x11);
const NONCE: B256 = B256::repeat_byte(0x44);

/// The input is the number of calls, their first id, and a node's body.
///
/// What is read is one answer to each call, or one refusal; an answer is JSON. Words of a node are short and move no
/// cursor. A receipt proves a payment only where the token's own events of exactly this payment stand in it. Numbers
/// and contracts' return values are read or refused.
///
/// # Panics
/// When one of that does not hold.
pub fn rpc_answer(input: &[u8]) {
    let [count, first_id, body @ ..] = input else { return };
    let (count, first_id) = (usize::from(count % 4) + 1, u64::from(*first_id));
    match decode(body, count, first_id) {
        Ok(Decoded::Answers(answers)) => {
            assert_eq!(answers.len(), count);
            answers.iter().for_each(is_read);
        }
        Ok(Decoded::Refused(error)) => is_an_error(&error),
        Ok(Decoded::Mixed(why)) => assert!(!why.is_empty()),
        Err(why) => is_short(&printable(&why)),
    }
}

fn is_read(answer: &Answer) {
    let raw = match answer {
        Ok(raw) => raw.get(),
        Err(error) => return is_an_error(error),
    };
    serde_json::from_str::<serde::de::IgnoredAny>(raw).expect("an answer is JSON");
    for error in
        [read::<U64>(raw).err(), read::<U128>(raw).err(), read::<U256>(raw).err()].into_iter().flatten()
    {
        is_short(&printable(&error));
    }
    if let Ok(receipt) = read::<Receipt>(raw) {
        proves_only_what_stands_there(&receipt, raw);
    }
    if let Ok(logs) = read::<Vec<Log>>(raw) {
        assert!(logs.iter().filter(|log| log.is_use()).count() <= logs.len());
    }
    if let Ok(data) = read::<Bytes>(raw) {
        let parts = returned::<Multicall3::aggregate3Call>(&data).map_or(0, |parts| parts.len());
        // Each part needs an offset, a flag, another offset and a length. Parts may lie over each other.
        assert!(parts <= data.len() / 32, "{parts} parts in {} bytes", data.len());
        let known = read_state(&data);
        assert!(known.is_none() || parts == 2);
        returned::<Abi::nameCall>(&data).iter().for_each(|name| assert!(name.len() <= data.len() * 3));
    }
}

fn read<T: DeserializeOwned>(raw: &str) -> Result<T, String> {
    serde_json::from_str(raw).map_err(|error| error.to_string())
}

fn is_an_error(error: &NodeError) {
    is_short(&error.words());
    is_short(&error.to_string());
    let kinds = [error.is_limit(), error.is_this_nodes_own(), error.is_execution()];
    assert!(kinds.len() == 3);
}

fn is_short(text: &str) {
    assert!(text.chars().count() <= 300 && !text.contains(char::is_control), "{text:?}");
}

/// Compared with the text, in which every part of the proof must stand.
fn proves_only_what_stands_there(receipt: &Receipt, raw: &str) {
    let payment = Authorization {
        from: Address::repeat_byte(0x22),
        to: Address::repeat_byte(0x33),
        value: U256::from(2500),
        valid_after: U256::ZERO,
        valid_before: U256::from(9),
        nonce: NONCE,
    };
    let effect = receipt.effect(TOKEN, &payment);
    assert!(effect == Effect::Nothing || receipt.succeeded());
    let text = raw.to_ascii_lowercase();
    let stands = |bytes: &[u8]| text.contains(&hex::encode(bytes));
    if effect != Effect::Nothing {
        assert!(stands(Abi::AuthorizationUsed::SIGNATURE_HASH.as_slice()) && stands(NONCE.as_slice()));
        assert!(stands(TOKEN.as_slice()) && stands(payment.from.as_slice()));
    }
    if effect == Effect::Paid {
        assert!(stands(Abi::Transfer::SIGNATURE_HASH.as_slice()) && stands(payment.to.as_slice()));
        assert!(stands(&payment.value.to_be_bytes::<32>()));
        assert!(receipt.moved_from(TOKEN, payment.from));
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn the_kept_corpus_holds() {
        let folder = Path::new("../../fuzz/corpus/rpc_answer");
        let mut replayed = 0;
        for file in fs::read_dir(folder).unwrap() {
            let path = file.unwrap().path();
            // Shown only when it fails: the last one named is the one.
            println!("{}", path.display());
            rpc_answer(&fs::read(&path).unwrap());
            replayed += 1;
        }
        assert!(replayed >= 10, "{replayed} files");
    }

    #[test]
    fn a_receipt_that_proves_is_among_what_is_looked_at() {
        let word = |address: Address| address.into_word();
        let payment = [word(Address::repeat_byte(0x22)), word(Address::repeat_byte(0x33))];
        let receipt = serde_json::json!({"transactionHash": NONCE, "status": "0x1", "logs": [
            {"address": TOKEN, "data": "0x", "topics": [Abi::AuthorizationUsed::SIGNATURE_HASH, payment[0], NONCE]},
            {"address": TOKEN, "data": B256::from(U256::from(2500)),
             "topics": [Abi::Transfer::SIGNATURE_HASH, payment[0], payment[1]]},
        ]});
        let read: Receipt = serde_json::from_value(receipt.clone()).unwrap();
        proves_only_what_stands_there(&read, &receipt.to_string());
        let elsewhere = std::panic::catch_unwind(|| proves_only_what_stands_there(&read, "{}"));
        assert!(elsewhere.is_err(), "the body would not notice");
        let body = format!("\0\0{}", serde_json::json!({"id": 0, "result": receipt}));
        rpc_answer(body.as_bytes());
    }
}
