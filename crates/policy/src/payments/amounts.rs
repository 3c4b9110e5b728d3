//! Rules about a payment's amount.
use std::fmt;
use std::time::Duration;

use alloy_primitives::U256;
use farthing_money::{Decimal, Usd};

use super::{Approval, Placed};
use crate::PolicyError;
use crate::error::printable;
use crate::read::{dollars, text};
use crate::yaml::{Node, Value};

/// How often the advertised price a payment may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Factor(Decimal);

/// Ten to the power of the decimals that a factor may have.
const FACTOR_UNITS: u128 = 1_000_000_000_000_000_000;

/// How long an approval is good for, where the policy does not say.
const APPROVAL_VALID: Duration = Duration::from_secs(30 * 60);

/// The longest that an approval may be good for, in seconds: a year.
const MAX_VALID: u64 = 366 * 86_400;

impl Factor {
    pub(super) fn read(node: Node) -> Result<Self, PolicyError> {
        let at = node.at;
        if let Value::Plain(number) = &node.value {
            return Err(at.error(format!("write the factor in quotes: \"{}\"", printable(number))));
        }
        let factor: Decimal = text(node)?.parse().map_err(|error| at.error(format!("{error}")))?;
        match factor.scaled(Decimal::MAX_SCALE) {
            Ok(Some(units)) if units >= FACTOR_UNITS => Ok(Self(factor)),
            Ok(_) => Err(at.error("a factor below 1 would deny the advertised price itself")),
            Err(error) => Err(at.error(format!("{error}"))),
        }
    }

    /// Whether a value is at most so many times the advertised one. Exact: nothing is rounded.
    pub(super) fn allows(self, value: Usd, advertised: Usd) -> bool {
        let units = self.0.scaled(Decimal::MAX_SCALE).ok().flatten().unwrap_or(FACTOR_UNITS);
        // 128 bits times 128 bits always fits into 256.
        let product = |a: u128, b: u128| U256::from(a).saturating_mul(U256::from(b));
        product(value.get(), FACTOR_UNITS) <= product(advertised.get(), units)
    }
}

impl fmt::Display for Factor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The most per payment; `none` must be written to have none.
pub(super) fn maximum(node: Node) -> Result<Option<Placed<Usd>>, PolicyError> {
    let at = node.at;
    if matches!(&node.value, Value::Plain(text) if text == "none") {
        return Ok(None);
    }
    match dollars(node)? {
        Usd::ZERO => Err(at.error("a maximum of $0 would never allow a payment")),
        value => Ok(Some(Placed { at, value })),
    }
}

pub(super) fn minimum(node: Node, max: Option<Usd>) -> Result<Placed<Usd>, PolicyError> {
    let at = node.at;
    let value = dollars(node)?;
    match max {
        Some(max) if value > max => Err(at.error(format!(
            "the minimum {value} is above the maximum {max}: no payment would ever be allowed"
        ))),
        _ => Ok(Placed { at, value }),
    }
}

pub(super) fn approval(above: Option<Node>, valid: Option<Node>) -> Result<Option<Approval>, PolicyError> {
    match (above, valid) {
        (Some(above), valid) => Ok(Some(Approval {
            at: above.at,
            above: dollars(above)?,
            valid: valid.map_or(Ok(APPROVAL_VALID), duration)?,
        })),
        (None, Some(valid)) => {
            Err(valid.at.error("there is no `approve_above` beside it, so nothing asks for an approval"))
        }
        (None, None) => Ok(None),
    }
}

/// A length of time such as `30 minutes`.
fn duration(node: Node) -> Result<Duration, PolicyError> {
    let at = node.at;
    let wanted = text(node)?;
    let seconds = wanted.split_once(' ').and_then(|(count, unit)| {
        let unit = match unit {
            "second" | "seconds" => 1,
            "minute" | "minutes" => 60,
            "hour" | "hours" => 3_600,
            "day" | "days" => 86_400,
            _ => return None,
        };
        let plain = !count.is_empty() && count.bytes().all(|b| b.is_ascii_digit());
        plain.then(|| count.parse::<u64>().ok()?.checked_mul(unit)).flatten()
    });
    match seconds {
        Some(seconds) if (1..=MAX_VALID).contains(&seconds) => Ok(Duration::from_secs(seconds)),
        Some(0) => Err(at.error("an approval that is good for no time could never be used")),
        Some(_) => Err(at.error("an approval may be good for at most 366 days")),
        None => Err(at.error(format!(
            "`{}` is not a length of time: write a number and seconds, minutes, hours or days, such as \
             \"30 minutes\"",
            printable(&wanted)
        ))),
    }
}
