use std::cmp::Ordering;
use std::fmt;

/// A JSON number, as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Number(Box<str>);

/// A number held exactly: (-)`digits` x 10^`exponent`, without trailing zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Exact {
    negative: bool,
    digits: u128,
    exponent: i32,
}

impl Number {
    /// Reads a number of JSON's grammar (RFC 8259, section 6).
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix('-').unwrap_or(text);
        let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, Some(exponent)),
            None => (rest, None),
        };
        let (whole, fraction) = match mantissa.split_once('.') {
            Some((whole, fraction)) => (whole, Some(fraction)),
            None => (mantissa, None),
        };
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let good = digits(whole)
            && (whole == "0" || !whole.starts_with('0'))
            && fraction.is_none_or(digits)
            && exponent.is_none_or(|e| digits(e.strip_prefix(['+', '-']).unwrap_or(e)));
        good.then(|| Self(text.into()))
    }

    /// The number as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The number's exact value; none beyond 38 digits, or an exponent beyond a thousand: no sane amount is there.
    #[must_use]
    pub fn exact(&self) -> Option<Exact> {
        Exact::parse(&self.0)
    }

    /// One spelling for each value, where it can be held exactly.
    pub(super) fn canonical(&self) -> Self {
        self.exact().map_or_else(|| self.clone(), |exact| Self(exact.to_string().into()))
    }
}

impl From<i64> for Number {
    fn from(number: i64) -> Self {
        Self(number.to_string().into())
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Exact {
    /// The largest exponent, either way.
    const MAX_EXPONENT: i32 = 1_000;

    /// Zero.
    pub const ZERO: Self = Self { negative: false, digits: 0, exponent: 0 };

    /// The exact value of a decimal number, with or without an exponent; none for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (negative, rest) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let mut exponent = 0i32;
        let (mut digits, mut seen, mut in_fraction) = (0u128, false, false);
        for (at, byte) in rest.bytes().enumerate() {
            match byte {
                b'0'..=b'9' => {
                    digits = digits.checked_mul(10)?.checked_add(u128::from(byte - b'0'))?;
                    exponent -= i32::from(in_fraction);
                    seen = true;
                }
                b'.' if seen && !in_fraction => in_fraction = true,
                b'e' | b'E' if seen => {
                    let power: i32 = rest.get(at + 1..)?.parse().ok()?;
                    exponent = exponent.checked_add(power)?;
                    return Self::new(negative, digits, exponent);
                }
                _ => return None,
            }
        }
        if seen { Self::new(negative, digits, exponent) } else { None }
    }

    /// `units` x 10^`exponent`.
    pub(crate) fn of_units(units: u128, exponent: i32) -> Self {
        Self::new(false, units, exponent).unwrap_or(Self::ZERO)
    }

    fn new(negative: bool, mut digits: u128, mut exponent: i32) -> Option<Self> {
        if digits == 0 {
            return Some(Self::ZERO);
        }
        while digits.is_multiple_of(10) {
            digits /= 10;
            exponent = exponent.checked_add(1)?;
        }
        (exponent.abs() <= Self::MAX_EXPONENT).then_some(Self { negative, digits, exponent })
    }

    /// Whether it is below zero.
    #[must_use]
    pub const fn is_negative(self) -> bool {
        self.negative
    }

    /// This number times 10^`decimals` as an integer; none when it is none, is negative, or is too large.
    #[must_use]
    pub fn scaled(self, decimals: i32) -> Option<u128> {
        if self.digits == 0 {
            return Some(0);
        }
        let shift = u32::try_from(self.exponent.checked_add(decimals)?).ok()?;
        if self.negative {
            return None;
        }
        self.digits.checked_mul(10u128.checked_pow(shift)?)
    }

    /// The power of ten of the leading digit.
    fn magnitude(self) -> i32 {
        i32::try_from(self.digits.ilog10()).unwrap_or(i32::MAX).saturating_add(self.exponent)
    }

    /// The digits of both at one exponent, where they can be held there.
    fn aligned(self, other: Self) -> Option<(u128, u128)> {
        let shift = |by: u32, digits: u128| digits.checked_mul(10u128.checked_pow(by)?);
        let apart = self.exponent.abs_diff(other.exponent);
        match self.exponent.cmp(&other.exponent) {
            Ordering::Equal => Some((self.digits, other.digits)),
            Ordering::Greater => Some((shift(apart, self.digits)?, other.digits)),
            Ordering::Less => Some((self.digits, shift(apart, other.digits)?)),
        }
    }

    fn cmp_abs(self, other: Self) -> Ordering {
        match (self.digits == 0, other.digits == 0) {
            (true, true) => return Ordering::Equal,
            (true, false) => return Ordering::Less,
            (false, true) => return Ordering::Greater,
            _ => {}
        }
        self.magnitude().cmp(&other.magnitude()).then_with(|| {
            // Of one magnitude, so both have at most 39 digits from the leading one on: compare them digit by digit.
            let (a, b) = (self.digits.to_string(), other.digits.to_string());
            let width = a.len().max(b.len());
            format!("{a:0<width$}").cmp(&format!("{b:0<width$}"))
        })
    }
}

impl Ord for Exact {
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        if self.negative == other.negative
            && let Some((a, b)) = self.aligned(*other)
        {
            return if self.negative { b.cmp(&a) } else { a.cmp(&b) };
        }
        match (self.negative, other.negative) {
            (false, true) => Ordering::Greater,
            (true, false) => Ordering::Less,
            (false, false) => self.cmp_abs(*other),
            (true, true) => other.cmp_abs(*self),
        }
    }
}

