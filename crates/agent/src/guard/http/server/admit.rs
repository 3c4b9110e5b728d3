//! Who may come in. A web page may send requests to this machine, and a name of the attacker's may point here (DNS
//! rebinding): so the names by which we are called, and the pages that call, are checked before anything else.

use http::header::{AUTHORIZATION, ORIGIN};
use http::{HeaderMap, Request, StatusCode};
use sha2::{Digest as _, Sha256};

use super::super::config::{Secret, ServeConfig};
use crate::names::{Names, is_loopback, without_port};

/// What is asked of each request.
#[derive(Debug)]
pub(super) struct Door {
    names: Names,
    origins: Vec<String>,
    token: Option<Secret>,
}

impl Door {
    pub(super) fn new(config: &ServeConfig) -> Self {
        Self {
            names: Names::new(config.bind.ip(), &config.allow_hosts),
            origins: config.allow_origins.iter().map(|origin| origin.to_ascii_lowercase()).collect(),
            token: config.token.clone(),
        }
    }

    /// Whether the request may come in; otherwise why not.
    pub(super) fn admit<B>(&self, request: &Request<B>) -> Result<(), (StatusCode, &'static str)> {
        if !self.names.know(request.headers(), request.uri()) {
            return Err((StatusCode::FORBIDDEN, "the Host is not one of ours; see --allow-host"));
        }
        if !self.knows_origin(request.headers()) {
            return Err((StatusCode::FORBIDDEN, "pages of this Origin may not call; see --allow-origin"));
        }
        match &self.token {
            Some(token) if !bearer(request.headers()).is_some_and(|shown| token.is(shown)) => {
                Err((StatusCode::UNAUTHORIZED, "the bearer token is missing or wrong"))
            }
            _ => Ok(()),
        }
    }

    fn knows_origin(&self, headers: &HeaderMap) -> bool {
        headers.get_all(ORIGIN).iter().all(|origin| {
            let origin = origin.to_str().unwrap_or_default().to_ascii_lowercase();
            let page = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
            let local = page.is_some_and(|page| is_loopback(without_port(page)));
            local || self.origins.contains(&origin)
        })
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut all = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (all.next(), all.next()) else { return None };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

/// SHA-256 of what the client shows: by it the owner of a session is known again, and nobody learns what it was.
pub(super) fn identity(headers: &HeaderMap) -> Option<[u8; 32]> {
    let shown = headers.get(AUTHORIZATION)?.as_bytes();
    let token = bearer(headers).map_or(shown, str::as_bytes);
    Some(Sha256::digest(token).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::http::Target;

    fn door(bind: [u8; 4]) -> Door {
        let mut config = ServeConfig::new(Target::new("http://a/", [""; 0]).unwrap(), (bind, 80).into());
        config.allow_hosts = vec!["Guard.example".to_owned(), "odd.example:99".to_owned()];
        config.allow_origins = vec!["https://app.example".to_owned()];
        Door::new(&config)
    }

    fn asks(door: &Door, headers: &[(&str, &str)]) -> Result<(), u16> {
        let mut request = Request::get("/mcp");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        door.admit(&request.body(()).unwrap()).map_err(|(status, _)| status.as_u16())
    }

    #[test]
    fn hosts() {
        let local = door([127, 0, 0, 1]);
        for host in [
            "localhost",
            "LOCALHOST:8080",
            "127.0.0.1:1",
            "127.9.9.9",
            "[::1]:80",
            "[::1]",
            "guard.example",
            "guard.example:443",
            "odd.example:99",
        ] {
            assert_eq!(asks(&local, &[("host", host)]), Ok(()), "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example",
            "localhost@evil.example",
            "localhost:80.evil.example",
            "127.0.0.1.evil.example",
            "192.168.0.7",
            "0.0.0.0",
            "odd.example:98",
            "[::1",
            "::1:80",
            "[127.0.0.1]",
            "",
        ] {
            assert_eq!(asks(&local, &[("host", host)]), Err(403), "{host}");
        }
        assert_eq!(asks(&local, &[]), Err(403));
        assert_eq!(asks(&local, &[("host", "localhost"), ("host", "localhost")]), Err(403));
        let (one, all) = (door([192, 168, 0, 7]), door([0, 0, 0, 0]));
        assert_eq!(asks(&one, &[("host", "192.168.0.7:80")]), Ok(()));
        assert_eq!(asks(&one, &[("host", "192.168.0.8:80")]), Err(403));
        assert_eq!(asks(&all, &[("host", "192.168.0.8:80")]), Ok(()));
        assert_eq!(asks(&all, &[("host", "evil.example")]), Err(403));
    }

    #[test]
    fn origins() {
        let local = door([127, 0, 0, 1]);
        for (origin, fits) in [
            ("http://localhost:3000", true),
            ("http://127.0.0.1", true),
            ("https://[::1]:8", true),
            ("https://APP.example", true),
            ("http://app.example", false),
            ("https://app.example:444", false),
            ("null", false),
            ("", false),
            ("http://localhost.evil.example", false),
            ("file://localhost", false),
        ] {
            let asked = asks(&local, &[("host", "localhost"), ("origin", origin)]);
            assert_eq!(asked.is_ok(), fits, "{origin}");
        }
    }

    #[test]
    fn tokens() {
        let mut door = door([127, 0, 0, 1]);
        door.token = Some(Secret::new("s3cret".to_owned()));
        for (shown, fits) in [
            ("Bearer s3cret", true),
            ("bearer  s3cret ", true),
            ("Bearer s3cre", false),
            ("Bearer s3cret2", false),
            ("Basic s3cret", false),
            ("s3cret", false),
        ] {
            let asked = asks(&door, &[("host", "localhost"), ("authorization", shown)]);
            assert_eq!(asked, if fits { Ok(()) } else { Err(401) }, "{shown}");
        }
        assert_eq!(asks(&door, &[("host", "localhost")]), Err(401));
    }
}
