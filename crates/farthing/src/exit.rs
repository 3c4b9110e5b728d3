//! How the program ends: one error type, one table of exit codes.

use std::fmt;
use std::process::ExitCode;

use farthing_ledger::LedgerError;
use farthing_policy::Denial;
use farthing_wallet::{Fault, FaultKind, FetchError, Money, WalletError};
use serde_json::{Value, json};

use crate::output;

/// The exit codes. They are part of the interface: `farthing --help` and docs/wallet.md list them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Code {
    Unexpected = 1,
    Configuration = 2,
    Unreachable = 3,
    Refused = 4,
    Unpayable = 5,
    Unknown = 6,
    SellerError = 7,
    Locked = 8,
    Damaged = 9,
}

impl Code {
    /// The code's name in `--json` output.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Unexpected => "unexpected",
            Self::Configuration => "configuration",
            Self::Unreachable => "unreachable",
            Self::Refused => "refused",
            Self::Unpayable => "unpayable",
            Self::Unknown => "unknown_outcome",
            Self::SellerError => "seller_error",
            Self::Locked => "locked",
            Self::Damaged => "damaged_ledger",
        }
    }
}

/// Why the program stops: what happened, and what to do.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: Code,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
    /// The structured form of a policy's refusal.
    pub(crate) denial: Option<Box<Denial>>,
    /// What is known besides: `--json` prints the error as a part of it.
    result: Option<Box<Value>>,
}

