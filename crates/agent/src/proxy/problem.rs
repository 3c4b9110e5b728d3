//! What a caller is told when there is no answer of the seller's: a status, a code, what happened and what to do.

use farthing_ledger::{LedgerError, PurchaseId};
use farthing_policy::{Denial, DenialCode};
use farthing_wallet::{Fault, FaultKind, FetchError, Money};
use http::StatusCode;
use serde_json::{Value, json};

use super::bought::REMEMBERED;

/// How many characters of what is said to a caller are recorded.
const RECORDED_CHARS: usize = 300;

/// Why there is no answer. Statuses and codes are part of the interface: docs/proxy.md lists them.
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) status: StatusCode,
    pub(super) code: &'static str,
    pub(super) message: String,
    hint: Option<String>,
    money: Money,
    /// The purchase that is concerned.
    pub(super) purchase: Option<PurchaseId>,
    pub(super) denial: Option<Box<Denial>>,
    /// What the record says of it, where something was refused and did not only go wrong.
    pub(super) refusal: Option<Box<Denial>>,
}

impl Problem {
    /// A problem at the door, before anything was paid.
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        let message = message.into();
        let refusal = turned_away(status, code, &message).map(Box::new);
        Self {
            status,
            code,
            message,
            hint: None,
            money: Money::Nothing,
            purchase: None,
            denial: None,
            refusal,
        }
    }

    pub(super) fn bad_request(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    pub(super) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// The payment is out, and what was bought is not in the caller's hands. It is no status at which clients call again by
    /// themselves: what is owed to a caller is not remembered for ever.
    pub(super) fn after_payment(
        code: &'static str,
        message: impl Into<String>,
        money: Money,
        id: &PurchaseId,
    ) -> Self {
        let minutes = REMEMBERED.as_secs() / 60;
        let hint = format!(
            "within {minutes} minutes the same call asks with the same payment, and later it buys once more; \
             `farthing fetch --resume {id}` asks so at any time, `farthing receipt {id}` shows how it stands"
        );
        let problem = Self::new(StatusCode::FAILED_DEPENDENCY, code, message).hint(hint);
        Self { money, purchase: Some(id.clone()), ..problem }
    }

    /// The same, where the seller was asked once more already.
    pub(super) fn in_vain(self) -> Self {
        let shows = self.purchase.as_ref().map(|id| format!("; `farthing receipt {id}` shows how it stands"));
        let shows = shows.unwrap_or_default();
        self.hint(format!("the same payment was sent once more; calling again buys anew{shows}"))
    }

    /// In how many seconds it may be worth trying again.
    pub(super) fn retry_after_seconds(&self) -> Option<u64> {
        match self.status {
            StatusCode::SERVICE_UNAVAILABLE => Some(1),
            _ => self.denial.as_ref().and_then(|denial| denial.retry_after_seconds),
        }
    }

    /// As the command line prints errors, and as SDKs look for them.
    pub(super) fn to_json(&self) -> Value {
        let Self { code, message, hint, money, purchase, denial, .. } = self;
        let mut error =
            json!({"code": code, "message": message, "type": "farthing_proxy", "money": money.as_str()});
        if let Some(hint) = hint {
            error["hint"] = json!(hint);
        }
        if let Some(purchase) = purchase {
            error["purchase"] = json!(purchase);
        }
        if let Some(denial) = denial {
            error["denial"] = json!(denial);
        }
        json!({"error": error})
    }
}

/// How a request that is turned away at the door stands in the record: under the problem's code.
fn turned_away(status: StatusCode, code: &'static str, message: &str) -> Option<Denial> {
    let kind = match status {
        StatusCode::UNAUTHORIZED | StatusCode::PROXY_AUTHENTICATION_REQUIRED => DenialCode::UnknownAgent,
        StatusCode::FORBIDDEN => DenialCode::HostNotAllowed,
        StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE | StatusCode::NOT_IMPLEMENTED => {
            DenialCode::BadArguments
        }
        _ => return None,
    };
    Some(Denial::new(kind, code, message.chars().take(RECORDED_CHARS).collect::<String>()))
}

