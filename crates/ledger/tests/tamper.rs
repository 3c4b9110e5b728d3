//! Whatever is changed behind the ledger's back is found and named.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::path::PathBuf;
use std::time::Duration;

use common::*;
use farthing_ledger::{CallOutcome, ClaimState, Ledger, Reserved, SettlementState, Started};
use farthing_policy::{ApprovalNeed, Period, Refund, Window};
use rusqlite::Connection;

/// Lifts the journal's protection, as somebody with the file can.
const UNLOCK: &str = "DROP TRIGGER journal_no_update; DROP TRIGGER journal_no_delete;";

/// A ledger with some of everything.
async fn filled() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let ledger = Ledger::open(&path, clock()).unwrap();
    let mut rows = Vec::new();
    for (n, name) in (1..).zip(["a", "b", "c"]) {
        assert!(matches!(ledger.reserve(purchase(name, "$1"), vec![]).await, Ok(Reserved::Granted { .. })));
        ledger.signed(&id(name), signed(n)).await.unwrap();
        rows.push(taken(&ledger, n).await);
        assert_eq!(ledger.begin_settlement(settlement(n)).await.unwrap(), Started::New);
    }
    ledger.finish(&id("a"), paid()).await.unwrap();
    ledger.finish(&id("b"), not_paid()).await.unwrap();
    let released = ClaimState::Released { why: "500".into() };
    assert!(ledger.move_claim(&key(1), rows[0], released).await.unwrap().is_some());
    taken(&ledger, 1).await;
    ledger.broadcast(broadcast("0xa", [1, 2])).await.unwrap();
    let confirmed = SettlementState::Confirmed { transaction: "0xa".into(), payer: "0xp".into() };
    ledger.update_settlement(&key(1), confirmed).await.unwrap();
    guarded(&ledger).await;
    assert_whole(&ledger).await;
    ledger.close().await.unwrap();
    (folder, path)
}

/// Calls of which one gave back and one still may, approvals that were asked for and used, and a freeze.
async fn guarded(ledger: &Ledger) {
    let day = Window::Calendar(Period::Day);
    let mut asking = plan(charge("calls", day, 2, Refund::OnError), 9);
    for name in ["given", "held"] {
        assert_eq!(denial(ledger, call(name), asking.clone()).await, None);
    }
    ledger.end_call("given".into(), end(CallOutcome::Error)).await.unwrap();
    asking.approval =
        Some(ApprovalNeed { rule: "ask".into(), terms: "{}".into(), valid: Duration::from_secs(60) });
    let waits = denial(ledger, call("asks"), asking.clone()).await.unwrap().approval.unwrap().id;
    ledger.decide_approval(&waits, true, "ana".into()).await.unwrap();
    assert_eq!(denial(ledger, call("asks"), asking).await, None);
    ledger.freeze("stop".into(), "ops".into()).await.unwrap();
    ledger.thaw("ops".into()).await.unwrap();
}

/// What verification says after `sql` was done to a whole ledger.
async fn after(sql: &str) -> Vec<String> {
    let (_folder, path) = filled().await;
    let other = Connection::open(&path).unwrap();
    other.pragma_update(None, "foreign_keys", false).unwrap();
    other.execute_batch(sql).unwrap();
    assert!(other.changes() > 0, "{sql} changed nothing");
    drop(other);
    Ledger::open(&path, clock()).unwrap().verify().await.unwrap().problems
}

/// Exactly one problem is found, and it has these words.
async fn names(sql: &str, words: &[&str]) {
    let problems = after(sql).await;
    assert_eq!(problems.len(), 1, "{sql}: {problems:#?}");
    for word in words {
        assert!(problems[0].contains(word), "{sql}: {problems:#?} without {word}");
    }
}

