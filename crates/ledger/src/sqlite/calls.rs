//! Calls of tools: admitted with what they take, ended with what they give back.
//!
//! A call is no record of its own, only rows of the journal. What an end may give back waits in `holds`; a call that
//! takes nothing that is ever given back has no row there.

use farthing_policy::{CallPlan, Denial, Refund};
use rusqlite::{Connection, OptionalExtension, params};
use serde::{Deserialize, Serialize};

use super::counters::{self, Taken};
use super::journal::Kind;
use super::table::{Cell, canonical};
use super::told::{self, Told};
use super::{Batch, Result, approvals, freeze, json};
use crate::{Admitted, CallEnd, CallOutcome, LedgerError, NewCall, Noted, PolicyChange};

/// The journal's body of a call that was let through. The fields are in the order of their names.
#[derive(Serialize)]
struct Granted<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    agent: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    approval: Option<&'a str>,
    arguments: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    charges: &'a [Taken],
    policy_hash: &'a str,
    server: &'a str,
    session: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    shadowed: Vec<Told<'a>>,
    tool: &'a str,
}

/// The journal's body of the end of a call.
#[derive(Serialize, Deserialize)]
pub(super) struct Ended {
    /// The journal's row that admitted it, where this end took the call's row from `holds`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) call: Option<i64>,
    pub(super) outcome: CallOutcome,
    /// What was given back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) refunded: Vec<Taken>,
}

/// What is taken of each counter that a call was charged, as its row in the journal says.
#[derive(Deserialize)]
pub(super) struct Charged {
    #[serde(default)]
    pub(super) charges: Vec<Taken>,
}

/// Whatever may refuse comes first, so that a refusal has nothing to undo.
pub(super) fn admit(batch: &mut Batch<'_>, call: &NewCall, plan: &CallPlan) -> Result<Admitted> {
    if let Some(frozen) = freeze::now(batch)? {
        return deny(batch, call, frozen.denial());
    }
    let shadowed = match decide(batch, plan)? {
        Ok(shadowed) => shadowed,
        Err(denial) => return deny(batch, call, denial),
    };
    let taken: Vec<_> = plan.charges.iter().map(Taken::of).collect();
    let changes = counters::take(batch.conn, &taken, batch.now)?;
    let approval = match &plan.approval {
        None => None,
        Some(need) => match approvals::look(batch, need, &call.policy_hash)? {
            Ok(id) => Some(id),
            Err(denial) => return deny(batch, call, denial),
        },
    };
    hold(batch, call, &taken)?;
    counters::write(batch.conn, &changes)?;
    grant(batch, call, &taken, approval.as_deref(), &shadowed)?;
    if let Some(id) = &approval {
        approvals::take(batch, id, &call.id)?;
    }
    Ok(Admitted::Granted { shadowed })
}

/// Looks again before somebody is told, with the time at which it may be worth trying again.
fn decide(batch: &Batch<'_>, plan: &CallPlan) -> Result<std::result::Result<Vec<Denial>, Denial>> {
    let used = counters::usage(batch.conn, &plan.counters, batch.now, false)?;
    match plan.decide(&used) {
        Ok(shadowed) if shadowed.is_empty() => Ok(Ok(shadowed)),
        _ => Ok(plan.decide(&counters::usage(batch.conn, &plan.counters, batch.now, true)?)),
    }
}

fn grant(
    batch: &mut Batch<'_>,
    call: &NewCall,
    charges: &[Taken],
    approval: Option<&str>,
    shadowed: &[Denial],
) -> Result<()> {
    let body = json(&Granted {
        agent: call.agent.as_deref(),
        approval,
        arguments: &call.arguments,
        charges,
        policy_hash: &call.policy_hash,
        server: &call.server,
        session: &call.session,
        shadowed: shadowed.iter().map(Told::of).collect(),
        tool: &call.tool,
    })?;
    batch.append(Kind::Call, &call.id, &body)
}

