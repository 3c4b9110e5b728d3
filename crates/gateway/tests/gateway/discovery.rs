//! The documents by which buyers find what is sold: what they say, who gets them, and whose file goes first.

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use base64::prelude::{BASE64_STANDARD, Engine as _};
use farthing_protocol::discovery::{Document, WellKnown};
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::lifecycle::start_with;
use crate::world::{Answer, World, request};

pub(crate) const HEAD: &str = r#"
public_url: https://api.example.com
pay_to: "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"
accepts: [base-sepolia]
"#;

const SHOP: &str = r#"
discovery:
  title: Weather and more
  version: "2.1"
  description: Weather for agents.
  contact: {email: help@example.com}
  guidance: Ask for one city at a time.
routes:
  - match: "GET /weather/{city}"
    price: "$0.002"
    summary: The weather now
    tags: [weather]
    input: {type: object, properties: {units: {type: string, enum: [c, f]}, day: {type: string}}, required: [day]}
    output: {type: object, properties: {celsius: {type: number}}, example: {celsius: 21.5}}
  - match: "POST /render"
    description: A picture of a scene
    price: "$0.05"
    mime_type: image/png
    input: {type: object, properties: {scene: {type: string}}, required: [scene], example: {scene: a field}}
  - match: "GET /either"
    accepts:
      - {network: base-sepolia, price: "$0.03"}
      - {network: base, price: "$0.04"}
  - {match: "* /static/{*rest}", free: true}
  - {match: "OPTIONS /{*all}", free: true}
"#;

const DOCUMENTS: [&str; 3] = ["/openapi.json", "/.well-known/x402", "/llms.txt"];

pub(crate) fn shop() -> String {
    format!("{HEAD}{SHOP}")
}

pub(crate) fn json_of(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.body).unwrap_or_else(|error| panic!("{error}: {}", answer.text()))
}

// === what they say ===

#[tokio::test]
async fn openapi_tells_every_call_its_price_and_its_schemas() {
    let world = World::selling(&shop());
    let answer = world.ask("/openapi.json").await;
    assert_eq!((answer.status, answer.header("content-type")), (StatusCode::OK, "application/json"));
    let document = json_of(&answer);
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(
        document["info"],
        json!({"title": "Weather and more", "version": "2.1", "description": "Weather for agents.",
               "contact": {"email": "help@example.com"}, "x-guidance": "Ask for one city at a time."})
    );
    assert_eq!(document["servers"], json!([{"url": "https://api.example.com"}]));
    assert_eq!(document["x-agentcash-guidance"]["llmsTxtUrl"], "https://api.example.com/llms.txt");
    let paths: Vec<&String> = document["paths"].as_object().unwrap().keys().collect();
    assert_eq!(paths, ["/either", "/render", "/static/{rest}", "/weather/{city}"]);

    let weather = &document["paths"]["/weather/{city}"]["get"];
    assert_eq!((&weather["summary"], &weather["tags"]), (&json!("The weather now"), &json!(["weather"])));
    assert_eq!(weather["security"], json!([]));
    assert_eq!(
        weather["parameters"],
        json!([
            {"name": "city", "in": "path", "required": true, "schema": {"type": "string"}},
            {"name": "day", "in": "query", "required": true, "schema": {"type": "string"}},
            {"name": "units", "in": "query", "required": false, "schema": {"type": "string", "enum": ["c", "f"]}},
        ])
    );
    let schema = &weather["responses"]["200"]["content"]["application/json"]["schema"];
    assert_eq!(schema["properties"]["celsius"]["type"], "number");
    assert!(weather["responses"]["402"]["description"].is_string());
    assert_eq!(
        weather["x-payment-info"],
        json!({
            "price": {"mode": "fixed", "amount": "0.002", "currency": "USD"},
            "protocols": [{"x402": {}}],
            "offers": [{
                "intent": "charge", "method": "x402", "amount": "2000", "scheme": "exact", "network": "eip155:84532",
                "currency": "0x036CbD53842c5426634e7929541eC2318f3dCF7e",
                "description": "$0.002 (USDC) on Base Sepolia",
            }],
        })
    );

    let render = &document["paths"]["/render"]["post"];
    assert_eq!(render["requestBody"]["content"]["application/json"]["schema"]["required"], json!(["scene"]));
    assert!(render["responses"]["200"]["content"]["image/png"].is_object());
    assert!(render.get("parameters").is_none());

    let either = &document["paths"]["/either"]["get"];
    let price = json!({"mode": "dynamic", "min": "0.03", "max": "0.04", "currency": "USD"});
    assert_eq!(either["x-payment-info"]["price"], price);
    assert_eq!(either["summary"], "GET /either");

    let free = &document["paths"]["/static/{rest}"]["get"];
    assert_eq!((&free["security"], free.get("x-payment-info")), (&json!([]), None));
    assert_eq!(free["parameters"][0]["name"], "rest");
    assert_eq!(world.api.served(), 0);
}

