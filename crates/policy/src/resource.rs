//! Resources: one method and address of a provider, in the form in which they are compared.
use std::fmt;

use url::Url;

use crate::error::printable;
use crate::host::HostName;

/// The longest path that is compared with those above it.
const MAX_PATH: usize = 512;

/// The method of a call of an MCP server's tool. Such an address's fragment names the tool.
const MCP: &str = "MCP";

/// An address as it is compared and counted: without query, one spelling per path; of a call of an MCP server with the
/// tool, else without fragment.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Resource {
    scheme: String,
    host: HostName,
    /// Begins with a slash; ends with one only where it is nothing else.
    path: String,
    /// The tool of an MCP server, as an address's fragment writes it.
    tool: Option<String>,
}

/// An entry in a list of resources: one address, or everything below a path; with one method, or with any.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct ResourcePattern {
    method: Option<String>,
    base: Resource,
    /// `https://a.com/v1/*` is what lies below `/v1`, not `/v1` itself; `https://a.com/*` is everything there.
    below: bool,
}

impl Resource {
    /// Reads the address of a call.
    pub(crate) fn called(method: &str, text: &str) -> Result<Self, String> {
        let called = Self::parse(text)?;
        let names_tool = method.eq_ignore_ascii_case(MCP);
        Ok(Self { tool: called.tool.filter(|_| names_tool), ..called })
    }

    fn parse(text: &str) -> Result<Self, String> {
        let url = Url::parse(text).map_err(|_| {
            format!("`{}` is not an address, such as https://api.example.com/v1", printable(text))
        })?;
        let host = url.host_str().unwrap_or_default();
        let host = match url.port() {
            Some(port) => HostName::parse(&format!("{host}:{port}"))?,
            None => HostName::parse(host)?,
        };
        let path = canonical_path(url.path()).ok_or_else(|| {
            format!(
                "the path of `{}` can be read in more than one way, so no rule can be sure of it",
                printable(text)
            )
        })?;
        let tool = url.fragment().map(str::to_owned);
        Ok(Self { scheme: url.scheme().to_owned(), host, path, tool })
    }

    fn lies_below(&self, base: &str) -> bool {
        base == "/" || self.path.strip_prefix(base).is_some_and(|rest| rest.starts_with('/'))
    }

    fn same_site(&self, other: &Self) -> bool {
        self.scheme == other.scheme && self.host == other.host
    }
}

impl ResourcePattern {
    /// Reads an entry of a policy: `GET https://api.example.com/v1/search`, or `https://api.example.com/v1/*`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (method, address) = match text.split_once(' ') {
            Some((method, address)) => (Some(method), address),
            None => (None, text),
        };
        if let Some(method) = method.filter(|m| m.is_empty() || !m.bytes().all(|b| b.is_ascii_uppercase())) {
            return Err(format!(
                "`{}` is not a method: write it in capitals, such as GET",
                printable(method)
            ));
        }
        if address.contains('?') {
            return Err("leave the query out: it is ignored when resources are compared".to_owned());
        }
        let (place, tool) = match address.split_once('#') {
            Some((place, tool)) => (place, Some(tool)),
            None => (address, None),
        };
        if tool.is_some_and(|tool| tool.is_empty() || method != Some(MCP)) {
            return Err(format!(
                "`{}`: leave out what begins with `#`; only tools of MCP servers are named so: `MCP https://host/mcp#tool`",
                printable(address)
            ));
        }
        let (base, below) = match place.strip_suffix("/*") {
            Some(base) => (format!("{base}/"), true),
            None => (place.to_owned(), false),
        };
        if base.contains('*') || (below && tool.is_some()) {
            return Err(format!("`{}`: a star may only stand at the end, after a slash", printable(address)));
        }
        let base = tool.map_or(base.clone(), |tool| format!("{base}#{tool}"));
        Ok(Self { method: method.map(str::to_owned), base: Resource::parse(&base)?, below })
    }

    /// Whether the entry covers a request.
    pub(crate) fn covers(&self, method: &str, resource: &Resource) -> bool {
        self.method.as_ref().is_none_or(|own| own.eq_ignore_ascii_case(method)) && self.reaches(resource)
    }

    fn reaches(&self, resource: &Resource) -> bool {
        self.base.same_site(resource)
            && match (self.below, &self.base.tool) {
                (true, _) => resource.lies_below(&self.base.path),
                (false, tool) => {
                    resource.path == self.base.path && (tool.is_none() || *tool == resource.tool)
                }
            }
    }

    /// Every other entry that covers all that this one covers. Of a path that is too long to be meant, nothing but itself.
    pub(crate) fn wider(&self) -> Vec<Self> {
        let mut wider = vec![self.clone()];
        if self.base.tool.is_some() {
            wider.push(self.for_every_tool());
        }
        let mut path = Some(self.base.path.as_str()).filter(|path| path.len() <= MAX_PATH);
        if !self.below && path == Some("/") {
            wider.push(Self { below: true, ..self.for_every_tool() });
        }
        while let Some((parent, _)) = path.filter(|path| *path != "/").and_then(|path| path.rsplit_once('/'))
        {
            let parent = if parent.is_empty() { "/" } else { parent };
            let base = Resource { path: parent.to_owned(), tool: None, ..self.base.clone() };
            wider.push(Self { below: true, base, method: self.method.clone() });
            path = Some(parent);
        }
        if self.method.is_some() {
            // An entry for a tool is one for calls of MCP servers.
            let may = wider.iter().filter(|entry| entry.base.tool.is_none());
            let any_method: Vec<_> = may.map(Self::by_any_method).collect();
            wider.extend(any_method);
        }
        wider.retain(|entry| entry != self);
        wider
    }

    /// The entry for every method.
    pub(crate) fn by_any_method(&self) -> Self {
        Self { method: None, ..self.clone() }
    }

    fn for_every_tool(&self) -> Self {
        Self { base: Resource { tool: None, ..self.base.clone() }, ..self.clone() }
    }

    /// Whether it covers one method of one address only; of an MCP server one tool.
    pub(crate) fn is_exact(&self) -> bool {
        let is_one = self.method.as_deref() != Some(MCP) || self.base.tool.is_some();
        !self.below && self.method.is_some() && is_one
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme, self.host, self.path)?;
        self.tool.iter().try_for_each(|tool| write!(f, "#{tool}"))
    }
}

