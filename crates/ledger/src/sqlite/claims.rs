//! A seller's claims.

use farthing_protocol::PaymentKey;
use rusqlite::{Connection, Row};

use super::journal::Kind;
use super::purchases::{corrupt, parsed, time};
use super::table::{CLAIMS, Cell};
use super::{Batch, Result, collect};
use crate::rules::{self, Step};
use crate::{Claim, ClaimState, Claimed, LedgerError, NewClaim};

pub(super) fn claim(batch: &mut Batch<'_>, claim: &NewClaim) -> Result<Claimed> {
    match find(batch.conn, &claim.key)? {
        Some(known) if !matches!(known.state, ClaimState::Released { .. }) => Ok(Claimed::Duplicate(known)),
        _ => {
            let cells = [
                ("route", Cell::from(&claim.route)),
                ("request", Cell::from(&claim.request)),
                ("payer", Cell::from(&claim.payer)),
                ("pay_to", Cell::from(&claim.pay_to)),
                ("network", Cell::from(claim.network.as_str())),
                ("asset", Cell::from(&claim.asset)),
                ("amount", Cell::from(claim.amount.to_string())),
                ("state", Cell::from(ClaimState::Taken.as_str())),
                ("detail", Cell::Null),
            ];
            batch.insert(&CLAIMS, claim.key.as_str(), &cells)?;
            Ok(Claimed::Granted)
        }
    }
}

pub(super) fn update(batch: &mut Batch<'_>, key: &PaymentKey, state: &ClaimState) -> Result<bool> {
    let id = key.as_str();
    let known = find(batch.conn, key)?;
    let known = known.ok_or_else(|| LedgerError::NotFound { what: CLAIMS.what, id: id.to_owned() })?;
    if rules::move_claim(id, &known.state, state)? == Step::Already {
        return Ok(false);
    }
    write(batch, id, state).map(|()| true)
}

pub(super) fn release(batch: &mut Batch<'_>, key: &PaymentKey, why: &str) -> Result<bool> {
    let id = key.as_str();
    let known = find(batch.conn, key)?;
    let known = known.ok_or_else(|| LedgerError::NotFound { what: CLAIMS.what, id: id.to_owned() })?;
    if rules::release_claim(id, &known.state)? == Step::Already {
        return Ok(false);
    }
    write(batch, id, &ClaimState::Released { why: why.to_owned() }).map(|()| true)
}

fn write(batch: &mut Batch<'_>, id: &str, state: &ClaimState) -> Result<()> {
    let detail = match state {
        ClaimState::Taken => Cell::Null,
        ClaimState::Released { why } => Cell::from(why),
        ClaimState::Settled { transaction } => Cell::from(transaction),
        ClaimState::Settling { transaction } => Cell::from(transaction),
        ClaimState::Failed { reason } => Cell::from(reason),
    };
    let cells = [("state", Cell::from(state.as_str())), ("detail", detail)];
    batch.update(&CLAIMS, Kind::ClaimMoved, id, &cells)
}

fn find(conn: &Connection, key: &PaymentKey) -> Result<Option<Claim>> {
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
        created_at: time(row.get("created_at")?)?,
        updated_at: time(row.get("updated_at")?)?,
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
