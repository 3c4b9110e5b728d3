//! The local page and receipts, through the real binary, a real wallet and a chain.

use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::Child;

use crate::world::{Wallet, World, terminate};

/// `farthing ui`, and the link that it printed.
async fn start(wallet: &Wallet) -> (Child, String) {
    let mut command = wallet.command(&["ui", "--json"]);
    let mut child = command.stdout(std::process::Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line =
        tokio::time::timeout(Duration::from_secs(20), lines.next_line()).await.unwrap().unwrap().unwrap();
    let printed: Value = serde_json::from_str(&line).unwrap();
    (child, printed["url"].as_str().unwrap().to_owned())
}

/// Sends a request; the answer with its head.
async fn send(address: &str, request: &str, headers: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let text = format!("{request} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n{headers}\r\n{body}");
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

/// What stands between two texts.
fn between<'a>(text: &'a str, before: &str, after: &str) -> &'a str {
    let rest = text.split(before).nth(1).unwrap_or_else(|| panic!("no {before} in {text}"));
    rest.split(after).next().unwrap()
}

#[tokio::test]
async fn the_page_shows_the_wallet_and_what_it_bought() {
    let world = World::start().await;
    world.wallet.ok(&["fetch", &world.at("/weather/berlin?api_key=s3cret")]).await;
    let (mut child, link) = start(&world.wallet).await;
    let address = between(&link, "http://", "/");
    assert!(address.starts_with("127.0.0.1:"), "{link}");
    let entered = send(address, &format!("GET {}", link.split(address).nth(1).unwrap()), "", "").await;
    let cookie = format!("cookie: {}\r\n", between(&entered, "set-cookie: ", ";"));
    let root = between(&entered, "location: ", "\r\n").to_owned();
    // A chain is not waited for long.
    let mut page = String::new();
    for _ in 0..20 {
        page = send(address, &format!("GET {root}"), &cookie, "").await;
        if page.contains("$4.998") {
            break;
        }
    }
    assert!(page.contains("$4.998") && page.contains("USDC on Base Sepolia"), "{page}");
    assert!(page.contains("api_key=[hidden]") && !page.contains("s3cret"), "{page}");
    let form = format!("form={}", between(&page, "name=\"form\" value=\"", "\""));
    let head = format!(
        "{cookie}origin: http://{address}\r\ncontent-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n",
        form.len()
    );
    assert!(send(address, &format!("POST {root}freeze"), &head, &form).await.contains(" 303 "));
    let refused = world.wallet.json(&["fetch", &world.at("/weather/rome")], 4).await;
    assert_eq!(refused["error"]["denial"]["code"], "frozen", "{refused}");
    assert!(send(address, &format!("POST {root}thaw"), &head, &form).await.contains(" 303 "));
    world.wallet.ok(&["fetch", &world.at("/weather/rome")]).await;

    let purchase = world.wallet.newest().await["id"].as_str().unwrap().to_owned();
    let pdf = send(address, &format!("GET {root}purchases/{purchase}/receipt.pdf"), &cookie, "").await;
    assert!(pdf.contains("%PDF-1.7") && pdf.contains(&purchase));
    terminate(&child);
    let ended = tokio::time::timeout(Duration::from_secs(60), child.wait()).await.unwrap().unwrap();
    assert!(ended.success(), "{ended}");
    world.wallet.assert_whole().await;
}

#[tokio::test]
async fn a_receipt_is_a_document_whose_row_is_found_again() {
    let world = World::start().await;
    world.wallet.ok(&["fetch", &world.at("/weather/berlin?token=s3cret")]).await;
    let purchase = world.wallet.newest().await;
    let id = purchase["id"].as_str().unwrap();
    let html = String::from_utf8(world.wallet.ok(&["receipt", id, "--html"]).await).unwrap();
    let transaction = purchase["outcome"]["transaction"].as_str().unwrap();
    assert!(html.contains(transaction) && html.contains("0.002 USDC"), "{html}");
    assert!(html.contains("token=[hidden]") && !html.contains("s3cret"), "{html}");
    let file = world.folder.path().join("receipt.pdf");
    world.wallet.ok(&["receipt", id, "--pdf", "-o", file.to_str().unwrap()]).await;
    assert!(std::fs::read(&file).unwrap().starts_with(b"%PDF-1.7"));
    let written = world.wallet.json(&["receipt", id, "--html", "-o", file.to_str().unwrap()], 0).await;
    assert_eq!(written["file"], file.to_str().unwrap());

    let hash = between(&html, "--expect-head ", "<");
    world.wallet.ok(&["fetch", &world.at("/weather/rome")]).await;
    world.wallet.ok(&["audit", "verify", "--expect-head", hash]).await;
    let other = format!("{:064x}", 7);
    assert!(!world.wallet.run(&["audit", "verify", "--expect-head", &other]).await.status.success());
    assert!(!world.wallet.run(&["receipt", id, "--pdf"]).await.status.success(), "a PDF needs a file");
}
