//! Redirects: what a client that follows them would show to whom.

use crate::world::{Seller, World, answer, raw};

/// What the proxy says where a seller redirects so, to a request that begins so.
async fn led(location: &str, request: impl FnOnce(&World, &Seller) -> String) -> String {
    let away = format!("302 Found\r\nlocation: {location}\r\nfarthing-location: https://forged.example/");
    let seller = Seller::start(move |_| answer(&away, "")).await;
    let world = World::start(&[&seller]).await;
    raw(&world, &request(&world, &seller)).await
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_leads_back_to_be_judged() {
    let said =
        led("http://127.0.0.1:1/secret", |world, seller| world.get(&format!("/{}/", seller.url))).await;
    assert!(said.starts_with("HTTP/1.1 302 "), "{said}");
    assert!(
        said.contains("\r\nlocation: /http://127.0.0.1:1/secret\r\n") && !said.contains("forged"),
        "{said}"
    );
}

#[tokio::test]
async fn no_client_is_led_to_show_its_token_or_its_key_elsewhere() {
    // The token is beside what is the seller's: a client that is led to another site would send both.
    for own in ["authorization: Bearer sk-1", "cookie: a=b", "api-key: sk-1"] {
        let said = led("https://elsewhere.example/", |world, seller| {
            format!(
                "GET /{}/ HTTP/1.1\r\nhost: {}\r\nx-farthing-token: {}\r\n{own}\r\n\r\n",
                seller.url,
                world.host(),
                world.token
            )
        })
        .await;
        assert!(!said.contains("\r\nlocation: "), "{own}: {said}");
        assert!(said.contains("\r\nfarthing-location: https://elsewhere.example/\r\n"), "{own}: {said}");
    }
    // To a client that knows the proxy as one, https is not the proxy's: it would go there itself.
    let as_proxy = |header: &'static str| {
        move |world: &World, seller: &Seller| {
            let (url, host, token) = (&seller.url, seller.host(), &world.token);
            format!("GET {url}/ HTTP/1.1\r\nhost: {host}\r\n{header}{token}\r\n\r\n")
        }
    };
    let said = led("https://elsewhere.example/", as_proxy("x-farthing-token: ")).await;
    assert!(!said.contains("\r\nlocation: ") && said.contains("farthing-location: "), "{said}");
    let said = led("https://elsewhere.example/", as_proxy("proxy-authorization: Bearer ")).await;
    assert!(said.contains("\r\nlocation: https://elsewhere.example/\r\n"), "{said}");
}
