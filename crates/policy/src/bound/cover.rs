//! The cheapest cover of a stretch of time by windows, at the worst place in the calendar.
//!
//! Time is counted in steps of half a grid unit from a Monday's midnight on. Calendar windows begin and end at even steps; a
//! stretch that begins anywhere begins at an odd one, between two points of the grid: that is never better than on one.
use std::collections::BTreeMap;

use super::Budget;
use crate::windows::{LONGEST_MONTH, longest};
use crate::{Period, Window};

const HOUR: u64 = Period::Hour.minutes();
const DAY: u64 = Period::Day.minutes();
const WEEK: u64 = Period::Week.minutes();

/// A cover of a stretch.
#[derive(Debug)]
pub(super) struct Cover {
    /// What its windows let be spent together.
    pub(super) total: u128,
    /// Minutes in a unit of the grid.
    pub(super) grid: u64,
    /// The step at which the stretch begins.
    pub(super) start: u64,
    /// Where months begin in it.
    pub(super) months: Vec<u64>,
    /// What may be spent from each step to the stretch's end; falls to nothing.
    pub(super) rest: Vec<u128>,
    /// Which of the budgets cover the stretch, one after the other.
    budgets: Vec<usize>,
}

impl Cover {
    /// How many windows of a budget are in it.
    pub(super) fn used(&self, budget: usize) -> usize {
        self.budgets.iter().filter(|used| **used == budget).count()
    }
}

/// The cover at the place where it costs most; none where the budgets' windows cover nothing.
pub(super) fn dearest(budgets: &[Budget], window: Window) -> Option<Cover> {
    let Some(length) = longest(window) else { return forever(budgets) };
    let problem = Problem::of(budgets, window, length)?;
    let mut dearest: Option<Cover> = None;
    for start in problem.starts() {
        for months in problem.months(start) {
            let cover = problem.cover(start, months)?;
            if dearest.as_ref().is_none_or(|known| known.total < cover.total) {
                dearest = Some(cover);
            }
        }
    }
    dearest
}

/// The least budget over all time.
fn forever(budgets: &[Budget]) -> Option<Cover> {
    let ever = budgets.iter().enumerate().filter(|(_, budget)| budget.window == Window::Lifetime);
    let (index, budget) = ever.min_by_key(|(_, budget)| budget.most)?;
    let (total, rest) = (budget.most, vec![budget.most, 0]);
    Some(Cover { total, grid: 1, start: 0, months: Vec::new(), rest, budgets: vec![index] })
}

/// A kind of window with the least that it lets be spent.
#[derive(Debug, Clone, Copy)]
struct Piece {
    window: Window,
    most: u128,
    budget: usize,
}

struct Problem {
    window: Window,
    grid: u64,
    /// The stretch, in steps.
    steps: u64,
    pieces: Vec<Piece>,
}

impl Problem {
    fn of(budgets: &[Budget], window: Window, length: u64) -> Option<Self> {
        let unit = |window: Window| {
            longest(window).map_or(DAY, |length| [DAY, HOUR].into_iter().find(|u| length >= *u).unwrap_or(1))
        };
        let finest = budgets.iter().map(|budget| unit(budget.window)).min()?.min(unit(window));
        // Minutes over weeks would take long; an hour has sixty of them.
        let grid = if length > DAY { finest.max(HOUR) } else { finest };
        let mut pieces: BTreeMap<(bool, u64), Piece> = BTreeMap::new();
        for (budget, Budget { window, most, .. }) in budgets.iter().enumerate() {
            let Some(piece) = lifted(*window, *most, grid, budget) else { continue };
            let key = (matches!(piece.window, Window::Rolling(_)), longest(piece.window).unwrap_or(u64::MAX));
            let least = pieces.entry(key).or_insert(piece);
            if piece.most < least.most {
                *least = piece;
            }
        }
        let pieces: Vec<_> = pieces.into_values().collect();
        (!pieces.is_empty()).then(|| Self { window, grid, steps: 2 * length / grid, pieces })
    }

    fn steps_in(&self, minutes: u64) -> u64 {
        2 * minutes / self.grid
    }

    /// Where the stretch may begin. Within a day the last one of a week is worst: where it ends, everything ends.
    fn starts(&self) -> Vec<u64> {
        let week = self.steps_in(WEEK);
        let between = |from: u64| (self.steps_in(from)..week).filter(|step| step % 2 == 1).collect();
        match self.window {
            Window::Rolling(Period::Week | Period::Month) => between(0),
            Window::Rolling(Period::Day) => between(WEEK - DAY),
            Window::Rolling(Period::Minute | Period::Hour) => between(WEEK - HOUR.max(self.grid)),
            Window::Calendar(Period::Month) => (0..7).map(|day| self.steps_in(day * DAY)).collect(),
            Window::Calendar(_) | Window::Lifetime => vec![0],
        }
    }

    /// Where months may begin in the stretch, every way to be looked at. A February lies between two of them.
    fn months(&self, start: u64) -> Vec<Vec<u64>> {
        let monthly = |piece: &Piece| piece.window == Window::Calendar(Period::Month);
        if !self.pieces.iter().any(monthly) {
            return vec![Vec::new()];
        }
        let day = self.steps_in(DAY);
        let end = start + self.steps;
        let inside = (start / day + 1..).map(|days| days * day).take_while(|step| *step < end);
        match self.window {
            Window::Rolling(Period::Month) => inside.flat_map(|first| self.februaries(first, end)).collect(),
            Window::Rolling(Period::Week) | Window::Calendar(Period::Week) => {
                inside.map(|first| vec![first]).collect()
            }
            Window::Rolling(_) => vec![vec![self.steps_in(WEEK)]],
            Window::Calendar(_) | Window::Lifetime => vec![Vec::new()],
        }
    }

