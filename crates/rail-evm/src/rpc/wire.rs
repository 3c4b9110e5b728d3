//! JSON-RPC 2.0 as text.

use std::fmt;
use std::sync::Arc;

use alloy_primitives::{Bytes, hex};
use alloy_sol_types::{Revert, SolError};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

/// One call of a method.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) method: &'static str,
    pub(crate) params: Value,
}

impl Call {
    pub(crate) fn new(method: &'static str, params: Value) -> Self {
        Self { method, params }
    }
}

/// What a node said to one call.
pub(crate) type Answer = Result<Box<RawValue>, NodeError>;

/// A node's refusal of one call.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct NodeError {
    pub(crate) code: i64,
    #[serde(default)]
    pub(crate) message: String,
    #[serde(default)]
    data: Value,
    /// The endpoint that said so, as it may be shown.
    #[serde(skip)]
    pub(crate) at: Option<Arc<str>>,
}

impl NodeError {
    /// Whether it says "too many requests" in one of the ways seen in use.
    pub(crate) fn is_limit(&self) -> bool {
        let message = self.message.to_ascii_lowercase();
        matches!(self.code, -32005 | 429 | -32029 | -32016)
            || ["rate limit", "too many requests", "over rate", "compute units per second"]
                .iter()
                .any(|words| message.contains(words))
    }

    /// Whether this node lacks something that another one may have: a block or a state that it has not got yet or no
    /// longer, a method, or a wider search.
    pub(crate) fn is_this_nodes_own(&self) -> bool {
        const WORDS: [&str; 8] = [
            "header not found",
            "block not found",
            "unknown block",
            "missing trie node",
            "block range",
            "query returned more than",
            "method not found",
            "is not available",
        ];
        let message = self.message.to_ascii_lowercase();
        self.code == -32601 || WORDS.iter().any(|words| message.contains(words))
    }

    /// Whether the contract's execution failed, as opposed to the node.
    pub(crate) fn is_execution(&self) -> bool {
        let message = self.message.to_ascii_lowercase();
        self.code == 3
            || ["revert", "out of gas", "outofgas", "gas required", "invalid opcode", "opcode", "evm error"]
                .iter()
                .any(|words| message.contains(words))
    }

    /// The contract's own words, or the node's.
    pub(crate) fn words(&self) -> String {
        let data = self.data.as_str().or_else(|| self.data.get("data").and_then(Value::as_str));
        let reason = data
            .and_then(|data| hex::decode(data).ok())
            .and_then(|data| Revert::abi_decode(&Bytes::from(data)).ok())
            .map(|revert| revert.reason);
        printable(&reason.unwrap_or_else(|| self.message.clone()))
    }
}

impl fmt::Display for NodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(at) = &self.at {
            write!(f, "{at}: ")?;
        }
        write!(f, "{} (code {})", printable(&self.message), self.code)
    }
}

/// At most 200 characters of somebody else's text, without control characters.
pub(crate) fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}

#[derive(Serialize)]
struct Request<'a> {
    jsonrpc: &'static str,
    id: u64,
    method: &'a str,
    params: &'a Value,
}

#[derive(Deserialize)]
struct Response<'a> {
    #[serde(default)]
    id: Option<u64>,
    #[serde(borrow, default)]
    result: Option<&'a RawValue>,
    #[serde(default)]
    error: Option<NodeError>,
}

/// The body for these calls: one call as an object, several as a batch. Their ids count up from `first_id`.
pub(crate) fn encode(calls: &[Call], first_id: u64) -> Result<Vec<u8>, serde_json::Error> {
    let request = |(id, call): (u64, &Call)| {
        Request { jsonrpc: "2.0", id, method: call.method, params: &call.params }.to_vec()
    };
    if let [call] = calls {
        return request((first_id, call));
    }
    let parts: Vec<Vec<u8>> = (first_id..).zip(calls).map(request).collect::<Result<_, _>>()?;
    Ok([b"[".as_slice(), &parts.join(&b","[..]), b"]"].concat())
}

impl Request<'_> {
    fn to_vec(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(self)
    }
}

