//! What went wrong, for an agent to act on.

use farthing_ledger::{LedgerError, Purchase, PurchaseId, PurchaseState};
use farthing_policy::{Denial, DenialCode};
use farthing_wallet::{Fault, FaultKind, FetchError, PaidCall, WalletError};
use rmcp::schemars;
use schemars::JsonSchema;
use serde::Serialize;

/// Why a tool did not do what it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(super) struct Trouble {
    /// Which kind of trouble.
    pub(super) code: Code,
    /// One sentence on what happened.
    pub(super) message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) hint: Option<String>,
    /// What became of the money.
    pub(super) money: Money,
    /// In how many seconds it may be worth trying again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) retry_after_seconds: Option<u64>,
    /// The purchase that is concerned: `fetch_again` goes on with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) purchase: Option<String>,
    /// What the policy said: its code, the rule, the limit, what is used and what remains of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<serde_json::Map<String, serde_json::Value>>")]
    pub(super) denial: Option<Box<Denial>>,
    /// What the journal says of it.
    #[serde(skip)]
    pub(super) refusal: Option<Box<Denial>>,
}

/// Which kind of trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Code {
    /// The arguments cannot be understood.
    BadArguments,
    /// The policy refuses.
    Denied,
    /// Everything is stopped, by a person.
    Frozen,
    /// A person has to approve first.
    ApprovalNeeded,
    /// The address may not be called from here.
    OutOfReach,
    /// The seller does not answer.
    Unreachable,
    /// The chain does not answer.
    ChainUnreachable,
    /// What the seller asks cannot be paid.
    Unpayable,
    /// The wallet does not hold enough.
    InsufficientFunds,
    /// The wallet's key cannot be unlocked here.
    Locked,
    /// There is no place for the answer.
    NoPlace,
    /// The payment was sent, and its outcome is not known yet.
    OutcomeUnknown,
    /// There is no such purchase, or nothing is kept of it.
    NotFound,
    /// It was cancelled.
    Cancelled,
    /// Something in here failed.
    Failed,
}

/// What became of the money.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Money {
    /// Nothing was paid, and nothing will be.
    NothingPaid,
    /// A payment was sent. It may be settled, and stays counted until that is known.
    PaymentSent,
    /// It was paid.
    Paid,
}

impl From<farthing_wallet::Money> for Money {
    fn from(money: farthing_wallet::Money) -> Self {
        match money {
            farthing_wallet::Money::Nothing => Self::NothingPaid,
            farthing_wallet::Money::Sent => Self::PaymentSent,
            farthing_wallet::Money::Paid => Self::Paid,
        }
    }
}

impl Money {
    fn of(state: PurchaseState) -> Self {
        farthing_wallet::Money::from(state).into()
    }
}

impl Trouble {
    /// Trouble before anything was paid.
    pub(super) fn unpaid(code: Code, message: impl Into<String>) -> Self {
        // What was given is not repeated in the journal: it may be a secret in the wrong place.
        let refusal =
            || Denial::new(DenialCode::BadArguments, "arguments", "the arguments were not understood");
        Self {
            code,
            message: message.into(),
            hint: None,
            money: Money::NothingPaid,
            retry_after_seconds: None,
            purchase: None,
            denial: None,
            refusal: (code == Code::BadArguments).then(|| Box::new(refusal())),
        }
    }

    pub(super) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// The same, after this was paid.
    pub(super) fn after(self, paid: &PaidCall) -> Self {
        self.with_money(Money::of(paid.outcome.state()), &paid.purchase.terms.id)
    }

    /// The same, about a purchase whose payment is out.
    pub(super) fn sent(self, purchase: &PurchaseId) -> Self {
        self.with_money(Money::PaymentSent, purchase)
    }

    /// The same, about a purchase that was there before. Where more is known of its payment already, that stays.
    pub(super) fn about(self, purchase: &Purchase) -> Self {
        let (id, money) = (&purchase.terms.id, Money::of(purchase.state));
        if self.money != Money::NothingPaid || money == Money::NothingPaid {
            return Self { purchase: Some(id.0.clone()), ..self };
        }
        let hint = self.hint.clone();
        let hint = hint.unwrap_or_else(|| format!("`farthing receipt {id}` shows your human how it stands"));
        self.hint(hint).with_money(money, id)
    }

