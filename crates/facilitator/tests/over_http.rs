//! The HTTP interface, and our own client against it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on ends there")]

mod common;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use common::{PAYEE_2, Pay, Script, Server, Step, TX, World, eventually, pay, start, start_with};
use farthing_facilitator::http::{ApiKey, HttpConfig, KeyHash, RateLimit, ServeLimits};
use farthing_facilitator::{Facilitate, FacilitatorError, HttpFacilitator, Limits, Payees, RemoteConfig};
use farthing_protocol::x402::Reason;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

struct Answer {
    status: u16,
    head: String,
    json: Value,
}

/// One request as it stands on the wire; the connection closes after it.
async fn raw(server: &Server, request: &str) -> Answer {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    // The server may answer and close before it has read everything.
    drop(stream.write_all(request.as_bytes()).await);
    let mut bytes = Vec::new();
    drop(stream.read_to_end(&mut bytes).await);
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    Answer {
        status,
        head: head.to_lowercase(),
        json: serde_json::from_str(body).unwrap_or(Value::String(body.into())),
    }
}

async fn send(server: &Server, method: &str, path: &str, headers: &str, body: &str) -> Answer {
    let length = body.len();
    let head =
        format!("{method} {path} HTTP/1.1\r\nhost: f\r\nconnection: close\r\ncontent-length: {length}\r\n");
    raw(server, &format!("{head}{headers}\r\n{body}")).await
}

async fn post(server: &Server, path: &str, body: &str) -> Answer {
    send(server, "POST", path, "", body).await
}

fn key(name: &str, secret: &str, pay_to: Option<&str>) -> ApiKey {
    ApiKey {
        name: name.into(),
        sha256: KeyHash::of(secret),
        pay_to: pay_to.map(|payee| Payees::new(vec![payee.into()])),
    }
}

fn remote(server: &Server) -> RemoteConfig {
    RemoteConfig::new(format!("http://{}", server.address).parse().unwrap())
}

#[tokio::test]
async fn verify_and_settle_in_both_versions() {
    let world = World::new(Script::of(&[]));
    let server = start(&world.facilitator, HttpConfig::default()).await;
    for (version, network) in [(2, "eip155:84532"), (1, "base-sepolia")] {
        let body = Pay { version, nonce: version, ..pay() }.body();
        let verified = post(&server, "/verify", &body).await;
        assert_eq!(
            (verified.status, &verified.json["isValid"]),
            (200, &Value::Bool(true)),
            "{}",
            verified.json
        );
        let settled = post(&server, "/settle", &body).await;
        assert_eq!((settled.status, &settled.json["success"]), (200, &Value::Bool(true)), "{}", settled.json);
        assert_eq!(settled.json["network"], network);
        assert!(settled.json.get("errorReason").is_none());
        assert_eq!(post(&server, "/settle", &body).await.json, settled.json, "again, from the record");
    }
    assert_eq!(world.script.sent(), 2);
    let supported = send(&server, "GET", "/supported", "", "").await;
    assert_eq!(supported.json["kinds"][1]["network"], "base-sepolia");
    assert_eq!(supported.json["signers"]["eip155:*"][0], common::SIGNER);
}

#[tokio::test]
async fn what_cannot_be_read_says_why() {
    let world = World::new(Script::of(&[]));
    let server = start(&world.facilitator, HttpConfig::default()).await;
    let good = pay().body();
    let cases = [
        ("{".to_owned(), "invalid_payload"),
        ("{}".to_owned(), "invalid_payload"),
        (good.replace("\"x402Version\":2", "\"x402Version\":3"), "invalid_x402_version"),
        (good.replace("\"amount\":\"10000\"", "\"amount\":\"-1\""), "invalid_payment_requirements"),
        (
            good.replace("\"scheme\":\"exact\"", "\"scheme\":\"exact\",\"scheme\":\"exact\""),
            "invalid_payload",
        ),
    ];
    for (body, code) in cases {
        let verify = post(&server, "/verify", &body).await;
        assert_eq!(
            (verify.status, verify.json["invalidReason"].as_str()),
            (400, Some(code)),
            "{}",
            verify.json
        );
        assert!(verify.json["error"].is_string() && verify.json["isValid"] == Value::Bool(false));
        let settle = post(&server, "/settle", &body).await;
        assert_eq!((settle.status, settle.json["errorReason"].as_str()), (400, Some(code)));
        assert_eq!(settle.json["success"], Value::Bool(false));
    }
    assert_eq!(send(&server, "GET", "/nothing", "", "").await.status, 404);
    assert_eq!(send(&server, "GET", "/settle", "", "").await.status, 405);
    let elsewhere = post(&server, "/verify", &good.replace("eip155:84532", "eip155:1")).await;
    let said = (elsewhere.status, elsewhere.json["invalidReason"].as_str());
    assert_eq!(said, (200, Some("invalid_network")), "an invalid payment is an answer");
}

