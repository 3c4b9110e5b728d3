//! The priced API of the demo: a plain web server that knows nothing about payments.

use axum::extract::Path;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// Serves the API on a free loopback port until the process ends. Returns its address.
///
/// # Errors
/// When no port can be had.
pub(crate) async fn serve() -> std::io::Result<String> {
    let router = Router::new()
        .route("/weather/{city}", get(weather))
        .route("/report", get(|| async { Json(json!({"report": "two hundred pages"})) }))
        .route(
            "/broken",
            get(|| async { (StatusCode::INTERNAL_SERVER_ERROR, Json(json!({"error": "out of order"}))) }),
        )
        .route("/", get(|| async { "A weather service. GET /weather/{city} costs $0.002.\n" }));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = format!("http://{}", listener.local_addr()?);
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(address)
}

async fn weather(Path(city): Path<String>) -> Json<Value> {
    // A forecast that is the same on every run, so that the README's picture is.
    let degrees = 8 + city.len() % 15;
    Json(json!({"city": city, "degrees": degrees, "sky": "light rain"}))
}
