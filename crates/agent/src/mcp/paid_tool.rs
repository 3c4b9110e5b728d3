//! Calling a tool of somebody else's MCP server, with a payment in x402's own place in MCP: `_meta["x402/payment"]` of the call,
//! `_meta["x402/payment-response"]` of the result (x402, `transports-v2/mcp.md`). A result that asks for payment is an
//! error whose structured content is the `PaymentRequired`, or, from servers that give none, whose first text is.

use std::collections::HashMap;
use std::error::Error;

use async_trait::async_trait;
use bytes::Bytes;
use farthing_protocol::x402::{self, PAYMENT_REQUIRED, PAYMENT_RESPONSE};
use farthing_protocol::{MAX_BODY_BYTES, ProtocolError, StrictValue};
use farthing_wallet::{Carrier, Client, Request};
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use rmcp::ServiceError;
use rmcp::model::{
    CallToolRequestParams, CallToolResult, ContentBlock, ErrorData, JsonObject, PaginatedRequestParams,
    RequestMetaObject,
};
use rmcp::service::{ClientInitializeError, RoleClient, RunningService, ServiceExt as _};
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use rmcp::transport::{DynamicTransportError, StreamableHttpClientTransport};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::words::said;

/// Where a payment stands in a call.
const PAYMENT: &str = "x402/payment";
/// Where a result tells what became of it.
const RESPONSE: &str = "x402/payment-response";
/// The longest result of a tool. It comes in one piece, and is read as one.
const MOST_RESULT_BYTES: usize = 32 << 20;
/// How many pages of a server's list of tools are read.
const MOST_PAGES: usize = 20;

type Server = RunningService<RoleClient, ()>;

/// One tool of a server, with the arguments that it is called with.
pub(super) struct PaidTool {
    http: reqwest::Client,
    address: String,
    headers: HashMap<HeaderName, HeaderValue>,
    tool: String,
    arguments: JsonObject,
    /// Made when it is needed, and anew when it broke.
    server: Mutex<Option<Server>>,
}

impl PaidTool {
    /// The tool that a request of [`Request::mcp`] names. Nobody is asked yet.
    pub(super) fn new(client: &Client, request: &Request, tool: String, arguments: JsonObject) -> Self {
        let mut address = request.url.clone();
        address.set_fragment(None);
        let headers = request.headers.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        let http = client.http_for(request).clone();
        Self { http, address: address.into(), headers, tool, arguments, server: Mutex::default() }
    }

    async fn connect(&self) -> Result<Server, String> {
        let config = StreamableHttpClientTransportConfig::with_uri(self.address.as_str())
            .custom_headers(self.headers.clone())
            .max_json_response_size(MOST_RESULT_BYTES)
            .max_sse_event_size(MOST_RESULT_BYTES);
        let transport = StreamableHttpClientTransport::with_client(self.http.clone(), config);
        ().serve(transport).await.map_err(|error| no_session(&error))
    }

    /// Does something with the server. The connection is kept for the next time if that went well: one that broke, or
    /// that was left in the middle of something, is not used again.
    async fn with_server<T>(
        &self,
        work: impl AsyncFnOnce(&Server) -> Result<T, ServiceError>,
    ) -> Result<Result<T, ErrorData>, String> {
        let mut place = self.server.lock().await;
        let server = match place.take() {
            Some(server) => server,
            None => self.connect().await?,
        };
        let done = match work(&server).await {
            Ok(done) => Ok(done),
            Err(ServiceError::McpError(error)) => Err(error),
            Err(error) => return Err(no_answer(&error)),
        };
        *place = Some(server);
        Ok(done)
    }

    /// Whether the server says that the tool changes nothing.
    ///
    /// # Errors
    /// Why it says nothing, in words.
    pub(super) async fn is_read_only(&self) -> Result<bool, String> {
        let asked = self.with_server(async |server| self.listed_read_only(server).await).await?;
        Ok(asked.unwrap_or_default())
    }

