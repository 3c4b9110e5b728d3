//! `farthing gateway` and `farthing facilitator` die at each of their steps while a buyer waits.

use std::process::Output;

use super::points::{self, Victim};
use super::shop::{Server, Shop, aborted, body_of, shown, until};
use crate::world::Wallet;

/// Who is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dying {
    /// The gateway that settles itself.
    Gateway,
    /// The facilitator behind the second gateway.
    Facilitator,
}

impl Dying {
    fn of(self, shop: &mut Shop) -> &mut Server {
        match self {
            Self::Gateway => &mut shop.gateways[0],
            Self::Facilitator => shop.facilitator.as_mut().unwrap(),
        }
    }

    /// Where the buyer calls, so that this one has to do with it.
    fn sold_at(self, shop: &Shop, path: &str) -> String {
        let gateway = match self {
            Self::Gateway => 0,
            Self::Facilitator => 1,
        };
        format!("{}{path}", shop.gateways[gateway].url)
    }
}

/// One purchase during which a server dies at `fault`, after `calls_before` that went well.
async fn dies_and_comes_back(shop: &mut Shop, dying: Dying, route: &str, fault: &str, calls_before: u64) {
    let ahead = shop.ahead();
    dying.of(shop).kill().await;
    dying.of(shop).start(ahead, Some(fault)).await;
    for before in 0..calls_before {
        let url = dying.sold_at(shop, &format!("/{route}/{fault}-{before}"));
        let done = shop.run(&shop.wallets[0], &["fetch", &url], None).await;
        assert!(done.status.success(), "{fault}: {}", shown(&done));
    }
    let path = format!("/{route}/{fault}");
    let url = dying.sold_at(shop, &path);
    let buyer = fetching(shop, &shop.wallets[0], &url);
    dying.of(shop).died(fault).await;
    let at_death = shop.audit().await;
    dying.of(shop).start(ahead, None).await;
    // The buyer's client sends the same payment again by itself, and mostly gets what it wants.
    let done = buyer.await.unwrap();
    assert!(matches!(done.status.code(), Some(0 | 6)), "{fault}: {}", shown(&done));
    assert_eq!(shop.go_on(&shop.wallets[0], &url).await, body_of(&path), "{fault}");
    let after = shop.audit().await;
    assert!(after.paid - at_death.paid <= 1, "{fault}: paid once");
    assert_eq!(
        shop.purchases(&shop.wallets[0], &url).await.len(),
        1,
        "{fault}: one purchase, kept to its end"
    );
}

/// A fetch on its own, while the servers die.
fn fetching(shop: &Shop, wallet: &Wallet, url: &str) -> tokio::task::JoinHandle<Output> {
    let mut command = shop.command(wallet, &["fetch", url], None);
    tokio::spawn(async move { command.output().await.unwrap() })
}

/// Each point at the first and at the second call that comes to it.
async fn each_point(dying: Dying, route: &str, points: &[&str]) {
    let mut shop = Shop::with_facilitator().await;
    if dying == Dying::Facilitator {
        shop.gateways[1].start(0, None).await;
    }
    for point in points {
        dies_and_comes_back(&mut shop, dying, route, point, 0).await;
        dies_and_comes_back(&mut shop, dying, route, &format!("{point}:2"), 1).await;
    }
    let figures = shop.close_the_books().await;
    assert_eq!(figures.paid, 3 * points.len(), "every call was paid, and once: {figures:?}");
}

#[tokio::test]
async fn a_gateway_that_dies_at_a_step_takes_the_call_up_again() {
    each_point(Dying::Gateway, "weather", &points::of(&[Victim::Gateway])).await;
}

#[tokio::test]
async fn a_gateway_that_dies_settling_takes_the_settlement_up_again() {
    each_point(Dying::Gateway, "weather", &points::of(&[Victim::Settler])).await;
}

