//! The `audit:` section: what of a call's arguments stands in the record.

use super::path::Path;
use super::values::word;
use crate::PolicyError;
use crate::json::{Json, Object};
use crate::read::{Fields, items};
use crate::yaml::Node;

/// What of the arguments is recorded.
#[derive(Debug, Clone, Default)]
pub(crate) enum Recording {
    /// A digest, which says only whether two calls were alike.
    #[default]
    Digest,
    /// The arguments, without what stands at these paths.
    Without(Vec<Path>),
}

impl Recording {
    pub(crate) fn of(&self, arguments: &Object) -> Option<Json> {
        let Self::Without(hidden) = self else { return None };
        let mut kept = Json::Object(arguments.clone());
        // In whatever letters a key is written: a server may read them all.
        for path in hidden.iter().flat_map(|path| path.spelled_in(arguments)) {
            path.replace(&mut kept, Json::from("[redacted]"));
        }
        Some(kept)
    }
}

/// Reads the section: `audit: {arguments: redacted, redact: [args.password]}`.
pub(crate) fn recording(node: Node) -> Result<Recording, PolicyError> {
    let at = node.at;
    let mut fields = Fields::of(node, &["arguments", "redact"])?;
    let arguments = word(fields.need("arguments", "write digest or redacted")?)?;
    let redact = fields.take("redact");
    match (arguments.as_str(), redact) {
        ("digest", None) => Ok(Recording::Digest),
        ("digest", Some(node)) => {
            Err(node.at.error("a digest holds no arguments: there is nothing to redact"))
        }
        ("redacted", None) => Ok(Recording::Without(Vec::new())),
        ("redacted", Some(node)) => {
            let paths = items(node)?.into_iter().map(|node| {
                let at = node.at;
                Path::parse(&word(node)?).map_err(|why| at.error(why))
            });
            Ok(Recording::Without(paths.collect::<Result<_, _>>()?))
        }
        _ => Err(at.error("arguments are recorded as digest or redacted")),
    }
}

#[cfg(test)]
mod tests {
    use crate::Policy;
    use crate::json::Json;

    #[test]
    fn what_is_named_is_not_kept() {
        let policy = "version: 1\ntools: {}\naudit: {arguments: redacted, redact: [args.password, \"args.list[1].key\"]}\n";
        let policy = Policy::parse(policy).unwrap();
        let json = Json::parse(br#"{"password":"x","list":[{"key":1},{"key":2}],"a":1}"#).unwrap();
        let kept = policy.recorded(json.as_object().unwrap()).unwrap().to_string();
        assert_eq!(kept, r#"{"password":"[redacted]","list":[{"key":1},{"key":"[redacted]"}],"a":1}"#);
        let shouted = Json::parse(br#"{"PASSWORD":"x","Password":"y","a":1}"#).unwrap();
        let kept = policy.recorded(shouted.as_object().unwrap()).unwrap().to_string();
        assert_eq!(kept, r#"{"PASSWORD":"[redacted]","Password":"[redacted]","a":1}"#);
        let policy = Policy::parse("version: 1\ntools: {}\n").unwrap();
        assert!(policy.recorded(json.as_object().unwrap()).is_none());
        for wrong in [
            "{}",
            "{arguments: all}",
            "{arguments: digest, redact: [args.x]}",
            "{arguments: redacted, redact: []}",
        ] {
            assert!(Policy::parse(&format!("version: 1\ntools: {{}}\naudit: {wrong}\n")).is_err(), "{wrong}");
        }
    }
}