impl From<Fault> for Problem {
    fn from(fault: Fault) -> Self {
        let refusal = fault.refusal().map(Box::new);
        let (status, code, hint) = told(&fault);
        let Fault { message, money, purchase, denial, .. } = fault;
        match &purchase {
            Some(id) if money != Money::Nothing => Self::after_payment(code, message, money, id),
            _ => Self { hint, purchase, denial, refusal, ..Self::new(status, code, message) },
        }
    }
}

/// What a caller is told of each kind of fault before a payment, and what can be done about it. After one the code
/// holds, and [`Problem::after_payment`] says the rest.
fn told(fault: &Fault) -> (StatusCode, &'static str, Option<String>) {
    let hint = |status, code, hint: &str| (status, code, Some(hint.to_owned()));
    // What the seller asks is never told with a 402: that would ask the caller for money.
    let ours = StatusCode::FAILED_DEPENDENCY;
    match fault.kind {
        FaultKind::BadRequest => (StatusCode::BAD_REQUEST, "bad_address", None),
        FaultKind::BadHeader => hint(StatusCode::BAD_REQUEST, "header_refused", "leave it out"),
        FaultKind::BadLimit => (StatusCode::BAD_REQUEST, "bad_limit", None),
        FaultKind::Denied => {
            hint(StatusCode::FORBIDDEN, "denied", "the caps are the wallet owner's, in policy.yaml")
        }
        FaultKind::NoRoomNow => (StatusCode::TOO_MANY_REQUESTS, "denied", room_again(fault)),
        FaultKind::Frozen => {
            hint(StatusCode::FORBIDDEN, "frozen", "the wallet's owner ends it by `farthing thaw`")
        }
        FaultKind::Killed => hint(
            StatusCode::FORBIDDEN,
            "frozen",
            "the wallet's owner ends it by taking `kill:` out of policy.yaml",
        ),
        FaultKind::ApprovalNeeded => (StatusCode::FORBIDDEN, "approval_needed", approve(fault)),
        FaultKind::OutOfReach => (StatusCode::FORBIDDEN, "out_of_reach", None),
        FaultKind::Unanswered => (StatusCode::BAD_GATEWAY, "unreachable", None),
        FaultKind::TimedOut => hint(
            StatusCode::GATEWAY_TIMEOUT,
            "timeout",
            "--timeout says how long an answer may take to begin",
        ),
        FaultKind::ChainUnreachable => (StatusCode::BAD_GATEWAY, "chain_unreachable", None),
        FaultKind::Unreadable | FaultKind::Unpayable => (ours, "unpayable", None),
        FaultKind::PlainHttp => hint(
            ours,
            "unpayable",
            "call it with https://, or name the host under `plain_http_hosts` in config.yaml",
        ),
        FaultKind::Short => hint(ours, "insufficient_funds", "`farthing fund` shows where to send USDC"),
        FaultKind::Locked => {
            hint(ours, "locked", "start the proxy with FARTHING_PASSPHRASE, or `unlock` in config.yaml")
        }
        FaultKind::NoPlace => {
            hint(StatusCode::INSUFFICIENT_STORAGE, "no_place", "make room in the wallet's folder")
        }
        FaultKind::OutcomeUnknown => (ours, "outcome_unknown", None),
        FaultKind::NotKept => (ours, "not_kept", None),
        FaultKind::Ledger | FaultKind::LedgerDamaged => {
            hint(StatusCode::INTERNAL_SERVER_ERROR, "unexpected", "`farthing ledger verify` looks for damage")
        }
        FaultKind::NotFound | FaultKind::NotResumable | FaultKind::Misconfigured | FaultKind::Failed => {
            (StatusCode::INTERNAL_SERVER_ERROR, "unexpected", None)
        }
    }
}

fn room_again(fault: &Fault) -> Option<String> {
    fault.retry_after_seconds().map(|seconds| format!("there is room again in {seconds} s"))
}

fn approve(fault: &Fault) -> Option<String> {
    let approval = fault.approval()?;
    Some(format!(
        "ask your human to run `{}` within {} s, then call again",
        approval.how, approval.expires_in_seconds
    ))
}

