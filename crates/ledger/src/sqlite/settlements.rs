//! A facilitator's settlements, and the transactions that it sends for them.

use farthing_protocol::PaymentKey;
use rusqlite::{Connection, Row, params};

use super::journal::Kind;
use super::purchases::{corrupt, parsed, time};
use super::table::{BROADCASTS, Cell, SETTLEMENTS};
use super::{Batch, Result, collect};
use crate::rules::{self, Step};
use crate::{BroadcastRecord, LedgerError, NewSettlement, SettlementRecord, SettlementState, Started};

pub(super) fn begin(batch: &mut Batch<'_>, settlement: &NewSettlement) -> Result<Started> {
    match find(batch.conn, &settlement.key)? {
        Some(known) if !matches!(known.state, SettlementState::Abandoned { .. }) => Ok(Started::Known(known)),
        _ => {
            let mut cells = vec![
                ("binding", Cell::from(&settlement.binding)),
                ("payment", Cell::from(&settlement.payment)),
                ("requirements", Cell::from(&settlement.requirements)),
                ("pay_to", Cell::from(&settlement.pay_to)),
                ("network", Cell::from(settlement.network.as_str())),
                ("asset", Cell::from(&settlement.asset)),
                ("amount", Cell::from(settlement.amount.to_string())),
            ];
            cells.extend(columns(&SettlementState::Pending { transaction: None }));
            batch.insert(&SETTLEMENTS, settlement.key.as_str(), &cells)?;
            Ok(Started::New)
        }
    }
}

pub(super) fn update(batch: &mut Batch<'_>, key: &PaymentKey, state: &SettlementState) -> Result<()> {
    let known = get(batch.conn, key)?;
    match rules::move_settlement(key.as_str(), &known.state, state)? {
        Step::Already => Ok(()),
        Step::Write => batch.update(&SETTLEMENTS, Kind::SettlementMoved, key.as_str(), &columns(state)),
    }
}

/// The same transaction again is no news; another with its hash cannot be.
pub(super) fn broadcast(batch: &mut Batch<'_>, record: &BroadcastRecord) -> Result<()> {
    let is_new = match BROADCASTS.find(batch.conn, &record.transaction, read_broadcast)? {
        None => true,
        Some(known) if known == *record => false,
        Some(_) => return Err(refuse("broadcast", &record.transaction, "recorded with another content")),
    };
    for key in &record.payments {
        sent(batch, key, &record.transaction)?;
    }
    if is_new { write_broadcast(batch, record) } else { Ok(()) }
}

/// What is final already may be in a transaction that replaces another. What was given up may be begun again by
/// somebody else, so a transaction with it must not be sent.
fn sent(batch: &mut Batch<'_>, key: &PaymentKey, transaction: &str) -> Result<()> {
    match get(batch.conn, key)?.state {
        SettlementState::Pending { .. } => {
            update(batch, key, &SettlementState::Pending { transaction: Some(transaction.to_owned()) })
        }
        SettlementState::Abandoned { .. } => Err(refuse(SETTLEMENTS.what, key.as_str(), "abandoned")),
        SettlementState::Confirmed { .. } | SettlementState::Failed { .. } => Ok(()),
    }
}

fn refuse(what: &'static str, id: &str, state: &str) -> LedgerError {
    LedgerError::WrongState { what, id: id.to_owned(), state: state.to_owned(), wanted: "broadcast" }
}

fn write_broadcast(batch: &mut Batch<'_>, record: &BroadcastRecord) -> Result<()> {
    let payments = serde_json::to_string(&record.payments);
    let payments = payments.map_err(|error| LedgerError::Database(error.to_string()))?;
    let nonce = i64::try_from(record.nonce)
        .map_err(|_| LedgerError::Database(format!("the nonce {} is too large", record.nonce)))?;
    let cells = [
        ("network", Cell::from(record.network.as_str())),
        ("signer", Cell::from(&record.signer)),
        ("nonce", Cell::from(nonce)),
        ("raw", Cell::from(&record.raw)),
        ("payments", Cell::from(payments)),
    ];
    batch.insert(&BROADCASTS, &record.transaction, &cells)?;
    for key in &record.payments {
        batch
            .conn
            .prepare_cached(
                "INSERT OR IGNORE INTO broadcast_payments (settlement, broadcast)
                 SELECT s.number, b.number FROM settlements s, broadcasts b WHERE s.digest = ?1 AND b.tx = ?2",
            )?
            .execute(params![SETTLEMENTS.place(key.as_str()), record.transaction])?;
    }
    Ok(())
}

