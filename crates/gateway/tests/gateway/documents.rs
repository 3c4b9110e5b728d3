//! What becomes of the upstream's own OpenAPI document: merged, followed, and doubted.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use farthing_gateway::{Config, Pricing, SharedPricing, UpstreamDocument};
use farthing_protocol::discovery::Document;
use http::{Method, StatusCode};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::discovery::{HEAD, json_of, shop};
use crate::lifecycle::start_selling;
use crate::waiting::eventually;
use crate::world::request;

const UPSTREAM: &str = r##"{
  "openapi": "3.0.3",
  "info": {"title": "Weather inside", "version": "9", "license": {"name": "MIT"}},
  "servers": [{"url": "http://10.0.0.7:8080/"}],
  "security": [{"key": []}],
  "tags": [{"name": "w"}],
  "x-logo": "sun",
  "paths": {
    "/weather/{place}": {
      "parameters": [{"$ref": "#/components/parameters/Place"}],
      "servers": [{"url": "http://10.0.0.7:8080"}],
      "get": {
        "operationId": "weather", "summary": "theirs", "servers": [{"url": "http://10.0.0.7"}],
        "x-payment-info": {"price": {"mode": "fixed", "amount": "0.000001"}},
        "responses": {"200": {"description": "ok", "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Weather"}}}}}
      },
      "delete": {"operationId": "forget"}
    },
    "/static/{file}": {"get": {"x-payment-info": {"price": {}}, "security": []}},
    "/admin": {"post": {"requestBody": {"$ref": "#/components/requestBodies/Secret"}}}
  },
  "components": {
    "parameters": {"Place": {"name": "place", "in": "path", "required": true, "schema": {"type": "string"}}},
    "schemas": {
      "Weather": {"properties": {"wind": {"$ref": "#/components/schemas/Wind"}}},
      "Wind": {"properties": {"again": {"$ref": "#/components/schemas/Wind"}}},
      "Unused": {}
    },
    "requestBodies": {"Secret": {"description": "how we do it"}},
    "securitySchemes": {"key": {"type": "apiKey", "in": "header", "name": "x-key"}, "admin": {"type": "http"}}
  }
}"##;

fn merged(yaml: &str, upstream: &str) -> Value {
    let pricing = SharedPricing::new(Pricing::new(&Config::parse("gateway.yaml", yaml).unwrap()).unwrap());
    pricing.describe_with(UpstreamDocument::parse(upstream.as_bytes()).unwrap());
    serde_json::from_slice(pricing.documents().unwrap().openapi.body()).unwrap()
}

#[test]
fn an_upstreams_document_gets_prices_and_loses_what_is_not_sold() {
    let document = merged(&shop(), UPSTREAM);
    let paths = &document["paths"];
    let weather = &paths["/weather/{place}"]["get"];
    assert_eq!(
        (&weather["operationId"], &weather["summary"]),
        (&json!("weather"), &json!("The weather now"))
    );
    assert_eq!(weather["x-payment-info"]["price"]["amount"], "0.002");
    assert!(weather["responses"]["402"].is_object());
    let schema = &weather["responses"]["200"]["content"]["application/json"]["schema"];
    assert_eq!(schema["$ref"], "#/components/schemas/Weather");
    let place = &paths["/weather/{place}"]["parameters"][0]["$ref"];
    assert_eq!(place, "#/components/parameters/Place");
    // The whole document asks for a key, which is theirs to say.
    assert!(weather.get("security").is_none());
    assert_eq!(document["security"], json!([{"key": []}]));

    assert!(paths["/weather/{place}"].get("delete").is_none(), "no route lets it through");
    assert!(paths.get("/admin").is_none() && paths.get("/weather/{city}").is_none());
    let free = &paths["/static/{file}"]["get"];
    assert_eq!((&free["security"], free.get("x-payment-info")), (&json!([]), None));
    // Our other routes, which the upstream does not tell.
    assert!(paths["/render"]["post"]["x-payment-info"].is_object());

    let kept = json!({"parameters": ["Place"], "schemas": ["Weather", "Wind"], "securitySchemes": ["key"]});
    let names = |section: &Value| json!(section.as_object().unwrap().keys().collect::<Vec<_>>());
    let components = document["components"].as_object().unwrap();
    let found: Value = components.iter().map(|(name, section)| (name.clone(), names(section))).collect();
    assert_eq!(found, kept);

    assert_eq!((&document["openapi"], &document["x-logo"]), (&json!("3.0.3"), &json!("sun")));
    assert_eq!(document["info"]["title"], "Weather and more", "gateway.yaml goes first");
    assert_eq!(document["info"]["license"]["name"], "MIT");
    let text = document.to_string();
    for hidden in ["10.0.0.7", "0.000001", "how we do it", "forget"] {
        assert!(!text.contains(hidden), "{hidden} is told");
    }
}