/// What a body says to `count` calls.
pub(crate) enum Decoded {
    /// An answer to each.
    Answers(Vec<Answer>),
    /// One refusal of the whole batch.
    Refused(NodeError),
    /// Answers, but not one to each of these calls.
    Mixed(&'static str),
}

/// Reads the answers, in the calls' order whatever order they came in. An answer that belongs to no call of these, or
/// to one that was answered already, makes all of them worthless: nobody knows what else was mixed up.
pub(crate) fn decode(body: &[u8], count: usize, first_id: u64) -> Result<Decoded, String> {
    let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
    if first != Some(&b'[') {
        let response: Response<'_> = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        return Ok(decode_one(response, count, first_id));
    }
    let responses: Vec<Response<'_>> = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let mut answers: Vec<Option<Answer>> = Vec::new();
    answers.resize_with(count, || None);
    for response in responses {
        let place = response.id.and_then(|id| usize::try_from(id.checked_sub(first_id)?).ok());
        match place.and_then(|place| answers.get_mut(place)) {
            None => return Ok(Decoded::Mixed("an answer with an unknown id")),
            Some(Some(_)) => return Ok(Decoded::Mixed("two answers with one id")),
            Some(slot) => *slot = Some(answer(response)),
        }
    }
    let complete: Option<Vec<Answer>> = answers.into_iter().collect();
    Ok(complete.map_or(Decoded::Mixed("an answer is missing"), Decoded::Answers))
}

/// Reads one object. A node that could not read a request names no id in its error.
fn decode_one(response: Response<'_>, count: usize, id: u64) -> Decoded {
    let ours = response.id == Some(id) || (response.id.is_none() && response.error.is_some());
    match (count, response) {
        (1, response) if ours => Decoded::Answers(vec![answer(response)]),
        (1, _) => Decoded::Mixed("an answer with an unknown id"),
        (_, Response { error: Some(error), .. }) => Decoded::Refused(error),
        _ => Decoded::Mixed("one answer to several calls"),
    }
}

fn answer(response: Response<'_>) -> Answer {
    match (response.error, response.result) {
        (Some(error), _) => Err(error),
        (None, Some(result)) => Ok(result.to_owned()),
        (None, None) => Ok(RawValue::NULL.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn texts(decoded: Decoded) -> Vec<Result<String, i64>> {
        let Decoded::Answers(answers) = decoded else { panic!("refused") };
        answers.into_iter().map(|a| a.map(|r| r.get().to_owned()).map_err(|e| e.code)).collect()
    }

    #[test]
    fn answers_come_in_the_calls_order() {
        let body = br#"[{"id":1,"error":{"code":3,"message":"no"}},{"id":0,"result":null}]"#;
        assert_eq!(texts(decode(body, 2, 0).unwrap()), [Ok("null".to_owned()), Err(3)]);
        let one = br#"{"id":7,"result":"0x1"}"#;
        assert_eq!(texts(decode(one, 1, 7).unwrap()), [Ok("\"0x1\"".to_owned())]);
        let refused = br#"{"error":{"code":-32600,"message":""}}"#;
        assert!(matches!(decode(refused, 2, 0), Ok(Decoded::Refused(_))));
        assert_eq!(
            texts(decode(refused, 1, 0).unwrap()),
            [Err(-32600)],
            "no id: it could not read the request"
        );
    }

    #[test]
    fn answers_to_other_calls_are_no_answers() {
        let two = br#"[{"id":1,"result":1},{"id":0,"result":0}]"#;
        let twice = br#"[{"id":0,"result":1},{"id":0,"result":0}]"#;
        let one = br#"{"id":7,"result":"0x1"}"#;
        for (body, count, first_id) in [
            (&two[..], 3, 0),
            (two, 1, 0),
            (two, 2, 1),
            (twice, 2, 0),
            (one, 1, 8),
            (one, 2, 7),
            (br#"{"result":"0x1"}"#, 1, 0),
            (b"[]", 2, 0),
        ] {
            let decoded = decode(body, count, first_id);
            assert!(matches!(decoded, Ok(Decoded::Mixed(_))), "{}", String::from_utf8_lossy(body));
        }
        assert!(decode(br#"{"id":7,"result":"0x"#, 1, 7).is_err(), "cut off");
    }

    #[test]
    fn one_call_goes_as_an_object_and_several_as_a_batch() {
        let call = Call::new("eth_chainId", json!([]));
        let one: Value = serde_json::from_slice(&encode(std::slice::from_ref(&call), 0).unwrap()).unwrap();
        assert_eq!(one, json!({"jsonrpc": "2.0", "id": 0, "method": "eth_chainId", "params": []}));
        let two: Value = serde_json::from_slice(&encode(&[call.clone(), call], 5).unwrap()).unwrap();
        assert_eq!(two[1]["id"], 6);
    }

    fn error(code: i64, message: &str) -> NodeError {
        serde_json::from_value(json!({"code": code, "message": message})).unwrap()
    }

    #[test]
    fn limits_are_known_in_their_forms() {
        // As seen: Infura, QuickNode, Alchemy, Base's public endpoint.
        for (code, message) in [
            (-32005, "daily request count exceeded"),
            (-32007, "50/second request limit reached - too many requests"),
            (429, "Your app has exceeded its compute units per second capacity"),
            (-32016, "over rate limit"),
        ] {
            assert!(error(code, message).is_limit(), "{message}");
        }
        assert!(!error(3, "execution reverted").is_limit());
    }

    proptest! {
        #[test]
        fn any_body_is_survived(body in prop::collection::vec(any::<u8>(), 0..100), count in 1usize..5) {
            let _ = decode(&body, count, 3);
        }
    }
}
