//! The proxy over real sockets, in front of sellers that do what they like. Paying for real is tested in tests/e2e/proxy.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "proxy/again.rs"]
mod again;
#[path = "proxy/redirects.rs"]
mod redirects;
#[path = "proxy/world.rs"]
mod world;

use std::time::Duration;

use world::{ASK, Seller, World, answer, raw};

#[tokio::test]
async fn free_answers_stream_and_requests_arrive_as_they_were() {
    let seller = Seller::start(|_| answer("200 OK\r\nx-own: 1\r\nset-cookie: a=b", "free")).await;
    let world = World::start(&[&seller]).await;
    let target = format!("/{}/v1//a%2Fb;c?q=%2F&'x'", seller.url);
    let request = format!(
        "PATCH {target} HTTP/1.1\r\nhost: {}\r\nx-farthing-token: {}\r\nauthorization: Bearer sk-1\r\nconnection: x-hop\r\n\
         x-hop: 1\r\ncontent-length: 4\r\n\r\nbody",
        world.host(),
        world.token
    );
    let said = raw(&world, &request).await;
    assert!(said.starts_with("HTTP/1.1 200 OK\r\n") && said.ends_with("free"), "{said}");
    assert!(said.contains("x-own: 1") && !said.contains("set-cookie"), "{said}");
    let heard = seller.heard().remove(0);
    assert!(heard.starts_with("PATCH /v1//a%2Fb;c?q=%2F&%27x%27 HTTP/1.1\r\n"), "{heard}");
    assert!(heard.contains("authorization: Bearer sk-1\r\n") && heard.ends_with("\r\n\r\nbody"), "{heard}");
    assert!(
        !heard.contains("x-hop") && !heard.contains("fth_") && !heard.contains("farthing-token"),
        "{heard}"
    );
    assert!(heard.contains(&format!("host: {}\r\n", seller.host())), "{heard}");
}

#[tokio::test]
async fn a_free_stream_comes_piece_by_piece() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n";
    let seller = Seller::start(move |_| (head.to_owned(), true)).await;
    let world = World::start(&[&seller]).await;
    // The seller never ends it: what came is there all the same.
    let said = raw(&world, &world.get(&format!("/{}/", seller.url))).await;
    assert!(said.contains("data: 1\n\n"), "{said}");
}

#[tokio::test]
async fn nobody_is_asked_for_money_behind_the_proxy() {
    // An offer on a network for which the wallet has no key.
    let ask = ASK.replace("base-sepolia", "base");
    let ask: &'static str = Box::leak(ask.into_boxed_str());
    let seller = Seller::start(move |_| answer("402 Payment Required", ask)).await;
    let world = World::start(&[&seller]).await;
    let said = raw(&world, &world.get(&format!("/{}/", seller.url))).await;
    assert!(said.starts_with("HTTP/1.1 424 ") && said.contains("farthing-error: unpayable"), "{said}");
    assert!(said.contains("x-should-retry: false") && !said.contains("accepts"), "{said}");
    assert_eq!(seller.heard().len(), 1);
}

#[tokio::test]
async fn no_connection_is_made_to_what_is_out_of_reach_or_not_allowed() {
    let (listed, secret) =
        (Seller::start(|_| answer("200 OK", "x")).await, Seller::start(|_| answer("200 OK", "x")).await);
    let world = World::start(&[&listed]).await;
    let port = secret.url.rsplit(':').next().unwrap().to_owned();
    for host in [
        "127.0.0.1",
        "localhost",
        "127.1",
        "0x7f.0.0.1",
        "2130706433",
        "[::ffff:127.0.0.1]",
        "0",
        "a.localhost",
    ] {
        let said = raw(&world, &world.get(&format!("/http://{host}:{port}/"))).await;
        assert!(said.starts_with("HTTP/1.1 403 ") && said.contains("out_of_reach"), "{host}: {said}");
    }
    let said = raw(&world, &world.get("/https://denied.example/")).await;
    assert!(said.starts_with("HTTP/1.1 403 ") && said.contains("\"denied\""), "{said}");
    assert_eq!(secret.heard().len(), 0);
}

#[tokio::test]
async fn what_could_be_read_in_two_ways_is_refused_and_reaches_nobody() {
    let seller = Seller::start(|_| answer("200 OK", "x")).await;
    let world = World::start(&[&seller]).await;
    let (host, token) = (world.host(), world.token.clone());
    let to = |rest: &str| {
        format!("POST /{}/ HTTP/1.1\r\nhost: {host}\r\nx-farthing-token: {token}\r\n{rest}", seller.url)
    };
    for (request, status) in [
        (to("content-length: 1\r\ncontent-length: 2\r\n\r\nab"), "400"),
        // Chunked, as RFC 9112 has it; the length goes no further.
        (to("content-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"), "200"),
        (to("x-payment: e30=\r\n\r\n"), "400"),
        (to("farthing-max-price: $1\r\nfarthing-max-price: $0.01\r\n\r\n"), "400"),
        (to("farthing-max-cost: $0.01\r\n\r\n"), "400"),
        (to(&format!("x-note: {token}\r\n\r\n")), "400"),
        (to("host: other\r\n\r\n"), "403"),
        (to("origin: http://localhost\r\n\r\n"), "403"),
        (to("sec-fetch-site: cross-site\r\n\r\n"), "403"),
        (to("content-length: 999999999\r\n\r\n"), "413"),
        (to("connection: upgrade\r\nupgrade: websocket\r\n\r\n"), "501"),
        (format!("CONNECT {} HTTP/1.1\r\nhost: {host}\r\n\r\n", seller.host()), "501"),
        (
            format!(
                "OPTIONS /{}/ HTTP/1.1\r\nhost: {host}\r\norigin: https://evil.example\r\naccess-control-request-method: POST\r\n\r\n",
                seller.url
            ),
            "403",
        ),
        (format!("GET /{}/ HTTP/1.1\r\nhost: {host}\r\n\r\n", seller.url), "401"),
        (
            format!("GET /http://{host}/x HTTP/1.1\r\nhost: {host}\r\nx-farthing-token: {token}\r\n\r\n"),
            "400",
        ),
    ] {
        let said = raw(&world, &request).await;
        assert!(said.starts_with(&format!("HTTP/1.1 {status} ")), "{request}: {said}");
        assert!(!said.contains("access-control-"), "{said}");
    }
    let heard = seller.heard();
    assert!(heard.len() == 1 && !heard[0].contains("content-length: 1\r\n"), "{heard:?}");
}