fn deny(batch: &mut Batch<'_>, call: &NewCall, denial: Denial) -> Result<Admitted> {
    let mut cells = vec![
        ("agent", Cell::from(&call.agent)),
        ("arguments", Cell::from(&call.arguments)),
        ("policy_hash", Cell::from(&call.policy_hash)),
        ("server", Cell::from(&call.server)),
        ("session", Cell::from(&call.session)),
        ("tool", Cell::from(&call.tool)),
    ];
    cells.extend(told::cells(&denial)?);
    batch.append(Kind::CallDenied, &call.id, &canonical(&cells.into_iter().collect())?)?;
    Ok(Admitted::Denied(denial))
}

/// A decision that was made without the ledger.
pub(super) fn note(batch: &mut Batch<'_>, call: &NewCall, decision: &Noted) -> Result<()> {
    match decision {
        Noted::Allowed { shadowed } => grant(batch, call, &[], None, shadowed),
        Noted::Denied(denial) => deny(batch, call, denial.clone()).map(drop),
    }
}

/// Writes which policy is in force. Its row stands under the policy's hash.
pub(super) fn policy_read(batch: &mut Batch<'_>, server: &str, change: &PolicyChange) -> Result<()> {
    let (kind, hash, why) = match change {
        PolicyChange::Loaded { hash } => (Kind::PolicyLoaded, hash, Cell::Null),
        PolicyChange::Refused { hash, why } => (Kind::PolicyRefused, hash, Cell::from(why)),
    };
    let body = [("message", why), ("policy_hash", Cell::from(hash)), ("server", Cell::from(server))];
    batch.append(kind, hash, &canonical(&body.into_iter().collect())?)
}

/// Keeps what an end may give back. The journal's next row must be the call's.
fn hold(batch: &Batch<'_>, call: &NewCall, taken: &[Taken]) -> Result<()> {
    let back: Vec<_> = taken.iter().filter(|taken| taken.refund() != Refund::Never).collect();
    if back.is_empty() {
        return Ok(());
    }
    let sql = "INSERT OR IGNORE INTO holds (call, seq, at, charges) VALUES (?1, ?2, ?3, ?4)";
    let values = params![call.id, batch.next_seq(), batch.now, json(&back)?];
    match batch.conn.prepare_cached(sql)?.execute(values)? {
        0 => Err(LedgerError::WrongState {
            what: "call",
            id: call.id.clone(),
            state: "admitted".to_owned(),
            wanted: "admitted",
        }),
        _ => Ok(()),
    }
}

/// What an end may give back: the journal's row of the call, when it was admitted, and what it took.
struct Hold {
    seq: i64,
    at: i64,
    taken: Vec<Taken>,
}

/// The first end of a call takes its row from `holds`: whatever comes later gives nothing back.
pub(super) fn end(batch: &mut Batch<'_>, id: &str, end: CallEnd) -> Result<()> {
    if end.outcome == CallOutcome::Answered {
        return unhold(batch.conn, id);
    }
    let mut ended = Ended { call: None, outcome: end.outcome, refunded: Vec::new() };
    if let Some(Hold { seq, at, mut taken }) = held(batch.conn, id)? {
        taken.retain(|taken| end.outcome.gives_back(taken.refund()));
        let changes = counters::give_back(batch.conn, &taken, at)?;
        counters::write(batch.conn, &changes)?;
        unhold(batch.conn, id)?;
        ended = Ended { call: Some(seq), refunded: taken, ..ended };
    }
    batch.append(Kind::CallEnded, id, &json(&ended)?)
}

fn held(conn: &Connection, id: &str) -> Result<Option<Hold>> {
    let mut statement = conn.prepare_cached("SELECT seq, at, charges FROM holds WHERE call = ?1")?;
    let found = statement.query_row([id], |row| Ok((row.get(0)?, row.get(1)?, row.get::<_, String>(2)?)));
    let Some((seq, at, charges)) = found.optional()? else { return Ok(None) };
    let taken = serde_json::from_str(&charges)
        .map_err(|error| LedgerError::Corrupt(format!("what call {id} may give back: {error}")))?;
    Ok(Some(Hold { seq, at, taken }))
}

fn unhold(conn: &Connection, id: &str) -> Result<()> {
    conn.prepare_cached("DELETE FROM holds WHERE call = ?1")?.execute([id])?;
    Ok(())
}
