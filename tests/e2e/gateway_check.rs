//! `farthing gateway check`, from outside: of a configuration, and of what answers at an address.

use std::path::Path;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::{get, post};
use farthing_devnet::accounts::PAYEE;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::world::{FARTHING, free_port, start_server};

const ROUTES: &str = r#"
  - match: "GET /weather/{city}"
    price: "$0.002"
    summary: The weather now
    input: {type: object, properties: {units: {type: string}}}
    output: {type: object, properties: {celsius: {type: number}}, example: {celsius: 21.5}}
  - match: "POST /render"
    price: "$0.05"
    summary: A picture
    input: {type: object, properties: {scene: {type: string}}, example: {scene: a field}}
    output: {type: object, properties: {url: {type: string}}}
  - {match: "GET /health", free: true, summary: Whether it works, output: {type: object}}
"#;

const DISCOVERY: &str =
    "discovery: {title: Shop, contact: {email: help@example.com}, guidance: Ask for one city.}";

/// A gateway that settles nothing: nobody pays here.
pub(crate) struct Shop {
    pub(crate) url: String,
    folder: TempDir,
    _gateway: Option<Child>,
}

impl Shop {
    /// Its configuration alone. `{url}` stands for its address.
    fn configured(more: &str, routes: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("http://127.0.0.1:{}", free_port());
        let yaml = format!(
            "listen: {}\nupstream: http://127.0.0.1:9\nledger: g.db\npay_to: \"{}\"\naccepts: [base-sepolia]\n\
             facilitator: {{url: \"http://127.0.0.1:9\"}}\n{more}\nroutes:{routes}",
            url.trim_start_matches("http://"),
            PAYEE.address
        );
        std::fs::write(folder.path().join("gateway.yaml"), yaml.replace("{url}", &url)).unwrap();
        Self { url, folder, _gateway: None }
    }

    pub(crate) async fn open(more: &str, routes: &str) -> Self {
        Self::open_beside(more, routes, &[]).await
    }

    /// With these files beside the configuration.
    pub(crate) async fn open_beside(more: &str, routes: &str, files: &[(&str, &str)]) -> Self {
        let shop = Self::configured(more, routes);
        for (name, text) in files {
            std::fs::write(shop.folder.path().join(name), text).unwrap();
        }
        let gateway = start_server("gateway", &shop.config(), &shop.url).await;
        Self { _gateway: Some(gateway), ..shop }
    }

    /// Everything told that can be told.
    pub(crate) async fn complete() -> Self {
        Self::open(&format!("public_url: {{url}}\n{DISCOVERY}"), ROUTES).await
    }

    fn config(&self) -> std::path::PathBuf {
        self.folder.path().join("gateway.yaml")
    }

    async fn check(&self, args: &[&str]) -> (i32, Value) {
        let config = self.config();
        run(self.folder.path(), &[&["gateway", "-c", config.to_str().unwrap()], args].concat()).await
    }
}

/// The exit code, and the one object on stdout.
async fn run(home: &Path, args: &[&str]) -> (i32, Value) {
    let done =
        Command::new(FARTHING).args(args).arg("--json").env("FARTHING_HOME", home).output().await.unwrap();
    let text = String::from_utf8_lossy(&done.stdout);
    let value = serde_json::from_str(&text).unwrap_or_else(|error| {
        panic!("{args:?}: {error}: {text} {}", String::from_utf8_lossy(&done.stderr))
    });
    (done.status.code().unwrap(), value)
}

