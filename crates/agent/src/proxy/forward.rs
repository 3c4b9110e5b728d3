//! One request: who asks, where to, whether that is allowed; then the call.

use farthing_http::Line;
use farthing_ledger::Outcome;
use farthing_policy::json::{Json, Object};
use farthing_policy::{Denial, Destination};
use farthing_wallet::{CallLimits, PaidCall, Passed, PassedBody, Request};
use http::request::Parts;
use http::{Method, Response};
use hyper::body::Incoming;
use url::Url;

use super::bought::Wish;
use super::door::{self, Caller};
use super::headers::{self, Way, Wishes};
use super::problem::Problem;
use super::reply::{self, Reply};
use super::serve::Served;
use super::server::Inner;
use super::target::{self, Asked, Target};
use crate::record::{Called, Record};

/// Under which name refused calls stand in the record, as of the server `farthing`.
const TOOL: &str = "proxy";

/// What is known of a request, for the record and the log.
struct Heard {
    method: Method,
    /// Where it leads, without the query, which may hold a key; none where the address could not be read.
    address: Option<Url>,
    /// None for who is not known.
    caller: Option<Caller>,
}

impl Inner {
    pub(super) async fn answer(&self, request: http::Request<Incoming>) -> Response<Reply> {
        let (mut parts, body) = request.into_parts();
        let asked = target::read(&parts, &self.door.names, self.door.port);
        let caller = self.door.caller(&mut parts.headers);
        let heard = Heard::of(&parts.method, asked.as_ref().ok(), caller.as_ref().ok());
        match self.asked(parts, body, asked, caller).await {
            Ok(answer) => answer,
            Err(problem) => {
                self.refused(&heard, &problem).await;
                reply::problem(&problem)
            }
        }
    }

    async fn asked(
        &self,
        parts: Parts,
        body: Incoming,
        asked: Result<Asked, Problem>,
        caller: Result<Caller, Problem>,
    ) -> Result<Response<Reply>, Problem> {
        let called = !matches!(asked, Ok(Asked::Help | Asked::Health));
        self.door.admit(&parts, called)?;
        match asked? {
            Asked::Help => Ok(reply::help()),
            Asked::Health => Ok(reply::health()),
            Asked::Call(target) => {
                let caller = caller.map_err(|problem| door::told_in(target.form, problem))?;
                self.call(parts, body, *target, &caller).await
            }
        }
    }

    async fn call(
        &self,
        mut parts: Parts,
        body: Incoming,
        target: Target,
        caller: &Caller,
    ) -> Result<Response<Reply>, Problem> {
        let wishes = headers::for_seller(&mut parts.headers)?;
        let request = Request { headers: parts.headers, ..target.request };
        let url = request.url.clone();
        let line = parts.extensions.remove();
        let mut served = self.pass(request, body, &wishes, caller, line).await?;
        let way =
            Way { form: target.form, credentials: wishes.credentials, token_travels: caller.token_travels };
        headers::for_caller(&mut served.passed.headers, &url, way);
        respond(served)
    }

    async fn pass(
        &self,
        request: Request,
        body: Incoming,
        wishes: &Wishes,
        caller: &Caller,
        line: Option<Line>,
    ) -> Result<Served, Problem> {
        self.permit(&request, caller).await?;
        let body = self.bodies.read(body).await?;
        let limits = CallLimits {
            max_amount: wishes.max_price,
            agent: caller.agent.clone(),
            session: Some(caller.session.clone()),
            ..CallLimits::default()
        };
        let request = Request { body, ..request };
        let wish = Wish::of(&request, caller, line);
        Ok(self.serve(request, limits, wish).await?)
    }

    /// Whether the caller may call there at all, free or not. No connection is made before.
    async fn permit(&self, request: &Request, caller: &Caller) -> Result<(), Problem> {
        let (host, resource) = (request.host(), request.recorded_url());
        let going = Destination { host: &host, method: request.method.as_str(), resource: &resource };
        let Record { ledger, policy, clock, .. } = &self.record;
        policy.current().admit_destination(&going, caller.agent.as_deref(), clock.now())?;
        if ledger.maybe_frozen()
            && let Some(frozen) = ledger.frozen().await?
        {
            return Err(frozen.denial().into());
        }
        Ok(())
    }

    /// Tells of an approval that waits, and leaves a trace of what was refused.
    async fn refused(&self, heard: &Heard, problem: &Problem) {
        let (code, status) = (problem.code, problem.status.as_u16());
        let address = heard.address.as_ref().map_or("", Url::as_str);
        tracing::info!(code, status, method = %heard.method, address, "the seller's answer is not passed");
        if let (Some(notify), Some(approval)) =
            (&self.notify, problem.denial.as_ref().and_then(|denial| denial.approval.as_ref()))
        {
            notify(approval);
        }
        let Some(refusal) = problem.refusal.as_deref().cloned() else { return };
        match &heard.caller {
            Some(caller) => self.note(heard, caller.agent.as_deref(), &caller.session, refusal).await,
            None => self.note_stranger(heard, code, refusal).await,
        }
    }

    async fn note_stranger(&self, heard: &Heard, code: &'static str, mut refusal: Denial) {
        match self.strangers.note(code, self.record.clock.now()) {
            None => return,
            Some(0) => {}
            Some(more) => refusal.message = format!("{} ({more} more before it)", refusal.message),
        }
        self.note(heard, None, &self.door.nobody(), refusal).await;
    }

    async fn note(&self, heard: &Heard, agent: Option<&str>, session: &str, refusal: Denial) {
        let called = Called { agent, session, tool: TOOL, arguments: heard.arguments() };
        self.record.note(called, Some(refusal)).await;
    }
}

impl Heard {
    fn of(method: &Method, asked: Option<&Asked>, caller: Option<&Caller>) -> Self {
        let address = asked.and_then(|asked| match asked {
            Asked::Call(target) => Some(target.request.url.clone()),
            Asked::Help | Asked::Health => None,
        });
        let address = address.map(|mut address| {
            address.set_query(None);
            address
        });
        Self { method: method.clone(), address, caller: caller.cloned() }
    }

    fn arguments(&self) -> String {
        let mut arguments = Object::default();
        arguments.set("method", Json::String(self.method.to_string()));
        if let Some(address) = &self.address {
            arguments.set("url", Json::String(address.to_string()));
        }
        arguments.canonical().to_string()
    }
}

fn respond(served: Served) -> Result<Response<Reply>, Problem> {
    let Served { passed, serving, resent } = served;
    let Passed { status, mut headers, body, payment } = passed;
    if let (PassedBody::Kept, Some(payment)) = (&body, &payment) {
        let refused = payment_refused(payment);
        return Err(if resent { refused.in_vain() } else { refused });
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
    let money = payment.outcome.state().into();
    Problem::after_payment("payment_refused", message, money, &payment.purchase.terms.id)
}
