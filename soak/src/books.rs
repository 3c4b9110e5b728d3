//! The books, read from the outside once everything has stopped: every ledger by SQL of our own, the chain by its logs.

use std::collections::BTreeMap;
use std::path::Path;

use alloy_primitives::{Address, B256, U64};
use alloy_sol_types::SolEvent as _;
use farthing_devnet::abi::IUsdc::{AuthorizationUsed, Transfer};
use farthing_devnet::{Base, Log};
use rusqlite::{Connection, OpenFlags};
use serde_json::json;

use crate::Failure;

/// How many blocks are asked for at once.
const BLOCKS: u64 = 200;

/// A movement of money, in whichever book: who to whom, how much.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Movement {
    /// Lower case, as all addresses here.
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) amount: u128,
}

/// By the payment's identity: payer and nonce.
pub(crate) type Movements = BTreeMap<String, Movement>;

/// A purchase in a wallet's ledger.
#[derive(Debug, Clone)]
pub(crate) struct Bought {
    pub(crate) id: String,
    pub(crate) url: String,
    pub(crate) state: String,
    /// None while nothing was signed.
    pub(crate) payment: Option<String>,
    pub(crate) movement: Movement,
    pub(crate) status: Option<u16>,
    pub(crate) digest: Option<String>,
    pub(crate) valid_before_ms: Option<i64>,
}

/// A claim in a gateway's ledger, or a settlement in a facilitator's.
#[derive(Debug, Clone)]
pub(crate) struct Sold {
    pub(crate) payment: String,
    pub(crate) state: String,
    pub(crate) movement: Movement,
}

fn open(file: &Path) -> Result<Connection, Failure> {
    let opened = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY);
    opened.map_err(|error| format!("{}: {error}", file.display()).into())
}

