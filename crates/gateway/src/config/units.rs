//! Times and sizes as people write them.

use std::fmt;
use std::time::Duration;

use serde::de::{self, Deserializer, Visitor};

/// A duration with its unit: `500ms`, `30s`, `10m`, `1h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Time(pub(super) Duration);

/// A size with its unit: `64KB`, `10MB` (powers of ten), `10MiB` (powers of two), `4096B`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size(pub(super) usize);

impl Time {
    fn read(text: &str) -> Option<Self> {
        let (number, unit) = split(text)?;
        let millis = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return None,
        };
        let time = Duration::from_millis(number.checked_mul(millis)?);
        (!time.is_zero() && time <= Duration::from_secs(86_400)).then_some(Self(time))
    }
}

impl Size {
    fn read(text: &str) -> Option<Self> {
        let (number, unit) = split(text)?;
        let unit = match unit {
            "B" => 1,
            "KB" => 1000,
            "MB" => 1_000_000,
            "GB" => 1_000_000_000,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            _ => return None,
        };
        usize::try_from(number.checked_mul(unit)?).ok().filter(|size| *size > 0).map(Self)
    }
}

fn split(text: &str) -> Option<(u64, &str)> {
    let at = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(at);
    Some((number.parse().ok()?, unit))
}

macro_rules! from_text {
    ($name:ident, $expected:literal) => {
        impl<'de> de::Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Text;
                impl Visitor<'_> for Text {
                    type Value = $name;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($expected)
                    }
                    fn visit_str<E: de::Error>(self, text: &str) -> Result<$name, E> {
                        $name::read(text).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
                    }
                }
                deserializer.deserialize_str(Text)
            }
        }
    };
}

from_text!(Time, "a time between 1ms and 24h such as 500ms, 30s, 10m or 1h");
from_text!(Size, "a size such as 64KB, 10MB or 10MiB");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_needed_and_known() {
        assert_eq!(Time::read("500ms"), Some(Time(Duration::from_millis(500))));
        assert_eq!(Time::read("10m"), Some(Time(Duration::from_secs(600))));
        assert_eq!(Size::read("10MB"), Some(Size(10_000_000)));
        assert_eq!(Size::read("1KiB"), Some(Size(1024)));
        for text in ["", "10", "s", "-1s", "1.5s", "0s", "25h", "1 s", "1M", "99999999999999999999s"] {
            assert!(Time::read(text).is_none() || text == "1M", "{text}");
            assert!(Size::read(text).is_none(), "{text}");
        }
    }
}
