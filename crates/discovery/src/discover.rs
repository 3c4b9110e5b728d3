//! Asking an origin what it sells.

use std::sync::atomic::{AtomicUsize, Ordering};

use farthing_protocol::discovery::{Code, Document, Finding, MAX_DOCUMENT_BYTES, WellKnown};
use futures::StreamExt as _;
use http::{Method, StatusCode, header};
use url::Url;

use crate::ask::{Answer, Asker, Question, printable};
use crate::origin::{Guidance, Origin, Read, ReadState};
use crate::{Config, SetupError, Site};

/// How many bytes of llms.txt are read.
const LLMS_BYTES: usize = 16 << 10;
/// Where llms.txt is when nothing else is said.
const LLMS_PATH: &str = "/llms.txt";

/// Asks origins and indexes.
#[derive(Debug, Clone)]
pub struct Discovery {
    pub(crate) asker: Asker,
}

/// How far a discovery of several origins has come.
#[derive(Debug, Clone, Copy)]
pub struct Step<'a> {
    /// The origin that is done.
    pub origin: &'a Site,
    /// How many are done.
    pub done: usize,
    /// How many there are.
    pub of: usize,
}

impl Discovery {
    /// Sets up the HTTP side.
    ///
    /// # Errors
    /// [`SetupError`]
    pub fn new(config: Config) -> Result<Self, SetupError> {
        Ok(Self { asker: Asker::new(config)? })
    }

    /// How far it goes.
    #[must_use]
    pub fn config(&self) -> &Config {
        self.asker.config()
    }

