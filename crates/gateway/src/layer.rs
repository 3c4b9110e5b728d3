use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use farthing_ambient::Clock;
use farthing_facilitator::{Facilitate, FacilitatorError};
use farthing_ledger::{Ledger, LedgerError};
use farthing_protocol::x402::SupportedResponse;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::header::{CONNECTION, UPGRADE};
use http::uri::PathAndQuery;
use http::{Request, Response, StatusCode, Uri};
use http_body::Body;
use http_body_util::{Either, Full};
use tower_layer::Layer;
use tower_service::Service;

use crate::admit::charge;
use crate::answer::{self, Answer, GatewayBody, Refusal};
use crate::buffers::Buffers;
use crate::charge::RESENT;
use crate::core::Core;
use crate::discovery::Offered;
use crate::inflight::InFlight;
use crate::linger;
use crate::order::{Found, Order, find};
use crate::pricing::Charge;
use crate::reload::SharedPricing;
use crate::streamed::Streamed;
use crate::{Limits, MemoryStore, Metrics, Pricing, ResponseStore, canonical_path};

/// How long an answer is kept for its buyer, and how many bytes of them, unless the layer is given another store.
const KEEP: Duration = Duration::from_secs(600);
const KEEP_BYTES: usize = 64_000_000;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A request's body on its way to the handler: as it came, or, where the call is charged after serving, whole.
pub type RequestBody<B> = Either<B, Full<Bytes>>;

/// Charges for the calls of any HTTP service.
///
/// A call is verified, claimed, served, settled and answered, in this order; an `upfront` route is claimed, settled,
/// served and answered. Handlers find a [`crate::Paid`] in the request's extensions. See `examples/axum_server.rs`.
#[derive(Debug, Clone)]
pub struct PaymentLayer {
    core: Arc<Core>,
}

impl PaymentLayer {
    /// A layer over these prices. The answers that a buyer may come back for are kept in memory, unless
    /// [`Self::with_store`] names another place.
    #[must_use]
    pub fn new(
        pricing: impl Into<SharedPricing>,
        facilitate: Arc<dyn Facilitate>,
        ledger: Ledger,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let store = Arc::new(MemoryStore::new(clock.clone(), KEEP, KEEP_BYTES));
        let core = Core {
            pricing: pricing.into(),
            facilitate,
            ledger,
            store,
            clock,
            limits: Limits::default(),
            in_flight: Arc::new(InFlight::default()),
            exposure: Arc::default(),
            buffers: Buffers::new(Limits::default().buffered_bytes),
            tasks: tokio_util::task::TaskTracker::new(),
            metrics: Arc::default(),
            alone: std::sync::atomic::AtomicBool::new(false),
        };
        Self { core: Arc::new(core) }
    }

    /// Keeps answers in this store.
    #[must_use]
    pub fn with_store(self, store: Arc<dyn ResponseStore>) -> Self {
        self.change(|core| core.store = store)
    }

    /// Waits for so long and holds so much.
    #[must_use]
    pub fn with_limits(self, limits: Limits) -> Self {
        self.change(|core| {
            core.limits = limits;
            core.buffers = Buffers::new(limits.buffered_bytes);
        })
    }

    /// Says that no other process serves calls on this ledger: what is found unfinished there is nobody's. Otherwise
    /// it counts as unfinished only after the longest time that a call may take.
    #[must_use]
    pub fn alone_on_ledger(self) -> Self {
        self.core.alone.store(true, Ordering::Release);
        self
    }

    /// Before the layer is handed out nobody else holds its core; afterwards it is copied, with an own gate.
    fn change(self, change: impl FnOnce(&mut Core)) -> Self {
        let core = self.core;
        let mut core = Arc::try_unwrap(core).unwrap_or_else(|shared| Core {
            pricing: shared.pricing.clone(),
            facilitate: shared.facilitate.clone(),
            ledger: shared.ledger.clone(),
            store: shared.store.clone(),
            clock: shared.clock.clone(),
            limits: shared.limits,
            in_flight: shared.in_flight.clone(),
            exposure: shared.exposure.clone(),
            buffers: shared.buffers.clone(),
            tasks: shared.tasks.clone(),
            metrics: shared.metrics.clone(),
            alone: std::sync::atomic::AtomicBool::new(shared.alone.load(Ordering::Acquire)),
        });
        change(&mut core);
        Self { core: Arc::new(core) }
    }

