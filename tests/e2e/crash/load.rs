//! Eight fetches at once, out of one wallet, through one gateway, and one of the processes dies at a commit.

use futures::future::join_all;

use super::points::{self, Victim};
use super::shop::{Shop, aborted, body_of, shown};

const AT_ONCE: usize = 8;

/// The commit at which somebody dies: early, and among those of several calls.
const NTH: [u32; 2] = [2, 7];

#[tokio::test]
async fn a_gateway_that_dies_at_a_commit_under_load_loses_nothing() {
    let mut shop = Shop::new().await;
    for point in points::of(&[Victim::Ledger]) {
        for nth in NTH {
            let fault = format!("{point}:{nth}");
            shop.gateways[0].kill().await;
            shop.open(Some(&fault)).await;
            let urls: Vec<_> = (0..AT_ONCE).map(|n| shop.at(&format!("/weather/{fault}-{n}"))).collect();
            let buyers: Vec<_> = urls
                .iter()
                .map(|url| {
                    let mut command = shop.command(&shop.wallets[0], &["fetch", url], None);
                    tokio::spawn(async move { command.output().await.unwrap() })
                })
                .collect();
            shop.gateways[0].died(&fault).await;
            shop.open(None).await;
            for done in join_all(buyers).await {
                let done = done.unwrap();
                // What it had not asked for yet was refused without a payment.
                assert!(matches!(done.status.code(), Some(0 | 3 | 6)), "{fault}: {}", shown(&done));
            }
            all_end_well(&shop, &urls).await;
        }
    }
    shop.close_the_books().await;
}

#[tokio::test]
async fn a_fetch_that_dies_at_a_commit_beside_others_takes_none_along() {
    let mut shop = Shop::new().await;
    shop.open(None).await;
    for point in points::of(&[Victim::Ledger]) {
        let urls: Vec<_> = (0..AT_ONCE).map(|n| shop.at(&format!("/weather/{point}-{n}"))).collect();
        let fault = |n: usize| format!("{point}:{}", n / 2 + 1);
        let faults: Vec<_> = (0..AT_ONCE).map(|n| (n % 2 == 0).then(|| fault(n))).collect();
        let buyers = urls.iter().zip(&faults).map(async |(url, fault)| {
            let done = shop.run(&shop.wallets[0], &["fetch", url], fault.as_deref()).await;
            let expected = if fault.is_some() { aborted(done.status) } else { done.status.success() };
            assert!(expected || (fault.is_some() && done.status.success()), "{fault:?}: {}", shown(&done));
        });
        join_all(buyers).await;
        all_end_well(&shop, &urls).await;
    }
    let figures = shop.close_the_books().await;
    assert_eq!(figures.paid, 2 * AT_ONCE, "each was paid once: {figures:?}");
}

async fn all_end_well(shop: &Shop, urls: &[String]) {
    shop.audit().await;
    for url in urls {
        let path = url.rsplit_once("/weather/").unwrap().1;
        assert_eq!(shop.go_on(&shop.wallets[0], url).await, body_of(&format!("/weather/{path}")));
    }
    shop.audit().await;
}