#[tokio::test]
async fn it_is_a_plain_proxy_too_and_says_how_it_is_used() {
    let seller = Seller::start(|_| answer("200 OK\r\nset-cookie: a=b", "free")).await;
    let world = World::start(&[&seller]).await;
    let request = format!(
        "GET {}/x HTTP/1.1\r\nhost: {}\r\nproxy-authorization: Bearer {}\r\n\r\n",
        seller.url,
        seller.host(),
        world.token
    );
    let said = raw(&world, &request).await;
    assert!(said.contains("set-cookie: a=b") && said.ends_with("free"), "{said}");
    let nobody = format!("GET {}/x HTTP/1.1\r\nhost: {}\r\n\r\n", seller.url, seller.host());
    let said = raw(&world, &nobody).await;
    assert!(said.starts_with("HTTP/1.1 407 ") && said.contains("proxy-authenticate: Basic "), "{said}");
    let said = raw(&world, &format!("GET / HTTP/1.1\r\nhost: {}\r\n\r\n", world.host())).await;
    assert!(said.contains("/https://api.example.com/path"), "{said}");
    let said = raw(&world, &format!("GET /healthz HTTP/1.1\r\nhost: {}\r\n\r\n", world.host())).await;
    assert!(said.ends_with("ok\n"), "{said}");
    assert!(world.end().await < Duration::from_secs(20));
}

#[tokio::test]
async fn what_is_refused_leaves_a_trace_without_secrets() {
    let seller = Seller::start(|_| answer("200 OK", "x")).await;
    let world = World::start(&[&seller]).await;
    let (host, token) = (world.host(), world.token.clone());
    let with_token = |target: &str, more: &str| {
        format!("GET {target} HTTP/1.1\r\nhost: {host}\r\nx-farthing-token: {token}\r\n{more}\r\n")
    };
    let there = format!("/{}/path?api_key=s3cret", seller.url);
    let elsewhere = with_token("/http://10.0.0.1/?api_key=s3cret", "");
    for (request, rule) in [
        (with_token(&there, "x-payment: e30=\r\n"), "header_refused"),
        (with_token(&there, "origin: http://localhost\r\n"), "browser"),
        (with_token(&format!("/http://{host}/x"), ""), "loop"),
        (with_token("/https://user:s3cret@a.example/", ""), "arguments"),
        (with_token(&format!("/https://a.example/{token}"), ""), "token_in_address"),
        (with_token(&there, "farthing-max-price: s3cret\r\n"), "bad_limit"),
        (with_token(&there, "upgrade: websocket\r\nconnection: upgrade\r\n"), "no_upgrade"),
        (with_token("/https://denied.example/", ""), "payments.hosts.deny"),
        (elsewhere, "out-of-reach"),
        (with_token(&there, &format!("x-note: {token}\r\n")), "token_in_wrong_header"),
        (
            format!("GET {there} HTTP/1.1\r\nhost: {host}\r\nx-api-key: {}0\r\n\r\n", &token[..46]),
            "unknown_token",
        ),
    ] {
        let said = raw(&world, &request).await;
        assert!(said.contains("\"money\":\"nothing_paid\""), "{request}: {said}");
        let last = world.refusals().await.pop().unwrap_or_default();
        assert!(last.contains(&format!("\"rule\":\"{rule}\"")), "{request}: {last}");
        assert!(!last.contains("s3cret") && !last.contains("fth_"), "{last}");
        let known = !["token_in_wrong_header", "unknown_token"].contains(&rule);
        assert_eq!(last.contains("anybody"), known, "whose it was: {last}");
    }
    assert!(seller.heard().is_empty());
}

#[tokio::test]
async fn callers_whom_nobody_knows_fill_no_record() {
    let seller = Seller::start(|_| answer("200 OK", "x")).await;
    let world = World::start(&[&seller]).await;
    let stranger = format!("GET /{}/ HTTP/1.1\r\nhost: {}\r\n\r\n", seller.url, world.host());
    for _ in 0..5 {
        assert!(raw(&world, &stranger).await.starts_with("HTTP/1.1 401 "));
    }
    assert_eq!(world.refusals().await.len(), 1);
    world.clock.advance(Duration::from_secs(60));
    raw(&world, &stranger).await;
    let refusals = world.refusals().await;
    assert!(refusals.len() == 2 && refusals[1].contains("4 more before it"), "{refusals:?}");
}