impl PartialOrd for Exact {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Exact {
    /// Plainly where that has at most 38 digits, else with an exponent.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.negative { "-" } else { "" };
        let digits = self.digits.to_string();
        // As many digits as are read again.
        let room = 38usize.saturating_sub(digits.len());
        match (self.exponent, usize::try_from(self.exponent.unsigned_abs()).unwrap_or(usize::MAX)) {
            (0.., zeros) if zeros <= room => write!(f, "{sign}{digits}{}", "0".repeat(zeros)),
            (..0, places) if places <= room => {
                let padded = format!("{digits:0>width$}", width = places + 1);
                let (whole, fraction) = padded.split_at(padded.len() - places);
                write!(f, "{sign}{whole}.{fraction}")
            }
            (exponent, _) => write!(f, "{sign}{digits}e{exponent}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn exact(text: &str) -> Exact {
        Number::parse(text).unwrap().exact().unwrap()
    }

    #[test]
    fn the_grammar_is_jsons() {
        for good in ["0", "-0", "10", "1.0", "1e5", "1E+5", "-1.5e-3"] {
            assert!(Number::parse(good).is_some(), "{good}");
        }
        for bad in ["", "-", "01", "1.", ".5", "+1", "1e", "1e+", "0x1", "NaN", "1.2.3", "--1", "1e5.0"] {
            assert!(Number::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn values_are_exact() {
        for (a, b, order) in [
            ("0.1", "0.10", Ordering::Equal),
            ("1e2", "100", Ordering::Equal),
            ("-0", "0", Ordering::Equal),
            ("0.99", "1", Ordering::Less),
            ("9007199254740993", "9007199254740992", Ordering::Greater),
            ("1e19", "18446744073709551615", Ordering::Less),
            ("1e300", "2", Ordering::Greater),
            ("-1e300", "2", Ordering::Less),
            ("-2", "-1", Ordering::Less),
            ("1e-300", "0", Ordering::Greater),
        ] {
            assert_eq!(exact(a).cmp(&exact(b)), order, "{a} {b}");
        }
        assert_eq!(exact("0.99").scaled(18), Some(990_000_000_000_000_000));
        assert_eq!(exact("1e19").scaled(18), Some(10u128.pow(37)));
        assert_eq!(
            (exact("-1").scaled(18), exact("1e-19").scaled(18), exact("1e30").scaled(18)),
            (None, None, None)
        );
        assert!(Number::parse("1e1000000").unwrap().exact().is_none());
        assert!(Number::parse("1e99999999999").unwrap().exact().is_none());
    }

    proptest! {
        #[test]
        fn order_is_that_of_integers(a in any::<i64>(), b in any::<i64>()) {
            prop_assert_eq!(exact(&a.to_string()).cmp(&exact(&b.to_string())), a.cmp(&b));
        }

        #[test]
        fn printed_values_read_as_themselves(digits in any::<u64>(), exponent in -40i32..40) {
            let value = exact(&format!("{digits}e{exponent}"));
            prop_assert_eq!(Exact::parse(&value.to_string()), Some(value));
        }
    }
}
