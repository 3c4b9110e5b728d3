//! One bounded request.

use farthing_ambient::{causes, is_this_machine};
use farthing_protocol::discovery::Code;
use farthing_protocol::shortened;
use futures::StreamExt as _;
use http::{HeaderMap, Method, StatusCode, header};
use reqwest::Response;
use url::Url;

use crate::{Config, SetupError};

/// How many redirects are followed.
const MAX_REDIRECTS: usize = 3;

/// The HTTP side.
#[derive(Debug, Clone)]
pub(crate) struct Asker {
    http: reqwest::Client,
    /// For plain http on this machine: such a request leaves it for no proxy, and needs no certificates.
    direct: reqwest::Client,
    config: Config,
}

/// What is asked.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    pub(crate) url: Url,
    pub(crate) method: Method,
    pub(crate) accept: &'static str,
    /// How many bytes of the body are read.
    pub(crate) most: usize,
}

/// What is answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    /// Whether there was more of it.
    pub(crate) cut: bool,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) struct NoAnswer {
    pub(crate) code: Code,
    pub(crate) message: String,
}

impl Asker {
    pub(crate) fn new(config: Config) -> Result<Self, SetupError> {
        let builder = || -> Result<_, SetupError> {
            let client = farthing_http::caller().map_err(|why| SetupError::Http(causes(&why)))?;
            let agent = concat!("farthing/", env!("CARGO_PKG_VERSION"));
            Ok(config.reach.bound(client.referer(false).user_agent(agent)))
        };
        let failed = |error: reqwest::Error| SetupError::Http(causes(&error));
        let http = builder()?.build().map_err(failed)?;
        let direct = builder()?.no_proxy().build().map_err(failed)?;
        Ok(Self { http, direct, config })
    }

    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// Asks, follows redirects within the origin, and reads the body: all of it within the time for one request.
    pub(crate) async fn ask(&self, question: &Question) -> Result<Answer, NoAnswer> {
        let timeout = self.config.timeout;
        match tokio::time::timeout(timeout, self.follow(question)).await {
            Ok(answer) => answer,
            Err(_) => Err(NoAnswer {
                code: Code::Unreachable,
                message: format!("no whole answer within {} s", timeout.as_secs_f32()),
            }),
        }
    }

    async fn follow(&self, question: &Question) -> Result<Answer, NoAnswer> {
        let mut url = question.url.clone();
        for _ in 0..=MAX_REDIRECTS {
            let response = self.send(&url, question).await?;
            // What may change something is sent to one address only.
            let next = question.method.is_safe().then(|| target(&url, &response)).flatten();
            match next {
                None => return read(response, question.most).await,
                Some(Ok(next)) => url = next,
                Some(Err(refused)) => return Err(refused),
            }
        }
        let message = format!("it was redirected more than {MAX_REDIRECTS} times");
        Err(NoAnswer { code: Code::TooManyRedirects, message })
    }

    async fn send(&self, url: &Url, question: &Question) -> Result<Response, NoAnswer> {
        let out_of_reach = |error: farthing_http::OutOfReach| NoAnswer {
            code: Code::OutOfReach,
            message: error.to_string(),
        };
        self.config.reach.check(url).map_err(out_of_reach)?;
        let client = if url.scheme() == "http" && is_this_machine(url) { &self.direct } else { &self.http };
        let sent = client
            .request(question.method.clone(), url.clone())
            .header(header::ACCEPT, question.accept)
            .send()
            .await;
        sent.map_err(unreachable)
    }
}

/// Where a redirect leads, if it is one.
fn target(url: &Url, response: &Response) -> Option<Result<Url, NoAnswer>> {
    let status = response.status();
    if !matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let location = response.headers().get(header::LOCATION)?;
    let next = location.to_str().ok().and_then(|location| url.join(location).ok());
    Some(match next {
        Some(next) if next.origin() == url.origin() => Ok(next),
        Some(next) => Err(NoAnswer {
            code: Code::RedirectElsewhere,
            message: format!("it is redirected to {}", printable(next.as_str())),
        }),
        None => Err(NoAnswer {
            code: Code::TooManyRedirects,
            message: "it is redirected to something that is no address".to_owned(),
        }),
    })
}

async fn read(response: Response, most: usize) -> Result<Answer, NoAnswer> {
    let (status, headers) = (response.status(), response.headers().clone());
    let mut stream = response.bytes_stream();
    let (mut body, mut cut) = (Vec::new(), false);
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(unreachable)?;
        let room = most - body.len();
        if chunk.len() > room {
            body.extend_from_slice(&chunk[..room]);
            cut = true;
            break;
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Answer { status, headers, body, cut })
}

fn unreachable(error: reqwest::Error) -> NoAnswer {
    NoAnswer { code: Code::Unreachable, message: causes(&error.without_url()) }
}

/// Text from outside, safe for a message: as much of it as an address needs.
pub(crate) fn printable(text: &str) -> String {
    shortened(text, 200)
}
