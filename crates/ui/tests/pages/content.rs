//! What the pages say.

use farthing_ledger::{ApprovalFilter, ApprovalState, NewPurchase, Outcome, PurchaseFilter, PurchaseState};

use crate::world::{SIGNED, World, purchase};

/// The ids of the purchases that a page lists, in its order.
fn listed(text: &str) -> Vec<String> {
    let parts = text.split("/purchases/").skip(1);
    parts.map(|part| part.split('"').next().unwrap().to_owned()).collect()
}

fn link<'a>(text: &'a str, words: &str) -> Option<&'a str> {
    let before = text.split(&format!(">{words}</a>")).next().filter(|before| before.len() < text.len())?;
    before.rsplit("href=\"").next()?.split('"').next()
}

#[tokio::test]
async fn the_overview_tells_where_one_stands() {
    let world = World::full().await;
    let text = world.enter().await.get("/").await.text();
    for part in [
        "$12.4025",
        "no endpoint answered",
        "2 requests wait",
        ">$4.420272</p>",
        "82 purchases in 30 days",
        "$0.5741 reserved",
        "api.weather.example",
        "researcher/helper",
        "you, without an agent",
        "$20.005628</strong> left",
        "1 used, of 60 payments",
        "As of 2026-11-24 11:26:41 UTC",
    ] {
        assert!(text.contains(part), "{part}");
    }
    assert!(!text.contains(SIGNED));
    let week = world.enter().await.get("/?days=7").await.text();
    assert!(week.contains("purchases in 7 days") && week.matches("<rect class=\"day\"").count() == 7);
    let other = world.enter().await.get("/?days=8").await.text();
    assert!(other.contains("purchases in 30 days"));
}

#[tokio::test]
async fn every_purchase_is_on_one_page_of_the_history() {
    let world = World::full().await;
    let browser = world.enter().await;
    let all = world.ledger.purchases(PurchaseFilter::default()).await.unwrap();
    let mut path = "/history".to_owned();
    let mut found = Vec::new();
    loop {
        let text = browser.get(&path).await.text();
        let page = listed(&text);
        assert!(!page.is_empty() && page.len() <= 25);
        found.extend(page);
        let Some(older) = link(&text, "Older") else { break };
        path =
            older.replace("&#38;", "&").replace("&amp;", "&").strip_prefix(&browser.root).unwrap().to_owned();
    }
    let ids: Vec<_> = all.iter().map(|purchase| purchase.terms.id.to_string()).collect();
    assert_eq!(found, ids);
}

