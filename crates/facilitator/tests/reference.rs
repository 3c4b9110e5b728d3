//! Our client against the answers that the reference's client was shown (tests/golden/facilitator.json).
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on ends there")]

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use farthing_facilitator::{Facilitate, FacilitatorError, HttpFacilitator, RemoteConfig};
use farthing_protocol::x402::{FacilitatorRequest, Reason};
use serde_json::{Value, json};

const GOLDEN: &str = include_str!("../../../tests/golden/facilitator.json");

fn golden() -> Value {
    serde_json::from_str(GOLDEN).unwrap()
}

/// Answers what it is told, the last answer for ever, and remembers what it was asked.
#[derive(Clone, Default)]
struct Stub(Arc<Mutex<Told>>);

#[derive(Default)]
struct Told {
    answers: Vec<(u16, String, Option<String>)>,
    asked: Vec<(String, HeaderMap, Vec<u8>)>,
}

impl Stub {
    fn answering(answers: &[Value]) -> Self {
        let answer = |answer: &Value| {
            let status = u16::try_from(answer["status"].as_u64().unwrap()).unwrap();
            let location = answer["headers"]["location"].as_str().map(str::to_owned);
            (status, answer["body"].as_str().unwrap().to_owned(), location)
        };
        let told = Told { answers: answers.iter().map(answer).collect(), asked: Vec::new() };
        Self(Arc::new(Mutex::new(told)))
    }

    async fn client(&self) -> HttpFacilitator {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/base", listener.local_addr().unwrap());
        let router = Router::new().fallback(answer).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        HttpFacilitator::new(RemoteConfig::new(url.parse().unwrap())).unwrap()
    }

    fn asked(&self) -> usize {
        self.0.lock().unwrap().asked.len()
    }
}

async fn answer(
    State(stub): State<Stub>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, HeaderMap, String) {
    let mut told = stub.0.lock().unwrap();
    let place = told.asked.len().min(told.answers.len() - 1);
    told.asked.push((uri.path().to_owned(), headers, body.to_vec()));
    let (status, text, location) = told.answers[place].clone();
    let headers = location.map(|to| ("location".parse().unwrap(), to.parse().unwrap())).into_iter().collect();
    (StatusCode::from_u16(status).unwrap(), headers, text)
}

/// The payment of the golden requests: 10000 on eip155:84532.
fn request() -> FacilitatorRequest {
    FacilitatorRequest::read(golden()["requests"][0]["request"]["body"].as_str().unwrap().as_bytes()).unwrap()
}

#[tokio::test]
async fn requests_are_the_references() {
    for case in golden()["requests"].as_array().unwrap() {
        let (path, body) =
            (case["request"]["path"].as_str().unwrap(), case["request"]["body"].as_str().unwrap());
        let stub = Stub::answering(&[json!({"status": 500, "body": ""})]);
        let client = stub.client().await;
        match path {
            "/verify" => drop(client.verify(&FacilitatorRequest::read(body.as_bytes()).unwrap()).await),
            "/settle" => drop(client.settle(&FacilitatorRequest::read(body.as_bytes()).unwrap()).await),
            _ => drop(client.supported().await),
        }
        let told = stub.0.lock().unwrap();
        let (asked, headers, sent) = &told.asked[0];
        assert_eq!(
            (asked, headers["content-type"].as_bytes()),
            (&format!("/base{path}"), &b"application/json"[..])
        );
        let parsed = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap_or_default();
        assert_eq!(parsed(sent), parsed(body.as_bytes()), "{}", case["name"]);
    }
}

