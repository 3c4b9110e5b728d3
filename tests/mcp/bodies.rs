//! What comes back is never dropped, whatever it is.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::json;

use crate::session::{Session, allow};
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
