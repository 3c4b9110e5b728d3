//! No way of writing a path gets around its price (x402-foundation/x402 #318, #967, #3044, GHSA-3j63-5h8p-gf7c).

use http::StatusCode;

use crate::world::World;

/// What many operators would write: everything free but the paid routes.
const OPEN: &str = r#"
pay_to: "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"
accepts: [base-sepolia]
unmatched: free
routes:
  - {match: "GET /weather", price: "$0.002"}
  - {match: "GET /reports/{id}/full", price: "$1"}
  - {match: "* /static/{*rest}", free: true}
"#;

/// Known attacks, "paywall bypass by path encoding".
#[tokio::test]
async fn no_spelling_of_a_paid_path_is_free() {
    let world = World::selling(OPEN);
    for path in [
        "/weather",
        "/weather/",
        "/WEATHER",
        "/Weather/",
        "/we%61ther",
        "/%77%65%61%74%68%65%72",
        "/weather?x=1",
        "/weather?",
        "/reports/7/full",
        "/reports/7/FULL/",
        "/reports/%37/ful%6c",
        "http://elsewhere.example/weather",
    ] {
        assert_eq!(world.ask(path).await.status, StatusCode::PAYMENT_REQUIRED, "{path}");
    }
    for path in [
        "//weather",
        "/weather//",
        "/./weather",
        "/static/../weather",
        "/static/%2e%2e/weather",
        "/static/..%2fweather",
        "/static%2f..%2fweather",
        "/static/..%5cweather",
        "/static/%252e%252e/weather",
        "/static/%252e%252e%252fweather",
        "/static/..;/weather",
        "/weather;jsessionid=1",
        "/weather%2f",
        "/weather%5c",
        "/weather%00",
        "/weather%0a",
        "/weather%ff",
        "/weather%",
        "/weather%2",
        "/%c0%afweather",
    ] {
        assert_eq!(world.ask(path).await.status, StatusCode::BAD_REQUEST, "{path}");
    }
    assert_eq!(world.api.served(), 0);
    for path in ["/", "/weathers", "/weather/oslo", "/static/a.css", "/static"] {
        assert_eq!(world.ask(path).await.status, StatusCode::OK, "{path}");
    }
}

#[tokio::test]
async fn what_was_matched_is_what_is_served() {
    let world = World::selling(OPEN);
    for (asked, served) in
        [("/st%61tic/z%c3%bc?q=%2F", "/static/z%C3%BC?q=%2F"), ("/static/A%2Db/", "/static/A-b/")]
    {
        world.ask(asked).await;
        assert_eq!(world.api.last.lock().unwrap().as_ref().unwrap().0, served);
    }
}
