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
        .route("/verify", post(|asked: String| async move { Json(verified(payer(&asked))) }))
        .route("/settle", post(|asked: String| async move { Json(settled(payer(&asked))) }))
        .route("/supported", get(|| async { Json(supported()) }));
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok(port)
}

/// Whose authorization was asked about. Looked for in the text: reading all of the JSON would be measured too.
fn payer(asked: &str) -> &str {
    let from = asked.split_once(r#""from":""#).map_or("", |(_, from)| from);
    from.split_once('"').map_or("", |(address, _)| address)
}

fn verified(payer: &str) -> Value {
    json!({ "isValid": true, "payer": payer })
}

fn settled(payer: &str) -> Value {
    json!({
        "success": true,
        "transaction": format!("0x{}", "5e".repeat(32)),
        "network": "eip155:84532",
        "payer": payer,
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
