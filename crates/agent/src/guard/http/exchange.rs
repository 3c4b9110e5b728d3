//! One message to the server, and what it answers: at once, as a stream of events, or with a refusal.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use farthing_policy::json::Json;
use http::header::WWW_AUTHENTICATE;
use http::{HeaderMap, Response, StatusCode};
use hyper::body::Incoming;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::front::{Head, Out};
use super::outgoing::{Kind, Outgoing};
use super::reader::{Cursor, Reader};
use super::session::Session;
use super::sse::{Data, Event};
use super::upstream::{Failure, Form, SESSION, Whole, form, refusal, whole};
use crate::guard::message::{INTERNAL, object};
use crate::guard::{Scan, Stream};

/// How often it is asked whether anybody still waits for an answer. So long a stream may go on after it.
const TICK: Duration = Duration::from_secs(1);
/// How long the server may take to accept what needs no answer.
const NOTICE: Duration = Duration::from_secs(30);
/// How often it is tried to take up a stream again.
const ATTEMPTS: u32 = 5;

type Answer = Result<Response<Incoming>, Failure>;

/// Says that an exchange is over, however it ends.
struct Over<'a>(&'a Session, Stream, &'a Outgoing);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        if self.2.modern.is_some() {
            self.0.drop_modern(&self.2.ids);
        }
        self.0.wire.over(self.1);
    }
}

impl Session {
    /// Takes a message to the server, and the answer back to the relay. `sent` is dropped when the message has left.
    pub(super) async fn exchange(self: Arc<Self>, stream: Stream, out: Outgoing, sent: oneshot::Sender<()>) {
        let quit = match (&out.modern, out.ids.first()) {
            (Some(_), Some(id)) => self.keep_modern(id),
            _ => CancellationToken::new(),
        };
        let _over = Over(&self, stream, &out);
        tokio::select! {
            () = self.ended.cancelled() => {}
            () = quit.cancelled() => {}
            () = self.carry(stream, &out, sent) => {}
        }
    }

    async fn carry(self: &Arc<Self>, stream: Stream, out: &Outgoing, sent: oneshot::Sender<()>) {
        let Some(answer) = self.wanted(stream, out, false, self.post(stream, out, Some(sent))).await else {
            return;
        };
        match answer {
            Ok(answer) if answer.status().is_success() => self.accepted(stream, out, answer).await,
            Ok(answer) => self.refusal(stream, out, answer).await,
            Err(failure) => self.no_answer(stream, out, &failure),
        }
    }

    async fn post(&self, stream: Stream, out: &Outgoing, sent: Option<oneshot::Sender<()>>) -> Answer {
        let mut headers = self.headers(stream);
        if let Some(modern) = &out.modern {
            self.repeats(modern, &mut headers);
        }
        let url = self.legacy();
        let url = url.as_ref().unwrap_or(&self.upstream.target.url);
        self.upstream.post(url, headers, out.bytes.clone(), sent).await
    }

