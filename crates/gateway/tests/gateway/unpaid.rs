use axum::body::Body;
use farthing_protocol::Protocol;
use http::{Method, StatusCode};

use crate::world::{PAYEE, World, request};

#[tokio::test]
async fn the_402_says_everything_in_both_versions() {
    let world = World::new();
    let answer = world.ask("/weather").await;
    assert_eq!(answer.status, StatusCode::PAYMENT_REQUIRED);
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(answer.header("content-type"), "application/json");
    assert!(answer.header("access-control-expose-headers").contains("PAYMENT-REQUIRED"));
    let challenge = answer.challenge();
    assert_eq!(challenge.error.as_deref(), Some("Payment required"));
    assert!(challenge.unreadable.is_empty());
    let [v2, v1] = &challenge.offers[..] else { panic!("{challenge:?}") };
    assert_eq!((v2.protocol, v1.protocol), (Protocol::X402V2, Protocol::X402V1));
    for offer in [v2, v1] {
        assert_eq!(offer.requirements.amount.get(), 2000);
        assert_eq!(offer.requirements.pay_to, PAYEE);
        assert_eq!(offer.requirements.extra.str("name"), Some("USDC"));
        assert_eq!(offer.resource_url.as_deref(), Some("https://api.example.com/weather"));
        assert_eq!(offer.description.as_deref(), Some("The weather"));
    }
    // 30 s for the handler, 1 s for the settlement, a minute for the way.
    assert_eq!(v2.requirements.max_timeout_seconds, 91);
    assert_eq!(world.api.served(), 0);
}

#[tokio::test]
async fn the_resource_is_the_path_that_was_asked_for() {
    let world = World::new();
    for (asked, resource) in [
        ("/weather/oslo?units=k", "https://api.example.com/weather/oslo"),
        ("/weather/z%c3%bcrich", "https://api.example.com/weather/z%C3%BCrich"),
        ("/weather/farthing%2Dx", "https://api.example.com/weather/farthing-x"),
    ] {
        let answer = world
            .send(request(Method::GET, asked).header("host", "evil.example").body(Body::empty()).unwrap());
        let challenge = answer.await.challenge();
        for offer in &challenge.offers {
            assert_eq!(offer.resource_url.as_deref(), Some(resource), "{asked}: {:?}", offer.protocol);
        }
    }
}

#[tokio::test]
async fn head_costs_what_get_costs_and_other_methods_are_not_there() {
    let world = World::new();
    for (method, status) in [
        (Method::HEAD, StatusCode::PAYMENT_REQUIRED),
        (Method::POST, StatusCode::NOT_FOUND),
        (Method::OPTIONS, StatusCode::NOT_FOUND),
    ] {
        let answer = world.send(request(method.clone(), "/weather").body(Body::empty()).unwrap()).await;
        assert_eq!(answer.status, status, "{method}");
    }
    assert_eq!(world.ask("/not/sold").await.status, StatusCode::NOT_FOUND);
    assert_eq!(world.api.served(), 0);
    assert_eq!(world.ask("/free/x").await.status, StatusCode::OK);
}

#[tokio::test]
async fn what_is_no_payment_is_400_and_another_offers_is_402() {
    let world = World::new();
    let send = async |headers: &[(&str, &str)]| {
        let mut request = request(Method::GET, "/weather");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        world.send(request.body(Body::empty()).unwrap()).await
    };
    let (name, value) = world.payment(Method::GET, "/weather", 1).await;
    let other = world.payment(Method::GET, "/gated/200", 2).await.1;
    for (headers, status) in [
        (&[("payment-signature", "not base64!")][..], 400),
        (&[("payment-signature", "bm8ganNvbg==")], 400),
        (&[("payment-signature", "e30=")], 400),
        (&[("payment-signature", "")], 400),
        (&[(name, &value), (name, &value)], 400),
        (&[(name, &value), ("x-payment", &value)], 400),
        (&[(name, &value), ("upgrade", "websocket"), ("connection", "upgrade")], 400),
        (&[(name, &other)], 402),
    ] {
        let answer = send(headers).await;
        assert_eq!(answer.status.as_u16(), status, "{headers:?}: {}", answer.text());
        assert_eq!(answer.header("cache-control"), "no-store");
        assert!(!answer.text().contains("1b1b1b1b"), "a signature was echoed: {}", answer.text());
        if status == 402 {
            assert_eq!(answer.challenge().error.as_deref(), Some("No matching payment requirements"));
        }
    }
    assert_eq!((world.api.served(), world.script.settled()), (0, 0));
}
