//! Purchases: reserved, signed, answered, ended.

use std::collections::BTreeSet;

use farthing_ambient::Timestamp;
use farthing_money::Usd;
use farthing_policy::{Denial, Needs};
use farthing_protocol::PaymentKey;
use rusqlite::{Connection, OptionalExtension, Row, params_from_iter};

use super::budget::Room;
use super::host::host;
use super::journal::Kind;
use super::select::Selection;
use super::table::{Cell, PURCHASES, canonical};
use super::told::{self, Told};
use super::{Batch, Result, approvals, budget, collect, freeze, journal, json};
use crate::rules::{self, Step};
use crate::{
    JournalRow, LedgerError, NewPurchase, Outcome, Purchase, PurchaseFilter, PurchaseId, PurchaseState,
    Reserved, ResponseRecord, SignedRecord,
};

pub(super) fn reserve(batch: &mut Batch<'_>, purchase: &NewPurchase, needs: &Needs) -> Result<Reserved> {
    if let Some((known, _)) = find(batch.conn, &purchase.id)? {
        return Err(rules::refuse(&known, PurchaseState::Reserved.as_str()));
    }
    if let Some(frozen) = freeze::now(batch)? {
        return deny(batch, purchase, frozen.denial());
    }
    let room = match budget::admit(batch.conn, &needs.limits, purchase.value, batch.now)? {
        Ok(room) => Room { shadowed: [needs.shadowed.clone(), room.shadowed].concat(), ..room },
        Err(denial) => return deny(batch, purchase, denial),
    };
    let approval = match &needs.approval {
        None => None,
        Some(need) => match approvals::look(batch, need, &purchase.policy_hash)? {
            Ok(id) => Some(id),
            Err(denial) => return deny(batch, purchase, denial),
        },
    };
    grant(batch, purchase, needs, &room)?;
    if let Some(id) = approval {
        approvals::take(batch, &id, &purchase.id.0)?;
    }
    Ok(Reserved::Granted { used: room.used, shadowed: room.shadowed })
}

fn grant(batch: &mut Batch<'_>, purchase: &NewPurchase, needs: &Needs, room: &Room) -> Result<()> {
    let scopes = budget::scopes(purchase, &needs.limits, room);
    budget::reserve(batch.conn, &scopes, batch.now, purchase.value)?;
    let shadowed = match room.shadowed.as_slice() {
        [] => Cell::Null,
        shadowed => Cell::from(json(&shadowed.iter().map(Told::of).collect::<Vec<_>>())?),
    };
    let cells = [
        ("method", Cell::from(&purchase.method)),
        ("url", Cell::from(&purchase.url)),
        ("host", host(&purchase.url).map_or(Cell::Null, Cell::from)),
        ("request_digest", Cell::from(&purchase.request_digest)),
        ("protocol", Cell::from(&purchase.protocol)),
        ("scheme", Cell::from(&purchase.scheme)),
        ("network", Cell::from(purchase.network.as_str())),
        ("asset", Cell::from(&purchase.asset)),
        ("amount", Cell::from(purchase.amount.to_string())),
        ("value", Cell::from(purchase.value.get().to_string())),
        ("pay_to", Cell::from(&purchase.pay_to)),
        ("payer", Cell::from(&purchase.payer)),
        ("offer", Cell::from(&purchase.offer)),
        ("policy_hash", Cell::from(&purchase.policy_hash)),
        ("agent", Cell::from(&purchase.agent)),
        ("session", Cell::from(&purchase.session)),
        ("shadowed", shadowed),
        ("scopes", Cell::from(json(&scopes)?)),
        ("state", Cell::from(PurchaseState::Reserved.as_str())),
    ];
    batch.insert(&PURCHASES, &purchase.id.0, &cells)
}

/// A refusal stands in the journal only: what was wanted, and why not.
fn deny(batch: &mut Batch<'_>, purchase: &NewPurchase, denial: Denial) -> Result<Reserved> {
    let mut cells = vec![
        ("method", Cell::from(&purchase.method)),
        ("url", Cell::from(&purchase.url)),
        ("network", Cell::from(purchase.network.as_str())),
        ("asset", Cell::from(&purchase.asset)),
        ("amount", Cell::from(purchase.amount.to_string())),
        ("value", Cell::from(purchase.value.get().to_string())),
        ("pay_to", Cell::from(&purchase.pay_to)),
        ("policy_hash", Cell::from(&purchase.policy_hash)),
        ("agent", Cell::from(&purchase.agent)),
        ("session", Cell::from(&purchase.session)),
    ];
    cells.extend(told::cells(&denial)?);
    batch.append(Kind::Denied, &purchase.id.0, &canonical(&cells.into_iter().collect())?)?;
    Ok(Reserved::Denied(denial))
}