pub(crate) fn purchases(file: &Path) -> Result<Vec<Bought>, Failure> {
    let ledger = open(file)?;
    let mut rows = ledger.prepare(
        "SELECT id, url, state, payment_key, payer, pay_to, amount, response_status, response_digest, valid_before \
         FROM purchases ORDER BY number",
    )?;
    let rows = rows.query_map([], |row| {
        let payment: Option<String> = row.get(3)?;
        Ok(Bought {
            id: row.get(0)?,
            url: row.get(1)?,
            state: row.get(2)?,
            payment: payment.map(|key| identity(&key)),
            movement: movement(row.get(4)?, row.get(5)?, &row.get::<_, String>(6)?),
            status: row.get(7)?,
            digest: row.get(8)?,
            valid_before_ms: row.get(9)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(crate) fn claims(file: &Path) -> Result<Vec<Sold>, Failure> {
    sold(file, "SELECT payment_key, state, payer, pay_to, amount FROM claims ORDER BY number")
}

pub(crate) fn settlements(file: &Path) -> Result<Vec<Sold>, Failure> {
    // Who paid is in the payment's identity; the column is filled when it is confirmed.
    sold(file, "SELECT payment_key, state, '', pay_to, amount FROM settlements ORDER BY number")
}

fn sold(file: &Path, sql: &str) -> Result<Vec<Sold>, Failure> {
    let ledger = open(file)?;
    let mut rows = ledger.prepare(sql)?;
    let rows = rows.query_map([], |row| {
        let payment = identity(&row.get::<_, String>(0)?);
        let payer: String = row.get(2)?;
        let payer =
            if payer.is_empty() { payment.split('/').next().unwrap_or_default().to_owned() } else { payer };
        let movement = movement(payer, row.get(3)?, &row.get::<_, String>(4)?);
        Ok(Sold { payment, state: row.get(1)?, movement })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// How many claims and settlements are still on their way. Read beside the running server.
pub(crate) fn on_their_way(file: &Path) -> Result<u64, Failure> {
    let sql = "SELECT (SELECT count(*) FROM claims WHERE state IN ('taken', 'settling')) \
               + (SELECT count(*) FROM settlements WHERE state = 'pending')";
    Ok(open(file)?.query_row(sql, [], |row| row.get(0))?)
}

/// `eip155:84532/eip3009/0xtoken/0xpayer/0xnonce` without what is the same in all.
fn identity(key: &str) -> String {
    key.splitn(4, '/').nth(3).unwrap_or(key).to_owned()
}

/// An amount that is no number shows up as the largest there is, in every check.
fn movement(from: String, to: String, amount: &str) -> Movement {
    Movement {
        from: from.to_ascii_lowercase(),
        to: to.to_ascii_lowercase(),
        amount: amount.parse().unwrap_or(u128::MAX),
    }
}

/// What the chain logged after a block.
#[derive(Debug, Default)]
pub(crate) struct ChainLogs {
    /// Every authorization that was used, with the transfer that its transaction logged right after it.
    pub(crate) settled: Movements,
    /// Every transfer.
    pub(crate) transfers: Vec<Movement>,
    /// What does not fit.
    pub(crate) strange: Vec<String>,
    used: Option<AuthorizationUsed>,
}

impl ChainLogs {
    pub(crate) async fn read(chain: &Base, after: u64) -> Result<Self, Failure> {
        let mut logs = Self::default();
        let last = chain.block_number().await?;
        let mut from = after + 1;
        while from <= last {
            let to = (from + BLOCKS - 1).min(last);
            let topics = json!([[Transfer::SIGNATURE_HASH, AuthorizationUsed::SIGNATURE_HASH]]);
            let filter = json!({ "address": chain.usdc(), "fromBlock": U64::from(from), "toBlock": U64::from(to),
                "topics": topics });
            let found: Vec<Log> = serde_json::from_value(chain.rpc("eth_getLogs", json!([filter])).await?)?;
            found.iter().for_each(|log| logs.take(log));
            from = to + 1;
        }
        if logs.used.is_some() {
            logs.strange.push("an authorization was used without a transfer".to_owned());
        }
        Ok(logs)
    }

    fn take(&mut self, log: &Log) {
        if log.topics.first() == Some(&AuthorizationUsed::SIGNATURE_HASH) {
            match AuthorizationUsed::decode_raw_log(log.topics.iter().copied(), &log.data) {
                Ok(used) if self.used.is_none() => self.used = Some(used),
                _ => self.strange.push("an authorization was used without a transfer".to_owned()),
            }
            return;
        }
        let Ok(transfer) = Transfer::decode_raw_log(log.topics.iter().copied(), &log.data) else {
            return self.strange.push("a log that is no transfer".to_owned());
        };
        let amount = u128::try_from(transfer.value).unwrap_or(u128::MAX);
        let movement = Movement { from: text(transfer.from), to: text(transfer.to), amount };
        self.transfers.push(movement.clone());
        match self.used.take() {
            Some(used) if used.authorizer == transfer.from => {
                let payment = format!("{}/{}", text(used.authorizer), nonce(used.nonce));
                if self.settled.insert(payment.clone(), movement).is_some() {
                    self.strange.push(format!("{payment} was used twice"));
                }
            }
            _ => self.strange.push("a transfer that no authorization was used for".to_owned()),
        }
    }
}

pub(crate) fn text(address: Address) -> String {
    format!("{address:#x}")
}

fn nonce(nonce: B256) -> String {
    format!("{nonce:#x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payment_is_known_by_payer_and_nonce() {
        assert_eq!(identity("eip155:84532/eip3009/0xaa/0xbb/0xcc"), "0xbb/0xcc");
        assert_eq!(movement("0xAB".into(), "0xCD".into(), "x").amount, u128::MAX);
        assert_eq!(text(Address::repeat_byte(0xAB)), format!("0x{}", "ab".repeat(20)));
    }

    fn log(topics: Vec<B256>, data: &[u8]) -> Log {
        Log { address: Address::ZERO, topics, data: data.to_vec().into() }
    }

    #[test]
    fn an_authorization_belongs_to_the_transfer_after_it() {
        let (payer, payee) = (Address::repeat_byte(1), Address::repeat_byte(2));
        let used = log(vec![AuthorizationUsed::SIGNATURE_HASH, payer.into_word(), B256::repeat_byte(9)], &[]);
        let moved = |from: Address| {
            log(
                vec![Transfer::SIGNATURE_HASH, from.into_word(), payee.into_word()],
                B256::with_last_byte(7).as_slice(),
            )
        };
        let mut logs = ChainLogs::default();
        logs.take(&used);
        logs.take(&moved(payer));
        assert!(logs.strange.is_empty(), "{:?}", logs.strange);
        assert_eq!(logs.settled.values().next().unwrap().amount, 7);
        logs.take(&used);
        logs.take(&moved(payer));
        logs.take(&moved(payer));
        assert_eq!(logs.strange.len(), 2, "{:?}", logs.strange);
    }
}
