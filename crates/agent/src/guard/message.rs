//! Messages from the client, read strictly, and the answers that the guard gives itself.
//!
//! A message is parsed once, and what the server gets is what [`Json::write`] makes of that tree: so the gate and the
//! server read the same. Keys that some reader could take for others (by case, by Go's folding, twice) are refused.

use farthing_policy::json::{Json, Object};

use super::gate::{Call, Refusal};
use super::id::Id;
use super::scan::{KNOWN, same_folded};

/// JSON-RPC 2.0, section 5.1: the text is no JSON.
pub(super) const NO_JSON: i64 = -32700;
/// JSON-RPC 2.0, section 5.1: the JSON is no request.
pub(super) const INVALID: i64 = -32600;
/// JSON-RPC 2.0, section 5.1: the parameters are wrong.
pub(super) const PARAMS: i64 = -32602;
/// JSON-RPC 2.0, section 5.1: an error inside.
pub(super) const INTERNAL: i64 = -32603;
/// As MCP's TypeScript SDK: the connection is closed.
pub(super) const CLOSED: i64 = -32000;
/// As MCP's TypeScript SDK: no answer in time.
pub(super) const TIMEOUT: i64 = -32001;
/// EIP-1474's "limit exceeded": too large, or too many at once.
pub(super) const LIMIT: i64 = -32005;

/// Where x402's payments stand in `_meta` (x402 specification, `transports-v2/mcp.md`).
pub(super) const X402_PAYMENT: &str = "x402/payment";
/// Where MPP's credentials stand in `_meta` (draft-payment-transport-mcp-00).
pub(super) const MPP_CREDENTIAL: &str = "org.paymentauth/credential";

/// The keys of a call's parameters.
const CALL_KEYS: [&str; 3] = ["name", "arguments", "_meta"];

/// What the client sent in one piece.
#[derive(Debug)]
pub(super) struct Incoming {
    /// Whether it came as a list.
    pub(super) batch: bool,
    /// The messages, each good or refused.
    pub(super) members: Vec<Result<Member, Fault>>,
}

/// One message of the client's.
#[derive(Debug)]
pub(super) struct Member {
    /// As it was parsed, and as it is forwarded.
    pub(super) json: Json,
    pub(super) kind: Kind,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Request(Id, Method),
    /// `notifications/cancelled` for this request.
    Cancel(Id),
    Notification,
    /// An answer to a request of the server's, or of ours.
    Answer(Option<Id>),
}

/// What must be known about a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    Call,
    List,
    Initialize,
    /// `subscriptions/listen` (2026-07-28): its answer comes when the client or the server ends the subscription.
    Listen,
    Other,
}

/// Why a message is refused.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    id: Json,
    code: i64,
    why: String,
}

impl Fault {
    /// A refusal of the request with this id.
    pub(super) fn new(id: Json, code: i64, why: impl Into<String>) -> Self {
        Self { id, code, why: why.into() }
    }

    /// The answer that tells the client.
    pub(super) fn answer(self) -> Json {
        let error = object([("code", Json::from(self.code)), ("message", Json::from(self.why))]);
        object([("jsonrpc", Json::from("2.0")), ("id", self.id), ("error", error)])
    }
}

impl Incoming {
    /// Reads one message or a list of them.
    pub(super) fn read(text: &[u8]) -> Result<Self, Fault> {
        let json = Json::parse(text).map_err(|error| Fault::new(Json::Null, NO_JSON, error.to_string()))?;
        match json {
            Json::Array(members) if members.is_empty() => {
                Err(Fault::new(Json::Null, INVALID, "the batch is empty"))
            }
            Json::Array(members) => {
                Ok(Self { batch: true, members: members.into_iter().map(Member::read).collect() })
            }
            json => Ok(Self { batch: false, members: vec![Member::read(json)] }),
        }
    }
}

impl Member {
    fn read(json: Json) -> Result<Self, Fault> {
        let Some(object) = json.as_object() else {
            return Err(Fault::new(Json::Null, INVALID, "a message is an object"));
        };
        let kind = kind(object).map_err(|(code, why)| {
            let id = object.get("id").filter(|id| Id::of(id).is_some());
            Fault::new(id.cloned().unwrap_or(Json::Null), code, why)
        })?;
        Ok(Self { json, kind })
    }

    /// The message's id as it was written.
    pub(super) fn id(&self) -> Json {
        self.json.get("id").cloned().unwrap_or(Json::Null)
    }

    /// What the gate is asked about; `none` stands for arguments that are not there.
    pub(super) fn call<'a>(&'a self, none: &'a Json) -> Option<Call<'a>> {
        let params = self.json.get("params")?;
        let tool = params.get("name")?.as_str()?;
        Some(Call { tool, arguments: params.get("arguments").unwrap_or(none), meta: params.get("_meta") })
    }

    /// The token under which the server reports progress of this request.
    pub(super) fn progress_token(&self) -> Option<Id> {
        Id::of(self.json.get("params")?.get("_meta")?.get("progressToken")?)
    }

