//! Calls replayed from the journal: what they took, what their ends gave back, and what may still be given back.

use rusqlite::{Connection, Row, params};

use super::calls::{Charged, Ended};
use super::counters::Taken;
use super::rebuild::Open;
use super::verify::Problems;
use super::{Result, collect};
use farthing_money::Usd;
use farthing_policy::Refund;

/// Every call that was let through, with the end that gave back what it took.
const CALLS: &str = "
    SELECT c.seq, c.at, c.id, c.body, e.seq, e.id, e.body
    FROM journal c LEFT JOIN temp.ended e ON e.call = c.seq
    WHERE c.kind = 'call' ORDER BY c.at, c.seq";

/// What may still be given back, beside the call that it names and that call's end.
const HOLDS: &str = "
    SELECT h.call, h.at, h.charges, c.id, c.at, c.body, e.seq
    FROM holds h
    LEFT JOIN journal c ON c.seq = h.seq AND c.kind = 'call'
    LEFT JOIN temp.ended e ON e.call = h.seq
    ORDER BY h.call";

/// Fills the counters' buckets, and tells of ends and holds that do not fit their calls.
pub(super) fn calls(conn: &Connection, problems: &mut Problems) -> Result<()> {
    conn.execute_batch(
        "CREATE TABLE IF NOT EXISTS temp.ended (call INTEGER PRIMARY KEY, seq INTEGER, id TEXT, body TEXT);
         DELETE FROM temp.ended;",
    )?;
    ends(conn, problems)?;
    let mut open = Open::default();
    let mut statement = conn.prepare(CALLS)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        call(conn, row, &mut open, problems)?;
    }
    open.close(conn)?;
    for problem in collect(conn, HOLDS, [], hold)?.into_iter().flatten() {
        problems.add(problem);
    }
    conn.execute_batch("DELETE FROM temp.ended;")?;
    Ok(())
}

/// Gathers the ends that gave something back, or might have, by the calls that they name.
fn ends(conn: &Connection, problems: &mut Problems) -> Result<()> {
    let mut statement = conn.prepare("SELECT seq, id, body FROM journal WHERE kind = 'call_ended'")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (seq, id, body): (i64, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let Ok(ended) = serde_json::from_str::<Ended>(&body) else {
            problems.add(format!("journal row {seq} cannot be read"));
            continue;
        };
        let Some(call) = ended.call else {
            if !ended.refunded.is_empty() {
                problems.add(format!("journal row {seq} gives back what no call took"));
            }
            continue;
        };
        let added = conn
            .prepare_cached("INSERT OR IGNORE INTO temp.ended (call, seq, id, body) VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![call, seq, id, body])?;
        if added == 0 {
            problems.add(format!("journal row {seq} ends call {id}, which had ended"));
        }
    }
    let lost = "SELECT seq, call FROM temp.ended
                WHERE call NOT IN (SELECT seq FROM journal WHERE kind = 'call') ORDER BY seq";
    let named = |row: &Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?));
    for (seq, call) in collect(conn, lost, [], named)? {
        problems.add(format!("journal row {seq} ends the call of row {call}, which is no call"));
    }
    Ok(())
}

/// Counts what a call took and did not give back.
fn call(conn: &Connection, row: &Row<'_>, open: &mut Open, problems: &mut Problems) -> Result<()> {
    let (seq, at, id, body): (i64, i64, String, String) =
        (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
    let Ok(Charged { charges }) = serde_json::from_str(&body) else {
        problems.add(format!("journal row {seq} cannot be read"));
        return Ok(());
    };
    let ended = ended(row)?;
    let is_back =
        |taken: &Taken| ended.as_ref().is_some_and(|(_, _, end)| end.outcome.gives_back(taken.refund()));
    for taken in &charges {
        let value = if is_back(taken) { Usd::ZERO } else { taken.amount() };
        open.count(conn, &taken.place(), taken.units(), at, value)?;
    }
    if let Some((end, name, ended)) = &ended
        && (*name != id || !ended.refunded.iter().eq(charges.iter().filter(|taken| is_back(taken))))
    {
        problems.add(format!("journal row {end} does not give back what call {id} took (row {seq})"));
    }
    Ok(())
}

/// The end's row, whose end it is, and what it was; it was read before.
fn ended(row: &Row<'_>) -> Result<Option<(i64, String, Ended)>> {
    let Some(seq) = row.get(4)? else { return Ok(None) };
    Ok(serde_json::from_str(&row.get::<_, String>(6)?).ok().zip(row.get(5)?).map(|(end, id)| (seq, id, end)))
}

/// What does not fit about one row of `holds`.
fn hold(row: &Row<'_>) -> Result<Option<String>> {
    let call: String = row.get(0)?;
    let (at, charges): (i64, String) = (row.get(1)?, row.get(2)?);
    let journalled: (Option<String>, Option<i64>, Option<String>) = (row.get(3)?, row.get(4)?, row.get(5)?);
    let (Some(id), Some(then), Some(body)) = journalled else {
        return Ok(Some(format!("call {call} is not in the journal, and may give something back")));
    };
    if let Some(end) = row.get::<_, Option<i64>>(6)? {
        return Ok(Some(format!("call {call} ended in row {end}, and may give something back again")));
    }
    let held = serde_json::from_str::<Vec<Taken>>(&charges).ok();
    let taken = serde_json::from_str::<Charged>(&body).map(|charged| charged.charges).unwrap_or_default();
    let back: Vec<_> = taken.into_iter().filter(|taken| taken.refund() != Refund::Never).collect();
    let fits = call == id && at == then && held.as_ref() == Some(&back);
    Ok((!fits).then(|| format!("call {call} may give back another thing than it took")))
}
