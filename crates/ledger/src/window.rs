//! Which buckets of recorded use make up a limit's window. Times are Unix milliseconds, in UTC.

use farthing_ambient::Timestamp;
use farthing_policy::{Period, Window};
use jiff::ToSpan;
use jiff::tz::TimeZone;

const SECOND: i64 = 1_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// A length of bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    Second,
    Minute,
    Hour,
    Day,
    /// All time: one bucket.
    Total,
}

impl Unit {
    pub(crate) const ALL: [Self; 5] = [Self::Second, Self::Minute, Self::Hour, Self::Day, Self::Total];

    /// The bucket's length in seconds, which is also its name in records; 0 for [`Self::Total`].
    pub(crate) fn seconds(self) -> i64 {
        self.length() / SECOND
    }

    /// The start of the bucket that holds this time.
    pub(crate) fn start(self, at: i64) -> i64 {
        match self {
            Self::Total => 0,
            _ => at - at.rem_euclid(self.length()),
        }
    }

    fn length(self) -> i64 {
        match self {
            Self::Second => SECOND,
            Self::Minute => MINUTE,
            Self::Hour => HOUR,
            Self::Day => DAY,
            Self::Total => 0,
        }
    }
}

/// The windows that there are.
const WINDOWS: [Window; 11] = [
    Window::Calendar(Period::Minute),
    Window::Calendar(Period::Hour),
    Window::Calendar(Period::Day),
    Window::Calendar(Period::Week),
    Window::Calendar(Period::Month),
    Window::Rolling(Period::Minute),
    Window::Rolling(Period::Hour),
    Window::Rolling(Period::Day),
    Window::Rolling(Period::Week),
    Window::Rolling(Period::Month),
    Window::Lifetime,
];

/// A window's name, as it stands in records.
pub(crate) fn name(window: Window) -> &'static str {
    match window {
        Window::Calendar(Period::Minute) => "calendar_minute",
        Window::Calendar(Period::Hour) => "calendar_hour",
        Window::Calendar(Period::Day) => "calendar_day",
        Window::Calendar(Period::Week) => "calendar_week",
        Window::Calendar(Period::Month) => "calendar_month",
        Window::Rolling(Period::Minute) => "rolling_minute",
        Window::Rolling(Period::Hour) => "rolling_hour",
        Window::Rolling(Period::Day) => "rolling_day",
        Window::Rolling(Period::Week) => "rolling_week",
        Window::Rolling(Period::Month) => "rolling_month",
        Window::Lifetime => "lifetime",
    }
}

/// The window of a name in a record.
pub(crate) fn named(text: &str) -> Option<Window> {
    WINDOWS.into_iter().find(|window| name(*window) == text)
}

/// The lengths of buckets that [`reach`] asks for: enough for who counts for this window alone.
pub(crate) fn units(window: Window) -> &'static [Unit] {
    match window {
        Window::Lifetime => &[Unit::Total],
        Window::Calendar(Period::Minute) => &[Unit::Minute],
        Window::Calendar(Period::Hour) => &[Unit::Hour],
        Window::Calendar(Period::Day | Period::Week | Period::Month) => &[Unit::Day],
        Window::Rolling(Period::Minute) => &[Unit::Second],
        Window::Rolling(Period::Hour) => &[Unit::Second, Unit::Minute],
        Window::Rolling(Period::Day) => &[Unit::Minute, Unit::Hour],
        Window::Rolling(Period::Week | Period::Month) => &[Unit::Hour, Unit::Day],
    }
}

/// Buckets of one unit whose start lies in `from..until`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stretch {
    pub(crate) unit: Unit,
    pub(crate) from: i64,
    pub(crate) until: i64,
}

/// The buckets that a window is made of at one time, and when use leaves it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Reach {
    pub(crate) stretches: Vec<Stretch>,
    pub(crate) frees: Frees,
}

/// When use leaves a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Frees {
    Never,
    /// All of it, at this time.
    At(i64),
    /// The use in each bucket of the stretch, this long after the bucket's start.
    After {
        stretch: Stretch,
        delay: i64,
    },
}

