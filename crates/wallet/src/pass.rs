//! An answer that goes to its reader while it comes. What is paid for is kept all the same.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use farthing_ambient::causes;
use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt as _, TryStreamExt as _};
use http::{HeaderMap, StatusCode};
use reqwest::Response;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::carry::Way;
use crate::client::{Fetched, Opened, PaidCall};
use crate::{Authorization, CallLimits, Client, FetchError, Request};

/// How many pieces wait for a slow reader. Then the seller waits too.
const PIECES: usize = 8;

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
pub struct PaidBody(mpsc::Receiver<Piece>);

/// The text is why no more comes.
type Piece = Result<Bytes, String>;

impl Stream for PaidBody {
    type Item = Piece;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Piece>> {
        self.0.poll_recv(context)
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
    /// [`FetchError`]; it says whether a payment left the machine.
    pub async fn pass(&self, request: Request, limits: CallLimits) -> Result<Passed, FetchError> {
        let authorization = match self.open(&request, &limits).await? {
            Opened::Free(answer) => return Ok(free(answer)),
            Opened::Authorized(authorization) => *authorization,
        };
        let purchase = authorization.purchase.terms.id.clone();
        let (caller, answer) = oneshot::channel();
        let client = self.clone();
        self.passing.spawn(async move { client.pay_and_pass(&request, authorization, caller).await });
        let ended = |_| FetchError::Lost { purchase, why: "the call's own task ended".to_owned() };
        answer.await.map_err(ended)?
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
        request: &Request,
        authorization: Authorization,
        caller: oneshot::Sender<Result<Passed, FetchError>>,
    ) {
        let answered = match self.answered(Way::Http, request, authorization).await {
            Ok(answered) => answered,
            Err(error) => return tell(caller, Err(error)),
        };
        if answered.status == StatusCode::PAYMENT_REQUIRED {
            return tell(caller, self.keep(answered, None).await.map(only_kept));
        }
        let id = answered.payment.purchase.terms.id.clone();
        let (reader, body) = mpsc::channel(PIECES);
        let body = PassedBody::Paid(PaidBody(body));
        let (status, headers) = (answered.status, answered.headers.clone());
        let payment = Some(answered.payment.clone());
        tell(caller, Ok(Passed { status, headers, body, payment }));
        if let Err(error) = self.keep(answered, Some(reader)).await {
            // Its reader has the head already.
            tracing::error!(purchase = %id, %error, "a paid answer");
        }
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
