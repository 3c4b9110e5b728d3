//! A facilitator that says yes to everything at once: what is measured is the seller.

use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::{Failure, buyer};

/// Starts it on a free port of this machine, as a task of this runtime.
pub(crate) async fn start() -> Result<u16, Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    let app = Router::new()
        .route("/verify", post(|_: String| async { Json(verified()) }))
        .route("/settle", post(|_: String| async { Json(settled()) }))
        .route("/supported", get(|| async { Json(supported()) }));
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok(port)
}

fn verified() -> Value {
    json!({ "isValid": true, "payer": buyer::address() })
}

fn settled() -> Value {
    json!({
        "success": true,
        "transaction": format!("0x{}", "5e".repeat(32)),
        "network": "eip155:84532",
        "payer": buyer::address(),
    })
}

fn supported() -> Value {
    let kind =
        |version: u8, network: &str| json!({ "x402Version": version, "scheme": "exact", "network": network });
    json!({
        "kinds": [kind(2, "eip155:84532"), kind(1, "base-sepolia")],
        "extensions": [],
        "signers": { "eip155:*": [buyer::PAYEE] },
    })
}