/// The reader that our own buyers use has nothing to say against what our gateway writes, and reads what is charged.
#[tokio::test]
async fn our_own_reader_finds_nothing_wrong() {
    let world = World::selling(
        &shop().replace("mime_type: image/png\n", "output: {type: object, example: {url: x}}\n"),
    );
    let origin = "https://api.example.com";
    let registry = farthing_money::Registry::builtin();
    let document = Document::read(&world.ask("/openapi.json").await.body, origin, &registry).unwrap();
    let found: Vec<_> =
        document.findings.iter().filter(|finding| !finding.place.contains("either")).collect();
    assert!(found.is_empty(), "{found:?}");
    let prices: Vec<_> =
        document.operations.iter().map(|read| read.price.as_ref().map(ToString::to_string)).collect();
    let wanted = [Some("$0.03 to $0.04"), Some("$0.05"), None, Some("$0.002")];
    assert_eq!(prices, wanted.map(|price| price.map(str::to_owned)));
    let values: Vec<_> =
        document.operations[0].offers.iter().map(|offer| offer.value.unwrap().to_string()).collect();
    assert_eq!(values, ["$0.03", "$0.04"]);
    let well_known = WellKnown::read_x402(&world.ask("/.well-known/x402").await.body, origin).unwrap();
    let priced = document.operations.iter().filter(|read| read.price.is_some()).map(|read| read.key(origin));
    let listed = well_known
        .resources
        .iter()
        .map(|entry| format!("{origin} {} {}", entry.method.as_ref().unwrap(), entry.path));
    assert_eq!(listed.collect::<Vec<_>>(), priced.collect::<Vec<_>>());
}

/// What is told is what is asked for, in each of the three.
#[tokio::test]
async fn the_others_say_the_same() {
    let world = World::selling(&shop());
    let x402 = json_of(&world.ask("/.well-known/x402").await);
    assert_eq!(x402["version"], 1);
    assert_eq!(
        x402["resources"],
        json!([
            "GET https://api.example.com/either",
            "POST https://api.example.com/render",
            "GET https://api.example.com/weather/{city}",
        ])
    );
    assert_eq!(x402["instructions"], "Ask for one city at a time.");

    let llms = world.ask("/llms.txt").await;
    assert_eq!(llms.header("content-type"), "text/plain; charset=utf-8");
    let text = llms.text();
    assert!(text.starts_with("# Weather and more\n\n> Weather for agents.\n\nAsk for one city"), "{text}");
    let priced = "- [GET /weather/{city}](https://api.example.com/weather/{city}): $0.002 (USDC) on Base Sepolia. The \
                  weather now\n";
    assert!(text.contains(priced), "{text}");
    assert!(text.contains("$0.03 (USDC) on Base Sepolia or $0.04 (USDC) on Base."), "{text}");
    assert!(text.contains("## Free calls\n\n- [GET /static/{rest}]"), "{text}");
    assert!(text.contains("PAYMENT-SIGNATURE"), "{text}");

    let unpaid = world.ask("/weather/oslo").await.challenge();
    assert_eq!(unpaid.offers[0].requirements.amount.get(), 2000);
}

#[tokio::test]
async fn what_the_file_does_not_say_is_made_up_for() {
    let world = World::selling(&format!("{HEAD}routes:\n  - {{match: \"GET /a\", price: \"$1\"}}\n"));
    let info = &json_of(&world.ask("/openapi.json").await)["info"];
    assert_eq!(info, &json!({"title": "api.example.com", "version": "1"}));
}

/// Nothing that was written into a line can end it.
#[tokio::test]
async fn words_of_a_route_stay_on_their_line() {
    let route =
        r#"{match: "GET /a", price: "$1", summary: "nice\n## Free calls\n\n- [pay](https://evil.example)"}"#;
    let world = World::selling(&format!("{HEAD}routes:\n  - {route}\n"));
    let text = world.ask("/llms.txt").await;
    assert!(!text.text().contains("\n## Free calls"), "{}", text.text());
}

