use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use bytes::Bytes;
use futures::StreamExt as _;
use http::{HeaderMap, Method, StatusCode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use crate::lifecycle::{Running, start_before, start_with};
use crate::waiting::in_time;
use crate::world::{PAYER, paid, request};

/// Answers with the request's line and headers, sorted, one per line, and forges what it can.
async fn mirror(request: Request) -> Response {
    let (parts, body) = request.into_parts();
    // The gateway breaks some off. A panic would hold up the test's only thread for as long as its backtrace takes.
    let _ = axum::body::to_bytes(body, usize::MAX).await;
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
    start_with(router).await
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
    // Bound, and never listened on: nobody else gets the port, and who connects is refused.
    let nobody = TcpSocket::new_v4().unwrap();
    nobody.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let gateway = start_before(nobody.local_addr().unwrap()).await;
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
    let long = futures::stream::iter(vec!["xxxxxxxxxxxxxxxx"; 94]).map(Ok::<_, std::io::Error>);
    let long = request(Method::POST, "/free/x").body(Body::from_stream(long)).unwrap();
    let answer = gateway.send(long).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE, "{}", answer.text());
    let upgrade =
        request(Method::GET, "/free/x").header("connection", "upgrade").header("upgrade", "websocket");
    assert_eq!(gateway.send(upgrade.body(Body::empty()).unwrap()).await.status, StatusCode::NOT_IMPLEMENTED);
}

/// What never ends is cut off, and answered. Client libraries would see their own writing fail, and not read the answer.
#[tokio::test]
async fn an_endless_body_is_cut_off() {
    let gateway = gateway().await;
    let (mut answers, mut sends) = TcpStream::connect(gateway.address).await.unwrap().into_split();
    sends.write_all(b"POST /free/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n").await.unwrap();
    let sending = async { while sends.write_all(b"10\r\nxxxxxxxxxxxxxxxx\r\n").await.is_ok() {} };
    let mut heard = Vec::new();
    // The connection ends in an error, after the answer.
    let both = async { tokio::join!(sending, answers.read_to_end(&mut heard)) };
    let ((), _) = in_time("it is cut off", both).await;
    assert!(heard.starts_with(b"HTTP/1.1 413 "), "{}", String::from_utf8_lossy(&heard));
}

fn chunk(bytes: usize) -> String {
    format!("{bytes:x}\r\n{}\r\n", "x".repeat(bytes))
}

/// Sends a request up to the middle of its body and reads this answer; sends the rest, and asks once more on the same
/// connection.
async fn is_answered_while_sending(gateway: &Running, head: &str, body: [&str; 2], status: &str) {
    let mut stream = TcpStream::connect(gateway.address).await.unwrap();
    stream.write_all(format!("{head}\r\nHost: x\r\n\r\n{}", body[0]).as_bytes()).await.unwrap();
    let mut answer = vec![0; 64 * 1024];
    let read = in_time("the answer comes", stream.read(&mut answer)).await.unwrap();
    let answer = String::from_utf8_lossy(&answer[..read]);
    assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{head}: {answer}");
    // A server that closes has closed by then.
    tokio::time::sleep(Duration::from_millis(50)).await;
    stream.write_all(body[1].as_bytes()).await.unwrap();
    stream.write_all(b"GET /free/x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut rest = String::new();
    in_time("the other answer comes", stream.read_to_string(&mut rest)).await.unwrap();
    assert!(rest.contains("HTTP/1.1 200 "), "{head}: {rest}");
}

/// A client that is still sending when the price is there gets it whole, and may go on on the same connection.
#[tokio::test]
async fn a_price_reaches_who_is_still_sending() {
    let gateway = gateway().await;
    let head = "GET /weather/oslo HTTP/1.1\r\nTransfer-Encoding: chunked";
    let body = [&*chunk(64), &format!("{}0\r\n\r\n", chunk(64))];
    is_answered_while_sending(&gateway, head, body, "402").await;
}

/// The same with a body that is too long: where it is held for a paid call, and where it is passed on.
#[tokio::test]
async fn that_it_is_too_long_reaches_who_is_still_sending() {
    let gateway = gateway().await;
    let (name, value) = gateway.payment("/weather/oslo", 1).await;
    let paid = format!("GET /weather/oslo HTTP/1.1\r\n{name}: {value}");
    for head in ["POST /free/x HTTP/1.1", &paid] {
        let chunked = format!("{head}\r\nTransfer-Encoding: chunked");
        let body = [&*chunk(1001), &format!("{}0\r\n\r\n", chunk(64))];
        is_answered_while_sending(&gateway, &chunked, body, "413").await;
        let declared = format!("{head}\r\nContent-Length: 3000");
        let body = [&*"x".repeat(64), &"x".repeat(2936)];
        is_answered_while_sending(&gateway, &declared, body, "413").await;
    }
    assert_eq!(gateway.script.settled(), 0);
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
        let mut stream = TcpStream::connect(gateway.address).await.unwrap();
        stream.write_all(format!("{line}\r\nConnection: close\r\n\r\n").as_bytes()).await.unwrap();
        let mut answer = String::new();
        in_time("an answer comes", stream.read_to_string(&mut answer)).await.unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{line}: {answer}");
    }
}