    /// An agent that does not know that its payment is out pays again.
    fn with_money(self, money: Money, purchase: &PurchaseId) -> Self {
        let told = Self { money, purchase: Some(purchase.0.clone()), ..self };
        if money == Money::NothingPaid {
            return told;
        }
        let hint = told.hint.clone().unwrap_or_else(|| {
            format!("`fetch_again` with purchase {purchase} asks for the answer with the same payment")
        });
        told.hint(format!("do not pay again: {hint}"))
    }
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)?;
        self.hint.iter().try_for_each(|hint| write!(f, ". {hint}"))
    }
}

impl From<Fault> for Trouble {
    fn from(fault: Fault) -> Self {
        let (code, hint) = told(&fault);
        let trouble = Self {
            hint,
            retry_after_seconds: fault.retry_after_seconds(),
            refusal: fault.refusal().map(Box::new),
            ..Self::unpaid(code, fault.message)
        };
        let trouble = Self { denial: fault.denial, ..trouble };
        match &fault.purchase {
            Some(purchase) => trouble.with_money(fault.money.into(), purchase),
            None => Self { money: fault.money.into(), ..trouble },
        }
    }
}

/// What an agent is told of each kind of fault, and what it can do about it.
fn told(fault: &Fault) -> (Code, Option<String>) {
    let hint = |code, hint: &str| (code, Some(hint.to_owned()));
    match fault.kind {
        FaultKind::BadRequest | FaultKind::BadHeader | FaultKind::BadLimit => (Code::BadArguments, None),
        FaultKind::Denied => hint(Code::Denied, "only a person can change this, in the wallet's policy.yaml"),
        FaultKind::NoRoomNow => (Code::Denied, room_again(fault)),
        FaultKind::Frozen => hint(Code::Frozen, "only a person can end this, by `farthing thaw`"),
        FaultKind::Killed => hint(
            Code::Frozen,
            "only a person can end this: they take `kill:` out of the wallet's policy.yaml",
        ),
        FaultKind::ApprovalNeeded => (Code::ApprovalNeeded, approve(fault)),
        FaultKind::OutOfReach => hint(
            Code::OutOfReach,
            "only a person can allow this host, under `private_hosts` in the wallet's config.yaml",
        ),
        FaultKind::Unanswered | FaultKind::TimedOut => {
            hint(Code::Unreachable, "look at the address, or try again later")
        }
        FaultKind::ChainUnreachable => hint(
            Code::ChainUnreachable,
            "try again later; if it lasts, your human can look at the network's `rpc` in the wallet's config.yaml",
        ),
        FaultKind::Unreadable => (Code::Unpayable, None),
        FaultKind::Unpayable => hint(Code::Unpayable, "`check` says of each offer why it cannot be paid"),
        FaultKind::PlainHttp => hint(
            Code::Unpayable,
            "use https://; only a person can allow this host without it, under `plain_http_hosts` in the wallet's config.yaml",
        ),
        FaultKind::Short => hint(Code::InsufficientFunds, "`fund` shows where your human can send USDC"),
        FaultKind::Locked => hint(
            Code::Locked,
            "your human can set `unlock` in the wallet's config.yaml, or FARTHING_PASSPHRASE",
        ),
        FaultKind::NoPlace => hint(Code::NoPlace, "your human has to make room in the wallet's folder"),
        FaultKind::NotFound => (Code::NotFound, None),
        FaultKind::NotResumable => hint(Code::NotFound, "`history` shows how each purchase stands"),
        FaultKind::OutcomeUnknown => (Code::OutcomeUnknown, None),
        FaultKind::NotKept => (Code::Failed, None),
        FaultKind::Ledger | FaultKind::LedgerDamaged => hint(
            Code::Failed,
            "without its record the wallet pays nothing; `farthing doctor` shows your human what is wrong",
        ),
        FaultKind::Misconfigured => hint(
            Code::Failed,
            "your human has to mend the wallet's config.yaml; `farthing doctor` looks at it",
        ),
        FaultKind::Failed => (Code::Failed, None),
    }
}

fn room_again(fault: &Fault) -> Option<String> {
    fault.retry_after_seconds().map(|seconds| format!("there may be room again in {seconds} s"))
}

fn approve(fault: &Fault) -> Option<String> {
    let approval = fault.approval()?;
    Some(format!("ask your human to run `{}`, then make the same call again", approval.how))
}