pub(super) fn signed(batch: &mut Batch<'_>, id: &PurchaseId, signed: &SignedRecord) -> Result<()> {
    rules::sign(&get(batch.conn, id)?)?;
    // What was reserved before a freeze must not leave the machine after it.
    freeze::refuse(batch)?;
    let cells = [
        ("state", Cell::from(PurchaseState::Signed.as_str())),
        ("payment_key", Cell::from(signed.key.as_str())),
        ("header_name", Cell::from(&signed.header_name)),
        ("header_value", Cell::from(&signed.header_value)),
        ("valid_before", Cell::from(signed.valid_before.as_millisecond())),
    ];
    batch.update(&PURCHASES, Kind::Signed, &id.0, &cells)
}

pub(super) fn responded(batch: &mut Batch<'_>, id: &PurchaseId, response: &ResponseRecord) -> Result<()> {
    if rules::respond(&get(batch.conn, id)?, response)? == Step::Already {
        return Ok(());
    }
    let bytes = i64::try_from(response.body_bytes)
        .map_err(|_| LedgerError::Database("a response of more than 2^63 bytes".to_owned()))?;
    let cells = [
        ("response_status", Cell::from(i64::from(response.status))),
        ("response_type", Cell::from(&response.content_type)),
        ("response_digest", Cell::from(&response.body_digest)),
        ("response_bytes", Cell::from(bytes)),
        ("response_file", Cell::from(&response.body_file)),
        ("response_settlement", Cell::from(&response.settlement)),
    ];
    batch.update(&PURCHASES, Kind::Responded, &id.0, &cells)
}

/// Looks and releases in one transaction: what has been signed since is not released.
pub(super) fn release_unsigned(batch: &mut Batch<'_>, id: &PurchaseId, why: &str) -> Result<()> {
    match rules::release_unsigned(&get(batch.conn, id)?)? {
        Step::Already => Ok(()),
        Step::Write => finish(batch, id, &Outcome::NotPaid { why: why.to_owned() }),
    }
}

pub(super) fn finish(batch: &mut Batch<'_>, id: &PurchaseId, outcome: &Outcome) -> Result<()> {
    let (purchase, scopes) = find(batch.conn, id)?.ok_or_else(|| missing(id))?;
    if rules::finish(&purchase, outcome)? == Step::Already {
        return Ok(());
    }
    let detail = match outcome {
        Outcome::Paid { transaction } => Cell::from(transaction),
        Outcome::NotPaid { why } => {
            let reserved_at = purchase.created_at.as_millisecond();
            budget::release(batch.conn, &scopes, reserved_at, purchase.terms.value)?;
            Cell::from(why)
        }
        Outcome::Unknown { why } => Cell::from(why),
    };
    let cells = [("state", Cell::from(outcome.state().as_str())), ("detail", detail)];
    batch.update(&PURCHASES, Kind::Finished, &id.0, &cells)
}

pub(super) fn get(conn: &Connection, id: &PurchaseId) -> Result<Purchase> {
    find(conn, id)?.map(|(purchase, _)| purchase).ok_or_else(|| missing(id))
}

/// The journal's row by which it last changed.
pub(super) fn row(conn: &Connection, id: &PurchaseId) -> Result<Vec<JournalRow>> {
    let mut statement = conn.prepare_cached("SELECT seq FROM purchases WHERE id = ?1")?;
    let seq: Option<i64> = statement.query_row([&id.0], |row| row.get(0)).optional()?;
    journal::rows(conn, seq.ok_or_else(|| missing(id))? - 1, 1)
}

pub(super) fn missing(id: &PurchaseId) -> LedgerError {
    LedgerError::NotFound { what: PURCHASES.what, id: id.to_string() }
}

