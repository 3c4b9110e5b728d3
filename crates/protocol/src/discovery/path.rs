//! Paths of resources: their one form, and templates.

/// The path as it stands in a resource's key: it begins with `/`, has no query, no fragment, no empty segment, and no
/// slash at its end.
///
/// ```
/// use farthing_protocol::discovery::normal;
/// assert_eq!(normal("v1//search/?q=1"), "/v1/search");
/// assert_eq!(normal("/"), "/");
/// ```
#[must_use]
pub fn normal(path: &str) -> String {
    let path = path.trim().split(['?', '#']).next().unwrap_or_default();
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    format!("/{}", segments.join("/"))
}

/// Whether a path is one of a template's: `/weather/berlin` of `/weather/{city}`. A parameter may be a part of a segment,
/// and is never empty.
#[must_use]
pub fn matches(template: &str, path: &str) -> bool {
    let (template, path) = (normal(template), normal(path));
    let (mut wanted, mut given) = (template.split('/'), path.split('/'));
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return true,
            (Some(wanted), Some(given)) if segment_matches(wanted, given) => {}
            _ => return false,
        }
    }
}

fn segment_matches(wanted: &str, given: &str) -> bool {
    let Some((before, rest)) = wanted.split_once('{') else { return wanted == given };
    let Some((_, after)) = rest.split_once('}') else { return wanted == given };
    // What follows the first parameter may hold others; the text up to them has to be there.
    let fixed_end = after.rsplit_once('}').map_or(after, |(_, end)| end);
    given
        .strip_prefix(before)
        .and_then(|rest| rest.strip_suffix(fixed_end))
        .is_some_and(|value| !value.is_empty())
}

/// A template with its parameters filled in, each by what `value` gives for its name. `None` when that gives nothing.
pub fn fill(template: &str, value: impl Fn(&str) -> Option<String>) -> Option<String> {
    let mut filled = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}')?;
        filled.push_str(before);
        filled.push_str(&value(name)?);
        rest = after;
    }
    filled.push_str(rest);
    Some(filled)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn templates_match_whole_segments_and_parts_of_them() {
        for (template, path, is) in [
            ("/weather/{city}", "/weather/berlin", true),
            ("/weather/{city}", "/weather/berlin/", true),
            ("/weather/{city}", "/weather", false),
            ("/weather/{city}", "/weather/a/b", false),
            ("/files/{name}.json", "/files/a.json", true),
            ("/files/{name}.json", "/files/.json", false),
            ("/{a}-{b}", "/x-y", true),
            ("/a", "/A", false),
            ("/a{", "/a{", true),
            ("/", "", true),
        ] {
            assert_eq!(matches(template, path), is, "{template} {path}");
        }
    }

    #[test]
    fn templates_are_filled_or_not() {
        let value = |name: &str| (name == "a").then(|| "1".to_owned());
        assert_eq!(fill("/x/{a}/y{a}", value).as_deref(), Some("/x/1/y1"));
        assert_eq!(fill("/x/{b}", value), None);
        assert_eq!(fill("/x/{a", value), None);
    }

    proptest! {
        #[test]
        fn a_normal_path_stays(path in "\\PC{0,40}") {
            let once = normal(&path);
            prop_assert_eq!(normal(&once), once);
        }

        #[test]
        fn any_two_texts_match_or_not(a in "[/{}a.]{0,12}", b in "[/{}a.]{0,12}") {
            let _ = matches(&a, &b);
            let _ = fill(&a, |_| Some("x".to_owned()));
        }
    }
}
