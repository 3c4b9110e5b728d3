//! `farthing fetch` dies at each of its steps, and at each commit; then its owner goes on.

use std::time::Duration;

use super::points::{POINTS, Victim};
use super::shop::{Shop, aborted, body_of, shown};

/// Dies at a point, and leaves the purchase as expected; going on ends with the body, for one payment.
#[tokio::test]
async fn a_fetch_that_dies_at_a_step_is_gone_on_with_and_pays_once() {
    let mut shop = Shop::new().await;
    shop.open(None).await;
    let wallet = &shop.wallets[0];
    let mut paid = 0;
    for (point, victim) in POINTS {
        let Victim::Fetch(left) = victim else { continue };
        let path = format!("/weather/{point}");
        let url = shop.at(&path);
        let done = shop.run(wallet, &["fetch", &url], Some(point)).await;
        assert!(aborted(done.status), "{point}: {}", shown(&done));
        let purchases = shop.purchases(wallet, &url).await;
        let state = purchases.first().and_then(|purchase| purchase["state"].as_str());
        assert_eq!((state, purchases.len()), (*left, usize::from(left.is_some())), "{point}");
        shop.audit().await;

        assert_eq!(shop.go_on(wallet, &url).await, body_of(&path), "{point}");
        paid += 1;
        assert_eq!(shop.audit().await.paid, paid, "{point}: paid once");
        assert_eq!(shop.upstream().calls(&path), 1, "{point}: served once");
    }
    assert_eq!(shop.close_the_books().await.paid, paid);
}

/// Every commit of a fetch, before it and after it, until there are no more.
#[tokio::test]
async fn a_fetch_that_dies_at_a_commit_is_gone_on_with_and_pays_once() {
    let mut shop = Shop::new().await;
    shop.open(None).await;
    let wallet = &shop.wallets[0];
    let mut paid = 0;
    for point in ["ledger.before_commit", "ledger.after_commit"] {
        for nth in 1.. {
            let path = format!("/weather/{point}-{nth}");
            let url = shop.at(&path);
            let done = shop.run(wallet, &["fetch", &url], Some(&format!("{point}:{nth}"))).await;
            paid += 1;
            if done.status.success() {
                assert!(nth > 3, "a purchase is at least reserved, signed and finished in the ledger");
                break;
            }
            assert!(aborted(done.status), "{point}:{nth}: {}", shown(&done));
            shop.audit().await;
            assert_eq!(shop.go_on(wallet, &url).await, body_of(&path), "{point}:{nth}");
            assert_eq!(shop.audit().await.paid, paid, "{point}:{nth}: paid once");
        }
    }
    assert_eq!(shop.close_the_books().await.paid, paid);
}

/// No fault point but SIGKILL, while the seller works on the paid call: at the buyer, at the seller, at both.
#[tokio::test]
async fn a_call_whose_processes_are_killed_in_the_middle_is_paid_once() {
    let mut shop = Shop::new().await;
    shop.open(None).await;
    for (number, (buyer_dies, seller_dies)) in
        [(true, false), (false, true), (true, true)].into_iter().enumerate()
    {
        let path = format!("/stall/{number}");
        let url = shop.at(&path);
        shop.upstream().stall(true);
        let mut fetch = shop.command(&shop.wallets[0], &["fetch", &url, "--quiet"], None).spawn().unwrap();
        shop.upstream().reached(&path).await;
        if buyer_dies {
            fetch.kill().await.unwrap();
        }
        if seller_dies {
            shop.gateways[0].kill().await;
            shop.open(None).await;
        }
        shop.upstream().stall(false);
        if !buyer_dies {
            let ended = tokio::time::timeout(Duration::from_secs(60), fetch.wait()).await.unwrap().unwrap();
            // The broken connection was tried again; the seller may have taken longer to come back.
            assert!(matches!(ended.code(), Some(0 | 6)), "{ended}");
        }
        assert_eq!(shop.go_on(&shop.wallets[0], &url).await, body_of(&path));
        assert_eq!(shop.audit().await.paid, number + 1);
        assert_eq!(
            shop.upstream().calls(&path),
            1 + u64::from(seller_dies),
            "a seller that died before it settled serves again, and is paid once"
        );
    }
    shop.close_the_books().await;
}