    /// Awaits this for as long as somebody waits for what comes of it. A client that leaves a stream which it can take
    /// up again gets the answer there. Otherwise it is awaited without him: the gate must learn how the call ended.
    async fn wanted<T>(
        &self,
        stream: Stream,
        out: &Outgoing,
        resumable: bool,
        work: impl Future<Output = T>,
    ) -> Option<T> {
        let (left, begun, mut alone) = (self.wire.front.left(stream), Instant::now(), false);
        tokio::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return Some(done),
                () = sleep(TICK) => {
                    let waits = match out.ids.is_empty() {
                        true => begun.elapsed() < NOTICE,
                        false => self.relay.pending_of(&out.ids) > 0,
                    };
                    if !waits {
                        return None;
                    }
                }
                () = left.cancelled(), if !alone => {
                    if out.modern.is_some() {
                        // 2026-07-28: this is how a request is cancelled.
                        self.relay.lost_requests(&out.ids, "the client has closed the stream");
                        return None;
                    }
                    if resumable {
                        return None;
                    }
                    alone = true;
                }
            }
        }
    }

    async fn accepted(&self, stream: Stream, out: &Outgoing, answer: Response<Incoming>) {
        if out.kind == Kind::Initialize {
            self.named(answer.headers().get(SESSION));
        }
        // To a server of 2024-11-05, this was the post; its answers come as events of their own.
        if out.ids.is_empty() || self.legacy().is_some() {
            return;
        }
        match form(answer.headers()) {
            Form::Events => self.events(stream, out, answer.into_body()).await,
            Form::Json => self.json(stream, out, answer.into_body()).await,
            Form::Other => {
                let why =
                    format!("the server accepted the request without an answer (HTTP {})", answer.status());
                self.relay.lost_requests(&out.ids, &why);
            }
        }
    }

    async fn json(&self, stream: Stream, out: &Outgoing, body: Incoming) {
        let Some(read) = self.wanted(stream, out, false, whole(body, self.limits.max_message)).await else {
            return;
        };
        match read {
            Ok(Whole::Read(message)) => self.message(stream, out, None, &message),
            Ok(Whole::TooLarge(shape)) => {
                self.passing(Some(stream), None, || self.relay.server_too_large(stream, &shape));
            }
            Err(why) => self.relay.lost_requests(&out.ids, &format!("the connection broke: {why}")),
        }
        self.relay.lost_requests(&out.ids, "the server answered something else");
    }

    fn message(&self, stream: Stream, out: &Outgoing, id: Option<String>, message: &[u8]) {
        let initialized = out.kind == Kind::Initialize && Scan::of(message).result;
        if initialized {
            self.learn(message);
        }
        if out.modern.as_ref().is_some_and(|modern| modern.method == "tools/list") {
            self.learn_repeated(message);
        }
        self.passing(Some(stream), id, || self.relay.from_server(stream, message));
        if initialized {
            self.begun.cancel();
        }
    }

    /// Which revision the server has chosen. To be known before the client gets the answer.
    pub(super) fn learn(&self, message: &[u8]) {
        let json = Json::parse(message).ok();
        let version = json.as_ref().and_then(|json| json.get("result")?.get("protocolVersion")?.as_str());
        if let Some(version) = version {
            self.speaks(version);
        }
    }

    async fn events(&self, stream: Stream, out: &Outgoing, body: Incoming) {
        self.wire.front.put(stream, Out::Head(Head::Streams));
        let mut reader = Reader::new(body, self.limits.max_message);
        let mut cursor = Cursor::default();
        loop {
            let Some(why) = self.read(stream, out, &mut reader, &mut cursor).await else { return };
            if self.relay.pending_of(&out.ids) == 0 {
                return;
            }
            match self.resume(stream, out, &cursor, &why).await {
                Some(again) => reader = again,
                None => return,
            }
        }
    }

    /// Reads on to the end of one connection. Gives how it ended; none if nobody wants more.
    async fn read(
        &self,
        stream: Stream,
        out: &Outgoing,
        reader: &mut Reader,
        cursor: &mut Cursor,
    ) -> Option<String> {
        loop {
            match self.wanted(stream, out, cursor.id.is_some(), reader.next()).await? {
                Ok(Some(event)) if cursor.note(&event) => self.event(stream, out, event).await,
                Ok(Some(_)) => {}
                Ok(None) => return Some("the server ended the stream before the answer".to_owned()),
                Err(why) => return Some(format!("the stream broke before the answer: {why}")),
            }
        }
    }

    async fn event(&self, stream: Stream, out: &Outgoing, event: Event) {
        if !matches!(event.name.as_str(), "" | "message") {
            return;
        }
        match event.data {
            Data::Whole(data) if data.is_empty() => {
                self.wire.front.put(stream, Out::Mark { id: event.id, retry: event.retry });
            }
            Data::Whole(data) => self.message(stream, out, event.id, &data),
            Data::TooLarge(shape) => {
                self.passing(Some(stream), event.id, || self.relay.server_too_large(stream, &shape));
            }
        }
        self.wire.front.room(stream).await;
    }

    /// Takes a stream up again after the last event that came. None if that can't be, or nobody waits any more.
    async fn resume(&self, stream: Stream, out: &Outgoing, cursor: &Cursor, why: &str) -> Option<Reader> {
        let mut why = why.to_owned();
        for attempt in 0..ATTEMPTS {
            let Some(id) = cursor.id.as_deref().filter(|_| out.modern.is_none()) else { break };
            self.wanted(stream, out, true, sleep(cursor.wait(attempt))).await?;
            match self.wanted(stream, out, true, self.listen_from(stream, Some(id))).await? {
                Ok(answer) if answer.status().is_success() && form(answer.headers()) == Form::Events => {
                    return Some(Reader::new(answer.into_body(), self.limits.max_message));
                }
                Ok(answer) if answer.status() == StatusCode::NOT_FOUND && self.is_named() => {
                    self.expired();
                    return None;
                }
                Ok(answer) if answer.status().is_server_error() => {}
                Ok(answer) => {
                    why = format!("{why}; it can't be taken up again (HTTP {})", answer.status());
                    break;
                }
                Err(_) => {}
            }
        }
        self.relay.lost_requests(&out.ids, &why);
        None
    }

    pub(super) async fn listen_from(&self, stream: Stream, last: Option<&str>) -> Answer {
        let mut headers = self.headers(stream);
        if let Some(last) = last.and_then(|last| last.parse().ok()) {
            headers.insert(super::upstream::LAST_EVENT, last);
        }
        self.upstream.get(headers).await
    }

    fn no_answer(&self, stream: Stream, out: &Outgoing, failure: &Failure) {
        self.head(stream, StatusCode::BAD_GATEWAY, &HeaderMap::new());
        match failure {
            Failure::Unsent(why) => {
                let why = format!("no connection to the server: {why}");
                tracing::warn!("{why}");
                self.relay.refused(&out.ids, &error(&why));
            }
            Failure::Broken(why) => {
                tracing::warn!(%why, "the connection to the server broke");
                let why = format!("the connection to the server broke before its answer: {why}");
                self.relay.lost_requests(&out.ids, &why);
            }
        }
    }

    pub(super) fn head(&self, stream: Stream, status: StatusCode, headers: &HeaderMap) {
        let challenge = headers.get(WWW_AUTHENTICATE).cloned();
        self.wire.front.put(stream, Out::Head(Head::Refused { status, challenge }));
    }

    /// The server has refused the message. After 502 and 504, from a proxy, nobody knows whether it ran.
    async fn refusal(self: &Arc<Self>, stream: Stream, out: &Outgoing, answer: Response<Incoming>) {
        let (status, headers) = (answer.status(), answer.headers().clone());
        let body = refusal(answer.into_body()).await;
        let told = told(&body);
        let fits = matches!(
            status,
            StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED
        );
        if out.kind == Kind::Initialize
            && fits
            && told.is_none()
            && !self.is_named()
            && self.fall_back().await
        {
            return self.post_legacy(stream, out).await;
        }
        self.head(stream, status, &headers);
        let why = format!("the server refused the message: HTTP {status}");
        tracing::warn!("{why}");
        match status {
            StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT => self.relay.lost_requests(&out.ids, &why),
            _ => self.relay.refused(&out.ids, &told.unwrap_or_else(|| error(&why))),
        }
        if status == StatusCode::NOT_FOUND && out.modern.is_none() && self.is_named() {
            self.expired();
        }
    }

    /// Posts `initialize` again, to a server of 2024-11-05.
    async fn post_legacy(&self, stream: Stream, out: &Outgoing) {
        match self.wanted(stream, out, false, self.post(stream, out, None)).await {
            Some(Ok(answer)) if answer.status().is_success() => {}
            Some(Ok(answer)) => {
                self.head(stream, answer.status(), answer.headers());
                let why = format!("the server refused the message: HTTP {}", answer.status());
                self.relay.refused(&out.ids, &error(&why));
            }
            Some(Err(failure)) => self.no_answer(stream, out, &failure),
            None => {}
        }
    }

    /// The server does not know the session any more.
    pub(super) fn expired(&self) {
        self.end("the server has ended the session (HTTP 404); begin a new one");
    }
}

/// A JSON-RPC error that the guard gives in the server's place.
fn error(why: &str) -> Json {
    object([("code", Json::from(INTERNAL)), ("message", Json::from(why))])
}

/// The JSON-RPC error in the body of a refusal.
fn told(body: &[u8]) -> Option<Json> {
    let json = Json::parse(body).ok()?;
    let error = json.get("error")?;
    let fits = matches!(error.get("code"), Some(Json::Number(_))) && error.get("message")?.as_str().is_some();
    fits.then(|| error.clone())
}