/// What gateways, proxies and generators write into a document for each other; and names that only look like that.
const TALKATIVE: &str = r##"{
  "openapi": "3.0.3",
  "info": {"title": "T", "version": "1", "x-api-id": "10.0.0.5"},
  "servers": [{"url": "http://10.0.0.5:3000/{base}", "variables": {"base": {"default": "v1"}}}],
  "x-google-backend": {"address": "http://10.0.0.5:3000"},
  "paths": {
    "x-hidden": {"get": {"summary": "10.0.0.5"}},
    "/weather/{place}": {
      "x-internal": "10.0.0.5",
      "get": {
        "x-amazon-apigateway-integration": {"uri": "http://10.0.0.5", "credentials": "arn:aws:iam::1:role/10.0.0.5"},
        "parameters": [{"$ref": "#/paths/~1admin/post/parameters/0"}, {"$ref": "http://10.0.0.5/p.json"}],
        "responses": {
          "x-r": "10.0.0.5",
          "200": {
            "description": "ok",
            "headers": {"x-rate-limit": {"schema": {"type": "integer"}}},
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Pet"},
              "example": {"server": "kept", "x-kept": 1}}},
            "links": {"n": {"operationId": "secret", "server": {"url": "http://10.0.0.5"}}}
          },
          "400": {"$ref": "#/paths/~1admin/post/responses/400"},
          "401": {"$ref": "#/components/responses/None"},
          "default": {"$ref": "#/components/responses/Linked"}
        },
        "callbacks": {"done": {"{$request.body#/url}": {"$ref": "#/paths/~1admin"}}}
      }
    },
    "/admin": {"post": {"operationId": "secret", "parameters": [{"name": "p", "in": "query", "schema": {"$ref": "#/components/schemas/Deep"}}],
      "responses": {"400": {"description": "wrong", "content": {"application/json": {"schema":
        {"properties": {"again": {"$ref": "#/paths/~1admin/post/responses/400/content/application~1json/schema"}}}}}}}}}
  },
  "components": {
    "links": {"L": {"server": {"url": "http://10.0.0.5"}}},
    "responses": {"Linked": {"description": "d", "links": {"l": {"$ref": "#/components/links/L"}}}},
    "schemas": {
      "Pet": {"x-go-type": "10.0.0.5", "discriminator": {"propertyName": "kind", "mapping": {"dog": "Dog", "cat": "#/components/schemas/Cat", "eel": "http://10.0.0.5/eel.json"}},
        "properties": {"server": {"type": "string"}, "links": {"type": "string"}, "x-tag": {"type": "string"}, "default": {"x-y": 1, "type": "string"}}},
      "Dog": {"$id": "http://10.0.0.5/dog"}, "Cat": {}, "Deep": {"type": "string"}, "Unused": {}
    }
  }
}"##;

