//! The gate that the policy keeps: it decides by the policy in force, takes what a call takes from the ledger, and has
//! every decision recorded.

#![allow(
    clippy::result_large_err,
    reason = "a Denial is rare, and callers read its fields; a box in every signature would buy nothing"
)]

mod ask;
mod file;
mod payments;
mod record;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use farthing_ambient::{Clock, Entropy, NoEntropy};
use farthing_ledger::{Admitted, CallEnd, CallOutcome, Ledger, LedgerError, NewCall, Noted, PurchaseId};
use farthing_money::Registry;
use farthing_policy::json::{Json, Object};
use farthing_policy::tools::{Call as PolicyCall, denial_text};
use farthing_policy::{ApprovalNeed, CallPlan, Denial, DenialCode, Policy, Refund};
use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

pub use file::{PolicyFile, PolicyFileError, Reloaded};
pub use payments::payment_host;
use payments::{Cleared, Sifted};

use super::message::denial;
use super::{Call, Client, Decided, End, Gate, Refusal, Ticket};

/// In whose words an agent reads a denial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Words {
    /// Ours: what happened, by which rule, and what to do.
    #[default]
    Ours,
    /// Intercept's, to the letter.
    Intercept,
}

/// Told of an approval that somebody has to decide about: its id and what it is for.
pub type Notify = Arc<dyn Fn(&str, &ApprovalNeed) + Send + Sync>;

/// What a [`Policed`] gate is made of.
#[derive(Clone)]
pub struct PolicedConfig {
    /// The policy, which may change while the gate stands.
    pub policy: Arc<PolicyFile>,
    /// The record.
    pub ledger: Ledger,
    /// The server's name: its counters are apart from other servers'.
    pub server: String,
    /// The host that payments to the server are judged and counted under; [`payment_host`] makes one.
    pub host: String,
    /// The assets that payments may be made in.
    pub registry: Registry,
    /// Who calls; none for the owner.
    pub agent: Option<String>,
    /// The session.
    pub session: String,
    /// In whose words denials are told.
    pub words: Words,
    /// What arguments' digests are salted with: with the record alone nobody can try out arguments.
    pub salt: Arc<[u8]>,
    /// Who is told that an approval waits.
    pub notify: Option<Notify>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The randomness, for ids.
    pub entropy: Arc<dyn Entropy>,
    /// Where ends of calls are recorded, which nobody waits for.
    pub runtime: Handle,
}

/// A [`Gate`] that the policy keeps.
#[derive(Clone)]
pub struct Policed(Arc<PolicedConfig>, TaskTracker);

/// What the gate wants to know again when a call ends.
struct Admission {
    id: String,
    tool: String,
    /// Whether its end may give something back.
    refunds: bool,
    /// The payment that came with it.
    payment: Option<PurchaseId>,
    /// Whether its answer may ask for payment.
    offers: bool,
}

/// Why a call is not made.
enum Stopped {
    Denied(Denial),
    Broken(LedgerError),
}

/// What is to be taken from the ledger before a call is made.
struct Wanted {
    record: NewCall,
    plan: Arc<CallPlan>,
    payment: Option<Cleared>,
    ticket: Option<Ticket>,
}

impl Policed {
    /// The gate.
    #[must_use]
    pub fn new(config: PolicedConfig) -> Self {
        Self(Arc::new(config), TaskTracker::new())
    }

    /// The same gate for another session: session counters are its own.
    #[must_use]
    pub fn for_session(&self, session: String) -> Self {
        Self(Arc::new(PolicedConfig { session, ..(*self.0).clone() }), self.1.clone())
    }

    /// Waits until everything that was left to be recorded is recorded, but no longer than this: before the ledger is
    /// closed, or an end that has just come is lost.
    pub async fn recorded(&self, within: Duration) {
        self.1.close();
        if tokio::time::timeout(within, self.1.wait()).await.is_err() {
            tracing::warn!(left = self.1.len(), "ends of calls were not recorded in time");
        }
    }