impl From<Denial> for Trouble {
    fn from(denial: Denial) -> Self {
        Fault::from(denial).into()
    }
}

impl From<LedgerError> for Trouble {
    fn from(error: LedgerError) -> Self {
        Fault::from(error).into()
    }
}

impl From<WalletError> for Trouble {
    fn from(error: WalletError) -> Self {
        Fault::from(error).into()
    }
}

impl From<FetchError> for Trouble {
    fn from(error: FetchError) -> Self {
        Fault::from(error).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn said(fault: Fault) -> Value {
        serde_json::to_value(Trouble::from(fault)).unwrap()
    }

    #[test]
    fn every_kind_of_fault_has_its_code_and_says_what_became_of_the_money() {
        use FaultKind as Kind;
        for (kind, code, hint) in [
            (Kind::BadRequest, "bad_arguments", ""),
            (Kind::BadHeader, "bad_arguments", ""),
            (Kind::BadLimit, "bad_arguments", ""),
            (Kind::Denied, "denied", "policy.yaml"),
            (Kind::NoRoomNow, "denied", ""),
            (Kind::Frozen, "frozen", "farthing thaw"),
            (Kind::Killed, "frozen", "take `kill:` out"),
            (Kind::ApprovalNeeded, "approval_needed", ""),
            (Kind::OutOfReach, "out_of_reach", "private_hosts"),
            (Kind::Unanswered, "unreachable", "try again"),
            (Kind::TimedOut, "unreachable", "try again"),
            (Kind::ChainUnreachable, "chain_unreachable", "rpc"),
            (Kind::Unreadable, "unpayable", ""),
            (Kind::Unpayable, "unpayable", "check"),
            (Kind::PlainHttp, "unpayable", "use https"),
            (Kind::Short, "insufficient_funds", "fund"),
            (Kind::Locked, "locked", "FARTHING_PASSPHRASE"),
            (Kind::NoPlace, "no_place", "make room"),
            (Kind::NotFound, "not_found", ""),
            (Kind::NotResumable, "not_found", "history"),
            (Kind::OutcomeUnknown, "outcome_unknown", ""),
            (Kind::NotKept, "failed", ""),
            (Kind::Ledger, "failed", "doctor"),
            (Kind::LedgerDamaged, "failed", "doctor"),
            (Kind::Misconfigured, "failed", "config.yaml"),
            (Kind::Failed, "failed", ""),
        ] {
            let fault = Fault::unpaid(kind, "words");
            let told = said(fault.clone());
            assert_eq!((&told["code"], &told["money"]), (&json!(code), &json!("nothing_paid")), "{kind:?}");
            assert!(told["hint"].as_str().unwrap_or_default().contains(hint), "{kind:?}: {told}");
            for (state, money) in [(PurchaseState::Unknown, "payment_sent"), (PurchaseState::Paid, "paid")] {
                let told = said(fault.clone().of(PurchaseId("01P".to_owned()), state));
                assert_eq!((&told["code"], &told["money"]), (&json!(code), &json!(money)), "{kind:?}");
                let hint = told["hint"].as_str().unwrap();
                assert!(hint.starts_with("do not pay again: ") && told["purchase"] == "01P", "{told}");
            }
        }
    }

    #[test]
    fn the_journal_holds_no_argument() {
        let trouble = Trouble::unpaid(Code::BadArguments, "`headers`: Bearer s3cret is no object");
        assert!(!trouble.refusal.unwrap().message.contains("s3cret"));
        assert!(said(Fault::unpaid(FaultKind::BadLimit, "words")).get("refusal").is_none());
    }

    #[test]
    fn what_the_policy_says_names_who_can_change_it() {
        let denied = |code, rule: &str| Denial::new(code, rule, "words");
        let waiting = denied(DenialCode::RateExceeded, "rate");
        let waiting = Denial { retry_after_seconds: Some(60), ..waiting };
        for (denial, words) in [
            (waiting, "room again in 60 s"),
            (denied(DenialCode::Frozen, "freeze"), "farthing thaw"),
            (denied(DenialCode::Frozen, "kill"), "take `kill:` out"),
            (denied(DenialCode::AboveMaximum, "max"), "only a person"),
        ] {
            let told = said(denial.into());
            assert!(told["hint"].as_str().unwrap().contains(words), "{told}");
        }
    }
}
