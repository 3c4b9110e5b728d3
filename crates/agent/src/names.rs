//! By which names a server of ours is called. A name of an attacker's may point at this machine (DNS rebinding): then a
//! page of his could call us as its own site.

use std::net::IpAddr;

use http::header::HOST;
use http::{HeaderMap, Uri};

/// The names of a server.
#[derive(Debug)]
pub(crate) struct Names {
    bind: IpAddr,
    more: Vec<String>,
}

impl Names {
    /// Those of this machine, the address that the server is bound to, and `more`, with or without a port.
    pub(crate) fn new(bind: IpAddr, more: &[String]) -> Self {
        Self { bind, more: more.iter().map(|name| name.to_ascii_lowercase()).collect() }
    }

    /// Whether a request calls us by one of them.
    pub(crate) fn know(&self, headers: &HeaderMap, uri: &Uri) -> bool {
        let mut named = headers.get_all(HOST).iter();
        match (named.next(), named.next(), uri.authority()) {
            (Some(_), Some(_), _) => false,
            (Some(host), None, _) => self.has(host.to_str().unwrap_or_default()),
            (None, _, Some(authority)) => self.has(authority.as_str()),
            (None, ..) => false,
        }
    }

    /// Whether this, with or without a port, is one of them.
    pub(crate) fn has(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        let name = without_port(&host);
        if self.more.iter().any(|known| *known == host || known == name) {
            return true;
        }
        match address(name) {
            // Nobody's name server can make an address mean something else.
            Some(address) => address.is_loopback() || address == self.bind || self.bind.is_unspecified(),
            None => name == "localhost",
        }
    }
}

/// Whether a name without a port is this machine's own, whatever a name server says.
pub(crate) fn is_loopback(name: &str) -> bool {
    name == "localhost" || address(name).is_some_and(|address| address.is_loopback())
}

/// The host of `host:port`. What stands behind the colon must be a port.
pub(crate) fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => {
            // An address of IPv6 has its own colons, and stands in brackets.
            if name.contains(':') && !name.ends_with(']') { host } else { name }
        }
        _ => host,
    }
}

fn address(name: &str) -> Option<IpAddr> {
    match name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(inner) => inner.parse().ok().map(IpAddr::V6),
        None => name.parse().ok().map(IpAddr::V4),
    }
}
