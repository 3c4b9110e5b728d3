//! A client's session with a server that speaks HTTP: the relay, what it knows of the session, and the order of what
//! goes to the server.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use farthing_ambient::{NoEntropy, OsEntropy};
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::front::{Front, Out};
use super::mirror::Mirror;
use super::outgoing::{Kind, Modern, Outgoing, VERSION};
use super::queue::{Receiver, Sender, queue};
use super::replay::Replay;
use super::upstream::{SESSION, Upstream};
use crate::guard::id::Id;
use crate::guard::relay::lock;
use crate::guard::{Gate, Limits, Link, Relay, Side, Stream};

/// The stream of what belongs to no request. The client's requests are numbered from one.
pub(super) const GENERAL: Stream = Stream(0);
/// How long what follows waits for a notification to be accepted.
const IN_ORDER: Duration = Duration::from_secs(5);
/// How long the server may take to say that the session is over.
const DELETE: Duration = Duration::from_secs(2);

/// A session.
pub(super) struct Session {
    pub(super) relay: Relay,
    pub(super) wire: Arc<Wire>,
    pub(super) upstream: Arc<Upstream>,
    pub(super) limits: Limits,
    /// It is over: everything that works for it stops.
    pub(super) ended: CancellationToken,
    /// The server has answered `initialize`.
    pub(super) begun: CancellationToken,
    state: Mutex<State>,
    /// Whether we listen for what the server sends of itself, and keep messages in order: the client can't.
    ordered: bool,
}

/// What the server told about the session.
#[derive(Debug, Default)]
struct State {
    id: Option<HeaderValue>,
    version: Option<HeaderValue>,
    /// What the client showed last.
    authorization: Option<HeaderValue>,
    /// Where messages are posted to a server of 2024-11-05.
    legacy: Option<Url>,
    listening: bool,
    /// Requests that are cancelled by leaving their streams (2026-07-28).
    modern: HashMap<Id, CancellationToken>,
    mirror: Mirror,
}

tokio::task_local! {
    /// The event that is being passed to the relay. The relay passes it on before it returns: so what goes to the
    /// client meanwhile came in this event, and goes to this stream.
    static EVENT: (Option<Stream>, Option<String>);
}

/// What carries a session's messages.
pub(super) struct Wire {
    pub(super) front: Front,
    to_server: Sender<(Stream, Vec<u8>)>,
    /// How many messages of a stream are with the server.
    exchanges: Mutex<HashMap<Stream, usize>>,
    pub(super) replay: Mutex<Replay>,
}

impl Link for Wire {
    fn send(&self, to: Side, stream: Stream, message: &[u8]) {
        self.queue(to, stream, message.to_vec());
    }

    fn queue(&self, to: Side, stream: Stream, message: Vec<u8>) {
        match to {
            Side::Client => {
                let event = EVENT.try_with(|(on, id)| (on.unwrap_or(stream), id.clone()));
                let (stream, id) = event.unwrap_or((stream, None));
                if let (Some(id), Front::Many(_)) = (&id, &self.front) {
                    lock(&self.replay).keep(id, &message);
                }
                self.front.put(stream, Out::Message { id, data: message });
            }
            Side::Server => {
                self.begins(stream);
                let size = message.len();
                self.to_server.put((stream, message), size);
            }
        }
    }
}

impl Wire {
    /// An exchange with the server begins that is not the post of a message.
    pub(super) fn begins(&self, stream: Stream) {
        *lock(&self.exchanges).entry(stream).or_default() += 1;
    }

    /// Waits until there is room for more messages to the server.
    pub(super) async fn room(&self) {
        self.to_server.room().await;
    }

    /// Whether nothing of this stream's is with the server.
    pub(super) fn is_quiet(&self, stream: Stream) -> bool {
        !lock(&self.exchanges).contains_key(&stream)
    }

