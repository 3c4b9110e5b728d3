//! What becomes of an origin's documents.

use farthing_discovery::{AuthMode, Code, ReadState};
use farthing_protocol::discovery::MAX_DOCUMENT_BYTES;
use serde_json::json;

use crate::server::{Answer, Server, codes, document, free, nobody, sold};

#[tokio::test]
async fn several_documents_become_one_origin_and_each_fact_has_its_source() {
    let mut described =
        document(&json!({"/a": {"get": sold("0.01"), "post": sold("0.02")}, "/free": {"get": free()}}));
    described["info"]["x-guidance"] = json!("Ask for one city.");
    let server = Server::start().await;
    server.put("/openapi.json", Answer::json(&described));
    let legacy = json!({"version": 1, "resources": [server.at("/a"), "POST /b", server.at("/free"), "/c"],
        "ownershipProofs": ["0xabc"]});
    server.put("/.well-known/x402", Answer::json(&legacy));
    let mpp = json!({"endpoints": [{"method": "POST", "path": "/b", "description": "The b", "payment": {"amount": "30000"}}]});
    server.put("/.well-known/mpp", Answer::json(&mpp));
    server.put("/llms.txt", Answer::of(200, "# Weather").with("content-type", "text/plain"));
    let origin = server.discovered().await;
    let keys: Vec<&str> =
        origin.resources.iter().map(|resource| resource.key.split_once(' ').unwrap().1).collect();
    // An entry without a method is of those that the path has; of a path that nothing else names, POST.
    assert_eq!(keys, ["GET /a", "POST /a", "GET /free", "POST /b", "POST /c"]);
    let b = &origin.resources[3];
    assert_eq!(
        (b.price.as_ref().unwrap().to_string(), b.summary.as_deref()),
        ("$0.03".to_owned(), Some("The b"))
    );
    assert_eq!(b.auth, Some(AuthMode::Paid));
    assert_eq!(b.provenance["resource"], "/.well-known/x402#/resources/1");
    assert_eq!(b.provenance["price"], "/.well-known/mpp#/endpoints/0");
    assert_eq!(origin.resources[0].provenance["price"], "/openapi.json#/paths/~1a/get");
    let guidance: Vec<_> =
        origin.guidance.iter().map(|part| (part.from.as_str(), part.text.as_str())).collect();
    assert_eq!(
        guidance,
        [("/openapi.json#/info/x-guidance", "Ask for one city."), ("/llms.txt", "# Weather")]
    );
    assert_eq!(origin.unverified_ownership_proofs, ["0xabc"]);
    assert!(origin.documents.iter().all(|read| read.state == ReadState::Read), "{:?}", origin.documents);
    let contradicted = origin.findings.iter().find(|finding| finding.code == Code::FreeButPriced).unwrap();
    assert_eq!(contradicted.place, "/.well-known/x402#/resources/2");
    let severities: Vec<_> = origin.findings.iter().map(|finding| finding.severity).collect();
    assert!(severities.is_sorted_by(|a, b| a >= b), "the worst stand first: {severities:?}");
}

#[tokio::test]
async fn an_origin_without_documents_says_so() {
    let server = Server::start().await;
    let origin = server.discovered().await;
    assert_eq!(codes(&origin.findings), ["no-document"]);
    assert!(origin.documents.iter().all(|read| read.state == ReadState::Absent));
    let nobody = nobody();
    let site = farthing_discovery::Site::parse(&nobody.local_addr().unwrap().to_string()).unwrap();
    let origin = crate::server::discovery().discover(&site).await;
    assert_eq!(codes(&origin.findings), ["unreachable", "unreachable", "unreachable", "no-document"]);
}

/// Some servers show their start page for every address.
#[tokio::test]
async fn a_page_for_every_address_is_no_document() {
    let server = Server::start().await;
    for path in ["/openapi.json", "/.well-known/x402", "/.well-known/mpp", "/llms.txt"] {
        server.put(path, Answer::of(200, "<!doctype html>").with("content-type", "text/html; charset=utf-8"));
    }
    let origin = server.discovered().await;
    let found = codes(&origin.findings);
    assert_eq!(found.iter().filter(|code| **code == "wrong-content-type").count(), 3, "{found:?}");
    assert!(found.contains(&"no-document") && origin.guidance.is_empty());
}