    async fn listed_read_only(&self, server: &Server) -> Result<bool, ServiceError> {
        let mut cursor = None;
        for _ in 0..MOST_PAGES {
            let page = PaginatedRequestParams::default().with_cursor(cursor);
            let listed = server.list_tools(Some(page)).await?;
            if let Some(tool) = listed.tools.iter().find(|tool| tool.name == self.tool) {
                let hint = tool.annotations.as_ref().and_then(|hints| hints.read_only_hint);
                return Ok(hint == Some(true));
            }
            cursor = listed.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
        Ok(false)
    }
}

#[async_trait]
impl Carrier for PaidTool {
    async fn carry(&self, payment: Option<&str>) -> Result<Response<Bytes>, String> {
        let mut call = CallToolRequestParams::new(self.tool.clone()).with_arguments(self.arguments.clone());
        if let Some(payment) = payment {
            let StrictValue(payment) =
                x402::decode_header("the payment", payment.as_bytes()).map_err(|error| error.to_string())?;
            let mut meta = RequestMetaObject::new();
            meta.insert(PAYMENT.to_owned(), payment);
            call.meta = Some(meta);
        }
        let answer = match self.with_server(async |server| server.call_tool(call).await).await? {
            Ok(result) => as_http(result),
            Err(error) => refused(&error),
        };
        answer.map_err(|error| error.to_string())
    }
}

/// The result, as HTTP would have it.
fn as_http(mut result: CallToolResult) -> Result<Response<Bytes>, ProtocolError> {
    let settlement = result.meta.as_mut().and_then(|meta| meta.0.remove(RESPONSE));
    let mut answer = json_answer();
    if let Some(settlement) = &settlement {
        answer = answer.header(PAYMENT_RESPONSE, x402::encode_header(settlement)?);
    }
    let body = match required(&result) {
        Some((1, required)) => {
            answer = answer.status(StatusCode::PAYMENT_REQUIRED);
            to_bytes(&required)
        }
        Some((_, required)) => {
            answer = answer
                .status(StatusCode::PAYMENT_REQUIRED)
                .header(PAYMENT_REQUIRED, x402::encode_header(&required)?);
            Bytes::new()
        }
        // A tool's own error is no success: what was not delivered is not to look so.
        None if result.is_error == Some(true) => {
            answer = answer.status(StatusCode::UNPROCESSABLE_ENTITY);
            to_bytes(&result)
        }
        None => to_bytes(&result),
    };
    finish(answer, body)
}

/// What a result asks for, with the protocol's version.
fn required(result: &CallToolResult) -> Option<(u64, Value)> {
    if result.is_error != Some(true) {
        return None;
    }
    let versioned = |value: Value| Some((value.get("x402Version")?.as_u64()?, value));
    let structured = result.structured_content.clone().and_then(versioned);
    structured.or_else(|| {
        let Some(ContentBlock::Text(text)) = result.content.first() else { return None };
        let text = Some(text.text.as_str()).filter(|text| text.len() <= MAX_BODY_BYTES)?;
        versioned(serde_json::from_str::<StrictValue>(text).ok()?.0)
    })
}

/// An error of the protocol is an answer, too: after a payment it may be all that comes for it.
fn refused(error: &ErrorData) -> Result<Response<Bytes>, ProtocolError> {
    finish(json_answer().status(StatusCode::UNPROCESSABLE_ENTITY), to_bytes(&json!({"error": error})))
}

fn json_answer() -> http::response::Builder {
    Response::builder().header(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))
}

fn finish(answer: http::response::Builder, body: Bytes) -> Result<Response<Bytes>, ProtocolError> {
    answer.body(body).map_err(|_| ProtocolError::NoOffers)
}

fn to_bytes(value: &impl serde::Serialize) -> Bytes {
    serde_json::to_vec(value).unwrap_or_default().into()
}

/// Why a server did not let us begin. What rmcp's own words repeat of its answer may be long.
fn no_session(error: &ClientInitializeError) -> String {
    match error {
        ClientInitializeError::TransportError { error, .. } => broke(error),
        ClientInitializeError::LegacyFallbackFailed { fallback, .. } => no_session(fallback),
        ClientInitializeError::JsonRpcError(error) => said("the MCP server", &error.message),
        ClientInitializeError::NoCompatibleProtocolVersion { .. } => {
            "the MCP server speaks no revision of MCP that is spoken here".to_owned()
        }
        ClientInitializeError::ConnectionClosed(_) => "the connection was closed".to_owned(),
        _ => "it does not answer as an MCP server".to_owned(),
    }
}

fn no_answer(error: &ServiceError) -> String {
    match error {
        ServiceError::TransportSend(error) => broke(error),
        ServiceError::TransportClosed => "the connection was closed".to_owned(),
        _ => "it does not answer as an MCP server".to_owned(),
    }
}

/// The innermost cause: those around it repeat it under the names of their types.
fn broke(error: &DynamicTransportError) -> String {
    let mut cause: &dyn Error = &*error.error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    said("the connection to the MCP server", &cause.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(result: Value) -> Response<Bytes> {
        as_http(serde_json::from_value(result).unwrap()).unwrap()
    }

    #[test]
    fn payment_may_be_asked_for_in_text_alone() {
        let required = json!({"x402Version": 2, "accepts": []});
        let text = |text: String| json!({"isError": true, "content": [{"type": "text", "text": text}]});
        let answer = answered(text(required.to_string()));
        assert_eq!(answer.status(), StatusCode::PAYMENT_REQUIRED);
        let header = answer.headers()[PAYMENT_REQUIRED].as_bytes();
        assert_eq!(x402::decode_header::<StrictValue>("it", header).unwrap().0, required);
        let first = answered(text(json!({"x402Version": 1, "accepts": []}).to_string()));
        assert_eq!(first.status(), StatusCode::PAYMENT_REQUIRED);
        for other in [
            "out of order".to_owned(),
            "{}".to_owned(),
            format!("{{\"x402Version\":2,{}", "\"x402Version\":2}"),
        ] {
            assert_eq!(answered(text(other)).status(), StatusCode::UNPROCESSABLE_ENTITY);
        }
        let free = json!({"content": [{"type": "text", "text": required.to_string()}]});
        assert_eq!(answered(free).status(), StatusCode::OK, "it is no error: it is the answer");
    }

    #[test]
    fn an_error_of_the_protocol_is_kept() {
        let answer = refused(&ErrorData::internal_error("the tool is out of order", None)).unwrap();
        assert_eq!(answer.status(), StatusCode::UNPROCESSABLE_ENTITY);
        let body: Value = serde_json::from_slice(answer.body()).unwrap();
        assert_eq!(body["error"]["message"], "the tool is out of order");
    }
}
