//! What a caller is told when there is no answer of the seller's: a status, a code, what happened and what to do.

use farthing_ambient::causes;
use farthing_ledger::{LedgerError, Outcome, PurchaseId};
use farthing_policy::{Denial, DenialCode};
use farthing_rail::RailError;
use farthing_wallet::{FetchError, WalletError};
use http::StatusCode;
use serde_json::{Value, json};

/// The hint where every call is stopped.
const CAPS: &str = "nothing was paid; the caps are the wallet owner's, in policy.yaml";

/// Why there is no answer. Statuses and codes are part of the interface: docs/proxy.md lists them.
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) status: StatusCode,
    pub(super) code: &'static str,
    pub(super) message: String,
    hint: Option<String>,
    /// The purchase whose payment is out.
    pub(super) purchase: Option<PurchaseId>,
    pub(super) denial: Option<Box<Denial>>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), hint: None, purchase: None, denial: None }
    }

    pub(super) fn bad_request(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    pub(super) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// The payment is out, and what was bought is not in the caller's hands. The caller must not simply call again: that
    /// would buy once more. So it is no status at which clients do so by themselves.
    pub(super) fn after_payment(code: &'static str, message: impl Into<String>, id: &PurchaseId) -> Self {
        let hint = format!(
            "calling again buys once more; `farthing fetch --resume {id}` asks with the same payment, `farthing receipt {id}` shows how it stands"
        );
        Self {
            purchase: Some(id.clone()),
            ..Self::new(StatusCode::FAILED_DEPENDENCY, code, message).hint(hint)
        }
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
        let Self { code, message, hint, purchase, denial, .. } = self;
        let mut error = json!({"code": code, "message": message, "type": "farthing_proxy"});
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

impl From<Denial> for Problem {
    fn from(denial: Denial) -> Self {
        let (status, code) = match (&denial.approval, denial.code) {
            (_, DenialCode::Frozen) => (StatusCode::FORBIDDEN, "frozen"),
            (Some(_), _) => (StatusCode::FORBIDDEN, "approval_needed"),
            (None, _) if denial.retry_after_seconds.is_some() => (StatusCode::TOO_MANY_REQUESTS, "denied"),
            _ => (StatusCode::FORBIDDEN, "denied"),
        };
        let hint = match (&denial.approval, denial.retry_after_seconds) {
            (Some(approval), _) => format!(
                "nothing was paid; ask your human to run `{}` within {} s, then call again",
                approval.how, approval.expires_in_seconds
            ),
            (None, Some(seconds)) => format!("nothing was paid; there is room again in {seconds} s"),
            (None, None) => CAPS.to_owned(),
        };
        let message = denial.message.clone();
        Self { denial: Some(Box::new(denial)), ..Self::new(status, code, message).hint(hint) }
    }
}

impl From<LedgerError> for Problem {
    fn from(error: LedgerError) -> Self {
        let message = format!("the ledger: {}", causes(&error));
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "unexpected", message)
            .hint("nothing was paid; `farthing ledger verify` looks for damage")
    }
}

impl From<FetchError> for Problem {
    fn from(error: FetchError) -> Self {
        let message = causes(&error);
        match error {
            FetchError::Wallet(error) => error.into(),
            FetchError::BadUrl { .. } => Self::bad_request("bad_address", message),
            FetchError::BadHeader { .. } => Self::bad_request("header_refused", message).hint("leave it out"),
            FetchError::OutOfReach(_) => Self::new(StatusCode::FORBIDDEN, "out_of_reach", message),
            FetchError::Unanswered { .. } => Self::new(StatusCode::BAD_GATEWAY, "unreachable", message),
            FetchError::TimedOut { .. } => Self::new(StatusCode::GATEWAY_TIMEOUT, "timeout", message)
                .hint("--timeout says how long an answer may take to begin"),
            FetchError::BadChallenge { .. } => Self::unpayable(message),
            FetchError::PlainHttp(_) => Self::unpayable(message)
                .hint("nothing was paid; call it with https://, or name the host under `plain_http_hosts` in config.yaml"),
            FetchError::Lost { purchase, .. } => Self::after_payment("outcome_unknown", message, &purchase),
            FetchError::NotKept { purchase, outcome, .. } => Self::not_delivered(message, &purchase, &outcome),
            FetchError::NotRecorded { purchase, .. } => {
                Self::after_payment("outcome_unknown", message, &purchase)
            }
            FetchError::NoPlace(_) => Self::new(StatusCode::INSUFFICIENT_STORAGE, "no_place", message)
                .hint("nothing was paid; make room in the wallet's folder"),
            _ => Self::new(StatusCode::INTERNAL_SERVER_ERROR, "unexpected", message),
        }
    }
}

impl From<WalletError> for Problem {
    fn from(error: WalletError) -> Self {
        let message = causes(&error);
        match error {
            WalletError::Denied(denial) => (*denial).into(),
            WalletError::NoPayableOffer(_) | WalletError::NoPayer(_) => Self::unpayable(message),
            WalletError::Short(_) => Self::new(StatusCode::FAILED_DEPENDENCY, "insufficient_funds", message)
                .hint("nothing was paid; `farthing fund` shows where to send USDC"),
            WalletError::BadLimit(_) => Self::bad_request("bad_limit", message),
            WalletError::Ledger(error) => error.into(),
            WalletError::Rail(RailError::Unpayable(_)) => Self::unpayable(message),
            WalletError::Rail(RailError::Locked(_)) => {
                Self::new(StatusCode::FAILED_DEPENDENCY, "locked", message).hint(
                    "nothing was paid; start the proxy with FARTHING_PASSPHRASE, or `unlock` in config.yaml",
                )
            }
            WalletError::Rail(_) => Self::new(StatusCode::BAD_GATEWAY, "chain_unreachable", message),
            _ => Self::new(StatusCode::INTERNAL_SERVER_ERROR, "unexpected", message),
        }
    }
}

impl Problem {
    /// What the seller asks cannot be given. It is never told with a 402: that would ask the caller for money.
    fn unpayable(message: String) -> Self {
        Self::new(StatusCode::FAILED_DEPENDENCY, "unpayable", message).hint("nothing was paid")
    }

    fn not_delivered(message: String, id: &PurchaseId, outcome: &Outcome) -> Self {
        let code = match outcome {
            Outcome::Unknown { .. } => "outcome_unknown",
            _ => "not_kept",
        };
        Self::after_payment(code, message, id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
    fn no_problem_asks_the_caller_for_money_or_to_buy_again() {
        let id = || PurchaseId("01P".to_owned());
        for error in [
            FetchError::Lost { purchase: id(), why: "it hangs".to_owned() },
            FetchError::NotKept {
                purchase: id(),
                outcome: Outcome::Paid { transaction: None },
                why: "disk".to_owned(),
            },
            FetchError::Wallet(WalletError::NoPayableOffer(vec!["no".to_owned()])),
            FetchError::PlainHttp("a".to_owned()),
        ] {
            let problem = Problem::from(error);
            assert_eq!(problem.status, StatusCode::FAILED_DEPENDENCY, "{problem:?}");
        }
    }
}
