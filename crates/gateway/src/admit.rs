//! A request with a payment, up to the task that serves it.

use std::sync::atomic::AtomicI64;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use farthing_ambient::fault;
use farthing_ledger::Claim;
use http::{Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{Either, Full};
use tower_service::Service;

use crate::answer::{self, Answer, GatewayBody, Refusal};
use crate::buffers::Unheld;
use crate::charge::{Call, Handler, unrecorded};
use crate::core::{Core, Unverified};
use crate::exposure::Exposed;
use crate::inflight::Entered;
use crate::layer::{RequestBody, bad_request, too_large};
use crate::linger;
use crate::order::Order;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A request with a payment, up to the task that serves it.
pub(crate) async fn charge<S, B, B2>(
    core: Arc<Core>,
    mut inner: S,
    mut order: Box<Order>,
    request: Request<B>,
) -> Result<Response<GatewayBody<B2>>, S::Error>
where
    S: Service<Request<RequestBody<B>>, Response = Response<B2>> + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
    B2: Body<Data = Bytes> + Send + 'static,
    B2::Error: Into<BoxError>,
{
    let admitted = match admit(&core, &mut order, request).await {
        Ok(admitted) => admitted,
        Err(answer) => return Ok(answer.map(Either::Right)),
    };
    let Admitted { gate, known, begun, exposed, request } = admitted;
    // Not called before it is first polled: that is after the claim.
    let handler: Handler<B2, S::Error> = Box::pin(async move { inner.call(request).await });
    let tasks = core.tasks.clone();
    let exposed = exposed.map_or_else(OnceLock::new, OnceLock::from);
    let call = Call { core, order, gate, known, begun, exposed, row: AtomicI64::default() };
    match tasks.spawn(call.run(handler)).await {
        Ok(answered) => Ok(answered?.map(|body| match body {
            Either::Right(held) => Either::Right(held.taken()),
            Either::Left(streamed) => Either::Left(streamed.taken()),
        })),
        Err(error) => {
            tracing::error!(%error, "a paid call broke off");
            let message = "the call broke off; send the same request with the same payment again";
            let answer = answer::try_again(StatusCode::INTERNAL_SERVER_ERROR, "internal", message);
            Ok(answer.map(Either::Right))
        }
    }
}

struct Admitted<B> {
    gate: Entered,
    known: bool,
    begun: Option<Box<Claim>>,
    exposed: Option<Exposed>,
    request: Request<RequestBody<B>>,
}

/// What comes before the claim. A buyer who hangs up in here has lost nothing.
async fn admit<B>(core: &Arc<Core>, order: &mut Order, request: Request<B>) -> Result<Admitted<B>, Answer>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let Vetted { gate, known, exposed } = match vet(core, order).await {
        Ok(vetted) => vetted,
        Err(answer) => {
            linger::read_away(request.into_body(), core.limits.request_body_bytes);
            return Err(answer);
        }
    };
    let mut request = gather(core, order, request).await?;
    let gate = gate.map_or_else(|| enter(core, order), Ok).map_err(|refusal| *refusal)?;
    let begun = if order.late { Some(begun(core, order).await?) } else { None };
    request.extensions_mut().insert(order.paid.clone());
    Ok(Admitted { gate, known, begun, exposed, request })
}

/// What is known of a payment before the request's body is read.
struct Vetted {
    gate: Option<Entered>,
    known: bool,
    exposed: Option<Exposed>,
}

async fn vet(core: &Arc<Core>, order: &Order) -> Result<Vetted, Answer> {
    let mut gate = Some(enter(core, order).map_err(|refusal| *refusal)?);
    let mut known = order.late || core.in_flight.is_known(order.key()) || core.store.contains(order.key());
    let mut exposed = None;
    // An upfront payment too: a forged one must not cost a row of the ledger.
    if !known {
        match core.verify(order).await {
            Ok(counted) => {
                exposed = counted;
                fault::point("gateway.verified");
            }
            // Used, perhaps by us, before this process began: the ledger knows.
            Err(Unverified::Used(_)) => known = true,
            Err(unverified) => return Err(*unverified.into_refusal()),
        }
    }
    if known {
        // It can be read off the chain: who repeats it must not shut its buyer out by sending his body slowly.
        gate = None;
    }
    Ok(Vetted { gate, known, exposed })
}

/// The claim of a call that began under other terms than today's, which were met when it was taken: it is bound to the
/// payment's every letter. Whoever has none is told today's terms.
async fn begun(core: &Core, order: &Order) -> Result<Box<Claim>, Answer> {
    let claim = core.ledger.find_claim(order.key()).await.map_err(|error| {
        core.ledger_failed(order.key(), &error);
        unrecorded()
    })?;
    claim
        .filter(|claim| claim.claim.request == order.identity && !claim.state.is_free())
        .map(Box::new)
        .ok_or_else(|| {
            core.metrics.refused.add();
            order.unanswered()
        })
}

/// Shuts the payment's gate behind this request, unless it is shut.
fn enter(core: &Core, order: &Order) -> Result<Entered, Refusal> {
    core.in_flight.enter(order.key()).ok_or_else(|| {
        core.metrics.duplicates.add();
        Box::new(order.in_progress())
    })
}

/// Reads the body, except where it is to be streamed, and binds the order to the request.
async fn gather<B>(
    core: &Core,
    order: &mut Order,
    request: Request<B>,
) -> Result<Request<RequestBody<B>>, Answer>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let limit = core.limits.request_body_bytes;
    if request.body().size_hint().lower() > limit as u64 {
        linger::read_away_long(request.into_body(), limit);
        return Err(too_large(limit));
    }
    if order.is_upfront() {
        order.bind(&request, None);
        return Ok(request.map(Either::Left));
    }
    let (parts, body) = request.into_parts();
    let body = hold(core, body).await?;
    let request = Request::from_parts(parts, Either::Right(Full::new(body.clone())));
    order.bind(&request, Some(&body));
    Ok(request)
}

/// Reads a body whole; where that cannot be, away.
async fn hold<B>(core: &Core, body: B) -> Result<Bytes, Answer>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    let limit = core.limits.request_body_bytes;
    let mut body = Box::pin(body);
    let reading = core.buffers.read(body.as_mut(), limit);
    let answer = match tokio::time::timeout(core.limits.request_body, reading).await {
        Ok(Ok(bytes)) => return Ok(bytes),
        Ok(Err(Unheld::Broken)) => return Err(bad_request("bad_body", "the request's body broke off")),
        Ok(Err(Unheld::TooLarge)) => too_large(limit),
        Ok(Err(Unheld::NoRoom)) => core.no_room(),
        Err(_) => {
            let message = "the request's body took too long; nothing was charged";
            answer::error(StatusCode::REQUEST_TIMEOUT, "body_timeout", message)
        }
    };
    linger::read_away_long(body, limit);
    Err(answer)
}
