//! Approvals: asked for, decided by a person, used once.
//!
//! Nothing is written when one expires: a pending or approved one whose time is over counts as expired.

use farthing_ambient::Timestamp;
use farthing_policy::{ApprovalNeed, Denial, DenialCode, PendingApproval};
use rusqlite::{Connection, OptionalExtension, Row, params};
use sha2::{Digest, Sha256};

use super::journal::Kind;
use super::purchases::{corrupt, time};
use super::table::{APPROVALS, Cell};
use super::{Batch, Result, collect};
use crate::{Approval, ApprovalFilter, ApprovalState, LedgerError};

/// How many may wait for a person: nobody reads more, and an agent must not fill the disk.
const MOST_PENDING: i64 = 1000;

/// What holds now for exactly these terms under this policy. There is at most one.
const OPEN: &str = "
    SELECT id, state, expires_at FROM approvals
    WHERE terms_hash = ?1 AND policy_hash = ?2 AND state IN ('pending', 'approved', 'denied') AND expires_at > ?3
    ORDER BY number DESC LIMIT 1";

/// The id of an approval that may be used; or why there is none. One is asked for then.
pub(super) fn look(
    batch: &mut Batch<'_>,
    need: &ApprovalNeed,
    policy_hash: &str,
) -> Result<std::result::Result<String, Denial>> {
    let hash = hex::encode(Sha256::digest(need.terms.as_bytes()));
    let open = batch
        .conn
        .prepare_cached(OPEN)?
        .query_row(params![hash, policy_hash, batch.now], |row| {
            Ok((row.get(0)?, row.get::<_, String>(1)?, row.get(2)?))
        })
        .optional()?;
    match open {
        Some((id, state, _)) if state == ApprovalState::Approved.as_str() => Ok(Ok(id)),
        Some((id, state, until)) if state == ApprovalState::Denied.as_str() => {
            Ok(Err(denied(need, &id, until, batch.now)))
        }
        Some((id, _, until)) => Ok(Err(pending(need, id, until, batch.now))),
        None if count_pending(batch.conn, batch.now)? >= MOST_PENDING => Ok(Err(too_many(need))),
        None => {
            let (id, until) = ask(batch, need, &hash, policy_hash)?;
            batch.untold.add(&id);
            Ok(Err(pending(need, id, until, batch.now)))
        }
    }
}

/// How many wait for a person at `now`.
pub(super) fn count_pending(conn: &Connection, now: i64) -> Result<i64> {
    let sql = "SELECT count(*) FROM approvals WHERE state = 'pending' AND expires_at > ?1";
    Ok(conn.prepare_cached(sql)?.query_row([now], |row| row.get(0))?)
}

/// Asks for a person's approval.
fn ask(batch: &mut Batch<'_>, need: &ApprovalNeed, hash: &str, policy_hash: &str) -> Result<(String, i64)> {
    let valid = i64::try_from(need.valid.as_millis()).unwrap_or(i64::MAX);
    let id = format!("a{}", batch.next_seq());
    let until = after(batch.now, valid);
    let cells = [
        ("rule", Cell::from(&need.rule)),
        ("terms", Cell::from(&need.terms)),
        ("terms_hash", Cell::from(hash)),
        ("policy_hash", Cell::from(policy_hash)),
        ("state", Cell::from(ApprovalState::Pending.as_str())),
        ("valid", Cell::from(valid)),
        ("expires_at", Cell::from(until)),
        ("decided_at", Cell::Null),
        ("decided_by", Cell::Null),
        ("used_by", Cell::Null),
    ];
    batch.insert(&APPROVALS, &id, &cells)?;
    Ok((id, until))
}

/// The time so many milliseconds later, within what a time can be.
fn after(now: i64, valid: i64) -> i64 {
    now.saturating_add(valid).min(Timestamp::MAX.as_second() * 1000)
}

/// Whole seconds, of which the last has begun.
fn seconds(until: i64, now: i64) -> u64 {
    u64::try_from(until - now).unwrap_or_default().div_ceil(1000)
}

fn pending(need: &ApprovalNeed, id: String, until: i64, now: i64) -> Denial {
    let how = format!("farthing approvals approve {id}");
    let message = format!("rule `{}` asks for a person's approval: {how}", need.rule);
    let expires_in_seconds = seconds(until, now);
    let approval = Some(PendingApproval { id, how, expires_in_seconds });
    Denial { approval, ..Denial::new(DenialCode::ApprovalRequired, &need.rule, message) }
}

fn denied(need: &ApprovalNeed, id: &str, until: i64, now: i64) -> Denial {
    let message = format!("a person has denied this (approval {id}, rule `{}`)", need.rule);
    let retry_after_seconds = Some(seconds(until, now).saturating_add(1));
    Denial { retry_after_seconds, ..Denial::new(DenialCode::ApprovalDenied, &need.rule, message) }
}

