//! Receipts as documents.

use farthing_ledger::{NewPurchase, Outcome, PurchaseId};
use farthing_money::Registry;
use farthing_ui::Receipt;

use crate::world::{PAYEE, SIGNED, World, purchase};

async fn receipt(world: &World, id: &str) -> Receipt {
    let id = PurchaseId(id.into());
    let row = world.ledger.purchase_row(&id).await.unwrap();
    Receipt::new(&world.ledger.purchase(&id).await.unwrap(), &row, &Registry::builtin())
}

/// The texts of a PDF of ours, whose content is not compressed: what stands in parentheses.
fn shown(pdf: &[u8]) -> String {
    let text: String = pdf.iter().map(|byte| char::from(*byte)).collect();
    let lines = text.split(") Tj").filter_map(|part| part.rsplit_once("Td\n(")).map(|(_, line)| line);
    lines.collect::<Vec<_>>().join("\n").replace("\\\\", "\\")
}

#[tokio::test]
async fn both_forms_say_everything_that_was_paid_for() {
    let world = World::full().await;
    let id = "01KA0000000000000000000089";
    let receipt = receipt(&world, id).await;
    let row = world.ledger.purchase_row(&PurchaseId(id.into())).await.unwrap();
    let (html, pdf) = (receipt.html().unwrap(), shown(&receipt.pdf()));
    for part in [
        id,
        "GET",
        "https://maps.example/v1/query?q=89",
        "2026-11-24 11:06:41 UTC",
        "researcher",
        "0.016665 USDC",
        "16665 base units",
        "$0.016665",
        "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913",
        "eip155:8453",
        PAYEE,
        "0x857b06519E91e3A54538791bDbb0E22373e36b66",
        &format!("0x{:064x}", 89 + 0xabc),
        &"b7".repeat(32),
        &"9d".repeat(32),
        "d10ac40b090186ab8e8bc716714785246e143f34e77be9eaacfcb8e572ce845e",
        &row.hash,
        &format!("farthing audit verify --expect-head {}", row.hash),
    ] {
        assert!(html.contains(part), "HTML: {part}");
        assert!(pdf.contains(part), "PDF: {part}\n{pdf}");
    }
    crate::browser::keep(&receipt.pdf(), "receipt.pdf");
    for secret in [SIGNED, "PAYMENT-SIGNATURE"] {
        assert!(!html.contains(secret) && !pdf.contains(secret));
    }
    assert!(
        !html.contains("<link") && !html.contains("<script") && !html.contains("src="),
        "it needs nothing else"
    );
    let report = world.ledger.verify_since(&row.hash).await.unwrap();
    assert!(report.rows_since.is_some() && report.problems.is_empty(), "the hash that stands there is found");
}

#[tokio::test]
async fn any_text_fits_on_one_sheet() {
    let world = World::empty().await;
    let url = format!("https://a.example/東京?{}&api_key=abc", "q".repeat(9_000));
    let terms = purchase("01LONG", &url, 1);
    let terms =
        NewPurchase { agent: Some("пример (a) \\ b".into()), pay_to: "é".repeat(4_000), ..terms };
    world.buy(terms, Some(Outcome::Unknown { why: "w".repeat(10_000) })).await;
    let receipt = receipt(&world, "01LONG").await;
    let pdf = receipt.pdf();
    let text = shown(&pdf);
    assert!(pdf.starts_with(b"%PDF-1.7") && pdf.ends_with(b"%%EOF"));
    assert!(text.contains("Purchase that is open") && text.contains("\\u{6771}\\u{4eac}"), "{text}");
    assert!(text.contains("\\u{43f}\\u{440}"), "{text}");
    let lowest = pdf_feet(&pdf).into_iter().min().unwrap();
    assert!((40..150).contains(&lowest), "the last line's foot is at {lowest}");
    assert!(receipt.html().unwrap().contains("api_key=[hidden]"));
}

#[tokio::test]
async fn what_was_not_paid_is_no_receipt() {
    let world = World::full().await;
    let receipt = receipt(&world, "01KA0000000000000000000011").await;
    let html = receipt.html().unwrap();
    assert!(
        html.contains("<h1>Purchase that was not paid</h1>") && html.contains("the signature expired unused")
    );
}

/// How high the foot of each line of a PDF of ours is.
fn pdf_feet(pdf: &[u8]) -> Vec<i32> {
    let text: String = pdf.iter().map(|byte| char::from(*byte)).collect();
    let places = text.lines().filter_map(|line| line.strip_suffix(" Td"));
    places.map(|place| place.rsplit(' ').next().unwrap().parse().unwrap()).collect()
}