    /// A message's exchange with the server is over.
    pub(super) fn over(&self, stream: Stream) {
        let mut exchanges = lock(&self.exchanges);
        if let Some(count) = exchanges.get_mut(&stream) {
            *count -= 1;
            if *count == 0 {
                exchanges.remove(&stream);
            }
        }
        drop(exchanges);
        if let Front::Many(_) = self.front {
            self.front.put(stream, Out::Check);
        }
    }
}

impl Session {
    /// A session that begins. Its tasks run until it has ended.
    pub(super) fn open(
        upstream: Arc<Upstream>,
        limits: Limits,
        gate: Arc<dyn Gate>,
        front: Front,
    ) -> Result<Arc<Self>, NoEntropy> {
        let ordered = matches!(front, Front::One(_));
        let (to_server, outgoing) = queue();
        let wire = Arc::new(Wire { front, to_server, exchanges: Mutex::default(), replay: Mutex::default() });
        let relay = Relay::new(limits, gate, wire.clone(), Handle::current(), &OsEntropy)?;
        let (ended, begun) = (CancellationToken::new(), CancellationToken::new());
        let state = Mutex::default();
        let session = Arc::new(Self { relay, wire, upstream, limits, ended, begun, state, ordered });
        tokio::spawn(session.clone().pump(outgoing));
        tokio::spawn(session.clone().expire());
        Ok(session)
    }

    /// Ends the session: what is open is answered with an error.
    pub(super) fn end(&self, why: &str) {
        self.relay.server_gone(why);
        self.ended.cancel();
        match &self.wire.front {
            Front::One(_) => self.wire.front.put(GENERAL, Out::Close),
            Front::Many(slots) => slots.check_all(),
        }
    }

    /// Tells the server that the session is over, and ends it.
    pub(super) async fn close(&self, why: &str) {
        if lock(&self.state).id.is_some() {
            let asked = self.upstream.delete(self.headers(GENERAL));
            // Whatever it says, or fails to say: the session is over.
            let _ = timeout(DELETE, asked).await;
        }
        self.end(why);
    }

    /// Takes messages to the server, in the order in which they come: so far as it matters to the server.
    async fn pump(self: Arc<Self>, mut outgoing: Receiver<(Stream, Vec<u8>)>) {
        loop {
            let next = tokio::select! {
                () = self.ended.cancelled() => return,
                next = outgoing.next() => next,
            };
            let Some((stream, message)) = next else { return };
            let out = Outgoing::read(message);
            if matches!(&out.kind, Kind::Cancel(id) if self.quit(id)) {
                self.wire.over(stream);
            } else {
                self.start(stream, out).await;
            }
        }
    }

    async fn start(self: &Arc<Self>, stream: Stream, out: Outgoing) {
        let (sent, was_sent) = oneshot::channel();
        let (initialize, initialized) = (out.kind == Kind::Initialize, out.kind == Kind::Initialized);
        let request = !out.ids.is_empty();
        let exchange = tokio::spawn(self.clone().exchange(stream, out, sent));
        if !self.ordered {
            return;
        }
        if initialize {
            tokio::select! {
                _ = exchange => {}
                () = self.begun.cancelled() => {}
            }
        } else if request {
            // Dropped when it has been handed to the connection, or never will be.
            let _ = was_sent.await;
        } else {
            // A server that takes longer gets the next message all the same.
            let _ = timeout(IN_ORDER, exchange).await;
        }
        if initialized && self.listens() {
            tokio::spawn(self.clone().listen());
        }
    }

    /// Whether we should begin to listen for what the server sends of itself.
    fn listens(&self) -> bool {
        let mut state = lock(&self.state);
        state.legacy.is_none() && !std::mem::replace(&mut state.listening, true)
    }

    async fn expire(self: Arc<Self>) {
        loop {
            let next = self.relay.expire();
            tokio::select! {
                () = self.ended.cancelled() => return,
                () = tokio::time::sleep(next) => {}
            }
        }
    }