#[test]
fn what_is_the_upstreams_own_business_is_not_told() {
    let document = merged(&shop().replace("GET /weather", "GET /v1/weather"), TALKATIVE);
    let text = document.to_string();
    for hidden in ["10.0.0.5", "secret", "x-google", "x-amazon", "x-internal", "x-hidden", "/admin", "Unused"]
    {
        assert!(!text.contains(hidden), "{hidden}: {text}");
    }
    let get = &document["paths"]["/v1/weather/{place}"]["get"];
    let ok = &get["responses"]["200"];
    assert_eq!(ok["headers"]["x-rate-limit"]["schema"]["type"], "integer");
    assert_eq!(ok["content"]["application/json"]["example"], json!({"server": "kept", "x-kept": 1}));
    let pet = &document["components"]["schemas"]["Pet"];
    let kept: Vec<&String> = pet["properties"].as_object().unwrap().keys().collect();
    assert_eq!(kept, ["default", "links", "server", "x-tag"]);
    assert_eq!(pet["properties"]["default"], json!({"type": "string"}), "a property that is called so");
    // What a mapping names without a reference is a schema.
    assert_eq!(pet["discriminator"]["mapping"], json!({"dog": "Dog", "cat": "#/components/schemas/Cat"}));
    let schemas: Vec<&String> = document["components"]["schemas"].as_object().unwrap().keys().collect();
    assert_eq!(schemas, ["Cat", "Deep", "Dog", "Pet"]);
    // Of a call that is not told, what a told one refers to stands in its place.
    let names: Vec<&Value> =
        get["parameters"].as_array().unwrap().iter().map(|parameter| &parameter["name"]).collect();
    assert_eq!(names, ["p"], "one out of the document leaves nothing behind");
    let wrong = &get["responses"]["400"];
    assert_eq!(wrong["description"], "wrong");
    let again = &wrong["content"]["application/json"]["schema"]["properties"]["again"];
    assert!(again["properties"]["again"].get("properties").is_none(), "it ends: {again}");
    assert_eq!(get["callbacks"]["done"]["{$request.body#/url}"], json!({}));
    assert_eq!(dangling(&document), Vec::<String>::new());
}

