//! The arguments of `farthing history` and `farthing spending`.

use std::str::FromStr;
use std::time::Duration;

use clap::{Args, ValueEnum};
use farthing_ambient::Timestamp;
use farthing_money::Network;
use jiff::civil::Date;
use jiff::tz::{Offset, TimeZone};

/// Which purchases.
#[derive(Debug, Args)]
pub(crate) struct WhichArgs {
    /// From when on: 2d (also m, h, w), 2026-11-01, or 2026-11-01T12:00:00Z. Dates begin at midnight UTC.
    #[arg(long, value_name = "WHEN")]
    pub(crate) since: Option<When>,
    /// Until when, in the same forms; that moment itself is not in it.
    #[arg(long, value_name = "WHEN")]
    pub(crate) until: Option<When>,
    /// Only calls of this host; `send.invalid` is what was sent out.
    #[arg(long)]
    pub(crate) host: Option<String>,
    /// Only purchases of this agent.
    #[arg(long)]
    pub(crate) agent: Option<String>,
    /// Only what was paid on this network.
    #[arg(long)]
    pub(crate) network: Option<Network>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  farthing history --since 2d --host api.example.com
  farthing history --since 2026-11-01 --until 2026-12-01 --csv > november.csv
  farthing history --before 7QK2M9XZ     the page after the one that ended with it")]
pub(crate) struct HistoryArgs {
    #[command(flatten)]
    pub(crate) which: WhichArgs,
    /// At most so many; 20 where nothing is said, with --csv all.
    #[arg(short = 'n', long)]
    pub(crate) limit: Option<u32>,
    /// Only purchases whose outcome is not known.
    #[arg(long)]
    pub(crate) unresolved: bool,
    /// Only purchases older than this one: the next page.
    #[arg(long, value_name = "PURCHASE")]
    pub(crate) before: Option<String>,
    /// Print comma-separated values, with a line of names first.
    #[arg(long, conflicts_with = "json")]
    pub(crate) csv: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  farthing spending                       by day, the last 30 days
  farthing spending --by host --since 7d
  farthing spending --by agent --csv
  farthing spending --offset +02:00       days as they are there")]
pub(crate) struct SpendingArgs {
    /// What to add up by.
    #[arg(long, value_enum, default_value_t = By::Day)]
    pub(crate) by: By,
    #[command(flatten)]
    pub(crate) which: WhichArgs,
    /// How far the day's clock is from UTC, such as +02:00.
    #[arg(long, value_name = "HH:MM", default_value = "+00:00", allow_hyphen_values = true)]
    pub(crate) offset: Zone,
    /// Print comma-separated values, with a line of names first.
    #[arg(long, conflicts_with = "json")]
    pub(crate) csv: bool,
}

/// What spending is added up by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum By {
    /// The day of the payment.
    Day,
    /// The host that was paid.
    Host,
    /// The agent that paid.
    Agent,
    /// The network that was paid on.
    Network,
}

/// A moment, as people name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    /// So long ago.
    Ago(Duration),
    /// Then.
    At(Timestamp),
}

impl When {
    /// The moment, seen from `now`.
    pub(crate) fn seen_from(self, now: Timestamp) -> Timestamp {
        match self {
            Self::Ago(ago) => now.checked_sub(ago).unwrap_or(Timestamp::MIN),
            Self::At(at) => at,
        }
    }
}

impl FromStr for When {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(ago) = ago(text) {
            return Ok(Self::Ago(ago));
        }
        let day = text.parse::<Date>().ok().filter(|_| text.len() == 10);
        let at = match day {
            Some(day) => day.to_zoned(TimeZone::UTC).map(|midnight| midnight.timestamp()).ok(),
            None => text.parse().ok(),
        };
        at.map(Self::At)
            .ok_or_else(|| "write 2d, 12h, 30m or 4w, or 2026-11-01, or 2026-11-01T12:00:00Z".to_owned())
    }
}

fn ago(text: &str) -> Option<Duration> {
    let unit = text.chars().next_back()?;
    let seconds = match unit {
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        'w' => 7 * 86_400,
        _ => return None,
    };
    let count: u32 = text.strip_suffix(unit)?.parse().ok()?;
    Some(Duration::from_secs(u64::from(count) * seconds))
}

/// A clock's distance from UTC.
#[derive(Debug, Clone)]
pub(crate) struct Zone(pub(crate) TimeZone);

impl FromStr for Zone {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "write +02:00 or -05:30".to_owned();
        let (sign, rest) = match text.split_at_checked(1) {
            Some(("+", rest)) => (1, rest),
            Some(("-", rest)) => (-1, rest),
            _ => return Err(wrong()),
        };
        let two = |digits: &str| {
            let plain = digits.len() == 2 && digits.bytes().all(|b| b.is_ascii_digit());
            plain.then(|| digits.parse::<i32>().ok()).flatten()
        };
        let (hours, minutes) = rest.split_once(':').ok_or_else(wrong)?;
        let (hours, minutes) = two(hours).zip(two(minutes)).filter(|(_, m)| *m < 60).ok_or_else(wrong)?;
        let offset = Offset::from_seconds(sign * (hours * 60 + minutes) * 60).map_err(|_| wrong())?;
        Ok(Self(TimeZone::fixed(offset)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_as_people_write_them() {
        let now: Timestamp = "2026-11-26T12:00:00Z".parse().unwrap();
        for (text, at) in [
            ("2d", "2026-11-24T12:00:00Z"),
            ("90m", "2026-11-26T10:30:00Z"),
            ("1w", "2026-11-19T12:00:00Z"),
            ("0h", "2026-11-26T12:00:00Z"),
            ("2026-11-01", "2026-11-01T00:00:00Z"),
            ("2026-11-01T12:30:00Z", "2026-11-01T12:30:00Z"),
            ("2026-11-01T12:30:00+02:00", "2026-11-01T10:30:00Z"),
        ] {
            assert_eq!(text.parse::<When>().unwrap().seen_from(now).to_string(), at, "{text}");
        }
        for text in ["", "d", "-2d", "2x", "2026-13-01", "yesterday", "99999999999d", "€"] {
            assert!(text.parse::<When>().is_err(), "{text}");
        }
    }

    #[test]
    fn offsets_are_exact() {
        let seconds = |text: &str| text.parse::<Zone>().unwrap().0.to_offset(Timestamp::UNIX_EPOCH).seconds();
        assert_eq!([seconds("+02:00"), seconds("-05:30"), seconds("+00:00")], [7_200, -19_800, 0]);
        for text in ["", "2", "+2:00", "+02", "+99:00", "+02:60", "02:00", "+-2:00", "+€:00"] {
            assert!(text.parse::<Zone>().is_err(), "{text}");
        }
    }
}
