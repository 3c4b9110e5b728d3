//! What comes back is never dropped, whatever it is.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::json;

use crate::rough::{Reply, Rough};
use crate::session::{Session, allow, allow_hosts, impatient};
use crate::world::World;

const ROUTES: &str = r#"
  - {match: "POST /echo", price: "$0.01"}
  - {match: "GET /image", price: "$0.01"}
  - {match: "GET /long", price: "$0.01"}
"#;

#[tokio::test]
async fn binary_bodies_go_out_and_come_back_whole() {
    let world = World::selling(ROUTES, "").await;
    allow(&world);
    let mut session = Session::start(&world.wallet).await;
    let bytes: Vec<u8> = (0..=255).collect();
    let call = json!({"url": world.at("/echo"), "body_base64": BASE64.encode(&bytes), "content_type": "image/x-odd"});
    let paid = session.ok("pay", call).await;
    assert_eq!(paid["body"]["bytes"], 256);
    let file = paid["body"]["file"].as_str().unwrap();
    assert_eq!(std::fs::read(file).unwrap(), bytes);
    let resource = session.request("resources/read", json!({"uri": paid["body"]["resource"]})).await;
    assert_eq!(resource["result"]["contents"][0]["blob"], BASE64.encode(&bytes), "{resource}");
}

#[tokio::test]
async fn images_are_shown_and_long_texts_begin() {
    let world = World::selling(ROUTES, "").await;
    allow(&world);
    let mut session = Session::start(&world.wallet).await;
    let image = session.call("pay", json!({"url": world.at("/image")})).await;
    assert_eq!(image["content"][1]["type"], "image", "{image}");
    assert_eq!(image["content"][1]["mimeType"], "image/png");
    let long = session.ok("pay", json!({"url": world.at("/long")})).await;
    assert_eq!(long["body"]["truncated"], true, "{long}");
    let kept = std::fs::read_to_string(long["body"]["file"].as_str().unwrap()).unwrap();
    assert!(kept.starts_with(long["body"]["text"].as_str().unwrap()) && kept.len() == 200_000);
    let free = session.ok("pay", json!({"url": world.at("/long?free"), "method": "POST"})).await;
    assert_eq!((free.get("payment"), &free["body"]["bytes"]), (None, &json!(200_000)), "{free}");
}

#[tokio::test]
async fn a_free_answer_that_never_ends_ends() {
    let world = World::start().await;
    let seller = Rough::start(|_| Reply::Drips("text/event-stream", "data: 1\n\n")).await;
    allow_hosts(&world.wallet, &[&seller.host]);
    impatient(&world.wallet);
    let mut session = Session::start(&world.wallet).await;
    let begun = std::time::Instant::now();
    let free = session.ok("pay", json!({"url": seller.at("/events")})).await;
    assert!(begun.elapsed() < std::time::Duration::from_secs(60), "{:?}", begun.elapsed());
    assert!(free["body"]["text"].as_str().unwrap().starts_with("data: 1"), "what came is shown: {free}");
    assert!(free["body"]["incomplete"].as_str().unwrap().contains("it goes on"), "{free}");
}

#[tokio::test]
async fn what_is_called_an_image_and_is_none_is_not_shown_as_one() {
    let world = World::start().await;
    let image = || vec![("content-type", "image/png".to_owned())];
    let seller = Rough::start(move |heard| match heard.line() {
        "GET /page" => Reply::Says("200 OK", image(), b"<html>pay me</html>".to_vec()),
        _ => Reply::Says("200 OK", image(), Vec::new()),
    })
    .await;
    allow_hosts(&world.wallet, &[&seller.host]);
    let mut session = Session::start(&world.wallet).await;
    for path in ["/page", "/empty"] {
        let shown = session.call("pay", json!({"url": seller.at(path)})).await;
        assert!(shown["content"].as_array().unwrap().iter().all(|block| block["type"] == "text"), "{shown}");
    }
}

#[tokio::test]
async fn no_resource_leads_to_other_files() {
    let world = World::start().await;
    let mut session = Session::start(&world.wallet).await;
    for uri in [
        "farthing://bodies/../keys.json",
        "farthing://bodies/%2e%2e/keys.json",
        "farthing://bodies/keys.json",
        "farthing://receipts/../../keys",
        "file:///etc/passwd",
    ] {
        let read = session.request("resources/read", json!({"uri": uri})).await;
        assert!(read.get("error").is_some(), "{uri}: {read}");
    }
}
