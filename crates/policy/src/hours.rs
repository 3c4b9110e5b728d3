//! `hours:`: at which times of the week payments are allowed.
use std::fmt;

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{AmbiguousOffset, TimeZone, TimeZoneDatabase};
use jiff::{Timestamp, ToSpan};

use crate::error::printable;
use crate::read::{Fields, items, text};
use crate::yaml::Node;
use crate::{PolicyError, PolicyWarning};

/// The days by their names in a policy, from Monday on.
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// The most entries: each is looked at for every payment.
const MAX_HOURS: usize = 100;

/// How many days ahead the next opening is looked for: every entry comes again in a week, or, where a clock that is
/// set forward swallows it once, in two.
const AHEAD: i64 = 15;

/// Hours of some days, read off the clock of a zone. Where the clock shows a time twice, the first one is meant; where
/// it is set forward over a time, the moment at which that happens.
#[derive(Debug, Clone)]
pub(crate) struct Hours {
    /// On which days they begin, from Monday on.
    days: [bool; 7],
    from: Time,
    /// None for midnight at the end of the day.
    to: Option<Time>,
    zone: TimeZone,
    zone_name: String,
}

impl Hours {
    /// Reads the list of hours.
    pub(crate) fn read(node: Node, warnings: &mut Vec<PolicyWarning>) -> Result<Vec<Self>, PolicyError> {
        let at = node.at;
        let mut hours = Vec::new();
        for item in items(node)? {
            let at = item.at;
            if hours.len() == MAX_HOURS {
                return Err(at.error(format!("there are more than {MAX_HOURS} hours")));
            }
            let entry = Self::entry(item)?;
            if entry.is_empty() {
                warnings.push(at.warning("these hours are empty: they end when they begin"));
            }
            hours.push(entry);
        }
        if hours.iter().all(Self::is_empty) {
            return Err(at.error("all these hours are empty: no payment would ever be allowed"));
        }
        Ok(hours)
    }

    fn entry(node: Node) -> Result<Self, PolicyError> {
        let mut fields = Fields::of(node, &["days", "from", "to", "zone"])?;
        let days = fields.take("days").map_or(Ok([true; 7]), days)?;
        let from = fields.take("from").map_or(Ok(Time::midnight()), beginning)?;
        let to = fields.take("to").map_or(Ok(None), time)?;
        let (zone, zone_name) = match fields.take("zone") {
            Some(node) => zone(node)?,
            None => (TimeZone::UTC, "UTC".to_owned()),
        };
        Ok(Self { days, from, to, zone, zone_name })
    }

    fn is_empty(&self) -> bool {
        self.to == Some(self.from)
    }

    /// Whether `now` lies in them.
    pub(crate) fn cover(&self, now: Timestamp) -> bool {
        self.spans(now).any(|(from, to)| from <= now && now < to)
    }

    /// When they begin next, after `now`.
    pub(crate) fn next_opening(&self, now: Timestamp) -> Option<Timestamp> {
        self.spans(now).filter(|(from, to)| from < to).map(|(from, _)| from).filter(|from| *from > now).min()
    }

    /// The spans that begin from the day before `now` on.
    fn spans(&self, now: Timestamp) -> impl Iterator<Item = (Timestamp, Timestamp)> {
        let today = now.to_zoned(self.zone.clone()).date();
        (-1..=AHEAD).filter_map(move |day| self.span(today.checked_add(day.days()).ok()?))
    }

    fn span(&self, day: Date) -> Option<(Timestamp, Timestamp)> {
        let index = usize::try_from(day.weekday().to_monday_zero_offset()).ok()?;
        if !*self.days.get(index)? {
            return None;
        }
        let to = match self.to {
            Some(to) if to >= self.from => day.to_datetime(to),
            Some(to) => day.tomorrow().ok()?.to_datetime(to),
            None => day.tomorrow().ok()?.to_datetime(Time::midnight()),
        };
        Some((self.instant(day.to_datetime(self.from))?, self.instant(to)?))
    }

    /// When the zone's clock first shows this time, or passes over it.
    fn instant(&self, shown: DateTime) -> Option<Timestamp> {
        let ambiguous = self.zone.to_ambiguous_timestamp(shown);
        let offset = ambiguous.offset();
        let earlier = ambiguous.earlier().ok()?;
        match offset {
            AmbiguousOffset::Gap { .. } => self.zone.following(earlier).next().map(|step| step.timestamp()),
            _ => Some(earlier),
        }
    }
}

impl fmt::Display for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.days == [true; 7] {
            f.write_str("every day")?;
        } else {
            let named: Vec<_> =
                DAYS.iter().zip(self.days).filter(|(_, on)| *on).map(|(name, _)| *name).collect();
            f.write_str(&named.join(", "))?;
        }
        let to = self.to.map_or("24:00".to_owned(), clock);
        write!(f, " from {} to {to}", clock(self.from))?;
        if self.to.is_some_and(|to| to < self.from) {
            f.write_str(" of the next day")?;
        }
        write!(f, " ({})", self.zone_name)
    }
}

fn clock(time: Time) -> String {
    format!("{:02}:{:02}", time.hour(), time.minute())
}

fn days(node: Node) -> Result<[bool; 7], PolicyError> {
    let mut days = [false; 7];
    for item in items(node)? {
        let at = item.at;
        let wanted = text(item)?;
        let (first, last) = wanted.split_once('-').unwrap_or((&wanted, &wanted));
        let index = |name: &str| DAYS.iter().position(|day| *day == name);
        let (Some(first), Some(last)) = (index(first), index(last)) else {
            return Err(at.error(format!(
                "`{}` is not a day: write mon, tue, wed, thu, fri, sat, sun, or a range such as mon-fri",
                printable(&wanted)
            )));
        };
        // Round the end of the week, so that fri-mon is four days.
        let length = (last + 7 - first) % 7;
        for (index, day) in days.iter_mut().enumerate() {
            *day |= (index + 7 - first) % 7 <= length;
        }
    }
    Ok(days)
}

