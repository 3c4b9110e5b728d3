//! What the tools take. The descriptions are for models: short, with the units.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use farthing_ledger::NewPurchase;
use farthing_money::{Network, Price, Usd};
use farthing_protocol::Protocol;
use farthing_wallet::{CallLimits, Request};
use http::{HeaderName, HeaderValue, Method, header};
use percent_encoding::percent_decode_str;
use rmcp::model::JsonObject;
use rmcp::schemars;
use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::trouble::{Code, Trouble};
use super::words::cut;

/// The longest body that is sent.
const MAX_BODY_BYTES: usize = 16 << 20;
/// How many characters of an argument's name are repeated in an error.
const NAME_CHARS: usize = 80;
/// How many of an error's about arguments that are unknown or missing: it lists those that are known.
const WHY_CHARS: usize = 300;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SearchArgs {
    /// What to look for, in a few words: "weather forecast", "company data".
    pub(super) query: String,
    /// Only what costs at most this much a call, in dollars: "$0.01".
    pub(super) max_price: Option<String>,
    /// At most so many results, from 1 to 50; 10 by default.
    #[schemars(range(min = 1, max = 50))]
    pub(super) limit: Option<u8>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DiscoverArgs {
    /// The provider's site: "https://api.example.com".
    pub(super) origin: String,
    /// Only this path, with the schemas of what it takes and gives: "/weather/berlin".
    pub(super) path: Option<String>,
}

/// One request.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CallArgs {
    /// The address, with its query: "https://api.example.com/weather?city=Berlin".
    pub(super) url: String,
    /// The method; POST where there is a body, else GET.
    pub(super) method: Option<String>,
    /// Headers to send. Payment headers are written by the wallet.
    pub(super) headers: Option<BTreeMap<String, String>>,
    /// The body. A text is sent as it is; anything else is sent as JSON.
    // A number, as it is, is a text that says it.
    #[schemars(extend("anyOf" = [{"type": "string"}, {"type": "object"}, {"type": "array"}]))]
    pub(super) body: Option<Value>,
    /// A binary body, in base64. Not together with `body`.
    pub(super) body_base64: Option<String>,
    /// The body's media type, where it is not application/json.
    pub(super) content_type: Option<String>,
    /// For a paid MCP server: the tool to call. Then `url` is the server's address and `body` the tool's arguments.
    pub(super) mcp_tool: Option<String>,
    /// Pay at most this much for the call, in dollars: "$0.01". It narrows what the policy allows, and never widens it.
    pub(super) max_amount: Option<String>,
    /// Pay on this network only: "base", "base-sepolia", or a CAIP-2 id.
    pub(super) network: Option<String>,
    /// Pay in this protocol only: "x402-v2" or "x402-v1".
    pub(super) protocol: Option<String>,
    /// The price that `search` or `discover` showed, in dollars: the policy may refuse a call that asks for much more.
    pub(super) advertised_price: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PurchaseArgs {
    /// The purchase's id, as `pay` and `history` show it. Its last 8 characters are enough.
    pub(super) purchase: String,
    /// The call's body, or the arguments of its tool, as `pay` had them: where the seller has to be asked again.
    #[schemars(extend("anyOf" = [{"type": "string"}, {"type": "object"}, {"type": "array"}]))]
    pub(super) body: Option<Value>,
    /// The call's binary body, in base64. Not together with `body`.
    pub(super) body_base64: Option<String>,
    /// The body's media type, where it is not application/json.
    pub(super) content_type: Option<String>,
    /// Headers to send, where the seller wants some beside the payment.
    pub(super) headers: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct HistoryArgs {
    /// At most so many, newest first, from 1 to 100; 20 by default.
    #[schemars(range(min = 1, max = 100))]
    pub(super) limit: Option<u8>,
    /// Only purchases whose outcome is not known yet.
    #[serde(default)]
    pub(super) unresolved: bool,
}

/// A tool without arguments.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NoArgs {}

/// Reads a tool's arguments, strictly: one that is not known, or of another type, is an error and never left out. Their
/// values may be secrets: the error names what is wrong, and repeats none of them.
pub(super) fn read<T: DeserializeOwned>(arguments: &JsonObject) -> Result<T, Trouble> {
    serde_path_to_error::deserialize(Value::Object(arguments.clone())).map_err(|error| {
        let (place, why) = (cut(&error.path().to_string(), NAME_CHARS), error.inner().to_string());
        bad(match why.split_once(' ').map(|(first, _)| first) {
            Some("unknown" | "missing") => format!("the arguments: {}", cut(&why, WHY_CHARS)),
            // "invalid type: string \"…\", expected a map": what was expected stands last.
            _ => match why.rsplit_once(", expected ") {
                Some((_, expected)) => format!("`{place}`: {} is expected", plainly(expected)),
                None => format!("`{place}` cannot be read"),
            },
        })
    })
}

/// What serde expects, without Rust's names.
fn plainly(expected: &str) -> &str {
    match expected {
        "u8" => "a whole number up to 255",
        "a map" | "struct CallArgs" => "an object",
        _ => expected,
    }
}

impl CallArgs {
    /// The request that is described.
    pub(super) fn request(&self) -> Result<Request, Trouble> {
        let mut request = match &self.mcp_tool {
            Some(tool) => {
                Request::mcp(&self.url, tool, Value::Object(self.tool_arguments()?).to_string().into())?
            }
            None => self.http_request()?,
        };
        for (name, value) in self.headers.iter().flatten() {
            let (name, value) = parse_header(name, value)?;
            request.headers.append(name, value);
        }
        Ok(request)
    }

    /// The request of an earlier purchase, made again.
    pub(super) fn again(terms: &NewPurchase, args: &PurchaseArgs) -> Result<Self, Trouble> {
        let (url, mcp_tool) = place(terms)?;
        let PurchaseArgs { body, body_base64, content_type, headers, .. } = args;
        let (body, body_base64) = (body.clone(), body_base64.clone());
        let (content_type, headers) = (content_type.clone(), headers.clone());
        let method = mcp_tool.is_none().then(|| terms.method.clone());
        Ok(Self { url, method, mcp_tool, headers, body, body_base64, content_type, ..Self::default() })
    }

    /// What the tool of an MCP server is called with.
    pub(super) fn tool_arguments(&self) -> Result<JsonObject, Trouble> {
        if self.method.is_some() || self.body_base64.is_some() || self.content_type.is_some() {
            return Err(bad("`method`, `body_base64` and `content_type` do not go with `mcp_tool`"));
        }
        match &self.body {
            None => Ok(JsonObject::new()),
            Some(Value::Object(arguments)) => Ok(arguments.clone()),
            Some(_) => Err(bad("`body`: a tool's arguments are an object")),
        }
    }

    fn http_request(&self) -> Result<Request, Trouble> {
        let body = self.body()?;
        let method = match &self.method {
            Some(method) => {
                method.to_ascii_uppercase().parse().map_err(|_| bad("`method` is no HTTP method"))?
            }
            None if body.is_some() => Method::POST,
            None => Method::GET,
        };
        let mut request = Request::new(method, &self.url)?;
        if let Some((body, kind)) = body {
            let is_named = |name: &String| name.eq_ignore_ascii_case(header::CONTENT_TYPE.as_str());
            if !self.headers.iter().flatten().any(|(name, _)| is_named(name)) {
                request.headers.insert(header::CONTENT_TYPE, kind);
            }
            request.body = body;
        }
        Ok(request)
    }

    /// The body with its media type.
    fn body(&self) -> Result<Option<(Bytes, HeaderValue)>, Trouble> {
        let (body, kind) = match (&self.body, &self.body_base64) {
            (Some(_), Some(_)) => return Err(bad("`body` and `body_base64`: there can be one only")),
            (None, None) => return Ok(None),
            (Some(Value::String(text)), _) => {
                let json = serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
                (
                    text.clone().into_bytes(),
                    if json { "application/json" } else { "text/plain; charset=utf-8" },
                )
            }
            (Some(json), _) => (json.to_string().into_bytes(), "application/json"),
            (None, Some(text)) => {
                let bytes = BASE64.decode(text).map_err(|_| bad("`body_base64` is not base64"))?;
                (bytes, "application/octet-stream")
            }
        };
        if body.len() > MAX_BODY_BYTES {
            return Err(bad(format!("the body is longer than {MAX_BODY_BYTES} bytes")));
        }
        let kind = self.content_type.as_deref().unwrap_or(kind);
        let kind = kind.parse().map_err(|_| bad("`content_type` is no media type"))?;
        Ok(Some((body.into(), kind)))
    }

    /// What is demanded of the payment.
    pub(super) fn limits(&self, agent: Option<&str>, session: &str) -> Result<CallLimits, Trouble> {
        let network = self.network.as_deref().map(str::parse::<Network>).transpose();
        let protocol = self.protocol.as_deref().map(|name| {
            Protocol::from_name(name).ok_or_else(|| {
                bad("`protocol`: there are \"x402-v2\" and \"x402-v1\"; leave it out to take what is cheapest")
            })
        });
        Ok(CallLimits {
            max_amount: dollars(self.max_amount.as_deref(), "max_amount")?,
            network: network.map_err(|error| bad(format!("`network`: {error}")))?,
            protocol: protocol.transpose()?,
            agent: agent.map(str::to_owned),
            session: Some(session.to_owned()),
            advertised: dollars(self.advertised_price.as_deref(), "advertised_price")?,
        })
    }
}

/// The address of an earlier call; of a call of an MCP server with its tool.
fn place(terms: &NewPurchase) -> Result<(String, Option<String>), Trouble> {
    if terms.method != Request::MCP {
        return Ok((terms.url.clone(), None));
    }
    let mut url = Request::get(&terms.url)?.url;
    let tool = url.fragment().map(|tool| percent_decode_str(tool).decode_utf8_lossy().into_owned());
    url.set_fragment(None);
    Ok((url.into(), tool))
}

/// An amount in dollars, exactly: a text, never a number that could have been rounded.
pub(super) fn dollars(text: Option<&str>, field: &str) -> Result<Option<Usd>, Trouble> {
    let read = |text: &str| {
        let price = text.parse::<Price>().map_err(|error| error.to_string())?;
        price.in_dollars().map_err(|error| error.to_string())
    };
    text.map(read).transpose().map_err(|why| bad(format!("`{field}`: {why}")))
}

fn parse_header(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), Trouble> {
    // The value may be a secret: only the name is repeated.
    let parsed =
        name.parse::<HeaderName>().map_err(|_| bad(format!("`headers`: `{name}` is no header name")))?;
    let mut value = HeaderValue::from_str(value)
        .map_err(|_| bad(format!("`headers`: the value of `{name}` has forbidden characters")))?;
    value.set_sensitive(true);
    Ok((parsed, value))
}

fn bad(message: impl Into<String>) -> Trouble {
    Trouble::unpaid(Code::BadArguments, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn call(arguments: Value) -> Result<Request, Trouble> {
        let Value::Object(arguments) = arguments else { panic!("{arguments}") };
        read::<CallArgs>(&arguments)?.request()
    }

    #[test]
    fn a_body_of_any_type_is_sent_as_what_it_is() {
        for (arguments, kind, body) in [
            (json!({"body": {"a": 1}}), "application/json", &b"{\"a\":1}"[..]),
            (json!({"body": "{\"a\": 1}"}), "application/json", b"{\"a\": 1}"),
            (json!({"body": "plain"}), "text/plain; charset=utf-8", b"plain"),
            (json!({"body_base64": "AP8="}), "application/octet-stream", b"\x00\xff"),
            (json!({"body_base64": "AP8=", "content_type": "image/png"}), "image/png", b"\x00\xff"),
            (json!({"body": null}), "", b""),
        ] {
            let mut arguments = arguments;
            arguments["url"] = "https://a.example/".into();
            let request = call(arguments).unwrap();
            let sent = request.headers.get("content-type").map(|kind| kind.to_str().unwrap());
            assert_eq!((sent.unwrap_or_default(), &request.body[..]), (kind, body));
            assert_eq!(request.method, if body.is_empty() { Method::GET } else { Method::POST });
        }
    }

    #[test]
    fn mistakes_are_named_and_secrets_are_not() {
        for (arguments, word) in [
            (json!({"url": "https://a.example/", "max_amout": "$1"}), "max_amout"),
            (json!({"url": "https://a.example/", "method": "G E T"}), "method"),
            (json!({"url": "https://a.example/", "body": 1, "body_base64": ""}), "one only"),
            (json!({"url": "https://a.example/", "body_base64": "§"}), "body_base64"),
            (json!({"url": "https://a.example/", "headers": {"A B": "s3cret"}}), "A B"),
            (json!({"url": "https://a.example/", "headers": {"A": "s3cret\n"}}), "`A`"),
            (json!({"url": "file:///etc/passwd"}), "http"),
            (
                json!({"url": "https://a.example/", "headers": "Authorization: Bearer s3cret"}),
                "`headers`: an object",
            ),
            (
                json!({"url": "https://a.example/", "headers": ["s3cret, expected nothing"]}),
                "`headers`: an object",
            ),
            (json!({"url": "https://a.example/", "headers": {"A": {"s3cret": 1}}}), "`headers.A`: a string"),
            (json!({"url": ["s3cret"]}), "`url`: a string"),
            (json!({"url": "https://a.example/", "method": "s3cret s3cret"}), "method"),
            (json!({"body": "s3cret"}), "missing field `url`"),
        ] {
            let said = call(arguments.clone()).unwrap_err().to_string();
            assert!(said.contains(word) && !said.contains("s3cret"), "{arguments}: {said}");
        }
    }

    #[test]
    fn an_earlier_call_is_made_again_exactly() {
        for arguments in [
            json!({"url": "https://a.example/b?c=d"}),
            json!({"url": "https://a.example/", "method": "DELETE"}),
            json!({"url": "https://a.example/", "body": {"b": 1, "a": [2]}}),
            json!({"url": "https://a.example/", "body_base64": "AP8="}),
            json!({"url": "https://a.example/mcp?x=1", "mcp_tool": "fore cast/ä#", "body": {"city": "Berlin"}}),
            json!({"url": "https://a.example/mcp", "mcp_tool": "forecast"}),
        ] {
            let first = call(arguments.clone()).unwrap();
            let mut again = json!({"purchase": "01AAAAAA"});
            for key in ["body", "body_base64"] {
                arguments.get(key).into_iter().for_each(|value| again[key] = value.clone());
            }
            let terms = terms(&first);
            let args = serde_json::from_value(again).unwrap();
            let again = CallArgs::again(&terms, &args).unwrap().request().unwrap();
            assert_eq!(again.digest(), first.digest(), "{arguments}");
        }
    }

    fn terms(request: &Request) -> NewPurchase {
        serde_json::from_value(json!({
            "id": "01AAAAAA", "method": request.method.as_str(), "url": request.recorded_url(),
            "request_digest": request.digest(), "protocol": "x402-v2", "scheme": "exact", "network": "eip155:8453",
            "asset": "a", "amount": "1", "value": "$0.01", "pay_to": "b", "payer": "c", "offer": "{}", "policy_hash": "d",
        }))
        .unwrap()
    }

    #[test]
    fn amounts_are_exact_or_refused() {
        assert_eq!(dollars(Some("$0.002"), "max_amount").unwrap().unwrap().to_string(), "$0.002");
        for bad in ["", "1e3", "-1", "NaN", "one"] {
            assert!(dollars(Some(bad), "max_amount").is_err(), "{bad}");
        }
        let number = json!({"url": "https://a.example/", "max_amount": 0.01});
        assert!(serde_json::from_value::<CallArgs>(number).is_err());
    }
}
