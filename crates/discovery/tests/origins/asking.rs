//! How it asks: with which methods and headers, where it goes, how long it waits.

use std::time::{Duration, Instant};

use farthing_discovery::{Code, Config, Discovery, Query, Site};
use farthing_http::Reach;
use serde_json::json;
use url::Url;

use crate::server::{Answer, Server, codes, discovery, document, free, sold, waiting};

#[tokio::test]
async fn nothing_but_get_and_head_is_ever_sent() {
    let every = json!({"get": sold("0.01"), "head": sold("0.01"), "post": sold("0.01"), "put": sold("0.01"),
        "delete": sold("0.01"), "patch": sold("0.01"), "options": sold("0.01"), "trace": sold("0.01")});
    let server = Server::describing(&json!({"/a": every, "/b": {"delete": sold("0.01")}})).await;
    let resources = ["DELETE /a", "PUT /c", "/d", "POST /e"];
    server.put("/.well-known/x402", Answer::json(&json!({"version": 1, "resources": resources})));
    let origin = server.probed().await;
    assert_eq!(origin.resources.len(), 12);
    let methods: Vec<String> = server.asked().into_iter().map(|(method, ..)| method).collect();
    assert_eq!(methods.iter().filter(|method| *method == "HEAD").count(), 1);
    assert!(methods.iter().all(|method| method == "GET" || method == "HEAD"), "{methods:?}");
    let unasked = codes(&origin.findings).into_iter().filter(|code| *code == "not-probed").count();
    assert_eq!(unasked, 10, "what is not asked is said");
}

/// Unless the owner wants it; and then a redirect does not send it again, nor is anything asked that costs nothing.
#[tokio::test]
async fn what_may_change_something_is_sent_once_to_its_address() {
    let server = Server::describing(&json!({"/a": {"delete": sold("0.01")}, "/b": {"post": free()}})).await;
    server.put("/a", Answer::to(307, "/b"));
    let config = Config { all_methods: true, ..discovery().config().clone() };
    let mut origin = server.discovered().await;
    let before = server.asked().len();
    Discovery::new(config).unwrap().probe(&mut origin).await;
    assert_eq!(server.paths().split_off(before), ["DELETE /a"]);
}

#[tokio::test]
async fn no_request_identifies_the_user() {
    let server = Server::describing(&json!({"/a": {"get": sold("0.01")}})).await;
    // A cookie is offered, and a redirect, which would have a referrer.
    let set = Answer::of(404, "").with("set-cookie", "id=1; Path=/");
    server.put("/.well-known/x402", set);
    server.put("/.well-known/mpp", Answer::to(302, "/moved"));
    server.put("/a", Answer::priced("10000", &server.at("/a")).with("set-cookie", "id=2; Path=/"));
    let discovery = discovery();
    let mut origin = discovery.discover(&server.site()).await;
    discovery.probe(&mut origin).await;
    discovery.discover(&server.site()).await;
    let index = Url::parse(&server.url).unwrap();
    let query = Query { text: "x".to_owned(), limit: 5, max_price: None, network: None };
    discovery.search(&query, &[index]).await;
    let agent = concat!("farthing/", env!("CARGO_PKG_VERSION"));
    assert!(server.asked().len() > 10);
    for (_, path, headers) in server.asked() {
        let mut names: Vec<&str> = headers.keys().map(|name| name.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, ["accept", "host", "user-agent"], "{path}");
        assert_eq!(headers["user-agent"], agent, "{path}");
    }
}

#[tokio::test]
async fn redirects_within_the_origin_are_followed_a_few_times() {
    let server = Server::start().await;
    server.put("/openapi.json", Answer::to(301, "/docs/openapi.json"));
    server.put("/docs/openapi.json", Answer::to(307, &server.at("/v1.json")));
    server.put("/v1.json", Answer::json(&document(&json!({"/a": {"get": sold("0.01")}}))));
    server.put("/.well-known/x402", Answer::to(302, "/.well-known/x402"));
    let origin = server.discovered().await;
    assert_eq!(origin.resources.len(), 1);
    assert!(codes(&origin.findings).contains(&"too-many-redirects"));
    let rounds = server.paths().into_iter().filter(|path| path == "GET /.well-known/x402").count();
    assert_eq!(rounds, 4);
}