pub(super) fn find(conn: &Connection, key: &PaymentKey) -> Result<Option<SettlementRecord>> {
    SETTLEMENTS.find(conn, key.as_str(), read)
}

fn get(conn: &Connection, key: &PaymentKey) -> Result<SettlementRecord> {
    let missing = || LedgerError::NotFound { what: SETTLEMENTS.what, id: key.as_str().to_owned() };
    find(conn, key)?.ok_or_else(missing)
}

pub(super) fn pending(conn: &Connection) -> Result<Vec<SettlementRecord>> {
    collect(conn, "SELECT * FROM settlements WHERE state = 'pending' ORDER BY number", [], read)
}

pub(super) fn open_broadcasts(conn: &Connection) -> Result<Vec<BroadcastRecord>> {
    let sql = "SELECT * FROM broadcasts WHERE number IN (
                   SELECT p.broadcast FROM settlements s JOIN broadcast_payments p ON p.settlement = s.number
                   WHERE s.state = 'pending')
               ORDER BY number";
    collect(conn, sql, [], read_broadcast)
}

fn read(row: &Row<'_>) -> Result<SettlementRecord> {
    Ok(SettlementRecord {
        settlement: NewSettlement {
            key: PaymentKey::from_record(row.get("payment_key")?),
            binding: row.get("binding")?,
            payment: row.get("payment")?,
            requirements: row.get("requirements")?,
            pay_to: row.get("pay_to")?,
            network: parsed("a settlement's network", &row.get::<_, String>("network")?)?,
            asset: row.get("asset")?,
            amount: parsed("a settlement's amount", &row.get::<_, String>("amount")?)?,
        },
        state: state(row)?,
        created_at: time(row.get("created_at")?)?,
        updated_at: time(row.get("updated_at")?)?,
    })
}

/// The columns of a state; all of them, so that nothing of the state before remains.
fn columns(state: &SettlementState) -> [(&'static str, Cell<'_>); 5] {
    let (tx, payer, reason, message) = match state {
        SettlementState::Pending { transaction } => {
            (Cell::from(transaction), Cell::Null, Cell::Null, Cell::Null)
        }
        SettlementState::Confirmed { transaction, payer } => {
            (Cell::from(transaction), Cell::from(payer), Cell::Null, Cell::Null)
        }
        SettlementState::Failed { reason, message, transaction } => {
            (Cell::from(transaction), Cell::Null, Cell::from(reason), Cell::from(message))
        }
        SettlementState::Abandoned { why } => (Cell::Null, Cell::Null, Cell::Null, Cell::from(why)),
    };
    [
        ("state", Cell::from(state.as_str())),
        ("tx", tx),
        ("payer", payer),
        ("reason", reason),
        ("message", message),
    ]
}

fn state(row: &Row<'_>) -> Result<SettlementState> {
    let name: String = row.get("state")?;
    Ok(match name.as_str() {
        "pending" => SettlementState::Pending { transaction: row.get("tx")? },
        "confirmed" => SettlementState::Confirmed { transaction: row.get("tx")?, payer: row.get("payer")? },
        "failed" => SettlementState::Failed {
            reason: row.get("reason")?,
            message: row.get("message")?,
            transaction: row.get("tx")?,
        },
        "abandoned" => SettlementState::Abandoned { why: row.get("message")? },
        _ => return Err(corrupt("a settlement's state", &name)),
    })
}

fn read_broadcast(row: &Row<'_>) -> Result<BroadcastRecord> {
    let payments: String = row.get("payments")?;
    Ok(BroadcastRecord {
        network: parsed("a broadcast's network", &row.get::<_, String>("network")?)?,
        signer: row.get("signer")?,
        nonce: row.get("nonce")?,
        transaction: row.get("tx")?,
        raw: row.get("raw")?,
        payments: serde_json::from_str(&payments)
            .map_err(|error| LedgerError::Corrupt(format!("a broadcast's payments: {error}")))?,
    })
}
