//! Paths of resources: their one form, and templates.

/// The path as it stands in a resource's key: it begins with `/`, has no query, no fragment, no empty segment, and no
/// slash at its end. Outside of a template's braces it is percent-encoded in one way, whoever wrote it: what needs no
/// escape has none, what needs one has it, with upper-case digits. An escaped slash stays what it is.
///
/// ```
/// use farthing_protocol::discovery::normal;
/// assert_eq!(normal("v1//search/?q=1"), "/v1/search");
/// assert_eq!(normal("/zürich/{straße}"), "/z%C3%BCrich/{straße}");
/// assert_eq!(normal("/z%c3%bcrich/%7Ea"), "/z%C3%BCrich/~a");
/// assert_eq!(normal("/"), "/");
/// ```
#[must_use]
pub fn normal(path: &str) -> String {
    let path = path.trim_ascii().split(['?', '#']).next().unwrap_or_default();
    let segments = path.split('/').filter(|segment| !segment.is_empty());
    let mut normal = String::new();
    for segment in segments {
        normal.push('/');
        pieces(segment, |piece| match piece {
            Piece::Fixed(text) => recode(text, &mut normal),
            Piece::Parameter(name) => normal.extend(["{", name, "}"]),
        });
    }
    if normal.is_empty() { "/".to_owned() } else { normal }
}

/// A part of a template.
enum Piece<'a> {
    Fixed(&'a str),
    /// A parameter's name.
    Parameter(&'a str),
}

/// Every part of a template, in its order. A brace without its other half is text.
fn pieces<'a>(template: &'a str, mut take: impl FnMut(Piece<'a>)) {
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let Some((name, after)) = after.split_once('}') else { break };
        take(Piece::Fixed(before));
        take(Piece::Parameter(name));
        rest = after;
    }
    take(Piece::Fixed(rest));
}

/// Percent-encoded text in its one form.
fn recode(text: &str, into: &mut String) {
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let escaped = if *first == b'%' { escape(tail) } else { None };
        rest = if escaped.is_some() { &tail[2..] } else { tail };
        match escaped {
            Some(byte) if is_unreserved(byte) => into.push(char::from(byte)),
            None if is_unreserved(*first) || b"!$&'()*+,;=:@{}".contains(first) => {
                into.push(char::from(*first))
            }
            escaped => push_escaped(escaped.unwrap_or(*first), into),
        }
    }
}

fn escape(digits: &[u8]) -> Option<u8> {
    let digit = |at: usize| char::from(*digits.get(at)?).to_digit(16);
    u8::try_from(digit(0)? * 16 + digit(1)?).ok()
}

/// What stands for itself, escaped or not (RFC 3986, section 2.3).
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

fn push_escaped(byte: u8, into: &mut String) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    into.push('%');
    for nibble in [byte >> 4, byte & 15] {
        into.push(char::from(HEX[usize::from(nibble)]));
    }
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

/// The fixed parts have to stand there in their order, with something between each two.
fn segment_matches(wanted: &str, given: &str) -> bool {
    let mut fixed = Vec::new();
    pieces(wanted, |piece| {
        if let Piece::Fixed(text) = piece {
            fixed.push(text);
        }
    });
    let (Some((first, rest)), Some(last)) = (fixed.split_first(), fixed.last()) else { return false };
    if rest.is_empty() {
        return wanted == given;
    }
    let Some(mut left) = given.strip_prefix(first) else { return false };
    for text in &rest[..rest.len() - 1] {
        match after_a_value(left, text) {
            Some(after) => left = after,
            None => return false,
        }
    }
    left.strip_suffix(last).is_some_and(|value| !value.is_empty())
}

/// What follows the first such text that has at least one character before it.
fn after_a_value<'a>(given: &'a str, text: &str) -> Option<&'a str> {
    let mut characters = given.chars();
    characters.next()?;
    characters.as_str().split_once(text).map(|(_, after)| after)
}

/// A template with its parameters filled in, each by what `value` gives for its name, percent-encoded. `None` when that
/// gives nothing, or a brace stands alone.
pub fn fill(template: &str, mut value: impl FnMut(&str) -> Option<String>) -> Option<String> {
    let mut filled = Some(String::new());
    pieces(template, |piece| {
        filled = filled.take().and_then(|mut filled| {
            match piece {
                Piece::Fixed(text) if text.contains('{') => return None,
                Piece::Fixed(text) => filled.push_str(text),
                Piece::Parameter(name) => encode(&value(name)?, &mut filled),
            }
            Some(filled)
        });
    });
    filled
}

/// A value as one segment, or a part of one.
fn encode(value: &str, into: &mut String) {
    for byte in value.bytes() {
        if is_unreserved(byte) { into.push(char::from(byte)) } else { push_escaped(byte, into) }
    }
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
            ("/{a}-{b}", "/foo", false),
            ("/{a}-{b}", "/x-", false),
            ("/{a}-{b}.{c}", "/--.x", false),
            ("/{a}-{b}.{c}", "/x-y-z.a.b", true),
            ("/{a}{b}", "/x", false),
            ("/zürich/{x}", "/z%c3%bcrich/ü", true),
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
        assert_eq!(fill("/x/{a}", |_| Some("a/b ü%".to_owned())).as_deref(), Some("/x/a%2Fb%20%C3%BC%25"));
        assert_eq!(fill("/x/{b}", value), None);
        assert_eq!(fill("/x/{a", value), None);
    }

    #[test]
    fn one_path_has_one_form() {
        for (given, form) in [
            ("/z%C3%BCrich", "/z%C3%BCrich"),
            ("/z%c3%bcrich", "/z%C3%BCrich"),
            ("/zürich", "/z%C3%BCrich"),
            ("/a b", "/a%20b"),
            ("/a%20b", "/a%20b"),
            ("/%61%2Fb", "/a%2Fb"),
            ("/50%25", "/50%25"),
            ("/50%", "/50%25"),
            ("/%zz", "/%25zz"),
            ("/a:b@c,d", "/a:b@c,d"),
            ("/{größe}.json", "/{größe}.json"),
        ] {
            assert_eq!(normal(given), form, "{given}");
        }
    }

    proptest! {
        /// A document's own words and the address that is asked for are the same resource.
        #[test]
        fn a_path_and_its_address_have_one_form(path in "/[^\\x00-\\x20/?#{}\\\\.]{1,20}") {
            let mut url = url::Url::parse("https://a.example").unwrap();
            url.set_path(&path);
            prop_assert_eq!(normal(url.path()), normal(&path));
        }

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
