//! What was used of budgets, kept per scope in buckets of time, so that any window of any policy can be added up.
//!
//! - A reservation counts in the buckets of the time at which it was made, in each of its scopes: always `all`, the
//!   host's and the payee's, and the scopes of the limits that it had to fit into. So a policy that is made later sees
//!   the use before it.
//! - A limit for first uses looks and counts only while nothing was ever used of the scope that it names.
//! - A release takes the amount from exactly those buckets. It does not give the count back: a rate limits attempts.

use std::collections::BTreeSet;
use std::time::Duration;

use farthing_money::Usd;
use farthing_policy::{Denial, DenialCode, Limit, Measure, Usage};
use rusqlite::{Connection, OptionalExtension, params};

use super::Result;
use super::host::host;
use crate::window::{Frees, Stretch, Unit, reach};
use crate::{LedgerError, NewPurchase};

/// How many scopes are looked at where a limit counts apart.
const MOST_SCOPES: usize = 10_000;

/// What the limits say to a payment that may be made.
#[derive(Default)]
pub(super) struct Room {
    /// Every limit that applies, with its use after the payment.
    pub(super) used: Vec<(Limit, Usage)>,
    /// What limits in shadow mode would have denied.
    pub(super) shadowed: Vec<Denial>,
}

/// Every scope that a purchase counts in.
pub(super) fn scopes(purchase: &NewPurchase, limits: &[Limit], room: &Room) -> BTreeSet<String> {
    let mut scopes: BTreeSet<String> = room.used.iter().map(|(limit, _)| limit.scope.clone()).collect();
    // Whatever it is called: from now on it is no first use any more.
    scopes.extend(limits.iter().filter_map(|limit| limit.first_use_of.clone()));
    scopes.insert("all".to_owned());
    scopes.extend(host(&purchase.url).map(|host| format!("host:{host}")));
    scopes.insert(match purchase.network.namespace() {
        "eip155" => format!("payee:{}", purchase.pay_to.to_ascii_lowercase()),
        _ => format!("payee:{}", purchase.pay_to),
    });
    scopes
}

/// Every limit that applies, with its use after a payment of `value` at `now`; or the first that has no room.
pub(super) fn admit(
    conn: &Connection,
    limits: &[Limit],
    value: Usd,
    now: i64,
) -> Result<std::result::Result<Room, Denial>> {
    let mut room = Room::default();
    for limit in limits {
        if !applies(conn, limit)? {
            continue;
        }
        // There is room again when the use fits in beside the payment; where that is never, waiting is useless.
        let beside = limit.beside(value);
        let mut used = usage(conn, beside.as_ref().unwrap_or(limit), now)?;
        used.frees_in = beside.and(used.frees_in);
        let after = match limit.admit(used, value) {
            Ok(after) => after,
            Err(denial) if limit.shadow => {
                room.shadowed.push(explained(limit, denial));
                let amount = used.amount.checked_add(value).unwrap_or(Usd::new(u128::MAX));
                Usage { amount, count: used.count.saturating_add(1), frees_in: used.frees_in }
            }
            Err(denial) => return Ok(Err(explained(limit, denial))),
        };
        room.used.push((limit.clone(), after));
    }
    Ok(Ok(room))
}

/// A limit for first uses does not apply once its scope was used.
fn applies(conn: &Connection, limit: &Limit) -> Result<bool> {
    match &limit.first_use_of {
        None => Ok(true),
        Some(scope) => Ok(bucket(conn, scope, Unit::Total, 0)?.is_none()),
    }
}

/// A limit for first uses says what was new.
fn explained(limit: &Limit, denial: Denial) -> Denial {
    let Some(scope) = &limit.first_use_of else { return denial };
    let message = format!("`{scope}` was never paid before, and {}", denial.message);
    Denial { code: DenialCode::TooManyNewPayees, message, ..denial }
}

/// What is used of a limit at `now`; nothing where it does not apply.
pub(super) fn usage_where_it_applies(conn: &Connection, limit: &Limit, now: i64) -> Result<Usage> {
    if applies(conn, limit)? { usage(conn, limit, now) } else { Ok(Usage::default()) }
}

/// What is used of a limit at `now`.
pub(super) fn usage(conn: &Connection, limit: &Limit, now: i64) -> Result<Usage> {
    let reach = reach(limit.window, now);
    let mut usage = Usage::default();
    for stretch in &reach.stretches {
        add_up(conn, &limit.scope, *stretch, &mut usage)?;
    }
    let freed_at = match reach.frees {
        Frees::Never => None,
        Frees::At(end) => Some(end),
        Frees::After { stretch, delay } => {
            last_to_leave(conn, limit, stretch, usage)?.map(|start| start + delay)
        }
    };
    usage.frees_in = freed_at.and_then(|at| u64::try_from(at - now).ok()).map(Duration::from_millis);
    Ok(usage)
}

