//! Charges for one route of a plain axum server, with somebody else's facilitator.
//!
//! ```sh
//! cargo run -p farthing-gateway --example axum_server -- https://facilitator.example.com 0xYOUR_ADDRESS
//! curl -i http://127.0.0.1:8080/weather/oslo     # 402: the price
//! farthing fetch http://127.0.0.1:8080/weather/oslo
//! ```
use std::sync::Arc;
use std::time::Duration;

use axum::extract::Path;
use axum::routing::get;
use axum::{Extension, Router};
use farthing_ambient::SystemClock;
use farthing_facilitator::{HttpFacilitator, RemoteConfig};
use farthing_gateway::{Config, Paid, PaymentLayer, Pricing};
use farthing_ledger::Ledger;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(facilitator), Some(pay_to)) = (arguments.next(), arguments.next()) else {
        return Err("usage: axum_server FACILITATOR_URL YOUR_ADDRESS".into());
    };
    let config = Config::parse("routes", &prices(&pay_to))?;

    // The ledger makes a payment buy one answer, over restarts too: keep the file.
    let clock = Arc::new(SystemClock);
    let ledger = Ledger::open(std::path::Path::new("payments.db"), clock.clone())?;
    let facilitator = Arc::new(HttpFacilitator::new(RemoteConfig::new(facilitator.parse()?))?);
    let payments = PaymentLayer::new(Pricing::new(&config)?, facilitator, ledger, clock);
    payments.recover().await?;

    let app = Router::new()
        .route("/weather/{city}", get(weather))
        .route("/health", get(async || "ok"))
        .layer(payments.clone());

    let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
    let stopped = async { tokio::signal::ctrl_c().await.unwrap_or_default() };
    axum::serve(listener, app).with_graceful_shutdown(stopped).await?;
    // Calls whose buyers hung up are still being settled.
    payments.drain(Duration::from_secs(60)).await;
    Ok(())
}

/// The same keys as in `gateway.yaml`.
fn prices(pay_to: &str) -> String {
    format!(
        r#"
public_url: http://127.0.0.1:8080
pay_to: "{pay_to}"
accepts: [base-sepolia]
routes:
  - {{match: "GET /weather/{{city}}", price: "$0.002", description: The weather}}
  - {{match: "GET /health", free: true}}
"#
    )
}

/// Handlers may look at who paid; they need not.
async fn weather(Path(city): Path<String>, Extension(paid): Extension<Paid>) -> String {
    format!("It is sunny in {city}. Thank you, {}.\n", paid.payer)
}
