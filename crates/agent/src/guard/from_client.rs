//! What comes from the client.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::time::Duration;

use farthing_policy::json::{Json, Object};

use super::client::Client;
use super::gate::{Decided, End, Refusal};
use super::id::Id;
use super::message::{Fault, INVALID, Incoming, Kind, LIMIT, Member, Method, PARAMS, denial};
use super::relay::{Core, Relay, Side, Stream, Taken, lock};
use super::scan::{Form, Scan, Shape};
use super::table::{Cancelled, Closed, Open, Phase};

/// How long a subscription may last: ten years.
const EVER: Duration = Duration::from_secs(10 * 365 * 86_400);

/// What becomes of one message.
enum Outcome {
    Forward(Json),
    Answer(Json),
    Wait,
    Nothing,
}

impl Relay {
    /// Takes one message of the client's, or one batch. Called for each in the order in which they come.
    pub fn from_client(&self, stream: Stream, message: &[u8]) -> Taken {
        if message.len() > self.0.limits.max_message {
            return self.client_too_large(stream, &Scan::of(message));
        }
        let incoming = match Incoming::read(message) {
            Ok(incoming) => incoming,
            Err(fault) => return self.refuse(stream, fault),
        };
        let (mut forward, mut answers, mut taken) = (Vec::new(), Vec::new(), Taken::default());
        for member in incoming.members {
            match member.map_or_else(|fault| Outcome::Answer(fault.answer()), |m| self.member(stream, m)) {
                Outcome::Forward(json) => forward.push(json),
                Outcome::Answer(json) => answers.push(json),
                Outcome::Wait => taken.waiting += 1,
                Outcome::Nothing => {}
            }
        }
        (taken.forwarded, taken.answered) = (forward.len(), answers.len());
        self.0.send_all(Side::Server, stream, forward, incoming.batch);
        self.0.send_all(Side::Client, stream, answers, incoming.batch);
        taken
    }

    /// The client has sent a message that is too large to be kept; this is what a [`Scan`] saw of it.
    pub fn client_too_large(&self, stream: Stream, shape: &Shape) -> Taken {
        let id = shape.id.clone().unwrap_or(Json::Null);
        let why = format!("the message is larger than {} bytes", self.0.limits.max_message);
        let asks = shape.form == Form::Object && shape.method.is_none() && shape.fault.is_none();
        if !asks {
            return self.refuse(stream, Fault::new(id, LIMIT, why));
        }
        // The server waits for this answer: it gets the error in its place.
        let answer = Fault::new(id.clone(), LIMIT, why).answer();
        match Id::of(&id) {
            Some(id) if lock(&self.0.asks).owns(&id) => lock(&self.0.asks).answered(&id, answer),
            _ => self.0.send(Side::Server, stream, &answer),
        }
        Taken::default()
    }

    fn refuse(&self, stream: Stream, fault: Fault) -> Taken {
        self.0.send(Side::Client, stream, &fault.answer());
        Taken { answered: 1, ..Taken::default() }
    }

    fn member(&self, stream: Stream, member: Member) -> Outcome {
        if let Some(why) = self.stray_payment(&member) {
            return match member.kind {
                Kind::Request(..) => Outcome::Answer(Fault::new(member.id(), PARAMS, why).answer()),
                _ => Outcome::Nothing,
            };
        }
        match &member.kind {
            Kind::Request(id, method) => {
                let (id, method) = (id.clone(), *method);
                self.request(stream, id, method, member)
            }
            Kind::Cancel(id) => self.0.cancel(id, member.json),
            Kind::Answer(Some(id)) if lock(&self.0.asks).owns(id) => {
                lock(&self.0.asks).answered(id, member.json);
                Outcome::Nothing
            }
            Kind::Answer(_) | Kind::Notification => Outcome::Forward(member.json),
        }
    }

    /// Why a payment is refused that no gate would judge, as it comes with no call.
    fn stray_payment(&self, member: &Member) -> Option<String> {
        let judged = matches!(member.kind, Kind::Request(_, Method::Call) | Kind::Answer(_));
        if judged || !member.carries_payment() { None } else { self.0.gate.stray_payment() }
    }

    fn request(&self, stream: Stream, id: Id, method: Method, member: Member) -> Outcome {
        let core = &self.0;
        if method == Method::Initialize {
            core.elicits.store(member.offers_elicitation(), Ordering::Relaxed);
        }
        let within = if method == Method::Listen { EVER } else { core.limits.call_timeout };
        let deadline = core.link.now() + within;
        let phase = match method {
            Method::Call => Phase::Deciding,
            _ => Phase::Sent { deadline, ticket: None },
        };
        let progress = member.progress_token();
        let open = Open { serial: 0, id: member.id(), stream, method, progress, phase };
        let serial = match lock(&core.table).insert(&id, open) {
            Ok(serial) => serial,
            Err(closed) => return Outcome::Answer(not_opened(closed, member.id())),
        };
        if method == Method::Call {
            return self.decide(stream, (id, serial), member);
        }
        Outcome::Forward(member.json)
    }

