//! The gate that the policy keeps: it decides by the policy in force, takes what a call takes from the ledger, and has
//! every decision recorded.

mod ask;
mod file;
mod record;

use std::sync::Arc;

use farthing_ambient::{Clock, Entropy, NoEntropy};
use farthing_ledger::{Admitted, CallEnd, CallOutcome, Ledger, NewCall, Noted};
use farthing_policy::json::{Json, Object};
use farthing_policy::tools::{Call as PolicyCall, denial_text};
use farthing_policy::{ApprovalNeed, CallPlan, Denial, DenialCode, Policy, Refund};
use tokio::runtime::Handle;

pub use file::{PolicyFile, PolicyFileError, Reloaded};

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
pub struct Policed(Arc<PolicedConfig>);

/// What the gate wants to know again when a call ends.
struct Admission {
    id: String,
}

impl Policed {
    /// The gate.
    #[must_use]
    pub fn new(config: PolicedConfig) -> Self {
        Self(Arc::new(config))
    }

    /// The same gate for another session: session counters are its own.
    #[must_use]
    pub fn for_session(&self, session: String) -> Self {
        Self::new(PolicedConfig { session, ..(*self.0).clone() })
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
    fn broken(&self, error: &farthing_ledger::LedgerError) -> Decided {
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

    /// Asks the ledger, and a person where one has to approve.
    async fn admit(self, record: NewCall, plan: Arc<CallPlan>, client: Client) -> Decided {
        let mut asked = false;
        loop {
            let id = record.id.clone();
            let denial = match self.0.ledger.admit(record.clone(), plan.clone()).await {
                Ok(Admitted::Granted { .. }) => return Decided::Allow(ticket(id, &plan)),
                Ok(Admitted::Denied(denial)) => denial,
                Err(error) => return self.broken(&error),
            };
            let waits = denial.approval.as_ref().zip(plan.approval.as_ref()).filter(|_| !asked);
            let Some((pending, need)) = waits else { return Decided::Deny(self.refusal(&denial)) };
            asked = true;
            if let Some(notify) = &self.0.notify {
                notify(&pending.id, need);
            }
            if !client.supports_elicitation()
                || !ask::person(&self.0.ledger, &client, &pending.id, need).await
            {
                return Decided::Deny(self.refusal(&denial));
            }
        }
    }

    fn record(&self, policy: &Policy, call: &Call<'_>, arguments: &Object) -> Result<NewCall, NoEntropy> {
        let PolicedConfig { server, agent, session, salt, clock, entropy, .. } = &*self.0;
        Ok(NewCall {
            id: record::id(&**clock, &**entropy)?,
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
        let plan = match self.decide(&policy, call, arguments) {
            Ok(plan) => plan,
            Err(denial) => return self.deny(record, denial),
        };
        if !plan.is_free() || self.0.ledger.maybe_frozen() {
            return Decided::Later(Box::pin(self.clone().admit(record, Arc::new(plan), client.clone())));
        }
        match plan.decide(&[]) {
            Ok(shadowed) => self.noted(record, Noted::Allowed { shadowed }, Decided::Allow(None)),
            Err(denial) => self.deny(record, denial),
        }
    }

    fn hides(&self, tool: &str) -> bool {
        self.0.policy.current().hides(tool)
    }

    fn ended(&self, ticket: Ticket, end: End<'_>) -> Option<Json> {
        let admission = ticket.0.downcast::<Admission>().ok()?;
        let outcome = match end {
            End::Answered(answer) => outcome(answer),
            End::Failed => CallOutcome::Failed,
            End::Lost => CallOutcome::Lost,
        };
        let ledger = self.0.ledger.clone();
        self.0.runtime.spawn(async move {
            if let Err(error) = ledger.end_call(admission.id, CallEnd { outcome }).await {
                // What it took stays taken: a limit that is too tight, never one that is too loose.
                tracing::error!(%error, "the end of a call was not recorded");
            }
        });
        None
    }
}

/// A ticket for a call whose end gives something back.
fn ticket(id: String, plan: &CallPlan) -> Option<Ticket> {
    let refunds = plan.charges.iter().any(|charge| charge.refund != Refund::Never);
    refunds.then(|| Ticket(Box::new(Admission { id })))
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
