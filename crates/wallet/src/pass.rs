//! An answer that goes to its reader while it comes. What is paid for is kept all the same, and can be had again.

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use farthing_ambient::causes;
use farthing_ledger::PurchaseId;
use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt as _, TryStreamExt as _};
use http::{HeaderMap, StatusCode};
use reqwest::Response;
use tokio::fs::File;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use tokio_util::io::ReaderStream;

use crate::carry::Way;
use crate::client::{Fetched, FetchedBody, Opened, PaidCall};
use crate::pay::failed;
use crate::{Authorization, CallLimits, Client, FetchError, Request};

/// How many pieces wait for a slow reader. Then the seller waits too.
const PIECES: usize = 8;
/// The pieces in which a kept body is read.
const PIECE_BYTES: usize = 64 << 10;

/// What [`Client::pass`] has begun.
#[derive(Debug)]
pub enum Begun {
    /// Nothing is asked for: this is the answer.
    Free(Box<Passed>),
    /// A payment is signed, and the call goes to its end by itself.
    Paid(UnderWay),
}

/// A paid call whose answer is awaited.
#[derive(Debug)]
pub struct UnderWay {
    purchase: PurchaseId,
    head: oneshot::Receiver<Result<Passed, FetchError>>,
    ending: Ending,
}

impl UnderWay {
    /// The purchase as which it stands in the ledger.
    #[must_use]
    pub fn purchase(&self) -> &PurchaseId {
        &self.purchase
    }

    /// How it ends, for whoever comes later.
    #[must_use]
    pub fn ending(&self) -> Ending {
        self.ending.clone()
    }

    /// The answer when it begins.
    ///
    /// # Errors
    /// [`FetchError`]: the payment has left the machine.
    pub async fn head(self) -> Result<Passed, FetchError> {
        let Self { purchase, head, .. } = self;
        let ended = |_| FetchError::Lost { purchase, why: "the call's own task ended".to_owned() };
        head.await.map_err(ended)?
    }
}

/// How a paid call ends that is passed on.
#[derive(Debug, Clone)]
pub struct Ending(watch::Receiver<Option<End>>);

#[derive(Debug, Clone)]
struct End {
    at: Instant,
    /// The answer, if it is one and has come whole.
    whole: Option<Arc<Whole>>,
}

#[derive(Debug)]
struct Whole {
    status: StatusCode,
    headers: HeaderMap,
    payment: PaidCall,
    path: PathBuf,
    bytes: u64,
}

impl Whole {
    fn of(fetched: Fetched) -> Option<Self> {
        let Fetched { status, headers, body, payment } = fetched;
        let FetchedBody::Kept { path, bytes, cut_off: None } = body else { return None };
        (!failed(status)).then_some(Self { status, headers, payment: payment?, path, bytes })
    }
}

impl Ending {
    /// Since when it is over.
    #[must_use]
    pub fn since(&self) -> Option<Instant> {
        self.0.borrow().as_ref().map(|end| end.at)
    }

    /// Waits for it. The whole answer once more, from what is kept, and the length of its body. None where the seller
    /// answered with an error, or not all came: [`Client::pass_again`] asks him for it.
    pub async fn again(&self) -> Option<(Passed, u64)> {
        let mut ending = self.0.clone();
        let whole = ending.wait_for(Option::is_some).await.ok()?.as_ref()?.whole.clone()?;
        let file = File::open(&whole.path).await.ok()?;
        let body = PaidBody(Source::Kept(ReaderStream::with_capacity(file, PIECE_BYTES)));
        let Whole { status, ref headers, ref payment, bytes, .. } = *whole;
        let (headers, payment) = (headers.clone(), Some(payment.clone()));
        Some((Passed { status, headers, body: PassedBody::Paid(body), payment }, bytes))
    }
}

/// The head of an answer, with its body on the way.
#[derive(Debug)]
pub struct Passed {
    /// The HTTP status.
    pub status: StatusCode,
    /// The answer's headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: PassedBody,
    /// What was paid, as far as the head tells; none for a free call.
    pub payment: Option<PaidCall>,
}

/// A body that is passed on.
#[derive(Debug)]
pub enum PassedBody {
    /// A free call's, as it comes.
    Free(Response),
    /// A paid call's, as it comes; it is kept as well.
    Paid(PaidBody),
    /// Only kept: a seller who answers a payment with 402 again has refused it, and says so in a body that asks for
    /// money. The payment's outcome repeats his words.
    Kept,
}

/// A paid body on its way. Its end comes when the ledger has taken the answer down; who drops it before leaves the
/// rest to the wallet. An error is a body that broke off.
#[derive(Debug)]
pub struct PaidBody(Source);

#[derive(Debug)]
enum Source {
    Seller(mpsc::Receiver<Piece>),
    Kept(ReaderStream<File>),
}

/// The text is why no more comes.
type Piece = Result<Bytes, String>;

impl Stream for PaidBody {
    type Item = Piece;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Piece>> {
        match &mut self.0 {
            Source::Seller(pieces) => pieces.poll_recv(context),
            Source::Kept(file) => {
                file.poll_next_unpin(context).map(|piece| Some(piece?.map_err(|error| error.to_string())))
            }
        }
    }
}

impl Client {
    /// As [`Client::fetch`], but gives the answer when it begins. From the signature on, the call goes to its end in a
    /// task of its own, whether its caller stays or not: the answer is read, kept and recorded. When the caller has
    /// gone, its rest may take [`ClientConfig::rest_timeout`](crate::ClientConfig::rest_timeout).
    ///
    /// Dropping the future before a payment was sent sends none.
    ///
    /// # Errors
    /// [`FetchError`]: no payment has left the machine.
    pub async fn pass(&self, request: Request, limits: CallLimits) -> Result<Begun, FetchError> {
        match self.open(&request, &limits).await? {
            Opened::Free(answer) => Ok(Begun::Free(Box::new(free(answer)))),
            Opened::Authorized(authorization) => Ok(Begun::Paid(self.go(request, *authorization))),
        }
    }

