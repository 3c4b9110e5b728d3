use farthing_money::Registry;
use farthing_protocol::discovery::{Code, Document, Finding};
use serde_json::{Value, json};

pub(crate) const ORIGIN: &str = "https://api.example.com";

pub(crate) const USDC: &str = "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913";

pub(crate) fn read(document: &Value) -> Document {
    Document::read(document.to_string().as_bytes(), ORIGIN, &Registry::builtin()).unwrap()
}

pub(crate) fn codes(findings: &[Finding]) -> Vec<&'static str> {
    findings.iter().map(|finding| finding.code.as_str()).collect()
}

pub(crate) fn at(findings: &[Finding], code: Code) -> Vec<&str> {
    findings.iter().filter(|finding| finding.code == code).map(|finding| finding.place.as_str()).collect()
}

/// A document of one operation.
pub(crate) fn selling(info: Value) -> Value {
    json!({"openapi": "3.1.0", "info": {"title": "T", "version": "1", "contact": {"url": "https://a.example"}},
        "paths": {"/a": {"get": {"summary": "A", "parameters": [], "x-payment-info": info,
            "responses": {"200": {"content": {"application/json": {"example": 1}}}, "402": {}}}}}})
}