    /// Whether a payment comes with the message.
    pub(super) fn carries_payment(&self) -> bool {
        let meta = self.json.get("params").and_then(|params| params.get("_meta"));
        has_payment(meta)
    }

    /// Whether an `initialize` says that its client can ask its user.
    pub(super) fn offers_elicitation(&self) -> bool {
        let capabilities = self.json.get("params").and_then(|params| params.get("capabilities"));
        capabilities.and_then(|all| all.get("elicitation")).is_some_and(|json| json.as_object().is_some())
    }
}

fn has_payment(meta: Option<&Json>) -> bool {
    let keys = [X402_PAYMENT, MPP_CREDENTIAL];
    keys.iter().any(|key| meta.and_then(|meta| meta.get(key)).is_some_and(|payment| *payment != Json::Null))
}

type Why = (i64, String);

fn kind(message: &Object) -> Result<Kind, Why> {
    exact_keys(message, &KNOWN, INVALID)?;
    let id = message.get("id").map(Id::of);
    let has_outcome = message.get("result").is_some() || message.get("error").is_some();
    let Some(method) = message.get("method") else {
        return answer(message, id, has_outcome);
    };
    let method = method.as_str().ok_or_else(|| (INVALID, "the method is no text".to_owned()))?;
    // MPP's servers look there as well, and no gate does.
    if has_payment(message.get("_meta")) {
        return Err((INVALID, "a payment stands in params._meta, not in _meta beside it".to_owned()));
    }
    if has_outcome {
        return Err((INVALID, "a message is a request or an answer, not both".to_owned()));
    }
    let known = match method {
        "tools/call" => Method::Call,
        "tools/list" => Method::List,
        "initialize" => Method::Initialize,
        "subscriptions/listen" => Method::Listen,
        _ => Method::Other,
    };
    if known == Method::Call {
        call_params(message.get("params"))?;
    }
    match id {
        Some(Some(id)) => Ok(Kind::Request(id, known)),
        Some(None) => Err((INVALID, "the id is neither a text nor a number".to_owned())),
        // Some servers run it all the same, and nobody would learn how it ended.
        None if known == Method::Call => Err((INVALID, "tools/call needs an id".to_owned())),
        None if method == "notifications/cancelled" => Ok(cancel(message)),
        None => Ok(Kind::Notification),
    }
}

fn answer(message: &Object, id: Option<Option<Id>>, has_outcome: bool) -> Result<Kind, Why> {
    let both = message.get("result").is_some() && message.get("error").is_some();
    if !has_outcome || both {
        return Err((INVALID, "a message has one of method, result and error".to_owned()));
    }
    // An error that could not be matched has the id null (JSON-RPC 2.0, section 5).
    match (id, message.get("id")) {
        (Some(Some(id)), _) => Ok(Kind::Answer(Some(id))),
        (Some(None), Some(Json::Null)) => Ok(Kind::Answer(None)),
        _ => Err((INVALID, "an answer has the id of its request".to_owned())),
    }
}

fn cancel(message: &Object) -> Kind {
    let id = message.get("params").and_then(|params| params.get("requestId")).and_then(Id::of);
    id.map_or(Kind::Notification, Kind::Cancel)
}

fn call_params(params: Option<&Json>) -> Result<(), Why> {
    let wrong = |why: &str| Err((PARAMS, why.to_owned()));
    let Some(params) = params.and_then(Json::as_object) else {
        return wrong("params of tools/call must be an object");
    };
    exact_keys(params, &CALL_KEYS, PARAMS)?;
    if params.get("name").and_then(Json::as_str).is_none() {
        return wrong("params.name must be a text");
    }
    if params.get("arguments").is_some_and(|arguments| arguments.as_object().is_none()) {
        return wrong("params.arguments must be an object, or be left out");
    }
    Ok(())
}

/// Refuses keys that a reader which ignores case would take for known ones.
fn exact_keys(object: &Object, known: &[&str], code: i64) -> Result<(), Why> {
    for (key, _) in object.iter() {
        for exact in known {
            if key != *exact && same_folded(exact.as_bytes(), key.as_bytes()) {
                return Err((code, format!("the key {key:?} must be written {exact:?}")));
            }
        }
    }
    Ok(())
}

/// The result that tells the agent that its call is denied.
pub(super) fn denial(id: Json, refusal: Refusal) -> Json {
    let text = object([("type", Json::from("text")), ("text", Json::from(refusal.text))]);
    let mut result = vec![("content", Json::Array(vec![text])), ("isError", Json::from(true))];
    if let Some(structure) = refusal.structure {
        result.push(("_meta", object([("farthing/denial", structure)])));
    }
    object([("jsonrpc", Json::from("2.0")), ("id", id), ("result", object(result))])
}

