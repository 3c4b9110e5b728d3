use std::borrow::Cow;

/// The longest path that is looked at, in bytes.
const MAX_PATH_BYTES: usize = 8 * 1024;

/// Why a path is refused instead of being guessed at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PathError {
    /// It does not begin with `/`.
    #[error("the path must begin with /")]
    NotAbsolute,
    /// It is longer than 8 KiB.
    #[error("the path is too long")]
    TooLong,
    /// `//`: servers disagree on whether it is one slash.
    #[error("the path has an empty segment (//)")]
    EmptySegment,
    /// `.` or `..`, encoded or not.
    #[error("the path has a dot segment")]
    DotSegment,
    /// `%` without two hex digits, or bytes that are no UTF-8.
    #[error("the path is not validly percent-encoded UTF-8")]
    Encoding,
    /// An encoded slash or backslash, a control character, encoded or not, or an escape that was escaped again.
    #[error("the path hides a slash, a backslash, a control character, or a second encoding")]
    Hidden,
    /// A backslash or `;`, which some servers take for a separator, or white space at an end of a segment, which some
    /// cut off (CVE-2016-5007).
    #[error("the path has a character that servers read differently")]
    Ambiguous,
}

/// The one form of a path that is both matched and proxied.
///
/// Encoded letters are decoded, what must be encoded is, hex digits are upper case. What two servers could read
/// differently is an error, because a path that the gateway and the upstream read differently is a way around the
/// price (reference/x402.md, "paywall bypass"). A trailing slash is kept here; routes ignore it.
///
/// # Errors
/// [`PathError`]
///
/// ```
/// use farthing_gateway::canonical_path;
/// assert_eq!(canonical_path("/we%61ther/z%c3%bcrich")?, "/weather/z%C3%BCrich");
/// assert!(canonical_path("/static/%2e%2e/weather").is_err());
/// # Ok::<(), farthing_gateway::PathError>(())
/// ```
pub fn canonical_path(raw: &str) -> Result<Cow<'_, str>, PathError> {
    if raw.len() > MAX_PATH_BYTES {
        return Err(PathError::TooLong);
    }
    if !raw.starts_with('/') {
        return Err(PathError::NotAbsolute);
    }
    let path = if raw.bytes().all(is_plain) { Cow::Borrowed(raw) } else { Cow::Owned(recode(raw)?) };
    check_segments(&path)?;
    Ok(path)
}

/// What stands for itself, everywhere: unreserved characters, most sub-delimiters, and the slash between segments.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~/!$&'()*+,=:@".contains(&byte)
}

fn check_segments(path: &str) -> Result<(), PathError> {
    if path.contains("//") {
        return Err(PathError::EmptySegment);
    }
    if path.split('/').any(|segment| matches!(segment, "." | "..")) {
        return Err(PathError::DotSegment);
    }
    Ok(())
}

fn recode(raw: &str) -> Result<String, PathError> {
    let mut decoded = Vec::with_capacity(raw.len());
    let mut out = String::with_capacity(raw.len());
    let bytes = raw.as_bytes();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let (value, escaped) = match byte {
            b'%' => (escape_at(bytes, at).ok_or(PathError::Encoding)?, true),
            b'\\' | b';' => return Err(PathError::Ambiguous),
            byte => (byte, false),
        };
        at += if escaped { 3 } else { 1 };
        if value.is_ascii_control() || (escaped && matches!(value, b'/' | b'\\')) {
            return Err(PathError::Hidden);
        }
        decoded.push(value);
        push(&mut out, value, escaped);
    }
    let text = std::str::from_utf8(&decoded).map_err(|_| PathError::Encoding)?;
    if text.split('/').any(|segment| segment.trim() != segment) {
        return Err(PathError::Ambiguous);
    }
    if escapes_twice(&out) {
        return Err(PathError::Hidden);
    }
    Ok(out)
}

fn escape_at(bytes: &[u8], at: usize) -> Option<u8> {
    let digits: [u8; 2] = bytes.get(at + 1..at + 3)?.try_into().ok()?;
    let mut value = [0];
    hex::decode_to_slice(digits, &mut value).ok()?;
    Some(value[0])
}

/// Whether decoding once more would decode something more. Looked for in the canonical form, where an escape cannot
/// be put together from other escapes any more.
fn escapes_twice(path: &str) -> bool {
    path.match_indices("%25").any(|(at, escape)| {
        let next = path.as_bytes().get(at + escape.len()..at + escape.len() + 2);
        next.is_some_and(|next| next.iter().all(u8::is_ascii_hexdigit))
    })
}

