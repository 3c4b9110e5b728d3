use std::fmt;

use url::Host;

use crate::error::printable;

/// The longest name that DNS has.
const MAX_NAME: usize = 253;

/// A host as it is compared: lower case, IDNA's ASCII form, no trailing dot, one spelling per IP address.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct HostName {
    pub(crate) name: String,
    /// Where it is not the scheme's default.
    pub(crate) port: Option<u16>,
    is_domain: bool,
}

/// An entry in a list of hosts: one host, or everything below a domain.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct HostPattern {
    /// `*.example.com` is what lies below `example.com`, not `example.com` itself.
    below: bool,
    host: HostName,
}

impl HostName {
    /// Reads `host`, `host:port`, `[ipv6]` or `[ipv6]:port`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let bad = || format!("`{}` is not a host", printable(text));
        if text.contains(['/', '@', '%', '*', '?', '#', '\\']) || text.contains(char::is_whitespace) {
            return Err(bad());
        }
        let (host, port) = split_port(text).ok_or_else(bad)?;
        let parsed = Host::parse(host).map_err(|_| bad())?;
        let is_domain = matches!(parsed, Host::Domain(_));
        let name = match parsed {
            Host::Domain(domain) => domain.strip_suffix('.').unwrap_or(&domain).to_owned(),
            Host::Ipv4(address) => address.to_string(),
            Host::Ipv6(address) => match address.to_ipv4_mapped() {
                Some(mapped) => mapped.to_string(),
                None => format!("[{address}]"),
            },
        };
        if name.split('.').any(str::is_empty) {
            return Err(bad());
        }
        Ok(Self { name, port, is_domain })
    }
}

impl HostPattern {
    /// Reads an entry of a policy.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.contains("://") {
            return Err(format!(
                "write the host alone, without scheme and path, instead of `{}`",
                printable(text)
            ));
        }
        let (below, rest) = match text.strip_prefix("*.") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        if rest.contains('*') {
            return Err(format!(
                "`{}`: a star may only stand at the beginning, as in `*.example.com`",
                printable(text)
            ));
        }
        let host = HostName::parse(rest)?;
        if below && !host.is_domain {
            return Err(format!("`{}`: nothing lies below an IP address", printable(text)));
        }
        if matches!(host.port, Some(80 | 443)) {
            return Err(format!(
                "`{}`: leave the default port out; an entry without a port covers every port",
                printable(text)
            ));
        }
        Ok(Self { below, host })
    }

    /// Whether the entry covers `host`. An entry without a port covers every port.
    pub(crate) fn covers(&self, host: &HostName) -> bool {
        let named = match host.name.strip_suffix(&self.host.name) {
            Some("") => !self.below,
            // `evil-example.com` ends like `example.com` and is not below it.
            Some(labels) => self.below && labels.ends_with('.'),
            None => false,
        };
        named && (self.host.port.is_none() || self.host.port == host.port)
    }

    /// Every other entry that covers all that this one covers. Nothing for a name that is longer than DNS has any.
    pub(crate) fn wider(&self) -> Vec<Self> {
        let mut wider = Vec::new();
        let mut rest = self.host.name.as_str();
        while let Some((_, domain)) =
            rest.split_once('.').filter(|_| self.host.is_domain && rest.len() <= MAX_NAME)
        {
            let host = HostName { name: domain.to_owned(), ..self.host.clone() };
            wider.push(Self { below: true, host });
            rest = domain;
        }
        if self.host.port.is_some() {
            let at_any_port: Vec<_> = wider.iter().chain([self]).map(Self::at_any_port).collect();
            wider.extend(at_any_port);
        }
        wider
    }

    /// The entry for every port.
    pub(crate) fn at_any_port(&self) -> Self {
        Self { host: HostName { port: None, ..self.host.clone() }, ..*self }
    }

    /// The host's name without its port, where the entry stands for one host.
    pub(crate) fn only_name(&self) -> Option<&str> {
        (!self.below).then_some(self.host.name.as_str())
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => write!(f, "{}:{port}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.below { "*." } else { "" }, self.host)
    }
}