    /// Looks after what an earlier process left unfinished. To be called once before serving.
    ///
    /// # Errors
    /// [`LedgerError`]
    pub async fn recover(&self) -> Result<(), LedgerError> {
        self.core.recover(true).await
    }

    /// As [`Self::recover`], for who knows that at this moment no other process is on the ledger: what is open there is
    /// nobody's, and what others open later is theirs.
    pub(crate) async fn take_up(&self) -> Result<(), LedgerError> {
        self.core.take_up().await
    }

    /// The same while serving: what has been silent for longer than a call may take.
    pub(crate) async fn look_after(&self) -> Result<(), LedgerError> {
        self.core.recover(false).await
    }

    /// Waits until every call that was begun is settled or released; whether that happened in time. A server calls
    /// it after it stopped taking requests.
    pub async fn drain(&self, within: Duration) -> bool {
        self.core.tasks.close();
        let drained = tokio::time::timeout(within, self.core.tasks.wait()).await.is_ok();
        if !drained {
            tracing::error!(
                calls = self.core.tasks.len(),
                "calls were still open at the end of the shutdown"
            );
        }
        drained
    }

    /// What happened since the start.
    #[must_use]
    pub fn metrics(&self) -> Arc<Metrics> {
        self.core.metrics.clone()
    }

    pub(crate) async fn supported(&self) -> Result<SupportedResponse, FacilitatorError> {
        self.core.facilitate.supported().await
    }

    /// The prices in force; other ones can be put in force through it.
    #[must_use]
    pub fn pricing(&self) -> SharedPricing {
        self.core.pricing.clone()
    }
}

impl<S> Layer<S> for PaymentLayer {
    type Service = PaymentService<S>;

    fn layer(&self, inner: S) -> PaymentService<S> {
        PaymentService { core: self.core.clone(), inner }
    }
}

/// The service that [`PaymentLayer`] makes.
#[derive(Debug, Clone)]
pub struct PaymentService<S> {
    core: Arc<Core>,
    inner: S,
}

/// How long a route gives its handler, in the request's extensions. The proxy heeds it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RouteTimeout(pub(crate) Duration);

impl<S, B, B2> Service<Request<B>> for PaymentService<S>
where
    S: Service<Request<RequestBody<B>>, Response = Response<B2>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
    B2: Body<Data = Bytes> + Send + 'static,
    B2::Error: Into<BoxError>,
{
    type Response = Response<GatewayBody<B2>>;
    type Error = S::Error;
    type Future = futures::future::Either<
        std::future::Ready<Result<Self::Response, S::Error>>,
        BoxFuture<'static, Result<Self::Response, S::Error>>,
    >;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        // The service that was polled ready is the one to call.
        let ready = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, ready);
        use futures::future::Either::{Left, Right};
        match self.core.decide(&mut request) {
            Decision::Answer(answer) => {
                linger::read_away(request.into_body(), self.core.limits.request_body_bytes);
                Left(std::future::ready(Ok(answer.map(Either::Right))))
            }
            Decision::Pass { otherwise } => {
                let (passed, core) = (inner.call(request.map(Either::Left)), self.core.clone());
                Right(passed.map(move |result| Ok(core.passed(result?, otherwise))).boxed())
            }
            Decision::Charge(order) => Right(charge(self.core.clone(), inner, order, request).boxed()),
        }
    }
}

/// What becomes of a request.
enum Decision {
    /// The layer has the answer.
    Answer(Refusal),
    /// It goes on without payment; where nothing is found, there is this answer.
    Pass { otherwise: Option<Refusal> },
    /// It is to be paid.
    Charge(Box<Order>),
}

impl Core {
    fn decide<B>(&self, request: &mut Request<B>) -> Decision {
        self.find(request).unwrap_or_else(Decision::Answer)
    }

