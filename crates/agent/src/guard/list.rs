//! The server's list of tools, without the hidden ones.

use farthing_policy::json::{Json, Object};

use super::scan::same_folded;

/// Takes hidden tools out of an answer to `tools/list`. None: nothing was taken out.
///
/// # Errors
/// Why the list can't be read. It must not be passed on then: who knows what the client would find in it.
pub(super) fn without_hidden(answer: &[u8], hides: impl Fn(&str) -> bool) -> Result<Option<Json>, String> {
    let mut json = Json::parse(answer).map_err(|error| error.to_string())?;
    let Json::Object(message) = &mut json else { return Err("it is no object".to_owned()) };
    if message.get("error").is_some() {
        return if message.get("result").is_some() {
            Err("it has an error too".to_owned())
        } else {
            Ok(None)
        };
    }
    let Some(Json::Object(result)) = message.get_mut("result") else {
        return Err("the result is no object".to_owned());
    };
    exact(result, "tools")?;
    let Some(Json::Array(tools)) = result.get_mut("tools") else {
        return Err("result.tools is no list".to_owned());
    };
    for tool in tools.iter() {
        exact(tool.as_object().ok_or("a tool is no object")?, "name")?;
        tool.get("name").and_then(Json::as_str).ok_or("a tool has no name")?;
    }
    let before = tools.len();
    tools.retain(|tool| !tool.get("name").and_then(Json::as_str).is_some_and(&hides));
    Ok((tools.len() < before).then_some(json))
}

fn exact(object: &Object, known: &str) -> Result<(), String> {
    let odd = object.iter().find(|(key, _)| *key != known && same_folded(known.as_bytes(), key.as_bytes()));
    odd.map_or(Ok(()), |(key, _)| Err(format!("the key {key:?} must be written {known:?}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(text: &str) -> Result<Option<String>, String> {
        let filtered = without_hidden(text.as_bytes(), |tool| tool == "purge")?;
        Ok(filtered.map(|json| json.to_string()))
    }

    #[test]
    fn only_hidden_tools_go() {
        let text =
            r#"{"id":1,"result":{"tools":[{"name":"a","x":1},{"name":"purge"}],"nextCursor":"c","y":2}}"#;
        let kept = r#"{"id":1,"result":{"tools":[{"name":"a","x":1}],"nextCursor":"c","y":2}}"#;
        assert_eq!(filter(text).unwrap().unwrap(), kept);
        assert_eq!(filter(kept), Ok(None));
        assert_eq!(filter(r#"{"id":1,"error":{"code":1}}"#), Ok(None));
    }

    #[test]
    fn what_cannot_be_read_is_an_error() {
        for text in [
            "{",
            "[]",
            r#"{"id":1}"#,
            r#"{"id":1,"result":[]}"#,
            r#"{"id":1,"result":{"tools":{}}}"#,
            r#"{"id":1,"result":{"tools":[{"name":"purge"}]},"error":{}}"#,
            r#"{"id":1,"result":{"tools":[],"Tools":[{"name":"purge"}]}}"#,
            r#"{"id":1,"result":{"tools":["purge"]}}"#,
            r#"{"id":1,"result":{"tools":[{"name":"a","NAME":"purge"}]}}"#,
            r#"{"id":1,"result":{"tools":[{"title":"purge"}]}}"#,
            r#"{"id":1,"result":{"tools":[],"tools":[]}}"#,
        ] {
            assert!(filter(text).is_err(), "{text}");
        }
    }
}