#[tokio::test]
async fn redirects_to_another_origin_are_not_followed() {
    let (server, other) = (Server::start().await, Server::start().await);
    other.put("/openapi.json", Answer::json(&document(&json!({"/a": {"get": sold("0.01")}}))));
    server.put("/openapi.json", Answer::to(302, &other.at("/openapi.json")));
    server.put("/.well-known/x402", Answer::to(302, "file:///etc/passwd"));
    server.put("/.well-known/mpp", Answer::to(302, "http://[bad"));
    let origin = server.discovered().await;
    assert!(other.asked().is_empty());
    let found = codes(&origin.findings);
    assert_eq!(found.iter().filter(|code| **code == "redirect-elsewhere").count(), 2, "{found:?}");
    assert!(found.contains(&"too-many-redirects") && found.contains(&"no-document"), "{found:?}");
}

#[tokio::test]
async fn what_is_out_of_reach_is_not_asked() {
    let server = Server::describing(&json!({"/a": {"get": sold("0.01")}})).await;
    let config = Config { reach: Reach::public(), ..Config::default() };
    let origin = Discovery::new(config).unwrap().discover(&server.site()).await;
    assert!(server.asked().is_empty());
    let place = origin.findings.iter().find(|finding| finding.code == Code::OutOfReach).unwrap();
    assert!(place.message.contains("127.0.0.1"), "{place:?}");
    let host = server.url.trim_start_matches("http://").to_owned();
    let config = Config { reach: Reach::public().and_hosts([host]), ..Config::default() };
    let origin = Discovery::new(config).unwrap().discover(&server.site()).await;
    assert_eq!(origin.resources.len(), 1);
}

#[tokio::test]
async fn a_slow_drip_and_a_silent_server_end_in_time() {
    let server = Server::start().await;
    let mut dripping = Answer::json(&document(&json!({})));
    dripping.drip = Some(Duration::from_millis(300));
    server.put("/openapi.json", dripping);
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = Site::parse(&silent.local_addr().unwrap().to_string()).unwrap();
    let began = Instant::now();
    let impatient = waiting(Duration::from_secs(2));
    let origins = impatient.discover_all(&[server.site(), silent], true, &|_| {}).await;
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
    for origin in origins {
        assert!(codes(&origin.findings).contains(&"unreachable"), "{:?}", origin.findings);
    }
}

#[tokio::test]
async fn several_origins_are_told_of_as_they_are_done() {
    let mut servers = Vec::new();
    for _ in 0..12 {
        servers.push(Server::describing(&json!({"/a": {"get": sold("0.01")}})).await);
    }
    let sites: Vec<Site> = servers.iter().map(Server::site).collect();
    let told = std::sync::Mutex::new(Vec::new());
    let hear = |step: farthing_discovery::Step<'_>| {
        told.lock().unwrap().push((step.done, step.of, step.origin.clone()));
    };
    let origins = discovery().discover_all(&sites, false, &hear).await;
    let found: Vec<_> = origins.iter().map(|origin| origin.origin.clone()).collect();
    assert_eq!(found, sites, "in the order that was given");
    let told = told.into_inner().unwrap();
    assert_eq!(told.iter().map(|(done, ..)| *done).collect::<Vec<_>>(), (1..=12).collect::<Vec<_>>());
    assert!(told.iter().all(|(_, of, _)| *of == 12));
}

/// Servers do their work on several threads.
#[test]
fn its_work_may_move_between_threads() {
    fn movable<F: Send>(work: F) -> F {
        work
    }
    let (discovery, site) = (discovery(), Site::parse("a.example").unwrap());
    let sites = [site.clone()];
    drop(movable(discovery.discover_all(&sites, true, &|_| {})));
    drop(movable(async {
        let mut origin = discovery.discover(&site).await;
        discovery.probe(&mut origin).await;
    }));
    let query = Query { text: String::new(), limit: 1, max_price: None, network: None };
    drop(movable(discovery.search(&query, &[])));
}
