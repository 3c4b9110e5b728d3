//! What callers bought of late, so that nobody pays for a call twice because its answer did not reach him.
//!
//! A call whose answer went out whole is done with: an equal one is a new wish, and paid for anew. One that failed, that
//! broke off, or whose caller left before its end is owed: the next equal call of the same caller gets what is paid for.
//! So does a call with the `Idempotency-Key` of an earlier one, which says that it is the same. One with another key says
//! that it is not. Where nobody knows yet whether the earlier call pays, the later one waits until it is known.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::iter;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use farthing_http::Line;
use farthing_ledger::PurchaseId;
use farthing_wallet::{Ending, Request, UnderWay};
use http::{HeaderName, StatusCode};
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;
use tokio::time::Instant;

use super::door::Caller;

/// For how long a purchase is remembered, since its end and since its caller left: longer than clients wait before they
/// try again, and not so long that they would get what is out of date.
pub(super) const REMEMBERED: Duration = Duration::from_secs(300);
/// How many purchases are remembered whose calls have ended.
const MOST: usize = 256;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Headers that differ from one try to the next. In all others the tries of one call are equal: they may name whom the
/// answer is for.
const PER_TRY: [HeaderName; 9] = [
    HeaderName::from_static("x-stainless-retry-count"),
    HeaderName::from_static("x-request-id"),
    HeaderName::from_static("x-client-request-id"),
    HeaderName::from_static("x-correlation-id"),
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("tracestate"),
    HeaderName::from_static("baggage"),
    HeaderName::from_static("sentry-trace"),
    http::header::DATE,
];

/// What a call wants.
#[derive(Debug, Clone)]
pub(super) struct Wish {
    what: Arc<What>,
    /// It names itself.
    keyed: bool,
    /// Whence it comes, as far as the system tells.
    line: Option<Line>,
}

/// A caller's request. Most are free and compared with none, so that its body is not gone through before that is asked for.
#[derive(Debug)]
struct What {
    session: String,
    request: Request,
    outline: Outline,
    mark: OnceLock<Mark>,
}

/// Equal for equal requests of one caller, and seldom for others.
type Outline = u64;
/// The same for equal requests of one caller alone.
type Mark = [u8; 32];

impl What {
    fn of(request: &Request, caller: &Caller) -> Self {
        let Request { method, url, headers, body } = request;
        let mut outline = DefaultHasher::new();
        (&caller.session, method, url, body.len()).hash(&mut outline);
        headers.get_all(IDEMPOTENCY_KEY).iter().for_each(|key| key.hash(&mut outline));
        Self {
            session: caller.session.clone(),
            request: request.clone(),
            outline: outline.finish(),
            mark: OnceLock::new(),
        }
    }

    fn mark(&self) -> Mark {
        *self.mark.get_or_init(|| {
            let mut hasher = Sha256::new();
            let mut add = |part: &[u8]| {
                hasher.update((part.len() as u64).to_be_bytes());
                hasher.update(part);
            };
            add(self.session.as_bytes());
            add(self.request.digest().as_bytes());
            let headers = &self.request.headers;
            let mut headers: Vec<_> = headers.iter().filter(|(name, _)| !PER_TRY.contains(name)).collect();
            // The order among values of one name says something, and stays.
            headers.sort_by_key(|(name, _)| name.as_str());
            for (name, value) in headers {
                add(name.as_str().as_bytes());
                add(value.as_bytes());
            }
            hasher.finalize().into()
        })
    }
}

impl Wish {
    pub(super) fn of(request: &Request, caller: &Caller, line: Option<Line>) -> Self {
        let keyed = request.headers.contains_key(IDEMPOTENCY_KEY);
        Self { what: Arc::new(What::of(request, caller)), keyed, line }
    }

    /// Whether an earlier call is the same: by its key, or because nobody waits for it any more, also where the proxy has not
    /// been told so yet.
    fn is_met<'a>(
        &self,
        outline: Outline,
        mark: impl FnOnce() -> Mark,
        mut lines: impl Iterator<Item = &'a Option<Line>>,
    ) -> bool {
        self.what.outline == outline
            && (self.keyed || lines.all(|line| line.as_ref().is_some_and(Line::has_left)))
            && self.what.mark() == mark()
    }
}

/// The purchases, and the calls that may become some.
#[derive(Debug, Clone, Default)]
pub(super) struct Bought(Arc<Mutex<Book>>);