#[tokio::test]
async fn verify_answers_mean_what_they_mean_to_the_reference() {
    for case in golden()["verify_answers"].as_array().unwrap() {
        let stub = Stub::answering(std::slice::from_ref(&case["answer"]));
        let ours = stub.client().await.verify(&request()).await;
        let name = case["name"].as_str().unwrap();
        match (&case["result"]["value"], case["result"]["throws"]["name"].as_str()) {
            (Value::Object(value), _) => {
                let ours = ours.unwrap_or_else(|error| panic!("{name}: {error}"));
                assert_eq!(Value::Bool(ours.is_valid), value["isValid"], "{name}");
                assert_eq!(ours.payer.as_deref(), value.get("payer").and_then(Value::as_str), "{name}");
            }
            // The reference throws what a 4xx says about the payment; to us it is the answer, unless it says valid.
            (_, Some("VerifyError")) if name != "400 with isValid true" => {
                assert!(!ours.unwrap().is_valid, "{name}");
            }
            _ => drop(ours.expect_err(name)),
        }
    }
}

#[tokio::test]
async fn settle_answers_mean_what_they_mean_to_the_reference_or_less() {
    for case in golden()["settle_answers"].as_array().unwrap() {
        let stub = Stub::answering(std::slice::from_ref(&case["answer"]));
        let ours = stub.client().await.settle(&request()).await;
        let name = case["name"].as_str().unwrap();
        let value = &case["result"]["value"];
        match name {
            // The reference takes a success without a transaction; ours has to prove itself.
            "transaction empty" => {
                assert!(matches!(ours, Err(FacilitatorError::BadAnswer { .. })), "{ours:?}")
            }
            // The reference throws these, with what they say about the payment.
            "400 refused" => assert_eq!(ours.unwrap().error_reason.unwrap().as_str(), "invalid_payload"),
            "500 pending" => assert_eq!(ours.unwrap().error_reason.unwrap().as_str(), "settlement_pending"),
            _ if value.is_object() => {
                let ours = ours.unwrap_or_else(|error| panic!("{name}: {error}"));
                assert_eq!(Value::Bool(ours.success), value["success"], "{name}");
                assert_eq!(Value::String(ours.transaction), value["transaction"], "{name}");
            }
            _ => drop(ours.expect_err(name)),
        }
    }
}

/// The reference's client asks again after `settlement_pending`, once; ours leaves that to its caller, here this test.
#[tokio::test]
async fn pending_can_be_asked_again_with_the_same_body() {
    for case in golden()["pending"].as_array().unwrap() {
        let stub = Stub::answering(case["answers"].as_array().unwrap());
        let client = stub.client().await;
        let mut ours = client.settle(&request()).await;
        if ours.as_ref().is_ok_and(|answer| answer.error_reason == Some(Reason::SettlementPending)) {
            ours = client.settle(&request()).await;
        }
        let name = case["name"].as_str().unwrap();
        assert_eq!(Some(stub.asked() as u64), case["settle_requests"].as_u64(), "{name}");
        let told = stub.0.lock().unwrap();
        assert!(told.asked.iter().all(|asked| asked.2 == told.asked[0].2), "{name}");
        let value = &case["result"]["value"];
        if value.is_object() && value["transaction"] != "" {
            let ours = ours.unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(Value::Bool(ours.success), value["success"], "{name}");
        } else if value["errorReason"] == "settlement_pending" {
            assert!(matches!(ours, Err(FacilitatorError::Unreachable { .. })), "{name}: {ours:?}");
        } else if value.is_object() {
            assert!(!ours.unwrap().success, "{name}");
        } else {
            drop(ours.expect_err(name));
        }
    }
}

