//! The host of a URL, as budgets and queries name it.

use url::{Host, Url};

/// The URL's host as policies name it: lower case, no trailing dot, one spelling per IP address, no port.
pub(super) fn host(url: &str) -> Option<String> {
    Some(match Url::parse(url).ok()?.host()? {
        Host::Domain(name) => name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase(),
        Host::Ipv4(address) => address.to_string(),
        Host::Ipv6(address) => match address.to_ipv4_mapped() {
            Some(mapped) => mapped.to_string(),
            None => format!("[{address}]"),
        },
    })
}

/// The same of a host alone, in any spelling; what is no host stays as it is, and names nothing.
pub(super) fn of_name(name: &str) -> String {
    host(&format!("https://{name}/")).unwrap_or_else(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_host_has_one_name() {
        for (url, name) in [
            ("https://API.Example.com:8443/a?b", Some("api.example.com")),
            ("https://api.example.com./", Some("api.example.com")),
            ("http://127.1/", Some("127.0.0.1")),
            ("http://[::ffff:127.0.0.1]/", Some("127.0.0.1")),
            ("http://[0:0::1]:1/", Some("[::1]")),
            ("mcp://Tool/name", Some("tool")),
            ("not a url", None),
        ] {
            assert_eq!(host(url).as_deref(), name, "{url}");
        }
    }

    #[test]
    fn a_name_alone_is_read_alike() {
        for (name, known) in [("API.Example.com.", "api.example.com"), ("127.1", "127.0.0.1"), ("a b", "a b")]
        {
            assert_eq!(of_name(name), known);
        }
    }
}
