//! What is answered to one request, truly or not.

use serde_json::{Value, json};

use super::{Fault, Rule, Shared};
use crate::Error;

/// What goes back over the connection.
pub(super) enum Reply {
    /// Nothing, ever.
    Silence,
    /// A reset in place of an answer.
    Reset,
    /// This much of an answer; `cut` resets the connection after half of it.
    Answer { status: u16, retry_after_s: Option<u64>, body: String, cut: bool },
}

fn plain(body: String) -> Reply {
    Reply::Answer { status: 200, retry_after_s: None, body, cut: false }
}

impl Shared {
    /// Answers a request's body.
    pub(super) async fn answer(&self, body: &str) -> Reply {
        let request: Value = serde_json::from_str(body).unwrap_or_default();
        let calls = request.as_array().cloned().unwrap_or_else(|| vec![request]);
        self.seen().extend(calls.iter().cloned());
        let Some(rule) = self.strike(&calls) else {
            return self.passed_on(body.to_owned()).await.map_or(Reply::Reset, plain);
        };
        self.faulty(body, &calls, rule).await.unwrap_or(Reply::Reset)
    }

    async fn faulty(&self, body: &str, calls: &[Value], rule: Rule) -> Result<Reply, Error> {
        match &rule.fault {
            Fault::Hang => return Ok(Reply::Silence),
            Fault::ResetBefore => return Ok(Reply::Reset),
            Fault::Http { status, retry_after_s, body } => {
                let (status, retry_after_s, body) = (*status, *retry_after_s, (*body).to_owned());
                return Ok(Reply::Answer { status, retry_after_s, body, cut: false });
            }
            Fault::OneError(error) => return Ok(plain(failure(&Value::Null, error).to_string())),
            Fault::Error(_) | Fault::Lie(_) | Fault::Behind(_) => return self.told(body, calls, &rule).await,
            Fault::Slow(late) => tokio::time::sleep(*late).await,
            _ => {}
        }
        let answer = self.passed_on(body.to_owned()).await?;
        Ok(match rule.fault {
            Fault::HangAfter => Reply::Silence,
            Fault::ResetAfter => Reply::Reset,
            Fault::Broken => Reply::Answer { status: 200, retry_after_s: None, body: answer, cut: true },
            Fault::Truncated => plain(answer.chars().take(answer.len() / 2).collect()),
            Fault::Oversized(bytes) => {
                plain(answer.clone() + &" ".repeat(bytes.saturating_sub(answer.len())))
            }
            Fault::Reversed => plain(edited(&answer, |answers| answers.reverse())),
            Fault::Partial => plain(edited(&answer, |answers| drop(answers.pop()))),
            Fault::WrongIds => plain(edited(&answer, |answers| answers.iter_mut().for_each(misname))),
            _ => plain(answer),
        })
    }

    async fn passed_on(&self, body: String) -> Result<String, Error> {
        let unreachable = |reason: String| Error::Unreachable { method: "the endpoint".to_owned(), reason };
        let answer = self.chain.exchange(body).await.map_err(|error| unreachable(error.to_string()))?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }

    /// Answers call by call, those that the rule is for as it says.
    async fn told(&self, body: &str, calls: &[Value], rule: &Rule) -> Result<Reply, Error> {
        let mut answers = Vec::with_capacity(calls.len());
        for call in calls {
            let answer =
                if rule.is_for(call) { self.lie(call, &rule.fault).await } else { self.one(call).await };
            answers.push(answer?);
        }
        let is_batch = body.trim_start().starts_with('[');
        let answer = if is_batch { Value::Array(answers) } else { answers.pop().unwrap_or_default() };
        Ok(plain(answer.to_string()))
    }

    async fn one(&self, call: &Value) -> Result<Value, Error> {
        let answer = self.passed_on(call.to_string()).await?;
        serde_json::from_str(&answer).map_err(|error| Error::answer("the endpoint", error))
    }

    async fn lie(&self, call: &Value, fault: &Fault) -> Result<Value, Error> {
        match fault {
            Fault::Error(error) => Ok(failure(&call["id"], error)),
            Fault::Lie(lie) => {
                let truth = self.one(call).await?["result"].take();
                Ok(json!({ "jsonrpc": "2.0", "id": call["id"], "result": lie(call, truth) }))
            }
            Fault::Behind(blocks) => self.behind(call, *blocks).await,
            _ => self.one(call).await,
        }
    }

    /// What a node says that has not got the last blocks yet.
    async fn behind(&self, call: &Value, blocks: u64) -> Result<Value, Error> {
        let head = self
            .one(&json!({ "jsonrpc": "2.0", "id": 0, "method": "eth_blockNumber", "params": [] }))
            .await?;
        let known = number(&head["result"]).unwrap_or(0).saturating_sub(blocks);
        let mut call = call.clone();
        if call["method"] == "eth_call" && number(&call["params"][1]).is_some_and(|block| block > known) {
            let error = json!({ "code": -32000, "message": "header not found" });
            return Ok(failure(&call["id"], &error));
        }
        for param in call["params"].as_array_mut().into_iter().flatten() {
            if *param == "latest" || *param == "pending" {
                *param = json!(format!("0x{known:x}"));
            }
        }
        let mut answer = self.one(&call).await?;
        if call["method"] == "eth_blockNumber" {
            answer["result"] = json!(format!("0x{known:x}"));
        } else if number(&answer["result"]["blockNumber"]).is_some_and(|block| block > known) {
            answer["result"] = Value::Null;
        }
        Ok(answer)
    }
}

fn failure(id: &Value, error: &Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "error": error })
}

fn number(value: &Value) -> Option<u64> {
    u64::from_str_radix(value.as_str()?.strip_prefix("0x")?, 16).ok()
}

/// The same answer under another call's id.
fn misname(answer: &mut Value) {
    answer["id"] = json!(answer["id"].as_u64().unwrap_or(0) + 1_000_000);
}

/// An answer, whether one or a batch, after `edit`.
fn edited(answer: &str, edit: impl FnOnce(&mut Vec<Value>)) -> String {
    match serde_json::from_str(answer) {
        Ok(Value::Array(mut answers)) => {
            edit(&mut answers);
            Value::Array(answers).to_string()
        }
        Ok(one) => {
            let mut answers = vec![one];
            edit(&mut answers);
            answers.pop().map(|one| one.to_string()).unwrap_or_default()
        }
        Err(_) => answer.to_owned(),
    }
}