    /// As [`Client::resume`], and goes on as [`Client::pass`] does.
    ///
    /// # Errors
    /// [`FetchError`]: the payment has not left the machine once more.
    pub async fn pass_again(&self, request: Request, purchase: &PurchaseId) -> Result<UnderWay, FetchError> {
        let authorization = self.reopen(&request, purchase).await?;
        Ok(self.go(request, authorization))
    }

    /// Pays, in a task of its own.
    fn go(&self, request: Request, authorization: Authorization) -> UnderWay {
        let purchase = authorization.purchase.terms.id.clone();
        let (caller, head) = oneshot::channel();
        let (over, ending) = watch::channel(None);
        let client = self.clone();
        self.passing.spawn(async move {
            let whole = client.pay_and_pass(request, authorization, caller).await;
            over.send_replace(Some(End { at: Instant::now(), whole: whole.map(Arc::new) }));
        });
        UnderWay { purchase, head, ending: Ending(ending) }
    }

    /// Waits until every paid call that is passed on has come to its end, for at most `within`. Returns how many have
    /// not: what is signed for them is in the ledger.
    pub async fn passed(&self, within: Duration) -> usize {
        self.passing.close();
        // When the time is over, those that are left are counted.
        let _ = tokio::time::timeout(within, self.passing.wait()).await;
        self.passing.reopen();
        self.passing.len()
    }

    async fn pay_and_pass(
        &self,
        request: Request,
        authorization: Authorization,
        caller: oneshot::Sender<Result<Passed, FetchError>>,
    ) -> Option<Whole> {
        let answered = self.answered(Way::Http, &request, authorization).await;
        // It may be long, and the answer may take long.
        drop(request);
        let answered = match answered {
            Ok(answered) => answered,
            Err(error) => {
                tell(caller, Err(error));
                return None;
            }
        };
        if answered.status == StatusCode::PAYMENT_REQUIRED {
            tell(caller, self.keep(answered, None).await.map(only_kept));
            return None;
        }
        let id = answered.payment.purchase.terms.id.clone();
        let (reader, body) = mpsc::channel(PIECES);
        let body = PassedBody::Paid(PaidBody(Source::Seller(body)));
        let (status, headers) = (answered.status, answered.headers.clone());
        let payment = Some(answered.payment.clone());
        tell(caller, Ok(Passed { status, headers, body, payment }));
        // Its reader has the head already.
        let failed = |error: &FetchError| tracing::error!(purchase = %id, %error, "a paid answer");
        self.keep(answered, Some(reader)).await.inspect_err(failed).ok().and_then(Whole::of)
    }
}

/// Who has left is told nothing; the ledger knows.
fn tell(caller: oneshot::Sender<Result<Passed, FetchError>>, answer: Result<Passed, FetchError>) {
    if let Err(Err(error)) = caller.send(answer) {
        tracing::warn!(%error, "nobody waited any more for the answer to a payment");
    }
}

fn free(answer: Response) -> Passed {
    let (status, headers) = (answer.status(), answer.headers().clone());
    Passed { status, headers, body: PassedBody::Free(answer), payment: None }
}

fn only_kept(fetched: Fetched) -> Passed {
    let Fetched { status, headers, payment, .. } = fetched;
    Passed { status, headers, body: PassedBody::Kept, payment }
}

/// Where a reader gets pieces of a body.
pub(crate) type Reader = mpsc::Sender<Piece>;

/// A paid body that comes from the seller, and goes to a reader as long as there is one.
pub(crate) struct Arriving {
    body: BoxStream<'static, Piece>,
    reader: Option<Reader>,
    rest_timeout: Duration,
    /// Since the reader left: until when the rest must be here.
    until: Option<Instant>,
}

impl Arriving {
    pub(crate) fn new(answer: Response, reader: Option<Reader>, rest_timeout: Duration) -> Self {
        let body = answer.bytes_stream().map_err(|error| causes(&error.without_url())).fuse().boxed();
        Self { body, reader, rest_timeout, until: None }
    }

    /// Every piece, which the reader has got when it comes out here.
    pub(crate) fn pieces(&mut self) -> impl Stream<Item = Piece> + Send {
        stream::unfold(self, |arriving| async move { Some((arriving.next().await?, arriving)) })
    }

    /// Reads on for the reader alone.
    pub(crate) async fn pass_the_rest(&mut self) {
        while self.reader.is_some() && self.next().await.is_some() {}
    }

    async fn next(&mut self) -> Option<Piece> {
        let piece = self.arrive().await?;
        if piece.is_err() {
            self.body = stream::empty().boxed();
        }
        if let Some(reader) = &self.reader
            && reader.send(piece.clone()).await.is_err()
        {
            self.reader_left();
        }
        Some(piece)
    }

    async fn arrive(&mut self) -> Option<Piece> {
        if let Some(reader) = &self.reader {
            tokio::select! {
                piece = self.body.next() => return piece,
                () = reader.closed() => {}
            }
            self.reader_left();
        }
        let Some(until) = self.until else { return self.body.next().await };
        let late = |_| Some(Err("its reader left, and the rest did not come in time".to_owned()));
        tokio::time::timeout_at(until, self.body.next()).await.unwrap_or_else(late)
    }

    fn reader_left(&mut self) {
        self.reader = None;
        self.until = Some(Instant::now() + self.rest_timeout);
    }
}
