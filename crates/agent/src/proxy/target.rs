//! What a request asks for: an address, in one of the forms in which a proxy is asked, and read once.

use farthing_wallet::Request;
use http::request::Parts;
use http::{Method, Version};
use url::Url;

use super::problem::Problem;
use crate::names::Names;

/// What is asked for.
pub(super) enum Asked {
    /// How the proxy is used.
    Help,
    /// Whether it is there.
    Health,
    /// A call.
    Call(Box<Target>),
}

/// Where a call goes.
#[derive(Debug)]
pub(super) struct Target {
    /// Method and address. The policy judges these, and they are sent.
    pub(super) request: Request,
    pub(super) form: Form,
}

/// How the address was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// As our path: `/https://api.example.com/path`.
    Path,
    /// As a client asks the proxy that `http_proxy` names: `GET http://api.example.com/path`.
    Absolute,
}

/// Reads a request's target. `names` and `port` are our own.
pub(super) fn read(parts: &Parts, names: &Names, port: u16) -> Result<Asked, Problem> {
    if parts.method == Method::CONNECT {
        return Err(no_tunnels());
    }
    if super::token::is_in(&parts.uri.to_string()) {
        return Err(Problem::bad_request(
            "token_in_address",
            "a token stands in the address, which ends up in records",
        )
        .hint("send it as `Authorization: Bearer fth_…`, `Proxy-Authorization` or `X-Farthing-Token`"));
    }
    let (text, form) = match elsewhere(parts, names, port) {
        Some(address) => (address, Form::Absolute),
        None => match parts.uri.path_and_query().map_or("/", |path| path.as_str()) {
            "/" | "" => return Ok(Asked::Help),
            "/healthz" => return Ok(Asked::Health),
            path => (in_path(path)?, Form::Path),
        },
    };
    refuse_dots(&text)?;
    let request = Request::new(parts.method.clone(), &text)?;
    refuse_ourselves(&request.url, names, port)?;
    Ok(Asked::Call(Box::new(Target { request, form })))
}

/// The address in a request that a client makes to its `http_proxy`. In HTTP/2 every request names its authority.
fn elsewhere(parts: &Parts, names: &Names, port: u16) -> Option<String> {
    let authority = parts.uri.authority().filter(|_| parts.version < Version::HTTP_2)?;
    let ours = names.has(authority.as_str()) && authority.port_u16().unwrap_or(80) == port;
    (!ours).then(|| parts.uri.to_string())
}

/// `/https://api.example.com/path`. Some clients make one slash of two.
fn in_path(path: &str) -> Result<String, Problem> {
    let text = path.trim_start_matches('/');
    let (scheme, rest) = text.split_once(':').unwrap_or(("", ""));
    let known = ["http", "https"].into_iter().find(|known| known.eq_ignore_ascii_case(scheme));
    let rest = rest.strip_prefix("//").or_else(|| rest.strip_prefix('/'));
    let rest = rest.filter(|rest| !rest.starts_with('/'));
    known.zip(rest).map(|(scheme, rest)| format!("{scheme}://{rest}")).ok_or_else(|| {
        Problem::bad_request("bad_address", "the path holds no address to call")
            .hint("write the whole address after the proxy's own: /https://api.example.com/path")
    })
}

/// Servers and clients disagree on who resolves `..` and what `\` is: whoever means another path writes that.
fn refuse_dots(address: &str) -> Result<(), Problem> {
    let path = address.split('?').next().unwrap_or_default();
    let dots =
        |segment: &str| matches!(segment.to_ascii_lowercase().replace("%2e", ".").as_str(), "." | "..");
    let ambiguous = path.contains('\\') || path.split('/').any(dots);
    match ambiguous {
        true => {
            Err(Problem::bad_request("bad_address", "the path has a segment `.` or `..`, or a backslash")
                .hint("write the path that you mean"))
        }
        false => Ok(()),
    }
}

fn refuse_ourselves(url: &Url, names: &Names, port: u16) -> Result<(), Problem> {
    let host = url.host_str().unwrap_or_default();
    if names.has(host) && url.port_or_known_default() == Some(port) {
        return Err(Problem::bad_request("loop", "the address is this proxy itself"));
    }
    Ok(())
}

