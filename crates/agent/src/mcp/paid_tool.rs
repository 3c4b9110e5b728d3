//! Calling a tool of somebody else's MCP server, with a payment in x402's own place in MCP: `_meta["x402/payment"]` of the call,
//! `_meta["x402/payment-response"]` of the result (x402, `transports-v2/mcp.md`). A result that asks for payment is an
//! error whose structured content is the `PaymentRequired`.

use async_trait::async_trait;
use bytes::Bytes;
use farthing_protocol::StrictValue;
use farthing_protocol::x402::{self, PAYMENT_REQUIRED, PAYMENT_RESPONSE};
use farthing_wallet::{Carrier, Client, FetchError, Request};
use http::{HeaderValue, Response, StatusCode, header};
use rmcp::model::{CallToolRequestParams, CallToolResult, JsonObject, RequestMetaObject};
use rmcp::service::{RoleClient, RunningService, ServiceExt as _};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use serde_json::Value;

/// Where a payment stands in a call.
const PAYMENT: &str = "x402/payment";
/// Where a result tells what became of it.
const RESPONSE: &str = "x402/payment-response";

/// One tool of a server, with the arguments that it is called with.
pub(super) struct PaidTool {
    server: RunningService<RoleClient, ()>,
    tool: String,
    arguments: JsonObject,
}

impl PaidTool {
    /// Connects to the server of the tool that a request of [`Request::mcp`] names.
    pub(super) async fn open(
        client: &Client,
        request: &Request,
        tool: String,
        arguments: JsonObject,
    ) -> Result<Self, FetchError> {
        client.check(request)?;
        let url = request.recorded_url();
        let mut address = request.url.clone();
        address.set_fragment(None);
        let headers = request.headers.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        let config = StreamableHttpClientTransportConfig::with_uri(address.as_str()).custom_headers(headers);
        let transport = StreamableHttpClientTransport::with_client(client.http_for(request).clone(), config);
        let server = ().serve(transport).await;
        let server = server.map_err(|error| FetchError::Unanswered { url, why: error.to_string() })?;
        Ok(Self { server, tool, arguments })
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
        let result = self.server.call_tool(call).await.map_err(|error| error.to_string())?;
        as_http(result).map_err(|error| error.to_string())
    }
}

/// The result, as HTTP would have it.
fn as_http(mut result: CallToolResult) -> Result<Response<Bytes>, farthing_protocol::ProtocolError> {
    let settlement = result.meta.as_mut().and_then(|meta| meta.0.remove(RESPONSE));
    let required = result.structured_content.as_ref().filter(|_| result.is_error == Some(true));
    let version = required.and_then(|required| required.get("x402Version")).and_then(Value::as_u64);
    let mut answer =
        Response::builder().header(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(settlement) = &settlement {
        answer = answer.header(PAYMENT_RESPONSE, x402::encode_header(settlement)?);
    }
    let body = match (required, version) {
        (Some(required), Some(1)) => {
            answer = answer.status(StatusCode::PAYMENT_REQUIRED);
            to_bytes(required)
        }
        (Some(required), Some(_)) => {
            answer = answer
                .status(StatusCode::PAYMENT_REQUIRED)
                .header(PAYMENT_REQUIRED, x402::encode_header(required)?);
            Bytes::new()
        }
        // A tool's own error is no success: what was not delivered is not to look so.
        _ if result.is_error == Some(true) => {
            answer = answer.status(StatusCode::UNPROCESSABLE_ENTITY);
            to_bytes(&result)
        }
        _ => to_bytes(&result),
    };
    answer.body(body).map_err(|_| farthing_protocol::ProtocolError::NoOffers)
}

fn to_bytes(value: &impl serde::Serialize) -> Bytes {
    serde_json::to_vec(value).unwrap_or_default().into()
}