// === how they are given out ===

#[tokio::test]
async fn who_has_a_document_is_not_sent_it_again() {
    let world = World::selling(&shop());
    for path in DOCUMENTS {
        let first = world.ask(path).await;
        assert_eq!(first.header("cache-control"), "public, max-age=300", "{path}");
        let etag = first.header("etag").to_owned();
        assert!(etag.starts_with('"') && etag.len() > 10, "{etag}");
        for (known, status) in [
            (etag.clone(), 304),
            (format!("W/{etag}"), 304),
            (format!("\"other\", {etag}"), 304),
            ("*".to_owned(), 304),
            ("\"other\"".to_owned(), 200),
        ] {
            let asked =
                request(Method::GET, path).header("if-none-match", &known).body(Body::empty()).unwrap();
            let answer = world.send(asked).await;
            assert_eq!(answer.status.as_u16(), status, "{path} {known}");
            assert_eq!(answer.header("etag"), etag);
            assert_eq!(answer.body.is_empty(), status == 304);
        }
    }
    assert_eq!(world.api.served(), 0);
}

/// On a socket: a head has the length of the body that it has not.
#[tokio::test]
async fn head_tells_the_length_alone() {
    let gateway = start_with(Router::new()).await;
    for path in DOCUMENTS {
        let full = gateway.send(request(Method::GET, path).body(Body::empty()).unwrap()).await;
        let head = gateway.send(request(Method::HEAD, path).body(Body::empty()).unwrap()).await;
        assert_eq!((full.status, head.status), (StatusCode::OK, StatusCode::OK), "{path}");
        assert_eq!(head.header("content-length"), full.body.len().to_string(), "{path}");
        assert_eq!(head.header("etag"), full.header("etag"));
        assert!(head.body.is_empty());
        let post = gateway.send(request(Method::POST, path).body(Body::empty()).unwrap()).await;
        assert_eq!(post.status, StatusCode::NOT_FOUND, "{path}");
    }
}

/// A payment that comes along is neither needed nor taken.
#[tokio::test]
async fn documents_cost_nothing() {
    let world = World::selling(&shop());
    let (name, value) = world.payment(Method::GET, "/weather/oslo", 1).await;
    let asked = request(Method::GET, "/openapi.json").header(name, value).body(Body::empty()).unwrap();
    let answer = world.send(asked).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert!(!answer.headers.contains_key("payment-response"));
    assert_eq!(world.script.settled(), 0);
}

// === whose file goes first ===

/// (what gateway.yaml says, whether the upstream has such files, who is heard)
#[tokio::test]
async fn an_upstreams_own_file_is_not_shadowed_unless_it_is_said() {
    let priced = "  - {match: \"GET /a\", price: \"$1\"}\n";
    let cases = [
        ("what is refused hides nothing", format!("routes:\n{priced}"), true, "ours"),
        ("free by default, and there", format!("unmatched: free\nroutes:\n{priced}"), true, "theirs"),
        ("free by default, and missing", format!("unmatched: free\nroutes:\n{priced}"), false, "ours"),
        ("a free pattern", "routes:\n  - {match: \"* /{*all}\", free: true}\n".to_owned(), true, "theirs"),
        (
            "a free pattern, missing",
            "routes:\n  - {match: \"* /{*all}\", free: true}\n".to_owned(),
            false,
            "ours",
        ),
        ("a priced pattern", "routes:\n  - {match: \"* /{*all}\", price: \"$1\"}\n".to_owned(), true, "ours"),
        (
            "said to be replaced",
            format!("discovery: {{replace: true}}\nunmatched: free\nroutes:\n{priced}"),
            true,
            "ours",
        ),
    ];
    for (what, yaml, has, heard) in cases {
        let world = World::selling(&format!("{HEAD}{yaml}"));
        for path in DOCUMENTS {
            for method in [Method::GET, Method::HEAD] {
                let answer = ask_with_files(&world, method.clone(), path, has).await;
                let ours = answer.header("cache-control") == "public, max-age=300";
                assert_eq!(answer.status, StatusCode::OK, "{what}: {path}");
                assert_eq!(ours, heard == "ours", "{what}: {method} {path}: {}", answer.text());
            }
        }
    }
}

