//! What went wrong, sorted once: the command line, MCP and the proxy tell of it in their own words, and of the same.

use farthing_ambient::causes;
use farthing_ledger::{LedgerError, PurchaseId, PurchaseState};
use farthing_policy::{Denial, DenialCode, PendingApproval};
use farthing_rail::RailError;

use crate::{FetchError, WalletError};

/// Why a call did not do what it was made for, and what became of the money.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Which kind.
    pub kind: FaultKind,
    /// What happened, with its causes.
    pub message: String,
    /// What became of the money.
    pub money: Money,
    /// The purchase that is concerned. There is one wherever a payment was sent.
    pub purchase: Option<PurchaseId>,
    /// What the policy said, where it was the policy.
    pub denial: Option<Box<Denial>>,
}

/// Which kind of fault.
///
/// Every surface has a table of all kinds, so a new one is to be noticed there: it is not `non_exhaustive`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FaultKind {
    /// The address cannot be called.
    BadRequest,
    /// A header is not the caller's to set.
    BadHeader,
    /// The caller's own limits cannot be applied.
    BadLimit,
    /// The policy says no, and waiting does not help.
    Denied,
    /// A budget or a rate has no room now.
    NoRoomNow,
    /// Everything is stopped, by `farthing freeze`.
    Frozen,
    /// Everything is stopped by the policy's `kill:`.
    Killed,
    /// A person has to approve it first.
    ApprovalNeeded,
    /// The address may not be called from here.
    OutOfReach,
    /// The seller does not answer.
    Unanswered,
    /// The seller does not answer in time.
    TimedOut,
    /// The chain cannot be asked, or what it says makes no sense.
    ChainUnreachable,
    /// The seller asks for payment in a way that cannot be read.
    Unreadable,
    /// What the seller asks cannot be paid from here.
    Unpayable,
    /// The seller would have to be paid over plain HTTP.
    PlainHttp,
    /// The wallet does not hold enough.
    Short,
    /// The key cannot be unlocked.
    Locked,
    /// There is no place for the answer.
    NoPlace,
    /// The record has nothing of this name.
    NotFound,
    /// The purchase cannot be gone on with by this request, or is over.
    NotResumable,
    /// The payment was sent, and what became of it is not known.
    OutcomeUnknown,
    /// The answer to a payment came, and could not be kept.
    NotKept,
    /// The ledger cannot be used. Without a record nothing is signed.
    Ledger,
    /// The ledger holds what cannot be read.
    LedgerDamaged,
    /// The configuration cannot work.
    Misconfigured,
    /// Something else failed in here.
    Failed,
}

/// What became of the money of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Money {
    /// Nothing was paid, and nothing will be.
    Nothing,
    /// A payment was sent, or may have been. It may be settled, and stays counted until that is known.
    Sent,
    /// It was paid.
    Paid,
}

impl Money {
    /// Its name in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Nothing => "nothing_paid",
            Self::Sent => "payment_sent",
            Self::Paid => "paid",
        }
    }
}

impl From<PurchaseState> for Money {
    fn from(state: PurchaseState) -> Self {
        match state {
            PurchaseState::Reserved | PurchaseState::NotPaid => Self::Nothing,
            PurchaseState::Signed | PurchaseState::Unknown => Self::Sent,
            PurchaseState::Paid => Self::Paid,
        }
    }
}