#[tokio::test]
async fn json_under_another_name_is_read_and_noted() {
    let server = Server::start().await;
    let text = document(&json!({"/a": {"get": sold("0.01")}})).to_string();
    server.put("/openapi.json", Answer::of(200, text).with("content-type", "text/plain"));
    let origin = server.discovered().await;
    assert_eq!(origin.resources.len(), 1);
    assert_eq!(codes(&origin.findings), ["wrong-content-type"]);
}

#[tokio::test]
async fn what_is_broken_loses_nothing_else() {
    let server = Server::start().await;
    let mut long = document(&json!({})).to_string().into_bytes();
    long.resize(MAX_DOCUMENT_BYTES + 1000, b' ');
    server.put("/openapi.json", Answer::of(200, long).with("content-type", "application/json"));
    server.put("/.well-known/x402", Answer::of(200, "{").with("content-type", "application/json"));
    server.put("/.well-known/mpp", Answer::json(&json!({"endpoints": [{"method": "GET", "path": "/a"}]})));
    let origin = server.discovered().await;
    let found = codes(&origin.findings);
    assert!(found.contains(&"too-large") && found.contains(&"not-json"), "{found:?}");
    assert_eq!(origin.resources.len(), 1);
    server.put("/openapi.json", Answer::of(500, ""));
    assert!(codes(&server.discovered().await.findings).contains(&"server-error"));
}

#[tokio::test]
async fn guidance_is_bounded_and_of_the_origin_itself() {
    let other = Server::start().await;
    let mut described = document(&json!({"/a": {"get": sold("0.01")}}));
    let server = Server::start().await;
    described["x-agentcash-guidance"] = json!({"llmsTxtUrl": other.at("/llms.txt")});
    server.put("/openapi.json", Answer::json(&described));
    let origin = server.discovered().await;
    assert_eq!(codes(&origin.findings), ["guidance-elsewhere"]);
    assert!(other.asked().is_empty() && origin.guidance.is_empty());

    described["x-agentcash-guidance"] = json!({"llmsTxtUrl": "/docs/agents.md"});
    server.put("/openapi.json", Answer::json(&described));
    server.put("/docs/agents.md", Answer::of(200, "ü".repeat(100_000)).with("content-type", "text/markdown"));
    let origin = server.discovered().await;
    let [guidance] = origin.guidance.as_slice() else { panic!("{:?}", origin.guidance) };
    assert!(guidance.cut && guidance.text.len() < 20_000);
}

/// Who asks for a price does not wait for words.
#[tokio::test]
async fn documents_can_be_had_without_guidance() {
    let server = Server::describing(&json!({"/a": {"get": sold("0.01")}})).await;
    let origin = crate::server::discovery().describe(&server.site()).await;
    assert_eq!(origin.resources.len(), 1);
    assert!(!server.paths().contains(&"GET /llms.txt".to_owned()));
}

#[tokio::test]
async fn a_route_is_the_most_specific_one() {
    let server = Server::describing(&json!({
        "/w/{city}": {"get": sold("0.01"), "post": sold("0.02")}, "/w/berlin": {"get": sold("0.03")}, "/{a}/{b}": {"get": free()},
    }))
    .await;
    let origin = server.discovered().await;
    let of = |path: &str| {
        origin
            .route(path)
            .into_iter()
            .map(|resource| format!("{} {}", resource.method, resource.path))
            .collect::<Vec<_>>()
    };
    assert_eq!(of("/w/oslo"), ["GET /w/{city}", "POST /w/{city}"]);
    assert_eq!(of("/w/berlin/"), ["GET /w/berlin"]);
    assert_eq!(of("/x/y"), ["GET /{a}/{b}"]);
    assert!(of("/w").is_empty());
}
