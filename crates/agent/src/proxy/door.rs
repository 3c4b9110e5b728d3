//! Who may come in, and as whom.

use http::header::{HeaderName, ORIGIN};
use http::request::Parts;
use http::{HeaderMap, StatusCode, Version};

use super::config::Anonymous;
use super::problem::Problem;
use super::target::Form;
use super::token::{self, Shown, TokenFile};
use crate::names::Names;

/// Browsers say with it which site a request is made for. They do so to addresses that they trust, which those of this
/// machine are; pages elsewhere can't come here, as only this machine's own names are answered to without a token.
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// What is asked of each request.
#[derive(Debug)]
pub(super) struct Door {
    pub(super) names: Names,
    /// Ours.
    pub(super) port: u16,
    pub(super) tokens: TokenFile,
    pub(super) anonymous: Option<Anonymous>,
    /// Names this run in sessions.
    pub(super) run: String,
}

/// Who calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Caller {
    /// By its name in the policy; none for the wallet's owner.
    pub(super) agent: Option<String>,
    /// The session that its calls are in: as long as the proxy runs, and the caller has the same token. Were it a
    /// connection's, or the caller's to name, an agent could begin a new budget with a new one.
    pub(super) session: String,
    /// The token came in a header that its client sends wherever it is led.
    pub(super) token_travels: bool,
}

impl Door {
    /// Refuses pages in a browser, and names of others that point here. `called`: it is to be paid for, maybe.
    pub(super) fn admit(&self, parts: &Parts, called: bool) -> Result<(), Problem> {
        let refused = |code, message: &str| Err(Problem::new(StatusCode::FORBIDDEN, code, message));
        // Who asks as a proxy is asked names the seller there.
        let as_proxy = parts.version < Version::HTTP_2 && parts.uri.authority().is_some();
        if !as_proxy && !self.names.know(&parts.headers, &parts.uri) {
            let refused = refused("foreign_host", "the Host is not one of this proxy's names");
            return refused.map_err(|problem| problem.hint("--allow-host adds a name"));
        }
        if called && (parts.headers.contains_key(ORIGIN) || parts.headers.contains_key(FETCH_SITE)) {
            let refused = refused("browser", "pages in a browser may not call through this proxy");
            return refused.map_err(|problem| problem.hint("call it from a program"));
        }
        Ok(())
    }

    /// Takes the token out of the headers, and says whose it is.
    pub(super) fn caller(&self, headers: &mut HeaderMap) -> Result<Caller, Problem> {
        let token_travels = token::travels(headers);
        let known = match token::take(headers)? {
            Shown::Nothing => return self.anonymous(),
            Shown::Wrong => None,
            Shown::Token(token) => self.tokens.find(&token),
        };
        let known = known.ok_or_else(|| {
            Problem::new(StatusCode::UNAUTHORIZED, "unknown_token", "the token is not known here")
                .hint("`farthing proxy tokens list` shows the known ones, `farthing proxy tokens add AGENT` makes one")
        })?;
        let session = format!("proxy-{}-{}", self.run, known.id);
        Ok(Caller { agent: Some(known.agent), session, token_travels })
    }

    fn anonymous(&self) -> Result<Caller, Problem> {
        let Some(anonymous) = &self.anonymous else {
            return Err(Problem::new(StatusCode::UNAUTHORIZED, "no_token", "the request shows no token").hint(
                "`farthing proxy tokens add AGENT` makes one; send it as the API key or as `Authorization: Bearer fth_…`; \
                 beside an API key of the seller's, as `X-Farthing-Token: fth_…`; in a proxy's address as http://x:fth_…@HOST:PORT",
            ));
        };
        let session = format!("proxy-{}", self.run);
        Ok(Caller { agent: anonymous.agent.clone(), session, token_travels: false })
    }

    /// The session of whoever is not known.
    pub(super) fn nobody(&self) -> String {
        format!("proxy-{}-unknown", self.run)
    }
}

/// Who asks as a proxy is asked is told so that he shows the token as he does to proxies.
pub(super) fn told_in(form: Form, mut problem: Problem) -> Problem {
    if form == Form::Absolute && problem.status == StatusCode::UNAUTHORIZED {
        problem.status = StatusCode::PROXY_AUTHENTICATION_REQUIRED;
    }
    problem
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn door(anonymous: Option<Anonymous>) -> Door {
        let tokens = TokenFile::open("/nowhere/tokens.json").unwrap();
        let names = Names::new([127, 0, 0, 1].into(), &["proxy.example".to_owned()]);
        Door { names, port: 4020, tokens, anonymous, run: "r1".to_owned() }
    }

    fn asks(uri: &str, called: bool, headers: &[(&str, &str)]) -> Result<(), &'static str> {
        let mut request = Request::get(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let parts = request.body(()).unwrap().into_parts().0;
        door(None).admit(&parts, called).map_err(|problem| problem.code)
    }

    #[test]
    fn pages_and_foreign_names_stay_outside() {
        let host = ("host", "localhost:4020");
        for (headers, said) in [
            (vec![host], Ok(())),
            (vec![("host", "proxy.example")], Ok(())),
            (vec![("host", "rebound.example:4020")], Err("foreign_host")),
            (vec![], Err("foreign_host")),
            (vec![host, ("origin", "http://localhost:4020")], Err("browser")),
            (vec![host, ("origin", "null")], Err("browser")),
            (vec![host, ("sec-fetch-site", "same-origin")], Err("browser")),
            (vec![host, ("sec-fetch-site", "none")], Err("browser")),
            // Node's fetch says so of itself.
            (vec![host, ("sec-fetch-mode", "cors")], Ok(())),
        ] {
            assert_eq!(asks("/https://a.example/", true, &headers), said, "{headers:?}");
        }
        assert_eq!(
            asks("/", false, &[host, ("sec-fetch-site", "none")]),
            Ok(()),
            "the page on how it is used"
        );
        assert_eq!(asks("http://a.example/", true, &[("host", "a.example")]), Ok(()), "as a proxy is asked");
        let page = [("host", "a.example"), ("origin", "http://a.example")];
        assert_eq!(asks("http://a.example/", true, &page), Err("browser"));
    }

    #[test]
    fn nobody_is_somebody_only_where_that_is_wanted() {
        let nobody = || HeaderMap::new();
        let refused = |form| {
            let problem = told_in(form, door(None).caller(&mut nobody()).unwrap_err());
            (problem.status.as_u16(), problem.code)
        };
        assert_eq!(refused(Form::Path), (401, "no_token"));
        assert_eq!(refused(Form::Absolute), (407, "no_token"));
        let open = door(Some(Anonymous { agent: Some("guest".to_owned()) }));
        let (agent, session) = (Some("guest".to_owned()), "proxy-r1".to_owned());
        let caller = Caller { agent, session, token_travels: false };
        assert_eq!(open.caller(&mut nobody()).unwrap(), caller);
        let mut wrong = HeaderMap::new();
        wrong.insert("x-farthing-token", "guess".parse().unwrap());
        assert_eq!(open.caller(&mut wrong).map_err(|problem| problem.code), Err("unknown_token"));
    }
}
