//! A language model, as far as its API goes: the one mock of these tests, because no model runs here. It asks for the first
//! tool that it is offered, and then says what the tool said; in OpenAI's form (chat completions), whole or streamed.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use axum::response::{IntoResponse as _, Response};
use futures::StreamExt as _;
use serde_json::{Value, json};

pub(crate) const ANSWER: &str = "A farthing is a quarter of a penny.";

pub(crate) async fn answer(request: Request<Body>) -> Response {
    let body = axum::body::to_bytes(request.into_body(), 1 << 20).await.unwrap();
    let asked: Value = serde_json::from_slice(&body).unwrap();
    if asked["stream"] == true {
        return streamed(&asked["model"]);
    }
    let (message, reason) = message(&asked);
    axum::Json(json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1_800_000_000, "model": asked["model"],
        "choices": [{"index": 0, "message": message, "finish_reason": reason}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    }))
    .into_response()
}

fn message(asked: &Value) -> (Value, &'static str) {
    let said = |content: String| (json!({"role": "assistant", "content": content}), "stop");
    let last = asked["messages"].as_array().and_then(|messages| messages.last()).unwrap();
    if last["role"] == "tool" {
        return said(format!("The tool says: {}", last["content"].as_str().unwrap()));
    }
    let Some(tool) = asked["tools"][0]["function"]["name"].as_str() else { return said(ANSWER.to_owned()) };
    let function = json!({"name": tool, "arguments": "{\"city\": \"berlin\"}"});
    let call = json!({"id": "call_1", "type": "function", "function": function});
    (json!({"role": "assistant", "content": null, "tool_calls": [call]}), "tool_calls")
}

/// An answer that breaks off, a while after its beginning.
pub(crate) fn broken() -> Response {
    let pieces = [Ok("{\"id\": \"chat"), Err(std::io::Error::other("out of order"))];
    let pieces = futures::stream::iter(pieces).then(async |piece| {
        tokio::time::sleep(Duration::from_millis(200)).await;
        piece
    });
    ([("content-type", "application/json")], Body::from_stream(pieces)).into_response()
}

/// Word by word, with a pause between them.
fn streamed(model: &Value) -> Response {
    let piece = |delta: Value, reason: Option<&str>| {
        let chunk = json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_800_000_000,
            "model": model, "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]});
        format!("data: {chunk}\n\n")
    };
    let words = ANSWER.split_inclusive(' ').map(|word| piece(json!({"content": word}), None));
    let end = [piece(json!({}), Some("stop")), "data: [DONE]\n\n".to_owned()];
    events(words.chain(end).collect(), || tokio::time::sleep(Duration::from_millis(20)))
}

/// Server-sent events, with a wait between them.
pub(crate) fn events<F: Future<Output = ()> + Send + 'static>(
    pieces: Vec<String>,
    wait: impl Fn() -> F + Send + 'static,
) -> Response {
    let pieces = futures::stream::iter(pieces).enumerate().then(move |(number, piece)| {
        let wait = (number > 0).then(&wait);
        async move {
            if let Some(wait) = wait {
                wait.await;
            }
            Ok::<_, Infallible>(piece)
        }
    });
    ([("content-type", "text/event-stream")], Body::from_stream(pieces)).into_response()
}