/// The scopes that begin so and were ever used, at most [`MOST_SCOPES`]. It goes from one to the next by the index, so that
/// their buckets, of which there are many, are not read.
pub(super) fn used_scopes(conn: &Connection, start: &str) -> Result<Vec<String>> {
    let mut next = conn.prepare_cached("SELECT min(scope) FROM buckets WHERE scope > ?1")?;
    let (mut scopes, mut last) = (Vec::new(), start.to_owned());
    while scopes.len() < MOST_SCOPES {
        let found: Option<String> = next.query_row([&last], |row| row.get(0))?;
        let Some(scope) = found.filter(|scope| scope.starts_with(start)) else { break };
        last.clone_from(&scope);
        scopes.push(scope);
    }
    Ok(scopes)
}

pub(super) fn add_up(conn: &Connection, scope: &str, stretch: Stretch, usage: &mut Usage) -> Result<()> {
    let mut statement = conn.prepare_cached(
        "SELECT amount, count FROM buckets WHERE scope = ?1 AND unit = ?2 AND start >= ?3 AND start < ?4",
    )?;
    let mut rows = statement.query(params![scope, stretch.unit.seconds(), stretch.from, stretch.until])?;
    while let Some(row) = rows.next()? {
        let amount = parse(scope, &row.get::<_, String>(0)?)?;
        usage.amount = usage.amount.checked_add(amount).map_err(|_| overflow(scope))?;
        usage.count = usage.count.saturating_add(row.get::<_, u64>(1)?);
    }
    Ok(())
}

/// The start of the bucket with which so much leaves the stretch, oldest first, that the limit is kept. That is the oldest
/// one with use that the limit counts, where it is kept already.
fn last_to_leave(conn: &Connection, limit: &Limit, stretch: Stretch, used: Usage) -> Result<Option<i64>> {
    let mut statement = conn.prepare_cached(
        "SELECT start, amount, count FROM buckets WHERE scope = ?1 AND unit = ?2 AND start >= ?3 ORDER BY start",
    )?;
    let mut rows = statement.query(params![limit.scope, stretch.unit.seconds(), stretch.from])?;
    let (mut left, mut last) = (used, None);
    while let Some(row) = rows.next()? {
        let amount = parse(&limit.scope, &row.get::<_, String>(1)?)?;
        let count = row.get::<_, u64>(2)?;
        let (counts, kept) = match limit.measure {
            Measure::Amount(most) => {
                left.amount = left.amount.saturating_sub(amount);
                (amount != Usd::default(), left.amount <= most)
            }
            Measure::Count(most) => {
                left.count = left.count.saturating_sub(count);
                (count > 0, left.count <= most)
            }
        };
        if counts {
            last = Some(row.get(0)?);
        }
        if last.is_some() && kept {
            break;
        }
    }
    Ok(last)
}

/// Counts one payment of `value` made at `at`.
pub(super) fn reserve(conn: &Connection, scopes: &BTreeSet<String>, at: i64, value: Usd) -> Result<()> {
    for (scope, unit) in each(scopes) {
        let (amount, count) = bucket(conn, scope, unit, at)?.unwrap_or_default();
        let amount = amount.checked_add(value).map_err(|_| overflow(scope))?;
        conn.prepare_cached(
            "INSERT OR REPLACE INTO buckets (scope, unit, start, amount, count) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![
            scope,
            unit.seconds(),
            unit.start(at),
            amount.get().to_string(),
            count + 1
        ])?;
    }
    Ok(())
}

/// Gives back the amount of a payment that was made at `at`; its count stays.
pub(super) fn release(conn: &Connection, scopes: &BTreeSet<String>, at: i64, value: Usd) -> Result<()> {
    for (scope, unit) in each(scopes) {
        let left = bucket(conn, scope, unit, at)?.and_then(|(amount, _)| amount.checked_sub(value).ok());
        let left = left.ok_or_else(|| {
            LedgerError::Corrupt(format!("the budget of `{scope}` holds less than was reserved in it"))
        })?;
        conn.prepare_cached("UPDATE buckets SET amount = ?4 WHERE scope = ?1 AND unit = ?2 AND start = ?3")?
            .execute(params![scope, unit.seconds(), unit.start(at), left.get().to_string()])?;
    }
    Ok(())
}

fn each(scopes: &BTreeSet<String>) -> impl Iterator<Item = (&String, Unit)> {
    scopes.iter().flat_map(|scope| Unit::ALL.map(|unit| (scope, unit)))
}

pub(super) fn bucket(conn: &Connection, scope: &str, unit: Unit, at: i64) -> Result<Option<(Usd, i64)>> {
    let found: Option<(String, i64)> = conn
        .prepare_cached("SELECT amount, count FROM buckets WHERE scope = ?1 AND unit = ?2 AND start = ?3")?
        .query_row(params![scope, unit.seconds(), unit.start(at)], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    found.map(|(amount, count)| Ok((parse(scope, &amount)?, count))).transpose()
}

pub(super) fn parse(scope: &str, digits: &str) -> Result<Usd> {
    digits.parse().map(Usd::new).map_err(|_| {
        LedgerError::Corrupt(format!("the budget of `{scope}` holds `{}`", digits.escape_debug()))
    })
}

pub(super) fn overflow(scope: &str) -> LedgerError {
    LedgerError::Database(format!("the use of `{scope}` would pass what an amount can hold"))
}
