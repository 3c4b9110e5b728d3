//! Making a call and paying for it: progress while it lasts, and what a cancellation means.

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use farthing_ledger::{Outcome, Purchase, PurchaseId};
use farthing_wallet::{CallLimits, Fetched, Observer, Request, Step, has_answer};
use http::StatusCode;
use rmcp::RoleServer;
use rmcp::model::{ContentBlock, ProgressNotificationParam, ProgressToken};
use rmcp::service::RequestContext;
use tokio::sync::mpsc;

use super::answer::Answer;
use super::content;
use super::desk::Desk;
use super::input::{CallArgs, PurchaseArgs};
use super::look::pointed_to;
use super::output::{Budget, Called, Payment};
use super::paid_tool::PaidTool;
use super::trouble::{Code, Trouble};
use super::words::said;

/// How often the client is told that a call still goes on: some give up when they hear nothing.
const TELL_AGAIN: Duration = Duration::from_secs(5);

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
    let limits = args.limits(desk.config.agent.as_deref(), &desk.config.session)?;
    match work(desk, Work::of(desk, args, What::Buy(limits))?, context, progress).await {
        Ok(answer) => Ok(Bought::Done(answer)),
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
    args: &PurchaseArgs,
    context: &RequestContext<RoleServer>,
) -> Result<Answer, Trouble> {
    let purchase = desk.purchase(&args.purchase).await?;
    again(desk, &purchase, args, context).await.map_err(|trouble| trouble.about(&purchase))
}

async fn again(
    desk: &Arc<Desk>,
    purchase: &Purchase,
    args: &PurchaseArgs,
    context: &RequestContext<RoleServer>,
) -> Result<Answer, Trouble> {
    if let Some(answer) = kept(desk, purchase).await? {
        return Ok(answer);
    }
    let terms = &purchase.terms;
    let work_again = Work::of(desk, &CallArgs::again(terms, args)?, What::Resume(terms.id.clone()))?;
    if work_again.request.digest() != terms.request_digest {
        let why = match (&args.body, &args.body_base64) {
            (None, None) => "no whole answer is kept, and the call had a body, which is not kept either",
            _ => "this is not the body that the call had",
        };
        return Err(Trouble::unpaid(Code::BadArguments, why)
            .hint("give `body` or `body_base64` exactly as `pay` had it; then the seller is asked with the same payment"));
    }
    work(desk, work_again, context, &mut Progress::of(context)).await
}

/// The answer out of the wallet's folder, if a whole one is there.
async fn kept(desk: &Desk, purchase: &Purchase) -> Result<Option<Answer>, Trouble> {
    let response = purchase.response.as_ref().filter(|_| has_answer(purchase));
    let Some((response, file)) = response.and_then(|known| Some((known, known.body_file.as_deref()?))) else {
        return Ok(None);
    };
    let host = Request::get(&purchase.terms.url).map(|request| request.host()).unwrap_or_default();
    let path = desk.config.bodies.path(file);
    let shown = content::show_file(&path, response.body_bytes, response.content_type.clone(), &host).await?;
    let called = Called {
        status: response.status,
        body: shown.body,
        payment: Some(Payment::recorded(purchase)),
        budgets: Vec::new(),
        note: Some("out of the wallet's folder; nothing was paid for it again".to_owned()),
    };
    Ok(Some(Answer::shown(&called, with_summary(&called, shown.content))))
}

/// The answer for the agent, with the body shown.
async fn called(
    desk: &Desk,
    request: &Request,
    fetched: Fetched,
    context: &RequestContext<RoleServer>,
) -> Result<Answer, Trouble> {
    let Fetched { status, headers, body, payment } = fetched;
    let content_type = headers.get("content-type").and_then(|kind| kind.to_str().ok()).map(str::to_owned);
    let shown = content::show(desk, body, content_type, &request.host(), &context.ct).await;
    let shown = shown.map_err(|trouble| match &payment {
        Some(paid) => trouble.after(paid),
        None => trouble,
    })?;
    let place = pointed_to(request, &headers);
    let called = Called {
        status: status.as_u16(),
        body: shown.body,
        budgets: payment.as_ref().map(|paid| Budget::all(&paid.used)).unwrap_or_default(),
        note: note(status, place.as_deref(), payment.as_ref().map(|paid| &paid.outcome)),
        payment: payment.as_ref().map(Payment::fresh),
    };
    Ok(Answer::shown(&called, with_summary(&called, shown.content)))
}