impl fmt::Display for ResourcePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(method) = &self.method {
            write!(f, "{method} ")?;
        }
        let star = match (self.below, self.base.path.as_str()) {
            (false, _) => "",
            (true, "/") => "*",
            (true, _) => "/*",
        };
        write!(f, "{}{star}", self.base)
    }
}

/// One spelling of a path: escapes of what needs none are read, the others have capitals, no slash at the end. None
/// for a path that one server reads differently from another: empty or dotted segments, escaped slashes, bad escapes.
fn canonical_path(path: &str) -> Option<String> {
    let inner = path.strip_prefix('/').unwrap_or(path);
    let inner = inner.strip_suffix('/').unwrap_or(inner);
    if inner.is_empty() {
        return matches!(path, "" | "/").then(|| "/".to_owned());
    }
    let mut canonical = String::with_capacity(path.len() + 1);
    for segment in inner.split('/') {
        let bytes = unescaped(segment)?;
        let ambiguous = |b: &u8| matches!(b, b'/' | b'\\') || b.is_ascii_control();
        if bytes.is_empty() || bytes == b"." || bytes == b".." || bytes.iter().any(ambiguous) {
            return None;
        }
        canonical.push('/');
        for byte in bytes {
            if byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@".contains(&byte) {
                canonical.push(char::from(byte));
            } else {
                canonical.push_str(&format!("%{byte:02X}"));
            }
        }
    }
    Some(canonical)
}

