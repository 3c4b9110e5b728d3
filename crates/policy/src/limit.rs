use std::fmt;
use std::time::Duration;

use farthing_money::Usd;
use serde::{Deserialize, Serialize};

/// One budget or rate that a payment has to fit into. The policy says which apply; the ledger, which knows what has
/// been used, asks [`Limit::admit`] inside the transaction that reserves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    /// The rule's name in the policy.
    pub rule: String,
    /// Whose use is counted: `all`, `host:api.example.com`, `payee:0x…`. Limits of one scope share their counts.
    pub scope: String,
    /// Over which time.
    pub window: Window,
    /// What is counted, and the most of it.
    pub measure: Measure,
    /// In shadow mode what has no room is reported and not refused.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub shadow: bool,
    /// Counts, and limits, only what is the first use of this scope ever: new payees.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_use_of: Option<String>,
}

/// What a limit counts, and the most of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Measure {
    /// Dollars, settled and reserved together.
    Amount(Usd),
    /// Payments.
    Count(u64),
}

/// The time over which a limit counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Window {
    /// The last so many minutes, hours or days, whenever they began: no doubling at midnight.
    Rolling(Period),
    /// The calendar's, in UTC: weeks begin on Monday.
    Calendar(Period),
    /// Everything, ever.
    Lifetime,
}

/// A length of time that people budget in. As a rolling window a month has 30 days.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Period {
    /// 60 seconds.
    Minute,
    /// 60 minutes.
    Hour,
    /// 24 hours.
    Day,
    /// 7 days.
    Week,
    /// A calendar month, or 30 days.
    Month,
}

/// What has been used of a limit, settled and reserved together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Usage {
    /// Dollars.
    pub amount: Usd,
    /// Payments.
    pub count: u64,
    /// In how long less is used: at the end of a calendar window; of a rolling one when so much has left that the use is
    /// within the limit, or when the oldest use leaves where it is already.
    pub frees_in: Option<Duration>,
}

impl Usage {
    /// After how many seconds it is worth trying again.
    pub(crate) fn retry_after_seconds(&self) -> Option<u64> {
        self.frees_in.map(|wait| wait.as_secs().saturating_add(1))
    }
}

/// A payment or a call that the policy does not allow, for people and for agents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Denial {
    /// Which kind of rule.
    pub code: DenialCode,
    /// The rule's name in the policy.
    pub rule: String,
    /// One sentence for people.
    pub message: String,
    /// The limit, where there is one: `$1.00`, `10 payments`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<String>,
    /// What has been used of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub used: Option<String>,
    /// What remains of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remaining: Option<String>,
    /// In how many seconds it may be worth trying again; none when waiting does not help.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_seconds: Option<u64>,
    /// The request for approval that waits for a person, where approval would allow it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approval: Option<PendingApproval>,
    /// Whether the message is the policy's author's own.
    #[serde(skip)]
    pub authored: bool,
}

/// A request for approval, as the one who was denied may know it: nothing in it approves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingApproval {
    /// Its id, as `farthing approvals` lists it.
    pub id: String,
    /// What a person runs to approve it.
    pub how: String,
    /// Until when it can be approved, in seconds from now.
    pub expires_in_seconds: u64,
}

/// Which kind of rule denied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DenialCode {
    /// Below the least that may be paid at once.
    BelowMinimum,
    /// Above the most that may be paid at once.
    AboveMaximum,
    /// A budget would be exceeded.
    BudgetExceeded,
    /// Too many payments in the window.
    RateExceeded,
    /// The host is denied, or not on the list.
    HostNotAllowed,
    /// The payee is denied, or not on the list.
    PayeeNotAllowed,
    /// The network is denied, or not on the list.
    NetworkNotAllowed,
    /// The asset is denied, or not on the list.
    AssetNotAllowed,
    /// The resource is denied, or not on the list.
    ResourceNotAllowed,
    /// The category is denied, or not on the list.
    CategoryNotAllowed,
    /// Not at this time of day.
    OutsideHours,
    /// The price is too far above the advertised one.
    AboveAdvertised,
    /// The policy allows no payments.
    PaymentsNotAllowed,
    /// Too many new payees in the window.
    TooManyNewPayees,
    /// The same again too often.
    Loop,
    /// The tool is hidden.
    ToolHidden,
    /// The tool is not listed, and the default is to deny.
    ToolNotAllowed,
    /// A rule with `action: deny`.
    DeniedByRule,
    /// A condition of a rule does not hold.
    ConditionFailed,
    /// The arguments cannot be counted: an amount is missing, negative or no number.
    BadArguments,
    /// A person has to approve it first, or has denied it.
    ApprovalRequired,
    /// A person has denied it.
    ApprovalDenied,
    /// The agent is not known to the policy.
    UnknownAgent,
    /// The agent's time is over.
    AgentExpired,
    /// Everything is stopped: by `kill:` in the policy, or by `farthing freeze`.
    Frozen,
}