/// The buckets of `window` at the time `now`.
///
/// A rolling window takes fine buckets at its old end, up to where the next coarse bucket begins, and coarse ones from
/// there. The fine bucket that the old end cuts counts in full: never less than the true use, and more only by what
/// was used in one second (minute, hour), one minute (day), one hour (week, month).
pub(crate) fn reach(window: Window, now: i64) -> Reach {
    match window {
        Window::Lifetime => {
            Reach { stretches: vec![Stretch { unit: Unit::Total, from: 0, until: 1 }], frees: Frees::Never }
        }
        Window::Calendar(period) => {
            let stretch = calendar(period, now);
            Reach { stretches: vec![stretch], frees: Frees::At(stretch.until) }
        }
        Window::Rolling(period) => rolling(period, now),
    }
}

/// When a window begins at the time `now`: what was used from then on counts in it. A rolling window begins with the
/// bucket that its old end cuts. `None`: it has no beginning.
#[must_use]
pub fn window_begin(window: Window, now: Timestamp) -> Option<Timestamp> {
    if window == Window::Lifetime {
        return None;
    }
    let reach = reach(window, now.as_millisecond());
    reach.stretches.first().and_then(|stretch| Timestamp::from_millisecond(stretch.from).ok())
}

fn calendar(period: Period, now: i64) -> Stretch {
    let whole = |unit: Unit| Stretch { unit, from: unit.start(now), until: unit.start(now) + unit.length() };
    match period {
        Period::Minute => whole(Unit::Minute),
        Period::Hour => whole(Unit::Hour),
        Period::Day => whole(Unit::Day),
        Period::Week => {
            // 1970-01-01 was a Thursday, three days after its Monday.
            let monday = Unit::Day.start(now) - (now.div_euclid(DAY) + 3).rem_euclid(7) * DAY;
            Stretch { unit: Unit::Day, from: monday, until: monday + 7 * DAY }
        }
        Period::Month => {
            let (from, until) = month(now).unwrap_or((Unit::Day.start(now) - 31 * DAY, i64::MAX));
            Stretch { unit: Unit::Day, from, until }
        }
    }
}

/// The first moment of the month and of the next; none beyond the calendar's end in the year 9999.
fn month(now: i64) -> Option<(i64, i64)> {
    let first = Timestamp::from_millisecond(now).ok()?.to_zoned(TimeZone::UTC).date().first_of_month();
    let midnight = |date: jiff::civil::Date| {
        date.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp().as_millisecond())
    };
    Some((midnight(first)?, midnight(first.checked_add(1.month()).ok()?)?))
}