fn find(conn: &Connection, id: &PurchaseId) -> Result<Option<(Purchase, BTreeSet<String>)>> {
    PURCHASES.find(conn, &id.0, |row| Ok((read(row)?, scopes(row)?)))
}

pub(super) fn list(conn: &Connection, filter: &PurchaseFilter) -> Result<Vec<Purchase>> {
    let selection = Selection::of(conn, filter)?;
    let sql = format!("SELECT * FROM purchases {}", selection.sql());
    collect(conn, &sql, params_from_iter(&selection.parameters), read)
}

fn read(row: &Row<'_>) -> Result<Purchase> {
    let state = state(row)?;
    Ok(Purchase {
        terms: terms(row)?,
        state,
        created_at: time(row.get("created_at")?)?,
        updated_at: time(row.get("updated_at")?)?,
        signed: signed_record(row)?,
        response: response(row)?,
        outcome: outcome(state, row.get("detail")?)?,
    })
}

fn terms(row: &Row<'_>) -> Result<NewPurchase> {
    let value: String = row.get("value")?;
    Ok(NewPurchase {
        id: PurchaseId(row.get("id")?),
        method: row.get("method")?,
        url: row.get("url")?,
        request_digest: row.get("request_digest")?,
        protocol: row.get("protocol")?,
        scheme: row.get("scheme")?,
        network: parsed("network", &row.get::<_, String>("network")?)?,
        asset: row.get("asset")?,
        amount: parsed("amount", &row.get::<_, String>("amount")?)?,
        value: Usd::new(parsed("value", &value)?),
        pay_to: row.get("pay_to")?,
        payer: row.get("payer")?,
        offer: row.get("offer")?,
        policy_hash: row.get("policy_hash")?,
        agent: row.get("agent")?,
        session: row.get("session")?,
    })
}

fn scopes(row: &Row<'_>) -> Result<BTreeSet<String>> {
    let json: String = row.get("scopes")?;
    serde_json::from_str(&json).map_err(|error| LedgerError::Corrupt(format!("a purchase's scopes: {error}")))
}

pub(super) fn state(row: &Row<'_>) -> Result<PurchaseState> {
    let name: String = row.get("state")?;
    let known = PurchaseState::ALL.into_iter().find(|state| state.as_str() == name);
    known.ok_or_else(|| corrupt("a purchase's state", &name))
}

fn signed_record(row: &Row<'_>) -> Result<Option<SignedRecord>> {
    let Some(key) = row.get("payment_key")? else { return Ok(None) };
    Ok(Some(SignedRecord {
        key: PaymentKey::from_record(key),
        header_name: row.get("header_name")?,
        header_value: row.get("header_value")?,
        valid_before: time(row.get("valid_before")?)?,
    }))
}

fn response(row: &Row<'_>) -> Result<Option<ResponseRecord>> {
    let Some(status) = row.get("response_status")? else { return Ok(None) };
    Ok(Some(ResponseRecord {
        status,
        content_type: row.get("response_type")?,
        body_digest: row.get("response_digest")?,
        body_bytes: row.get("response_bytes")?,
        body_file: row.get("response_file")?,
        settlement: row.get("response_settlement")?,
    }))
}

fn outcome(state: PurchaseState, detail: Option<String>) -> Result<Option<Outcome>> {
    let why = |detail: Option<String>| detail.ok_or_else(|| corrupt("a purchase's detail", "nothing"));
    Ok(match state {
        PurchaseState::Reserved | PurchaseState::Signed => None,
        PurchaseState::Paid => Some(Outcome::Paid { transaction: detail }),
        PurchaseState::NotPaid => Some(Outcome::NotPaid { why: why(detail)? }),
        PurchaseState::Unknown => Some(Outcome::Unknown { why: why(detail)? }),
    })
}

/// A time from its column.
pub(super) fn time(milliseconds: i64) -> Result<Timestamp> {
    Timestamp::from_millisecond(milliseconds).map_err(|_| corrupt("a time", &milliseconds.to_string()))
}

/// A value from its text.
pub(super) fn parsed<T: std::str::FromStr>(what: &str, text: &str) -> Result<T> {
    text.parse().map_err(|_| corrupt(what, text))
}

/// A column holds what was never written.
pub(super) fn corrupt(what: &str, found: &str) -> LedgerError {
    LedgerError::Corrupt(format!("{what} is `{}`", found.escape_debug()))
}