impl Denial {
    /// The rule that a policy's `kill:` is, which stops everything as a freeze does and is ended otherwise.
    pub const KILL: &str = "kill";

    /// A denial by a rule without counts.
    #[must_use]
    pub fn new(code: DenialCode, rule: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            code,
            rule: rule.into(),
            message: message.into(),
            limit: None,
            used: None,
            remaining: None,
            retry_after_seconds: None,
            approval: None,
            authored: false,
        }
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Denial {}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rolling(Period::Minute) => f.write_str("60 seconds"),
            Self::Rolling(Period::Hour) => f.write_str("60 minutes"),
            Self::Rolling(Period::Day) => f.write_str("24 hours"),
            Self::Rolling(Period::Week) => f.write_str("7 days"),
            Self::Rolling(Period::Month) => f.write_str("30 days"),
            Self::Calendar(period) => write!(f, "this {}", period.as_str()),
            Self::Lifetime => f.write_str("lifetime"),
        }
    }
}

impl Period {
    /// The period's name in a policy.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
        }
    }
}

impl Limit {
    /// A limit that refuses, and counts every use.
    #[must_use]
    pub fn new(rule: impl Into<String>, scope: impl Into<String>, window: Window, measure: Measure) -> Self {
        let (rule, scope) = (rule.into(), scope.into());
        Self { rule, scope, window, measure, shadow: false, first_use_of: None }
    }

    /// Whether a payment of `value` fits, given what has been used; if so, what remains after it.
    ///
    /// # Errors
    /// The [`Denial`], with limit, use and remainder.
    pub fn admit(&self, used: Usage, value: Usd) -> Result<Usage, Denial> {
        let count = used.count.saturating_add(1);
        let amount = used.amount.checked_add(value).ok();
        let fits = match self.measure {
            Measure::Amount(most) => amount.is_some_and(|amount| amount <= most),
            Measure::Count(most) => count <= most,
        };
        match amount {
            Some(amount) if fits => Ok(Usage { amount, count, frees_in: used.frees_in }),
            _ => Err(self.denial(used, value)),
        }
    }

    /// The limit for what is used beside a payment of `value`: while the use is above it, there is no room for the
    /// payment. None where there is no room even when nothing is used.
    #[must_use]
    pub fn beside(&self, value: Usd) -> Option<Self> {
        let measure = match self.measure {
            Measure::Amount(most) => Measure::Amount(most.checked_sub(value).ok()?),
            Measure::Count(most) => Measure::Count(most.checked_sub(1)?),
        };
        Some(Self { measure, ..self.clone() })
    }

    /// What remains of it, in words: `$0.75 of $1.00`.
    #[must_use]
    pub fn remaining(&self, used: Usage) -> String {
        match self.measure {
            Measure::Amount(most) => format!("{} of {most}", most.saturating_sub(used.amount)),
            Measure::Count(most) => format!("{} of {most} payments", most.saturating_sub(used.count)),
        }
    }

    /// What it means that there were too many: scopes say what was counted.
    fn count_code(&self) -> DenialCode {
        let mut counted = self.scope.as_str();
        while let Some((of, rest)) = counted.split_once('/')
            && (of.starts_with("agent:") || of.starts_with("session:"))
        {
            counted = rest;
        }
        if self.first_use_of.is_some() {
            DenialCode::TooManyNewPayees
        } else if counted.starts_with("same:") {
            DenialCode::Loop
        } else {
            DenialCode::RateExceeded
        }
    }

    fn denial(&self, used: Usage, value: Usd) -> Denial {
        let (code, limit, spent, remaining) = match self.measure {
            Measure::Amount(most) => (
                DenialCode::BudgetExceeded,
                most.to_string(),
                used.amount.to_string(),
                most.saturating_sub(used.amount).to_string(),
            ),
            Measure::Count(most) => (
                self.count_code(),
                format!("{most} payments"),
                format!("{} payments", used.count),
                format!("{} payments", most.saturating_sub(used.count)),
            ),
        };
        let message = format!(
            "{value} does not fit into `{}`: {limit} per {}, {spent} used, {remaining} left",
            self.rule,
            match self.window {
                Window::Rolling(_) => self.window.to_string(),
                Window::Calendar(period) => format!("calendar {}", period.as_str()),
                Window::Lifetime => "lifetime".to_owned(),
            },
        );
        Denial {
            limit: Some(limit),
            used: Some(spent),
            remaining: Some(remaining),
            retry_after_seconds: used.retry_after_seconds(),
            ..Denial::new(code, &self.rule, message)
        }
    }
}