fn rolling(period: Period, now: i64) -> Reach {
    let (length, fine, coarse) = match period {
        Period::Minute => (MINUTE, Unit::Second, None),
        Period::Hour => (HOUR, Unit::Second, Some(Unit::Minute)),
        Period::Day => (DAY, Unit::Minute, Some(Unit::Hour)),
        Period::Week => (7 * DAY, Unit::Hour, Some(Unit::Day)),
        Period::Month => (30 * DAY, Unit::Hour, Some(Unit::Day)),
    };
    let all = Stretch { unit: fine, from: fine.start(now - length), until: i64::MAX };
    let stretches = match coarse {
        None => vec![all],
        Some(coarse) => {
            let seam = coarse.start(now - length) + coarse.length();
            let rest = Stretch { unit: coarse, from: seam, until: i64::MAX };
            vec![Stretch { until: seam, ..all }, rest]
        }
    };
    Reach { stretches, frees: Frees::After { stretch: all, delay: length + fine.length() } }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ms(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_millisecond()
    }

    #[test]
    fn calendar_windows_are_utc() {
        let now = ms("2024-02-29T23:59:59.999Z"); // a Thursday
        for (period, from, until) in [
            (Period::Minute, "2024-02-29T23:59:00Z", "2024-03-01T00:00:00Z"),
            (Period::Hour, "2024-02-29T23:00:00Z", "2024-03-01T00:00:00Z"),
            (Period::Day, "2024-02-29T00:00:00Z", "2024-03-01T00:00:00Z"),
            (Period::Week, "2024-02-26T00:00:00Z", "2024-03-04T00:00:00Z"),
            (Period::Month, "2024-02-01T00:00:00Z", "2024-03-01T00:00:00Z"),
        ] {
            let stretch = calendar(period, now);
            assert_eq!((stretch.from, stretch.until), (ms(from), ms(until)), "{period:?}");
        }
        assert_eq!(calendar(Period::Week, ms("2024-02-26T00:00:00Z")).from, ms("2024-02-26T00:00:00Z"));
        assert_eq!(calendar(Period::Month, ms("2023-12-31T12:00:00Z")).until, ms("2024-01-01T00:00:00Z"));
    }

    /// Whether use at `at` is counted by `reach`.
    fn counts(reach: &Reach, at: i64) -> usize {
        let inside = |s: &&Stretch| (s.from..s.until).contains(&s.unit.start(at));
        reach.stretches.iter().filter(inside).count()
    }

    #[test]
    fn a_window_finds_all_that_it_asks_for_in_its_own_units() {
        for window in WINDOWS {
            let asked: Vec<_> = reach(window, 1_700_000_000_123).stretches.iter().map(|s| s.unit).collect();
            assert_eq!(asked, units(window), "{window:?}");
            assert_eq!(named(name(window)), Some(window));
        }
        assert_eq!(named("fortnight"), None);
    }

    #[test]
    fn windows_begin_where_counting_does() {
        let now: Timestamp = "2024-02-29T23:59:59.999Z".parse().unwrap();
        for (window, begin) in [
            (Window::Calendar(Period::Week), Some("2024-02-26T00:00:00Z")),
            (Window::Rolling(Period::Minute), Some("2024-02-29T23:58:59Z")),
            (Window::Rolling(Period::Day), Some("2024-02-28T23:59:00Z")),
            (Window::Rolling(Period::Month), Some("2024-01-30T23:00:00Z")),
            (Window::Lifetime, None),
        ] {
            let begin = begin.map(|text| text.parse::<Timestamp>().unwrap());
            assert_eq!(window_begin(window, now), begin, "{window:?}");
        }
    }

    proptest! {
        #[test]
        fn rolling_windows_miss_nothing_and_count_nothing_twice(
            now in 1_600_000_000_000i64..1_900_000_000_000, ago in 0i64..(40 * DAY), near in 0i64..(2 * HOUR),
        ) {
            for (period, length, slack) in [
                (Period::Minute, MINUTE, SECOND), (Period::Hour, HOUR, SECOND), (Period::Day, DAY, MINUTE),
                (Period::Week, 7 * DAY, HOUR), (Period::Month, 30 * DAY, HOUR),
            ] {
                let reach = reach(Window::Rolling(period), now);
                for ago in [ago, length - near, length + near - HOUR] {
                    if ago < 0 {
                        continue;
                    }
                    let counted = counts(&reach, now - ago);
                    prop_assert!(counted <= 1);
                    if ago < length {
                        prop_assert_eq!(counted, 1, "{:?} {}", period, ago);
                    }
                    if ago >= length + slack {
                        prop_assert_eq!(counted, 0, "{:?} {}", period, ago);
                    }
                }
            }
        }

        #[test]
        fn use_leaves_a_rolling_window_when_it_says(at in 1_600_000_000_000i64..1_900_000_000_000) {
            for period in [Period::Minute, Period::Hour, Period::Day, Period::Week, Period::Month] {
                let Frees::After { stretch, delay } = reach(Window::Rolling(period), at).frees else {
                    unreachable!()
                };
                let free = stretch.unit.start(at) + delay;
                prop_assert_eq!(counts(&reach(Window::Rolling(period), free), at), 0);
                prop_assert_eq!(counts(&reach(Window::Rolling(period), free - 1), at), 1);
            }
        }
    }
}