fn split_port(text: &str) -> Option<(&str, Option<u16>)> {
    let after_address = text.rfind(']').map_or(0, |end| end + 1);
    let Some(colon) = text.get(after_address..)?.find(':') else { return Some((text, None)) };
    let (host, port) = text.split_at(after_address + colon);
    let digits = port.get(1..)?;
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    let port = digits.parse().ok().filter(|port| plain && *port != 0)?;
    Some((host, Some(port)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn covers(pattern: &str, host: &str) -> bool {
        HostPattern::parse(pattern).unwrap().covers(&HostName::parse(host).unwrap())
    }

    #[test]
    fn one_spelling_for_each_host() {
        for (text, canonical) in [
            ("API.Example.COM", "api.example.com"),
            ("api.example.com.", "api.example.com"),
            ("bücher.example", "xn--bcher-kva.example"),
            ("0x7f.1", "127.0.0.1"),
            ("127.0.0.1.", "127.0.0.1"),
            ("[0:0::1]:8080", "[::1]:8080"),
            ("[::ffff:127.0.0.1]", "127.0.0.1"),
            ("localhost:4021", "localhost:4021"),
        ] {
            assert_eq!(HostName::parse(text).unwrap().to_string(), canonical, "{text}");
        }
    }

    #[test]
    fn refuses_what_is_not_a_host() {
        for text in [
            "", ".", "a..b", ".a", "a b", "http://a", "a/b", "u@a", "%61.com", "a:", "a:0", "a:65536",
            "a:+1", "::1", "[::1", "a:1:2", "*.a", "a..",
        ] {
            assert!(HostName::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_star_stands_for_labels_below() {
        assert!(covers("*.example.com", "a.example.com"));
        assert!(covers("*.example.com", "a.b.example.com:8443"));
        assert!(!covers("*.example.com", "example.com"));
        assert!(!covers("*.example.com", "evil-example.com"));
        assert!(!covers("*.example.com", "example.com.evil.net"));
        assert!(!covers("example.com", "a.example.com"));
        assert!(covers("Example.com.", "example.COM"));
        for text in ["*", "*.", "a.*.b", "**.a", "*a.com", "*.1.2.3.4", "a:443", "https://a.com"] {
            assert!(HostPattern::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn an_entry_with_a_port_covers_this_port() {
        assert!(covers("localhost", "localhost:4021"));
        assert!(covers("localhost:4021", "localhost:4021"));
        assert!(!covers("localhost:4021", "localhost:4022"));
        assert!(!covers("localhost:4021", "localhost"));
    }

    #[test]
    fn entries_are_compared() {
        let parse = |text| HostPattern::parse(text).unwrap();
        for (narrow, wide, covered) in [
            ("x.a.com", "*.a.com", true),
            ("*.b.a.com", "*.a.com", true),
            ("*.b.a.com", "*.com", true),
            ("*.a.com", "*.b.a.com", false),
            ("a.com", "*.a.com", false),
            ("*.a.com", "x.a.com", false),
            ("a.com:8443", "a.com", true),
            ("a.com", "a.com:8443", false),
            ("x.a.com", "*.a.com:8443", false),
            ("x.a.com:8443", "*.a.com:8443", true),
            ("x.a.com:8443", "*.a.com", true),
            ("127.0.0.1:8443", "127.0.0.1", true),
        ] {
            assert_eq!(parse(narrow).wider().contains(&parse(wide)), covered, "{narrow} {wide}");
        }
        assert!(parse("127.0.0.1").wider().is_empty());
        assert!(parse(&"a.".repeat(5000)).wider().is_empty());
    }

    proptest! {
        #[test]
        fn canonical_forms_stay(text in "\\PC{0,40}") {
            if let Ok(host) = HostName::parse(&text) {
                prop_assert_eq!(HostName::parse(&host.to_string()).unwrap(), host);
            }
        }
    }
}