#[tokio::test]
async fn large_bodies_are_not_read() {
    let world = World::new(Script::of(&[]));
    let config = HttpConfig { max_body_bytes: 4096, ..HttpConfig::default() };
    let server = start(&world.facilitator, config).await;
    let padded = |bytes: usize| format!("{}{}", pay().body(), " ".repeat(bytes));
    assert_eq!(post(&server, "/verify", &padded(0)).await.status, 200);
    let large = post(&server, "/verify", &padded(4096)).await;
    assert_eq!(large.status, 413, "{}", large.json);
    let chunk = format!("{:x}\r\n{}\r\n0\r\n\r\n", 5000, " ".repeat(5000));
    let head = "POST /settle HTTP/1.1\r\nhost: f\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n";
    assert_eq!(raw(&server, &format!("{head}{chunk}")).await.status, 413, "without a length, too");
}

#[tokio::test]
async fn keys_open_and_bind() {
    let world = World::new(Script::of(&[]));
    let keys =
        vec![key("old", "k-old", None), key("new", "k-new", None), key("shop", "k-shop", Some(PAYEE_2))];
    let server = start(&world.facilitator, HttpConfig { keys, ..HttpConfig::default() }).await;
    let body = pay().body();
    for headers in ["", "authorization: Bearer wrong\r\n", "authorization: Basic k-old\r\n"] {
        let answer = send(&server, "POST", "/settle", headers, &body).await;
        assert_eq!(answer.status, 401, "{headers:?}");
        assert!(answer.head.contains("www-authenticate: bearer"), "{}", answer.head);
    }
    assert_eq!(world.script.sent(), 0);
    for secret in ["k-old", "k-new"] {
        let headers = format!("authorization: Bearer {secret}\r\n");
        assert_eq!(send(&server, "POST", "/settle", &headers, &body).await.status, 200);
    }
    let shop = "authorization: Bearer k-shop\r\n";
    let refused = send(&server, "POST", "/verify", shop, &body).await;
    assert_eq!((refused.status, &refused.json["isValid"]), (403, &Value::Bool(false)));
    let allowed = Pay { pay_to: PAYEE_2, nonce: 9, ..pay() }.body();
    assert_eq!(send(&server, "POST", "/verify", shop, &allowed).await.status, 200);
    assert_eq!(send(&server, "GET", "/metrics", "", "").await.status, 401);
    assert_eq!(send(&server, "GET", "/metrics", shop, "").await.status, 200);
    assert_eq!(send(&server, "GET", "/health", "", "").await.status, 200, "a load balancer has no key");
}

/// Known attacks, "gas griefing": rate limits.
#[tokio::test]
async fn rates_are_limited_by_caller() {
    let world = World::new(Script::of(&[]));
    let n = |n| NonZeroU32::new(n).unwrap();
    let rate_limit = Some(RateLimit { per_minute: n(1), burst: n(2) });
    let keys = vec![key("a", "k-a", None), key("b", "k-b", None)];
    let server = start(&world.facilitator, HttpConfig { rate_limit, keys, ..HttpConfig::default() }).await;
    let ask = async |secret: &str| {
        let headers = format!("authorization: Bearer {secret}\r\n");
        send(&server, "POST", "/verify", &headers, &pay().body()).await
    };
    assert_eq!([ask("k-a").await.status, ask("k-a").await.status], [200, 200]);
    let limited = ask("k-a").await;
    assert_eq!(limited.status, 429);
    assert!(limited.head.contains("retry-after: "), "{}", limited.head);
    assert_eq!(ask("k-b").await.status, 200, "another key has its own allowance");
    assert_eq!(
        [ask("x").await.status, ask("y").await.status, ask("z").await.status],
        [401, 401, 429],
        "guessing"
    );
}

