use serde::Serialize;

/// How a facilitator is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// Whether it can answer for at least one network.
    pub serving: bool,
    /// What is wrong, without addresses or keys of endpoints.
    pub reasons: Vec<String>,
}

impl Serialize for Health {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Body<'a> {
            status: &'static str,
            #[serde(skip_serializing_if = "<[String]>::is_empty")]
            reasons: &'a [String],
        }
        let status = match (self.serving, self.reasons.is_empty()) {
            (true, true) => "ok",
            (true, false) => "degraded",
            (false, _) => "down",
        };
        Body { status, reasons: &self.reasons }.serialize(serializer)
    }
}
