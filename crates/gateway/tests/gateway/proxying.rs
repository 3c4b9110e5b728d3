use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::lifecycle::{Running, start_with};
use crate::world::{PAYER, paid, request};

/// Answers with the request's line and headers, sorted, one per line, and forges what it can.
async fn mirror(request: Request) -> Response {
    let (parts, body) = request.into_parts();
    axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let mut lines: Vec<String> =
        parts.headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
    lines.sort();
    let mut headers = HeaderMap::new();
    headers.insert("payment-response", "forged".parse().unwrap());
    headers.insert("farthing-resent", "1".parse().unwrap());
    headers.insert("connection", "x-hop".parse().unwrap());
    headers.insert("x-hop", "1".parse().unwrap());
    headers.insert("x-upstream", "1".parse().unwrap());
    (headers, format!("{} {}\n{}", parts.method, parts.uri, lines.join("\n"))).into_response()
}

async fn gateway() -> Running {
    let router = axum::Router::new()
        .route(
            "/status/{code}",
            any(|axum::extract::Path(code): axum::extract::Path<u16>| async move {
                (StatusCode::from_u16(code).unwrap(), [("location", "/free/elsewhere")])
            }),
        )
        .route("/never", any(std::future::pending::<()>))
        .route("/cut", any(cut))
        .fallback(mirror);
    start_with(router, "").await
}

/// Promises a hundred bytes and gives four.
async fn cut() -> Response {
    let pieces = futures::stream::iter([Ok(Bytes::from_static(b"four")), Err(std::io::Error::other("cut"))]);
    Response::builder().header("content-length", "100").body(Body::from_stream(pieces)).unwrap()
}

#[tokio::test]
async fn a_paid_call_reaches_the_upstream_clean_and_named() {
    let gateway = gateway().await;
    let payment = gateway.payment("/weather/oslo?a=%2F&b", 1).await;
    let sent = request(Method::GET, "/we%61ther/oslo?a=%2F&b")
        .header(payment.0, &payment.1)
        .header("authorization", "Bearer buyer")
        .header("farthing-payer", "0xforged")
        .header("farthing_payer", "0xforged")
        .header("x-forwarded-for", "6.6.6.6")
        .header("x-http-method-override", "DELETE")
        .header("settlement-overrides", "{\"amount\":\"1\"}")
        .header("te", "trailers")
        .body(Body::empty())
        .unwrap();
    let answer = gateway.send(sent).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let upstream = gateway.upstream;
    let wanted = format!(
        "GET /weather/oslo?a=%2F&b\nauthorization: Bearer buyer\n\
         farthing-amount: 2000\nfarthing-asset: eip155:84532/0x036CbD53842c5426634e7929541eC2318f3dCF7e\n\
         farthing-payer: {}\nhost: {upstream}\nx-forwarded-for: 127.0.0.1\nx-forwarded-host: api.example.com\n\
         x-forwarded-proto: https",
        PAYER.to_lowercase()
    );
    assert_eq!(answer.text(), wanted);
    assert!(answer.settlement().success);
    for name in ["farthing-resent", "x-hop"] {
        assert!(!answer.headers.contains_key(name), "{name}");
    }
    assert_eq!(answer.header("x-upstream"), "1");
}

#[tokio::test]
async fn a_free_call_carries_no_payment_through() {
    let gateway = gateway().await;
    let sent =
        request(Method::PUT, "/free/x").header("payment-signature", "secret").header("x-payment", "secret");
    let answer = gateway.send(sent.body(Body::from("body")).unwrap()).await;
    assert!(answer.text().starts_with("PUT /free/x\n"), "{}", answer.text());
    assert!(!answer.text().contains("secret") && !answer.text().contains("farthing-payer"));
    assert!(!answer.headers.contains_key("payment-response"), "an upstream cannot forge one");
}

#[tokio::test]
async fn an_upstream_that_fails_is_never_charged_for() {
    let gateway = gateway().await;
    for (nonce, path, status) in
        [(1, "/never", 504), (2, "/cut", 502), (3, "/status/500", 500), (4, "/status/404", 404)]
    {
        let payment = gateway.payment(path, nonce).await;
        let answer = gateway.send(paid(Method::GET, path, &payment, "")).await;
        assert_eq!(answer.status.as_u16(), status, "{path}");
    }
    assert_eq!(gateway.script.settled(), 0);
}

