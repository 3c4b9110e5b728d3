//! Making a call and paying for it: progress while it lasts, and what a cancellation means.

use std::path::Path;
use std::sync::Arc;
use std::sync::OnceLock;

use farthing_ledger::{Outcome, Purchase, PurchaseId};
use farthing_wallet::{CallLimits, Fetched, Observer, Request, Step, has_answer};
use rmcp::RoleServer;
use rmcp::model::{JsonObject, ProgressNotificationParam, ProgressToken};
use rmcp::service::{Peer, RequestContext};
use tokio::sync::mpsc;

use super::answer::Answer;
use super::content;
use super::desk::Desk;
use super::input::CallArgs;
use super::output::{Budget, Called, Payment};
use super::paid_tool::PaidTool;
use super::trouble::{Code, Trouble};

/// What comes of a wish to pay.
pub(super) enum Bought {
    /// The call was made.
    Done(Answer),
    /// A person has to approve it first.
    NeedsApproval(Trouble),
}

/// Makes the call, paying if the seller asks and the wallet allows.
pub(super) async fn pay(
    desk: &Arc<Desk>,
    args: &CallArgs,
    context: &RequestContext<RoleServer>,
    progress: &mut Progress<'_>,
) -> Result<Bought, Trouble> {
    let request = args.request()?;
    let limits = args.limits(desk.config.agent.as_deref(), &desk.config.session)?;
    let host = request.host();
    let wanted = match &args.mcp_tool {
        Some(tool) => Work::Tool(request, limits, tool.clone(), args.tool_arguments()?),
        None => Work::Fetch(request, limits),
    };
    match work(desk, wanted, context, progress).await {
        Ok(fetched) => Ok(Bought::Done(called(desk, fetched, &host).await?)),
        Err(trouble) if trouble.code == Code::ApprovalNeeded => {
            let pending = trouble.denial.as_ref().and_then(|denial| denial.approval.as_ref());
            if let (Some(notify), Some(approval)) = (&desk.config.notify, pending) {
                notify(approval);
            }
            Ok(Bought::NeedsApproval(trouble))
        }
        Err(trouble) => Err(trouble),
    }
}

/// The body of an earlier purchase: out of its file, or from the seller with the payment that he has. Never pays anew.
pub(super) async fn fetch_again(
    desk: &Arc<Desk>,
    id: &str,
    context: &RequestContext<RoleServer>,
) -> Result<Answer, Trouble> {
    let purchase = desk.purchase(id).await?;
    again(desk, &purchase, context).await.map_err(|trouble| trouble.about(&purchase))
}

async fn again(
    desk: &Arc<Desk>,
    purchase: &Purchase,
    context: &RequestContext<RoleServer>,
) -> Result<Answer, Trouble> {
    let terms = &purchase.terms;
    let kept =
        purchase.response.as_ref().and_then(|response| Some((response, response.body_file.as_deref()?)));
    let host = Request::get(&terms.url).map(|request| request.host()).unwrap_or_default();
    if let Some((response, file)) = kept.filter(|_| has_answer(purchase)) {
        let path = desk.config.bodies.path(file);
        let shown =
            content::show_file(&path, response.body_bytes, response.content_type.clone(), &host).await?;
        let called = Called {
            status: response.status,
            body: shown.body,
            payment: Some(Payment::recorded(purchase)),
            budgets: Vec::new(),
            note: Some("out of the wallet's folder; nothing was paid for it again".to_owned()),
        };
        return Ok(Answer::shown(&called, with_summary(&called, shown.content)));
    }
    if terms.method == Request::MCP {
        let why = "no whole answer is kept of this call of an MCP server's tool";
        return Err(Trouble::unpaid(Code::NotFound, why));
    }
    let request =
        Request::new(terms.method.parse().map_err(|_| unreadable(&purchase.terms.id))?, &terms.url)?;
    if request.digest() != terms.request_digest {
        return Err(Trouble::unpaid(
            Code::NotFound,
            "no whole answer is kept, and the call had a body, which is not kept",
        )
        .hint(format!("your human can run `farthing fetch --resume {}` with the same body", terms.id)));
    }
    let fetched =
        work(desk, Work::Resume(request, terms.id.clone()), context, &mut Progress::of(context)).await?;
    called(desk, fetched, &host).await
}

fn unreadable(id: &PurchaseId) -> Trouble {
    Trouble::unpaid(Code::Failed, format!("the record of purchase {id} cannot be read"))
}

/// The answer for the agent, with the body shown.
async fn called(desk: &Desk, fetched: Fetched, host: &str) -> Result<Answer, Trouble> {
    let Fetched { status, headers, body, payment } = fetched;
    let content_type = headers.get("content-type").and_then(|kind| kind.to_str().ok()).map(str::to_owned);
    let shown = content::show(desk, body, content_type, host).await.map_err(|trouble| match &payment {
        Some(paid) => trouble.after(paid),
        None => trouble,
    })?;
    let note = note(
        status,
        headers.get("location").and_then(|place| place.to_str().ok()),
        payment.as_ref().map(|paid| &paid.outcome),
    );
    let called = Called {
        status: status.as_u16(),
        body: shown.body,
        budgets: payment.as_ref().map(|paid| Budget::all(&paid.used)).unwrap_or_default(),
        payment: payment.as_ref().map(Payment::fresh),
        note,
    };
    Ok(Answer::shown(&called, with_summary(&called, shown.content)))
}

