//! Hosts, addresses, reasons, names and terms that others choose.

use farthing_ledger::{NewPurchase, Outcome, PurchaseId};

use crate::world::{World, purchase};

const HOSTILE: &str = "\"><script>alert(1)</script><img src=x onerror=alert(2)>'\u{202e}\u{0}";

/// Nothing of it became markup, and nothing of it turns the text.
fn assert_harmless(text: &str, place: &str) {
    assert!(!text.contains("<script") && !text.contains("<img src=x"), "{place}: {text}");
    assert!(!text.contains('\u{202e}') && !text.contains('\u{0}'), "{place}");
}

#[tokio::test]
async fn what_others_choose_is_text() {
    let world = World::empty().await;
    let id = "01KAHOSTILE";
    let hostile = NewPurchase {
        method: HOSTILE.into(),
        url: format!("https://evil.example/{HOSTILE}?q={HOSTILE}&token=s3cret-in-query"),
        scheme: HOSTILE.into(),
        pay_to: HOSTILE.into(),
        asset: HOSTILE.into(),
        agent: Some(HOSTILE.into()),
        ..purchase(id, "https://evil.example/", 1)
    };
    world.buy(hostile, Some(Outcome::Unknown { why: HOSTILE.into() })).await;
    let strange = purchase(&format!("01KA{HOSTILE}"), "not an address", 2);
    world.buy(NewPurchase { id: PurchaseId(strange.id.0.clone()), ..strange }, None).await;
    world.ask(&format!("{{\"host\":{:?},\"amount\":\"1\"}}", "<script>alert(3)</script>"), HOSTILE).await;
    world.ask(HOSTILE, "no json").await;
    world.ledger.freeze(HOSTILE.into(), HOSTILE.into()).await.unwrap();
    let browser = world.enter().await;
    let pages =
        ["/", "/history", "/approvals", "/purchases/01KAHOSTILE", "/purchases/01KAHOSTILE/receipt.html"];
    for path in pages {
        let answer = browser.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        assert_harmless(&answer.text(), path);
        assert!(!answer.text().contains("s3cret-in-query"), "{path}");
    }
    let pdf = browser.get("/purchases/01KAHOSTILE/receipt.pdf").await;
    assert_eq!(pdf.status, 200);
    assert!(!pdf.bytes.windows(15).any(|bytes| bytes == b"s3cret-in-query"));
}

#[tokio::test]
async fn what_the_address_says_is_text_too() {
    let world = World::empty().await;
    let browser = world.enter().await;
    let coded = "%22%3E%3Cscript%3Ealert(1)%3C/script%3E";
    for path in [
        format!("/history?host={coded}&agent={coded}"),
        format!("/history?state={coded}"),
        format!("/history?since={coded}"),
        format!("/history?before={coded}"),
        format!("/purchases/{coded}"),
        format!("/approvals?done={coded}"),
        format!("/?days={coded}"),
        format!("/{coded}"),
    ] {
        assert_harmless(&browser.get(&path).await.text(), &path);
    }
    let long = format!("form={}&why={}", browser.form, "x".repeat(64 * 1024));
    assert_eq!(browser.send_form("/freeze", &[&world.origin()], &long).await.status, 413);
}