/// The golden cases have none with an answer in it, only `401 without JSON`; the reference throws for both.
#[tokio::test]
async fn a_refusal_of_the_seller_is_no_verdict_on_the_payment() {
    let bodies = [
        json!({"isValid": false, "invalidReason": "invalid_payload", "success": false,
               "errorReason": "invalid_payload", "transaction": "", "network": "eip155:84532"}),
        json!({"isValid": true, "success": false, "errorReason": "settlement_pending", "transaction": "0x33",
               "network": "eip155:84532"}),
        json!({"error": "no"}),
    ];
    for (status, body) in
        [401, 403, 429].into_iter().flat_map(|status| bodies.iter().map(move |b| (status, b)))
    {
        let stub = Stub::answering(&[json!({"status": status, "body": body.to_string()})]);
        let client = stub.client().await;
        let verify = client.verify(&request()).await;
        assert!(matches!(verify, Err(FacilitatorError::Refused { .. })), "{status} {body}: {verify:?}");
        let settle = client.settle(&request()).await;
        assert!(matches!(settle, Err(FacilitatorError::Refused { .. })), "{status} {body}: {settle:?}");
    }
    for status in [400, 402, 404, 409, 412, 422] {
        let stub = Stub::answering(&[json!({"status": status, "body": bodies[0].to_string()})]);
        let client = stub.client().await;
        assert!(!client.verify(&request()).await.unwrap().is_valid, "{status}");
        assert!(!client.settle(&request()).await.unwrap().success, "{status}");
    }
}

/// Some facilitators have a key in their address's path.
#[tokio::test]
async fn errors_do_not_show_the_path() {
    for (status, body) in [(200, "rubbish"), (400, "{}"), (401, "no"), (503, "later")] {
        let client = Stub::answering(&[json!({"status": status, "body": body})]).client().await;
        let errors = [
            client.verify(&request()).await.unwrap_err(),
            client.settle(&request()).await.unwrap_err(),
            client.supported().await.unwrap_err(),
        ];
        for error in errors.map(|error| format!("{error} {error:?}")) {
            assert!(error.contains("http://127.0.0.1:") && !error.contains("/base"), "{error}");
        }
    }
    let gone = HttpFacilitator::new(RemoteConfig::new("http://127.0.0.1:1/base".parse().unwrap())).unwrap();
    let error = gone.settle(&request()).await.unwrap_err().to_string();
    assert!(error.contains("http://127.0.0.1:1 ") && !error.contains("/base"), "{error}");
}

#[tokio::test]
async fn a_success_has_to_prove_itself() {
    let tx = format!("0x{}", "3".repeat(64));
    let answers = [
        json!({"success": true, "transaction": tx, "network": "eip155:8453"}),
        json!({"success": true, "transaction": tx, "network": ""}),
        json!({"success": true, "transaction": " ", "network": "eip155:84532"}),
        json!({"success": true, "transaction": tx, "network": "eip155:84532", "amount": "9999"}),
        json!({"success": true, "transaction": tx, "network": "eip155:84532", "amount": "all of it"}),
        json!({"success": true, "transaction": tx, "network": "eip155:84532", "errorReason": "settlement_pending"}),
        json!({"success": "true", "transaction": tx, "network": "eip155:84532"}),
    ];
    for body in answers {
        let stub = Stub::answering(&[json!({"status": 200, "body": body.to_string()})]);
        let ours = stub.client().await.settle(&request()).await;
        assert!(matches!(ours, Err(FacilitatorError::BadAnswer { .. })), "{body}: {ours:?}");
    }
}

#[tokio::test]
async fn no_redirect_is_followed_and_no_flood_is_read() {
    let elsewhere = json!({"status": 307, "body": "", "headers": {"location": "/elsewhere"}});
    let settled = r#"{"success":true,"transaction":"0x33","network":"eip155:84532"}"#;
    let stub = Stub::answering(&[elsewhere, json!({"status": 200, "body": settled})]);
    let ours = stub.client().await.settle(&request()).await;
    assert!(matches!(ours, Err(FacilitatorError::BadAnswer { .. })), "{ours:?}");
    assert_eq!(stub.asked(), 1);

    let flood = format!(r#"{{"isValid":true,"extra":{{"a":"{}"}}}}"#, "a".repeat(300_000));
    let stub = Stub::answering(&[json!({"status": 200, "body": flood})]);
    let ours = stub.client().await.verify(&request()).await;
    assert!(matches!(ours, Err(FacilitatorError::BadAnswer { .. })), "{ours:?}");
}