    fn decide(&self, stream: Stream, key: (Id, u64), member: Member) -> Outcome {
        let none = Json::Object(Object::default());
        let client = Client { core: self.0.clone(), stream };
        let Some(call) = member.call(&none) else {
            lock(&self.0.table).denied(&key.0, key.1);
            return Outcome::Answer(Fault::new(member.id(), INVALID, "the call can't be read").answer());
        };
        match self.0.gate.call(&call, &client) {
            Decided::Later(decision) => {
                let message = Some(member.json);
                Undecided { relay: self.clone(), stream, key, message }.wait_for(decision);
                Outcome::Wait
            }
            Decided::Allow(ticket) => {
                let deadline = self.0.link.now() + self.0.limits.call_timeout;
                let sent = lock(&self.0.table).sent((&key.0, key.1), ticket, deadline);
                if let Err(ticket) = sent {
                    self.0.not_run(ticket);
                    return Outcome::Nothing;
                }
                Outcome::Forward(member.json)
            }
            Decided::Deny(refusal) => {
                let waits = lock(&self.0.table).denied(&key.0, key.1);
                if waits { Outcome::Answer(denial(member.id(), refusal)) } else { Outcome::Nothing }
            }
        }
    }
}

/// A call whose decision is awaited. Dropped without one (the gate panicked), it is denied: the client must not hang.
struct Undecided {
    relay: Relay,
    stream: Stream,
    key: (Id, u64),
    message: Option<Json>,
}

impl Undecided {
    fn wait_for(self, decision: Pin<Box<dyn Future<Output = Decided> + Send>>) {
        let runtime = self.relay.0.runtime.clone();
        runtime.spawn(async move {
            let mut decided = decision.await;
            while let Decided::Later(decision) = decided {
                decided = decision.await;
            }
            self.settle(decided);
        });
    }

    fn settle(mut self, decided: Decided) {
        let Some(message) = self.message.take() else { return };
        let core = &self.relay.0;
        match decided {
            Decided::Deny(refusal) => self.deny(&message, refusal),
            Decided::Allow(ticket) => {
                let bytes = message.to_vec();
                let deadline = core.link.now() + core.limits.call_timeout;
                let mut table = lock(&core.table);
                match table.sent((&self.key.0, self.key.1), ticket, deadline) {
                    // Queued while the table is locked, so that a cancellation that finds it sent comes after it.
                    Ok(()) => core.link.queue(Side::Server, self.stream, bytes),
                    Err(ticket) => {
                        drop(table);
                        core.not_run(ticket);
                    }
                }
            }
            // Awaited to its end before.
            Decided::Later(_) => {}
        }
    }

    fn deny(&self, message: &Json, refusal: Refusal) {
        let core = &self.relay.0;
        if lock(&core.table).denied(&self.key.0, self.key.1) {
            let id = message.get("id").cloned().unwrap_or(Json::Null);
            core.link.queue(Side::Client, self.stream, denial(id, refusal).to_vec());
        }
    }
}

impl Drop for Undecided {
    fn drop(&mut self) {
        if let Some(message) = self.message.take() {
            let text = "The call was not decided, and was not made: an error inside the guard".to_owned();
            self.deny(&message, Refusal { text, structure: None });
        }
    }
}

impl Core {
    fn cancel(&self, id: &Id, message: Json) -> Outcome {
        let cancelled = lock(&self.table).cancelled(id);
        match cancelled {
            // The server has never seen it.
            Cancelled::Undecided => Outcome::Nothing,
            Cancelled::Unknown => Outcome::Forward(message),
            Cancelled::Sent(ticket) => {
                if let Some(ticket) = ticket {
                    // There is no answer that the gate could change.
                    let _ = self.gate.ended(ticket, End::Lost);
                }
                Outcome::Forward(message)
            }
        }
    }

    fn not_run(&self, ticket: Option<super::Ticket>) {
        if let Some(ticket) = ticket {
            // There is no answer that the gate could change.
            let _ = self.gate.ended(ticket, End::Failed);
        }
    }

    fn send_all(&self, to: Side, stream: Stream, mut messages: Vec<Json>, batch: bool) {
        match messages.len() {
            0 => {}
            1 if !batch => messages.iter().for_each(|message| self.send(to, stream, message)),
            _ => self.send(to, stream, &Json::Array(std::mem::take(&mut messages))),
        }
    }
}

fn not_opened(closed: Closed, id: Json) -> Json {
    let (code, why) = match closed {
        Closed::Gone(why) => (super::message::CLOSED, why),
        Closed::InUse => (INVALID, "a request with this id is still open".to_owned()),
        Closed::Full => (LIMIT, "too many requests are open".to_owned()),
    };
    Fault::new(id, code, why).answer()
}