#[tokio::test]
async fn every_altered_column_is_named() {
    for (table, key, what) in [
        ("purchases", "a", "purchase"),
        ("claims", "", "claim"),
        ("settlements", "", "settlement"),
        ("broadcasts", "0xa", "broadcast"),
        ("freezes", "all", "freeze"),
        ("approvals", "", "approval"),
    ] {
        let (_folder, path) = filled().await;
        let other = Connection::open(&path).unwrap();
        let columns = other
            .prepare(&format!("SELECT name, type FROM pragma_table_info('{table}')"))
            .unwrap()
            .query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))
            .unwrap()
            .map(Result::unwrap)
            .filter(|(name, _)| !["number", "digest", "id", "payment_key", "tx"].contains(&name.as_str()))
            .collect::<Vec<_>>();
        assert!(columns.len() > 6);
        for (column, kind) in columns {
            let value = if kind == "TEXT" { "'[\"forged\"]'" } else { "4711" };
            // The payments of a broadcast are compared with its index as well, and a URL with its host.
            let count = match column.as_str() {
                "payments" => 3,
                "url" => 2,
                _ => 1,
            };
            let problems = after(&format!("UPDATE {table} SET {column} = {value} WHERE number = 1")).await;
            assert_eq!(problems.len(), count, "{table}.{column}: {problems:#?}");
            for word in [what, key, &column] {
                assert!(problems[0].contains(word), "{table}.{column}: {problems:#?} without {word}");
            }
        }
    }
}

#[tokio::test]
async fn altered_identities_are_named() {
    names("UPDATE purchases SET payment_key = 'x' WHERE id = 'a'", &["purchase a", "payment_key"]).await;
    names("UPDATE settlements SET tx = '0xforged' WHERE number = 1", &["settlement", "tx", "0xforged"]).await;
    let problems = after("UPDATE purchases SET id = 'z' WHERE id = 'c'").await;
    assert_eq!(problems, ["purchase c is missing: the journal has it", "purchase z is not in the journal"]);
}

#[tokio::test]
async fn missing_records_are_named() {
    names("DELETE FROM purchases WHERE id = 'b'", &["purchase b", "missing"]).await;
    names("DELETE FROM claims WHERE number = 1", &["claim", "missing"]).await;
    names("DELETE FROM settlements WHERE number = 3", &["settlement", "missing"]).await;
    // Who is not found by the index could be claimed twice.
    names("UPDATE claims SET digest = zeroblob(16) WHERE number = 1", &["claim", "missing"]).await;
    names("DELETE FROM head", &["head is missing"]).await;
    names("DELETE FROM freezes", &["freeze all", "missing"]).await;
    names("DELETE FROM approvals", &["approval a", "missing"]).await;
    let problems = after("DELETE FROM broadcasts").await;
    assert!(problems.contains(&"broadcast 0xa is missing: the journal has it".to_owned()), "{problems:#?}");
    let problems = after("DELETE FROM broadcast_payments").await;
    assert_eq!(problems.len(), 2);
    assert!(problems.iter().all(|problem| problem.contains("broadcast number 1")), "{problems:#?}");
}

#[tokio::test]
async fn altered_budgets_are_named() {
    for (sql, words) in [
        (
            "UPDATE buckets SET amount = '0' WHERE scope = 'all' AND unit = 86400",
            ["`all`, 86400 s", "holds 0 in 3"],
        ),
        (
            "UPDATE buckets SET count = 2 WHERE scope LIKE 'host:%' AND unit = 1",
            ["`host:api.example.com`", "in 2 payments"],
        ),
        ("DELETE FROM buckets WHERE scope = 'all' AND unit = 0", ["`all`, 0 s", "holds nothing"]),
        ("INSERT INTO buckets VALUES ('all', 60, 0, '5', 1)", ["`all`, 60 s", "says nothing"]),
        // Of three calls one gave back, and its attempt still counts.
        (
            "UPDATE buckets SET amount = '0' WHERE scope = 'tool:calls calendar_day'",
            ["counter `tool:calls calendar_day`, 86400 s", "says 4000000000000000000 in 3 calls"],
        ),
        ("DELETE FROM buckets WHERE scope LIKE 'tool:%'", ["counter `tool:calls", "holds nothing"]),
    ] {
        names(sql, &words).await;
    }
}