fn too_many(need: &ApprovalNeed) -> Denial {
    let message = format!(
        "rule `{}` asks for a person's approval, and {MOST_PENDING} others wait for one already: see farthing approvals",
        need.rule
    );
    Denial::new(DenialCode::ApprovalRequired, &need.rule, message)
}

/// Uses up an approval that [`look`] has found in this transaction.
pub(super) fn take(batch: &mut Batch<'_>, id: &str, by: &str) -> Result<()> {
    let cells = [("state", Cell::from(ApprovalState::Used.as_str())), ("used_by", Cell::from(by))];
    batch.update(&APPROVALS, Kind::ApprovalUsed, id, &cells)
}

/// Writes a person's decision, which holds as long again as the request did.
pub(super) fn decide(batch: &mut Batch<'_>, id: &str, approve: bool, by: &str) -> Result<()> {
    let wanted = if approve { ApprovalState::Approved } else { ApprovalState::Denied };
    let (known, valid) = find(batch.conn, id, batch.now)?.ok_or_else(|| missing(id))?;
    if known.state != ApprovalState::Pending {
        let state = known.state.as_str().to_owned();
        let wanted = wanted.as_str();
        return Err(LedgerError::WrongState { what: APPROVALS.what, id: known.id, state, wanted });
    }
    let cells = [
        ("state", Cell::from(wanted.as_str())),
        ("expires_at", Cell::from(after(batch.now, valid))),
        ("decided_at", Cell::from(batch.now)),
        ("decided_by", Cell::from(by)),
    ];
    batch.update(&APPROVALS, Kind::ApprovalDecided, id, &cells)
}

/// One approval as it stands at `now`.
pub(super) fn get(conn: &Connection, id: &str, now: i64) -> Result<Approval> {
    find(conn, id, now)?.map(|(approval, _)| approval).ok_or_else(|| missing(id))
}

fn missing(id: &str) -> LedgerError {
    LedgerError::NotFound { what: APPROVALS.what, id: id.to_owned() }
}

/// The approval, and for how many milliseconds a decision holds.
fn find(conn: &Connection, id: &str, now: i64) -> Result<Option<(Approval, i64)>> {
    APPROVALS.find(conn, id, |row| Ok((read(row, now)?, row.get("valid")?)))
}

pub(super) fn list(conn: &Connection, filter: &ApprovalFilter, now: i64) -> Result<Vec<Approval>> {
    let after = match &filter.after {
        Some(id) => number(conn, id)?,
        None if filter.oldest_first => i64::MIN,
        None => i64::MAX,
    };
    // The index of those that are pending is used where its own words stand.
    let condition = match filter.pending {
        None => "?1 IS NOT NULL",
        Some(true) => "state = 'pending' AND expires_at > ?1",
        Some(false) => "NOT (state = 'pending' AND expires_at > ?1)",
    };
    let (beyond, order) = if filter.oldest_first { (">", "ASC") } else { ("<", "DESC") };
    let sql = format!(
        "SELECT * FROM approvals WHERE {condition} AND number {beyond} ?2 ORDER BY number {order} LIMIT ?3"
    );
    // A negative limit is none.
    let limit = filter.limit.map_or(-1, i64::from);
    collect(conn, &sql, params![now, after, limit], |row| read(row, now))
}

fn number(conn: &Connection, id: &str) -> Result<i64> {
    let mut statement = conn.prepare_cached("SELECT number FROM approvals WHERE id = ?1")?;
    statement.query_row([id], |row| row.get(0)).optional()?.ok_or_else(|| missing(id))
}

fn read(row: &Row<'_>, now: i64) -> Result<Approval> {
    let expires_at: i64 = row.get("expires_at")?;
    let decided_at: Option<i64> = row.get("decided_at")?;
    Ok(Approval {
        id: row.get("id")?,
        rule: row.get("rule")?,
        terms: row.get("terms")?,
        terms_hash: row.get("terms_hash")?,
        policy_hash: row.get("policy_hash")?,
        state: state(&row.get::<_, String>("state")?, expires_at <= now)?,
        created_at: time(row.get("created_at")?)?,
        expires_at: time(expires_at)?,
        decided_at: decided_at.map(time).transpose()?,
        decided_by: row.get("decided_by")?,
        used_by: row.get("used_by")?,
    })
}

fn state(name: &str, is_over: bool) -> Result<ApprovalState> {
    Ok(match name {
        "used" => ApprovalState::Used,
        "pending" | "approved" | "denied" if is_over => ApprovalState::Expired,
        "pending" => ApprovalState::Pending,
        "approved" => ApprovalState::Approved,
        "denied" => ApprovalState::Denied,
        _ => return Err(corrupt("an approval's state", name)),
    })
}