#[tokio::test]
async fn a_lost_chain_is_no_answer_and_shows_no_endpoint() {
    let world = World::new(Script::of(&[Step::Lost]));
    world.script.verify.lock().unwrap().push_back(Step::Lost);
    let server = start(&world.facilitator, HttpConfig::default()).await;
    for (path, field, code) in [
        ("/verify", "invalidReason", "unexpected_verify_error"),
        ("/settle", "errorReason", "unexpected_settle_error"),
    ] {
        let answer = post(&server, path, &pay().body()).await;
        assert_eq!((answer.status, answer.json[field].as_str()), (503, Some(code)), "{}", answer.json);
        assert!(!answer.json.to_string().contains("SECRET"));
    }
    let health = send(&server, "GET", "/health", "", "").await;
    assert_eq!((health.status, health.json["status"].as_str()), (503, Some("down")));
    assert_eq!(health.json["reasons"][0], "eip155:84532 could not be asked");
    post(&server, "/settle", &pay().body()).await;
    let health = send(&server, "GET", "/health", "", "").await;
    assert_eq!((health.status, health.json["status"].as_str()), (200, Some("ok")));
}

#[tokio::test]
async fn seats_are_bounded() {
    let verify_gate = Some(tokio::sync::Semaphore::new(0));
    let world = World::new(Arc::new(Script { verify_gate, ..Script::default() }));
    world.script.verify.lock().unwrap().extend([Step::Confirm, Step::Confirm]);
    let config = HttpConfig { max_in_flight: 1, ..HttpConfig::default() };
    let server = Arc::new(start(&world.facilitator, config).await);
    let (other, body) = (server.clone(), pay().body());
    let slow = tokio::spawn(async move { post(&other, "/verify", &body).await });
    eventually("the seat is taken", || async { world.script.verify.lock().unwrap().len() == 1 }).await;
    assert_eq!(post(&server, "/verify", &pay().body()).await.status, 503);
    world.script.verify_gate.as_ref().unwrap().add_permits(2);
    assert_eq!(slow.await.unwrap().status, 200);
    assert_eq!(post(&server, "/verify", &pay().body()).await.status, 200, "the seat is free again");
}

#[tokio::test]
async fn time_is_bounded() {
    let world = World::new(Script::of(&[]));
    world.script.verify.lock().unwrap().push_back(Step::Hang);
    let config = HttpConfig { request_timeout: Duration::from_millis(200), ..HttpConfig::default() };
    let server = start(&world.facilitator, config).await;
    let late = post(&server, "/verify", &pay().body()).await;
    assert_eq!(late.status, 503, "{}", late.json);
}