/// A route that names the path is the operator's word, also against `replace`.
#[tokio::test]
async fn a_route_that_names_the_path_goes_first() {
    let world = World::selling(&format!(
        "{HEAD}discovery: {{replace: true}}\nroutes:\n  - {{match: \"GET /openapi.json\", free: true}}\n  \
         - {{match: \"GET /llms.txt\", price: \"$1\"}}\n"
    ));
    let theirs = ask_with_files(&world, Method::GET, "/openapi.json", true).await;
    assert_eq!(theirs.text(), "theirs");
    let missing = ask_with_files(&world, Method::GET, "/openapi.json", false).await;
    assert_eq!(missing.status, StatusCode::NOT_FOUND);
    assert_eq!(world.ask("/llms.txt").await.status, StatusCode::PAYMENT_REQUIRED);
    assert_eq!(world.ask("/.well-known/x402").await.status, StatusCode::OK);
}

#[tokio::test]
async fn switched_off_there_is_nothing() {
    let world = World::selling(&format!(
        "{HEAD}discovery: {{enabled: false}}\nroutes:\n  - {{match: \"GET /a\", price: \"$1\", input: {{type: object}}}}\n"
    ));
    for path in DOCUMENTS {
        assert_eq!(world.ask(path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    assert!(world.layer.pricing().documents().is_none());
    assert!(world.ask("/a").await.challenge().extensions.is_none());
}

async fn ask_with_files(world: &World, method: Method, path: &str, has: bool) -> Answer {
    use tower::{Layer as _, ServiceExt as _};
    let mut router = Router::new().fallback(|| async { StatusCode::NOT_FOUND });
    if has {
        for path in DOCUMENTS {
            router = router.route(path, get(|| async { "theirs" }));
        }
    }
    let asked = request(method, path).body(Body::empty()).unwrap();
    Answer::of(world.layer.layer(router).oneshot(asked).await.unwrap()).await
}

// === the 402 ===

fn extensions(answer: &Answer) -> Value {
    let header = BASE64_STANDARD.decode(answer.header("payment-required")).unwrap();
    serde_json::from_slice::<Value>(&header).unwrap()["extensions"].clone()
}

/// Where facilitators and validators look for a route's schemas.
#[tokio::test]
async fn the_402_of_a_route_with_schemas_says_how_to_call_it() {
    let world = World::selling(&shop());
    let answer = world.ask("/weather/oslo").await;
    let bazaar = &extensions(&answer)["bazaar"];
    assert_eq!(bazaar["info"]["input"], json!({"type": "http", "method": "GET"}));
    assert_eq!(bazaar["info"]["output"], json!({"type": "json", "example": {"celsius": 21.5}}));
    assert_eq!(bazaar["routeTemplate"], "/weather/:city");
    let input = &bazaar["schema"]["properties"]["input"]["properties"];
    assert_eq!(input["queryParams"]["required"], json!(["day"]));
    assert_eq!(input["pathParams"]["properties"]["city"]["type"], "string");
    let output = &bazaar["schema"]["properties"]["output"]["properties"]["example"];
    assert_eq!(output["properties"]["celsius"]["type"], "number");

    let post = world.send(request(Method::POST, "/render").body(Body::empty()).unwrap()).await;
    let bazaar = &extensions(&post)["bazaar"];
    assert_eq!(bazaar["info"]["input"]["body"], json!({"scene": "a field"}));
    assert_eq!(bazaar["schema"]["properties"]["input"]["properties"]["body"]["required"], json!(["scene"]));
    assert!(bazaar.get("routeTemplate").is_none());
    assert_eq!(extensions(&world.ask("/either").await), Value::Null);
    // A buyer echoes it, and is served all the same.
    assert_eq!(world.buy("/weather/oslo", 7).await.status, StatusCode::OK);
    let resource: Value = serde_json::from_str(answer.challenge().resource.unwrap().get()).unwrap();
    assert_eq!(
        (&resource["serviceName"], &resource["tags"]),
        (&json!("Weather and more"), &json!(["weather"]))
    );
}

/// A header that proxies would not let through is worse than none.
#[tokio::test]
async fn schemas_that_are_too_long_for_a_header_are_left_out_of_it() {
    let long = "x".repeat(6000);
    let world = World::selling(&format!(
        "{HEAD}routes:\n  - {{match: \"GET /a\", price: \"$1\", input: {{type: object, description: {long}}}}}\n"
    ));
    let answer = world.ask("/a").await;
    assert_eq!(answer.status, StatusCode::PAYMENT_REQUIRED);
    assert_eq!(extensions(&answer), Value::Null);
    assert!(answer.header("payment-required").len() < 2000);
    // The document has it all the same.
    assert!(world.ask("/openapi.json").await.body.len() > 400);
}
