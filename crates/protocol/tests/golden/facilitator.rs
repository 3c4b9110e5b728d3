//! facilitator.json: the facilitator's HTTP interface.

use farthing_protocol::PaymentKey;
use farthing_protocol::x402::{FacilitatorRequest, SettleResponse, SupportedResponse, VerifyResponse};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::common::{Differences, json, table};

const FILE: &str = include_str!("../../../../tests/golden/facilitator.json");

#[derive(Deserialize)]
struct Sent {
    name: String,
    request: SentRequest,
}

#[derive(Deserialize)]
struct SentRequest {
    method: String,
    body: String,
}

#[derive(Deserialize)]
struct Answered {
    name: String,
    /// The last of several answers counts, where there were several.
    #[serde(alias = "answers")]
    answer: OneOrMore,
    result: Outcome,
}

#[derive(Deserialize)]
struct Pending {
    name: String,
    answers: Vec<Answer>,
    settle_requests: usize,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(Answer),
    More(Vec<Answer>),
}

#[derive(Deserialize)]
struct Answer {
    status: u16,
    body: String,
}

#[derive(Deserialize)]
struct Outcome {
    value: Option<Value>,
    throws: Option<Value>,
}

impl Answered {
    fn answer(&self) -> &Answer {
        match &self.answer {
            OneOrMore::One(answer) => answer,
            OneOrMore::More(answers) => answers.last().unwrap(),
        }
    }

    /// What we read of an answer with status 200, as JSON, beside what the reference reads.
    fn readings<T: DeserializeOwned + serde::Serialize>(&self) -> (Option<Value>, Option<Value>) {
        let ours = serde_json::from_str::<T>(&self.answer().body).ok();
        let mut reference = self.result.value.clone();
        if let Some(Value::Object(value)) = &mut reference {
            // From the EXTENSION-RESPONSES header, not from the body.
            value.remove("extensionResponses");
        }
        (ours.map(|read| serde_json::to_value(read).unwrap()), reference)
    }
}

fn successes(name: &str) -> impl Iterator<Item = Answered> {
    table::<Answered>(FILE, name).into_iter().filter(|case| case.answer().status < 300)
}

#[test]
fn requests_are_written_as_the_reference_writes_them() {
    for sent in table::<Sent>(FILE, "requests").into_iter().filter(|sent| sent.request.method == "POST") {
        let body = &sent.request.body;
        let request = FacilitatorRequest::read(body.as_bytes()).unwrap();
        let written = FacilitatorRequest::to_body(&request.payment, &request.raw_requirements).unwrap();
        assert_eq!(&written, body, "{}", sent.name);
        let key = PaymentKey::of(&request.requirements, request.payment.payload()).unwrap();
        let payer = json(body)["paymentPayload"]["payload"]["authorization"]["from"].clone();
        assert!(key.as_str().contains(&payer.as_str().unwrap().to_lowercase()), "{}", sent.name);
    }
}

#[test]
fn verify_answers_are_read_as_the_reference_reads_them() {
    for case in successes("verify_answers") {
        let (ours, reference) = case.readings::<VerifyResponse>();
        assert_eq!(ours, reference, "{}", case.name);
    }
}

const OLD: &str =
    "older facilitators and servers leave it out; the reference takes it empty, which says no more";

#[test]
fn settle_answers_are_read_as_the_reference_reads_them() {
    let differences =
        Differences(&[("transaction missing", OLD), ("transaction null", OLD), ("network missing", OLD)]);
    for case in successes("settle_answers") {
        let (ours, reference) = case.readings::<SettleResponse>();
        differences.check(&case.name, ours == reference, &ours);
    }
}

#[test]
fn supported_answers_are_read_as_the_reference_reads_them() {
    let differences = Differences(&[("extensions null", "a null optional is an absent one")]);
    for case in successes("supported_answers") {
        let (ours, reference) = case.readings::<SupportedResponse>();
        differences.check(&case.name, ours == reference, &ours);
    }
}

#[test]
fn refusals_with_an_error_status_carry_their_reason() {
    let reason = |case: &Answered, field: &str| {
        let thrown = case.result.throws.as_ref().expect("an error status throws");
        thrown.get(field).and_then(Value::as_str).map(ToOwned::to_owned)
    };
    let failures =
        |name| table::<Answered>(FILE, name).into_iter().filter(|case| case.answer().status >= 300);
    for case in failures("verify_answers") {
        let read = serde_json::from_str::<VerifyResponse>(&case.answer().body).ok();
        let ours = read.and_then(|read| read.invalid_reason).map(|reason| reason.to_string());
        assert_eq!(ours, reason(&case, "invalidReason"), "{}", case.name);
    }
    for case in failures("settle_answers") {
        let read = serde_json::from_str::<SettleResponse>(&case.answer().body).ok();
        let ours = read.and_then(|read| read.error_reason).map(|reason| reason.to_string());
        assert_eq!(ours, reason(&case, "errorReason"), "{}", case.name);
    }
}

#[test]
fn a_settlement_is_pending_when_the_reference_asks_again() {
    for case in table::<Pending>(FILE, "pending") {
        let read = serde_json::from_str::<SettleResponse>(&case.answers[0].body).ok();
        let pending = read.as_ref().and_then(SettleResponse::pending_transaction);
        assert_eq!(pending.is_some(), case.settle_requests == 2, "{}", case.name);
    }
}

#[test]
fn supported_of_the_reference_round_trips() {
    let expected = json(FILE)["supported_of_the_reference"].take();
    let read: SupportedResponse = serde_json::from_value(expected.clone()).unwrap();
    assert!(read.kinds.len() > 20);
    assert_eq!(serde_json::to_value(&read).unwrap(), expected);
}
