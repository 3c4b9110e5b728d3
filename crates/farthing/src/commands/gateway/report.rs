//! What a check found, for people and for programs.

use farthing_gateway::Notice;
use farthing_protocol::discovery::{Code as Finds, Finding, Severity};
use serde_json::{Value, json};

use crate::exit::{Code, Failure};
use crate::output::{self, BAD, DIM, GOOD, Output, STRONG, WARN};

/// Something that was found, whoever found it.
pub(super) struct Found {
    severity: Severity,
    code: String,
    place: String,
    message: String,
    advice: String,
    resource: Option<String>,
}

impl From<Finding> for Found {
    fn from(finding: Finding) -> Self {
        Self {
            severity: finding.severity,
            code: finding.code.to_string(),
            place: finding.place,
            message: finding.message,
            advice: advice(finding.code).unwrap_or(finding.advice).to_owned(),
            resource: finding.resource,
        }
    }
}

/// What the operator of a gateway can do, where that is something else than for other servers.
fn advice(code: Finds) -> Option<&'static str> {
    Some(match code {
        Finds::MissingInputSchema => "add `input` to the route, a JSON Schema",
        Finds::MissingOutputSchema => "add `output` to the route, a JSON Schema",
        Finds::MissingBazaarSchema => {
            "add `input` and `output` to the route: facilitators and indexes list it by them"
        }
        Finds::MissingSummary => "add `summary` to the route",
        Finds::MissingContact => "add `discovery.contact`",
        Finds::ResourceUrlOfAnotherOrigin | Finds::ServerOfAnotherOrigin => {
            "set `public_url` to where buyers find the gateway"
        }
        _ => return None,
    })
}

impl From<Notice> for Found {
    fn from(notice: Notice) -> Self {
        Self {
            severity: notice.severity,
            code: notice.code.to_owned(),
            place: notice.place,
            message: notice.message,
            advice: notice.advice.to_owned(),
            resource: None,
        }
    }
}

impl Found {
    pub(super) fn info(code: &str, place: &str, message: String, advice: &str) -> Self {
        Self {
            severity: Severity::Info,
            code: code.to_owned(),
            place: place.to_owned(),
            message,
            advice: advice.to_owned(),
            resource: None,
        }
    }

    pub(super) fn warning(code: &str, place: &str, message: String, advice: &str) -> Self {
        Self { severity: Severity::Warning, ..Self::info(code, place, message, advice) }
    }

    pub(super) fn into_warning(self) -> Self {
        Self { severity: Severity::Warning, ..self }
    }

    pub(super) fn with_advice(self, advice: &str) -> Self {
        Self { advice: advice.to_owned(), ..self }
    }

    fn to_json(&self) -> Value {
        json!({
            "code": self.code, "severity": self.severity, "place": self.place, "message": self.message,
            "advice": self.advice, "resource": self.resource,
        })
    }

    fn show(&self, output: Output) {
        let style = match self.severity {
            Severity::Error => BAD,
            Severity::Warning => WARN,
            Severity::Info => DIM,
        };
        let shown = output::printable;
        output.line(format_args!(
            "{style}{}{style:#} {STRONG}{}{STRONG:#} {}",
            self.severity,
            self.code,
            shown(&self.place)
        ));
        output.line(format_args!("  {}; {}", shown(&self.message), self.advice));
    }
}

/// Prints the findings, the worst first, after `lines`; with `--json` all of it as one object. Ends as a failure where
/// one of them keeps buyers away.
pub(super) fn end(
    mut result: Value,
    lines: &[String],
    mut found: Vec<Found>,
    output: Output,
) -> Result<(), Failure> {
    found.sort_by_key(|found| std::cmp::Reverse(found.severity));
    let errors = found.iter().filter(|found| found.severity == Severity::Error).count();
    let ending = match errors {
        0 => Ok(()),
        1 => Err(failure("one finding keeps buyers away")),
        more => Err(failure(&format!("{more} findings keep buyers away"))),
    };
    if output.json {
        result["valid"] = json!(errors == 0);
        result["findings"] = found.iter().map(Found::to_json).collect();
        return output.json_ending(result, ending);
    }
    lines.iter().for_each(|line| output.line(line));
    if !lines.is_empty() && !found.is_empty() {
        output.line("");
    }
    found.iter().for_each(|found| found.show(output));
    if errors == 0 {
        output.note(format_args!("{GOOD}valid{GOOD:#}"));
    }
    ending
}

fn failure(message: &str) -> Failure {
    Failure::new(Code::Configuration, message)
        .hint("each error above says what to do; docs/gateway.md explains every key")
}