    /// Has something done that nobody waits for but [`Self::recorded`].
    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.1.spawn_on(work, &self.0.runtime);
    }

    fn decide(&self, policy: &Policy, call: &Call<'_>, arguments: &Object) -> Result<CallPlan, Denial> {
        let PolicedConfig { server, agent, session, clock, .. } = &*self.0;
        let (agent, now) = (agent.as_deref(), clock.now());
        policy.plan(&PolicyCall { server, tool: call.tool, arguments, agent, session, now })
    }

    /// Denies, and has it recorded.
    fn deny(&self, record: NewCall, denial: Denial) -> Decided {
        let refusal = self.refusal(&denial);
        self.noted(record, Noted::Denied(denial), Decided::Deny(refusal))
    }

    /// The decision, once its record is queued. Where the queue is full, the caller waits for it.
    fn noted(&self, record: NewCall, noted: Noted, decided: Decided) -> Decided {
        match self.0.ledger.try_note(record, noted) {
            Ok(None) => decided,
            Ok(Some((record, noted))) => {
                let gate = self.clone();
                Decided::Later(Box::pin(async move {
                    match gate.0.ledger.note(record, noted).await {
                        Ok(()) => decided,
                        Err(error) => gate.broken(&error),
                    }
                }))
            }
            Err(error) => self.broken(&error),
        }
    }

    /// Without a record nothing is let through.
    fn broken(&self, error: &LedgerError) -> Decided {
        tracing::error!(%error, "a call is denied: the ledger cannot be written");
        let message = "the ledger cannot be written; nothing is let through without a record";
        Decided::Deny(self.refusal(&Denial::new(DenialCode::Frozen, "(ledger)", message)))
    }

    fn refusal(&self, denial: &Denial) -> Refusal {
        let text = match self.0.words {
            Words::Intercept => denial_text(denial),
            Words::Ours => in_our_words(denial),
        };
        let structure = serde_json::to_vec(denial).ok().and_then(|json| Json::parse(&json).ok());
        Refusal { text, structure }
    }

    /// Asks the ledger, and a person where one has to approve: for the call first, then for its payment.
    async fn admit(self, wanted: Wanted, client: Client) -> Decided {
        let Wanted { record, plan, payment, ticket } = wanted;
        if let Err(stopped) = self.admit_call(&record, &plan, &client).await {
            return self.stop(stopped);
        }
        let Some(payment) = payment else { return Decided::Allow(ticket) };
        match self.reserve(&payment, &client).await {
            Ok(()) => Decided::Allow(ticket),
            Err(stopped) => {
                let end = CallEnd { outcome: CallOutcome::Withdrawn };
                if let Err(error) = self.0.ledger.end_call(record.id, end).await {
                    tracing::error!(%error, "what a call took that was not made was not given back");
                }
                self.stop(stopped)
            }
        }
    }

    async fn admit_call(
        &self,
        record: &NewCall,
        plan: &Arc<CallPlan>,
        client: &Client,
    ) -> Result<(), Stopped> {
        let mut asked = false;
        loop {
            let denial = match self.0.ledger.admit(record.clone(), plan.clone()).await {
                Ok(Admitted::Granted { .. }) => return Ok(()),
                Ok(Admitted::Denied(denial)) => denial,
                Err(error) => return Err(Stopped::Broken(error)),
            };
            if asked || !self.consented(&denial, plan.approval.as_ref(), client).await {
                return Err(Stopped::Denied(denial));
            }
            asked = true;
        }
    }

    /// Whether a person in front of the client approves what waits for it.
    async fn consented(&self, denial: &Denial, need: Option<&ApprovalNeed>, client: &Client) -> bool {
        let Some((pending, need)) = denial.approval.as_ref().zip(need) else { return false };
        if let Some(notify) = &self.0.notify {
            notify(&pending.id, need);
        }
        client.supports_elicitation() && ask::person(&self.0.ledger, client, &pending.id, need).await
    }

    fn stop(&self, stopped: Stopped) -> Decided {
        match stopped {
            Stopped::Denied(denial) => Decided::Deny(self.refusal(&denial)),
            Stopped::Broken(error) => self.broken(&error),
        }
    }

    /// A ticket for a call of which something is to be known at its end.
    fn ticket(
        &self,
        policy: &Policy,
        record: &NewCall,
        plan: &CallPlan,
        payment: Option<&Cleared>,
    ) -> Option<Ticket> {
        let refunds = plan.charges.iter().any(|charge| charge.refund != Refund::Never);
        let offers = self.judges_payments(policy);
        let payment = payment.map(|payment| payment.id().clone());
        let wanted = refunds || offers || payment.is_some();
        let (id, tool) = (record.id.clone(), record.tool.clone());
        wanted.then(|| Ticket(Box::new(Admission { id, tool, refunds, payment, offers })))
    }

    /// The answer without the offers that may not be paid; as a denial where none is left. None: as it came.
    fn without_denied_offers(&self, admission: &Admission, answer: &Json) -> Option<Json> {
        let policy = self.0.policy.current();
        match self.sift(&policy, &admission.tool, answer) {
            Sifted::Same => None,
            Sifted::Less(answer) => Some(answer),
            Sifted::Nothing(why) => {
                let refusal = self.refusal(&why);
                self.note_unpaid(&policy, admission, why);
                Some(denial(answer.get("id").cloned().unwrap_or(Json::Null), refusal))
            }
        }
    }

    /// Has it recorded that nothing that an answer asked for may be paid. The arguments stand with the call's own row.
    fn note_unpaid(&self, policy: &Policy, admission: &Admission, why: Denial) {
        let PolicedConfig { server, agent, session, ledger, .. } = &*self.0;
        let record = NewCall {
            id: admission.id.clone(),
            server: server.clone(),
            agent: agent.clone(),
            session: session.clone(),
            tool: admission.tool.clone(),
            arguments: String::new(),
            policy_hash: policy.hash().to_owned(),
        };
        let ledger = ledger.clone();
        self.spawn(async move {
            if let Err(error) = ledger.note(record, Noted::Denied(why)).await {
                tracing::error!(%error, "a denial was not recorded");
            }
        });
    }

    fn end_call(&self, id: String, outcome: CallOutcome) {
        let ledger = self.0.ledger.clone();
        self.spawn(async move {
            if let Err(error) = ledger.end_call(id, CallEnd { outcome }).await {
                // What it took stays taken: a limit that is too tight, never one that is too loose.
                tracing::error!(%error, "the end of a call was not recorded");
            }
        });
    }

    fn record(&self, policy: &Policy, call: &Call<'_>, arguments: &Object) -> Result<NewCall, NoEntropy> {
        let PolicedConfig { server, agent, session, salt, clock, entropy, .. } = &*self.0;
        Ok(NewCall {
            id: crate::record::id(&**clock, &**entropy)?,
            server: server.clone(),
            agent: agent.clone(),
            session: session.clone(),
            tool: call.tool.to_owned(),
            arguments: record::arguments(policy, arguments, salt),
            policy_hash: policy.hash().to_owned(),
        })
    }
}

