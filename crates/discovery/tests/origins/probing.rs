//! Live answers beside the documents.

use farthing_discovery::{Config, Discovery, Live};
use serde_json::json;

use crate::server::{Answer, Server, codes, discovery, free, sold};

#[tokio::test]
async fn what_is_advertised_is_compared_with_what_is_asked() {
    let paths = json!({
        "/right": {"get": sold("0.01")}, "/dear": {"get": sold("0.01")}, "/gone": {"get": sold("0.01")},
        "/gratis": {"get": sold("0.01")}, "/free": {"get": free()}, "/secret": {"get": free()},
        "/elsewhere": {"get": sold("0.01")}, "/broken": {"get": sold("0.01")}, "/moved": {"get": sold("0.01")},
    });
    let server = Server::describing(&paths).await;
    server.put("/right", Answer::priced("10000", &server.at("/right")));
    server.put("/dear", Answer::priced("20000", &server.at("/dear")));
    server.put("/gratis", Answer::of(200, "{}"));
    server.put("/free", Answer::of(200, "{}"));
    server.put("/secret", Answer::priced("10000", &server.at("/secret")));
    server.put("/elsewhere", Answer::priced("10000", "https://evil.example/elsewhere"));
    server.put("/broken", Answer::of(402, "pay me"));
    server.put("/moved", Answer::to(302, "https://other.example/"));
    let origin = server.probed().await;
    let mut found: Vec<(&str, &str)> = origin
        .findings
        .iter()
        .map(|finding| {
            let key = finding.resource.as_deref().unwrap_or_default();
            (key.rsplit('/').next().unwrap(), finding.code.as_str())
        })
        .collect();
    found.sort_unstable();
    assert_eq!(
        found,
        [
            ("broken", "protocol-not-offered"),
            ("broken", "unreadable-402"),
            ("dear", "price-mismatch"),
            ("elsewhere", "resource-url-of-another-origin"),
            ("gone", "priced-but-missing"),
            ("gratis", "priced-but-free"),
            ("moved", "redirect-elsewhere"),
            ("secret", "free-but-priced"),
        ]
    );
    let live = |path: &str| {
        let resource = origin.resources.iter().find(|resource| resource.path == path).unwrap();
        resource.live.as_ref().and_then(Live::price).map(|price| price.to_string())
    };
    assert_eq!(
        (live("/right").as_deref(), live("/dear").as_deref(), live("/free")),
        (Some("$0.01"), Some("$0.02"), None)
    );
}

/// Whether the document writes it plainly or encoded.
#[tokio::test]
async fn a_path_is_asked_for_as_it_is() {
    let paths = json!({
        "/zürich": {"get": sold("0.01")}, "/a%20b": {"get": sold("0.01")}, "/z%c3%bcri": {"get": sold("0.01")},
    });
    let server = Server::describing(&paths).await;
    for path in ["/z%C3%BCrich", "/a%20b", "/z%C3%BCri"] {
        server.put(path, Answer::priced("10000", &server.at(path)));
    }
    let origin = server.probed().await;
    assert!(origin.findings.is_empty(), "{:?} {:?}", origin.findings, server.paths());
    assert_eq!(origin.route("/zürich").len(), 1);
}

/// The city may not be there; the route is.
#[tokio::test]
async fn a_404_says_nothing_of_a_route_with_parameters() {
    let server =
        Server::describing(&json!({"/w/{city}": {"get": sold("0.01")}, "/w": {"get": sold("0.01")}})).await;
    let origin = server.discovered().await;
    let judged = |path: &str| {
        let url = server.at(path).parse().unwrap();
        codes(&origin.judge("GET", &url, 404, None, None, &farthing_money::Registry::builtin()))
    };
    assert_eq!((judged("/w/oslo"), judged("/w")), (vec!["not-probed"], vec!["priced-but-missing"]));
}

#[tokio::test]
async fn mpp_counts_as_offered_where_its_scheme_is() {
    let mut both = sold("0.01");
    both["x-payment-info"]["protocols"] =
        json!([{"x402": {}}, {"mpp": {"method": "tempo", "intent": "charge", "currency": "USD"}}]);
    let server = Server::describing(&json!({"/a": {"get": both}})).await;
    let asking = Answer::priced("10000", &server.at("/a"));
    server.put("/a", asking.clone().with("www-authenticate", r#"Payment id="x", method="tempo""#));
    assert!(codes(&server.probed().await.findings).is_empty());
    server.put("/a", asking);
    assert_eq!(codes(&server.probed().await.findings), ["protocol-not-offered"]);
}

#[tokio::test]
async fn arguments_come_from_examples_or_are_made_up() {
    let parameter = |name: &str, place: &str, more: serde_json::Value| {
        let mut parameter =
            json!({"name": name, "in": place, "required": true, "schema": {"type": "string"}});
        parameter.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        parameter
    };
    let mut known = sold("0.01");
    known["parameters"] = json!([
        parameter("city", "path", json!({"example": "São Paulo/../x?y"})),
        parameter("days", "query", json!({"schema": {"type": "integer", "default": 3}})),
        parameter("note", "query", json!({"required": false, "example": "no"})),
    ]);
    let mut unknown = sold("0.01");
    unknown["parameters"] = json!([
        parameter("id", "path", json!({"schema": {"type": "integer"}})),
        parameter("dots", "path", json!({"example": ".."}))
    ]);
    let server =
        Server::describing(&json!({"/w/{city}": {"get": known}, "/u/{id}/{dots}": {"get": unknown}})).await;
    let origin = server.probed().await;
    let paths = server.paths();
    assert!(paths.contains(&"GET /w/S%C3%A3o%20Paulo%2F..%2Fx%3Fy?days=3".to_owned()), "{paths:?}");
    assert!(paths.contains(&"GET /u/1/example".to_owned()), "{paths:?}");
    let found: Vec<_> =
        origin.findings.iter().map(|finding| (finding.code.as_str(), finding.severity)).collect();
    // A 404 to made-up arguments proves nothing.
    let [("priced-but-missing", _), ("not-probed", _)] = found.as_slice() else { panic!("{found:?}") };
}

#[tokio::test]
async fn the_number_of_probes_is_bounded_and_priced_routes_come_first() {
    let mut paths = serde_json::Map::new();
    for n in 0..10 {
        paths.insert(format!("/a{n}"), json!({"get": free()}));
        paths.insert(format!("/z{n}"), json!({"get": sold("0.01")}));
    }
    let server = Server::describing(&paths.into()).await;
    let mut origin = server.discovered().await;
    let before = server.asked().len();
    let config = Config { max_probes: 8, ..discovery().config().clone() };
    Discovery::new(config).unwrap().probe(&mut origin).await;
    let asked = server.paths().split_off(before);
    assert_eq!(asked.len(), 8);
    assert!(asked.iter().all(|path| path.starts_with("GET /z")), "{asked:?}");
    assert_eq!(codes(&origin.findings).iter().filter(|code| **code == "not-probed").count(), 2);
}