fn push(out: &mut String, value: u8, escaped: bool) {
    let unreserved = value.is_ascii_alphanumeric() || b"-._~".contains(&value);
    if unreserved || (!escaped && is_plain(value)) {
        out.push(char::from(value));
        return;
    }
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    out.push('%');
    for nibble in [value >> 4, value & 15] {
        out.push(char::from(HEX[usize::from(nibble)]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn one_path_has_one_form() {
        for (raw, canonical) in [
            ("/", "/"),
            ("/weather", "/weather"),
            ("/weather/", "/weather/"),
            ("/we%61ther", "/weather"),
            ("/a%2Db%7e", "/a-b~"),
            ("/z%c3%bcrich", "/z%C3%BCrich"),
            ("/zürich", "/z%C3%BCrich"),
            ("/a%20b", "/a%20b"),
            ("/50%25", "/50%25"),
            ("/50%25 x", "/50%25%20x"),
            ("/a|b\"{c}", "/a%7Cb%22%7Bc%7D"),
            ("/a%3Fb%23", "/a%3Fb%23"),
            ("/...", "/..."),
            ("/a:b@c,d;".trim_end_matches(';'), "/a:b@c,d"),
            ("/a%3Bb", "/a%3Bb"),
        ] {
            assert_eq!(canonical_path(raw).as_deref(), Ok(canonical), "{raw}");
        }
    }

    #[test]
    fn what_could_be_read_twice_is_refused() {
        for (raw, error) in [
            ("", PathError::NotAbsolute),
            ("weather", PathError::NotAbsolute),
            ("*", PathError::NotAbsolute),
            ("//", PathError::EmptySegment),
            ("//weather", PathError::EmptySegment),
            ("/weather//", PathError::EmptySegment),
            ("/a//b", PathError::EmptySegment),
            ("/./weather", PathError::DotSegment),
            ("/static/../weather", PathError::DotSegment),
            ("/static/..", PathError::DotSegment),
            ("/static/../", PathError::DotSegment),
            ("/static/%2e%2E/weather", PathError::DotSegment),
            ("/static/.%2e/weather", PathError::DotSegment),
            ("/static%2Fweather", PathError::Hidden),
            ("/static%2fweather", PathError::Hidden),
            ("/static%5Cweather", PathError::Hidden),
            ("/static%252Fweather", PathError::Hidden),
            ("/static%25%32%46", PathError::Hidden),
            ("/weather%00", PathError::Hidden),
            ("/weather%0a", PathError::Hidden),
            ("/weather%7f", PathError::Hidden),
            // Found by fuzz/targets/path.rs: it became `%11`, which is refused.
            ("/weather\u{11}", PathError::Hidden),
            ("/weather\n", PathError::Hidden),
            ("/static\\weather", PathError::Ambiguous),
            ("/weather;x=1", PathError::Ambiguous),
            ("/..;/weather", PathError::Ambiguous),
            // Found by fuzz/targets/path.rs: to a server that trims, these are the paths without the space.
            ("/weather%20", PathError::Ambiguous),
            ("/weather/%20", PathError::Ambiguous),
            ("/%C2%A0weather/x", PathError::Ambiguous),
            ("/%", PathError::Encoding),
            ("/%2", PathError::Encoding),
            ("/%zz", PathError::Encoding),
            ("/%+f", PathError::Encoding),
            ("/%c0%af", PathError::Encoding),
            ("/%ff", PathError::Encoding),
        ] {
            assert_eq!(canonical_path(raw), Err(error), "{raw}");
        }
        assert_eq!(canonical_path(&format!("/{}", "a".repeat(MAX_PATH_BYTES))), Err(PathError::TooLong));
    }

    proptest! {
        #[test]
        fn canonical_is_canonical(raw in "/(\\PC|%[0-9a-fA-F]{2}|[/.;%a-c]){0,40}") {
            if let Ok(path) = canonical_path(&raw) {
                prop_assert_eq!(canonical_path(&path).unwrap(), &*path);
                prop_assert!(path.starts_with('/') && !path.contains("//"));
                prop_assert!(path.parse::<http::uri::PathAndQuery>().is_ok_and(|p| p.path() == path));
            }
        }
    }
}
