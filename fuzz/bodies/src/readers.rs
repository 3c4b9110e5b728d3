//! How servers behind a gateway read paths. Each is the habit of some deployed server or framework.

/// A habit of reading: the path that the server goes by, or none where it refuses.
pub(crate) type Reader = fn(&str) -> Option<String>;

/// The habits, with a server that has each.
pub(crate) const READERS: [(&str, Reader); 9] = [
    ("as it is", |path| Some(path.to_owned())),
    ("decoded once (most)", decoded),
    ("decoded twice (behind another proxy)", |path| decoded(&decoded(path)?)),
    ("slashes merged, dots resolved (nginx)", |path| Some(resolved(&decoded(path)?))),
    ("resolved before it is decoded (old Apache)", |path| decoded(&resolved(path))),
    ("parameters cut off (Tomcat)", |path| Some(resolved(&decoded(&without_parameters(path))?))),
    ("backslashes for slashes, no case (IIS)", |path| {
        Some(resolved(&decoded(path)?.replace('\\', "/")).to_lowercase())
    }),
    ("cut at a zero byte (C)", |path| decoded(path)?.split('\0').next().map(str::to_owned)),
    ("white space trimmed (some frameworks)", |path| Some(decoded(path)?.trim().to_owned())),
];

/// Every way of writing a letter as an escape, or not, as `choices` say: a spelling that means the same.
pub(crate) fn spelt(path: &str, choices: &[u8]) -> String {
    let mut choices = choices.iter().chain(std::iter::repeat(&0));
    let mut out = String::new();
    for byte in path.bytes() {
        let choice = choices.next().copied().unwrap_or_default();
        match choice % 4 {
            1 if byte != b'/' && byte != b'%' => out.push_str(&format!("%{byte:02x}")),
            2 if byte != b'/' && byte != b'%' => out.push_str(&format!("%{byte:02X}")),
            _ => out.push(char::from(byte)),
        }
    }
    out
}

/// A path as a client would write it that wants a server to see `path`.
pub(crate) fn written(path: &str) -> String {
    let escaped = |byte: u8| match byte {
        b'/' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        byte if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    path.bytes().map(escaped).collect()
}

fn decoded(path: &str) -> Option<String> {
    let bytes = path.as_bytes();
    let mut out = Vec::new();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let digits = bytes
            .get(at + 1..at + 3)
            .filter(|_| byte == b'%')
            .filter(|d| d.iter().all(u8::is_ascii_hexdigit));
        let value = digits.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        at += if value.is_some() { 3 } else { 1 };
        out.push(value.unwrap_or(byte));
    }
    String::from_utf8(out).ok()
}

fn resolved(path: &str) -> String {
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            segment => segments.push(segment),
        }
    }
    format!("/{}", segments.join("/"))
}

fn without_parameters(path: &str) -> String {
    path.split('/').map(|part| part.split(';').next().unwrap_or_default()).collect::<Vec<_>>().join("/")
}
