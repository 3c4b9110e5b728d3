//! Budgets rebuilt from the journal, and compared with the buckets.

use std::collections::{BTreeSet, HashMap};

use farthing_money::Usd;
use rusqlite::{Connection, params};

use super::verify::Problems;
use super::{Result, collect};
use crate::window::Unit;

/// One bucket for each unit of one scope: those that reservations fall into as the journal is read. They are in the
/// order of time, so a bucket is complete when the next begins.
type Current = [Option<Bucket>; Unit::ALL.len()];

#[derive(Debug, Clone, Copy)]
struct Bucket {
    start: i64,
    amount: Usd,
    count: i64,
}

/// Every reservation, in the order of time, and whether it was released.
const RESERVATIONS: &str = "
    SELECT seq, at,
           iif(json_valid(body), body ->> 'scopes', ''), iif(json_valid(body), body ->> 'value', ''),
           id IN (SELECT id FROM journal WHERE kind = 'finished' AND json_valid(body)
                  AND body ->> 'state' = 'not_paid')
    FROM journal WHERE kind = 'reserved' ORDER BY at, seq";

/// Buckets that are not as rebuilt: altered, missing, or made up.
const DIFFERENCES: &str = "
    SELECT scope, unit, start, b.amount, b.count, r.amount, r.count
    FROM buckets b FULL OUTER JOIN temp.rebuilt r USING (scope, unit, start)
    WHERE b.amount IS NOT r.amount OR b.count IS NOT r.count
    ORDER BY scope, unit, start";

/// Compares every bucket with what the journal makes it.
pub(super) fn budgets(conn: &Connection, problems: &mut Problems) -> Result<()> {
    conn.execute_batch(
        "CREATE TABLE IF NOT EXISTS temp.rebuilt (
             scope TEXT, unit INTEGER, start INTEGER, amount TEXT, count INTEGER, PRIMARY KEY (scope, unit, start)
         ) WITHOUT ROWID;
         DELETE FROM temp.rebuilt;",
    )?;
    rebuild(conn, problems)?;
    let told = |row: &rusqlite::Row<'_>| {
        let side = |from: usize| -> Result<String> {
            let (amount, count) = (row.get::<_, Option<String>>(from)?, row.get::<_, Option<i64>>(from + 1)?);
            Ok(amount
                .zip(count)
                .map_or("nothing".to_owned(), |(amount, count)| format!("{amount} in {count} payments")))
        };
        Ok(format!(
            "budget of `{}`, {} s from {} ms: it holds {}, the journal says {} (in 10^-18 dollars)",
            row.get::<_, String>(0)?,
            row.get::<_, i64>(1)?,
            row.get::<_, i64>(2)?,
            side(3)?,
            side(5)?
        ))
    };
    for problem in collect(conn, DIFFERENCES, [], told)? {
        problems.add(problem);
    }
    conn.execute_batch("DELETE FROM temp.rebuilt;")?;
    Ok(())
}

fn rebuild(conn: &Connection, problems: &mut Problems) -> Result<()> {
    let mut open: HashMap<String, Current> = HashMap::new();
    let mut statement = conn.prepare(RESERVATIONS)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (seq, at, released): (i64, i64, bool) = (row.get(0)?, row.get(1)?, row.get(4)?);
        let scopes = row.get::<_, Option<String>>(2)?.unwrap_or_default();
        let value = row.get::<_, Option<String>>(3)?.unwrap_or_default();
        let (Ok(scopes), Ok(value)) = (serde_json::from_str::<BTreeSet<String>>(&scopes), value.parse())
        else {
            problems.add(format!("journal row {seq} has no amount or no budgets that can be read"));
            continue;
        };
        let value = if released { Usd::ZERO } else { Usd::new(value) };
        for scope in scopes {
            count(conn, &scope, open.entry(scope.clone()).or_default(), at, value)?;
        }
    }
    for (scope, buckets) in &open {
        for (unit, bucket) in Unit::ALL.iter().zip(buckets) {
            keep(conn, scope, *unit, *bucket)?;
        }
    }
    Ok(())
}

/// Counts one payment in the current bucket of each unit, beginning new ones as time goes on.
fn count(conn: &Connection, scope: &str, buckets: &mut Current, at: i64, value: Usd) -> Result<()> {
    for (unit, bucket) in Unit::ALL.into_iter().zip(buckets) {
        let start = unit.start(at);
        if bucket.is_none_or(|bucket| bucket.start != start) {
            keep(conn, scope, unit, bucket.take())?;
        }
        let current = bucket.get_or_insert(Bucket { start, amount: Usd::ZERO, count: 0 });
        // A sum that no amount can hold stands in no bucket either, and is so reported.
        current.amount = current.amount.checked_add(value).unwrap_or(Usd::new(u128::MAX));
        current.count += 1;
    }
    Ok(())
}

fn keep(conn: &Connection, scope: &str, unit: Unit, bucket: Option<Bucket>) -> Result<()> {
    let Some(Bucket { start, amount, count }) = bucket else { return Ok(()) };
    conn.prepare_cached(
        "INSERT INTO temp.rebuilt (scope, unit, start, amount, count) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute(params![scope, unit.seconds(), start, amount.get().to_string(), count])?;
    Ok(())
}