    /// Asks several origins, some at once; with `live`, their routes too. The answers stand in the order of `sites`;
    /// `told` hears of each when it is done.
    pub async fn discover_all(
        &self,
        sites: &[Site],
        live: bool,
        told: &(dyn Fn(Step<'_>) + Sync),
    ) -> Vec<Origin> {
        let done = AtomicUsize::new(0);
        let one = |site| {
            let done = &done;
            async move {
                let mut origin = self.discover(site).await;
                if live {
                    self.probe(&mut origin).await;
                }
                told(Step { origin: site, done: done.fetch_add(1, Ordering::Relaxed) + 1, of: sites.len() });
                origin
            }
        };
        // As in `search`: made before the stream is, so that all of it may move between threads.
        let asking: Vec<_> = sites.iter().map(one).collect();
        futures::stream::iter(asking).buffered(self.config().origins_at_once.max(1)).collect().await
    }

    /// Asks an origin for its documents, and then for llms.txt.
    pub async fn discover(&self, site: &Site) -> Origin {
        let (mut origin, llms) = self.read(site).await;
        self.guidance(&mut origin, llms.as_deref()).await;
        origin
    }

    /// Asks an origin for its documents alone: /openapi.json, /.well-known/x402 and /.well-known/mpp, at once.
    pub async fn describe(&self, site: &Site) -> Origin {
        self.read(site).await.0
    }

    /// The documents, and where they say that llms.txt is.
    async fn read(&self, site: &Site) -> (Origin, Option<String>) {
        let mut origin = Origin::unknown(site);
        let (openapi, x402, mpp) = tokio::join!(
            self.document(site, Document::PATH),
            self.document(site, WellKnown::X402_PATH),
            self.document(site, WellKnown::MPP_PATH),
        );
        let (text, registry) = (site.to_string(), &self.config().registry);
        let mut llms = None;
        let document = origin.take(openapi, |bytes| Document::read(bytes, &text, registry));
        if let Some(mut document) = document {
            llms = document.llms_txt.take();
            origin.take_document(document);
        }
        if let Some(read) = origin.take(x402, |bytes| WellKnown::read_x402(bytes, &text)) {
            origin.take_well_known(read, WellKnown::X402_PATH, "x402");
        }
        if let Some(read) = origin.take(mpp, |bytes| WellKnown::read_mpp(bytes, registry)) {
            origin.take_well_known(read, WellKnown::MPP_PATH, "mpp");
        }
        origin.audit();
        (origin, llms)
    }

    async fn document(&self, site: &Site, path: &'static str) -> Fetched {
        let question = Question {
            url: site.at(path),
            method: Method::GET,
            accept: "application/json",
            // One more, so that a longer one is noticed.
            most: MAX_DOCUMENT_BYTES + 1,
        };
        let found = |code, message: String| Finding::new(code, path, message);
        let answer = match self.asker.ask(&question).await {
            Ok(answer) => answer,
            Err(none) => return Fetched::failed(path, found(none.code, none.message)),
        };
        match answer.status {
            status if status.is_success() => Fetched::of(path, answer),
            StatusCode::NOT_FOUND | StatusCode::GONE | StatusCode::METHOD_NOT_ALLOWED => {
                Fetched::absent(path)
            }
            // An origin that charges for whatever is asked has no such document either.
            StatusCode::PAYMENT_REQUIRED => Fetched::absent(path),
            status => Fetched::failed(path, found(Code::ServerError, format!("it answered {status}"))),
        }
    }

    /// llms.txt: where the document says, if that is on the origin, else at its usual place.
    async fn guidance(&self, origin: &mut Origin, named: Option<&str>) {
        let usual = origin.origin.at(LLMS_PATH);
        let url = match named.map(|named| usual.join(named)) {
            None => usual,
            Some(Ok(url)) if origin.origin.has(&url) => url,
            Some(_) => {
                let message = format!("it is said to be at {}", printable(named.unwrap_or_default()));
                return origin.find([Finding::new(Code::GuidanceElsewhere, Document::PATH, message)]);
            }
        };
        let read = self.llms_txt(&url).await;
        let state = if read.is_some() { ReadState::Read } else { ReadState::Absent };
        let bytes = read.as_ref().map_or(0, |guidance| guidance.text.len());
        origin.documents.push(Read { document: url.path().to_owned(), state, bytes });
        origin.guidance.extend(read);
    }

    /// Nothing is lost without it: whatever goes wrong, there is none.
    async fn llms_txt(&self, url: &Url) -> Option<Guidance> {
        let question = Question {
            url: url.clone(),
            method: Method::GET,
            accept: "text/plain, text/markdown",
            most: LLMS_BYTES,
        };
        let answer = self.asker.ask(&question).await.ok().filter(|answer| answer.status.is_success())?;
        // A page for every address is no guidance.
        if content_type(&answer).contains("html") {
            return None;
        }
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        Some(Guidance { from: url.path().to_owned(), text, cut: answer.cut })
    }
}

/// A document on its way from the wire to its reader.
struct Fetched {
    path: &'static str,
    state: ReadState,
    body: Vec<u8>,
    /// What its JSON's media type has been replaced by.
    wrong_type: Option<String>,
    finding: Option<Finding>,
}

impl Fetched {
    fn absent(path: &'static str) -> Self {
        Self { path, state: ReadState::Absent, body: Vec::new(), wrong_type: None, finding: None }
    }

    fn failed(path: &'static str, finding: Finding) -> Self {
        Self { state: ReadState::Failed, finding: Some(finding), ..Self::absent(path) }
    }

    fn of(path: &'static str, answer: Answer) -> Self {
        let kind = content_type(&answer);
        let wrong_type = (!kind.contains("json")).then_some(kind);
        Self { path, state: ReadState::Read, body: answer.body, wrong_type, finding: None }
    }
}

impl Origin {
    /// Reads a document, and notes what came of it.
    fn take<T>(&mut self, fetched: Fetched, read: impl FnOnce(&[u8]) -> Result<T, Finding>) -> Option<T> {
        let Fetched { path, mut state, body, wrong_type, finding } = fetched;
        self.find(finding);
        let mut document = None;
        if state == ReadState::Read {
            match (read(&body), wrong_type) {
                (Ok(read), None) => document = Some(read),
                (Ok(read), Some(kind)) => {
                    document = Some(read);
                    self.find([Finding::new(Code::WrongContentType, path, format!("it comes as `{kind}`"))]);
                }
                // A page that is shown for every address: there is no such document.
                (Err(_), Some(kind)) => {
                    state = ReadState::Absent;
                    let message = format!("it is answered with `{kind}`, not with 404");
                    self.find([Finding::new(Code::WrongContentType, path, message)]);
                }
                (Err(finding), None) => {
                    state = ReadState::Failed;
                    self.find([finding]);
                }
            }
        }
        self.documents.push(Read { document: path.to_owned(), state, bytes: body.len() });
        document
    }

    /// What is wrong with all of it.
    fn audit(&mut self) {
        if !self.documents.iter().any(|read| read.state == ReadState::Read) {
            let message = "there is no /openapi.json, no /.well-known/x402 and no /.well-known/mpp";
            self.find([Finding::new(Code::NoDocument, "/", message)]);
        }
        let base = self.origin.at("/");
        if base.scheme() == "http" && !farthing_ambient::is_this_machine(&base) {
            self.find([Finding::new(Code::PlainHttp, "/", format!("{} is not https", self.origin))]);
        }
    }
}

fn content_type(answer: &Answer) -> String {
    let value = answer.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    value.map_or_else(|| "no content type".to_owned(), |value| printable(&value.to_ascii_lowercase()))
}