impl Fault {
    /// A fault before anything was paid.
    #[must_use]
    pub fn unpaid(kind: FaultKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), money: Money::Nothing, purchase: None, denial: None }
    }

    /// The same, about a purchase that stands so.
    #[must_use]
    pub fn of(self, purchase: PurchaseId, state: PurchaseState) -> Self {
        Self { money: state.into(), purchase: Some(purchase), ..self }
    }

    /// In how many seconds it may be worth trying again.
    #[must_use]
    pub fn retry_after_seconds(&self) -> Option<u64> {
        self.denial.as_ref().and_then(|denial| denial.retry_after_seconds)
    }

    /// The approval that it waits for.
    #[must_use]
    pub fn approval(&self) -> Option<&PendingApproval> {
        self.denial.as_ref().and_then(|denial| denial.approval.as_ref())
    }

    /// What the record says of it, where something was refused and did not only go wrong. An address that could not be
    /// read is not repeated: it may hold a secret.
    #[must_use]
    pub fn refusal(&self) -> Option<Denial> {
        use FaultKind as Kind;
        let refused = |code, rule, message: &str| Some(Denial::new(code, rule, message));
        match self.kind {
            Kind::Denied | Kind::NoRoomNow | Kind::Frozen | Kind::Killed | Kind::ApprovalNeeded => {
                self.denial.as_deref().cloned()
            }
            Kind::BadRequest => refused(
                DenialCode::BadArguments,
                "arguments",
                "the request cannot be made as it was asked for",
            ),
            Kind::BadHeader => refused(DenialCode::BadArguments, "headers", &self.message),
            Kind::BadLimit => refused(DenialCode::BadArguments, "arguments", &self.message),
            Kind::OutOfReach => refused(DenialCode::HostNotAllowed, "out-of-reach", &self.message),
            Kind::Unpayable => refused(DenialCode::PaymentsNotAllowed, "unpayable", &self.message),
            Kind::PlainHttp => refused(DenialCode::PaymentsNotAllowed, "plain-http", &self.message),
            Kind::Unanswered
            | Kind::TimedOut
            | Kind::ChainUnreachable
            | Kind::Unreadable
            | Kind::Short
            | Kind::Locked
            | Kind::NoPlace
            | Kind::NotFound
            | Kind::NotResumable
            | Kind::OutcomeUnknown
            | Kind::NotKept
            | Kind::Ledger
            | Kind::LedgerDamaged
            | Kind::Misconfigured
            | Kind::Failed => None,
        }
    }
}

impl From<Denial> for Fault {
    fn from(denial: Denial) -> Self {
        let kind = match (denial.code, &denial.approval, denial.retry_after_seconds) {
            (DenialCode::Frozen, ..) if denial.rule == Denial::KILL => FaultKind::Killed,
            (DenialCode::Frozen, ..) => FaultKind::Frozen,
            (_, Some(_), _) => FaultKind::ApprovalNeeded,
            (_, None, Some(_)) => FaultKind::NoRoomNow,
            (_, None, None) => FaultKind::Denied,
        };
        Self { denial: Some(Box::new(denial.clone())), ..Self::unpaid(kind, denial.message) }
    }
}

impl From<LedgerError> for Fault {
    fn from(error: LedgerError) -> Self {
        let kind = match &error {
            LedgerError::Frozen(frozen) => return frozen.denial().into(),
            LedgerError::NotFound { .. } => FaultKind::NotFound,
            LedgerError::Corrupt(_) => FaultKind::LedgerDamaged,
            LedgerError::Open { .. }
            | LedgerError::Newer { .. }
            | LedgerError::Database(_)
            | LedgerError::WrongState { .. }
            | LedgerError::Closed => FaultKind::Ledger,
        };
        Self::unpaid(kind, causes(&error))
    }
}

impl From<RailError> for Fault {
    fn from(error: RailError) -> Self {
        let kind = match &error {
            RailError::Unpayable(_) => FaultKind::Unpayable,
            RailError::Unavailable { .. } | RailError::Nonsense { .. } => FaultKind::ChainUnreachable,
            RailError::Locked(_) => FaultKind::Locked,
            RailError::Configuration(_) => FaultKind::Misconfigured,
            RailError::NoEntropy(_) | RailError::NotRecorded(_) => FaultKind::Failed,
        };
        Self::unpaid(kind, causes(&error))
    }
}

impl From<WalletError> for Fault {
    fn from(error: WalletError) -> Self {
        let kind = match error {
            WalletError::Denied(denial) => return (*denial).into(),
            WalletError::Ledger(error) => return error.into(),
            WalletError::Rail(error) => return error.into(),
            WalletError::NotResumable { ref id, state, .. } => {
                return Self::unpaid(FaultKind::NotResumable, causes(&error)).of(id.clone(), state);
            }
            // Nothing is signed that the offer does not ask for.
            WalletError::NoPayableOffer(_) | WalletError::NoPayer(_) | WalletError::Protocol(_) => {
                FaultKind::Unpayable
            }
            WalletError::Short(_) => FaultKind::Short,
            WalletError::BadLimit(_) => FaultKind::BadLimit,
        };
        Self::unpaid(kind, causes(&error))
    }
}