fn note(status: StatusCode, location: Option<&str>, outcome: Option<&Outcome>) -> Option<String> {
    match (outcome, location) {
        (Some(Outcome::Unknown { .. }), _) => Some(
            "the payment was sent and its outcome is not known: it stays counted; do not pay again, use `fetch_again`"
                .to_owned(),
        ),
        (_, Some(place)) if status.is_redirection() => {
            Some(format!("redirects are not followed; {}", said("the seller's Location", place)))
        }
        (None, _) if !status.is_success() => Some("nothing was paid".to_owned()),
        _ => None,
    }
}

/// One line on what was paid, before the body.
fn with_summary(called: &Called, body: Vec<ContentBlock>) -> Vec<ContentBlock> {
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
    std::iter::once(ContentBlock::text(line)).chain(body).collect()
}

/// A call that is to be made while the client may leave.
struct Work {
    request: Request,
    /// Over which it goes, unless it goes over plain HTTP.
    tool: Option<PaidTool>,
    what: What,
}

enum What {
    Buy(CallLimits),
    Resume(PurchaseId),
}

impl Work {
    fn of(desk: &Desk, args: &CallArgs, what: What) -> Result<Self, Trouble> {
        let request = args.request()?;
        let tool = match &args.mcp_tool {
            None => None,
            Some(tool) => {
                let arguments = args.tool_arguments()?;
                Some(PaidTool::new(&desk.config.client, &request, tool.clone(), arguments))
            }
        };
        Ok(Self { request, tool, what })
    }
}

/// Does it in a task of its own, so that a payment that is out is followed to its end whoever waits for it. Only the
/// asking can be cancelled, by the client's word or by its leaving: the wallet sees to that.
async fn work(
    desk: &Arc<Desk>,
    work: Work,
    context: &RequestContext<RoleServer>,
    progress: &mut Progress<'_>,
) -> Result<Answer, Trouble> {
    let (steps, mut told) = mpsc::unbounded_channel();
    let watch = Arc::new(Watch { steps, sent: OnceLock::new() });
    let client = desk.config.client.clone().observed_by(watch.clone());
    let (cancel, request) = (context.ct.clone(), work.request.clone());
    let mut task = desk.open.spawn(async move {
        let Work { request, tool, what } = work;
        match (what, &tool) {
            (What::Buy(limits), None) => client.fetch_until(&cancel, request, limits).await,
            (What::Buy(limits), Some(tool)) => client.fetch_over(tool, &cancel, request, limits).await,
            (What::Resume(id), None) => client.resume(request, &id).await.map(Some),
            (What::Resume(id), Some(tool)) => client.resume_over(tool, &request, &id).await.map(Some),
        }
    });
    loop {
        tokio::select! {
            biased;
            done = &mut task => {
                let done = done.map_err(|error| ended(&error, watch.sent.get()))?;
                let fetched = done?.ok_or_else(content::cancelled)?;
                return called(desk, &request, fetched, context).await;
            }
            Some(step) = told.recv() => progress.tell(step).await,
            () = tokio::time::sleep(TELL_AGAIN) => progress.again().await,
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

/// Tells the client how far a call of a tool has come, if it wants to know and is there. The steps only ever count up.
pub(super) struct Progress<'a> {
    context: &'a RequestContext<RoleServer>,
    token: Option<ProgressToken>,
    steps: u32,
    last: String,
}

impl<'a> Progress<'a> {
    pub(super) fn of(context: &'a RequestContext<RoleServer>) -> Self {
        Self { context, token: context.meta.get_progress_token(), steps: 0, last: String::new() }
    }

    async fn tell(&mut self, step: String) {
        self.last = step;
        self.again().await;
    }

    /// Says the last step once more.
    async fn again(&mut self) {
        let Some(token) = self.token.as_ref().filter(|_| !self.context.ct.is_cancelled()) else { return };
        self.steps = self.steps.saturating_add(1);
        let told =
            ProgressNotificationParam::new(token.clone(), f64::from(self.steps)).with_message(&*self.last);
        if let Err(error) = self.context.peer.notify_progress(told).await {
            tracing::debug!(%error, "progress was not told");
        }
    }
}
