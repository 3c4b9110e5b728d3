//! How the program ends: one error type, one table of exit codes.

use std::fmt;
use std::process::ExitCode;

use farthing_ambient::causes;
use farthing_ledger::{LedgerError, Outcome};
use farthing_policy::Denial;
use farthing_wallet::{FetchError, WalletError};
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

impl From<LedgerError> for Failure {
    fn from(error: LedgerError) -> Self {
        match error {
            LedgerError::NotFound { .. } => {
                Self::new(Code::Configuration, error).hint("`farthing history` lists purchases")
            }
            LedgerError::Corrupt(_) => {
                Self::new(Code::Damaged, error).hint("`farthing ledger verify` names the rows")
            }
            error => Self::new(Code::Unexpected, error),
        }
    }
}

impl From<WalletError> for Failure {
    fn from(error: WalletError) -> Self {
        match error {
            WalletError::Denied(denial) => {
                let hint = match (&denial.approval, denial.retry_after_seconds) {
                    (Some(approval), _) => {
                        let left = output::duration(approval.expires_in_seconds);
                        format!(
                            "nothing was paid; `{}` within {left}, then the same call again",
                            approval.how
                        )
                    }
                    (None, Some(seconds)) => {
                        format!("room again in about {}; nothing was paid", output::duration(seconds))
                    }
                    (None, None) => {
                        "nothing was paid; the caps are in policy.yaml (`farthing config show`)".to_owned()
                    }
                };
                let failure = Self::new(Code::Refused, format!("refused: {denial}")).hint(hint);
                Self { denial: Some(denial), ..failure }
            }
            WalletError::NoPayableOffer(_) | WalletError::NoPayer(_) => {
                Self::new(Code::Unpayable, error).hint("nothing was paid")
            }
            WalletError::Short(_) => Self::new(Code::Unpayable, error)
                .hint("nothing was paid; `farthing fund` shows where to send USDC"),
            WalletError::NotResumable { ref id, .. } => Self::new(Code::Configuration, &error)
                .hint(format!("`farthing receipt {id}` shows how it stands")),
            WalletError::BadLimit(_) => Self::new(Code::Configuration, error),
            WalletError::Ledger(error) => error.into(),
            WalletError::Rail(farthing_rail::RailError::Unpayable(why)) => Self::new(Code::Unpayable, why),
            WalletError::Rail(error @ farthing_rail::RailError::Locked(_)) => Self::new(Code::Locked, error)
                .hint("nothing was paid; FARTHING_PASSPHRASE, or `unlock` in config.yaml, unlocks it"),
            WalletError::Rail(error) => Self::new(Code::Unreachable, error),
            error => Self::new(Code::Unexpected, error),
        }
    }
}

impl From<FetchError> for Failure {
    fn from(error: FetchError) -> Self {
        let code = match &error {
            FetchError::Wallet(_) => {
                let FetchError::Wallet(error) = error else {
                    return Self::new(Code::Unexpected, "unreachable");
                };
                return error.into();
            }
            FetchError::BadUrl { .. } | FetchError::BadHeader { .. } | FetchError::NoPlace(_) => {
                Code::Configuration
            }
            FetchError::Unanswered { .. } | FetchError::TimedOut { .. } => {
                return Self::new(Code::Unreachable, causes(&error))
                    .hint("nothing was paid; look at the address, or try again later");
            }
            FetchError::BadChallenge { .. } => Code::Unpayable,
            FetchError::OutOfReach(_) => Code::Refused,
            FetchError::PlainHttp(_) => {
                return Self::new(Code::Unpayable, error).hint(
                    "nothing was paid; call it with https://, or name the host under `plain_http_hosts` in config.yaml",
                );
            }
            FetchError::Lost { .. }
            | FetchError::NotRecorded { .. }
            | FetchError::NotKept { outcome: Outcome::Unknown { .. }, .. } => Code::Unknown,
            _ => Code::Unexpected,
        };
        Self::new(code, causes(&error))
    }
}
