//! One request: who asks, where to, whether that is allowed; then the call.

use farthing_ledger::{NewCall, Noted, Outcome};
use farthing_policy::json::{Json, Object};
use farthing_policy::{Denial, DenialCode, Destination};
use farthing_wallet::{CallLimits, PaidCall, Passed, PassedBody, Request};
use http::request::Parts;
use http::{Method, Response};
use hyper::body::Incoming;
use url::Url;

use super::door::Caller;
use super::headers::{self, Way, Wishes};
use super::problem::Problem;
use super::reply::{self, Reply};
use super::serve::Served;
use super::server::Inner;
use super::target::{self, Asked, Target};
use super::token;
use crate::mcp::record;

/// Under which names refused calls stand in the record.
const SERVER: &str = "farthing";
const TOOL: &str = "proxy";

impl Inner {
    pub(super) async fn answer(&self, request: http::Request<Incoming>) -> Response<Reply> {
        let (parts, body) = request.into_parts();
        self.asked(parts, body).await.unwrap_or_else(|problem| {
            tracing::info!(code = problem.code, status = problem.status.as_u16(), "{}", problem.message);
            reply::problem(&problem)
        })
    }

    async fn asked(&self, parts: Parts, body: Incoming) -> Result<Response<Reply>, Problem> {
        let asked = target::read(&parts, &self.door.names, self.door.port);
        let called = !matches!(asked, Ok(Asked::Help | Asked::Health));
        self.door.admit(&parts, called)?;
        match asked? {
            Asked::Help => Ok(reply::help()),
            Asked::Health => Ok(reply::health()),
            Asked::Call(target) => self.call(parts, body, *target).await,
        }
    }

    async fn call(
        &self,
        mut parts: Parts,
        body: Incoming,
        target: Target,
    ) -> Result<Response<Reply>, Problem> {
        let token_travels = token::travels(&parts.headers);
        let caller = self.door.caller(&mut parts.headers, target.form)?;
        let wishes = headers::for_seller(&mut parts.headers)?;
        let request = Request { headers: parts.headers, ..target.request };
        let (method, url) = (request.method.clone(), request.url.clone());
        let mut served = match self.pass(request, body, &wishes, &caller).await {
            Ok(served) => served,
            Err(problem) => {
                self.refused(&method, &url, &caller, &problem).await;
                return Err(problem);
            }
        };
        let way = Way { form: target.form, credentials: wishes.credentials, token_travels };
        headers::for_caller(&mut served.passed.headers, &url, way);
        respond(served)
    }

    async fn pass(
        &self,
        request: Request,
        body: Incoming,
        wishes: &Wishes,
        caller: &Caller,
    ) -> Result<Served, Problem> {
        self.permit(&request, caller).await?;
        let body = self.bodies.read(body).await?;
        let limits = CallLimits {
            max_amount: wishes.max_price,
            agent: caller.agent.clone(),
            session: Some(caller.session.clone()),
            ..CallLimits::default()
        };
        Ok(self.serve(Request { body, ..request }, limits, caller).await?)
    }

    /// Whether the caller may call there at all, free or not. No connection is made before.
    async fn permit(&self, request: &Request, caller: &Caller) -> Result<(), Problem> {
        let (host, resource) = (request.host(), request.recorded_url());
        let going = Destination { host: &host, method: request.method.as_str(), resource: &resource };
        self.policy.current().admit_destination(&going, caller.agent.as_deref(), self.clock.now())?;
        if self.ledger.maybe_frozen()
            && let Some(frozen) = self.ledger.frozen().await?
        {
            return Err(Denial::new(DenialCode::Frozen, "freeze", frozen.to_string()).into());
        }
        Ok(())
    }

    /// Tells of an approval that waits, and leaves a trace of what was refused.
    async fn refused(&self, method: &Method, url: &Url, caller: &Caller, problem: &Problem) {
        if let (Some(notify), Some(approval)) =
            (&self.notify, problem.denial.as_ref().and_then(|denial| denial.approval.as_ref()))
        {
            notify(approval);
        }
        let Some(denial) = denial(problem) else { return };
        let id = match record::id(&*self.clock, &*self.entropy) {
            Ok(id) => id,
            Err(error) => return tracing::warn!(%error, "a refused call was not recorded"),
        };
        let call = NewCall {
            id,
            server: SERVER.to_owned(),
            agent: caller.agent.clone(),
            session: caller.session.clone(),
            tool: TOOL.to_owned(),
            arguments: recorded(method, url),
            policy_hash: self.policy.current().hash().to_owned(),
        };
        if let Err(error) = self.ledger.note(call, Noted::Denied(denial)).await {
            tracing::warn!(%error, "a refused call was not recorded");
        }
    }
}

/// Method and address without the query, which may hold a key.
fn recorded(method: &Method, url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    let mut arguments = Object::default();
    arguments.set("method", Json::String(method.to_string()));
    arguments.set("url", Json::String(url.into()));
    arguments.canonical().to_string()
}

/// What was refused, and not only went wrong.
fn denial(problem: &Problem) -> Option<Denial> {
    let refused = |code, rule| Some(Denial::new(code, rule, problem.message.clone()));
    match (&problem.denial, problem.code) {
        (Some(denial), _) => Some((**denial).clone()),
        (None, "out_of_reach") => refused(DenialCode::HostNotAllowed, "out-of-reach"),
        (None, "unpayable") => refused(DenialCode::PaymentsNotAllowed, "unpayable"),
        _ => None,
    }
}

fn respond(served: Served) -> Result<Response<Reply>, Problem> {
    let Served { passed, serving, resent } = served;
    let Passed { status, mut headers, body, payment } = passed;
    if let (PassedBody::Kept, Some(payment)) = (&body, &payment) {
        return Err(payment_refused(payment));
    }
    if let Some(payment) = &payment {
        headers::tell_payment(&mut headers, status, payment, resent);
    }
    let mut response = Response::new(reply::streamed(status, body, serving));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Ok(response)
}

/// The seller asks for money again, and the payment is out.
fn payment_refused(payment: &PaidCall) -> Problem {
    let message = match &payment.outcome {
        Outcome::Unknown { why } => why.clone(),
        _ => "the seller was paid and asks for money again".to_owned(),
    };
    Problem::after_payment("payment_refused", message, &payment.purchase.terms.id)
}