fn note(status: http::StatusCode, location: Option<&str>, outcome: Option<&Outcome>) -> Option<String> {
    match (outcome, location) {
        (Some(Outcome::Unknown { .. }), _) => Some(
            "the payment was sent and its outcome is not known: it stays counted; do not pay again, use `fetch_again`"
                .to_owned(),
        ),
        (_, Some(place)) if status.is_redirection() => {
            Some(format!("redirects are not followed; the seller points to {place}"))
        }
        (None, _) if !status.is_success() => Some("nothing was paid".to_owned()),
        _ => None,
    }
}

/// One line on what was paid, before the body.
fn with_summary(called: &Called, body: Vec<rmcp::model::ContentBlock>) -> Vec<rmcp::model::ContentBlock> {
    let status = called.status;
    let paid = match &called.payment {
        None => "nothing was paid".to_owned(),
        Some(payment) => {
            let Payment { purchase, state, price, network, .. } = payment;
            format!("{state}: {price} on {network}, purchase {purchase}")
        }
    };
    let mut line = format!("HTTP {status}; {paid}");
    if let Some(note) = &called.note {
        line = format!("{line}; {note}");
    }
    if let (Some(file), true) = (&called.body.file, called.body.truncated || called.body.text.is_none()) {
        line = format!("{line}; the whole body of {} bytes is in {file}", called.body.bytes);
    }
    if let Some(why) = &called.body.incomplete {
        line = format!("{line}; it is not whole: {why}");
    }
    std::iter::once(rmcp::model::ContentBlock::text(line)).chain(body).collect()
}

/// What is to be done while the client may leave.
enum Work {
    Fetch(Request, CallLimits),
    Tool(Request, CallLimits, String, JsonObject),
    Resume(Request, PurchaseId),
}

/// Does it in a task of its own, so that a payment that is out is followed to its end whoever waits for it.
async fn work(
    desk: &Arc<Desk>,
    work: Work,
    context: &RequestContext<RoleServer>,
    progress: &mut Progress<'_>,
) -> Result<Fetched, Trouble> {
    let (watch, mut steps) = Watch::new();
    let watch = Arc::new(watch);
    let client = desk.config.client.clone().observed_by(watch.clone());
    let mut task = desk.buying.spawn(async move {
        match work {
            Work::Fetch(request, limits) => client.fetch(request, limits).await,
            Work::Tool(request, limits, tool, arguments) => {
                let tool = PaidTool::open(&client, &request, tool, arguments).await?;
                client.fetch_over(&tool, request, limits).await
            }
            Work::Resume(request, id) => client.resume(request, &id).await,
        }
    });
    loop {
        tokio::select! {
            biased;
            done = &mut task => {
                let done = done.map_err(|error| ended(&error, watch.sent.get()))?;
                return done.map_err(Trouble::from);
            }
            Some(step) = steps.recv() => progress.tell(step).await,
            () = context.ct.cancelled() => {
                // What is out goes on without us, and is recorded.
                let Some(purchase) = watch.sent.get() else {
                    task.abort();
                    return Err(Trouble::unpaid(Code::Cancelled, "the call was cancelled"));
                };
                return Err(Trouble::unpaid(Code::Cancelled, "the call was cancelled after its payment was sent").sent(purchase));
            }
        }
    }
}

/// The task itself came to an end, maybe with a payment out.
fn ended(error: &tokio::task::JoinError, sent: Option<&PurchaseId>) -> Trouble {
    let trouble = Trouble::unpaid(Code::Failed, error.to_string());
    match sent {
        Some(purchase) => trouble.sent(purchase),
        None => trouble,
    }
}

/// Notices what a call does.
#[derive(Debug)]
struct Watch {
    steps: mpsc::UnboundedSender<String>,
    /// The purchase, once its payment may be out.
    sent: OnceLock<PurchaseId>,
}

impl Watch {
    fn new() -> (Self, mpsc::UnboundedReceiver<String>) {
        let (steps, told) = mpsc::unbounded_channel();
        (Self { steps, sent: OnceLock::new() }, told)
    }
}

impl Observer for Watch {
    fn step(&self, step: Step<'_>) {
        if let Step::Paying(purchase) = step {
            drop(self.sent.set(purchase.terms.id.clone()));
        }
        if let Some(words) = words(step) {
            // Who listens may be gone.
            drop(self.steps.send(words));
        }
    }
}

fn words(step: Step<'_>) -> Option<String> {
    Some(match step {
        Step::Asking => "asking the seller".to_owned(),
        Step::Deciding => "the wallet decides".to_owned(),
        Step::Paying(purchase) => format!("paying {}", purchase.terms.value),
        Step::Again => "the connection broke; sending the same payment again".to_owned(),
        Step::SellerAtWork => "the seller is at work".to_owned(),
        Step::Keeping(file) => format!("receiving {}", named(file)),
        _ => return None,
    })
}

fn named(file: &Path) -> String {
    file.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Tells the client how far a call of a tool has come, if it wants to know. The steps only ever count up.
pub(super) struct Progress<'a> {
    peer: &'a Peer<RoleServer>,
    token: Option<ProgressToken>,
    steps: u32,
}

impl<'a> Progress<'a> {
    pub(super) fn of(context: &'a RequestContext<RoleServer>) -> Self {
        Self { peer: &context.peer, token: context.meta.get_progress_token(), steps: 0 }
    }

    async fn tell(&mut self, step: String) {
        let Some(token) = &self.token else { return };
        self.steps = self.steps.saturating_add(1);
        let told = ProgressNotificationParam::new(token.clone(), f64::from(self.steps)).with_message(step);
        if let Err(error) = self.peer.notify_progress(told).await {
            tracing::debug!(%error, "progress was not told");
        }
    }
}
