//! A seller's claims.

use farthing_protocol::PaymentKey;
use rusqlite::{Connection, Row, params};

use super::journal::Kind;
use super::purchases::{corrupt, parsed, time};
use super::table::{CLAIMS, Cell};
use super::{Batch, Result, collect};
use crate::rules;
use crate::{Claim, ClaimState, Claimed, LedgerError, NewClaim};

/// Takes a payment that nobody has. The table's own index decides who was first.
const TAKE: &str = "
    INSERT INTO claims (digest, payment_key, route, request, payer, pay_to, network, asset, amount, state, detail,
                        answer, created_at, updated_at, seq)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 'taken', NULL, NULL, ?10, ?10, ?11)
    ON CONFLICT (digest) DO UPDATE SET
        payment_key = excluded.payment_key, route = excluded.route, request = excluded.request,
        payer = excluded.payer, pay_to = excluded.pay_to, network = excluded.network, asset = excluded.asset,
        amount = excluded.amount, state = excluded.state, detail = excluded.detail,
        answer = excluded.answer, created_at = excluded.created_at, updated_at = excluded.updated_at, seq = excluded.seq
    WHERE claims.state = 'released'";

/// Moves a claim on that is open and stands as it was seen. The answer that was named last stays named.
const ADVANCE: &str = "
    UPDATE claims SET state = ?2, detail = ?3, updated_at = ?4, seq = ?5, answer = coalesce(?7, answer)
    WHERE digest = ?1 AND seq = ?6 AND state IN ('taken', 'settling')";

pub(super) fn claim(batch: &mut Batch<'_>, claim: &NewClaim) -> Result<Claimed> {
    let (id, amount) = (claim.key.as_str(), claim.amount.to_string());
    let place = CLAIMS.place(id);
    let (now, seq) = (batch.now, batch.next_seq());
    let network = claim.network.as_str();
    let taken = batch.execute(
        TAKE,
        params![
            place,
            id,
            claim.route,
            claim.request,
            claim.payer,
            claim.pay_to,
            network,
            claim.asset,
            amount,
            now,
            seq
        ],
    )?;
    if !taken {
        let known = find(batch.conn, &claim.key)?;
        return known.map(Claimed::Duplicate).ok_or_else(|| corrupt("a claim's place", id));
    }
    let cells = [
        ("route", Cell::from(&claim.route)),
        ("request", Cell::from(&claim.request)),
        ("payer", Cell::from(&claim.payer)),
        ("pay_to", Cell::from(&claim.pay_to)),
        ("network", Cell::from(network)),
        ("asset", Cell::from(&claim.asset)),
        ("amount", Cell::from(amount.as_str())),
        ("state", Cell::from(ClaimState::Taken.as_str())),
        ("detail", Cell::Null),
    ];
    batch.journal(&CLAIMS, Kind::Claimed, id, &cells)?;
    Ok(Claimed::Granted { seq })
}

/// The claim's new row; `None` when it is not at the row that was seen any more.
pub(super) fn advance(
    batch: &mut Batch<'_>,
    key: &PaymentKey,
    seen: i64,
    state: &ClaimState,
    answer: Option<i64>,
) -> Result<Option<i64>> {
    if *state == ClaimState::Taken {
        return refused(batch, key, seen, state);
    }
    let id = key.as_str();
    let (name, detail) = (Cell::from(state.as_str()), detail(state));
    let (place, now, seq) = (CLAIMS.place(id), batch.now, batch.next_seq());
    if !batch.execute(ADVANCE, params![place, name, detail, now, seq, seen, answer])? {
        return refused(batch, key, seen, state);
    }
    let mut cells = vec![("state", name), ("detail", detail)];
    cells.extend(answer.map(|row| ("answer", Cell::from(row))));
    batch.journal(&CLAIMS, Kind::ClaimMoved, id, &cells)?;
    Ok(Some(seq))
}

/// Why a claim did not move: it has moved since it was seen, or it may not.
fn refused(batch: &Batch<'_>, key: &PaymentKey, seen: i64, state: &ClaimState) -> Result<Option<i64>> {
    let known = get(batch.conn, key)?;
    if known.seq == seen {
        rules::move_claim(key.as_str(), &known.state, state)?;
        return Err(corrupt("a claim's row", key.as_str()));
    }
    Ok(None)
}

fn detail(state: &ClaimState) -> Cell<'_> {
    match state {
        ClaimState::Taken => Cell::Null,
        ClaimState::Released { why } => Cell::from(why),
        ClaimState::Settled { transaction } => Cell::from(transaction),
        ClaimState::Settling { transaction } => Cell::from(transaction),
        ClaimState::Failed { reason } => Cell::from(reason),
    }
}

fn get(conn: &Connection, key: &PaymentKey) -> Result<Claim> {
    let missing = || LedgerError::NotFound { what: CLAIMS.what, id: key.as_str().to_owned() };
    find(conn, key)?.ok_or_else(missing)
}

pub(super) fn find(conn: &Connection, key: &PaymentKey) -> Result<Option<Claim>> {
    CLAIMS.find(conn, key.as_str(), read)
}

pub(super) fn open(conn: &Connection) -> Result<Vec<Claim>> {
    let sql = "SELECT * FROM claims WHERE state IN ('taken', 'settling') ORDER BY number";
    collect(conn, sql, [], read)
}

fn read(row: &Row<'_>) -> Result<Claim> {
    Ok(Claim {
        claim: NewClaim {
            key: PaymentKey::from_record(row.get("payment_key")?),
            route: row.get("route")?,
            request: row.get("request")?,
            payer: row.get("payer")?,
            pay_to: row.get("pay_to")?,
            network: parsed("a claim's network", &row.get::<_, String>("network")?)?,
            asset: row.get("asset")?,
            amount: parsed("a claim's amount", &row.get::<_, String>("amount")?)?,
        },
        state: state(&row.get::<_, String>("state")?, row.get("detail")?)?,
        answer: row.get("answer")?,
        created_at: time(row.get("created_at")?)?,
        updated_at: time(row.get("updated_at")?)?,
        seq: row.get("seq")?,
    })
}

fn state(name: &str, detail: Option<String>) -> Result<ClaimState> {
    Ok(match (name, detail) {
        ("taken", None) => ClaimState::Taken,
        ("released", Some(why)) => ClaimState::Released { why },
        ("settled", Some(transaction)) => ClaimState::Settled { transaction },
        ("settling", transaction) => ClaimState::Settling { transaction },
        ("failed", Some(reason)) => ClaimState::Failed { reason },
        _ => return Err(corrupt("a claim's state", name)),
    })
}