#[tokio::test]
async fn what_may_be_given_back_must_be_what_was_taken() {
    for (sql, words) in [
        ("UPDATE holds SET charges = '[]' WHERE call = 'held'", ["call held", "another thing"]),
        ("UPDATE holds SET charges = 'x' WHERE call = 'held'", ["call held", "another thing"]),
        ("UPDATE holds SET at = at + 1 WHERE call = 'held'", ["call held", "another thing"]),
        ("UPDATE holds SET call = 'other' WHERE call = 'held'", ["call other", "another thing"]),
        ("UPDATE holds SET seq = 1 WHERE call = 'held'", ["call held", "not in the journal"]),
        (
            "INSERT INTO holds SELECT id, seq, at, body ->> 'charges' FROM journal
             WHERE kind = 'call' AND id = 'given'",
            ["call given", "again"],
        ),
    ] {
        names(sql, &words).await;
    }
}

/// Whoever computes a new chain over forged rows is noticed where they do not fit each other.
#[tokio::test]
async fn forged_ends_are_named() {
    let refunded = r#""refunded":[["tool:calls","calendar_day","2000000000000000000","on_error"]]"#;
    for (change, words) in [
        // Of nothing, of another row than a call's, of less than was taken, and of what cannot be read.
        (format!(r#"'{{"outcome":"error",{refunded}}}' WHERE kind = 'call_ended'"#), "what no call took"),
        (format!(r#"'{{"call":1,"outcome":"error",{refunded}}}' WHERE kind = 'call_ended'"#), "is no call"),
        (r#"replace(body, '"2000', '"1000') WHERE kind = 'call_ended'"#.to_owned(), "does not give back"),
        ("'{}' WHERE kind = 'call_ended'".to_owned(), "cannot be read"),
    ] {
        let problems = after(&format!("{UNLOCK} UPDATE journal SET body = {change}")).await;
        let found = problems.iter().any(|problem| problem.contains(words));
        assert!(found, "{change}: {problems:#?}");
    }
    let twice = format!(
        "{UNLOCK} INSERT INTO journal SELECT 1000, at, kind, id, body, prev, hash FROM journal
         WHERE kind = 'call_ended'"
    );
    let problems = after(&twice).await;
    assert!(problems.iter().any(|problem| problem.contains("which had ended")), "{problems:#?}");
}

#[tokio::test]
async fn altered_journal_rows_are_named() {
    for (change, words) in [
        ("at = at + 1 WHERE seq = 20", ["row 20 ", "changed"]),
        ("kind = 'denied' WHERE seq = 20", ["row 20 ", "changed"]),
        ("id = 'nobody' WHERE seq = 20", ["row 20 ", "changed"]),
        ("body = replace(body, '1000000', '2000000') WHERE seq = 1", ["row 1 ", "changed"]),
        ("hash = zeroblob(32) WHERE seq = 2", ["row 2 ", "changed"]),
        ("prev = zeroblob(32) WHERE seq = 2", ["row 2 ", "does not hang"]),
    ] {
        let problems = after(&format!("{UNLOCK} UPDATE journal SET {change}")).await;
        let found = problems.iter().any(|problem| words.iter().all(|word| problem.contains(word)));
        assert!(found, "{change}: {problems:#?}");
    }
}

#[tokio::test]
async fn missing_journal_rows_are_named() {
    let problems = after(&format!("{UNLOCK} DELETE FROM journal WHERE seq = 5")).await;
    assert!(problems[0].contains("row 6 follows row 4"), "{problems:#?}");
    // Cut off at the end; and with the head made to fit.
    let problems = after(&format!("{UNLOCK} DELETE FROM journal WHERE seq > 15")).await;
    assert!(problems[0].contains("cut off: it ends with row 15"), "{problems:#?}");
    let problems = after(&format!(
        "{UNLOCK} DELETE FROM journal WHERE seq > 15;
         UPDATE head SET (seq, at, hash) = (SELECT seq, at, hash FROM journal ORDER BY seq DESC LIMIT 1)"
    ))
    .await;
    assert!(problems.iter().any(|problem| problem.contains("seq is")), "{problems:#?}");
    assert!(
        problems
            .iter()
            .any(|problem| problem.contains("broadcast 0xa is not in the journal, or it was cut off"))
    );
}

#[tokio::test]
async fn what_cannot_be_read_is_a_problem_and_not_an_error() {
    let problems = after(&format!("{UNLOCK} UPDATE journal SET body = 'nonsense'")).await;
    assert!(problems.iter().any(|problem| problem.contains("cannot be read")), "{problems:#?}");
    let problems =
        after("UPDATE purchases SET scopes = 'nonsense', value = '-1', state = 'x' WHERE id = 'a'").await;
    assert_eq!(problems.len(), 3, "{problems:#?}");
    let problems = after("UPDATE buckets SET amount = 'many' WHERE unit = 0").await;
    assert_eq!(problems.len(), 3, "{problems:#?}");
}

#[tokio::test]
async fn an_earlier_head_is_found_in_a_ledger_that_grew() {
    let (_folder, path) = filled().await;
    let ledger = Ledger::open(&path, clock()).unwrap();
    let before = ledger.verify().await.unwrap();
    assert_eq!(before.rows_since, None, "none was asked for");
    assert_eq!(ledger.verify_since(&before.head).await.unwrap().rows_since, Some(0));
    assert!(matches!(ledger.reserve(purchase("later", "$1"), vec![]).await, Ok(Reserved::Granted { .. })));
    ledger.signed(&id("later"), signed(9)).await.unwrap();
    let after = ledger.verify_since(&before.head).await.unwrap();
    assert_eq!((after.rows_since, after.problems), (Some(2), vec![]));
    // What an empty ledger calls its head, every ledger began with.
    let empty = Ledger::in_memory(clock()).unwrap().verify().await.unwrap();
    assert_eq!(ledger.verify_since(&empty.head).await.unwrap().rows_since, Some(after.rows));
    for no_head in ["00", "", "zz", &"ab".repeat(32), &before.head[..62]] {
        assert_eq!(ledger.verify_since(no_head).await.unwrap().rows_since, None, "{no_head}");
    }
}

#[tokio::test]
async fn an_earlier_head_is_missed_in_an_older_copy() {
    let (folder, path) = filled().await;
    let copy = folder.path().join("copy.db");
    std::fs::copy(&path, &copy).unwrap();
    let ledger = Ledger::open(&path, clock()).unwrap();
    assert!(matches!(ledger.reserve(purchase("later", "$1"), vec![]).await, Ok(Reserved::Granted { .. })));
    let head = ledger.verify().await.unwrap().head;
    // The copy is put back, and goes on: whole in itself, and without the row that was the head.
    let back = Ledger::open(&copy, clock()).unwrap();
    assert!(matches!(back.reserve(purchase("other", "$1"), vec![]).await, Ok(Reserved::Granted { .. })));
    let report = back.verify_since(&head).await.unwrap();
    assert_eq!((report.rows_since, report.problems), (None, vec![]));
}

#[tokio::test]
async fn a_destroyed_ledger_gives_a_bounded_report() {
    let many = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1500)
                INSERT INTO buckets SELECT 'forged', 60, i, '1', 1 FROM n";
    let problems = after(many).await;
    assert_eq!(problems.len(), 1001);
    assert_eq!(problems.last().unwrap(), "and 500 more");
}