impl Failure {
    pub(crate) fn new(code: Code, message: impl fmt::Display) -> Self {
        Self { code, message: message.to_string(), hint: None, denial: None, result: None }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// One more thing that can be done, unless it stands there already.
    pub(crate) fn and_hint(mut self, hint: impl Into<String>) -> Self {
        let hint = hint.into();
        match &mut self.hint {
            Some(hints) if hints.contains(&hint) => {}
            Some(hints) => *hints = format!("{hints}; {hint}"),
            None => self.hint = Some(hint),
        }
        self
    }

    /// Something else that happened.
    pub(crate) fn also(mut self, message: &str) -> Self {
        self.message = format!("{}; {message}", self.message);
        self
    }

    /// Puts the failure into this JSON object.
    pub(crate) fn beside(self, result: Value) -> Self {
        Self { result: Some(Box::new(result)), ..self }
    }

    /// Prints the failure where the user looks for it; on stderr where stdout does not take it.
    pub(crate) fn report(self, json: bool) -> ExitCode {
        let code = ExitCode::from(self.code as u8);
        if !json {
            self.say();
        } else if !output::print_json(&self.to_json()) {
            match output::written() {
                Err(unwritten) if !self.message.contains(&unwritten.message) => {
                    self.also(&unwritten.message).say()
                }
                _ => self.say(),
            }
        }
        code
    }

    fn say(&self) {
        use output::{BAD, DIM};
        output::say(format_args!("{BAD}error{BAD:#}: {}", self.message));
        if let Some(hint) = &self.hint {
            output::say(format_args!("{DIM} hint{DIM:#}: {hint}"));
        }
    }

    fn to_json(&self) -> Value {
        let mut object = self.result.as_deref().cloned().unwrap_or_else(|| json!({}));
        object["error"] = json!({
            "code": self.code.name(), "exit": self.code as u8, "message": self.message, "hint": self.hint,
            "denial": self.denial.as_deref(),
        });
        object
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        let (code, hint) = told(&fault);
        let hint = match (about_money(&fault), hint) {
            (true, Some(hint)) => Some(format!("nothing was paid; {hint}")),
            (true, None) => Some("nothing was paid".to_owned()),
            (false, hint) => hint,
        };
        let message = match &fault.denial {
            Some(_) => format!("refused: {}", fault.message),
            None => fault.message,
        };
        Self { code, message, hint, denial: fault.denial, result: None }
    }
}

/// Whether somebody who reads of it may ask himself whether something was paid, and nothing was.
fn about_money(fault: &Fault) -> bool {
    let mistake = matches!(
        fault.kind,
        FaultKind::BadRequest
            | FaultKind::BadHeader
            | FaultKind::BadLimit
            | FaultKind::NotFound
            | FaultKind::NotResumable
            | FaultKind::Ledger
            | FaultKind::LedgerDamaged
            | FaultKind::Misconfigured
            | FaultKind::Failed
    );
    fault.money == Money::Nothing && !mistake
}

/// How the program ends for each kind of fault, and what can be done about it.
fn told(fault: &Fault) -> (Code, Option<String>) {
    let hint = |code, hint: &str| (code, Some(hint.to_owned()));
    match fault.kind {
        FaultKind::BadRequest | FaultKind::BadHeader | FaultKind::BadLimit | FaultKind::Misconfigured => {
            (Code::Configuration, None)
        }
        FaultKind::Denied => hint(Code::Refused, "the caps are in policy.yaml (`farthing config show`)"),
        FaultKind::NoRoomNow => (Code::Refused, room_again(fault)),
        FaultKind::Frozen => hint(Code::Refused, "`farthing thaw` ends it"),
        FaultKind::Killed => hint(Code::Refused, "taking `kill:` out of policy.yaml ends it"),
        FaultKind::ApprovalNeeded => (Code::Refused, approve(fault)),
        FaultKind::OutOfReach => (Code::Refused, None),
        FaultKind::Unanswered | FaultKind::TimedOut => {
            hint(Code::Unreachable, "look at the address, or try again later")
        }
        FaultKind::ChainUnreachable => hint(Code::Unreachable, "`farthing doctor` asks every endpoint"),
        FaultKind::Unreadable | FaultKind::Unpayable => (Code::Unpayable, None),
        FaultKind::PlainHttp => hint(
            Code::Unpayable,
            "call it with https://, or name the host under `plain_http_hosts` in config.yaml",
        ),
        FaultKind::Short => hint(Code::Unpayable, "`farthing fund` shows where to send USDC"),
        FaultKind::Locked => {
            hint(Code::Locked, "FARTHING_PASSPHRASE, or `unlock` in config.yaml, unlocks it")
        }
        FaultKind::NoPlace => hint(Code::Configuration, "make room in the wallet's folder"),
        FaultKind::NotFound => hint(Code::Configuration, "`farthing history` lists purchases"),
        FaultKind::NotResumable => (Code::Configuration, receipt(fault)),
        FaultKind::OutcomeUnknown => (Code::Unknown, receipt(fault)),
        FaultKind::NotKept => (Code::Unexpected, receipt(fault)),
        FaultKind::LedgerDamaged => hint(Code::Damaged, "`farthing ledger verify` names the rows"),
        FaultKind::Ledger | FaultKind::Failed => (Code::Unexpected, None),
    }
}

fn room_again(fault: &Fault) -> Option<String> {
    let seconds = fault.retry_after_seconds()?;
    Some(format!("there is room again in about {}", output::duration(seconds)))
}

fn approve(fault: &Fault) -> Option<String> {
    let approval = fault.approval()?;
    let left = output::duration(approval.expires_in_seconds);
    Some(format!("`{}` within {left}, then the same call again", approval.how))
}

fn receipt(fault: &Fault) -> Option<String> {
    fault.purchase.as_ref().map(|id| format!("`farthing receipt {id}` shows how it stands"))
}

impl From<LedgerError> for Failure {
    fn from(error: LedgerError) -> Self {
        Fault::from(error).into()
    }
}

impl From<WalletError> for Failure {
    fn from(error: WalletError) -> Self {
        Fault::from(error).into()
    }
}

impl From<FetchError> for Failure {
    fn from(error: FetchError) -> Self {
        Fault::from(error).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use farthing_ledger::{PurchaseId, PurchaseState};

    #[test]
    fn nothing_was_paid_is_said_where_it_is_asked_and_true() {
        for (kind, code, said) in [
            (FaultKind::BadRequest, Code::Configuration, false),
            (FaultKind::Misconfigured, Code::Configuration, false),
            (FaultKind::Denied, Code::Refused, true),
            (FaultKind::Frozen, Code::Refused, true),
            (FaultKind::Killed, Code::Refused, true),
            (FaultKind::OutOfReach, Code::Refused, true),
            (FaultKind::TimedOut, Code::Unreachable, true),
            (FaultKind::ChainUnreachable, Code::Unreachable, true),
            (FaultKind::Unpayable, Code::Unpayable, true),
            (FaultKind::Short, Code::Unpayable, true),
            (FaultKind::Locked, Code::Locked, true),
            (FaultKind::NoPlace, Code::Configuration, true),
            (FaultKind::NotFound, Code::Configuration, false),
            (FaultKind::LedgerDamaged, Code::Damaged, false),
            (FaultKind::Ledger, Code::Unexpected, false),
            (FaultKind::OutcomeUnknown, Code::Unknown, true),
        ] {
            let fault = Fault::unpaid(kind, "words");
            let says = |failure: &Failure| {
                failure.hint.as_ref().is_some_and(|hint| hint.starts_with("nothing was paid"))
            };
            let failure = Failure::from(fault.clone());
            assert_eq!((failure.code, says(&failure)), (code, said), "{kind:?}");
            for state in [PurchaseState::Unknown, PurchaseState::Paid] {
                let after = fault.clone().of(PurchaseId("01P".to_owned()), state);
                assert!(!says(&after.into()), "{kind:?}, {state:?}");
            }
        }
    }
}