impl From<FetchError> for Fault {
    fn from(error: FetchError) -> Self {
        let message = causes(&error);
        let kind = match error {
            FetchError::Wallet(error) => return error.into(),
            FetchError::Lost { purchase, .. } | FetchError::NotRecorded { purchase, .. } => {
                return Self::unpaid(FaultKind::OutcomeUnknown, message).of(purchase, PurchaseState::Unknown);
            }
            FetchError::NotKept { purchase, outcome, .. } => {
                let state = outcome.state();
                let kind = match state {
                    PurchaseState::Unknown => FaultKind::OutcomeUnknown,
                    _ => FaultKind::NotKept,
                };
                return Self::unpaid(kind, message).of(purchase, state);
            }
            FetchError::BadUrl { .. } => FaultKind::BadRequest,
            FetchError::BadHeader { .. } => FaultKind::BadHeader,
            FetchError::Unanswered { .. } => FaultKind::Unanswered,
            FetchError::TimedOut { .. } => FaultKind::TimedOut,
            FetchError::OutOfReach(_) => FaultKind::OutOfReach,
            FetchError::BadChallenge { .. } => FaultKind::Unreadable,
            FetchError::PlainHttp(_) => FaultKind::PlainHttp,
            FetchError::NoPlace(_) => FaultKind::NoPlace,
            FetchError::Setup(_) => FaultKind::Failed,
        };
        Self::unpaid(kind, message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use farthing_http::OutOfReach;
    use farthing_ledger::{Frozen, Outcome};
    use farthing_policy::PendingApproval;
    use farthing_protocol::ProtocolError;

    fn id() -> PurchaseId {
        PurchaseId("01P".to_owned())
    }

    fn words() -> String {
        "words".to_owned()
    }

    fn not_kept(outcome: Outcome) -> FetchError {
        FetchError::NotKept { purchase: id(), outcome, why: words() }
    }

    fn not_resumable(state: PurchaseState) -> FetchError {
        WalletError::NotResumable { id: id(), state, why: words() }.into()
    }

    fn rail(error: RailError) -> FetchError {
        WalletError::from(error).into()
    }

    fn ledger(error: LedgerError) -> FetchError {
        WalletError::from(error).into()
    }

    #[test]
    fn every_error_has_its_kind_and_says_what_became_of_the_money() {
        use FaultKind as Kind;
        let url = words;
        let base = || "eip155:8453".parse().unwrap();
        let frozen = Frozen { since: farthing_ambient::Timestamp::UNIX_EPOCH, why: words(), by: words() };
        let out_of_reach = OutOfReach { host: words(), what: "private" };
        let bad = ProtocolError::NoOffers;
        for (error, kind, money) in [
            (FetchError::BadUrl { url: url(), why: words() }, Kind::BadRequest, Money::Nothing),
            (FetchError::BadHeader { name: words(), why: "no" }, Kind::BadHeader, Money::Nothing),
            (WalletError::BadLimit(words()).into(), Kind::BadLimit, Money::Nothing),
            (out_of_reach.into(), Kind::OutOfReach, Money::Nothing),
            (FetchError::Unanswered { url: url(), why: words() }, Kind::Unanswered, Money::Nothing),
            (FetchError::TimedOut { url: url(), seconds: 1 }, Kind::TimedOut, Money::Nothing),
            (FetchError::BadChallenge { url: url(), source: bad }, Kind::Unreadable, Money::Nothing),
            (FetchError::PlainHttp(words()), Kind::PlainHttp, Money::Nothing),
            (FetchError::NoPlace(words()), Kind::NoPlace, Money::Nothing),
            (FetchError::Setup(words()), Kind::Failed, Money::Nothing),
            (WalletError::NoPayableOffer(vec![]).into(), Kind::Unpayable, Money::Nothing),
            (WalletError::NoPayer(base()).into(), Kind::Unpayable, Money::Nothing),
            (WalletError::Protocol(ProtocolError::NoOffers).into(), Kind::Unpayable, Money::Nothing),
            (rail(RailError::Unpayable(words())), Kind::Unpayable, Money::Nothing),
            (rail(RailError::Locked(words())), Kind::Locked, Money::Nothing),
            (
                rail(RailError::Unavailable { network: base(), why: words() }),
                Kind::ChainUnreachable,
                Money::Nothing,
            ),
            (
                rail(RailError::Nonsense { network: base(), why: words() }),
                Kind::ChainUnreachable,
                Money::Nothing,
            ),
            (rail(RailError::NotRecorded(words())), Kind::Failed, Money::Nothing),
            (rail(RailError::Configuration(words())), Kind::Misconfigured, Money::Nothing),
            (ledger(LedgerError::Frozen(frozen)), Kind::Frozen, Money::Nothing),
            (ledger(LedgerError::Corrupt(words())), Kind::LedgerDamaged, Money::Nothing),
            (ledger(LedgerError::Database(words())), Kind::Ledger, Money::Nothing),
            (ledger(LedgerError::Closed), Kind::Ledger, Money::Nothing),
            (ledger(LedgerError::NotFound { what: "purchase", id: words() }), Kind::NotFound, Money::Nothing),
            (not_resumable(PurchaseState::NotPaid), Kind::NotResumable, Money::Nothing),
            (not_resumable(PurchaseState::Signed), Kind::NotResumable, Money::Sent),
            (not_resumable(PurchaseState::Paid), Kind::NotResumable, Money::Paid),
            (FetchError::Lost { purchase: id(), why: words() }, Kind::OutcomeUnknown, Money::Sent),
            (not_kept(Outcome::Unknown { why: words() }), Kind::OutcomeUnknown, Money::Sent),
            (not_kept(Outcome::Paid { transaction: None }), Kind::NotKept, Money::Paid),
            (not_kept(Outcome::NotPaid { why: words() }), Kind::NotKept, Money::Nothing),
            (
                FetchError::NotRecorded {
                    purchase: id(),
                    file: None,
                    source: Box::new(WalletError::Ledger(LedgerError::Closed)),
                },
                Kind::OutcomeUnknown,
                Money::Sent,
            ),
        ] {
            let shown = format!("{error:?}");
            let fault = Fault::from(error);
            assert_eq!((fault.kind, fault.money), (kind, money), "{shown}");
            assert!(
                fault.money == Money::Nothing || fault.purchase == Some(id()),
                "{shown}: which purchase?"
            );
        }
    }

    #[test]
    fn denials_say_whether_waiting_or_a_person_helps() {
        let plain = Denial::new(DenialCode::BudgetExceeded, "day", "too much");
        let waiting = Denial { retry_after_seconds: Some(60), ..plain.clone() };
        let approval = PendingApproval { id: words(), how: words(), expires_in_seconds: 9 };
        let asking = Denial { approval: Some(approval), ..waiting.clone() };
        let frozen = Denial { code: DenialCode::Frozen, ..waiting.clone() };
        for (denial, kind) in [
            (plain, FaultKind::Denied),
            (waiting, FaultKind::NoRoomNow),
            (asking, FaultKind::ApprovalNeeded),
            (Denial { rule: Denial::KILL.to_owned(), ..frozen.clone() }, FaultKind::Killed),
            (frozen, FaultKind::Frozen),
        ] {
            let fault = Fault::from(denial.clone());
            assert_eq!((fault.kind, fault.retry_after_seconds()), (kind, denial.retry_after_seconds));
            assert_eq!(fault.refusal(), Some(denial));
        }
    }

    #[test]
    fn a_refusal_repeats_no_address() {
        let url = "https://a.example/?api_key=s3cret".to_owned();
        for error in [
            FetchError::BadUrl { url: url.clone(), why: words() },
            FetchError::Unanswered { url: url.clone(), why: words() },
            FetchError::BadChallenge { url, source: ProtocolError::NoOffers },
        ] {
            let refusal = Fault::from(error).refusal().map(|denial| denial.message).unwrap_or_default();
            assert!(!refusal.contains("s3cret"), "{refusal}");
        }
    }
}