#[tokio::test]
async fn metrics_and_request_ids() {
    let world = World::new(Script::of(&[]));
    let server = start(&world.facilitator, HttpConfig::default()).await;
    let body = pay().body();
    let answer = send(&server, "POST", "/settle", "x-request-id: abc-1\r\n", &body).await;
    assert!(answer.head.contains("x-request-id: abc-1") && answer.head.contains("cache-control: no-store"));
    let answer = send(&server, "POST", "/verify", "x-request-id: a b\r\n", &body).await;
    assert!(answer.head.contains("x-request-id: 01"), "a made-up id is replaced: {}", answer.head);
    post(&server, "/verify", "{").await;
    let metrics = send(&server, "GET", "/metrics", "", "").await;
    let text = metrics.json.as_str().unwrap().to_owned();
    for line in [
        r#"farthing_facilitator_settles_total{result="settled",reason=""} 1"#,
        r#"farthing_facilitator_verifies_total{result="valid",reason=""} 1"#,
        r#"farthing_facilitator_refused_total{why="malformed"} 1"#,
        "farthing_facilitator_settle_seconds_count 1",
        "farthing_facilitator_pending_settlements 0",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
}

#[tokio::test]
async fn our_client_asks_our_facilitator() {
    let world = World::new(Script::of(&[Step::Pend]).then_outcome(&[Step::Confirm]));
    let keys = vec![key("shop", "k", None)];
    let server = start(&world.facilitator, HttpConfig { keys, ..HttpConfig::default() }).await;
    let mut config = remote(&server);
    let stranger = HttpFacilitator::new(config.clone()).unwrap();
    let refused = stranger.settle(&pay().request()).await;
    assert!(matches!(refused, Err(FacilitatorError::Refused { .. })), "{refused:?}");
    config.bearer = Some("k".into());
    let client = HttpFacilitator::new(config).unwrap();
    assert!(client.verify(&pay().request()).await.unwrap().is_valid);
    let pending = client.settle(&pay().request()).await.unwrap();
    assert_eq!(pending.error_reason, Some(Reason::SettlementPending), "{pending:?}");
    let settled = client.settle(&pay().request()).await.unwrap();
    assert!(settled.success, "{settled:?}");
    assert_eq!((settled.transaction.as_str(), world.script.sent()), (TX, 1));
    let v1 = Pay { version: 1, nonce: 2, ..pay() };
    assert_eq!(client.settle(&v1.request()).await.unwrap().network, "base-sepolia");
    world.script.verify.lock().unwrap().extend([Step::Invalid, Step::Lost]);
    assert!(!client.verify(&pay().request()).await.unwrap().is_valid);
    let lost = client.verify(&pay().request()).await;
    assert!(matches!(lost, Err(FacilitatorError::Unreachable { .. })), "{lost:?}");
}

#[tokio::test]
async fn our_client_keeps_what_is_supported() {
    let world = World::new(Script::of(&[]));
    let server = start(&world.facilitator, HttpConfig::default()).await;
    let client = HttpFacilitator::new(remote(&server)).unwrap();
    let supported = client.supported().await.unwrap();
    server.stop.send(()).unwrap();
    server.done.await.unwrap();
    assert_eq!(client.supported().await.unwrap(), supported, "the server is gone; this is the kept answer");
    let gone = client.settle(&pay().request()).await;
    assert!(matches!(gone, Err(FacilitatorError::Unreachable { .. })), "{gone:?}");
}

#[tokio::test]
async fn our_client_gives_up_in_time() {
    let world = World::with(Script::of(&[Step::Hang]), Limits::default());
    world.script.verify.lock().unwrap().push_back(Step::Hang);
    let server = start(&world.facilitator, HttpConfig::default()).await;
    let mut config = remote(&server);
    (config.verify_timeout, config.settle_timeout) = (Duration::from_millis(200), Duration::from_millis(200));
    let client = HttpFacilitator::new(config).unwrap();
    let verify = client.verify(&pay().request()).await;
    assert!(
        matches!(&verify, Err(FacilitatorError::Unreachable { why, .. }) if why.contains("too long")),
        "{verify:?}"
    );
    let settle = client.settle(&pay().request()).await;
    assert!(matches!(settle, Err(FacilitatorError::Unreachable { .. })), "{settle:?}");
}

#[tokio::test]
async fn shutdown_finishes_what_is_in_flight() {
    let gate = Some(tokio::sync::Semaphore::new(0));
    let world = World::with(Arc::new(Script { gate, ..Script::default() }), Limits::default());
    let server = start(&world.facilitator, HttpConfig::default()).await;
    let address = server.address;
    let caller = {
        let client = HttpFacilitator::new(remote(&server)).unwrap();
        tokio::spawn(async move { client.settle(&pay().request()).await })
    };
    eventually("it is sent", || async { world.script.sent() == 1 }).await;
    server.stop.send(()).unwrap();
    eventually("no more are accepted", || async { TcpStream::connect(address).await.is_err() }).await;
    world.script.gate.as_ref().unwrap().add_permits(1);
    assert!(caller.await.unwrap().unwrap().success);
    assert_eq!(server.done.await.unwrap(), 0, "nothing is left");
}

#[tokio::test]
async fn who_asks_for_nothing_is_not_kept() {
    let world = World::new(Script::of(&[]));
    let limits = ServeLimits { header_timeout: Duration::from_secs(1), ..ServeLimits::default() };
    let server = start_with(&world.facilitator, HttpConfig::default(), limits).await;
    for said in ["", "P", "PRI * HTTP/2.0\r\n", "POST /ver", "POST /verify HTTP/1.1\r\nhost: f\r\n"] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(said.as_bytes()).await.unwrap();
        let mut heard = Vec::new();
        let ended = tokio::time::timeout(Duration::from_secs(60), stream.read_to_end(&mut heard)).await;
        assert!(ended.is_ok(), "{said:?} holds a connection");
        let heard = String::from_utf8_lossy(&heard);
        assert!(heard.is_empty() || heard.starts_with("HTTP/1.1 408"), "{said:?}: {heard}");
    }
}
