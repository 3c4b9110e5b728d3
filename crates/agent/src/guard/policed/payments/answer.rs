//! Answers that ask for payment: offers that the policy does not allow are taken out, so that no wallet pays them.

use farthing_money::Registry;
use farthing_policy::json::{Json, Object};
use farthing_policy::{Clearance, Denial, Policy};
use farthing_protocol::MAX_OFFERS;
use memchr::memmem;
use tokio::runtime::Handle;

use super::{Price, mpp, unclear, x402};
use crate::guard::policed::Policed;

/// What every answer that asks for payment has in it somewhere, unless it hides it behind escapes.
const SIGNS: [&[u8]; 3] = [b"accepts", b"challenges", b"\\u00"];
/// Where mppx's servers put challenges into a result.
const MPP_REQUIRED: &str = "org.paymentauth/payment-required";

/// Whether the bytes of an answer may ask for payment.
pub(in crate::guard::policed) fn may_ask(answer: &[u8]) -> bool {
    SIGNS.iter().any(|sign| memmem::find(answer, sign).is_some())
}

/// Whether it has one of the places in which offers stand.
fn asks(answer: &Json) -> bool {
    let failed = answer.get("result").and_then(|result| result.get("isError")) == Some(&Json::Bool(true));
    failed || answer.get("error").is_some_and(|error| error.get("data").is_some())
}

/// What is left of an answer that asks for payment.
pub(in crate::guard::policed) enum Sifted {
    /// All of it.
    Same,
    /// It without some offers.
    Less(Json),
    /// None of its offers may be paid; why the first may not.
    Nothing(Denial),
}

impl Policed {
    /// Takes out what may not be paid.
    pub(in crate::guard::policed) fn sift(&self, policy: &Policy, tool: &str, answer: &Json) -> Sifted {
        let judge = |price: &Price| {
            let clearance = self.check(policy, price, tool, None)?;
            self.room(&clearance)
        };
        let mut sieve = Sieve { registry: &self.0.registry, judge: &judge, kept: 0, first: None };
        if !asks(answer) {
            return Sifted::Same;
        }
        let mut sifted = answer.clone();
        if let Json::Object(message) = &mut sifted {
            sieve.message(message);
        }
        match sieve.first {
            None => Sifted::Same,
            Some(denial) if sieve.kept == 0 => Sifted::Nothing(denial),
            Some(_) => Sifted::Less(sifted),
        }
    }

    /// Whether every budget has room now. What is left may be less when the payment comes.
    fn room(&self, clearance: &Clearance) -> Result<(), Denial> {
        let Clearance { limits, value, .. } = clearance;
        if limits.is_empty() {
            return Ok(());
        }
        let ask = || self.0.ledger.usage_blocking(limits.clone());
        // Answers come on threads of runtimes as well, which must not wait for another task: a thread of its own may.
        // Reading takes the ledger milliseconds, and few answers ask for payment.
        let used = match Handle::try_current() {
            Err(_) => ask(),
            Ok(_) => std::thread::scope(|scope| scope.spawn(ask).join())
                .map_err(|_| unclear("the ledger can't be read"))?,
        };
        let used = used.map_err(|error| unclear(format_args!("the ledger can't be read: {error}")))?;
        let mut refusing = limits.iter().zip(used).filter(|(limit, _)| !limit.shadow);
        refusing.try_for_each(|(limit, used)| limit.admit(used, *value).map(drop))
    }
}

/// What goes through an answer.
struct Sieve<'a> {
    registry: &'a Registry,
    judge: &'a dyn Fn(&Price) -> Result<(), Denial>,
    /// How many offers are left.
    kept: usize,
    /// Why the first that was taken out may not be paid.
    first: Option<Denial>,
}

impl Sieve<'_> {
    fn message(&mut self, message: &mut Object) {
        match message.get_mut("result") {
            Some(Json::Object(result)) if result.get("isError") == Some(&Json::Bool(true)) => {
                self.result(result);
            }
            _ => {}
        }
        // x402's first transport for MCP, and MPP's.
        if let Some(Json::Object(error)) = message.get_mut("error")
            && let Some(data) = error.get_mut("data")
        {
            self.required(data);
        }
    }

    fn result(&mut self, result: &mut Object) {
        if let Some(structure) = result.get_mut("structuredContent") {
            self.required(structure);
        }
        if let Some(Json::Array(content)) = result.get_mut("content") {
            content.iter_mut().for_each(|item| self.text(item));
        }
        if let Some(Json::Object(meta)) = result.get_mut("_meta")
            && let Some(required) = meta.get_mut(MPP_REQUIRED)
        {
            self.required(required);
        }
    }

    /// A text that repeats what is asked for, or is the only one that says it.
    fn text(&mut self, item: &mut Json) {
        let Json::Object(item) = item else { return };
        let Some(Json::String(text)) = item.get_mut("text") else { return };
        if !text.trim_start().starts_with('{') {
            return;
        }
        match Json::parse(text.as_bytes()) {
            Ok(mut json) => {
                if self.required(&mut json) {
                    *text = json.to_string();
                }
            }
            // Another reader may find offers in it.
            Err(error) if may_ask(text.as_bytes()) => {
                self.take_out(unclear(error));
                *text = "{}".to_owned();
            }
            Err(_) => {}
        }
    }

    /// x402's `PaymentRequired`, or MPP's challenges. Whether something was taken out.
    fn required(&mut self, json: &mut Json) -> bool {
        let Json::Object(required) = json else { return false };
        let registry = self.registry;
        let version = required.get("x402Version").cloned();
        let mut changed = false;
        if version.is_some()
            && let Some(offers) = required.get_mut("accepts")
        {
            changed |= self.list(offers, |offer| x402::asked(offer, version.as_ref(), registry));
        }
        if let Some(challenges) = required.get_mut("challenges") {
            changed |= self.list(challenges, |challenge| mpp::asked(challenge, registry));
        }
        changed
    }

    fn list(&mut self, list: &mut Json, asked: impl Fn(&Json) -> Result<Price, Denial>) -> bool {
        let Json::Array(offers) = list else {
            self.take_out(unclear("its offers are no list"));
            *list = Json::Array(Vec::new());
            return true;
        };
        let before = offers.len();
        offers.truncate(MAX_OFFERS);
        offers.retain(|offer| match asked(offer).and_then(|price| (self.judge)(&price)) {
            Ok(()) => {
                self.kept += 1;
                true
            }
            Err(denial) => {
                self.take_out(denial);
                false
            }
        });
        if before > MAX_OFFERS {
            self.take_out(unclear(format_args!("there are more than {MAX_OFFERS} offers")));
        }
        offers.len() < before
    }

    fn take_out(&mut self, denial: Denial) {
        tracing::info!(code = ?denial.code, rule = denial.rule, "an offer was taken out: {denial}");
        self.first.get_or_insert(denial);
    }
}
