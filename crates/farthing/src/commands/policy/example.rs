//! `farthing policy example`: ready policies. They are files of `docs/policies/`, which a test loads and bounds.

use serde_json::json;

use crate::exit::{Code, Failure};
use crate::output::Output;

/// The ready policies, by name.
pub(crate) const EXAMPLES: [(&str, &str); 3] = [
    ("research-agent", include_str!("../../../../../docs/policies/research-agent.yaml")),
    ("coding-agent", include_str!("../../../../../docs/policies/coding-agent.yaml")),
    ("team", include_str!("../../../../../docs/policies/team.yaml")),
];

pub(super) fn run(name: &str, output: Output) -> Result<(), Failure> {
    let Some((_, text)) = EXAMPLES.iter().find(|(known, _)| *known == name) else {
        let names = EXAMPLES.map(|(name, _)| name).join(", ");
        return Err(Failure::new(Code::Configuration, format!("there is no example `{name}`"))
            .hint(format!("there are {names}")));
    };
    if output.json {
        output.json(&json!({"name": name, "policy": text}));
    } else {
        output.line(text.trim_end());
    }
    Ok(())
}