fn codes(result: &Value) -> Vec<&str> {
    result["findings"].as_array().unwrap().iter().map(|finding| finding["code"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_configuration_says_what_buyers_will_miss() {
    let shop = Shop::configured(
        "",
        "\n  - {match: \"GET /a\", price: \"$1\"}\n  - {match: \"* /llms.txt\", free: true}\n",
    );
    let (code, result) = shop.check(&["check"]).await;
    assert_eq!((code, &result["valid"]), (0, &json!(true)), "{result}");
    assert_eq!(result["routes"][0], "GET /a  $1.00 (USDC) on Base Sepolia");
    assert_eq!(result["documents"]["openapi"], format!("{}/openapi.json", shop.url));
    assert_eq!(
        codes(&result),
        [
            "no-public-url",
            "document-route",
            "missing-input-schema",
            "missing-guidance",
            "missing-output-schema",
            "missing-contact",
            "missing-bazaar-schema"
        ]
    );
    let input = &result["findings"][2];
    assert_eq!(input["resource"], format!("{} GET /a", shop.url));
    assert!(input["advice"].as_str().unwrap().contains("`input`"), "{input}");
    assert_eq!(shop.check(&["--check"]).await, (code, result), "the older way of asking says the same");

    let complete = Shop::configured(&format!("public_url: https://api.example.com\n{DISCOVERY}"), ROUTES);
    let (code, result) = complete.check(&["check"]).await;
    assert_eq!((code, codes(&result).len()), (0, 0), "{result}");
}

#[tokio::test]
async fn a_configuration_that_cannot_run_is_an_error_with_its_place() {
    let shop = Shop::configured("discovery: {titel: x}", ROUTES);
    let (code, result) = shop.check(&["check"]).await;
    let message = result["error"]["message"].as_str().unwrap();
    assert!(code == 2 && message.contains("gateway.yaml:7:") && message.contains("titel"), "{result}");
}

/// The upstream need not run for its gateway to be checked.
#[tokio::test]
async fn an_upstreams_document_is_merged_or_missed() {
    let discovery = "discovery: {upstream_document: api.json}";
    let shop = Shop::configured(discovery, "\n  - {match: \"GET /a/{b}\", price: \"$1\"}\n");
    let (code, result) = shop.check(&["check"]).await;
    assert!(code == 0 && codes(&result).contains(&"upstream-document"), "{result}");
    let document = json!({"openapi": "3.1.0", "info": {"title": "A", "version": "1", "contact": {"url": "https://a.example"}},
        "paths": {"/a/{b}": {"get": {"summary": "A b", "parameters": [{"name": "b", "in": "path", "schema": {}}]}}}});
    std::fs::write(shop.folder.path().join("api.json"), document.to_string()).unwrap();
    let (code, result) = shop.check(&["check"]).await;
    assert_eq!(code, 0, "{result}");
    for code in ["upstream-document", "missing-contact", "missing-input-schema", "untold-operations"] {
        assert!(!codes(&result).contains(&code), "{result}");
    }
    // The 402 is made of the route alone.
    let findings = result["findings"].as_array().unwrap();
    let schema = findings.iter().find(|finding| finding["code"] == "missing-bazaar-schema").unwrap();
    assert_eq!(schema["severity"], "warning");
    assert!(schema["advice"].as_str().unwrap().contains("`input`"), "{schema}");
    let elsewhere = document.to_string().replace("/a/{b}", "/b/{b}");
    std::fs::write(shop.folder.path().join("api.json"), elsewhere).unwrap();
    let (_, result) = shop.check(&["check"]).await;
    assert!(codes(&result).contains(&"untold-operations"), "{result}");
}

/// However a path is written in gateway.yaml, its price can be asked for.
#[tokio::test]
async fn paths_of_other_letters_are_found() {
    let routes = "
  - {match: \"GET /zürich\", price: \"$0.002\", input: {type: object}, output: {type: object}}
  - {match: \"GET /a%20b/{street}\", price: \"$0.002\", input: {type: object}, output: {type: object}}\n";
    let shop = Shop::open(&format!("public_url: {{url}}\n{DISCOVERY}"), routes).await;
    let (code, result) = shop.check(&["check", "--url", &shop.url]).await;
    assert_eq!((code, codes(&result)), (0, vec![]), "{result}");
    let statuses: Vec<&Value> =
        result["resources"].as_array().unwrap().iter().map(|resource| &resource["live"]["status"]).collect();
    assert_eq!(statuses, [&json!(402), &json!(402)], "{result}");
}

/// What a token of the operator's own is worth stands in the configuration.
#[tokio::test]
async fn a_configuration_beside_an_address_tells_its_tokens() {
    let token = "0x0000000000000000000000000000000000000abc";
    let assets = format!(
        "assets:\n  - {{network: base-sepolia, address: \"{token}\", symbol: EURX, decimals: 6, eip712: {{name: E, version: \"1\"}}}}"
    );
    let route = format!(
        "\n  - {{match: \"GET /a\", price: \"$1\", accepts: [{{network: base-sepolia, asset: \"{token}\"}}], \
         input: {{type: object}}, output: {{type: object}}}}\n"
    );
    let shop = Shop::open(&format!("public_url: {{url}}\n{DISCOVERY}\n{assets}"), &route).await;
    let (code, result) = shop.check(&["check", "--url", &shop.url]).await;
    assert_eq!((code, codes(&result)), (0, vec![]), "{result}");
    let alone = tempfile::tempdir().unwrap();
    let (_, result) = run(alone.path(), &["gateway", "check", "--url", &shop.url]).await;
    assert!(codes(&result).contains(&"unknown-asset"), "{result}");
    let (code, _) = run(alone.path(), &["gateway", "check", "--url", &shop.url, "-c", "none.yaml"]).await;
    assert_eq!(code, 2, "a file that is given and not there");
}

#[tokio::test]
async fn a_gateway_that_runs_tells_what_it_charges() {
    let shop = Shop::complete().await;
    let url = ["--url", &shop.url];
    let (code, result) = shop.check(&[&["check"], &url[..]].concat()).await;
    assert_eq!((code, codes(&result)), (0, vec!["not-probed"]), "{result}");
    assert_eq!(result["findings"][0]["advice"], "`--all-methods` asks for it");
    let states: Vec<&Value> =
        result["documents"].as_array().unwrap().iter().map(|read| &read["state"]).collect();
    assert_eq!(states.iter().filter(|state| **state == "read").count(), 3, "{result}");

    let (code, result) = shop.check(&[&["check", "--all-methods"], &url[..]].concat()).await;
    assert_eq!((code, codes(&result).len(), &result["valid"]), (0, 0, &json!(true)), "{result}");
    let resources = result["resources"].as_array().unwrap();
    let render = resources.iter().find(|resource| resource["method"] == "POST").unwrap();
    assert_eq!((&render["live"]["status"], &render["live"]["price"]), (&json!(402), &json!("$0.05")));
}

/// The mistake that is made most: the gateway is reached by another address than it tells.
#[tokio::test]
async fn a_public_url_that_is_not_its_own_keeps_buyers_away() {
    let shop = Shop::open("public_url: https://elsewhere.example", ROUTES).await;
    let (code, result) = shop.check(&["check", "--url", &shop.url]).await;
    assert_eq!((code, &result["valid"], &result["error"]["exit"]), (2, &json!(false), &json!(2)), "{result}");
    let found = &result["findings"][0];
    assert_eq!(
        (&found["severity"], &found["code"]),
        (&json!("error"), &json!("resource-url-of-another-origin"))
    );
    assert!(found["advice"].as_str().unwrap().contains("public_url"));
}

/// Somebody else's server, with what is wrong in the wild.
#[tokio::test]
async fn what_is_advertised_and_not_charged_is_an_error() {
    let price =
        json!({"price": {"mode": "fixed", "amount": "0.01", "currency": "USD"}, "protocols": [{"x402": {}}]});
    let priced = json!({"summary": "\u{1b}[31mred", "security": [], "x-payment-info": price, "responses": {"402": {}}});
    let document = json!({"openapi": "3.1.0", "info": {"title": "T", "version": "1"}, "paths": {
        "/free": {"get": priced}, "/gone": {"get": priced}, "/picky": {"get": priced}, "/free-too": {"post": priced}}});
    let router = Router::new()
        .route("/openapi.json", get(|| async { axum::Json(document) }))
        .route("/free", get(|| async { "here you are" }))
        .route("/free-too", post(|| async { "here you are" }))
        .route("/picky", get(|| async { StatusCode::BAD_REQUEST }))
        .fallback(|| async { StatusCode::NOT_FOUND });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    let home = tempfile::tempdir().unwrap();
    let (code, result) = run(home.path(), &["gateway", "check", "--url", &url]).await;
    let found = codes(&result);
    assert_eq!(code, 2, "{result}");
    for code in
        ["priced-but-free", "priced-but-missing", "missing-document", "missing-guidance", "not-probed"]
    {
        assert!(found.contains(&code), "{code}: {result}");
    }
    assert!(
        found.iter().rposition(|code| *code == "priced-but-free")
            < found.iter().position(|code| *code == "not-probed")
    );
    // What is said to be done about it is what would help.
    let advice = |result: &Value, about: &str| {
        let findings = result["findings"].as_array().unwrap().iter();
        let mut of = findings.filter(|finding| {
            finding["code"] == "not-probed" && finding["resource"].as_str().unwrap().ends_with(about)
        });
        of.next().map(|finding| finding["advice"].as_str().unwrap().to_owned())
    };
    assert!(advice(&result, "/picky").unwrap().contains("`example`"), "{result}");
    assert!(advice(&result, "/free-too").unwrap().contains("--all-methods"), "{result}");
    let (_, result) = run(home.path(), &["gateway", "check", "--all-methods", "--url", &url]).await;
    let free = codes(&result).iter().filter(|code| **code == "priced-but-free").count();
    assert_eq!((free, advice(&result, "/free-too")), (2, None), "{result}");

    let shown = Command::new(FARTHING).args(["gateway", "check", "--url", &url]).output().await.unwrap();
    let text = String::from_utf8_lossy(&shown.stdout).into_owned() + &String::from_utf8_lossy(&shown.stderr);
    assert!(!text.contains('\u{1b}'), "nothing of theirs reaches a terminal as it is: {text:?}");
    assert!(text.contains("findings keep buyers away"), "{text}");
}

#[tokio::test]
async fn who_does_not_answer_is_unreachable() {
    let home = tempfile::tempdir().unwrap();
    let url = format!("http://127.0.0.1:{}", free_port());
    let (code, result) = run(home.path(), &["gateway", "check", "--url", &url]).await;
    assert_eq!((code, &result["error"]["code"]), (3, &json!("unreachable")), "{result}");
    let (code, result) = run(home.path(), &["gateway", "check", "--url", "ftp://a.example"]).await;
    assert_eq!((code, &result["error"]["code"]), (2, &json!("configuration")), "{result}");
}