#[tokio::test]
async fn an_upstream_that_is_not_there_is_502() {
    let gateway = start_with(axum::Router::new(), "gone").await;
    let payment = gateway.payment("/weather/oslo", 1).await;
    let answer = gateway.send(paid(Method::GET, "/weather/oslo", &payment, "")).await;
    assert_eq!((answer.status, answer.code().as_str()), (StatusCode::BAD_GATEWAY, "upstream_failed"));
    assert!(!answer.text().contains("refused"), "what is behind the gateway is nobody's business");
    assert_eq!(gateway.script.settled(), 0);
}

#[tokio::test]
async fn redirects_are_passed_on_and_not_followed() {
    let gateway = gateway().await;
    let payment = gateway.payment("/status/302", 1).await;
    let answer = gateway.send(paid(Method::GET, "/status/302", &payment, "")).await;
    assert_eq!((answer.status, answer.header("location")), (StatusCode::FOUND, "/free/elsewhere"));
}

#[tokio::test]
async fn bodies_and_upgrades_are_bounded_on_free_routes_too() {
    let gateway = gateway().await;
    let large = request(Method::POST, "/free/x").body(Body::from("x".repeat(1001))).unwrap();
    assert_eq!(gateway.send(large).await.status, StatusCode::PAYLOAD_TOO_LARGE);
    let endless = futures::stream::repeat_with(|| Ok::<_, std::io::Error>("xxxxxxxxxxxxxxxx"));
    let endless = request(Method::POST, "/free/x").body(Body::from_stream(endless)).unwrap();
    let answer = gateway.send(endless).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE, "{}", answer.text());
    let upgrade =
        request(Method::GET, "/free/x").header("connection", "upgrade").header("upgrade", "websocket");
    assert_eq!(gateway.send(upgrade.body(Body::empty()).unwrap()).await.status, StatusCode::NOT_IMPLEMENTED);
}

/// A client that is still sending when the price is there gets it whole, and may go on on the same connection.
#[tokio::test]
async fn a_price_reaches_who_is_still_sending() {
    let gateway = gateway().await;
    let mut stream = tokio::net::TcpStream::connect(gateway.address).await.unwrap();
    let head = "GET /weather/oslo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n40\r\n";
    let chunk = format!("{}\r\n", "x".repeat(0x40));
    stream.write_all(format!("{head}{chunk}").as_bytes()).await.unwrap();
    let mut answer = vec![0; 64 * 1024];
    let read = tokio::time::timeout(Duration::from_secs(5), stream.read(&mut answer)).await.unwrap().unwrap();
    assert!(answer[..read].starts_with(b"HTTP/1.1 402 "), "{}", String::from_utf8_lossy(&answer[..read]));
    tokio::time::sleep(Duration::from_millis(50)).await;
    stream.write_all(format!("40\r\n{chunk}0\r\n\r\n").as_bytes()).await.unwrap();
    stream.write_all(b"GET /free/x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut rest = String::new();
    let read = stream.read_to_string(&mut rest);
    tokio::time::timeout(Duration::from_secs(5), read).await.unwrap().unwrap();
    assert!(rest.contains("HTTP/1.1 200 "), "{rest}");
}

/// What no client library sends.
/// Known attacks, "paywall bypass by path encoding", as raw bytes on a socket.
#[tokio::test]
async fn raw_requests_get_no_way_around() {
    let gateway = gateway().await;
    for (line, status) in [
        ("GET /weather/oslo HTTP/1.1\r\nHost: x", "402"),
        ("GET http://other.example/weather/oslo HTTP/1.1\r\nHost: x", "402"),
        ("GET /free/../weather/oslo HTTP/1.1\r\nHost: x", "400"),
        ("GET /free/..%2fweather/oslo HTTP/1.1\r\nHost: x", "400"),
        ("GET //weather/oslo HTTP/1.1\r\nHost: x", "400"),
        ("OPTIONS * HTTP/1.1\r\nHost: x", "400"),
        ("GET \\weather HTTP/1.1\r\nHost: x", "400"),
    ] {
        let mut stream = tokio::net::TcpStream::connect(gateway.address).await.unwrap();
        stream.write_all(format!("{line}\r\nConnection: close\r\n\r\n").as_bytes()).await.unwrap();
        let mut answer = String::new();
        let read = stream.read_to_string(&mut answer);
        tokio::time::timeout(Duration::from_secs(5), read).await.unwrap().unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{line}: {answer}");
    }
}