#[derive(Debug, Default)]
struct Book {
    asking: Vec<Arc<Asked>>,
    entries: Vec<Entry>,
}

/// A call of which nobody knows yet whether it pays.
#[derive(Debug)]
struct Asked {
    wish: Wish,
    /// Closed when it is known.
    known: watch::Receiver<()>,
}

#[derive(Debug)]
struct Entry {
    outline: Outline,
    mark: Mark,
    purchase: PurchaseId,
    ending: Ending,
    /// The callers that are being served from it.
    serving: Vec<Option<Line>>,
    sent: Sent,
    /// When a caller last came or left.
    touched: Instant,
}

/// How much of an answer has gone out to a caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Sent {
    /// Not even its head, or only an error.
    Nothing,
    /// Its head, and so many bytes of its body.
    Bytes(u64),
    /// All of it.
    All,
}

impl Entry {
    fn is_over(&self, now: Instant) -> bool {
        let ended = self.ending.since().filter(|_| self.serving.is_empty());
        ended.is_some_and(|ended| now.duration_since(ended.max(self.touched)) > REMEMBERED)
    }
}

/// What there is for a wish.
#[derive(Debug)]
pub(super) enum Found {
    /// It is paid for already. Nobody else gets it, until whoever asked has left.
    Paid(Claim),
    /// Perhaps it will be, by an earlier call.
    Perhaps(Wait),
    /// Nothing: it may be paid for.
    Nothing(Asking),
}

/// Until it is known whether an earlier call pays.
#[derive(Debug)]
pub(super) struct Wait(watch::Receiver<()>);

impl Wait {
    pub(super) async fn over(mut self) {
        // Nothing is ever sent: the error is what is waited for.
        while self.0.changed().await.is_ok() {}
    }
}

impl Bought {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What there is for a call. Whoever is told that there is nothing is known as asking from then on.
    pub(super) fn find(&self, wish: Wish) -> Found {
        let mut book = self.book();
        trim(&mut book.entries);
        let paid = |entry: &&mut Entry| wish.is_met(entry.outline, || entry.mark, entry.serving.iter());
        if let Some(entry) = book.entries.iter_mut().find(paid) {
            entry.serving.push(wish.line.clone());
            entry.touched = Instant::now();
            let (purchase, ending) = (entry.purchase.clone(), entry.ending.clone());
            return Found::Paid(Claim {
                ending,
                keyed: wish.keyed,
                serving: self.serving(purchase, wish.line),
            });
        }
        let same = |asked: &&Arc<Asked>| {
            let Wish { what, line, .. } = &asked.wish;
            wish.is_met(what.outline, || what.mark(), iter::once(line))
        };
        if let Some(asked) = book.asking.iter().find(same) {
            return Found::Perhaps(Wait(asked.known.clone()));
        }
        let (pays, known) = watch::channel(());
        let asked = Arc::new(Asked { wish, known });
        book.asking.push(asked.clone());
        drop(book);
        Found::Nothing(Asking { bought: self.clone(), asked, _pays: pays })
    }

    fn serving(&self, purchase: PurchaseId, line: Option<Line>) -> Serving {
        Serving { bought: self.clone(), purchase, line, sent: Sent::Nothing, counts: false }
    }
}

/// A call may pay, until this is dropped.
#[derive(Debug)]
pub(super) struct Asking {
    bought: Bought,
    asked: Arc<Asked>,
    /// Those who wait wake when this is gone, which is after [`Drop::drop`].
    _pays: watch::Sender<()>,
}

impl Asking {
    /// It pays: the purchase is remembered, and its caller waits for it.
    pub(super) fn pays(self, call: &UnderWay) -> Serving {
        let (purchase, wish) = (call.purchase().clone(), &self.asked.wish);
        let entry = Entry {
            outline: wish.what.outline,
            mark: wish.what.mark(),
            purchase: purchase.clone(),
            ending: call.ending(),
            serving: vec![wish.line.clone()],
            sent: Sent::Nothing,
            touched: Instant::now(),
        };
        let mut book = self.bought.book();
        book.entries.push(entry);
        trim(&mut book.entries);
        drop(book);
        self.bought.serving(purchase, wish.line.clone())
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.bought.book().asking.retain(|asked| !Arc::ptr_eq(asked, &self.asked));
    }
}

