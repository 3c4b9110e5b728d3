//! Budgets and counters rebuilt from the journal, and compared with the buckets.

use std::collections::{BTreeSet, HashMap};

use farthing_money::Usd;
use rusqlite::{Connection, Row, params};

use super::verify::Problems;
use super::{Result, collect, counters, replay};
use crate::window::Unit;

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
    replay::calls(conn, problems)?;
    for problem in collect(conn, DIFFERENCES, [], difference)? {
        problems.add(problem);
    }
    conn.execute_batch("DELETE FROM temp.rebuilt;")?;
    Ok(())
}

/// A bucket that differs, in words.
fn difference(row: &Row<'_>) -> Result<String> {
    let scope: String = row.get(0)?;
    let (what, uses) =
        if scope.starts_with(counters::PREFIX) { ("counter", "calls") } else { ("budget of", "payments") };
    let side = |from: usize| -> Result<String> {
        let (amount, count) = (row.get::<_, Option<String>>(from)?, row.get::<_, Option<i64>>(from + 1)?);
        Ok(amount
            .zip(count)
            .map_or("nothing".to_owned(), |(amount, count)| format!("{amount} in {count} {uses}")))
    };
    Ok(format!(
        "{what} `{scope}`, {} s from {} ms: it holds {}, the journal says {} (in 10^-18)",
        row.get::<_, i64>(1)?,
        row.get::<_, i64>(2)?,
        side(3)?,
        side(5)?
    ))
}

fn rebuild(conn: &Connection, problems: &mut Problems) -> Result<()> {
    let mut open = Open::default();
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
            open.count(conn, &scope, &Unit::ALL, at, value)?;
        }
    }
    open.close(conn)
}

/// The buckets of each scope that are being filled as the journal is read. Its rows are in the order of time, so a
/// bucket is complete when the next of its unit begins.
#[derive(Default)]
pub(super) struct Open(HashMap<String, Vec<(Unit, Bucket)>>);

impl Open {
    /// Counts one use of `value` in the current bucket of each unit, beginning new ones as time goes on.
    pub(super) fn count(
        &mut self,
        conn: &Connection,
        scope: &str,
        units: &[Unit],
        at: i64,
        value: Usd,
    ) -> Result<()> {
        let buckets = self.0.entry(scope.to_owned()).or_default();
        for unit in units {
            let new = Bucket { start: unit.start(at), amount: Usd::ZERO, count: 0 };
            let known = buckets.iter().position(|(other, _)| other == unit);
            let place = known.unwrap_or(buckets.len());
            if known.is_none() {
                buckets.push((*unit, new));
            }
            let Some((_, bucket)) = buckets.get_mut(place) else { continue };
            if bucket.start != new.start {
                keep(conn, scope, *unit, std::mem::replace(bucket, new))?;
            }
            // A sum that no amount can hold stands in no bucket either, and is so reported.
            bucket.amount = bucket.amount.checked_add(value).unwrap_or(Usd::new(u128::MAX));
            bucket.count += 1;
        }
        Ok(())
    }

    /// Keeps the last buckets.
    pub(super) fn close(self, conn: &Connection) -> Result<()> {
        for (scope, buckets) in &self.0 {
            for (unit, bucket) in buckets {
                keep(conn, scope, *unit, *bucket)?;
            }
        }
        Ok(())
    }
}

fn keep(conn: &Connection, scope: &str, unit: Unit, bucket: Bucket) -> Result<()> {
    let Bucket { start, amount, count } = bucket;
    conn.prepare_cached(
        "INSERT INTO temp.rebuilt (scope, unit, start, amount, count) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute(params![scope, unit.seconds(), start, amount.get().to_string(), count])?;
    Ok(())
}
