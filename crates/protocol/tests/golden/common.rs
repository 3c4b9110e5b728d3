use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;

/// One table of a golden file.
pub(crate) fn table<T: DeserializeOwned>(file: &str, name: &str) -> Vec<T> {
    let mut file: Value = serde_json::from_str(file).unwrap();
    let rows: Vec<T> = serde_json::from_value(file[name].take()).unwrap();
    assert!(rows.len() > 5, "{name} has {} rows", rows.len());
    rows
}

pub(crate) fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

pub(crate) fn raw(value: &Value) -> Box<RawValue> {
    serde_json::value::to_raw_value(value).unwrap()
}

/// The text inside a header.
pub(crate) fn unpacked(header: &str) -> String {
    String::from_utf8(STANDARD.decode(header).unwrap()).unwrap()
}

/// The cases in which we differ from the reference, each with the reason.
pub(crate) struct Differences(pub(crate) &'static [(&'static str, &'static str)]);

impl Differences {
    /// Fails unless `same` holds exactly for the cases that are not listed.
    pub(crate) fn check(&self, case: &str, same: bool, shown: impl std::fmt::Debug) {
        match self.0.iter().find(|(name, _)| *name == case) {
            None => assert!(same, "{case}: {shown:?}"),
            Some((_, why)) => assert!(!same, "{case} is listed (because {why}) and does not differ"),
        }
    }
}