impl From<Denial> for Problem {
    fn from(denial: Denial) -> Self {
        Fault::from(denial).into()
    }
}

impl From<LedgerError> for Problem {
    fn from(error: LedgerError) -> Self {
        Fault::from(error).into()
    }
}

impl From<FetchError> for Problem {
    fn from(error: FetchError) -> Self {
        Fault::from(error).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use farthing_ledger::PurchaseState;
    use farthing_policy::PendingApproval;

    fn denied(denial: Denial) -> (u16, &'static str, Option<u64>) {
        let problem = Problem::from(denial);
        (problem.status.as_u16(), problem.code, problem.retry_after_seconds())
    }

    #[test]
    fn a_denial_says_whether_waiting_or_a_person_helps() {
        let plain = Denial::new(DenialCode::BudgetExceeded, "day", "too much");
        assert_eq!(denied(plain.clone()), (403, "denied", None));
        let waiting = Denial { retry_after_seconds: Some(60), ..plain.clone() };
        assert_eq!(denied(waiting), (429, "denied", Some(60)));
        let approval = PendingApproval {
            id: "1".to_owned(),
            how: "farthing approvals approve 1".to_owned(),
            expires_in_seconds: 9,
        };
        let asking = Denial { approval: Some(approval), retry_after_seconds: Some(9), ..plain.clone() };
        assert_eq!(denied(asking.clone()), (403, "approval_needed", Some(9)));
        let told = Problem::from(asking).to_json();
        assert!(told["error"]["hint"].as_str().unwrap().contains("farthing approvals approve 1"), "{told}");
        assert_eq!(denied(Denial { code: DenialCode::Frozen, ..plain }), (403, "frozen", None));
    }

    #[test]
    fn every_kind_of_fault_has_its_status_and_none_asks_the_caller_for_money() {
        use FaultKind as Kind;
        for (kind, status, code) in [
            (Kind::BadRequest, 400, "bad_address"),
            (Kind::BadHeader, 400, "header_refused"),
            (Kind::BadLimit, 400, "bad_limit"),
            (Kind::Denied, 403, "denied"),
            (Kind::NoRoomNow, 429, "denied"),
            (Kind::Frozen, 403, "frozen"),
            (Kind::Killed, 403, "frozen"),
            (Kind::ApprovalNeeded, 403, "approval_needed"),
            (Kind::OutOfReach, 403, "out_of_reach"),
            (Kind::Unanswered, 502, "unreachable"),
            (Kind::TimedOut, 504, "timeout"),
            (Kind::ChainUnreachable, 502, "chain_unreachable"),
            (Kind::Unreadable, 424, "unpayable"),
            (Kind::Unpayable, 424, "unpayable"),
            (Kind::PlainHttp, 424, "unpayable"),
            (Kind::Short, 424, "insufficient_funds"),
            (Kind::Locked, 424, "locked"),
            (Kind::NoPlace, 507, "no_place"),
            (Kind::NotFound, 500, "unexpected"),
            (Kind::NotResumable, 500, "unexpected"),
            (Kind::OutcomeUnknown, 424, "outcome_unknown"),
            (Kind::NotKept, 424, "not_kept"),
            (Kind::Ledger, 500, "unexpected"),
            (Kind::LedgerDamaged, 500, "unexpected"),
            (Kind::Misconfigured, 500, "unexpected"),
            (Kind::Failed, 500, "unexpected"),
        ] {
            let fault = Fault::unpaid(kind, "words");
            let problem = Problem::from(fault.clone());
            assert_eq!((problem.status.as_u16(), problem.code), (status, code), "{kind:?}");
            assert_eq!(problem.to_json()["error"]["money"], "nothing_paid", "{kind:?}");
            // After a payment no client is to try again by itself.
            let fault = fault.of(PurchaseId("01P".to_owned()), PurchaseState::Paid);
            let problem = Problem::from(fault);
            let said = problem.to_json();
            assert_eq!((problem.status.as_u16(), problem.code), (424, code), "{kind:?}");
            assert_eq!(
                (&said["error"]["money"], &said["error"]["purchase"]),
                (&"paid".into(), &"01P".into())
            );
        }
    }
}