impl Gate for Policed {
    fn call(&self, call: &Call<'_>, client: &Client) -> Decided {
        let policy = self.0.policy.current();
        let none = Object::default();
        let arguments = call.arguments.as_object().unwrap_or(&none);
        let record = match self.record(&policy, call, arguments) {
            Ok(record) => record,
            Err(error) => {
                tracing::error!(%error, "a call is denied: it cannot be given an id");
                let denial = Denial::new(DenialCode::Frozen, "(entropy)", error.to_string());
                return Decided::Deny(self.refusal(&denial));
            }
        };
        let decided = self.decide(&policy, call, arguments);
        let decided = decided.and_then(|plan| Ok((plan, self.cleared(&policy, call, arguments)?)));
        let (plan, payment) = match decided {
            Ok(decided) => decided,
            Err(denial) => return self.deny(record, denial),
        };
        let ticket = self.ticket(&policy, &record, &plan, payment.as_ref());
        if payment.is_some() || !plan.is_free() || self.0.ledger.maybe_frozen() {
            let wanted = Wanted { record, plan: Arc::new(plan), payment, ticket };
            return Decided::Later(Box::pin(self.clone().admit(wanted, client.clone())));
        }
        match plan.decide(&[]) {
            Ok(shadowed) => self.noted(record, Noted::Allowed { shadowed }, Decided::Allow(ticket)),
            Err(denial) => self.deny(record, denial),
        }
    }

    fn hides(&self, tool: &str) -> bool {
        self.0.policy.current().hides(tool)
    }

    fn stray_payment(&self) -> Option<String> {
        let judged = self.judges_payments(&self.0.policy.current());
        judged.then(|| "payments are judged with tools/call, and refused with everything else".to_owned())
    }

    /// Answers that matter only if they ask for payment are looked through before they are parsed.
    fn reads(&self, ticket: &Ticket, answer: &[u8]) -> bool {
        let admission = ticket.0.downcast_ref::<Admission>();
        let only_offers = admission.is_some_and(|own| !own.refunds && own.payment.is_none());
        !only_offers || payments::may_ask(answer)
    }

    /// One that may ask for payment in a way that only others can read.
    fn withholds(&self, answer: &[u8]) -> bool {
        self.judges_payments(&self.0.policy.current()) && payments::may_ask(answer)
    }

    fn ended(&self, ticket: Ticket, end: End<'_>) -> Option<Json> {
        let admission = ticket.0.downcast::<Admission>().ok()?;
        if let Some(payment) = &admission.payment {
            self.finish(payment.clone(), payments::outcome(&end));
        }
        if admission.refunds {
            let outcome = match &end {
                End::Answered(answer) => outcome(answer),
                End::Failed => CallOutcome::Failed,
                End::Lost => CallOutcome::Lost,
            };
            self.end_call(admission.id.clone(), outcome);
        }
        match end {
            End::Answered(answer) if admission.offers => self.without_denied_offers(&admission, answer),
            _ => None,
        }
    }
}

fn outcome(answer: &Json) -> CallOutcome {
    if answer.get("error").is_some_and(|error| *error != Json::Null) {
        return CallOutcome::Error;
    }
    match answer.get("result").and_then(|result| result.get("isError")) {
        Some(Json::Bool(true)) => CallOutcome::ToolError,
        _ => CallOutcome::Answered,
    }
}

/// What happened, how far from the limit it is, and what can be done.
fn in_our_words(denial: &Denial) -> String {
    let mut text = format!("Denied by policy: {}", denial.message);
    if denial.authored {
        text.push_str(&format!(" (rule `{}`)", denial.rule));
    }
    if let (Some(used), Some(limit)) = (&denial.used, &denial.limit) {
        text.push_str(&format!("; {used} of {limit} used"));
    }
    if let Some(seconds) = denial.retry_after_seconds {
        text.push_str(&format!("; again in {seconds} s"));
    }
    if let Some(approval) = &denial.approval {
        text.push_str(&format!(". A person can approve it: `{}`, then call again", approval.how));
    }
    text
}