/// A time of day; none for 24:00.
fn time(node: Node) -> Result<Option<Time>, PolicyError> {
    let at = node.at;
    let wanted = text(node)?;
    if wanted == "24:00" {
        return Ok(None);
    }
    let digits = |part: &str| (part.len() == 2).then(|| part.parse::<i8>().ok()).flatten();
    let parsed = wanted
        .split_once(':')
        .and_then(|(hour, minute)| Time::new(digits(hour)?, digits(minute)?, 0, 0).ok());
    parsed.map(Some).ok_or_else(|| {
        at.error(format!(
            "`{}` is not a time of day: write hours and minutes, such as \"08:00\"",
            printable(&wanted)
        ))
    })
}

fn beginning(node: Node) -> Result<Time, PolicyError> {
    let at = node.at;
    time(node)?.ok_or_else(|| at.error("a day begins at 00:00"))
}

fn zone(node: Node) -> Result<(TimeZone, String), PolicyError> {
    let at = node.at;
    let name = text(node)?;
    match TimeZoneDatabase::bundled().get(&name) {
        Ok(zone) => {
            let name = zone.iana_name().unwrap_or(&name).to_owned();
            Ok((zone, name))
        }
        Err(_) => Err(at.error(format!(
            "`{}` is not a time zone: write UTC, or a name such as \"Europe/Berlin\"",
            printable(&name)
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hours(text: &str) -> Hours {
        Hours::read(crate::yaml::parse(text).unwrap(), &mut Vec::new()).unwrap().remove(0)
    }

    fn ts(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn office_hours() {
        let office = hours("[{days: [mon-fri], from: \"08:00\", to: \"18:00\", zone: Europe/Berlin}]");
        assert_eq!(office.to_string(), "mon, tue, wed, thu, fri from 08:00 to 18:00 (Europe/Berlin)");
        // 2024-03-29 was a Friday; the clock was set forward on Sunday the 31st.
        assert!(!office.cover(ts("2024-03-29T06:59:59Z")));
        assert!(office.cover(ts("2024-03-29T07:00:00Z")));
        assert!(office.cover(ts("2024-03-29T16:59:59Z")));
        assert!(!office.cover(ts("2024-03-29T17:00:00Z")));
        assert_eq!(office.next_opening(ts("2024-03-29T17:00:00Z")), Some(ts("2024-04-01T06:00:00Z")));
        assert_eq!(office.next_opening(ts("2024-03-29T06:00:00Z")), Some(ts("2024-03-29T07:00:00Z")));
    }

    #[test]
    fn a_night_belongs_to_the_day_on_which_it_begins() {
        let night = hours("[{days: [sat], from: \"22:00\", to: \"06:00\"}]");
        assert!(night.cover(ts("2024-03-30T22:00:00Z")) && night.cover(ts("2024-03-31T05:59:00Z")));
        assert!(!night.cover(ts("2024-03-30T05:00:00Z")) && !night.cover(ts("2024-03-31T22:00:00Z")));
        assert_eq!(night.to_string(), "sat from 22:00 to 06:00 of the next day (UTC)");
        let weekend = hours("[{days: [\"sat-mon\"]}]");
        assert_eq!(weekend.days, [true, false, false, false, false, true, true]);
        assert_eq!(weekend.next_opening(ts("2024-04-02T00:00:00Z")), Some(ts("2024-04-06T00:00:00Z")));
    }

    #[test]
    fn clocks_that_are_set() {
        // Forward from 02:00 to 03:00 at 01:00 UTC on 2024-03-31; back from 03:00 to 02:00 at 01:00 UTC on 2024-10-27.
        let open = |from, to| hours(&format!("[{{from: \"{from}\", to: \"{to}\", zone: Europe/Berlin}}]"));
        let gap = open("02:30", "04:00");
        assert!(!gap.cover(ts("2024-03-31T00:59:59Z")) && gap.cover(ts("2024-03-31T01:00:00Z")));
        let swallowed = open("02:10", "02:50");
        assert!(!swallowed.cover(ts("2024-03-31T01:00:00Z")));
        assert_eq!(swallowed.next_opening(ts("2024-03-30T12:00:00Z")), Some(ts("2024-04-01T00:10:00Z")));
        let twice = open("02:30", "03:30");
        assert!(!twice.cover(ts("2024-10-27T00:29:00Z")) && twice.cover(ts("2024-10-27T00:30:00Z")));
        assert!(twice.cover(ts("2024-10-27T02:29:00Z")) && !twice.cover(ts("2024-10-27T02:30:00Z")));
    }

    proptest! {
        #[test]
        fn the_next_opening_is_open_and_nothing_before_it(
            seconds in 1_700_000_000i64..1_800_000_000, from in 0i8..24, to in 0i8..24, day in 0usize..7,
            zone in proptest::sample::select(vec!["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"]),
            step in 0i64..86_400,
        ) {
            prop_assume!(from != to);
            let day = DAYS[day];
            let hours = hours(&format!("[{{days: [{day}, wed], from: \"{from:02}:30\", to: \"{to:02}:30\", zone: {zone}}}]"));
            let now = Timestamp::from_second(seconds).unwrap();
            let next = hours.next_opening(now).unwrap();
            prop_assert!(next > now && hours.cover(next));
            let between = Timestamp::from_second(seconds + step).unwrap();
            if !hours.cover(now) && between < next {
                prop_assert!(!hours.cover(between));
            }
        }
    }
}