/// Its answer is kept nowhere: it streams.
#[tokio::test]
async fn an_upfront_call_survives_its_gateway() {
    let mut steps = points::of(&[Victim::Gateway]);
    steps.retain(|step| *step != "gateway.kept");
    each_point(Dying::Gateway, "upfront", &steps).await;
}

/// No fault point but SIGKILL, when half of the answer is with the buyer.
#[tokio::test]
async fn a_stream_that_died_with_its_gateway_is_had_whole_by_resuming() {
    let mut shop = Shop::new().await;
    shop.open(None).await;
    let path = "/upfront/stall-oslo";
    let url = shop.at(path);
    let buyer = fetching(&shop, &shop.wallets[0], &url);
    until("the first half", async || half_came(&shop.wallets[0])).await;
    shop.gateways[0].kill().await;
    let done = buyer.await.unwrap();
    assert_eq!(done.status.code(), Some(1), "what is not whole is said to be that: {}", shown(&done));
    let purchase = shop.purchases(&shop.wallets[0], &url).await.remove(0);
    assert_eq!(purchase["state"], "paid");
    shop.audit().await;

    shop.open(None).await;
    shop.upstream().stall(false);
    let resume = ["fetch", &url, "--resume", purchase["id"].as_str().unwrap()];
    let done = shop.run(&shop.wallets[0], &resume, None).await;
    assert!(done.status.success(), "{}", shown(&done));
    assert_eq!(String::from_utf8_lossy(&done.stdout), body_of(path));
    assert_eq!(shop.upstream().calls(path), 2, "made again");
    let figures = shop.close_the_books().await;
    assert_eq!((figures.paid, figures.purchases), (1, 1), "and paid once");
}

/// Whether a part of an answer stands on the buyer's disk.
fn half_came(wallet: &Wallet) -> Option<()> {
    let mut bodies = std::fs::read_dir(wallet.home.join("bodies")).ok()?;
    bodies.any(|body| body.unwrap().metadata().is_ok_and(|body| body.len() > 0)).then_some(())
}

#[tokio::test]
async fn a_facilitator_that_dies_settling_takes_the_settlement_up_again() {
    each_point(Dying::Facilitator, "weather", &points::of(&[Victim::Settler])).await;
}

/// Every commit of the gateway's ledger during one call, before it and after it.
#[tokio::test]
async fn a_gateway_that_dies_at_a_commit_takes_the_call_up_again() {
    let mut shop = Shop::new().await;
    for point in points::of(&[Victim::Ledger]) {
        for nth in 1..=MOST_COMMITS {
            if !dies_at_commit(&mut shop, &format!("{point}:{nth}")).await {
                assert!(nth > 4, "a call is at least claimed, begun, broadcast, confirmed and settled");
                break;
            }
        }
    }
    shop.close_the_books().await;
}

const MOST_COMMITS: u32 = 12;

/// Whether the gateway made so many commits that it died.
async fn dies_at_commit(shop: &mut Shop, fault: &str) -> bool {
    shop.gateways[0].kill().await;
    shop.open(Some(fault)).await;
    let path = format!("/weather/{fault}");
    let url = shop.at(&path);
    let mut buyer = fetching(shop, &shop.wallets[0], &url);
    let died = tokio::select! {
        done = &mut buyer => {
            assert!(done.unwrap().status.success(), "{fault}");
            false
        }
        ended = shop.gateways[0].ended() => {
            assert!(aborted(ended), "{fault}: {}", shop.gateways[0].log());
            true
        }
    };
    if died {
        shop.open(None).await;
        let done = buyer.await.unwrap();
        assert!(matches!(done.status.code(), Some(0 | 6)), "{fault}: {}", shown(&done));
    }
    assert_eq!(shop.go_on(&shop.wallets[0], &url).await, body_of(&path), "{fault}");
    assert_eq!(shop.purchases(&shop.wallets[0], &url).await.len(), 1, "{fault}");
    shop.audit().await;
    died
}
