//! Who gets in, and what is sent along with every answer.

use std::time::Duration;

use crate::http::send;
use crate::world::World;

#[tokio::test]
async fn a_link_opens_once_and_its_session_is_the_browsers_alone() {
    let world = World::empty().await;
    let link = world.ui.link().unwrap();
    let path = link.strip_prefix(&format!("http://{}", world.address)).unwrap();
    let first = send(world.address, &format!("GET {path}"), &[&world.host()], "").await;
    assert_eq!(first.status, 303);
    let root = first.header("location").unwrap().strip_suffix('/').unwrap();
    assert!(root.len() == 65 && !path.contains(root), "{root}");
    let cookie = first.header("set-cookie").unwrap();
    for part in [format!("Path={root}/"), "HttpOnly".into(), "SameSite=Strict".into()] {
        assert!(cookie.split("; ").any(|found| found == part), "{cookie}");
    }
    assert!(!cookie.contains("Domain"), "{cookie}");
    let second = send(world.address, &format!("GET {path}"), &[&world.host()], "").await;
    assert_eq!((second.status, second.header("set-cookie")), (401, None));
    assert!(second.text().contains("Stop farthing ui with Ctrl-C"), "{}", second.text());
    assert!(!second.text().contains(root), "{}", second.text());
}

#[tokio::test]
async fn without_a_session_nothing_is_shown_or_done() {
    let world = World::full().await;
    let browser = world.enter().await;
    let get = ["/", "/history", "/approvals", "/purchases/01KA0000000000000000000089", "/nothing"];
    let files =
        ["receipt.html", "receipt.pdf"].map(|file| format!("/purchases/01KA0000000000000000000089/{file}"));
    let stranger = format!("cookie: farthing={}", "0".repeat(64));
    for path in get.into_iter().chain(files.iter().map(String::as_str)) {
        for cookie in ["x-none: 1", stranger.as_str()] {
            let request = format!("GET {}{path}", browser.root);
            let answer = send(world.address, &request, &[&world.host(), cookie], "").await;
            assert_eq!(answer.status, 401, "{path}");
            assert!(!answer.text().contains("maps.example"), "{path}");
        }
    }
    for path in ["/approvals/a1", "/freeze", "/thaw", "/leave"] {
        let body = format!("form={}&decision=approve", browser.form);
        let request = format!("POST {}{path}", browser.root);
        let answer = send(world.address, &request, &[&world.host(), &world.origin()], &body).await;
        assert_eq!(answer.status, 401, "{path}");
    }
    assert!(world.ledger.frozen().await.unwrap().is_none());
}

#[tokio::test]
async fn nobody_finds_out_where_a_session_lies() {
    let world = World::full().await;
    let browser = world.enter().await;
    let (place, cookie) = (&browser.root[1..], format!("cookie: {}", browser.cookie));
    let elsewhere = format!("/{}/", "0".repeat(64));
    for path in ["/", "/history", "/nothing", "/enter", "/enter?link=0", &elsewhere] {
        for header in ["x-none: 1", cookie.as_str()] {
            let answer = send(world.address, &format!("GET {path}"), &[&world.host(), header], "").await;
            assert_eq!(answer.status, 401, "{path}");
            assert!(!answer.text().contains(place) && answer.header("location").is_none(), "{path}");
        }
    }
    for (request, header) in [("GET /", "host: evil.example"), ("POST /freeze", &world.host())] {
        let answer = send(world.address, request, &[header], "").await;
        assert!(answer.status >= 400 && !answer.text().contains(place), "{request}: {}", answer.text());
    }
}

#[tokio::test]
async fn a_session_has_a_path_of_its_own() {
    let world = World::full().await;
    let (browser, other) = (world.enter().await, world.enter().await);
    assert_ne!(browser.root, other.root);
    let headers = [world.host(), format!("cookie: {}", other.cookie), world.origin()];
    let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
    assert_eq!(send(world.address, &format!("GET {}/", browser.root), &headers, "").await.status, 401);
    let form = format!("form={}", other.form);
    let freeze = format!("POST {}/freeze", browser.root);
    assert_eq!(send(world.address, &freeze, &headers, &form).await.status, 401);
    assert_eq!(other.post("/leave", "").await.status, 303);
    assert_eq!((browser.get("/").await.status, other.get("/").await.status), (200, 401));
}

#[tokio::test]
async fn sessions_end() {
    let world = World::empty().await;
    let browser = world.enter().await;
    assert_eq!(browser.get("/").await.status, 200);
    world.clock.advance(Duration::from_secs(3600));
    assert_eq!(browser.get("/").await.status, 401, "after an hour without use");
    let browser = world.enter().await;
    assert_eq!(browser.post("/leave", "").await.status, 303);
    assert_eq!(browser.get("/").await.status, 401, "after signing out");
}

