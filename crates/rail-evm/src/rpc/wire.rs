//! JSON-RPC 2.0 as text.

use std::fmt;

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
    id: usize,
    method: &'a str,
    params: &'a Value,
}

#[derive(Deserialize)]
struct Response<'a> {
    #[serde(default)]
    id: Option<usize>,
    #[serde(borrow, default)]
    result: Option<&'a RawValue>,
    #[serde(default)]
    error: Option<NodeError>,
}

/// The body for these calls: one call as an object, several as a batch. The ids are the calls' positions.
pub(crate) fn encode(calls: &[Call]) -> Result<Vec<u8>, serde_json::Error> {
    let request = |(id, call): (usize, &Call)| {
        Request { jsonrpc: "2.0", id, method: call.method, params: &call.params }.to_vec()
    };
    if let [call] = calls {
        return request((0, call));
    }
    let parts: Vec<Vec<u8>> = calls.iter().enumerate().map(request).collect::<Result<_, _>>()?;
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
}

/// Reads the answers, in the calls' order whatever order they came in.
pub(crate) fn decode(body: &[u8], count: usize) -> Result<Decoded, String> {
    let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
    if first != Some(&b'[') {
        let response: Response<'_> = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        return match (count, response.error) {
            (1, _) => {
                Ok(Decoded::Answers(vec![answer(serde_json::from_slice(body).map_err(|e| e.to_string())?)]))
            }
            (_, Some(error)) => Ok(Decoded::Refused(error)),
            (_, None) => Err("one answer to several calls".to_owned()),
        };
    }
    let responses: Vec<Response<'_>> = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let mut answers: Vec<Option<Answer>> = Vec::new();
    answers.resize_with(count, || None);
    for response in responses {
        let slot = response.id.and_then(|id| answers.get_mut(id)).ok_or("an answer with an unknown id")?;
        *slot = Some(answer(response));
    }
    let complete: Option<Vec<Answer>> = answers.into_iter().collect();
    complete.map(Decoded::Answers).ok_or_else(|| "an answer is missing".to_owned())
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
        assert_eq!(texts(decode(body, 2).unwrap()), [Ok("null".to_owned()), Err(3)]);
        assert!(decode(body, 3).is_err(), "one is missing");
        assert!(decode(body, 1).is_err(), "one is too many");
        assert_eq!(texts(decode(br#"{"id":0,"result":"0x1"}"#, 1).unwrap()), [Ok("\"0x1\"".to_owned())]);
        assert!(matches!(decode(br#"{"error":{"code":-32600,"message":""}}"#, 2), Ok(Decoded::Refused(_))));
    }

    #[test]
    fn one_call_goes_as_an_object_and_several_as_a_batch() {
        let call = Call::new("eth_chainId", json!([]));
        let one: Value = serde_json::from_slice(&encode(std::slice::from_ref(&call)).unwrap()).unwrap();
        assert_eq!(one, json!({"jsonrpc": "2.0", "id": 0, "method": "eth_chainId", "params": []}));
        let two: Value = serde_json::from_slice(&encode(&[call.clone(), call]).unwrap()).unwrap();
        assert_eq!(two[1]["id"], 1);
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
            assert!(NodeError { code, message: message.into(), data: Value::Null }.is_limit(), "{message}");
        }
        assert!(!NodeError { code: 3, message: "execution reverted".into(), data: Value::Null }.is_limit());
    }

    proptest! {
        #[test]
        fn any_body_is_survived(body in prop::collection::vec(any::<u8>(), 0..100), count in 1usize..5) {
            let _ = decode(&body, count);
        }
    }
}