/// References that lead to nothing: for one of them some readers give up the whole document.
fn dangling(document: &Value) -> Vec<String> {
    fn collect(value: &Value, root: &Value, found: &mut Vec<String>) {
        if let Some(reference) = value.get("$ref").and_then(Value::as_str)
            && reference.strip_prefix('#').and_then(|pointer| root.pointer(pointer)).is_none()
        {
            found.push(reference.to_owned());
        }
        match value {
            Value::Object(map) => map.values().for_each(|value| collect(value, root, found)),
            Value::Array(items) => items.iter().for_each(|value| collect(value, root, found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    collect(document, document, &mut found);
    found
}

/// Each schema refers to ten parts of paths: what stands in their place is bounded, in size and in depth.
#[test]
fn references_into_paths_do_not_multiply() {
    let level = |n: usize| {
        let next = format!("#/paths/~1l{}/get/responses/200/content/a~1b/schema", n + 1);
        let many: Vec<Value> = vec![json!({"$ref": next}); 10];
        json!({"get": {"responses": {"200": {"content": {"a/b": {"schema": {"allOf": many}}}}}}})
    };
    let mut paths: serde_json::Map<_, _> = (0..40).map(|n| (format!("/l{n}"), level(n))).collect();
    paths.insert("/weather/{c}".to_owned(), level(0));
    let document = merged(&shop(), &json!({"openapi": "3.1.0", "paths": paths}).to_string());
    assert!(document.to_string().len() < 4 << 20);
    let read = Document::read(
        document.to_string().as_bytes(),
        "https://a.example",
        &farthing_money::Registry::builtin(),
    );
    assert!(
        read.is_ok_and(|read| read.findings.iter().all(|finding| finding.code.as_str() != "duplicate-key"))
    );
}

#[test]
fn what_is_not_told_is_said() {
    let config = Config::parse("gateway.yaml", &shop()).unwrap();
    let pricing = Pricing::new(&config).unwrap();
    let notice =
        |upstream: &str| pricing.describe_with(&UpstreamDocument::parse(upstream.as_bytes()).unwrap());
    let some = notice(UPSTREAM).unwrap();
    assert_eq!((some.code, some.severity.to_string().as_str()), ("untold-operations", "info"));
    assert!(some.message.starts_with("2 of 4 operations"), "{}", some.message);
    assert!(some.message.ends_with(": POST /admin, DELETE /weather/{place}"), "{}", some.message);
    let moved =
        r#"{"openapi": "3.1.0", "servers": [{"url": "/v9"}], "paths": {"/weather/{c}": {"get": {}}}}"#;
    let none = notice(moved).unwrap();
    assert_eq!(none.severity.to_string(), "warning");
    assert!(none.message.starts_with("1 of 1 operations") && none.advice.contains("servers"), "{none:?}");
    let empty = notice(r#"{"openapi": "3.1.0", "paths": {}}"#).unwrap();
    assert!(empty.message.contains("no operation"), "{empty:?}");
    assert_eq!(notice(r#"{"openapi": "3.1.0", "paths": {"/weather/{c}": {"get": {}}}}"#), None);
}

/// OpenAPI has no word for it.
#[test]
fn a_priced_route_that_no_document_tells_is_said() {
    let yaml = format!("{HEAD}routes:\n  - {{match: \"PURGE /cache\", price: \"$1\"}}\n");
    let config = Config::parse("gateway.yaml", &yaml).unwrap();
    let notices = Pricing::new(&config).unwrap().notices(&config);
    let unlisted: Vec<_> = notices.iter().filter(|notice| notice.code == "unlisted-method").collect();
    let [notice] = unlisted.as_slice() else { panic!("{notices:?}") };
    assert_eq!(notice.place, "PURGE /cache");
}

/// Nothing that an upstream writes breaks the document, or changes a price.
#[test]
fn a_hostile_document_changes_nothing_that_matters() {
    let price = json!({"mode": "fixed", "amount": "0.002", "currency": "USD"});
    for (what, paths) in [
        (
            "operations of the wrong kind",
            r#"{"/weather/{c}": {"get": 7, "post": null, "put": []}, "/render": 3}"#,
        ),
        (
            "responses of the wrong kind",
            r#"{"/weather/{c}": {"get": {"responses": [], "security": 7, "parameters": {}}}}"#,
        ),
        (
            "an item by a reference out of the document",
            r#"{"/weather/{c}": {"$ref": "https://evil.example/x.json"}}"#,
        ),
        (
            "an item by a reference to nothing",
            r##"{"/weather/{c}": {"$ref": "#/components/pathItems/none"}}"##,
        ),
        ("an item that refers to itself", r##"{"/weather/{c}": {"$ref": "#/paths/~1weather~1{c}"}}"##),
        (
            "paths that the gateway would refuse",
            r#"{"/a/../b": {"get": {}}, "//weather/x": {"get": {}}, "weather": {"get": {}}}"#,
        ),
        (
            "the same call twice",
            r#"{"/weather/{a}": {"get": {}}, "/weather/{b}": {"get": {}}, "/WEATHER/{b}": {"get": {}}}"#,
        ),
        ("its own 402", r#"{"/weather/{c}": {"get": {"responses": {"402": {"description": "free!"}}}}}"#),
    ] {
        let document = merged(
            &shop(),
            &format!(r#"{{"openapi": "3.1.0", "info": [], "components": 7, "paths": {paths}}}"#),
        );
        let calls = document["paths"].as_object().unwrap().iter();
        let weather: Vec<_> =
            calls.filter(|(path, _)| path.to_lowercase().starts_with("/weather/")).collect();
        let [(_, item)] = &weather[..] else { panic!("{what}: {document}") };
        assert_eq!(item["get"]["x-payment-info"]["price"], price, "{what}: {document}");
        assert!(item["get"]["responses"]["402"]["headers"].is_object(), "{what}");
        assert_eq!(document["info"]["title"], "Weather and more", "{what}");
        assert!(!document.to_string().contains("evil.example"), "{what}");
    }
}

#[test]
fn two_templates_for_the_same_calls_are_one_and_others_are_not() {
    let paths = r#"{"/f/{a}": {"get": {}}, "/F/{b}": {"post": {}}, "/f/{a}.json": {"get": {}}, "/f/{a}-{b}": {"get": {}}}"#;
    let yaml = format!("{HEAD}routes:\n  - {{match: \"* /f/{{x}}\", price: \"$1\"}}\n");
    let document = merged(&yaml, &format!(r#"{{"openapi": "3.1.0", "paths": {paths}}}"#));
    let found: Vec<&String> = document["paths"].as_object().unwrap().keys().collect();
    assert_eq!(found, ["/F/{b}", "/f/{a}-{b}", "/f/{a}.json"], "{document}");
    assert_eq!(document["paths"]["/F/{b}"].as_object().unwrap().len(), 2);
}

#[test]
fn of_an_item_by_reference_the_operations_are_priced() {
    let document = merged(
        &shop(),
        r##"{"openapi": "3.1.0", "paths": {"/weather/{c}": {"$ref": "#/components/pathItems/W"}},
            "components": {"pathItems": {"W": {"get": {"operationId": "w"}}}}}"##,
    );
    let weather = &document["paths"]["/weather/{c}"]["get"];
    assert_eq!((&weather["operationId"], &weather["security"]), (&json!("w"), &json!([])));
    assert_eq!(weather["x-payment-info"]["price"]["amount"], "0.002");
}

#[test]
fn other_prices_keep_the_upstreams_words() {
    let priced = |yaml: &str| Pricing::new(&Config::parse("gateway.yaml", yaml).unwrap()).unwrap();
    let pricing = SharedPricing::new(priced(&shop()));
    pricing.describe_with(UpstreamDocument::parse(UPSTREAM.as_bytes()).unwrap());
    pricing.replace(priced(&shop().replace("$0.002", "$0.003")));
    let document: Value = serde_json::from_slice(pricing.documents().unwrap().openapi.body()).unwrap();
    let weather = &document["paths"]["/weather/{place}"]["get"];
    assert_eq!(weather["operationId"], "weather");
    assert_eq!(weather["x-payment-info"]["price"]["amount"], "0.003");
    let llms = pricing.documents().unwrap().llms.body().clone();
    assert!(std::str::from_utf8(&llms).unwrap().contains("$0.003"));
}

/// Any JSON, with the words that mean something to OpenAPI.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        Just(json!(7)),
        Just(json!(true)),
        "[a-z{}/#]{0,8}".prop_map(Value::from),
        Just(json!("#/components/schemas/A")),
        Just(json!("#/components/pathItems/A")),
        Just(json!("#/paths/~1weather~1{c}/get")),
        Just(json!("#/paths/~1weather~1{c}/get/responses")),
        Just(json!("#/paths/~1weather~1{c}/get/parameters/0")),
        Just(json!("#/info")),
    ];
    let key = prop_oneof![
        "/[a-z{}/]{0,8}",
        Just("/weather/{c}".to_owned()),
        Just("get".to_owned()),
        Just("post".to_owned()),
        Just("$ref".to_owned()),
        Just("parameters".to_owned()),
        Just("responses".to_owned()),
        Just("security".to_owned()),
        Just("x-payment-info".to_owned()),
        Just("schemas".to_owned()),
        Just("pathItems".to_owned()),
        Just("A".to_owned()),
    ];
    leaf.prop_recursive(5, 40, 5, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            proptest::collection::btree_map(key.clone(), inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    /// Whatever an upstream writes, each priced call is told once, at its price, and the document can be read.
    #[test]
    fn no_document_hides_or_changes_a_price(paths in any_json(), components in any_json(), info in any_json(), servers in any_json()) {
        let paths = if paths.is_object() { paths } else { json!({ "/weather/{c}": paths }) };
        let upstream = json!({"openapi": "3.1.0", "info": info, "servers": servers, "paths": paths, "components": components});
        let document = merged(&shop(), &upstream.to_string());
        let calls = document["paths"].as_object().unwrap().values();
        let mut prices: Vec<&str> = calls
            .flat_map(|item| item.as_object().unwrap().values())
            .filter_map(|operation| operation["x-payment-info"]["offers"][0]["amount"].as_str())
            .collect();
        prices.sort_unstable();
        prop_assert_eq!(prices, ["2000", "30000", "50000"]);
        prop_assert_eq!(dangling(&document), Vec::<String>::new());
        let read = Document::read(document.to_string().as_bytes(), "https://api.example.com", &farthing_money::Registry::builtin());
        prop_assert!(read.is_ok());
    }
}

/// With `unmatched: free` everything that the upstream tells can be called.
#[test]
fn what_passes_unmatched_is_told_as_free() {
    let document = merged(&format!("unmatched: free\n{}", shop()), UPSTREAM);
    assert!(document["paths"]["/admin"]["post"].is_object());
    assert_eq!(document["components"]["requestBodies"]["Secret"]["description"], "how we do it");
}

/// The gateway fetches it, serves its own until then, keeps the last good one, and takes up another.
#[tokio::test]
async fn the_gateway_follows_the_upstreams_document() {
    let said = std::sync::Arc::new(std::sync::Mutex::new("<html>not yet</html>".to_owned()));
    let file = said.clone();
    let router =
        Router::new().route("/openapi.json", get(move || std::future::ready(file.lock().unwrap().clone())));
    let yaml = "discovery: {upstream_document: /openapi.json, refresh: 50ms}\nunmatched: free\n\
                routes: [{match: \"GET /weather/{city}\", price: \"$0.002\"}]\n";
    let gateway = start_selling(router, yaml).await;
    let document = async || {
        json_of(&gateway.send(request(Method::GET, "/openapi.json").body(Body::empty()).unwrap()).await)
    };
    let summary = async || document().await["paths"]["/weather/{c}"]["get"]["summary"].clone();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(document().await["paths"]["/weather/{city}"]["get"].is_object(), "ours meanwhile");
    for (text, wanted) in
        [(with_summary("first"), "first"), ("{".to_owned(), "first"), (with_summary("second"), "second")]
    {
        *said.lock().unwrap() = text.clone();
        tokio::time::sleep(Duration::from_millis(150)).await;
        eventually(&text, async || summary().await == wanted).await;
    }
}

fn with_summary(summary: &str) -> String {
    json!({"openapi": "3.1.0", "paths": {"/weather/{c}": {"get": {"summary": summary}}}}).to_string()
}

/// An answer that never ends, one that is too large, and a redirect are not waited for, read, or followed.
#[tokio::test]
async fn a_bad_document_is_an_error_in_words() {
    let router = Router::new()
        .route("/large", get(|| async { " ".repeat(5 << 20) }))
        .route("/moved", get(|| async { (StatusCode::FOUND, [("location", "/good")]) }))
        .route("/good", get(|| async { with_summary("x") }))
        .route("/html", get(|| async { "<html>" }));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("api.json"), with_summary("x")).unwrap();
    for (document, words) in [
        ("/good", None),
        ("api.json", None),
        ("none.json", Some("none.json")),
        ("/large", Some("larger than")),
        ("/moved", Some("302")),
        ("/html", Some("not usable JSON")),
        ("http://127.0.0.1:1/x", Some("refused")),
    ] {
        let yaml =
            format!("upstream: {upstream}\ndiscovery: {{upstream_document: \"{document}\"}}\nroutes: []\n");
        let file = folder.path().join("gateway.yaml");
        let config = Config::parse(&file.display().to_string(), &yaml).unwrap();
        match (farthing_gateway::upstream_document(&config).await, words) {
            (Ok(Some(_)), None) => {}
            (Err(error), Some(words)) => {
                let error = error.to_string();
                assert!(error.contains(words) && error.contains("upstream_document"), "{document}: {error}");
            }
            (other, _) => panic!("{document}: {other:?}"),
        }
    }
}