fn no_tunnels() -> Problem {
    Problem::new(
        http::StatusCode::NOT_IMPLEMENTED,
        "no_tunnels",
        "CONNECT is not supported: in a tunnel nothing can be seen, and nothing paid",
    )
    .hint("give the address in the path instead: http://PROXY/https://api.example.com/path")
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Uri;

    fn names() -> Names {
        Names::new([127, 0, 0, 1].into(), &[])
    }

    fn ask(method: &str, uri: &str, version: Version) -> Result<(String, Form), &'static str> {
        let mut request = http::Request::new(());
        *request.method_mut() = method.parse().unwrap();
        *request.uri_mut() = uri.parse::<Uri>().unwrap();
        *request.version_mut() = version;
        match read(&request.into_parts().0, &names(), 4020) {
            Ok(Asked::Call(target)) => Ok((target.request.url.to_string(), target.form)),
            Ok(Asked::Help) => Err("help"),
            Ok(Asked::Health) => Err("health"),
            Err(problem) => Err(problem.code),
        }
    }

    fn path(path: &str) -> Result<(String, Form), &'static str> {
        ask("GET", path, Version::HTTP_11)
    }

    #[test]
    fn addresses_are_read_from_the_path() {
        for (asked, url) in [
            ("/https://api.example.com/v1/x?q=1", "https://api.example.com/v1/x?q=1"),
            ("/https:/api.example.com/v1", "https://api.example.com/v1"),
            ("//https://api.example.com", "https://api.example.com/"),
            ("/HTTPS://API.example.com:443/a", "https://api.example.com/a"),
            ("/http://10.0.0.1:8080/", "http://10.0.0.1:8080/"),
            (
                "/https://a.example/a%2Fb%20c//d;e=%7E?x=%2F&y=a+b",
                "https://a.example/a%2Fb%20c//d;e=%7E?x=%2F&y=a+b",
            ),
            ("/https://a.example?q=..", "https://a.example/?q=.."),
            ("/https://a.example/https://b.example/", "https://a.example/https://b.example/"),
            ("/https://a.example/...", "https://a.example/..."),
        ] {
            assert_eq!(path(asked), Ok((url.to_owned(), Form::Path)), "{asked}");
        }
    }

    #[test]
    fn what_is_no_address_or_more_than_one_is_refused() {
        for (asked, code) in [
            ("/", "help"),
            ("/healthz", "health"),
            ("/api.example.com/v1", "bad_address"),
            ("/favicon.ico", "bad_address"),
            ("/ftp://a.example/", "bad_address"),
            ("/https:///a.example/", "bad_address"),
            ("/https%3A%2F%2Fa.example/", "bad_address"),
            ("/https://", "bad_address"),
            ("/https://user:pass@a.example/", "bad_address"),
            ("/https://a.example/../b", "bad_address"),
            ("/https://a.example/b/%2E%2e", "bad_address"),
            ("/https://a.example/.%2e/b", "bad_address"),
            ("/https://a.example/./b", "bad_address"),
            ("/https://a.example\\@b.example/", "bad_address"),
            ("/http://127.0.0.1:4020/https://a.example/", "loop"),
            ("/http://localhost:4020/", "loop"),
            ("/https://a.example/?k=fth_0123456789012345678901234567890123456789012", "token_in_address"),
        ] {
            assert_eq!(path(asked), Err(code), "{asked}");
        }
        assert_eq!(ask("CONNECT", "a.example:443", Version::HTTP_11), Err("no_tunnels"));
    }

    #[test]
    fn a_client_may_ask_as_it_asks_a_proxy() {
        let absolute = |uri: &str, version| ask("GET", uri, version);
        let elsewhere = ("http://a.example/b?c".to_owned(), Form::Absolute);
        assert_eq!(absolute("http://a.example/b?c", Version::HTTP_11), Ok(elsewhere));
        let ours = ("https://a.example/".to_owned(), Form::Path);
        assert_eq!(absolute("http://127.0.0.1:4020/https://a.example/", Version::HTTP_11), Ok(ours.clone()));
        assert_eq!(absolute("http://proxy.example/https://a.example/", Version::HTTP_2), Ok(ours));
        assert_eq!(absolute("http://localhost:4020/", Version::HTTP_11), Err("help"));
    }
}
