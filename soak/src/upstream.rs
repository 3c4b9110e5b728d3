//! The API that is sold: it knows nothing about payments, and fails as the plan says.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::counts::Counts;
use crate::plan::{Fate, Plan, ROUTES, number_of};
use crate::wire::{self, Reply, Request};

/// The API, and what it remembers.
#[derive(Debug)]
pub(crate) struct Upstream {
    pub(crate) url: String,
    api: Arc<Api>,
}

#[derive(Debug)]
struct Api {
    plan: Plan,
    seen: Mutex<HashMap<u64, Seen>>,
    failures: Counts,
    complaints: Counts,
}

/// What the API did about one call.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Seen {
    pub(crate) attempts: u64,
    /// How often it gave the whole answer.
    pub(crate) answered: u64,
}

impl Upstream {
    pub(crate) async fn start(plan: Plan) -> io::Result<Self> {
        let (failures, complaints) = (Counts::default(), Counts::default());
        let api = Arc::new(Api { plan, seen: Mutex::default(), failures, complaints });
        let handler = api.clone();
        let address = wire::serve(move |request| handler.clone().handle(request)).await?;
        Ok(Self { url: format!("http://{address}"), api })
    }

    /// Call by call, what was asked and answered.
    pub(crate) fn seen(&self) -> HashMap<u64, Seen> {
        self.api.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How often it failed, and how.
    pub(crate) fn failures(&self) -> &Counts {
        &self.api.failures
    }

    /// What should not have reached it.
    pub(crate) fn complaints(&self) -> &Counts {
        &self.api.complaints
    }
}

impl Api {
    async fn handle(self: Arc<Self>, request: Request) -> Reply {
        let Some(number) = number_of(&request.path) else {
            self.complaints.add("a path that nobody asked for");
            return Reply::of(404, "nothing is here");
        };
        self.inspect(number, &request);
        let fate = self.plan.fate(number, self.count(number, |seen| &mut seen.attempts));
        if let Fate::Slow(ms) = fate {
            tokio::time::sleep(Duration::from_millis(ms)).await;
        }
        if let Some(name) = name(fate) {
            self.failures.add(name);
        }
        match fate {
            Fate::Answer | Fate::Slow(_) => {
                self.count(number, |seen| &mut seen.answered);
                Reply::of(200, self.plan.answer(number))
            }
            Fate::Broken => Reply::of(500, "{\"error\":\"out of order\"}"),
            Fate::Missing => Reply::of(404, "{\"error\":\"not here\"}"),
            Fate::CutOff => Reply::CutOff { body: self.plan.answer(number) },
            Fate::Hang => Reply::Silence,
        }
    }

    /// Adds one to a counter of the call; returns what it was.
    fn count(&self, number: u64, which: impl Fn(&mut Seen) -> &mut u64) -> u64 {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let counter = which(seen.entry(number).or_default());
        *counter += 1;
        *counter - 1
    }

    /// Takes down what the gateway should have kept or taken out.
    fn inspect(&self, number: u64, request: &Request) {
        let call = self.plan.call(number);
        let payment = |name: &str| name.starts_with("payment-") || name.starts_with("x-payment");
        if request.headers.iter().any(|(name, _)| payment(name)) {
            self.complaints.add("a payment header");
        }
        if request.method != call.route.method || request.path != call.path() {
            self.complaints.add("another method or path than was called");
        }
        if request.body != self.plan.question(&call) {
            self.complaints.add("another body than was sent");
        }
        let payer = request.headers.iter().any(|(name, _)| name == "farthing-payer");
        if payer != call.route.price.is_some() {
            self.complaints.add("a call without its payer, or a free one with a payer");
        }
        debug_assert!(ROUTES.iter().any(|route| request.path.starts_with(route.path)));
    }
}

fn name(fate: Fate) -> Option<&'static str> {
    Some(match fate {
        Fate::Answer => return None,
        Fate::Slow(_) => "API: slow",
        Fate::Broken => "API: 500",
        Fate::Missing => "API: 404",
        Fate::CutOff => "API: body cut off",
        Fate::Hang => "API: hangs",
    })
}