    fn find<B>(&self, request: &mut Request<B>) -> Result<Decision, Refusal> {
        let path = match canonical_path(request.uri().path()) {
            Ok(path) => path,
            Err(error) => {
                self.metrics.bad_paths.add();
                let answer = answer::error(StatusCode::BAD_REQUEST, "ambiguous_path", &error.to_string());
                return Err(Box::new(answer));
            }
        };
        let pricing = self.pricing.load();
        let otherwise = self.document(&pricing, &path, request)?;
        let charge = pricing.charge(request.method(), &path);
        let order = self.read(&charge, &path, request);
        if let std::borrow::Cow::Owned(path) = path {
            // What was matched is what is served.
            match with_path(request.uri(), &path) {
                Some(uri) => *request.uri_mut() = uri,
                None => {
                    return Err(Box::new(bad_request("ambiguous_path", "the path cannot be rewritten")));
                }
            }
        }
        let timeout = match &charge {
            Charge::Paid(route) => Some(route.timeout),
            Charge::Free { timeout } => *timeout,
            Charge::Refused => None,
        };
        if let Some(timeout) = timeout {
            request.extensions_mut().insert(RouteTimeout(timeout));
        }
        Ok(match order? {
            Some(order) => Decision::Charge(Box::new(order)),
            None => Decision::Pass { otherwise },
        })
    }

    /// The document to fall back on, where the request asks for one; or, as the answer, the one that goes first.
    fn document<B>(
        &self,
        pricing: &Pricing,
        path: &str,
        request: &Request<B>,
    ) -> Result<Option<Refusal>, Refusal> {
        let Some(offered) = pricing.document(request.method(), path) else { return Ok(None) };
        match offered {
            Offered::Ours(document) => {
                self.metrics.documents.add();
                Err(Box::new(document.answer(request.headers())))
            }
            Offered::Otherwise(document) => Ok(Some(Box::new(document.answer(request.headers())))),
        }
    }

    /// The answer to a call that went on without payment.
    fn passed<B>(&self, response: Response<B>, otherwise: Option<Refusal>) -> Response<GatewayBody<B>> {
        match otherwise {
            Some(document) if response.status() == StatusCode::NOT_FOUND => {
                self.metrics.documents.add();
                document.map(Either::Right)
            }
            _ => response.map(|body| Either::Left(Streamed::new(body))),
        }
    }

    /// The order that a request makes; none where it is free.
    fn read<B>(&self, charge: &Charge, path: &str, request: &Request<B>) -> Result<Option<Order>, Refusal> {
        let route = match charge {
            Charge::Paid(route) => route,
            Charge::Free { .. } => {
                self.metrics.free.add();
                return Ok(None);
            }
            Charge::Refused => {
                self.metrics.unmatched.add();
                let message = "nothing is offered here";
                return Err(Box::new(answer::error(StatusCode::NOT_FOUND, "not_found", message)));
            }
        };
        if asks_for_upgrade(request) {
            return Err(Box::new(bad_request(
                "upgrade_refused",
                "a priced call cannot become something else",
            )));
        }
        match find(request.headers()) {
            Found::None => {
                self.metrics.unpaid.add();
                Err(Box::new(route.terms.unpaid(path)))
            }
            Found::Several => {
                Err(Box::new(bad_request("invalid_payload", "send one payment, in one header")))
            }
            Found::One(name, value) => {
                let order = Order::read(route, path, request, name, value);
                order.map(Some).inspect_err(|_| self.metrics.refused.add())
            }
        }
    }
}

pub(crate) fn too_large(limit: usize) -> Answer {
    let message = format!("the request's body is larger than {limit} bytes; nothing was charged");
    answer::error(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", &message)
}

pub(crate) fn bad_request(code: &str, message: &str) -> Answer {
    answer::error(StatusCode::BAD_REQUEST, code, message)
}

pub(crate) fn asks_for_upgrade<B>(request: &Request<B>) -> bool {
    let connection = request.headers().get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    request.headers().contains_key(UPGRADE)
        || request.method() == http::Method::CONNECT
        || connection
            .flat_map(|value| value.split(','))
            .any(|part| part.trim().eq_ignore_ascii_case("upgrade"))
}

fn with_path(uri: &Uri, path: &str) -> Option<Uri> {
    let target = match uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(target).ok()?);
    Uri::from_parts(parts).ok()
}

/// Whether an answer was given out before, for the same payment and the same request.
#[must_use]
pub fn is_resent<B>(response: &Response<B>) -> bool {
    response.headers().contains_key(RESENT)
}