/// A notification that a request is cancelled.
pub(super) fn cancelled(id: Json, reason: &str) -> Json {
    let params = object([("requestId", id), ("reason", Json::from(reason))]);
    let method = Json::from("notifications/cancelled");
    object([("jsonrpc", Json::from("2.0")), ("method", method), ("params", params)])
}

/// An object with these keys.
pub(super) fn object<'a>(entries: impl IntoIterator<Item = (&'a str, Json)>) -> Json {
    Json::Object(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> (i64, String) {
        let fault = match Incoming::read(text.as_bytes()) {
            Err(fault) => fault,
            Ok(mut incoming) => incoming.members.remove(0).expect_err(text),
        };
        (fault.code, fault.id.to_string())
    }

    #[test]
    fn what_two_readers_read_differently_is_refused() {
        for (text, code, id) in [
            (r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","Method":"ping"}"#, INVALID, "1"),
            (r#"{"id":"a","method":"ping","PARAMS":{}}"#, INVALID, "\"a\""),
            ("{\"id\":1,\"method\":\"ping\",\"param\u{17f}\":{}}", INVALID, "1"),
            (r#"{"Id":1,"method":"ping"}"#, INVALID, "null"),
            (r#"{"id":1,"id":2,"method":"ping"}"#, NO_JSON, "null"),
            (r#"{"id":1,"method":"tools/call","params":{"name":"a","Name":"b"}}"#, PARAMS, "1"),
            (
                "{\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"a\",\"argument\u{17f}\":{}}}",
                PARAMS,
                "1",
            ),
            (r#"{"id":1,"method":"tools/call","params":{"name":"a","_Meta":{}}}"#, PARAMS, "1"),
            (
                r#"{"id":1,"method":"tools/call","params":{"name":"a","arguments":{"x":1,"x":2}}}"#,
                NO_JSON,
                "null",
            ),
        ] {
            assert_eq!(refused(text), (code, id.to_owned()), "{text}");
        }
    }

    #[test]
    fn calls_that_could_not_be_judged_are_refused() {
        for (text, code) in [
            (r#"{"id":1,"method":"tools/call","params":{"name":"a","arguments":[]}}"#, PARAMS),
            (r#"{"id":1,"method":"tools/call","params":{"name":"a","arguments":null}}"#, PARAMS),
            (r#"{"id":1,"method":"tools/call","params":{"name":["a"]}}"#, PARAMS),
            (r#"{"id":1,"method":"tools/call","params":["a"]}"#, PARAMS),
            (r#"{"id":1,"method":"tools/call"}"#, PARAMS),
            (r#"{"id":1,"method":["tools/call"]}"#, INVALID),
            (r#"{"id":1,"method":"tools/call","result":{},"params":{"name":"a"}}"#, INVALID),
            (r#"{"method":"tools/call","params":{"name":"a"}}"#, INVALID),
            (r#"{"id":null,"method":"ping"}"#, INVALID),
            (
                r#"{"id":1,"method":"tools/call","params":{"name":"a"},"_meta":{"org.paymentauth/credential":{}}}"#,
                INVALID,
            ),
            (r#"{"id":{},"method":"ping"}"#, INVALID),
            (r#"{"id":1}"#, INVALID),
            (r#"{"id":1,"result":1,"error":1}"#, INVALID),
            (r#"{"result":1}"#, INVALID),
            ("[]", INVALID),
            ("[[]]", INVALID),
            ("3", INVALID),
            ("{", NO_JSON),
        ] {
            assert_eq!(refused(text).0, code, "{text}");
        }
    }

    #[test]
    fn kinds() {
        let kind = |text: &str| Incoming::read(text.as_bytes()).unwrap().members.remove(0).unwrap().kind;
        let one = Id::of(&Json::from(1)).unwrap();
        assert_eq!(
            kind(r#"{"id":1,"method":"tools/call","params":{"name":"a","x":2}}"#),
            Kind::Request(one.clone(), Method::Call)
        );
        assert_eq!(kind(r#"{"id":1,"method":"no/such"}"#), Kind::Request(one.clone(), Method::Other));
        assert_eq!(kind(r#"{"method":"notifications/x","Extra":1}"#), Kind::Notification);
        assert_eq!(
            kind(r#"{"method":"notifications/cancelled","params":{"requestId":1}}"#),
            Kind::Cancel(one.clone())
        );
        assert_eq!(kind(r#"{"id":1,"result":{}}"#), Kind::Answer(Some(one)));
        assert_eq!(kind(r#"{"id":null,"error":{}}"#), Kind::Answer(None));
    }

    #[test]
    fn a_denial_is_a_result_that_the_agent_can_read() {
        let structure = Some(object([("rule", Json::from("day"))]));
        let refusal = Refusal { text: "no".to_owned(), structure };
        assert_eq!(
            denial(Json::from(7), refusal).to_string(),
            r#"{"jsonrpc":"2.0","id":7,"result":{"content":[{"type":"text","text":"no"}],"isError":true,"_meta":{"farthing/denial":{"rule":"day"}}}}"#
        );
    }
}
