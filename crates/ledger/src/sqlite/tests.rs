//! What only the backend can show: groups with failing members, and a disk that is full.

use super::*;
use crate::{Claimed, LedgerError, NewClaim, Started};
use farthing_ambient::TestClock;
use farthing_money::{BaseUnits, Network};
use farthing_protocol::PaymentKey;

fn sqlite(path: &Path) -> Sqlite {
    Sqlite::open(path, Arc::new(TestClock::at_unix_second(1_700_000_000))).unwrap()
}

fn claim(n: u8, request: &str) -> Write {
    Write::Claim(Box::new(NewClaim {
        key: PaymentKey::eip3009(&Network::BASE, [1; 20], [2; 20], [n; 32]),
        route: "GET /".into(),
        request: request.to_owned(),
        payer: "0x".into(),
        pay_to: "0x".into(),
        network: Network::BASE,
        asset: "0x".into(),
        amount: BaseUnits::new(1),
    }))
}

fn unknown_settlement() -> Write {
    let key = PaymentKey::from_record("none".into());
    Write::UpdateSettlement { key, state: crate::SettlementState::Abandoned { why: String::new() } }
}

fn report(sqlite: &mut Sqlite) -> crate::VerifyReport {
    match sqlite.read(&Read::Verify { head: None }).unwrap() {
        Answer::Report(report) => report,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_failing_member_undoes_itself_alone() {
    let folder = tempfile::tempdir().unwrap();
    let mut sqlite = sqlite(&folder.path().join("l"));
    let group = [claim(1, ""), unknown_settlement(), claim(1, ""), claim(2, "")];
    let answers = sqlite.write(&group).unwrap();
    assert!(matches!(answers[0], Ok(Answer::Claimed(Claimed::Granted { .. }))));
    assert!(matches!(answers[1], Err(LedgerError::NotFound { .. })));
    assert!(matches!(answers[2], Ok(Answer::Claimed(Claimed::Duplicate(_)))));
    assert!(matches!(answers[3], Ok(Answer::Claimed(Claimed::Granted { .. }))));
    let report = report(&mut sqlite);
    assert_eq!((report.rows, report.problems), (2, vec![]));
}

#[test]
fn a_member_that_fails_after_writing_leaves_no_trace() {
    let folder = tempfile::tempdir().unwrap();
    let mut sqlite = sqlite(&folder.path().join("l"));
    let key = |n| PaymentKey::eip3009(&Network::BASE, [1; 20], [2; 20], [n; 32]);
    let begin = Write::BeginSettlement(Box::new(crate::NewSettlement {
        key: key(1),
        binding: String::new(),
        payment: String::new(),
        requirements: String::new(),
        pay_to: String::new(),
        network: Network::BASE,
        asset: String::new(),
        amount: BaseUnits::new(1),
    }));
    // The first payment is moved and journalled before the second is missed.
    let broadcast = Write::Broadcast(Box::new(crate::BroadcastRecord {
        network: Network::BASE,
        signer: String::new(),
        nonce: 0,
        transaction: "0xa".into(),
        raw: String::new(),
        payments: vec![key(1), key(2)],
    }));
    let answers = sqlite.write(&[begin, broadcast, claim(1, "")]).unwrap();
    assert!(matches!(answers[0], Ok(Answer::Started(Started::New))));
    assert!(matches!(answers[1], Err(LedgerError::NotFound { .. })));
    assert!(matches!(answers[2], Ok(Answer::Claimed(Claimed::Granted { .. }))));
    let report = report(&mut sqlite);
    assert_eq!((report.rows, report.problems), (2, vec![]));
}

#[test]
fn a_full_disk_fails_the_group_with_advice_and_nothing_is_believed() {
    let folder = tempfile::tempdir().unwrap();
    let mut sqlite = sqlite(&folder.path().join("l"));
    assert!(sqlite.write(&[claim(1, "")]).unwrap()[0].is_ok());
    let pages: i64 = sqlite.conn.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
    let most = |sqlite: &Sqlite, pages: i64| {
        sqlite.conn.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(())).unwrap();
    };
    most(&sqlite, pages);
    let answers = sqlite.write(&[claim(2, &"x".repeat(100_000)), claim(3, "")]);
    let error = match answers {
        Err(error) => error,
        Ok(mut answers) => answers.remove(0).unwrap_err(),
    };
    assert!(matches!(&error, LedgerError::Database(why) if why.contains("free some space")), "{error}");
    most(&sqlite, 100_000);
    assert!(report(&mut sqlite).problems.is_empty());
    let answers = sqlite.write(&[claim(2, ""), claim(1, "")]).unwrap();
    assert!(matches!(answers[0], Ok(Answer::Claimed(Claimed::Granted { .. }))), "it was not written before");
    assert!(matches!(answers[1], Ok(Answer::Claimed(Claimed::Duplicate(_)))));
}
