use std::fmt;
use std::str::FromStr;

use crate::MoneyError;
use crate::error::printable;

/// A non-negative decimal number held exactly: `mantissa` x 10^-`scale`.
///
/// It is the form of prices and caps as people write them. No exponent, no sign, no separators are accepted,
/// because each of them has been read differently by two programs before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Decimal {
    mantissa: u128,
    scale: u8,
}

impl Decimal {
    /// The most digits after the point.
    pub const MAX_SCALE: u8 = 18;

    /// `mantissa` x 10^-`scale`, with trailing zeros taken away.
    ///
    /// # Errors
    /// [`MoneyError::BadAmount`] when `scale` is above [`Self::MAX_SCALE`] even after that.
    pub fn new(mut mantissa: u128, mut scale: u8) -> Result<Self, MoneyError> {
        while scale > 0 && mantissa.is_multiple_of(10) {
            mantissa /= 10;
            scale -= 1;
        }
        if scale > Self::MAX_SCALE {
            return Err(MoneyError::BadAmount {
                text: format!("{mantissa}e-{scale}"),
                why: "more than 18 decimals",
            });
        }
        Ok(Self { mantissa, scale })
    }

    /// This number times 10^`decimals` as an integer; `None` when that is not one.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`] when the integer does not fit 128 bits.
    pub fn scaled(self, decimals: u8) -> Result<Option<u128>, MoneyError> {
        let Some(shift) = decimals.checked_sub(self.scale) else { return Ok(None) };
        10u128
            .checked_pow(u32::from(shift))
            .and_then(|factor| self.mantissa.checked_mul(factor))
            .map(Some)
            .ok_or(MoneyError::Overflow { what: "a decimal in base units" })
    }
}

impl FromStr for Decimal {
    type Err = MoneyError;

    fn from_str(text: &str) -> Result<Self, MoneyError> {
        let bad = |why| MoneyError::BadAmount { text: printable(text), why };
        let (whole, fraction) = match text.split_once('.') {
            Some((_, "")) => return Err(bad("digits are missing after the point")),
            Some((whole, fraction)) => (whole, fraction.trim_end_matches('0')),
            None => (text, ""),
        };
        if whole.is_empty() {
            return Err(bad("digits are missing"));
        }
        if !whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit()) {
            return Err(bad("only digits and one point are allowed"));
        }
        let scale = u8::try_from(fraction.len()).ok().filter(|s| *s <= Self::MAX_SCALE);
        let scale = scale.ok_or_else(|| bad("more than 18 decimals"))?;
        let mantissa = whole
            .bytes()
            .chain(fraction.bytes())
            .try_fold(0u128, |sum, digit| sum.checked_mul(10)?.checked_add(u128::from(digit - b'0')));
        Self::new(mantissa.ok_or(MoneyError::Overflow { what: "a decimal number" })?, scale)
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = format!("{:0>width$}", self.mantissa, width = usize::from(self.scale) + 1);
        let (whole, fraction) = digits.split_at(digits.len() - usize::from(self.scale));
        if fraction.is_empty() { f.write_str(whole) } else { write!(f, "{whole}.{fraction}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_plain_decimals() {
        for (text, mantissa, scale) in
            [("0", 0, 0), ("1", 1, 0), ("0.0025", 25, 4), ("1.50", 15, 1), ("007", 7, 0), ("10.0", 10, 0)]
        {
            assert_eq!(text.parse::<Decimal>().unwrap(), Decimal { mantissa, scale }, "{text}");
        }
    }

    #[test]
    fn refuses_everything_else() {
        for text in
            ["", ".", ".5", "5.", "-1", "+1", "1e3", "1_000", "1,5", " 1", "1 ", "0x10", "1.2.3", "NaN", "∞"]
        {
            assert!(text.parse::<Decimal>().is_err(), "{text:?}");
        }
        assert!("0.0000000000000000001".parse::<Decimal>().is_err(), "nineteen decimals");
        assert!("340282366920938463463374607431768211456".parse::<Decimal>().is_err(), "2^128");
    }

    #[test]
    fn scales_only_exactly() {
        let d: Decimal = "0.0025".parse().unwrap();
        assert_eq!(d.scaled(6).unwrap(), Some(2500));
        assert_eq!(d.scaled(3).unwrap(), None);
        assert!("340282366920938463464".parse::<Decimal>().unwrap().scaled(18).is_err());
    }

    proptest! {
        #[test]
        fn text_round_trips(mantissa in any::<u128>(), scale in 0u8..=18) {
            let d = Decimal::new(mantissa, scale).unwrap();
            prop_assert_eq!(d.to_string().parse::<Decimal>().unwrap(), d);
        }

        #[test]
        fn never_panics(text in "\\PC{0,60}") {
            let _ = text.parse::<Decimal>();
        }
    }
}
