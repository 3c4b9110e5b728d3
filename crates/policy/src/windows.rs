//! How windows lie in one another.
use crate::{Period, Window};

impl Period {
    /// Its length in minutes; a month has 30 days, as it has in a rolling window.
    pub(crate) const fn minutes(self) -> u64 {
        match self {
            Self::Minute => 1,
            Self::Hour => 60,
            Self::Day => 1_440,
            Self::Week => 7 * 1_440,
            Self::Month => 30 * 1_440,
        }
    }
}

/// The longest that a calendar's month can be, in minutes.
pub(crate) const LONGEST_MONTH: u64 = 31 * 1_440;

/// The shortest that a calendar's month can be, in minutes.
const SHORTEST_MONTH: u64 = 28 * 1_440;

/// The longest that a window can be, in minutes; none for all time.
pub(crate) const fn longest(window: Window) -> Option<u64> {
    match window {
        Window::Calendar(Period::Month) => Some(LONGEST_MONTH),
        Window::Calendar(period) | Window::Rolling(period) => Some(period.minutes()),
        Window::Lifetime => None,
    }
}

/// How many windows of one kind it takes at most to cover any one of another kind; none where no number is enough.
pub(crate) fn covering(window: Window, covered: Window) -> Option<u64> {
    let length = match window {
        Window::Lifetime => return Some(1),
        Window::Rolling(period) => return Some(longest(covered)?.div_ceil(period.minutes())),
        Window::Calendar(Period::Month) => SHORTEST_MONTH,
        Window::Calendar(period) => period.minutes(),
    };
    let long = longest(covered)?;
    match (window, covered) {
        // Minutes lie in hours, hours in days, days in weeks and in months.
        (Window::Calendar(outer), Window::Calendar(inner)) if nests(inner, outer) => Some(1),
        (Window::Calendar(inner), Window::Calendar(outer)) if nests(inner, outer) => {
            Some(long.div_ceil(length))
        }
        _ => Some(long.div_ceil(length) + 1),
    }
}

fn nests(inner: Period, outer: Period) -> bool {
    inner == outer || (inner.minutes() < outer.minutes() && inner != Period::Week)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Period::{Day, Hour, Minute, Month, Week};
    use Window::{Calendar, Lifetime, Rolling};

    #[test]
    fn windows_cover_one_another() {
        for (window, covered, number) in [
            (Calendar(Day), Rolling(Day), Some(2)),
            (Rolling(Day), Calendar(Day), Some(1)),
            (Calendar(Day), Calendar(Hour), Some(1)),
            (Calendar(Hour), Calendar(Day), Some(24)),
            (Calendar(Hour), Rolling(Day), Some(25)),
            (Calendar(Week), Calendar(Month), Some(6)),
            (Calendar(Month), Calendar(Week), Some(2)),
            (Calendar(Day), Calendar(Month), Some(31)),
            (Rolling(Month), Calendar(Month), Some(2)),
            (Calendar(Month), Rolling(Month), Some(3)),
            (Calendar(Minute), Rolling(Hour), Some(61)),
            (Lifetime, Rolling(Day), Some(1)),
            (Rolling(Day), Lifetime, None),
            (Lifetime, Lifetime, Some(1)),
        ] {
            assert_eq!(covering(window, covered), number, "{window:?} {covered:?}");
        }
    }
}
