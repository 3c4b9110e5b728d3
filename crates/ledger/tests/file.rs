//! The file: who may read it, what is in it, and what survives.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::*;
use farthing_ledger::{Claimed, Ledger, LedgerError, PurchaseFilter, Reserved, SpendingBy, Started};
use farthing_policy::Window;
use rusqlite::Connection;

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

#[cfg(unix)]
#[tokio::test]
async fn only_the_owner_can_read_it() {
    use std::os::unix::fs::PermissionsExt;
    let folder = folder();
    let ledger = Ledger::open(&folder.path().join("ledger.db"), clock()).unwrap();
    taken(&ledger, 1).await;
    for name in ["ledger.db", "ledger.db-wal", "ledger.db-shm"] {
        let mode = folder.path().join(name).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[tokio::test]
async fn everything_is_there_after_opening_again() {
    let folder = folder();
    let path = folder.path().join("ledger.db");
    let ledger = Ledger::open(&path, clock()).unwrap();
    let limits = vec![amount("all", Window::Lifetime, "$1")];
    assert!(matches!(
        ledger.reserve(purchase("a", "$0.75"), limits.clone()).await,
        Ok(Reserved::Granted { .. })
    ));
    ledger.signed(&id("a"), signed(1)).await.unwrap();
    taken(&ledger, 1).await;
    assert_eq!(ledger.begin_settlement(settlement(1)).await.unwrap(), Started::New);
    ledger.broadcast(broadcast("0xa", [1])).await.unwrap();
    let (before, head) = (ledger.purchase(&id("a")).await.unwrap(), ledger.verify().await.unwrap().head);
    ledger.close().await.unwrap();
    assert!(matches!(ledger.purchase(&id("a")).await, Err(LedgerError::Closed)));
    assert!(!folder.path().join("ledger.db-wal").exists(), "closing folds the log into the file");

    let ledger = Ledger::open(&path, clock()).unwrap();
    assert_eq!(ledger.purchase(&id("a")).await.unwrap(), before);
    assert!(matches!(ledger.reserve(purchase("b", "$0.26"), limits).await, Ok(Reserved::Denied(_))));
    assert!(matches!(ledger.claim(claim(1)).await, Ok(Claimed::Duplicate(_))));
    assert!(matches!(ledger.begin_settlement(settlement(1)).await, Ok(Started::Known(_))));
    assert_eq!(ledger.open_broadcasts().await.unwrap(), [broadcast("0xa", [1])]);
    assert_eq!(ledger.open_claims().await.unwrap().len(), 1);
    assert_ne!(ledger.verify().await.unwrap().head, head, "the refusal was journalled");
    assert_whole(&ledger).await;
}

#[test]
fn what_is_no_ledger_is_left_alone() {
    let folder = folder();
    let missing = Ledger::open(&folder.path().join("no/ledger.db"), clock());
    assert!(matches!(missing, Err(LedgerError::Open { why, .. }) if why.contains("folder")));

    let foreign = folder.path().join("foreign.db");
    Connection::open(&foreign).unwrap().execute_batch("CREATE TABLE t (a)").unwrap();
    assert!(matches!(Ledger::open(&foreign, clock()), Err(LedgerError::Open { .. })));

    let text = folder.path().join("notes.txt");
    std::fs::write(&text, "dear diary, ".repeat(100)).unwrap();
    assert!(Ledger::open(&text, clock()).is_err());
    assert!(std::fs::read_to_string(&text).unwrap().starts_with("dear diary"));
}

#[test]
fn a_newer_schema_is_left_alone() {
    let folder = folder();
    let path = folder.path().join("ledger.db");
    drop(Ledger::open(&path, clock()).unwrap());
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 4).unwrap();
    let newer = Ledger::open(&path, clock());
    assert!(matches!(newer, Err(LedgerError::Newer { found: 4, known: 3, .. })), "{newer:?}");
}

#[tokio::test]
async fn the_journal_takes_no_change() {
    let folder = folder();
    let path = folder.path().join("ledger.db");
    let ledger = Ledger::open(&path, clock()).unwrap();
    taken(&ledger, 1).await;
    let other = Connection::open(&path).unwrap();
    for sql in [
        "UPDATE journal SET body = '{}'",
        "DELETE FROM journal",
        "INSERT OR REPLACE INTO journal SELECT seq, at, kind, id, '{}', prev, hash FROM journal",
    ] {
        let refused = other.execute_batch(sql).unwrap_err().to_string();
        assert!(refused.contains("append-only"), "{sql}: {refused}");
    }
    assert_whole(&ledger).await;
}

#[tokio::test]
async fn the_journal_holds_no_secret() {
    let folder = folder();
    let path = folder.path().join("ledger.db");
    let ledger = Ledger::open(&path, clock()).unwrap();
    assert!(matches!(ledger.reserve(purchase("a", "$1"), vec![]).await, Ok(Reserved::Granted { .. })));
    ledger.signed(&id("a"), signed(1)).await.unwrap();
    assert_eq!(ledger.begin_settlement(settlement(1)).await.unwrap(), Started::New);
    ledger.broadcast(broadcast("0xa", [1])).await.unwrap();
    let all: String = Connection::open(&path)
        .unwrap()
        .query_row("SELECT group_concat(kind || id || body) FROM journal", [], |row| row.get(0))
        .unwrap();
    for secret in [HEADER, PAYMENT, RAW, "feedface", "deadbeef"] {
        assert!(!all.contains(secret), "{secret}");
    }
    for digest in ["header_value\":\"sha256:", "payment\":\"sha256:", "raw\":\"sha256:"] {
        assert!(all.contains(digest), "{digest}");
    }
}

/// Two purchases of which one was released, a refusal, a claim, and a settlement with its broadcast.
const FIRST_SCHEMA: &str = include_str!("schema_1.sql");

#[tokio::test]
async fn a_ledger_of_the_first_schema_is_brought_along() {
    let folder = folder();
    let path = folder.path().join("ledger.db");
    Connection::open(&path).unwrap().execute_batch(FIRST_SCHEMA).unwrap();
    let ledger = Ledger::open(&path, clock()).unwrap();
    assert_whole(&ledger).await;
    let known = ledger.purchase(&id("a")).await.unwrap();
    assert_eq!((known.terms.agent, known.terms.session), (None, None));
    let by_host = ledger.spending(PurchaseFilter::default(), SpendingBy::Host).await.unwrap();
    assert_eq!(by_host.groups.keys().collect::<Vec<_>>(), [&Some("api.example.com".to_owned())]);
    let used = ledger.usage(vec![amount("all", Window::Lifetime, "$9")]).await.unwrap();
    assert_eq!((used[0].amount, used[0].count), (usd("$0.75"), 2));
    assert!(matches!(ledger.claim(claim(1)).await, Ok(Claimed::Duplicate(_))));
    // It goes on as any other.
    ledger.signed(&id("a"), signed(1)).await.unwrap();
    assert!(matches!(ledger.reserve(purchase("c", "$1"), vec![]).await, Ok(Reserved::Granted { .. })));
    assert_eq!(denial(&ledger, call("d"), free_plan()).await, None);
    assert_whole(&ledger).await;
}