#[tokio::test]
async fn the_history_is_filtered() {
    let world = World::full().await;
    let browser = world.enter().await;
    let open = browser.get("/history?state=unknown").await.text();
    let all = world.ledger.purchases(PurchaseFilter::default()).await.unwrap();
    let unknown = all.iter().filter(|purchase| purchase.state == PurchaseState::Unknown).count();
    assert_eq!(listed(&open).len(), unknown);
    assert!(open.contains(r#"<option value="unknown" selected>"#));
    let day = browser.get("/history?since=2026-11-24&until=2026-11-24&host=MAPS.example").await.text();
    assert_eq!(listed(&day), ["01KA00000000000000000000LAST", "01KA0000000000000000000089"]);
    assert!(day.contains("1 purchase paid, $0.016665; 1 purchase open, $0.04 reserved"), "{day}");
    let agent = browser.get("/history?agent=writer").await.text();
    let is_writers =
        |purchase: &&farthing_ledger::Purchase| purchase.terms.agent.as_deref() == Some("writer");
    let paid = all.iter().filter(is_writers).filter(|purchase| purchase.state == PurchaseState::Paid).count();
    assert!(agent.contains(&format!("{paid} purchases paid")), "{agent}");
    assert!(browser.get("/history?host=nobody.example").await.text().contains("No purchase is like that"));
    for (wrong, status) in
        [("state=lost", 404), ("since=26.11.2026", 404), ("before=01NONE", 404), ("hosts=a", 400)]
    {
        assert_eq!(browser.get(&format!("/history?{wrong}")).await.status, status, "{wrong}");
    }
}

#[tokio::test]
async fn a_decision_is_the_persons_and_holds() {
    let world = World::full().await;
    let browser = world.enter().await;
    let waiting = world
        .ledger
        .approvals(ApprovalFilter { pending: Some(true), ..ApprovalFilter::default() })
        .await
        .unwrap();
    let payment = waiting.iter().find(|approval| approval.rule == "approve_above").unwrap();
    let text = browser.get("/approvals").await.text();
    for exact in [
        "GET https://data.example/v2/companies?country=DE",
        "key=k-123",
        "750000",
        "Pay 0.75 USDC to data.example",
    ] {
        assert!(text.contains(exact), "{exact}");
    }
    let path = format!("/approvals/{}", payment.id);
    assert_eq!(browser.post(&path, "&decision=maybe").await.status, 422);
    let answer = browser.post(&path, "&decision=approve").await;
    assert_eq!(answer.status, 303);
    let approved = world.ledger.approval(&payment.id).await.unwrap();
    assert_eq!((approved.state, approved.decided_by.as_deref()), (ApprovalState::Approved, Some("ana")));
    assert_eq!(browser.post(&path, "&decision=deny").await.status, 409, "it is decided");
    assert_eq!(browser.post("/approvals/a99999", "&decision=deny").await.status, 404);
    let done = browser.get(&format!("/approvals?done={}", payment.id)).await.text();
    assert!(done.contains("approved, once, until"), "{done}");
}

#[tokio::test]
async fn every_request_is_on_one_page_of_the_approvals() {
    const COUNT: usize = 120;
    let world = World::without_wallet().await;
    for n in 0..COUNT {
        world.ask(&format!("{{\"n\":{n}}}"), &format!("rule-{n:03}")).await;
    }
    let browser = world.enter().await;
    let mut path = "/approvals".to_owned();
    let mut found = Vec::new();
    loop {
        let text = browser.get(&path).await.text();
        assert!(text.contains("120 wait"), "{path}");
        let rules =
            text.split("Rule <strong>").skip(1).map(|part| part.split('<').next().unwrap().to_owned());
        found.extend(rules);
        let Some(later) = link(&text, "Later") else { break };
        path = later.strip_prefix(&browser.root).unwrap().to_owned();
    }
    let rules: Vec<_> = (0..COUNT).map(|n| format!("rule-{n:03}")).collect();
    assert_eq!(found, rules, "the oldest first, and none left out");
    let menu = browser.get("/").await.text();
    assert!(menu.contains("120 requests wait") && menu.contains(r#"aria-label="120 waiting""#));

    // What is decided leaves its place to the next one, and is told even where it is on no page.
    let waiting = ApprovalFilter { pending: Some(true), oldest_first: true, ..ApprovalFilter::default() };
    let waiting = world.ledger.approvals(waiting).await.unwrap();
    for approval in &waiting[..60] {
        assert_eq!(browser.post(&format!("/approvals/{}", approval.id), "&decision=deny").await.status, 303);
    }
    let text = browser.get(&format!("/approvals?done={}", waiting[0].id)).await.text();
    assert!(text.contains("denied; the same again is denied until") && text.contains("60 wait"), "{text}");
    assert!(text.contains("farthing approvals list --all"), "ten more were decided");
    assert_eq!(browser.get("/approvals?done=a99999").await.status, 200);
    assert_eq!(browser.get("/approvals?after=a99999").await.status, 404);
}

#[tokio::test]
async fn every_budget_is_on_the_overview_and_what_stops_everything_on_every_page() {
    let world = World::under(
        r#"
version: 1
kill: <b>wild</b>
payments:
  max: "$1"
  budgets: [{name: day, max: "$5", per: day}, {name: one-host, max: "$2", per: day, each: host}]
agents:
  bot: {payments: {budgets: [{name: hour, max: "$0.50", per: 60 minutes}]}}
"#,
    )
    .await;
    for n in 0..6 {
        let units = (n + 1) * 10_000;
        world.buy(purchase(&format!("01ONE{n}"), &format!("https://h{n}.example/"), units), None).await;
    }
    let browser = world.enter().await;
    let text = browser.get("/").await.text();
    for part in [
        "<strong>day</strong>",
        "<strong>agents.bot.hour</strong>",
        "$0.50",
        "counted for each host",
        "<strong>h5.example</strong>",
        "$0.06 used, of $2.00",
        "and 1 more",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    for page in ["/", "/history", "/approvals"] {
        let text = browser.get(page).await.text();
        assert!(
            text.contains("The policy stops everything") && text.contains("&#60;b&#62;wild"),
            "{page}: {text}"
        );
    }
}

#[tokio::test]
async fn the_freeze_stands_on_every_page() {
    let world = World::full().await;
    let browser = world.enter().await;
    assert_eq!(browser.post("/freeze", "").await.status, 303);
    let purchases = browser.get("/history").await.text();
    assert!(
        purchases.contains("Everything is frozen")
            && purchases.contains("by ana: the button on the local page")
    );
    assert_eq!(browser.post("/thaw", "").await.status, 303);
    assert!(!browser.get("/").await.text().contains("Everything is frozen"));
}

#[tokio::test]
async fn sums_beyond_any_wallet_are_drawn_too() {
    let world = World::empty().await;
    for (n, units) in
        [u128::MAX / 10u128.pow(12) / 4, 1, u128::MAX / 10u128.pow(12) / 4].into_iter().enumerate()
    {
        let terms = purchase(&format!("01HUGE{n}"), "https://a.example/", units);
        world
            .buy(
                NewPurchase { agent: Some(format!("agent {n}")), ..terms },
                Some(Outcome::Paid { transaction: None }),
            )
            .await;
    }
    let answer = world.enter().await.get("/").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}
