//! What a payment to an MCP server is counted and listed under.

use url::Url;

/// The longest label of a host (RFC 1035, section 2.3.4).
const MAX_LABEL: usize = 63;

/// The host that the policy knows a server by, in `hosts:` and in budgets `each: host`: of a server that is reached over
/// HTTP its own, with the port where that is not the scheme's default; of any other its name as a label below `mcp`, in
/// small letters, with a hyphen for whatever no label has. `@acme/search-server` is `acme-search-server.mcp`.
#[must_use]
pub fn payment_host(upstream: Option<&str>, server: &str) -> String {
    let url = upstream.and_then(|address| Url::parse(address).ok());
    if let Some((url, host)) = url.as_ref().and_then(|url| Some((url, url.host_str()?))) {
        return url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    }
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let label: String = server.chars().map(plain).collect();
    let label: String = label.trim_matches('-').chars().take(MAX_LABEL).collect();
    let label = label.trim_end_matches('-');
    format!("{}.mcp", if label.is_empty() { "server" } else { label })
}

/// The address of a server's tool: `mcp://search.mcp/search`. With the host in the place of x402's `tool`, so that the
/// ledger counts it for its host, and equally named tools of two servers are two resources. What has a meaning in an
/// address is escaped.
pub(super) fn resource(host: &str, tool: &str) -> String {
    let mut resource = format!("mcp://{host}/");
    for byte in tool.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            resource.push(char::from(byte));
        } else {
            resource.push_str(&format!("%{byte:02X}"));
        }
    }
    resource
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_server_has_a_host() {
        for (upstream, server, host) in [
            (Some("https://mcp.example.com/x"), "any", "mcp.example.com"),
            (Some("http://127.0.0.1:8931"), "any", "127.0.0.1:8931"),
            (None, "@modelcontextprotocol/server-github", "modelcontextprotocol-server-github.mcp"),
            (None, "Server.py", "server-py.mcp"),
            (None, "☃", "server.mcp"),
            (None, "", "server.mcp"),
        ] {
            assert_eq!(payment_host(upstream, server), host);
        }
        assert_eq!(payment_host(None, &"a".repeat(100)).len(), MAX_LABEL + ".mcp".len());
    }

    #[test]
    fn tools_have_addresses() {
        assert_eq!(resource("a.mcp", "search_v2.x"), "mcp://a.mcp/search_v2.x");
        assert_eq!(resource("a.example:8931", "a/b?c é"), "mcp://a.example:8931/a%2Fb%3Fc%20%C3%A9");
    }
}
