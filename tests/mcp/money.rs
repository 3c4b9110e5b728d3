//! What an agent is told of its money: one that does not know that a payment is out pays again.

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::session::{Session, allow, allow_hosts};
use crate::world::World;

const ASK: &str = r#"{"x402Version":1,"error":"pay","accepts":[{"scheme":"exact","network":"base-sepolia",
"maxAmountRequired":"2000","payTo":"0x209693Bc6afc0C5328bA36FaF03C514EF312287C","resource":"http://127.0.0.1/goods",
"description":"","mimeType":"","maxTimeoutSeconds":60,"asset":"0x036CbD53842c5426634e7929541eC2318f3dCF7e",
"extra":{"name":"USDC","version":"2"}}]}"#;

/// A seller that takes a payment and says nothing.
async fn thief() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = [0; 1 << 16];
            let read = stream.read(&mut head).await.unwrap_or(0);
            if !String::from_utf8_lossy(&head[..read]).to_ascii_lowercase().contains("\r\nx-payment: ") {
                let answer = format!(
                    "HTTP/1.1 402 Payment Required\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{ASK}",
                    ASK.len()
                );
                stream.write_all(answer.as_bytes()).await.ok();
            }
        }
    });
    host
}

#[tokio::test]
async fn a_payment_that_is_out_is_never_called_unpaid() {
    let world = World::start().await;
    let host = thief().await;
    allow_hosts(&world.wallet, &[&host]);
    let mut session = Session::start(&world.wallet).await;
    let lost = session.refused("pay", json!({"url": format!("http://{host}/goods"), "body": "x"})).await;
    assert_eq!(
        (&lost["code"], &lost["money"]),
        (&json!("outcome_unknown"), &json!("payment_sent")),
        "{lost}"
    );
    // The body is not kept, so that it cannot be sent again from here; the payment is out all the same.
    let again = session.refused("fetch_again", json!({"purchase": lost["purchase"]})).await;
    assert_eq!((&again["money"], &again["purchase"]), (&json!("payment_sent"), &lost["purchase"]), "{again}");
    assert!(again["hint"].as_str().unwrap().starts_with("do not pay again"), "{again}");
}

#[tokio::test]
async fn a_body_that_is_gone_was_paid_for_all_the_same() {
    let world = World::start().await;
    allow(&world);
    let mut session = Session::start(&world.wallet).await;
    let paid = session.ok("pay", json!({"url": world.at("/weather/x")})).await;
    std::fs::remove_file(paid["body"]["file"].as_str().unwrap()).unwrap();
    let purchase = &paid["payment"]["purchase"];
    let gone = session.refused("fetch_again", json!({"purchase": purchase})).await;
    assert_eq!((&gone["money"], &gone["purchase"]), (&json!("paid"), purchase), "{gone}");
    assert!(gone["hint"].as_str().unwrap().starts_with("do not pay again"), "{gone}");
}