    /// What goes with a request because of this stream and of the session.
    pub(super) fn headers(&self, stream: Stream) -> HeaderMap {
        let mut headers = self.wire.front.headers(stream);
        let mut state = lock(&self.state);
        match headers.get(AUTHORIZATION) {
            Some(shown) => state.authorization = Some(shown.clone()),
            None => {
                let shown = state.authorization.clone();
                shown.map(|shown| headers.insert(AUTHORIZATION, shown));
            }
        }
        for (name, value) in [(SESSION, &state.id), (VERSION, &state.version)] {
            if let Some(value) = value {
                headers.insert(name, value.clone());
            }
        }
        drop(state);
        let ours = &self.upstream.target.headers;
        ours.keys().for_each(|name| drop(headers.remove(name)));
        headers.extend(ours.iter().map(|(name, value)| (name.clone(), value.clone())));
        headers
    }

    /// Passes something of the server's to the relay, of which the client gets to know that it came in this event.
    pub(super) fn passing<T>(&self, on: Option<Stream>, id: Option<String>, pass: impl FnOnce() -> T) -> T {
        EVENT.sync_scope((on, id), pass)
    }

    /// The server has a name for the session.
    pub(super) fn named(&self, id: Option<&HeaderValue>) {
        if let Some(id) = id {
            let mut id = id.clone();
            id.set_sensitive(true);
            lock(&self.state).id = Some(id);
        }
    }

    /// Whether the server has a name for the session.
    pub(super) fn is_named(&self) -> bool {
        lock(&self.state).id.is_some()
    }

    /// Client and server speak this revision.
    pub(super) fn speaks(&self, version: &str) {
        lock(&self.state).version = HeaderValue::from_str(version).ok();
    }

    /// The client shows this to the server.
    pub(super) fn shows(&self, authorization: Option<&HeaderValue>) {
        if let Some(shown) = authorization {
            lock(&self.state).authorization = Some(shown.clone());
        }
    }

    /// Whether no request is open.
    pub(super) fn is_idle(&self) -> bool {
        let listening = match &self.wire.front {
            Front::One(_) => true,
            Front::Many(slots) => slots.len() > 0,
        };
        !listening && self.relay.pending_all() == 0
    }

    /// The server is one of 2024-11-05: messages are posted here.
    pub(super) fn posts_to(&self, url: Url) {
        lock(&self.state).legacy = Some(url);
    }

    /// Where messages are posted to a server of 2024-11-05.
    pub(super) fn legacy(&self) -> Option<Url> {
        lock(&self.state).legacy.clone()
    }

    /// Sets the headers that repeat what a message of 2026-07-28 says. A client that speaks HTTP has done so itself as
    /// far as the arguments go.
    pub(super) fn repeats(&self, modern: &Modern, headers: &mut HeaderMap) {
        headers.remove(SESSION);
        if self.ordered {
            lock(&self.state).mirror.write(modern, headers);
        }
        modern.write(headers);
    }

    /// The server says which arguments are to be repeated.
    pub(super) fn learn_repeated(&self, answer: &[u8]) {
        let mut state = lock(&self.state);
        if self.ordered && state.mirror.concerns(answer) {
            state.mirror.learn(answer);
        }
    }

    /// A request that is cancelled by leaving its stream.
    pub(super) fn keep_modern(&self, id: &Id) -> CancellationToken {
        let token = CancellationToken::new();
        lock(&self.state).modern.insert(id.clone(), token.clone());
        token
    }

    /// It has ended.
    pub(super) fn drop_modern(&self, ids: &[Id]) {
        let mut state = lock(&self.state);
        ids.iter().for_each(|id| drop(state.modern.remove(id)));
    }

    /// Leaves the stream of a request. Whether it is one that is cancelled so.
    fn quit(&self, id: &Id) -> bool {
        let token = lock(&self.state).modern.remove(id);
        token.inspect(CancellationToken::cancel).is_some()
    }
}