    /// One month that begins in a stretch, or two: only a February is short enough to lie between.
    fn februaries(&self, first: u64, end: u64) -> Vec<Vec<u64>> {
        let second = [28, 29].map(|days| first + self.steps_in(days * DAY));
        let both: Vec<_> =
            second.iter().filter(|second| **second < end).map(|second| vec![first, *second]).collect();
        if both.is_empty() { vec![vec![first]] } else { both }
    }

    /// The cheapest cover of the stretch that begins at `start`.
    fn cover(&self, start: u64, months: Vec<u64>) -> Option<Cover> {
        let length = usize::try_from(self.steps).ok()?;
        let mut rest = vec![0u128; length + 1];
        let mut choice = vec![(0, length); length];
        for (index, step) in (0..length).rev().zip((start..start + self.steps).rev()) {
            let mut best: Option<(u128, (usize, usize))> = None;
            for piece in &self.pieces {
                let next = usize::try_from(self.end(piece.window, step, &months) - start)
                    .unwrap_or(length)
                    .min(length);
                let cost = piece.most.saturating_add(*rest.get(next)?);
                if best.is_none_or(|(known, _)| cost < known) {
                    best = Some((cost, (piece.budget, next)));
                }
            }
            let (cost, chosen) = best?;
            *rest.get_mut(index)? = cost;
            *choice.get_mut(index)? = chosen;
        }
        let total = rest.first().copied().filter(|total| *total < u128::MAX)?;
        let steps = std::iter::successors(choice.first(), |(_, next)| choice.get(*next));
        let budgets = steps.map(|(budget, _)| *budget).collect();
        Some(Cover { total, grid: self.grid, start, months, rest, budgets })
    }

    /// Where the window ends that begins at a step, or in which it lies.
    fn end(&self, window: Window, step: u64, months: &[u64]) -> u64 {
        let whole = |minutes: u64| (step / self.steps_in(minutes) + 1) * self.steps_in(minutes);
        match window {
            Window::Rolling(period) => step + self.steps_in(period.minutes()),
            Window::Calendar(Period::Month) => {
                let next = months.iter().copied().find(|month| *month > step);
                next.unwrap_or(step + self.steps_in(LONGEST_MONTH))
            }
            Window::Calendar(period) => whole(period.minutes()),
            Window::Lifetime => u64::MAX,
        }
    }
}

/// A budget as a piece whose ends lie on the grid: one per minute is sixty times as much per hour.
fn lifted(window: Window, most: u128, grid: u64, budget: usize) -> Option<Piece> {
    let (window, most) = match window {
        Window::Rolling(Period::Minute) if grid > 1 => (Window::Rolling(Period::Hour), most.checked_mul(60)?),
        Window::Calendar(Period::Minute) if grid > 1 => {
            (Window::Calendar(Period::Hour), most.checked_mul(60)?)
        }
        window => (window, most),
    };
    Some(Piece { window, most, budget })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PERIODS: [Period; 5] = [Period::Minute, Period::Hour, Period::Day, Period::Week, Period::Month];

    fn window(index: usize) -> Window {
        match PERIODS.get(index) {
            Some(period) => Window::Calendar(*period),
            None => PERIODS.get(index - 5).map_or(Window::Lifetime, |period| Window::Rolling(*period)),
        }
    }

    /// What is spent in each half of a minute since a Monday began, by the cover's own schedule.
    fn schedule(cover: &Cover) -> Vec<(u64, u128)> {
        let steps = cover.rest.windows(2).map(|pair| pair[0] - pair[1]);
        let at = |index: usize| (cover.start + index as u64) * cover.grid;
        steps.enumerate().filter(|(_, spent)| *spent > 0).map(|(index, spent)| (at(index), spent)).collect()
    }

    /// Whether two times lie in one window, for some window of the kind.
    fn together(window: Window, first: u64, second: u64, months: &[u64]) -> bool {
        match window {
            Window::Lifetime => true,
            Window::Rolling(period) => second - first < 2 * period.minutes(),
            Window::Calendar(Period::Month) => !months.iter().any(|month| first < *month && *month <= second),
            Window::Calendar(period) => first / (2 * period.minutes()) == second / (2 * period.minutes()),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(100))]

        /// So the bound is reached, where amounts can be of any size: it cannot be lower.
        #[test]
        fn the_schedule_spends_the_bound_and_keeps_every_budget(
            budgets in proptest::collection::vec((0usize..11, 1u128..60), 1..5), stretch in 0usize..10,
        ) {
            let budget = |(index, most): (usize, u128)| Budget { window: window(index), most, why: String::new() };
            let budgets: Vec<_> = budgets.into_iter().map(budget).collect();
            let minutes = |budget: &Budget| longest(budget.window) == Some(1);
            // Minutes over weeks are counted by the hour, which is safe and not exact.
            prop_assume!(stretch % 5 < 3 || !budgets.iter().any(minutes));
            let cover = dearest(&budgets, window(stretch)).unwrap();
            let schedule = schedule(&cover);
            prop_assert_eq!(schedule.iter().map(|(_, spent)| spent).sum::<u128>(), cover.total);
            let months: Vec<_> = cover.months.iter().map(|month| month * cover.grid).collect();
            for budget in &budgets {
                for (index, (first, _)) in schedule.iter().enumerate() {
                    let later = schedule[index..].iter();
                    let inside = later.take_while(|(at, _)| together(budget.window, *first, *at, &months));
                    prop_assert!(inside.map(|(_, spent)| spent).sum::<u128>() <= budget.most);
                }
            }
        }
    }
}