#[tokio::test]
async fn other_names_and_other_origins_are_refused() {
    let world = World::full().await;
    let browser = world.enter().await;
    let cookie = format!("cookie: {}", browser.cookie);
    let port = world.address.port();
    for host in [format!("localhost:{port}"), "rebound.example".into(), format!("rebound.example:{port}")] {
        let request = format!("GET {}/", browser.root);
        let answer = send(world.address, &request, &[&format!("host: {host}"), &cookie], "").await;
        assert_eq!(answer.status, 421, "{host}");
        assert!(!answer.text().contains("$"), "{}", answer.text());
    }
    let form = format!("form={}", browser.form);
    for origin in ["x-none: 1", "origin: null", "origin: http://127.0.0.1:1", "origin: https://evil.example"]
    {
        assert_eq!(browser.send_form("/freeze", &[origin], &form).await.status, 403, "{origin}");
    }
    let ours = world.origin();
    for site in ["cross-site", "same-site", "none"] {
        let site = format!("sec-fetch-site: {site}");
        assert_eq!(browser.send_form("/freeze", &[&ours, &site], &form).await.status, 403, "{site}");
    }
    assert!(world.ledger.frozen().await.unwrap().is_none());
    assert_eq!(
        browser.send_form("/freeze", &[&ours, "sec-fetch-site: same-origin"], &form).await.status,
        303
    );
    assert!(world.ledger.frozen().await.unwrap().is_some());
}

#[tokio::test]
async fn forms_need_the_token_of_their_session() {
    let world = World::full().await;
    let (browser, other) = (world.enter().await, world.enter().await);
    let ours = world.origin();
    for token in ["", "0", &other.form, &browser.form[1..]] {
        for (path, more) in
            [("/freeze", ""), ("/thaw", ""), ("/leave", ""), ("/approvals/a999", "&decision=approve")]
        {
            let body = format!("form={token}{more}");
            assert_eq!(browser.send_form(path, &[&ours], &body).await.status, 403, "{path} {token}");
        }
    }
    let without = browser.send_form("/freeze", &[&ours], "why=x").await;
    assert!((400..500).contains(&without.status), "{}", without.status);
    let twice = browser.send_form("/freeze", &[&ours], &format!("form={}&why=x", browser.form)).await;
    assert_eq!(twice.status, 422, "a field that no form of ours has");
    assert!(world.ledger.frozen().await.unwrap().is_none());
    assert_eq!(browser.get("/freeze").await.status, 405, "nothing is done by a link");
}

#[tokio::test]
async fn every_answer_says_what_a_browser_may_do_with_it() {
    let world = World::full().await;
    let browser = world.enter().await;
    let receipt = "/purchases/01KA0000000000000000000089/receipt.html";
    for path in ["/", "/history", "/approvals", "/style.css", "/icon.svg", "/nothing", receipt] {
        let answer = browser.get(path).await;
        let policy = answer.header("content-security-policy").unwrap();
        for part in ["default-src 'none'", "base-uri 'none'", "frame-ancestors 'none'"] {
            assert!(policy.contains(part), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe") && !policy.contains("script"), "{path}: {policy}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(answer.header("referrer-policy"), Some("same-origin"), "{path}");
        assert_eq!(answer.header("cross-origin-opener-policy"), Some("same-origin"), "{path}");
        let text = answer.text();
        assert!(
            !text.contains("<script") && !text.contains(" style=") && !text.contains("onerror="),
            "{path}"
        );
        assert!(
            path.ends_with(".css")
                || path.ends_with(".svg")
                || answer.header("cache-control") == Some("no-store")
        );
    }
    let elsewhere = send(world.address, "GET /", &["host: evil.example"], "").await;
    assert!(elsewhere.header("content-security-policy").is_some(), "a refusal, too");
}

#[tokio::test]
async fn others_cannot_reach_it() {
    let (listener, clock) =
        (tokio::net::TcpListener::bind("0.0.0.0:0").await.unwrap(), farthing_ambient::SystemClock);
    let clock = std::sync::Arc::new(clock);
    let parts = farthing_ui::Parts {
        ledger: farthing_ledger::Ledger::in_memory(clock.clone()).unwrap(),
        wallet: None,
        policy: std::sync::Arc::new(|| Err(String::new())),
        registry: farthing_money::Registry::builtin(),
        person: String::new(),
        clock,
        entropy: std::sync::Arc::new(farthing_ambient::OsEntropy),
    };
    let refused = farthing_ui::Ui::new(parts, listener.local_addr().unwrap());
    assert!(matches!(refused, Err(farthing_ui::UiError::NotLoopback(_))), "{refused:?}");
}