/// Forgets what was over long ago, and the oldest where there are too many.
fn trim(entries: &mut Vec<Entry>) {
    let now = Instant::now();
    entries.retain(|entry| !entry.is_over(now));
    let mut surplus = entries.len().saturating_sub(MOST);
    entries.retain(|entry| {
        let goes = surplus > 0 && entry.serving.is_empty() && entry.ending.since().is_some();
        surplus -= usize::from(goes);
        !goes
    });
}

/// What is paid for already.
#[derive(Debug)]
pub(super) struct Claim {
    pub(super) ending: Ending,
    keyed: bool,
    pub(super) serving: Serving,
}

impl Claim {
    /// Whether the answer, with a body of so many bytes, went out whole to a caller who did not ask for the same once
    /// more: then there is nothing left to give.
    pub(super) fn is_done(&self, bytes: Option<u64>) -> bool {
        let mut sent = Sent::Nothing;
        self.serving.entry(|entry| sent = entry.sent);
        let whole = match sent {
            Sent::Nothing => false,
            Sent::Bytes(sent) => bytes.is_some_and(|bytes| sent >= bytes),
            Sent::All => true,
        };
        whole && !self.keyed
    }
}

/// A caller is being served from a purchase, until this is dropped.
#[derive(Debug)]
pub(super) struct Serving {
    bought: Bought,
    purchase: PurchaseId,
    line: Option<Line>,
    sent: Sent,
    counts: bool,
}

impl Serving {
    pub(super) fn purchase(&self) -> &PurchaseId {
        &self.purchase
    }

    /// The payment is sent again, and this is how that ends.
    pub(super) fn goes_on(&self, ending: Ending) {
        self.entry(|entry| entry.ending = ending);
    }

    /// The answer's head goes out. An error is not what was paid for, so that it counts for nothing.
    pub(super) fn begins(&mut self, status: StatusCode) {
        self.counts = !(status.is_client_error() || status.is_server_error());
        self.raise(Sent::Bytes(0));
    }

    /// So many bytes of the body go out.
    pub(super) fn goes(&mut self, bytes: usize) {
        if let Sent::Bytes(before) = self.sent {
            self.raise(Sent::Bytes(before.saturating_add(bytes as u64)));
        }
    }

    /// The body came to its end, and no error.
    pub(super) fn ends(&mut self) {
        self.raise(Sent::All);
    }

    fn raise(&mut self, sent: Sent) {
        if self.counts {
            self.sent = sent;
            self.entry(|entry| entry.sent = entry.sent.max(sent));
        }
    }

    /// There is nothing more to get for it.
    pub(super) fn forget(self) {
        self.bought.book().entries.retain(|entry| entry.purchase != self.purchase);
    }

    fn entry(&self, change: impl FnOnce(&mut Entry)) {
        if let Some(entry) =
            self.bought.book().entries.iter_mut().find(|entry| entry.purchase == self.purchase)
        {
            change(entry);
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.entry(|entry| {
            let at = entry.serving.iter().position(|line| *line == self.line);
            at.map(|at| entry.serving.swap_remove(at));
            entry.touched = Instant::now();
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(session: &str, key: Option<&'static str>) -> Wish {
        let mut request = Request::get("https://a.example/goods").unwrap();
        key.map(|key| request.headers.insert(IDEMPOTENCY_KEY, key.parse().unwrap()));
        let caller = Caller { agent: None, session: session.to_owned(), token_travels: false };
        Wish::of(&request, &caller, None)
    }

    #[tokio::test]
    async fn who_asks_for_the_same_waits_until_it_is_known_whether_that_is_paid() {
        let bought = Bought::default();
        let find = |session, key| bought.find(wish(session, key));
        let Found::Nothing(asking) = find("s", Some("k")) else { panic!() };
        let Found::Perhaps(wait) = find("s", Some("k")) else { panic!("it may be paid for") };
        for (session, key) in [("s", Some("l")), ("t", Some("k")), ("s", None)] {
            assert!(matches!(find(session, key), Found::Nothing(_)), "{session} {key:?} is another call");
        }
        drop(asking);
        wait.over().await;
        assert!(matches!(find("s", Some("k")), Found::Nothing(_)), "it was not");
    }

    #[test]
    fn equal_calls_whose_callers_wait_are_as_many_wishes() {
        let bought = Bought::default();
        let Found::Nothing(_asking) = bought.find(wish("s", None)) else { panic!() };
        assert!(matches!(bought.find(wish("s", None)), Found::Nothing(_)));
    }
}