fn unescaped(segment: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        if *first == b'%' {
            let (digits, after) = tail.split_at_checked(2)?;
            let mut byte = [0];
            hex::decode_to_slice(digits, &mut byte).ok()?;
            bytes.extend(byte);
            rest = after;
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn covers(pattern: &str, method: &str, url: &str) -> bool {
        ResourcePattern::parse(pattern).unwrap().covers(method, &Resource::called(method, url).unwrap())
    }

    #[test]
    fn one_spelling_for_each_address() {
        for (text, canonical) in [
            ("HTTPS://API.Example.com:443/v1/../v2/%7euser/?q=1#x", "https://api.example.com/v2/~user"),
            ("https://a.com", "https://a.com/"),
            ("http://a.com:8080/a%20b/%c3%a9", "http://a.com:8080/a%20b/%C3%A9"),
            ("http://a.com/{x}", "http://a.com/%7Bx%7D"),
            ("mcp://tool/search", "mcp://tool/search"),
        ] {
            assert_eq!(Resource::called("GET", text).unwrap().to_string(), canonical, "{text}");
        }
        for text in [
            "",
            "/v1",
            "a.com/v1",
            "mailto:a@b",
            "https://a.com//v1",
            "https://a.com/v1//",
            "https://a.com/a%2Fb",
            "https://a.com/a%5cb",
            "https://a.com/a%0ab",
            "https://a.com/a%zz",
            "https://a.com/%",
            "https:///",
        ] {
            let read = Resource::parse(text);
            assert!(read.is_err() || text == "https:///", "{text}: {read:?}");
        }
    }

    #[test]
    fn a_star_stands_for_what_is_below() {
        assert!(covers("https://a.com/v1/*", "GET", "https://a.com/v1/search?q=1"));
        assert!(covers("https://a.com/v1/*", "POST", "https://a.com/v1/a/b/"));
        assert!(!covers("https://a.com/v1/*", "GET", "https://a.com/v1"));
        assert!(!covers("https://a.com/v1/*", "GET", "https://a.com/v10/x"));
        assert!(!covers("https://a.com/v1/*", "GET", "https://a.com/v1/../admin"));
        assert!(covers("https://a.com/*", "GET", "https://a.com/"));
        assert!(covers("GET https://a.com/v1", "get", "https://A.com/v1/?x"));
        assert!(!covers("GET https://a.com/v1", "POST", "https://a.com/v1"));
        assert!(!covers("https://a.com/v1", "GET", "http://a.com/v1"));
        assert!(!covers("https://a.com/v1", "GET", "https://a.com:8443/v1"));
    }

    #[test]
    fn tools_of_mcp_servers_are_told_apart() {
        let entry = "MCP https://a.com/mcp#fore cast";
        assert!(covers(entry, "MCP", "https://a.com/mcp#fore%20cast"));
        assert!(covers(entry, "MCP", "https://a.com/mcp?q=1#fore cast"));
        for (method, url) in [
            ("MCP", "https://a.com/mcp#fore"),
            ("MCP", "https://a.com/mcp#Fore%20cast"),
            ("MCP", "https://a.com/mcp"),
            ("MCP", "https://a.com/mcp/x#fore%20cast"),
            ("POST", "https://a.com/mcp#fore%20cast"),
        ] {
            assert!(!covers(entry, method, url), "{method} {url}");
        }
        for wide in ["MCP https://a.com/mcp", "https://a.com/mcp", "MCP https://a.com/*", "https://a.com/*"] {
            assert!(covers(wide, "MCP", "https://a.com/mcp#forecast"), "{wide}");
        }
        let parse = |text: &str| ResourcePattern::parse(text).unwrap();
        assert_eq!(parse(entry).to_string(), "MCP https://a.com/mcp#fore%20cast");
        assert!(parse(entry).is_exact() && !parse("MCP https://a.com/mcp").is_exact());
        let wider = parse(entry).wider();
        for wide in ["MCP https://a.com/mcp", "https://a.com/mcp", "MCP https://a.com/*", "https://a.com/*"] {
            assert!(wider.contains(&parse(wide)), "{wide}");
        }
        assert_eq!(wider.len(), 4, "{wider:?}");
        for text in [
            "https://a.com/mcp#x",
            "POST https://a.com/mcp#x",
            "MCP https://a.com/mcp#",
            "MCP https://a.com/*#x",
        ] {
            let why = ResourcePattern::parse(text).unwrap_err();
            assert!(why.contains('#') || why.contains("star"), "{text}: {why}");
        }
    }

    #[test]
    fn entries_are_compared() {
        let parse = |text: &str| ResourcePattern::parse(text).unwrap();
        let all = parse("https://a.com/v1/*");
        let covered = |narrow: &str, wide: &str| parse(narrow).wider().contains(&parse(wide));
        assert!(covered("GET https://a.com/v1/x", "https://a.com/v1/*"));
        assert!(covered("https://a.com/v1/x/*", "https://a.com/*"));
        assert!(covered("GET https://a.com/", "https://a.com/*"));
        assert!(covered("GET https://a.com/v1", "https://a.com/v1"));
        assert!(!covered("https://a.com/v1", "https://a.com/v1/*"));
        assert!(!covered("https://a.com/v1/*", "GET https://a.com/v1/*"));
        assert!(!covered("GET https://a.com/v1/x", "POST https://a.com/*"));
        assert!(!covered("https://a.com/*", "https://a.com/*"), "only others");
        assert!(parse("GET https://a.com/v1").is_exact() && !all.is_exact());
        for text in [
            "get https://a.com",
            " https://a.com",
            "https://a.com/?q",
            "https://a.com/*/b",
            "https://a.com/a*",
            "a.com",
        ] {
            assert!(ResourcePattern::parse(text).is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn canonical_forms_stay(path in "[a-zA-Z0-9%./~ é{}+;-]{0,30}") {
            if let Ok(resource) = Resource::parse(&format!("https://a.com/{path}")) {
                prop_assert_eq!(Resource::parse(&resource.to_string()).unwrap(), resource);
            }
        }
    }
}
